"""Your own images: a folder per class, the same under train/ and test/, or a CSV file.

photos/cat/1.jpg                                classes only: split here, 50 / 20 / 30 % per class
photos/train/cat/1.jpg  photos/test/cat/9.jpg   splits given; val/ (valid/, validation/) optional
photos.csv: image,label[,split]                 paths relative to the CSV's folder

Folders called '0007' or 'n01440764' can be given names for the prompts by a file beside them:

names.json: {"n01440764": "tench", "n01443537": "goldfish"}
names.txt:  n01440764 tench                     the first blank separates, as in ImageNet's classnames.txt
"""

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from cliptune.datasets.base import Augment, ImageSet, Item, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.images import IMAGE_SUFFIXES, read_file
from cliptune.errors import UserError
from cliptune.registry import nearest

_VAL_NAMES = ("val", "validation", "valid")
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
    path = Path(path).expanduser()
    if not path.exists():
        raise _missing(path)
    notes: tuple[str, ...] = ()
    if path.is_dir():
        root, found = path, _read_folder(path)
    elif path.suffix.lower() == ".csv":
        root, (found, notes) = path.parent, _read_csv(path, missing)
    else:
        raise UserError(f"{path} is neither a folder nor a CSV file", f"unpack it or give a folder: {_LAYOUT}")
    classes = _classes(found, path)
    splits, split = _complete(found, seed)
    items = {name: _items(pairs, classes) for name, pairs in splits.items()}
    return ImageSet(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        classes=classes if names is None else _named(classes, Path(names).expanduser()),
        read=partial(_read, root),
        train=items["train"],
        val=items["val"],
        test=items["test"],
        augment=Augment(kind="photo"),
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


def _read_folder(path: Path) -> Splits:
    folders = {folder.name.lower(): folder for folder in _folders(path)}
    if "train" in folders and "test" in folders:
        val = [folders[name] for name in _VAL_NAMES if name in folders]
        if len(val) > 1:
            raise UserError(f"{path} has both '{val[0].name}' and '{val[1].name}'", "keep one of them for validation")
        given = {"train": folders["train"], "test": folders["test"]} | ({"val": val[0]} if val else {})
        return {name: _class_folders(folder, path) for name, folder in given.items()}
    if "train" in folders and set(folders) <= {"train", *_VAL_NAMES}:
        raise UserError(
            f"{path} has a train folder but no test folder",
            "rename the validation folder to test (validation images are then cut off train), or add test/",
        )
    return {"": _class_folders(path, path)}


def _folders(path: Path) -> list[Path]:
    """Sorted by code point; hidden ones and what macOS leaves in archives are skipped."""
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    return [path / name for name in names if not name.startswith(".") and name != "__MACOSX"]


def _class_folders(path: Path, root: Path) -> list[tuple[str, str]]:
    folders = _folders(path)
    if not folders:
        loose = "images but " if any(_is_image(entry.name) for entry in os.scandir(path)) else ""
        raise UserError(
            f"{path} has {loose}no class folders", f"make {_LAYOUT}, or list them in a CSV with columns image,label"
        )
    pairs = []
    for folder in folders:
        images = _images_below(folder)
        if not images:
            raise UserError(
                f"{folder} has no images, so class '{folder.name}' is empty",
                f"add images ({', '.join(sorted(IMAGE_SUFFIXES))}) or remove the folder",
            )
        pairs += [(image.relative_to(root).as_posix(), folder.name) for image in images]
    return pairs


def _images_below(folder: Path) -> list[Path]:
    found = []
    for where, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(where, name) for name in names if _is_image(name)]
    return sorted(found, key=lambda image: image.relative_to(folder).as_posix())


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _read_csv(path: Path, missing: Missing) -> tuple[Splits, tuple[str, ...]]:
    """The images by split, and a note on those that are listed and not there."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
            if absent := [name for name in ("image", "label") if name not in columns]:
                raise UserError(
                    f"{path} has no column '{absent[0]}' (its first line: {', '.join(reader.fieldnames or ())})",
                    "begin it with the line image,label or image,label,split, separated by commas",
                )
            rows = [(reader.line_num, *_row(row, columns, f"{path}:{reader.line_num}")) for row in reader]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason}", "save it as CSV UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file: {error}", "save it as CSV UTF-8, separated by commas") from error
    gone = _check_rows(rows, path)
    found = defaultdict(list)
    for _, image, label, split in rows:
        if image not in gone:
            found[split].append((image, label))
    if not gone:
        return found, ()
    if missing == "refuse":
        raise _absent_files(path, gone)
    return found, (f"{_absent_files(path, gone).what}; left out",)


def _absent_files(path: Path, absent: Mapping[str, int]) -> UserError:
    """What to say of images that a CSV lists and that are not there; by their line."""
    count = "1 listed file does" if len(absent) == 1 else f"{len(absent):,} listed files do"
    first = next(iter(absent))
    return UserError(
        f"{path}: {count} not exist, first '{first}' (line {absent[first]})",
        f"paths are read relative to {path.parent.resolve()}; --set data.missing=skip leaves them out",
    )


def _row(row: Mapping[str, str | None], columns: Mapping[str, str], where: str) -> tuple[str, str, str]:
    image, label = ((row[columns[name]] or "").strip() for name in ("image", "label"))
    if not image or not label:
        raise UserError(f"{where}: {'label' if image else 'image'} is empty", "fill it in or remove the line")
    split = (row[columns["split"]] or "").strip() if "split" in columns else ""
    if "split" in columns and split not in _SPLITS:
        raise UserError(f"{where}: split = '{split}'", f"one of: {', '.join(_SPLITS)}")
    return Path(os.path.normpath(image)).as_posix(), label, split


def _check_rows(rows: Sequence[tuple[int, str, str, str]], path: Path) -> dict[str, int]:
    """Listed images that are not there, with their lines; refuses one that is listed twice."""
    lines: dict[str, int] = {}
    for line, image, _, _ in rows:
        if image in lines:
            raise UserError(f"{path}:{line}: '{image}' is listed twice, first on line {lines[image]}", "keep one line")
        lines[image] = line
    return {image: line for image, line in lines.items() if not (path.parent / image).is_file()}


def _classes(found: Splits, path: Path) -> tuple[str, ...]:
    """Sorted by code point; refuses what no classifier can be trained or measured on."""
    names = {split: {label for _, label in pairs} for split, pairs in found.items()}
    classes = sorted(set().union(*names.values()))
    if not classes:
        raise UserError(f"{path} lists no images", "add a line image,label for each image")
    if len(classes) == 1:
        raise UserError(f"{path} has one class, '{classes[0]}'", f"give at least two: {_LAYOUT}")
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


def _named(folders: Sequence[str], path: Path) -> tuple[str, ...]:
    """The name of each folder, in their order."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened: {error.strerror or error}", "give the file that names the classes"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason}", "save it as UTF-8") from error
    is_json = path.suffix.lower() == ".json" or text.lstrip().startswith("{")
    names = _names_of_json(text, path) if is_json else _names_of_lines(text, path)
    _check_names(names, folders, path)
    return tuple(names[folder] for folder in folders)


