"""Oxford Flowers: 102 classes, 8,189 images (Nilsback & Zisserman, 2008).

oxford_flowers/jpg/image_00001.jpg … image_08189.jpg
oxford_flowers/imagelabels.mat                    labels 1 to 102 by image number
oxford_flowers/cat_to_name.json                   {"21": "fire lily", …}, in no order
oxford_flowers/split_zhou_OxfordFlowers.json

Labels are those of imagelabels.mat less one: 0 pink primrose, 11 colt's foot. CoOp's split is its own, 50/20/30, not
the official setid.mat. Copies with folders 1 to 102 below train/ and test/ sort them as text (1, 10, 100) and number
the classes otherwise: they are not read.
"""

import json

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, open_published
from cliptune.datasets.splits import annotation, read_mat
from cliptune.errors import UserError
from cliptune.texts import read_text

FACTS = Facts(
    title="Oxford Flowers 102",
    source="Nilsback & Zisserman, ICVGIP 2008; no licence stated, research use",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images from www.robots.ox.ac.uk/~vgg/data/flowers/102",
    folders=("oxford_flowers", "Flower102", "flowers-102"),
    images=("jpg",),
    classes=102,
    counts=(4093, 1633, 2463),
    templates=("a photo of a {}, a type of flower.", PHOTO),
    split_file="split_zhou_OxfordFlowers.json",
    aliases=("flowers", "oxford_flowers102"),
    column="Flowers102",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, its labels cut 50/20/30."""
    return open_published("oxford_flowers", FACTS, root, missing, _from_labels)


def _from_labels(copy: Copy) -> dict[str, list[Row]]:
    names = _names(copy)
    path, labels = read_mat(copy, "imagelabels.mat", "labels")
    rows: list[Row] = []
    for number, label in enumerate(labels.tolist(), 1):
        if label not in names:
            raise UserError(f"{path}: image {number} has label {label}, without a name", f"get it again: {FACTS.get}")
        rows.append((f"image_{number:05d}.jpg", int(label) - 1, names[label]))
    return cut(rows, val=0.2, test=0.3)


def _names(copy: Copy) -> dict[int, str]:
    """Names by label, from 1."""
    path = annotation(copy, "cat_to_name.json")
    text = read_text(path, f"get it again: {FACTS.get}")
    try:
        return {int(label): str(name) for label, name in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError) as problem:
        raise UserError(f"{path} is no table of names by number: {problem}", f"get it again: {FACTS.get}") from None
