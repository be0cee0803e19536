"""Your own images: a folder per class, the same under train/ and test/, or a CSV file.

photos/cat/1.jpg                                classes only: split here, 50 / 20 / 30 % per class
photos/train/cat/1.jpg  photos/test/cat/9.jpg   splits given; val/ (valid/, validation/) optional
photos.csv: image,label[,split]                 paths relative to the CSV's folder; `listed` reads it

Folders called '0007' or 'n01440764' can be given names for the prompts by a file beside them:

names.json: {"n01440764": "tench", "n01443537": "goldfish"}
names.txt:  n01440764 tench                     the first blank separates, as in ImageNet's classnames.txt
"""

import re
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
from cliptune.datasets.parts import (
    LAYOUT,
    doubtful_classes,
    empty_class,
    folders_of_images,
    inside,
    lists_in,
    part_folders,
    refuse_part_beside_classes,
    refuse_parts_taken_for_classes,
    refuse_parts_without_labels,
)
from cliptune.datasets.places import (
    UNREAD_SUFFIXES,
    LeftOut,
    has_images,
    images_below,
    note_beside,
    prompt_key,
    same_names,
)
from cliptune.errors import UserError
from cliptune.files import instead_of_address, user_path
from cliptune.registry import nearest

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
    return UserError(f"{path} is neither a folder nor a CSV file", f"{fix}: {LAYOUT}")


def _missing(path: Path) -> UserError:
    if _ADDRESS.match(str(path)):
        return UserError(f"{path} is an address, and data is read from disk", instead_of_address(str(path)))
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, [name for name in siblings if not name.startswith(".")])
    fix = f"did you mean '{path.parent / close[0]}'?" if close else f"give a CSV file or a folder: {LAYOUT}"
    return UserError(f"{path} does not exist", fix)


def _read_folder(path: Path) -> tuple[Splits, tuple[str, ...]]:
    """The images by split, and notes on what was guessed or left out."""
    folders, left_out = folders_of_images(path), LeftOut()
    parts = part_folders(folders)
    if not parts:
        _refuse_masks(path)
        refuse_parts_without_labels(path, folders)
        refuse_parts_taken_for_classes(path, folders)
        refuse_part_beside_classes(path, folders)
        pairs = _class_folders(path, path, left_out)
        return {"": pairs}, (*doubtful_classes(folders), *left_out.notes())
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
    if loose := note_beside(path, left_out):
        left_out.beside[printable(path.name)] = loose
    splits = {part: _class_folders(inside(several[0]), path, left_out) for part, several in parts.items()}
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


def _refuse_masks(path: Path) -> None:
    """A folder of images and one of their masks are no two classes."""
    from cliptune.datasets.mask_sets._layout import is_home

    if is_home(path):
        told = f"{path} seems to hold images and their masks, not classes"
        raise UserError(told, "open it with cliptune.masks(…) or --task segment; if these are classes, rename them")


def _class_folders(path: Path, root: Path, left_out: LeftOut) -> list[tuple[str, str]]:
    folders = folders_of_images(path)
    if not folders:
        loose = has_images(path)
        what = f"{path} has {'images but ' if loose else ''}no class folders"
        if lists := lists_in(path):
            raise UserError(what, f"give the list {lists[0]} (columns image and label), or make {LAYOUT}")
        raise UserError(
            what,
            f"make {LAYOUT}, or list them in a CSV with columns image,label"
            + (f"; if it is one class, give {path.resolve().parent}" if loose else ""),
        )
    if loose := note_beside(path, left_out):
        left_out.beside[printable(path.relative_to(root.parent).as_posix())] = loose
    pairs = []
    for folder in folders:
        images = images_below(folder, left_out, [other for other in folders if other != folder])
        if not images:
            raise empty_class(folder)
        pairs += [(image.relative_to(root).as_posix(), folder.name) for image in images]
        left_out.deeper += [image.relative_to(path).as_posix() for image in images if image.parent != folder]
    return pairs


def _classes(found: Splits, path: Path, named: bool) -> tuple[str, ...]:
    """Sorted by code point; refuses what no classifier can be trained or measured on. `named`: prompts have names of
    their own."""
    names = {split: {label for _, label in pairs} for split, pairs in found.items()}
    classes = sorted(set().union(*names.values()))
    if not classes:
        raise UserError(f"{path} lists no images", "add a line image,label for each image")
    if len(classes) == 1:
        lists = lists_in(path)
        fix = f"if {lists[0]} has columns image and label, give that" if lists else f"give at least two: {LAYOUT}"
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
