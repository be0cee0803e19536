"""UCF101: human actions, 101 classes, 13,320 middle frames of videos (Soomro, Zamir & Shah, 2012).

ucf101/UCF-101-midframes/Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg
ucf101/ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt      "1 ApplyEyeMakeup", "ApplyEyeMakeup/v_….avi 1"
ucf101/split_zhou_UCF101.json

A folder and its class are the official name cut at capitals: ApplyEyeMakeup is Apply_Eye_Makeup. Labels follow
classInd.txt; sorted folders would swap Hammering with Hammer_Throw and Jumping_Jack with Jump_Rope. The files of
Handstand_Pushups say HandStand. CoOp made the frames: the official archive holds videos.
"""

import re

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, open_published
from cliptune.datasets.splits import inside, read_lines
from cliptune.errors import UserError

FACTS = Facts(
    title="UCF101",
    source="Soomro, Zamir & Shah, CRCV-TR-12-01, 2012; no licence stated, research use",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp) has the frames; lists: www.crcv.ucf.edu/data/UCF101.php",
    folders=("ucf101",),
    images=("UCF-101-midframes",),
    classes=101,
    counts=(7639, 1898, 3783),
    templates=("a photo of a person doing {}.", PHOTO),
    split_file="split_zhou_UCF101.json",
    aliases=("ucf",),
    column="UCF101",
)
_LISTS = "ucfTrainTestlist"


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, split 01 and a fifth of its training for validation."""
    return open_published("ucf101", FACTS, root, missing, _from_lists)


def _from_lists(copy: Copy) -> dict[str, list[Row]]:
    labels = _labels(copy)
    trainval = _listed(copy, "trainlist01.txt", labels)
    return cut(trainval, val=0.2, test=0.0) | {"test": _listed(copy, "testlist01.txt", labels)}


def _labels(copy: Copy) -> dict[str, int]:
    """Label by action, as the set spells it."""
    labels: dict[str, int] = {}
    for place, line in read_lines(copy, f"{_LISTS}/classInd.txt"):
        number, _, action = line.partition(" ")
        if not number.isdecimal() or number == "0" or not action.strip().isalnum():
            raise _wrong(place, line, "'1 ApplyEyeMakeup'")
        labels[action.strip()] = int(number) - 1
    return labels


def _listed(copy: Copy, file: str, labels: dict[str, int]) -> list[Row]:
    rows: list[Row] = []
    for place, line in read_lines(copy, f"{_LISTS}/{file}"):
        video, _, number = line.partition(" ")
        action, _, clip = video.partition("/")
        # trainlist repeats the class number, testlist does not
        if action not in labels or not clip or number.strip() not in ("", str(labels[action] + 1)):
            raise _wrong(place, line, "an action of classInd.txt, '/', a video and the action's number")
        name = _underscored(action)
        rows.append((inside(f"{name}/{clip.removesuffix('.avi')}.jpg", place), labels[action], name))
    return rows


def _underscored(action: str) -> str:
    """'ApplyEyeMakeup' → 'Apply_Eye_Makeup'."""
    return "_".join(re.findall("[A-Z][^A-Z]*", action))


def _wrong(place: str, line: str, wanted: str) -> UserError:
    return UserError(f"{place}: '{line}' is not {wanted}", f"get it again: {FACTS.get}")
