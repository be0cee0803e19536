"""Your own images: a folder per class, the same under train/ and test/, or a CSV file.

photos/cat/1.jpg                                classes only: split here, 50 / 20 / 30 % per class
photos/train/cat/1.jpg  photos/test/cat/9.jpg   splits given; val/ (valid/, validation/) optional
photos.csv: image,label[,split]                 paths relative to the CSV's folder; `listed` reads it

Folders called '0007' or 'n01440764' can be given names for the prompts by a file beside them:

names.json: {"n01440764": "tench", "n01443537": "goldfish"}
names.txt:  n01440764 tench                     the first blank separates, as in ImageNet's classnames.txt
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from cliptune.counted import these
from cliptune.datasets import TABLES
from cliptune.datasets.base import Augment, ImageSet, Item, Missing
from cliptune.datasets.class_names import read_names, remarks_on
from cliptune.datasets.cutting import cut
from cliptune.datasets.images import IMAGE_SUFFIXES, printable, read_file
from cliptune.datasets.listed import Splits, read_csv
from cliptune.datasets.places import (
    UNREAD_SUFFIXES,
    LeftOut,
    folders_in,
    has_images,
    images_below,
    part_of,
    prompt_key,
    same_names,
)
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.registry import nearest

_LAYOUT = "one folder per class with the images in it"
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.I)


def load(path: Path, seed: int = 0, names: str | Path | None = None, missing: Missing = "refuse") -> ImageSet:
    """An ImageSet of the images in a folder or listed in a CSV file.

    Where the user gives no splits they are drawn per class, from `seed` and each image's relative path alone.

    Args:
        names: a file with the class name of every folder (of every label, for a CSV). Only what goes into the prompt
            changes: the classes stay in the order of the folders, so labels and splits are the same without it.
        missing: 'skip' leaves out what a CSV lists and is not there, with a note.

    Raises:
        UserError: nothing is there, its layout has no meaning, or `names` does not fit; names what is wrong.
    """
    path = user_path(path)
    if not path.exists():
        raise _missing(path)
    if path.is_dir():
        root, (found, notes) = path, _read_folder(path)
    elif path.suffix.lower() in TABLES:
        root, (found, notes) = path.parent, read_csv(path, missing)
    else:
        raise _no_data(path)
    classes = _classes(found, path, names is not None)
    notes += () if names is not None else tuple(remarks_on(classes))
    splits, split = _complete(found, seed)
    items = {name: _items(pairs, classes) for name, pairs in splits.items()}
    root = root.absolute()  # images are read later, perhaps after a change of directory
    return ImageSet(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        classes=classes if names is None else read_names(classes, user_path(names)),
        read=partial(_read, root),
        train=items["train"],
        val=items["val"],
        test=items["test"],
        augment=Augment(kind="auto"),
        root=str(root),
        split=split,
        about="your own images",
        source=str(path),
        split_seed=seed,
        notes=notes,
    )


def _read(root: Path, item: Item) -> Image.Image:
    return read_file(root / item.path)


def _no_data(path: Path) -> UserError:
    """What to say of a file that is no list of images."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return UserError(f"{path} is one image", f"give the folder above the class folders, as {path.parent.parent}")
    if suffix in _SPREADSHEETS:
        return UserError(f"{path} is a spreadsheet", "save it as CSV (UTF-8) with columns image and label")
    fix = "unpack it and give the folder" if suffix in UNREAD_SUFFIXES else "give a folder"
    return UserError(f"{path} is neither a folder nor a CSV file", f"{fix}: {_LAYOUT}")


def _missing(path: Path) -> UserError:
    if _ADDRESS.match(str(path)):
        return UserError(f"{path} is an address, and data is read from disk", "download it and give its folder")
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, [name for name in siblings if not name.startswith(".")])
    fix = f"did you mean '{path.parent / close[0]}'?" if close else f"give a CSV file or a folder: {_LAYOUT}"
    return UserError(f"{path} does not exist", fix)


