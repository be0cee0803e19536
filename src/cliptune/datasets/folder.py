"""Your own images: a folder per class, the same under train/ and test/, or a CSV file.

photos/cat/1.jpg                                classes only: split here, 50 / 20 / 30 % per class
photos/train/cat/1.jpg  photos/test/cat/9.jpg   splits given; val/ (valid/, validation/) optional
photos.csv: image,label[,split]                 paths relative to the CSV's folder

Folders called '0007' or 'n01440764' can be given names for the prompts by a file beside them:

names.json: {"n01440764": "tench", "n01443537": "goldfish"}
names.txt:  n01440764 tench                     the first blank separates, as in ImageNet's classnames.txt
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from cliptune.datasets.base import Augment, ImageSet, Item, Missing
from cliptune.datasets.class_names import read_names
from cliptune.datasets.cutting import cut
from cliptune.datasets.images import IMAGE_SUFFIXES, printable, read_file
from cliptune.datasets.places import (
    LeftOut,
    folders_in,
    images_below,
    is_image,
    part_of,
    same_names,
    spelled_on_disk,
)
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.registry import nearest
from cliptune.texts import Row, read_table

_SPLITS = ("train", "val", "test")
_LAYOUT = "one folder per class with the images in it"

Splits = Mapping[str, Sequence[tuple[str, str]]]
"""split → (image path relative to the root, class name)"""


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
    elif path.suffix.lower() == ".csv":
        root, (found, notes) = path.parent, _read_csv(path, missing)
    else:
        raise UserError(f"{path} is neither a folder nor a CSV file", f"unpack it or give a folder: {_LAYOUT}")
    classes = _classes(found, path, names is not None)
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


def _missing(path: Path) -> UserError:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, [name for name in siblings if not name.startswith(".")])
    fix = f"did you mean '{path.parent / close[0]}'?" if close else f"give a CSV file or a folder: {_LAYOUT}"
    return UserError(f"{path} does not exist", fix)


def _read_folder(path: Path) -> tuple[Splits, tuple[str, ...]]:
    """The images by split, and notes on what was guessed or left out."""
    folders = folders_in(path)
    parts = _part_folders(folders)
    left_out = LeftOut()
    if not parts:
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
        notes.append(f"left out beside the parts: {names}{', …' if len(others) > 5 else ''} ({images:,} images)")
    return splits, (*notes, *left_out.notes())


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
    return bool(folders_in(folder)) and not any(is_image(entry.name) for entry in os.scandir(folder))


def _inside(part: Path) -> Path:
    """A part's class folders, also where an archive put them one folder deeper: seg_train/seg_train/buildings."""
    below = folders_in(part)
    if len(below) == 1 and _holds_folders_only(below[0]):
        return below[0]
    return part


def _refuse_parts_taken_for_classes(path: Path, folders: Sequence[Path]) -> None:
    """Folders that hold no images but folders of the same names are parts, or folds, under names we do not know."""
    if len(folders) == 1 and _holds_folders_only(folders[0]):
        raise UserError(
            f"{path} holds one folder, '{printable(folders[0].name)}', which holds folders", f"give {folders[0]}"
        )
    if len(folders) < 2 or not all(_holds_folders_only(folder) for folder in folders):
        return
    inside = [{below.name for below in folders_in(folder)} for folder in folders]
    if all(names == inside[0] for names in inside) and len(inside[0]) > 1:
        first, second = (printable(folder.name) for folder in folders[:2])
        shared = ", ".join(printable(name) for name in sorted(inside[0])[:3])
        raise UserError(
            f"{path}: '{first}' and '{second}' hold folders of the same names ({shared} …) and no images of their own",
            "name them train/, test/ and perhaps val/, or give one of them",
        )


