"""Class names that are codes of a file system, not words: '0', 'class_3', 'n02123045', 'aGrass', '01_cat', 'bkl'.

They go into the prompts as they are ("a photo of a aGrass."), and a text encoder knows nothing of them. What they
should be called goes into a file, `--set data.names=names.json` (datasets/folder.py).
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from cliptune.counted import these
from cliptune.datasets.imagenet import published_names

_CODES = (
    r"[^a-z]*",  # no letter at all: 0, 007, 12-3
    r"[a-z]",  # a single one
    r"[a-z]{1,2}[ ._-]?\d+",  # c0, s12
    r"(class|cls|category|label|folder|group|type|kind|species|id|item)[ ._-]*(\d+|[a-z]?)",
    r"[0-9a-f]{8,}(-[0-9a-f]+)*",  # a hash
)
_IS_CODE = re.compile("|".join(f"({pattern})" for pattern in _CODES), re.IGNORECASE)
_NUMBERED = re.compile(r"(0\d* |\d+[._-]+ *)(?=.*[A-Za-z])")
"""a number before the words: '001.Black_footed_Albatross', '01 cat', '3-dog'"""
_LETTERED = re.compile(r"[a-z](?=[A-Z][a-z])")
"""a small letter that orders folders: 'aGrass'"""
_TOGETHER = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SHOWN = 12
"""classes up to which the whole file is shown"""


class Coded(NamedTuple):
    """What is wrong with class names, and a file that names them."""

    names: tuple[str, ...]
    what: str
    fix: str


def coded(classes: Sequence[str], template: str = "a photo of a {}.") -> Coded | None:
    """The class names that are codes, with the advice; None where all may be words.

    Args:
        template: the prompt in which the first of them is shown.
    """
    names = tuple(name for name in classes if _is_code(name)) + _weak(classes)
    names = tuple(name for name in classes if name in set(names))
    if not names:
        return None
    prompt = template.replace("{}", names[0].replace("_", " "))
    are = "is a code" if len(names) == 1 else "are codes"
    what = f"{len(names):,} of {these(len(classes), 'class name')} {are}, no words a text encoder knows: {prompt!r}"
    fix = f"write names.json: {names_file(classes)} and give it with --set data.names=names.json"
    return Coded(names, what, fix)


def _is_code(name: str) -> bool:
    text = name.replace("_", " ").strip()
    letters = [letter for letter in text if letter.isalnum()]
    mostly_digits = 2 * sum(letter.isdigit() for letter in letters) > len(letters)
    # A script without small and capital letters is no code of a file system: its names are words.
    if any(letter.isalpha() and not letter.isascii() for letter in text):
        return False
    return mostly_digits or bool(_IS_CODE.fullmatch(text)) or bool(_NUMBERED.match(text))


def _weak(classes: Sequence[str]) -> tuple[str, ...]:
    """What is a code only where at least two names are so: one may be a brand, as iPhone, YouTube or dvd."""
    plain = [name for name in classes if name.isascii()]
    kinds = (
        [name for name in plain if _LETTERED.match(name)],
        [name for name in plain if _TOGETHER.search(name)],
        [name for name in plain if re.fullmatch(r"[b-df-hj-np-tv-xz]{2,}", name)],  # bkl, nv: no vowel
    )
    return tuple(name for kind in kinds if len(kind) > 1 for name in kind)


def names_file(classes: Sequence[str]) -> str:
    """A names file of these folders as JSON: words where the folder's name holds some, else what to write there."""
    lettered = sum(bool(_LETTERED.match(name)) for name in classes) > 1
    shown = classes if len(classes) <= _SHOWN else classes[:3]
    text = json.dumps({name: words_in(name, lettered) or f"what {name} shows" for name in shown}, ensure_ascii=False)
    return text if len(shown) == len(classes) else f"{text[:-1]}, …}} with a name for each of {len(classes):,} folders"


def words_in(name: str, lettered: bool = False) -> str:
    """The words a folder's name holds without its code, ImageNet's for its codes; empty where there are none.

    >>> words_in("aGrass", lettered=True), words_in("001.Black_footed_Albatross"), words_in("PermanentCrop")
    ('grass', 'black footed albatross', 'permanent crop')
    """
    if re.fullmatch(r"n\d{8}", name) and (known := published_names().get(name)):
        return known
    text = _NUMBERED.sub("", name.replace("_", " ").strip(), count=1)
    text = _LETTERED.sub("", text, count=1) if lettered and _LETTERED.match(text) else text
    text = _TOGETHER.sub(" ", text.replace("_", " ")).lower().strip()
    return "" if _is_code(text) or re.fullmatch(r"[b-df-hj-np-tv-xz]{2,}", text) else text
