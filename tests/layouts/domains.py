"""The sets with domains as they lie on disk, a few tiny images each."""

from collections.abc import Iterable
from pathlib import Path

from cliptune.datasets.sets import digits_dg, mini_domainnet, pacs, vlcs
from tests.layouts.imagenet import picture

LETTER_ORDER = ("Alarm_Clock", "Postit_Notes", "TV", "Table", "ToothBrush")
"""Office-Home's folders by code point: TV before Table"""
MINI_CLASSES = ("The_Eiffel_Tower", "aircraft_carrier", "teddy-bear")


def _sketch_is_png(domain: str, number: int) -> str:
    return f"pic_{number:03d}.png" if domain == "sketch" else f"pic_{number:03d}.jpg"


def pacs_folders(root: Path, folder: str = "PACS", per_class: int = 10) -> Path:
    """DomainBed's and ODG-CLIP's layout: no images/, no lists."""
    for domain in pacs.FACTS.domains:
        for name in pacs.CLASSES:
            for number in range(per_class):
                file = _sketch_is_png(domain, number)
                picture(root / folder / domain / name / file, kind="PNG" if domain == "sketch" else "JPEG")
    return root / folder


def pacs_dassl(root: Path) -> Path:
    """Dassl's layout: a training and a crossval image per class and domain; the faulty sketch is listed and there."""
    folder = root / "pacs"
    (folder / "splits").mkdir(parents=True)
    pacs_folders(folder, "images", per_class=2)
    picture(folder / "images" / pacs.LEFT_OUT, kind="PNG")
    for domain in pacs.FACTS.domains:
        for number, called in enumerate(("train", "crossval")):
            file = _sketch_is_png(domain, number)
            rows = [f"{domain}/{name}/{file} {label}" for label, name in enumerate(pacs.CLASSES, 1)]
            if domain == "sketch" and called == "train":
                rows.insert(0, f"{pacs.LEFT_OUT} 1")
            write_list(folder / "splits" / f"{domain}_{called}_kfold.txt", rows)
    return folder


def write_list(path: Path, rows: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return path


RAW = {"art": "Art", "clipart": "Clipart", "product": "Product", "real_world": "Real World"}


def office_home_raw(root: Path, folder: str = "OfficeHomeDataset_10072016", real: str = "Real World") -> Path:
    """As released: capital domains, one with a blank; an image list beside them. 10 images per class."""
    for name in [*list(RAW.values())[:3], real]:
        for kind in LETTER_ORDER:
            for number in range(1, 11):
                picture(root / folder / name / kind / f"{number:05d}.jpg")
    (root / folder / "ImageInfo.csv").write_text("Domain,Class\n")
    (root / folder / "imagelist.txt").write_text("Art/Alarm_Clock/00001.jpg\n")
    return root / folder


def office_home_parts(root: Path, folder: str = "office_home_dg", real: str = "real_world") -> Path:
    """Dassl's DG layout: train/ and val/; art has no Table in val, clipart has it nowhere."""
    for domain in ("art", "clipart", "product", real):
        for kind in LETTER_ORDER:
            for part, number in (("train", 1), ("train", 2), ("val", 3)):
                if kind == "Table" and (domain == "clipart" or (domain == "art" and part == "val")):
                    continue
                picture(root / folder / domain / part / kind / f"{number:05d}.jpg")
    return root / folder


def digits(root: Path, folder: str = "digits_dg") -> Path:
    for domain in digits_dg.FACTS.domains:
        for numeral in digits_dg.NUMERALS:
            picture(root / folder / domain / "train" / numeral / "1.jpg")
            picture(root / folder / domain / "val" / numeral / "2.jpg")
    return root / folder


def mini(root: Path, folder: str = "domainnet") -> Path:
    """The mini lists beside DomainNet's own ones and its other two domains; painting lacks the teddy-bear in train."""
    base = root / folder
    for domain in mini_domainnet.FACTS.domains:
        rows: dict[str, list[str]] = {"train": [], "test": []}
        for label, name in enumerate(MINI_CLASSES):
            for number, part in enumerate(rows):
                file = picture(base / domain / name / f"{domain}_{label:03d}_{number:06d}.jpg").name
                if (domain, name, part) != ("painting", "teddy-bear", "train"):
                    rows[part].append(f"{domain}/{name}/{file} {label}")
        for part, listed in rows.items():
            write_list(base / "splits_mini" / f"{domain}_{part}.txt", listed)
        write_list(base / "splits" / f"{domain}_train.txt", [f"{domain}/zigzag/none.jpg 344"])
    picture(base / "infograph" / "zigzag" / "infograph_344_000001.jpg")
    return base


def vlcs_numbers(root: Path) -> Path:
    """Capital domains, numbered classes, and `full`, which holds everything once more."""
    folder = root / "VLCS"
    for domain in vlcs.FACTS.domains:
        for label in range(5):
            for number, part in enumerate(("train", "crossval", "test")):
                picture(folder / domain.upper() / part / str(label) / f"{number}.jpg")
                picture(folder / domain.upper() / "full" / str(label) / f"{number}.jpg")
    return folder