def _names_of_json(text: str, path: Path) -> dict[str, str]:
    wanted = 'write {"folder": "name for the prompt"}, a name for each folder'
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}", wanted) from error
    if not isinstance(pairs, tuple):
        raise UserError(f"{path} is not a JSON object", wanted)
    names: dict[str, str] = {}
    for folder, name in pairs:
        if not isinstance(name, str):
            raise UserError(f"{path}: the name of '{folder}' is not text in quotes", wanted)
        if folder in names:
            raise UserError(f"{path} names '{folder}' twice", "keep one of the two")
        names[folder] = " ".join(name.split())
    return names


def _names_of_lines(text: str, path: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.split(maxsplit=1)
        if not parts:
            continue
        folder = parts[0]
        if folder in names:
            raise UserError(f"{path}:{number}: '{folder}' is named twice", "keep one of the two lines")
        names[folder] = " ".join(parts[1].split()) if len(parts) > 1 else ""
    return names


def _check_names(names: Mapping[str, str], folders: Sequence[str], path: Path) -> None:
    """Refuses a name for no folder, a folder without a name, and two names that make one prompt."""
    if strange := [folder for folder in names if folder not in folders]:
        close = nearest(strange[0], [folder for folder in folders if folder not in names])
        if any(folder.startswith(f"{strange[0]} ") for folder in folders):
            fix = 'name folders that have blanks in JSON: {"my folder": "name for the prompt"}'
        else:
            fix = f"did you mean '{close[0]}'?" if close else "remove it, or name each class folder as it is spelled"
        more = f", nor are {len(strange) - 1:,} others" if len(strange) > 1 else ""
        raise UserError(f"{path}: '{strange[0]}' is no class folder{more}", fix)
    if unnamed := [folder for folder in folders if not names.get(folder)]:
        more = f", nor have {len(unnamed) - 1:,} others" if len(unnamed) > 1 else ""
        raise UserError(f"{path}: class folder '{unnamed[0]}' has no name{more}", "add a name for each folder")
    first: dict[str, str] = {}
    for folder in folders:
        alike = names[folder].replace("_", " ").casefold()
        if alike in first:
            raise UserError(
                f"{path}: '{first[alike]}' and '{folder}' are both '{names[folder]}'; their prompts would be the same",
                "give them different names, or put their images in one folder",
            )
        first[alike] = folder
