"""Stanford Cars: makes, models and years, 196 classes, 16,185 images (Krause et al., 2013).

stanford_cars/cars_train/00001.jpg   stanford_cars/cars_test/00001.jpg      the numbers repeat
stanford_cars/devkit/{cars_meta,cars_train_annos}.mat
stanford_cars/cars_test_annos_withlabels.mat                                the devkit's own test list has no labels
stanford_cars/split_zhou_StanfordCars.json

A name is the official one with the year put first: "2012 Ram C/V Cargo Van Minivan", slash and all. Listed paths begin
with cars_train/ or cars_test/; copies that hold cars_train/cars_train/ are read too, those with car_ims/, which number
the images otherwise, are not. The official downloads are gone.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import Copy, Facts, Row, near, open_published
from cliptune.datasets.splits import inside, read_mat
from cliptune.errors import UserError

FACTS = Facts(
    title="Stanford Cars",
    source="Krause et al., 3dRR workshop 2013; for non-commercial research",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp); its links for the images are dead: look for a mirror",
    folders=("stanford_cars",),
    nested=("cars_train", "cars_test"),
    classes=196,
    counts=(6509, 1635, 8041),
    split_file="split_zhou_StanfordCars.json",
    aliases=("cars", "cars196"),
    column="StanfordCars",
)
_LABELLED_TEST = "cars_test_annos_withlabels.mat"


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, the official test and a fifth of train for validation."""
    return open_published("stanford_cars", FACTS, root, missing, _from_devkit)


def _from_devkit(copy: Copy) -> dict[str, list[Row]]:
    names = [_year_first(name) for name in read_mat(copy, "devkit/cars_meta.mat", "class_names")[1]]
    train = _listed(copy, "devkit/cars_train_annos.mat", "cars_train", names)
    in_devkit = f"devkit/{_LABELLED_TEST}"
    test = in_devkit if near(copy, in_devkit).is_file() else _LABELLED_TEST
    return cut(train, val=0.2, test=0.0) | {"test": _listed(copy, test, "cars_test", names)}


def _listed(copy: Copy, file: str, folder: str, names: list[str]) -> list[Row]:
    path, records = read_mat(copy, file, "annotations")
    if not {"class", "fname"} <= set(records.dtype.names or ()):
        raise UserError(f"{path} has no labels", f"take {_LABELLED_TEST}; {FACTS.get}")
    rows: list[Row] = []
    for number, (label, image) in enumerate(zip(records["class"], records["fname"]), 1):
        place = f"{path}: annotation {number}"
        if label not in range(1, len(names) + 1):
            raise UserError(f"{place}: class {label} is none of 1 to {len(names)}", f"get it again: {FACTS.get}")
        rows.append((f"{folder}/{inside(str(image), place)}", int(label) - 1, names[int(label) - 1]))
    return rows


def _year_first(name: str) -> str:
    """'AM General Hummer SUV 2000' → '2000 AM General Hummer SUV'."""
    model, _, year = str(name).rpartition(" ")
    return f"{year} {model}".strip()
