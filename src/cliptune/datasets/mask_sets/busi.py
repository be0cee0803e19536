"""BUSI: 780 breast ultrasound images with tumors marked: 437 benign, 210 malignant, 133 normal (Al-Dhabyani, 2020).

busi/{images,masks,anns}/100_benign.png                    medvlsm, 624/78/78; names and masks made by the user
Dataset_BUSI_with_GT/{benign,malignant,normal}/            as published
    benign (1).png   benign (1)_mask.png   benign (1)_mask_1.png

17 images have several mask files; what any of them marks is marked. Normal images have black masks: the right answer
is nothing. In medvlsm's layout the group is the end of the file's name, else its folder.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cliptune.datasets.base import Missing
from cliptune.datasets.mask_sets._published import MADE_HERE, Original, cut_items, images_in, open_published, stem
from cliptune.datasets.published import Copy, Facts
from cliptune.datasets.segmentation import PARTS, MaskItem, MaskSet, word_prompts

WORD = "Tumor in the breast ultrasound image."
KINDS = ("benign", "malignant", "normal")
FACTS = Facts(
    title="BUSI",
    source="Al-Dhabyani et al., Data in Brief 28, 2020; for research",
    get="scholar.cu.edu.eg/?q=afahmy/pages/dataset; prompts and parts from github.com/naamiinepal/medvlsm",
    folders=("busi", "Dataset_BUSI_with_GT", "Dataset_BUSI"),
    images=("anns", "benign", "Dataset_BUSI_with_GT/benign"),
    counts=(624, 78, 78),
    aliases=("breast_ultrasound",),
    column="BUSI",
)
_MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?")
TELLS = ("p1", "p2", "p3", "p4", "p5", "p6")
_SAME = (("benign (433)", "433_benign"), ("malignant (145)", "145_malignant"))


def load(root: str | Path | None = None, missing: Missing = "refuse") -> MaskSet:
    """The set below `root`; without anns/ a cut of its own, 80/10/10 of each of benign, malignant and normal.

    Raises:
        UserError: not there, broken annotations, or missing files, unless `missing` is 'skip'.
    """
    return open_published("busi", FACTS, root, missing, _original, _group, _remarks, tells=TELLS)


def _group(file: str) -> str:
    """'100_benign.png' → 'benign'; '' for any other name."""
    end = PurePosixPath(file).stem.rpartition("_")[2].lower()
    return end if end in KINDS else ""


def _original(copy: Copy) -> Original:
    above = copy.images.parent.relative_to(copy.folder)
    items = [item for kind in KINDS for item in _listed(copy, (above / kind).as_posix(), kind)]
    return cut_items(items, kind=lambda item: item.group), MADE_HERE


def _listed(copy: Copy, folder: str, kind: str) -> list[MaskItem]:
    """The images of one folder; a benign or malignant one without masks lists the mask it should have."""
    masks: dict[str, list[str]] = defaultdict(list)
    images: dict[str, str] = {}
    for file in images_in(copy, folder):
        name = PurePosixPath(file).stem
        if found := _MASK.fullmatch(name):
            masks[found["image"]].append(f"{folder}/{file}")
        else:
            images[name] = f"{folder}/{file}"
    if kind != "normal":
        for name in images.keys() - masks.keys():
            masks[name] = [f"{folder}/{name}_mask.png"]
    for name in masks.keys() - images.keys():
        images[name] = f"{folder}/{name}.png"
    return [MaskItem(images[name], tuple(masks.get(name, ())), word_prompts(WORD), kind) for name in sorted(images)]


def _remarks(found: MaskSet) -> Iterator[str]:
    place = {stem(item): part for part in PARTS for item in getattr(found, part)}
    same = [name for names in _SAME for name in names if name in place]
    if len(same) == 2:
        told = " and ".join(f"{name} ({place[name]})" for name in same)
        yield f"{told} are one picture, byte for byte; a letter (doi 10.1016/j.dib.2023.109247) lists many more"
    if len({dict(it.prompts).get("p1") for part in PARTS for it in getattr(found, part)}) > 1:
        yield "prompt p1 says of normal images that they have no tumor: it tells that the mask is empty"
    if "p2" in found.prompt_types:
        yield "prompts from p2 on say whether a tumor is benign, and its number, size and place, from labels and masks"
