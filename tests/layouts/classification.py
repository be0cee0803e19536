"""The ten classification sets as people have them on disk, with pictures of 8 × 8: real names, orders and strays.

`with_split_file` builds CoOp's layout, `raw` what the set's authors gave, without it; both return the set's folder.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

Row = tuple[str, int, str]


@dataclass(frozen=True)
class Layout:
    """How a set lies below the root, and a few of its rows."""

    coop: str
    """folder in CoOp's dialect"""
    cliplora: str
    """folder in CLIP-LoRA's dialect"""
    images: str
    split_file: str
    kinds: tuple[tuple[str, str], ...]
    """image path with a {} for a number, and class name, in label order; a subset numbered anew"""


LAYOUTS = {
    "caltech101": Layout(
        "caltech-101",
        "Caltech101",
        "101_ObjectCategories",
        "split_zhou_Caltech101.json",
        (
            ("Faces/image_{:04}.jpg", "face"),
            ("Leopards/image_{:04}.jpg", "leopard"),
            ("accordion/image_{:04}.jpg", "accordion"),
            ("water_lilly/image_{:04}.jpg", "water_lilly"),
        ),
    ),
    "oxford_pets": Layout(
        "oxford_pets",
        "OxfordPets",
        "images",
        "split_zhou_OxfordPets.json",
        (
            ("Abyssinian_{}.jpg", "abyssinian"),
            ("american_bulldog_{}.jpg", "american_bulldog"),
            ("Bengal_{}.jpg", "bengal"),
        ),
    ),
    "stanford_cars": Layout(
        "stanford_cars",
        "StanfordCars",
        "",
        "split_zhou_StanfordCars.json",
        (
            ("cars_train/{:05}.jpg", "2000 AM General Hummer SUV"),
            ("cars_test/{:05}.jpg", "2012 Ram C/V Cargo Van Minivan"),
        ),
    ),
    "oxford_flowers": Layout(
        "oxford_flowers",
        "Flower102",
        "jpg",
        "split_zhou_OxfordFlowers.json",
        (("image_0670{}.jpg", "pink primrose"), ("image_0580{}.jpg", "colt's foot")),
    ),
    "food101": Layout(
        "food-101",
        "Food101",
        "images",
        "split_zhou_Food101.json",
        (("apple_pie/100{}.jpg", "apple_pie"), ("waffles/9{}.jpg", "waffles")),
    ),
    "sun397": Layout(
        "sun397",
        "SUN397",
        "SUN397",
        "split_zhou_SUN397.json",
        (("a/abbey/sun_a{}.jpg", "abbey"), ("a/apse/indoor/sun_b{}.jpg", "indoor apse")),
    ),
    "dtd": Layout(
        "dtd",
        "DTD",
        "images",
        "split_zhou_DescribableTextures.json",
        (("banded/banded_{:04}.jpg", "banded"), ("polka-dotted/polka-dotted_{:04}.jpg", "polka-dotted")),
    ),
    "eurosat": Layout(
        "eurosat",
        "EuroSAT",
        "2750",
        "split_zhou_EuroSAT.json",
        (("AnnualCrop/AnnualCrop_{}.jpg", "Annual Crop Land"), ("Forest/Forest_{}.jpg", "Forest")),
    ),
    "ucf101": Layout(
        "ucf101",
        "UCF101",
        "UCF-101-midframes",
        "split_zhou_UCF101.json",
        (
            ("Handstand_Pushups/v_HandStandPushups_g01_c{:02}.jpg", "Handstand_Pushups"),
            ("Yo_Yo/v_YoYo_g01_c{:02}.jpg", "Yo_Yo"),
        ),
    ),
}


@cache
def _jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, "JPEG")
    return file.getvalue()


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_jpeg())


