"""SUN397: scenes, 397 classes, 39,700 images of the first of its ten partitions (Xiao et al., 2010).

sun397/SUN397/a/abbey/sun_aaalbzqrimafwbiv.jpg          some one level deeper: a/apse/indoor/
sun397/{ClassName,Training_01,Testing_01}.txt           "/a/abbey", "/a/abbey/sun_aaalbzqrimafwbiv.jpg"
sun397/split_zhou_SUN397.json

A name is the path below the letter, turned round: "indoor apse", "indoor_procenium theater". Labels follow
ClassName.txt. Some files are no JPEG, some are grey or cut short, a few very large. Copies with folders train/ and
test/ have other paths and are not read.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import Copy, Facts, Row, open_published
from cliptune.datasets.splits import inside, read_lines
from cliptune.errors import UserError

FACTS = Facts(
    title="SUN397",
    source="Xiao et al., CVPR 2010; images of various owners, research use",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images: vision.princeton.edu/projects/2010/SUN or a mirror",
    folders=("sun397",),
    images=("SUN397", ""),
    classes=397,
    counts=(15880, 3970, 19850),
    split_file="split_zhou_SUN397.json",
    aliases=("sun",),
    column="SUN397",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, partition 01 and a fifth of its training for validation."""
    return open_published("sun397", FACTS, root, missing, _from_lists)


def _from_lists(copy: Copy) -> dict[str, list[Row]]:
    labels = _labels(copy)
    trainval = _listed(copy, "Training_01.txt", labels)
    return cut(trainval, val=0.2, test=0.0) | {"test": _listed(copy, "Testing_01.txt", labels)}


def _labels(copy: Copy) -> dict[str, int]:
    """Label by scene, 'a/abbey'."""
    labels: dict[str, int] = {}
    for place, line in read_lines(copy, "ClassName.txt"):
        scene = line.strip("/")
        if "/" not in scene:
            raise UserError(f"{place}: '{line}' is not like /a/abbey", f"get it again: {FACTS.get}")
        labels[scene] = len(labels)
    return labels


def _listed(copy: Copy, file: str, labels: dict[str, int]) -> list[Row]:
    rows: list[Row] = []
    for place, line in read_lines(copy, file):
        path = inside(line.removeprefix("/"), place)
        scene = path.rpartition("/")[0]
        if scene not in labels:
            raise UserError(f"{place}: '{scene}' is not in ClassName.txt", f"get it again: {FACTS.get}")
        rows.append((path, labels[scene], _name(scene)))
    return rows


def _name(scene: str) -> str:
    """'a/apse/indoor' → 'indoor apse'."""
    return " ".join(reversed(scene.split("/")[1:]))