def _class_folders(path: Path, root: Path, left_out: LeftOut) -> list[tuple[str, str]]:
    folders = folders_in(path)
    loose = sum(is_image(entry.name) for entry in os.scandir(path))
    if not folders:
        raise UserError(
            f"{path} has {'images but ' if loose else ''}no class folders",
            f"make {_LAYOUT}, or list them in a CSV with columns image,label",
        )
    if loose:
        left_out.beside[printable(path.relative_to(root.parent).as_posix())] = loose
    pairs = []
    for folder in folders:
        images = images_below(folder, left_out)
        if not images:
            raise UserError(
                f"{printable(folder)} has no images that are read, so class '{printable(folder.name)}' is empty",
                f"add images ({', '.join(sorted(IMAGE_SUFFIXES))}) or remove the folder",
            )
        pairs += [(image.relative_to(root).as_posix(), folder.name) for image in images]
    return pairs


def _read_csv(path: Path, missing: Missing) -> tuple[Splits, tuple[str, ...]]:
    """The images by split, and notes on what was guessed or left out."""
    rows = [_row(row, path) for row in read_table(path, ("image", "label"), ("split",))]
    has_splits = any(split for _, _, _, split in rows)
    part_words = {split: part_of(split) for _, _, _, split in rows if split}
    gone: dict[str, int] = {}
    lines: dict[str, int] = {}
    respelled = 0
    splits: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line, image, label, split in rows:
        part = part_words.get(split) or ""
        if has_splits and not part:
            what = f"split = '{split}'" if split else "split is empty"
            raise UserError(f"{path}:{line}: {what}", f"one of: {', '.join(_SPLITS)}")
        spelled = spelled_on_disk(path.parent, image)
        respelled += spelled not in (None, os.path.normpath(image))
        place = image if spelled is None else spelled
        if place in lines:
            raise UserError(f"{path}:{line}: '{place}' is listed twice, first on line {lines[place]}", "keep one line")
        lines[place] = line
        if spelled is None:
            gone[image] = line
        else:
            splits[part].append((spelled, label))
    if gone and missing == "refuse":
        raise _absent_files(path, gone)
    notes = [f"{_absent_files(path, gone).what}; left out"] if gone else []
    if respelled:
        what = "1 path is" if respelled == 1 else f"{respelled:,} paths are"
        notes.append(f"{what} spelled otherwise on the disk (back-slashes, or the form of accents)")
    if renamed := [f"'{word}' for {part}" for word, part in part_words.items() if part and word != part]:
        notes.append(f"split: {', '.join(renamed)}")
    return splits, tuple(notes)


def _absent_files(path: Path, absent: Mapping[str, int]) -> UserError:
    """What to say of images that a CSV lists and that are not there; by their line."""
    count = "1 listed file does" if len(absent) == 1 else f"{len(absent):,} listed files do"
    first = next(iter(absent))
    return UserError(
        f"{path}: {count} not exist, first '{first}' (line {absent[first]})",
        f"paths are read relative to {path.parent.resolve()}; --set data.missing=skip leaves them out",
    )


def _row(row: Row, path: Path) -> tuple[int, str, str, str]:
    """Line, image, label and split of a row."""
    image, label = row.fields["image"], row.fields["label"]
    if not image or not label:
        raise UserError(f"{path}:{row.line}: {'label' if image else 'image'} is empty", "fill it in or remove the line")
    return row.line, image, label, row.fields["split"]


def _classes(found: Splits, path: Path, named: bool) -> tuple[str, ...]:
    """Sorted by code point; refuses what no classifier can be trained or measured on. `named`: prompts have names of
    their own."""
    names = {split: {label for _, label in pairs} for split, pairs in found.items()}
    classes = sorted(set().union(*names.values()))
    if not classes:
        raise UserError(f"{path} lists no images", "add a line image,label for each image")
    if len(classes) == 1:
        raise UserError(f"{path} has one class, '{printable(classes[0])}'", f"give at least two: {_LAYOUT}")
    if not named and (alike := same_names(classes)):
        raise UserError(
            f"{path}: classes '{alike[0]}' and '{alike[1]}' would have the same prompt",
            "give them one label, or different names with data.names",
        )
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
