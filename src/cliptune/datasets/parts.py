"""Which of the folders in a folder are parts of a data set (train, val, test), and which are classes."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cliptune.counted import these
from cliptune.datasets.images import IMAGE_SUFFIXES, printable
from cliptune.datasets.places import UNREAD_SUFFIXES, folders_in, has_images, images_below, part_of
from cliptune.errors import UserError

LAYOUT = "one folder per class with the images in it"
_UNSORTED = frozenset(("unlabeled", "unlabelled", "unsorted", "untagged", "unclassified", "unannotated", "nolabel"))
"""names of folders whose images have no label yet"""


def folders_of_images(path: Path) -> list[Path]:
    """The folders in a folder without those that hold runs: who works among his images has runs/ beside the classes."""
    return [folder for folder in folders_in(path) if not _holds_runs(folder)]


def _holds_runs(folder: Path) -> bool:
    """Whether a folder is a run or holds some, and has no images of its own."""
    return any((place / "run.json").is_file() for place in (folder, *folders_in(folder))) and not has_images(folder)


def part_folders(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Folders by the part they mean. Empty where these are classes: a part has class folders in it and no images of its
    own, and other folders stand beside parts only where train and test are both there ('bus', 'car', 'train')."""
    parts: dict[str, list[Path]] = {}
    for folder in folders:
        part = part_of(folder.name)
        if part is not None and _holds_folders_only(folder):
            parts.setdefault(part, []).append(folder)
    alone = sum(len(several) for several in parts.values()) == len(folders)
    return parts if alone or {"train", "test"} <= parts.keys() else {}


def _holds_folders_only(folder: Path) -> bool:
    return bool(folders_in(folder)) and not has_images(folder)


def inside(part: Path) -> Path:
    """A part's class folders, also where an archive put them one folder deeper: seg_train/seg_train/buildings."""
    below = folders_in(part)
    if len(below) == 1 and _holds_folders_only(below[0]):
        return below[0]
    return part


def refuse_parts_without_labels(path: Path, folders: Sequence[Path]) -> None:
    """Two parts and nothing else, of which one holds its images without folders: their labels are not known, or in a
    list. Beside folders of other names they may be classes."""
    named = {part: folder for folder in folders if (part := part_of(folder.name))}
    flat = [folder for folder in named.values() if has_images(folder)]
    if len(named) < 2 or not flat or (len(flat) == len(named) < len(folders)):
        return
    loose, called = has_images(flat[0]), printable(flat[0].name)
    if any(images_below(folder) for folder in folders_in(flat[0])):
        raise UserError(
            f"{path}: {these(loose, 'image is', 'images are')} directly in '{called}', not in one of its class folders",
            f"move each into a class folder, or out of {called}",
        )
    told = f"{path}: '{called}' means a part, and its images are in no class folders"
    if lists := lists_in(path):
        raise UserError(told, f"give a list with columns image,label,split, as {lists[0]} may become")
    sort = "sort them into a folder per class, or list them in a CSV with columns image,label,split"
    labelled = next((folder for folder in named.values() if folder not in flat), None)
    raise UserError(told, f"{sort}; without labels, give only {printable(labelled)}" if labelled else sort)


def lists_in(path: Path) -> list[str]:
    """Tables in a folder, which may say what its images show."""
    tables = (entry for entry in path.iterdir() if entry.suffix.lower() in (".csv", ".tsv")) if path.is_dir() else ()
    return sorted(printable(table) for table in tables)


def refuse_parts_taken_for_classes(path: Path, folders: Sequence[Path]) -> None:
    """Folders that hold no images but folders of the same names are parts, or folds, under names we do not know."""
    if len(folders) == 1 and _holds_folders_only(folders[0]):
        raise UserError(
            f"{path} holds one folder, '{printable(folders[0].name)}', which holds folders", f"give {folders[0]}"
        )
    if len(folders) < 2 or not all(_holds_folders_only(folder) for folder in folders):
        return
    below = [{inner.name for inner in folders_in(folder)} for folder in folders]
    every, common = set.union(*below), set.intersection(*below)
    turned = len({part_of(name) for name in every} - {None}) > 1 and all(map(part_of, every))
    mostly = len(common) > 1 and 2 * len(common) >= max(map(len, below))
    if not (turned or mostly or (common and any(part_of(folder.name) == "train" for folder in folders))):
        return
    if empty := next((folder for folder in folders if not images_below(folder)), None):
        raise empty_class(empty)
    first, second = (printable(folder.name) for folder in folders[:2])
    shared = ", ".join(printable(name) for name in sorted(common or every)[:3])
    raise UserError(
        f"{path}: '{first}' and '{second}' hold folders of the same names ({shared} …) and no images of their own",
        f"put parts above classes: train/{first}/, test/{first}/ and so on"
        if turned
        else "name them train/, test/ and perhaps val/, or give one of them",
    )


def refuse_part_beside_classes(path: Path, folders: Sequence[Path]) -> None:
    """A folder that holds folders called as the classes beside it is a part, or another copy of them."""
    names = {folder.name for folder in folders}
    for folder in folders:
        shared = sorted({below.name for below in folders_in(folder)} & (names - {folder.name}))
        if _holds_folders_only(folder) and (len(shared) > 1 or (shared and part_of(folder.name))):
            called = ", ".join(f"'{printable(name)}'" for name in shared[:3])
            raise UserError(
                f"{path}: '{printable(folder.name)}' holds folders called as the classes beside it ({called})",
                "put the class folders beside it into train/ and call it test/ or val/, or move it away",
            )


def doubtful_classes(folders: Sequence[Path]) -> list[str]:
    """Notes on folders that count as classes, although they are called as what is none."""
    named = [folder.name for folder in folders if part_of(folder.name) in ("val", "test")]
    notes = []
    if named and len(named) < len(folders):
        told = " and ".join(f"'{printable(name)}'" for name in named)
        notes.append(
            f"{told}: taken for a class; if it is a part, sort it into class folders, and the others into train/"
        )
    for folder in folders:
        if re.sub(r"[\W_]", "", folder.name.lower()) in _UNSORTED:
            notes.append(f"'{printable(folder.name)}': taken for a class; if its images have no label, move it away")
    return notes


def empty_class(folder: Path) -> UserError:
    """What to say of a class folder without images, by what it holds instead."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    there = Counter(path.suffix.lower() for path in files)
    held = ", ".join(f"{count:,} {suffix or 'without an ending'}" for suffix, count in there.most_common(3))
    held = f" ({held})" if held else ""
    name = printable(folder.name)
    fix = "add images (.jpg, .png, .tif and others) or remove the folder"
    if there.keys() & IMAGE_SUFFIXES:
        fix = "move them out of folders for smaller copies and hidden ones, or remove the folder"
    elif there.keys() & UNREAD_SUFFIXES:
        fix = "convert its pictures to .jpg or .png, or remove the folder"
    elif there and there.keys() <= {".txt", ".xml", ".json"}:
        fix = f"if these are boxes around objects, which are not read: make {LAYOUT}; else remove the folder"
    return UserError(
        f"{printable(folder)} has no images that are read{held}, so class '{name}' is empty",
        fix,
    )
