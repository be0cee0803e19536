"""Your own images with masks: two folders, the same file names.

lesions/images/a.jpg       lesions/masks/a.png             any image suffix; black where there is nothing to mark
lesions/images/train/a.jpg lesions/masks/train/a.png       parts given: train, test and perhaps val;
lesions/train/images/a.jpg lesions/train/masks/a.png       … or so
lesions/prompts.csv: image,prompt                          'a.jpg,mole' (or 'train/a.jpg,mole'); p1 is then 'mole'

Several lines for an image are several texts, of which one is drawn. Without the file a prompt given with the folder is
p1 of every image; without either there is only p0, the empty one. A folder with anns/ is read as medvlsm's layout.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cliptune.datasets.base import Missing
from cliptune.datasets.images import IMAGE_SUFFIXES, printable
from cliptune.datasets.mask_sets._published import cut_items
from cliptune.datasets.medvlsm import ANNOTATIONS, open_layout
from cliptune.datasets.segmentation import MaskItem, MaskSet, of_files, word_prompts
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.registry import nearest

PROMPTS = "prompts.csv"
_VAL_NAMES = ("val", "validation", "valid")
_LAYOUT = "make images/ and masks/ in it, an image and its mask with the same file name"
_WORDLESS = (("p0", ("",)),)
_LEAST = 6
"""pairs from which a tenth can be cut off, twice"""


def load(path: Path, missing: Missing = "refuse", prompt: str | None = None) -> MaskSet:
    """A MaskSet of a folder.

    Args:
        missing: 'skip' leaves out images without a mask and masks without an image.
        prompt: what to look for, for images that prompts.csv does not name.

    Raises:
        UserError: no such layout, unpaired files, or a prompts.csv that does not fit; names what is wrong.
    """
    path = user_path(path)
    name = path.resolve().name
    if prompt is not None and not prompt.strip():
        raise UserError("the prompt is empty", "say what to look for, or leave the prompt out")
    if (path / ANNOTATIONS).is_dir():
        if prompt is not None:
            raise UserError(f"a prompt with {path}", f"its {ANNOTATIONS}/ has prompts; leave it out")
        return open_layout(name, path, missing)
    notes: list[str] = []
    found = {part: _pairs(path, part, *folders, missing, notes) for part, folders in _folders(path).items()}
    if not any(found.values()):
        raise UserError(f"{path} has no image with a mask", _LAYOUT)
    words = _words(path, [key for pairs in found.values() for key in pairs], missing, prompt)
    if not words and prompt is None:
        notes.append(f"no {PROMPTS} and no prompt: p0, the empty one, is all there is")
    items = {
        part: [_prompted(pairs[key], words.get(key, ()), prompt) for key in pairs] for part, pairs in found.items()
    }
    parts, split = _complete(path, items)
    return of_files(name, path, parts, split, missing, None, notes)


def _prompted(item: MaskItem, words: Sequence[str], prompt: str | None) -> MaskItem:
    if words:
        return replace(item, prompts=(("p0", ("",)), ("p1", tuple(words))))
    return replace(item, prompts=_WORDLESS if prompt is None else word_prompts(prompt))


def _complete(path: Path, items: Mapping[str, Sequence[MaskItem]]) -> tuple[Mapping[str, Sequence[MaskItem]], str]:
    """All three parts, and a word on where they come from."""
    if "" in items:
        if len(items[""]) < _LEAST:
            told = f"{path} has {len(items[''])} images with masks, too few to cut off val and test"
            raise UserError(told, f"add some ({_LEAST} at least), or sort them into train, val and test")
        return cut_items(items[""], unit=_path), "made here, 80/10/10"
    if "val" in items:
        return items, "given"
    parts = cut_items(items["train"], test=0.0, unit=_path) | {"test": tuple(items["test"])}
    return parts, "given; val is 10 % of train, cut off here"


def _path(item: MaskItem) -> str:
    return item.image


def _folders(path: Path) -> dict[str, tuple[str, str]]:
    """The folders of images and of masks by part, '' where no parts are given.

    Raises:
        UserError: no such folders; train without test; two that both mean val.
    """
    if (path / "images").is_dir() and (path / "masks").is_dir():
        below = _subfolders(path / "images")
        parts = _parts(path / "images", below)
        if not parts:
            return {"": ("images", "masks")}
        return {part: (f"images/{name}", f"masks/{name}") for part, name in parts.items()}
    parts = _parts(path, [name for name in _subfolders(path) if (path / name / "images").is_dir()])
    if not parts:
        there = next((name for name in ("images", "masks") if (path / name).is_dir()), "")
        lacks = f"no {'masks' if there == 'images' else 'images'}/" if there else "no folders images/ and masks/"
        raise UserError(f"{path} has {lacks}", _LAYOUT)
    return {part: (f"{name}/images", f"{name}/masks") for part, name in parts.items()}


def _subfolders(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir())


def _parts(where: Path, names: Sequence[str]) -> dict[str, str]:
    """Part → its folder; nothing where there is no folder train."""
    parts = {name.lower(): name for name in names if name.lower() in ("train", "test", *_VAL_NAMES)}
    if "train" not in parts:
        return {}
    if "test" not in parts:
        raise UserError(f"{where} has a train folder but no test folder", "add test/, or put all images in one folder")
    val = [parts[name] for name in _VAL_NAMES if name in parts]
    if len(val) > 1:
        raise UserError(f"{where} has both '{val[0]}' and '{val[1]}'", "keep one of them for validation")
    return {"train": parts["train"], "test": parts["test"]} | ({"val": val[0]} if val else {})


def _pairs(path: Path, part: str, images: str, masks: str, missing: Missing, notes: list[str]) -> dict[str, MaskItem]:
    """Items by image path below the folder of all images, 'train/a.jpg'.

    Raises:
        UserError: an image without a mask or a mask without an image, unless `missing` is 'skip'; two with one name.
    """
    shown, drawn = _files(path / images), _files(path / masks)
    for lacking, of, folder, what in (
        (sorted(shown.keys() - drawn.keys()), shown, images, "mask"),
        (sorted(drawn.keys() - shown.keys()), drawn, masks, "image"),
    ):
        if not lacking:
            continue
        told = f"{path / folder}: {_count(lacking)} no {what}, first {printable(of[lacking[0]])}"
        if missing == "refuse":
            other = masks if what == "mask" else images
            rest = " (all black where there is nothing to mark)" if what == "mask" else ""
            raise UserError(told, f"add {other}/{printable(lacking[0])}.png{rest}, or remove what has no {what}")
        notes.append(f"{told}; left out")
    head = f"{part}/" if part else ""
    return {
        f"{head}{shown[key]}": MaskItem(f"{images}/{shown[key]}", (f"{masks}/{drawn[key]}",))
        for key in sorted(shown.keys() & drawn.keys())
    }


def _count(files: Sequence[str]) -> str:
    return "1 file has" if len(files) == 1 else f"{len(files):,} files have"


def _files(folder: Path) -> dict[str, str]:
    """Image paths below a folder by the path without its suffix; hidden ones are skipped.

    Raises:
        UserError: two differ in their suffix only, or there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not there", _LAYOUT)
    found: dict[str, str] = {}
    for where, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            if name.startswith(".") or os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                continue
            file = Path(where, name).relative_to(folder).as_posix()
            key = file.removesuffix(PurePosixPath(file).suffix)
            if found.setdefault(key, file) != file:
                raise UserError(f"{folder} has both {printable(found[key])} and {printable(name)}", "keep one of them")
    return found