def text(path: Path, lines: Iterable[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())


def rows_of(name: str) -> dict[str, list[Row]]:
    """Rows of a split file: 3 train, 1 val and 2 test images of each class."""
    parts: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for label, (pattern, called) in enumerate(LAYOUTS[name].kinds):
        for number in range(1, 7):
            part = "train" if number < 4 else "val" if number == 4 else "test"
            parts[part].append((pattern.format(number), label, called))
    return parts


def with_split_file(
    root: Path, name: str, dialect: str = "coop", rows: Mapping[str, Sequence[Row]] | None = None
) -> Path:
    """The set `name` with CoOp's split file, in the folders of the dialect 'coop' or 'cliplora'."""
    layout = LAYOUTS[name]
    rows = rows or rows_of(name)
    folder = root / getattr(layout, dialect)
    for part in rows.values():
        for path, _, _ in part:
            picture(folder / layout.images / path)
    (folder / layout.split_file).write_text(json.dumps(rows, indent=4), "utf-8")
    return folder


def strays(folder: Path) -> None:
    """What systems and archives leave behind among the images."""
    for name in (".DS_Store", "._image_0001.jpg", "Thumbs.db", "notes.mat", "README.txt", "tmp"):
        (folder / name).write_bytes(b"\0no image")


def _folders(images: Path, names: Iterable[str], pattern: str = "{}_{:04}.jpg", each: int = 4) -> None:
    for name in names:
        for number in range(1, each + 1):
            picture(images / name / pattern.format(name, number))
        strays(images / name)
    (images / ".ipynb_checkpoints").mkdir()
    (images / "__MACOSX").mkdir()


def _caltech101(root: Path) -> Path:
    images = root / "caltech-101/101_ObjectCategories"
    _folders(images, ("yin_yang", "accordion", "airplanes", "Motorbikes", "Leopards", "Faces", "Faces_easy"))
    (images / "BACKGROUND_Google").mkdir()
    (images / "BACKGROUND_Google/tmp").write_bytes(b"\0")
    return root / "caltech-101"


PETS = ("Abyssinian", "american_bulldog", "american_pit_bull_terrier", "Bengal")
"""in the order of their ids, which sorted file names do not follow"""


def _oxford_pets(root: Path) -> Path:
    folder = root / "oxford_pets"
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    # not in the order of the ids
    for breed in (2, 4, 1, 3):
        for number in range(1, 8):
            name = f"{PETS[breed - 1]}_{number}"
            picture(folder / f"images/{name}.jpg")
            lists["trainval" if number < 6 else "test"].append(f"{name} {breed} {1 if name[0].isupper() else 2} 1")
    picture(folder / "images/Abyssinian_34.jpg")  # in no list
    (folder / "images/Abyssinian_100.mat").write_bytes(b"MATLAB")
    header = ["#Image CLASS-ID SPECIES BREED ID", "#ID: 1:37 Class ids", ""]
    text(folder / "annotations/list.txt", header + lists["trainval"] + lists["test"])
    text(folder / "annotations/trainval.txt", header + lists["trainval"] + [""], end="\r\n")
    text(folder / "annotations/test.txt", lists["test"])
    text(folder / "annotations/trimaps/._Abyssinian_1.png", ["x"])
    return folder


CARS = ("AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012")


def _stanford_cars(root: Path) -> Path:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": np.array(CARS, dtype=object)[None]})
    labels = {"train": [3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2], "test": [2, 1, 3]}
    for part, classes in labels.items():
        for number in range(1, len(classes) + 1):
            picture(folder / f"cars_{part}/{number:05}.jpg")
    cars_annotations(folder / "devkit/cars_train_annos.mat", labels["train"])
    cars_annotations(folder / "devkit/cars_test_annos.mat", labels["test"], labelled=False)
    cars_annotations(folder / "cars_test_annos_withlabels.mat", labels["test"])
    return folder


def cars_annotations(path: Path, classes: Sequence[int], labelled: bool = True) -> None:
    fields = ["bbox_x1", *(["class"] if labelled else []), "fname"]
    records = np.zeros((1, len(classes)), dtype=[(field, object) for field in fields])
    for index, label in enumerate(classes):
        records[0, index]["bbox_x1"] = 1
        records[0, index]["fname"] = f"{index + 1:05}.jpg"
        if labelled:
            records[0, index]["class"] = label
    savemat(path, {"annotations": records})


FLOWERS = ("pink primrose", "hard-leaved pocket orchid", *(f"flower {n}" for n in range(3, 12)), "colt's foot")


def _oxford_flowers(root: Path) -> Path:
    folder = root / "oxford_flowers"
    labels = [label for label in (12, 2, 10, 1, 3, 4, 5, 6, 7, 8, 9, 11) for _ in range(4)]
    for number in range(1, len(labels) + 1):
        picture(folder / f"jpg/image_{number:05}.jpg")
    strays(folder / "jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})
    # in string order, as keys of JSON often are
    names = {str(label): FLOWERS[label - 1] for label in sorted(range(1, 13), key=str)}
    (folder / "cat_to_name.json").write_text(json.dumps(names), "utf-8")
    return folder


def _food101(root: Path) -> Path:
    _folders(root / "food-101/images", ("waffles", "apple_pie", "baklava"))
    text(root / "food-101/meta/train.txt", ["apple_pie/1"])
    return root / "food-101"


VARIANTS = ("707-320", "F-16A/B", "F/A-18", "DHC-8-300", "A300B4")
"""in the file's order, which is no sorted one"""


def _fgvc_aircraft(root: Path) -> Path:
    folder = root / "fgvc_aircraft"
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    number = 34309
    for variant in reversed(VARIANTS):
        for rows in lists.values():
            picture(folder / f"images/{number:07}.jpg")
            rows.append(f"{number:07} {variant}")
            number += 1
    text(folder / "variants.txt", VARIANTS)
    for part, rows in lists.items():
        text(folder / f"images_variant_{part}.txt", rows)
    text(folder / "images_variant_trainval.txt", lists["train"] + lists["val"])
    text(folder / "images_box.txt", ["0034309 3 144 998 431"])
    return folder


SCENES = ("a/abbey", "a/apse/indoor", "i/ice_skating_rink/indoor", "t/theater/indoor_procenium")


def _sun397(root: Path) -> Path:
    folder = root / "sun397"
    lists: dict[str, list[str]] = {"Training_01": [], "Testing_01": []}
    for scene in SCENES:
        for number in range(7):
            path = f"{scene}/sun_a{number}.jpg"
            picture(folder / "SUN397" / path)
            lists["Training_01" if number < 5 else "Testing_01"].append(f"/{path}")
    text(folder / "ClassName.txt", [f"/{scene}" for scene in SCENES])
    for part, rows in lists.items():
        text(folder / f"{part}.txt", rows)
    return folder


def _dtd(root: Path) -> Path:
    _folders(root / "dtd/images", ("zigzagged", "polka-dotted", "banded"))
    text(root / "dtd/labels/train1.txt", ["banded/banded_0002.jpg"])
    return root / "dtd"


LAND = ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial")
LAND += ("Pasture", "PermanentCrop", "Residential", "River", "SeaLake")


def _eurosat(root: Path) -> Path:
    _folders(root / "eurosat/2750", LAND, "{}_{}.jpg")
    return root / "eurosat"


ACTIONS = ("ApplyEyeMakeup", "Hammering", "HammerThrow", "HandstandPushups", "JumpingJack", "JumpRope", "YoYo")
"""in the order of classInd.txt; underscored names sort otherwise"""


def _ucf101(root: Path) -> Path:
    folder = root / "ucf101"
    lists = folder / "ucfTrainTestlist"
    train, test = [], []
    for number, action in enumerate(ACTIONS, 1):
        spelled = action.replace("HandstandPushups", "HandStandPushups")
        underscored = "".join(f"_{c}" if c.isupper() else c for c in action)[1:]
        for clip in range(1, 8):
            video = f"v_{spelled}_g01_c{clip:02}"
            picture(folder / f"UCF-101-midframes/{underscored}/{video}.jpg")
            if clip < 6:
                train.append(f"{action}/{video}.avi {number}")
            else:
                test.append(f"{action}/{video}.avi")
    text(lists / "classInd.txt", [f"{number} {action}" for number, action in enumerate(ACTIONS, 1)], end="\r\n")
    text(lists / "trainlist01.txt", train)
    text(lists / "testlist01.txt", test)
    return folder


RAW: dict[str, Callable[[Path], Path]] = {
    "caltech101": _caltech101,
    "oxford_pets": _oxford_pets,
    "stanford_cars": _stanford_cars,
    "oxford_flowers": _oxford_flowers,
    "food101": _food101,
    "fgvc_aircraft": _fgvc_aircraft,
    "sun397": _sun397,
    "dtd": _dtd,
    "eurosat": _eurosat,
    "ucf101": _ucf101,
}


def raw(root: Path, name: str) -> Path:
    """The set `name` with the annotations its authors gave, and no split file."""
    return RAW[name](root)