def _read_folder(path: Path) -> tuple[Splits, tuple[str, ...]]:
    """The images by split, and notes on what was guessed or left out."""
    folders, left_out = _folders_of_images(path), LeftOut()
    parts = _part_folders(folders)
    if not parts:
        _refuse_masks(path)
        _refuse_parts_without_labels(path, folders)
        _refuse_parts_taken_for_classes(path, folders)
        return {"": _class_folders(path, path, left_out)}, tuple(left_out.notes())
    for part, several in parts.items():
        if len(several) > 1:
            raise UserError(
                f"{path} has both '{several[0].name}' and '{several[1].name}', which mean {part}", "keep one of them"
            )
    if missing := [part for part in ("train", "test") if part not in parts]:
        there = " and ".join(f"'{several[0].name}'" for several in parts.values())
        fix = "rename the validation folder to test (validation images are then cut off train), or add test/"
        raise UserError(
            f"{path} has {there} but no {missing[0]} folder",
            fix if "val" in parts and missing == ["test"] else f"add {missing[0]}/, or give a folder of classes",
        )
    splits = {part: _class_folders(_inside(several[0]), path, left_out) for part, several in parts.items()}
    notes = [
        f"'{several[0].name}' was taken for the {part} images"
        for part, several in parts.items()
        if several[0].name.lower() != part
    ]
    used = {folder for several in parts.values() for folder in several}
    if others := [folder for folder in folders if folder not in used]:
        images = sum(len(images_below(folder)) for folder in others)
        names = ", ".join(f"'{printable(folder.name)}'" for folder in others[:5])
        notes.append(f"left out beside the parts: {names}{', …' if len(others) > 5 else ''} ({these(images, 'image')})")
    return splits, (*notes, *left_out.notes())


def _folders_of_images(path: Path) -> list[Path]:
    """The folders in a folder without those that hold runs: who works among his images has runs/ beside the classes."""
    return [folder for folder in folders_in(path) if not _holds_runs(folder)]


def _holds_runs(folder: Path) -> bool:
    return any((place / "run.json").is_file() for place in (folder, *folders_in(folder)))


def _part_folders(folders: Sequence[Path]) -> dict[str, list[Path]]:
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


def _inside(part: Path) -> Path:
    """A part's class folders, also where an archive put them one folder deeper: seg_train/seg_train/buildings."""
    below = folders_in(part)
    if len(below) == 1 and _holds_folders_only(below[0]):
        return below[0]
    return part


def _refuse_masks(path: Path) -> None:
    """A folder of images and one of their masks are no two classes."""
    from cliptune.datasets.mask_sets._layout import is_home

    if is_home(path):
        told = f"{path} seems to hold images and their masks, not classes"
        raise UserError(told, "open it with cliptune.masks(…) or --task segment; if these are classes, rename them")


def _refuse_parts_without_labels(path: Path, folders: Sequence[Path]) -> None:
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
    if lists := _lists_in(path):
        raise UserError(told, f"give a list with columns image,label,split, as {lists[0]} may become")
    sort = "sort them into a folder per class, or list them in a CSV with columns image,label,split"
    labelled = next((folder for folder in named.values() if folder not in flat), None)
    raise UserError(told, f"{sort}; without labels, give only {printable(labelled)}" if labelled else sort)


def _lists_in(path: Path) -> list[str]:
    """Tables in a folder, which may say what its images show."""
    tables = (entry for entry in path.iterdir() if entry.suffix.lower() in (".csv", ".tsv")) if path.is_dir() else ()
    return sorted(printable(table) for table in tables)


def _refuse_parts_taken_for_classes(path: Path, folders: Sequence[Path]) -> None:
    """Folders that hold no images but folders of the same names are parts, or folds, under names we do not know."""
    if len(folders) == 1 and _holds_folders_only(folders[0]):
        raise UserError(
            f"{path} holds one folder, '{printable(folders[0].name)}', which holds folders", f"give {folders[0]}"
        )
    if len(folders) < 2 or not all(_holds_folders_only(folder) for folder in folders):
        return
    inside = [{below.name for below in folders_in(folder)} for folder in folders]
    if not all(names == inside[0] for names in inside) or len(inside[0]) < 2:
        return
    if empty := next((folder for folder in folders if not images_below(folder)), None):
        raise _empty(empty)
    first, second = (printable(folder.name) for folder in folders[:2])
    shared = ", ".join(printable(name) for name in sorted(inside[0])[:3])
    turned = all(part_of(name) for name in inside[0])
    raise UserError(
        f"{path}: '{first}' and '{second}' hold folders of the same names ({shared} …) and no images of their own",
        f"put parts above classes: train/{first}/, test/{first}/ and so on"
        if turned
        else "name them train/, test/ and perhaps val/, or give one of them",
    )