def _words(path: Path, images: Sequence[str], missing: Missing, prompt: str | None) -> dict[str, list[str]]:
    """Texts by image from prompts.csv; empty where there is no such file.

    Raises:
        UserError: no such columns; an image that is not there, unless `missing` is 'skip'; an empty text; images
            without one, and no `prompt`.
    """
    listed = path / PROMPTS
    if not listed.is_file():
        return {}
    known, words = set(images), dict[str, list[str]]()
    for line, image, text in _rows(listed):
        if image not in known:
            if missing == "skip":  # it may be one of those left out for want of a mask
                continue
            close = nearest(image, images)
            fix = f"did you mean '{close[0]}'?" if close else f"name images by their path, as '{images[0]}'"
            raise UserError(f"{listed}:{line}: no image with a mask is called '{image}'", fix)
        if not text:
            raise UserError(f"{listed}:{line}: the prompt is empty", "fill it in or remove the line")
        words.setdefault(image, []).append(text)
    if prompt is None and (left := [image for image in images if image not in words]):
        more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
        told = f"{listed} has no prompt for {printable(left[0])}{more}"
        raise UserError(told, "add a line for each image, or give a prompt for those without")
    return words


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """Line number, image and prompt of each line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
            if absent := [name for name in ("image", "prompt") if name not in columns]:
                told = f"{path} has no column '{absent[0]}' (its first line: {', '.join(reader.fieldnames or ())})"
                raise UserError(told, "begin it with the line image,prompt, separated by commas")
            rows = ((reader.line_num, row[columns["image"]] or "", row[columns["prompt"]] or "") for row in reader)
            return [(line, image.strip(), " ".join(text.split())) for line, image, text in rows]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason}", "save it as CSV UTF-8") from error
    except (csv.Error, OSError) as error:
        raise UserError(f"{path} is not a CSV file: {error}", "save it as CSV UTF-8, separated by commas") from error
