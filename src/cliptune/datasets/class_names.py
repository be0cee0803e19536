"""Class names for prompts: read from a file beside your own images (a JSON object, or lines), and checked."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.datasets.images import printable
from cliptune.datasets.places import prompt_key, same_names
from cliptune.errors import UserError
from cliptune.registry import nearest
from cliptune.texts import read_text

if TYPE_CHECKING:
    from torch import Tensor


_WHOLE = re.compile(r"^(-?\d+)\.0+$")
"""a whole number as tables of floats write it: 1.0"""
_COPY = re.compile(r"^copy of |[ -]+(?:copy|kopie|copie)(?: ?\(?\d+\)?)?$| \(\d+\)$")
_MISSING = frozenset(("nan", "na", "n/a", "#n/a", "null", "<na>", "none", "nat", "-", "?", "unknown", "undefined"))
_JOINED = re.compile(r"[|;,+&/]")


def remarks_on(classes: Sequence[str]) -> list[str]:
    """Notes on class names that may not be meant: those that differ by little, joined ones, empty fields."""
    notes = []
    near: dict[str, list[str]] = {}
    for name in classes:
        plain = "".join(_letters(_COPY.sub("", _WHOLE.sub(r"\1", prompt_key(name)))))
        near.setdefault(plain.removesuffix("s") or name, []).append(name)
    if alike := [names for names in near.values() if len(names) > 1]:
        more = f", and {len(alike) - 1:,} more such groups" if len(alike) > 1 else ""
        told = " and ".join(f"'{printable(name)}'" for name in alike[0])
        notes.append(f"classes {told} have nearly the same name{more}: if one thing is meant, give them one label")
    keys = {prompt_key(name) for name in classes}
    joined = [
        name
        for name in classes
        if len(parts := _JOINED.split(prompt_key(name))) > 1 and {*map(str.strip, parts)} <= keys
    ]
    if joined:
        notes.append(f"class '{printable(joined[0])}' joins others: an image has one label, and this one is a class")
    if empty := [name for name in classes if prompt_key(name) in _MISSING]:
        notes.append(f"class '{printable(empty[0])}' is what tools write where a label is missing")
    return notes


def _letters(name: str) -> Iterator[str]:
    """A name without what tells no two of them apart: blanks, hyphens, quotes; 'C++', '1.5' and vowel signs stay."""
    for place, letter in enumerate(name):
        within = name[max(place - 1, 0) : place + 2]
        number = letter in ".,/" and len(within) == 3 and within[0].isdigit() and within[2].isdigit()
        if letter.isalnum() or unicodedata.category(letter)[0] in "MS" or letter in "#&%*" or number:
            yield letter


def read_names(folders: Sequence[str], path: Path) -> tuple[str, ...]:
    """The name of each class folder (or label of a CSV) from a file, in the order of `folders`.

    Raises:
        UserError: the file cannot be read, names something else, leaves one out, or gives two the same prompt.
    """
    text = read_text(path)
    is_json = path.suffix.lower() == ".json" or text.lstrip().startswith("{")
    written = _names_of_json(text, path) if is_json else _names_of_lines(text, path, folders)
    # An editor and a file system may spell the same accents in two ways.
    spelled = {unicodedata.normalize("NFC", folder): folder for folder in folders}
    names = {spelled.get(unicodedata.normalize("NFC", folder), folder): name for folder, name in written.items()}
    _check_names(names, folders, path)
    return tuple(names[folder] for folder in folders)


def refuse_names_that_are_no_text(classes: Iterable[str], paths: Iterable[str]) -> None:
    """Names of classes and files go into prompts, JSON and CSV, so they have to be text.

    Raises:
        UserError: a name has bytes that are not UTF-8; shows them.
    """
    for what, names in (("class", classes), ("file", paths)):
        wrong = [name for name in names if not _is_text(name)]
        if wrong:
            more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
            raise UserError(
                f"the name of {what} '{printable(wrong[0])}' is not UTF-8 text{more}",
                "rename it; `convmv -f latin1 -t utf8` renames many" if what == "file" else "rename that folder",
            )


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes that Python keeps as half of a character
        return False
    return True


def refuse_equal_prompts(classes: Sequence[str], tokens: "Tensor") -> None:
    """Two classes whose prompts are the same tokens can never be told apart.

    Args:
        tokens: token ids of the prompts [c t].

    Raises:
        UserError: names two of them.
    """
    first: dict[tuple[int, ...], str] = {}
    for name, row in zip(classes, tokens.tolist(), strict=True):
        other = first.get(tuple(row))
        first[tuple(row)] = name
        if other is not None:
            raise UserError(
                f"classes '{other}' and '{name}' have the same prompt for this backbone ({tokens.shape[1]} tokens)",
                "give them different names, shorter where the prompt is cut: --set data.names=FILE",
            )


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


def _names_of_lines(text: str, path: Path, folders: Sequence[str]) -> dict[str, str]:
    """A folder and its name on each line, with blanks between them, or one of ',', ';', ':' and '=' after the folder.
    Double quotes around a name are no part of it."""
    names: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.split(maxsplit=1)
        if not parts:
            continue
        marked = re.split(r"\s*[,;:=]\s*", line.strip(), maxsplit=1)
        if len(marked) > 1 and marked[0] in folders and (parts[0] not in folders or parts[-1][0] in ",;:="):
            parts = marked
        folder = parts[0]
        if len(parts) > 1:
            parts[1] = re.sub(r'^"(.*)"$', r"\1", parts[1].strip())
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
    if unnamed := [folder for folder in folders if not prompt_key(names.get(folder, ""))]:
        more = f", nor have {len(unnamed) - 1:,} others" if len(unnamed) > 1 else ""
        raise UserError(f"{path}: class folder '{unnamed[0]}' has no name{more}", "add a name for each folder")
    if alike := same_names(names[folder] for folder in folders):
        first, second = (next(folder for folder in folders if names[folder] == name) for name in alike)
        if first == second:
            second = [folder for folder in folders if names[folder] == alike[1]][1]
        raise UserError(
            f"{path}: '{first}' and '{second}' are both '{alike[1]}'; their prompts would be the same",
            "give them different names, or put their images in one folder",
        )
