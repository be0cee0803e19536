"""Your own images as a CSV file lists them: `image,label` and perhaps `split`, paths relative to the file's folder."""

import contextlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from cliptune.counted import these
from cliptune.datasets.base import Missing
from cliptune.datasets.images import printable
from cliptune.datasets.places import images_below, part_of, spelled_on_disk
from cliptune.errors import UserError
from cliptune.texts import Row, read_table

Splits = Mapping[str, Sequence[tuple[str, str]]]
"""split → (image path relative to the root, class name); all in '' where no split is given"""

_SPLITS = ("train", "val", "test")
_SPLIT_COLUMNS = frozenset(
    ("subset", "set", "dataset", "partition", "part", "kfold", "cvfold", "phase", "usage", "isval", "istest", "tvt")
)
"""names that other tools give the column of a split, without '_' and blanks, beside those with a word of
`_SPLIT_WORDS`"""
_SPLIT_WORDS = re.compile("split|train|valid|fold|testing")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.I)


class Listed(NamedTuple):
    """One image of a list."""

    line: int
    image: str
    label: str
    split: str


def read_csv(path: Path, missing: Missing) -> tuple[Splits, tuple[str, ...]]:
    """The images by split, and notes on what was guessed or left out.

    Raises:
        UserError: a line that cannot be meant, or images that are not there (unless `missing` is 'skip'); names them.
    """
    table = read_table(path, ("image", "label"), ("split",))
    column, notes = _split_column(table)
    rows = [_row(row, path, column) for row in table]
    has_splits = any(row.split for row in rows)
    words = {row.split: part_of(row.split) for row in rows if row.split}
    gone: dict[str, int] = {}
    first: dict[str, Listed] = {}
    respelled = 0
    splits: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        part = words.get(row.split) or ""
        if has_splits and not part:
            what = f"split = '{row.split}'" if row.split else "split is empty"
            raise UserError(f"{path}:{row.line}: {what}", f"one of: {', '.join(_SPLITS)}; or remove the line")
        spelled = spelled_on_disk(path.parent, row.image)
        respelled += spelled not in (None, os.path.normpath(row.image))
        place = row.image if spelled is None else spelled
        if place in first:
            raise _twice(path, place, first[place], row)
        first[place] = row
        if spelled is None:
            gone[row.image] = row.line
        else:
            splits[part].append((spelled, row.label))
    if gone and missing == "refuse":
        advice = "paths are read relative to the list's folder"
        with contextlib.suppress(OSError, ValueError, UserError):  # a name too long, a folder that may not be read
            advice = _where_instead(path.parent, next(iter(gone)))
        raise UserError(_absent(path, gone), f"{advice}; --set data.missing=skip leaves them out")
    notes += [f"{_absent(path, gone)}; left out"] if gone else []
    if respelled:
        what = these(respelled, "path is", "paths are")
        notes.append(f"{what} spelled otherwise on the disk (back-slashes, or the form of accents)")
    if renamed := [f"'{word}' for {part}" for word, part in words.items() if part and word != part]:
        notes.append(f"split: {', '.join(renamed)}")
    return splits, tuple(notes)


def _split_column(table: Sequence[Row]) -> tuple[str, list[str]]:
    """The column that gives the split where none is called so, '' for none; and a note on it."""
    if not table or any(row.fields["split"] for row in table):
        return "", []
    for column in table[0].others:
        if {"train", "test"} <= {part_of(row.others[column]) for row in table} <= {"train", "val", "test"}:
            return column, [f"column '{column}' is taken for the split"]
    unread = [column for column in table[0].others if _is_like_a_split(column, [row.others[column] for row in table])]
    told = f"column '{unread[0]}' is not read, and the split is made here" if unread else ""
    return "", [f"{told}; a column split with train, val and test gives one"] if told else []


def _is_like_a_split(column: str, values: Sequence[str]) -> bool:
    """By its name, or because most of its values are words for parts."""
    name = re.sub(r"[\s_-]", "", column)
    meant = Counter(part_of(value) for value in values)
    parts = meant.total() - meant[None]
    return name in _SPLIT_COLUMNS or bool(_SPLIT_WORDS.search(name)) or (len(meant) > 1 and 2 * parts > meant.total())


def _row(row: Row, path: Path, column: str) -> Listed:
    image, label = row.fields["image"], row.fields["label"]
    if not image or not label:
        raise UserError(f"{path}:{row.line}: {'label' if image else 'image'} is empty", "fill it in or remove the line")
    return Listed(row.line, image, label, row.others[column] if column else row.fields["split"])


def _twice(path: Path, place: str, one: Listed, other: Listed) -> UserError:
    as_what = "" if one.label == other.label else f", as '{one.label}' and as '{other.label}'"
    return UserError(
        f"{path}:{other.line}: '{place}' is listed twice, first on line {one.line}{as_what}",
        "keep one line" if not as_what else "keep one line: an image has one label",
    )


def _absent(path: Path, gone: Mapping[str, int]) -> str:
    """What to say of images that a CSV lists and that are not there; by their line."""
    count = these(len(gone), "listed file does", "listed files do")
    first = next(iter(gone))
    return f"{path}: {count} not exist, first '{printable(first)}' (line {gone[first]})"


def _where_instead(root: Path, image: str) -> str:
    """Where a listed image that is not there may be, as advice."""
    if _ADDRESS.match(image) and not re.match(r"[a-z]:", image, re.I):
        return "list paths, not addresses: download the images; of file:// leave these letters out"
    slashed = image.replace("\\", "/")
    if (root / slashed).is_dir():
        return "that is a folder: list its images, one a line"
    folder = slashed.rpartition("/")[0]
    if alike := _alike(slashed, (f"{folder}/{there}" if folder else there for there in _names(root / folder))):
        return f"the disk has '{alike[0]}': write names and endings as they are there"
    alike = _alike(slashed, (file.relative_to(root).as_posix() for file in images_below(root)))
    if len(alike) == 1:
        return f"below {root.resolve()} there is '{alike[0]}': write paths from there"
    if alike:
        return f"below {root.resolve()} there are '{alike[0]}' and '{alike[1]}': write paths from there"
    return f"paths are read relative to {root.resolve()}"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []


def _alike(image: str, paths: Iterable[str]) -> list[str]:
    """Those of `paths` that end as `image` does in the most folders, without case and %20 for blanks; the name may lack
    its ending. Empty where none has its name."""
    wanted = unquote(image).casefold().split("/")
    found: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        there = path.casefold().split("/")
        if wanted[-1] and wanted[-1] in (there[-1], os.path.splitext(there[-1])[0]):
            pairs = zip(reversed(wanted[:-1]), reversed(there[:-1]))
            found[len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))].append(printable(path))
    return found[max(found)] if found else []