def _class_folders(path: Path, root: Path, left_out: LeftOut) -> list[tuple[str, str]]:
    folders = _folders_of_images(path)
    if not folders:
        loose = has_images(path)
        raise UserError(
            f"{path} has {'images but ' if loose else ''}no class folders",
            f"make {_LAYOUT}, or list them in a CSV with columns image,label"
            + (f"; if it is one class, give {path.resolve().parent}" if loose else ""),
        )
    if loose := has_images(path):
        left_out.beside[printable(path.relative_to(root.parent).as_posix())] = loose
    pairs = []
    for folder in folders:
        images = images_below(folder, left_out)
        if not images:
            raise _empty(folder)
        pairs += [(image.relative_to(root).as_posix(), folder.name) for image in images]
        left_out.deeper += [image.relative_to(path).as_posix() for image in images if image.parent != folder]
    return pairs


def _empty(folder: Path) -> UserError:
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
        fix = f"if these are boxes around objects, which are not read: make {_LAYOUT}; else remove the folder"
    return UserError(
        f"{printable(folder)} has no images that are read{held}, so class '{name}' is empty",
        fix,
    )


def _classes(found: Splits, path: Path, named: bool) -> tuple[str, ...]:
    """Sorted by code point; refuses what no classifier can be trained or measured on. `named`: prompts have names of
    their own."""
    names = {split: {label for _, label in pairs} for split, pairs in found.items()}
    classes = sorted(set().union(*names.values()))
    if not classes:
        raise UserError(f"{path} lists no images", "add a line image,label for each image")
    if len(classes) == 1:
        lists = _lists_in(path)
        fix = f"if {lists[0]} has columns image and label, give that" if lists else f"give at least two: {_LAYOUT}"
        raise UserError(f"{path} has one class, '{printable(classes[0])}'", fix)
    if not named:
        _refuse_same_prompts(classes, path)
    if "" not in names:
        for split in ("train", "test"):
            if split not in names:
                raise UserError(f"{path} has no {split} images", "add some, or leave the split column out")
        if untrained := [name for name in classes if name not in names["train"]]:
            raise UserError(
                f"{path}: class '{untrained[0]}' has no train images",
                "add some to train, or remove the class from the other splits",
            )
    return tuple(classes)


def _refuse_same_prompts(classes: Sequence[str], path: Path) -> None:
    if nameless := [name for name in classes if not prompt_key(name)]:
        raise UserError(
            f"{path}: class {nameless[0]!a} leaves nothing to put into a prompt", "rename it, or give data.names"
        )
    if alike := same_names(classes):
        look = ascii if prompt_key(alike[0]) != alike[0].casefold() and not all(map(str.isascii, alike)) else repr
        first, second = (look(printable(name)) for name in alike)
        raise UserError(
            f"{path}: classes {first} and {second} would have the same prompt",
            "give them one label, or different names with data.names",
        )


def _complete(found: Splits, seed: int) -> tuple[Splits, str]:
    """All three splits, and a word on where they come from."""
    if "" in found:
        return cut(found[""], val=0.2, test=0.3, seed=seed), f"made here, seed {seed}"
    if "val" in found:
        return found, "given"
    parts = cut(found["train"], val=0.2, test=0.0, seed=seed)
    return {**parts, "test": found["test"]}, f"given; val is 20 % of train, cut off here, seed {seed}"


def _items(pairs: Iterable[tuple[str, str]], classes: Sequence[str]) -> tuple[Item, ...]:
    label = {name: index for index, name in enumerate(classes)}
    return tuple(Item(path, label[name]) for path, name in pairs)
