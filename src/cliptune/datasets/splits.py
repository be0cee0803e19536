"""Lists of images: CoOp's split files, and the text and .mat files the sets' authors gave.

A split file is {"train": [[path, label, class name], …], "val": …, "test": …}.
"""

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from cliptune.datasets.published import Copy, Row, near
from cliptune.errors import UserError
from cliptune.texts import read_text

PARTS = ("train", "val", "test")
_FIX = "take the published file, or remove this one"


def read_split_file(path: Path) -> dict[str, list[Row]]:
    """The rows of a `split_zhou_*.json`, in the file's order, which the few-shot draws depend on.

    Raises:
        UserError: not such a file; a row that is not [path, label, name]; a path that leaves the image folder; an
            image listed twice.
    """
    try:
        tables = json.loads(read_text(path, _FIX))
    except (ValueError, RecursionError) as problem:
        raise UserError(f"{path} cannot be read: {problem}", _FIX) from None
    if not isinstance(tables, dict) or sorted(tables) != sorted(PARTS):
        found = ", ".join(map(str, tables)) if isinstance(tables, dict) else type(tables).__name__
        raise UserError(f"{path} has to have the keys train, val and test, not {found}", _FIX)
    rows, seen = {}, set()
    for part in PARTS:
        if not isinstance(tables[part], list):
            raise UserError(f"{path}: {part} is no list", _FIX)
        rows[part] = [_row(row, f"{path}: {part}[{number}]") for number, row in enumerate(tables[part])]
        for number, (image, _, _) in enumerate(rows[part]):
            if image in seen:
                raise UserError(f"{path}: {part}[{number}]: {image} is listed twice", _FIX)
            seen.add(image)
    return rows


def _row(row: Any, place: str) -> Row:
    if not isinstance(row, list) or len(row) != 3:
        raise UserError(f"{place} is not [path, label, class name]", _FIX)
    image, label, name = row
    if not isinstance(image, str) or not isinstance(name, str) or not name.strip():
        raise UserError(f"{place}: path and class name have to be text, not {image!r} and {name!r}", _FIX)
    if not isinstance(label, int) or isinstance(label, bool) or label < 0:
        raise UserError(f"{place}: the label {label!r} is no whole number from 0", _FIX)
    return inside(image, place), label, name


def inside(path: str, place: str) -> str:
    """A path from a list, if it stays below the image folder.

    Raises:
        UserError: an absolute path, or one with '..'.
    """
    parts = PurePosixPath(path).parts
    if (
        not parts
        or "\0" in path
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or PureWindowsPath(path).drive
    ):
        raise UserError(f"{place}: the path {path!r} leaves the image folder", _FIX)
    return path


def read_lines(copy: Copy, file: str) -> list[tuple[str, str]]:
    """The lines of a UTF-8 text that say something, each after its place, 'file:line'; '#' begins a comment line.

    Raises:
        UserError: not there, or no such text.
    """
    path = annotation(copy, file)
    lines = read_text(path, _fix(copy)).split("\n")
    stripped = ((f"{path}:{number}", line.strip()) for number, line in enumerate(lines, 1))
    return [(place, line) for place, line in stripped if line and not line.startswith("#")]


def read_mat(copy: Copy, file: str, variable: str) -> tuple[Path, np.ndarray]:
    """The path of a Matlab file, and one variable of it as a flat array; fields of one element are plain values.

    Raises:
        UserError: not there, no Matlab file, or without the variable.
    """
    from scipy.io import loadmat

    path = annotation(copy, file)
    try:
        return path, np.ravel(loadmat(str(path), variable_names=[variable], squeeze_me=True)[variable])
    except KeyError:
        raise UserError(f"{path} has no '{variable}'", _fix(copy)) from None
    except Exception as problem:  # its readers raise ValueError, TypeError, OSError, NotImplementedError … on bad bytes
        raise UserError(f"{path} cannot be read: {problem}", _fix(copy)) from None


def annotation(copy: Copy, file: str) -> Path:
    """The path of a file that came with the set.

    Raises:
        UserError: not there.
    """
    path = near(copy, file)
    if path.is_file():
        return path
    also = f"neither {copy.facts.split_file} nor " if copy.facts.split_file else "no "
    raise UserError(f"{copy.folder} has {also}{file}", f"get it: {copy.facts.get}")


def _fix(copy: Copy) -> str:
    return f"take the published file: {copy.facts.get}"
