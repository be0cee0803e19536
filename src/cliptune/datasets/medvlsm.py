"""The layout of medvlsm (github.com/naamiinepal/medvlsm): masks with prompts from the empty one to a whole sentence.

kvasir_polyp/images/cju0….jpg  kvasir_polyp/masks/cju0….jpg  kvasir_polyp/anns/{train,val,test}.json

An annotation file is a list of objects, of which three keys count:

{"img_name": "274.png", "mask_name": "274.png", "prompts": {"p0": "", "p1": "polyp", …, "p7": ["polyp which is …", …]}}

A prompt is a text, or a list of texts of which one is drawn each time. `bbox` is not read: it is no safe truth (for
some images of several parts it covers one of them; for images with nothing to mark it is turned inside out). Some sets
add testB.json, other sentences for the test images; it is only remarked on.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from cliptune.counted import these
from cliptune.datasets.base import Missing
from cliptune.datasets.images import printable
from cliptune.datasets.published import Facts
from cliptune.datasets.segmentation import PARTS, MaskItem, MaskSet, Prompts, of_files
from cliptune.datasets.splits import inside
from cliptune.errors import UserError
from cliptune.texts import read_text

ANNOTATIONS = "anns"
SECOND_TEST = "testB"
_TOLD = 6
"""names that a note tells; of more only how many"""
_FIX = "take the published file, or mend it"

Parts = dict[str, tuple[MaskItem, ...]]
"""items by part: 'train', 'val', 'test', and 'testB' where there is one"""


def open_layout(
    name: str,
    folder: Path,
    missing: Missing = "refuse",
    facts: Facts | None = None,
    group: Callable[[str], str] | None = None,
) -> MaskSet:
    """A set in medvlsm's layout.

    Args:
        folder: holds images/, masks/ and anns/.
        facts: of a published set; None: the user's own.
        group: an image's group from its file name; without it every image is in the group ''.

    Raises:
        UserError: an annotation file is missing or broken; listed files are not there, unless `missing` is 'skip'.
    """
    rows = read_parts(folder, group)
    notes = repeats(rows)
    listed = tuple(len(rows[part]) for part in PARTS)
    split = "published" if facts else "given"
    if facts and listed != facts.counts:
        split = "given by this copy's annotations (not the published split)"
        notes.append(f"this copy lists {_slashes(listed)} images where {_slashes(facts.counts)} were published")
    second = rows.pop(SECOND_TEST, ())
    if second:
        same = {item.image for item in second} == {item.image for item in rows["test"]}
        notes.append(f"{SECOND_TEST}.json lists {'the test images again' if same else 'other images'}; it is not used")
    return of_files(name, folder, rows, split, missing, facts, notes)


def _slashes(counts: Sequence[int | None]) -> str:
    return "/".join("?" if count is None else f"{count:,}" for count in counts)


def read_parts(folder: Path, group: Callable[[str], str] | None = None) -> Parts:
    """The items of every annotation file in `folder`/anns; no image is looked at.

    Raises:
        UserError: train, val or test is missing; a file is broken; items differ in their kinds of prompts.
    """
    rows: Parts = {}
    kinds: tuple[str, ...] | None = None
    for part in (*PARTS, SECOND_TEST):
        path = folder / ANNOTATIONS / f"{part}.json"
        if part == SECOND_TEST and not path.is_file():
            continue
        rows[part] = read_rows(path, group)
        for number, item in enumerate(rows[part]):
            found = tuple(kind for kind, _ in item.prompts)
            kinds = kinds or found
            if found != kinds:
                told = f"{path}[{number}] has the prompts {', '.join(found)} where others have {', '.join(kinds)}"
                raise UserError(told, "give every image the same kinds of prompts, in the same order")
    return rows


def read_rows(path: Path, group: Callable[[str], str] | None = None) -> tuple[MaskItem, ...]:
    """The items of one annotation file, in its order; an item may be listed twice.

    Raises:
        UserError: the file is missing, no JSON, or no list of such objects; names the file and the object.
    """
    try:
        listed = json.loads(read_text(path, _FIX))
    except (ValueError, RecursionError) as problem:
        raise UserError(f"{path} cannot be read: {problem}", _FIX) from None
    if not isinstance(listed, list):
        raise UserError(f"{path} is no list but {type(listed).__name__}", _FIX)
    if not listed:
        raise UserError(f"{path} lists no image", _FIX)
    return tuple(_item(row, f"{path}[{number}]", group) for number, row in enumerate(listed))


def _item(row: Any, place: str, group: Callable[[str], str] | None) -> MaskItem:
    if not isinstance(row, dict):
        raise UserError(f"{place} is no object but {type(row).__name__}", _FIX)
    if absent := [key for key in ("img_name", "mask_name", "prompts") if key not in row]:
        raise UserError(f"{place} has no '{absent[0]}'", _FIX)
    image, mask = (_name(row[key], f"{place}: {key}") for key in ("img_name", "mask_name"))
    prompts = _prompts(row["prompts"], place)
    return MaskItem(f"images/{image}", (f"masks/{mask}",), prompts, group(image) if group else "")


def _name(name: Any, place: str) -> str:
    if not isinstance(name, str):
        raise UserError(f"{place} has to be text, not {name!r}", _FIX)
    return inside(name, place)


def _prompts(prompts: Any, place: str) -> Prompts:
    if not isinstance(prompts, dict) or not prompts:
        raise UserError(f"{place}: prompts is no object with p0, p1 …", _FIX)
    if strange := [kind for kind in prompts if not re.fullmatch(r"p\d+", kind, re.ASCII)]:
        raise UserError(f"{place}: the prompt {strange[0]!r} is not called p0, p1 …", _FIX)
    return tuple((kind, _texts(texts, f"{place}: {kind}")) for kind, texts in prompts.items())


def _texts(texts: Any, place: str) -> tuple[str, ...]:
    found = texts if isinstance(texts, list) else [texts]
    if not found or not all(isinstance(text, str) for text in found):
        raise UserError(f"{place} has to be a text or a list of texts, not {texts!r}", _FIX)
    return tuple(found)


def repeats(rows: Mapping[str, Sequence[MaskItem]]) -> list[str]:
    """A note for each part that lists an image twice, and for each two of train, val and test that share images."""
    notes = []
    for part in PARTS:
        counts = Counter(item.image for item in rows.get(part, ()))
        if twice := [image for image, count in counts.items() if count > 1]:
            notes.append(f"{part} lists {these(len(twice), 'image')} more than once: {_some(twice)}")
    for one, other in combinations([part for part in PARTS if part in rows], 2):
        there = {item.image for item in rows[one]}
        if shared := sorted(there & {item.image for item in rows[other]}):
            notes.append(f"{one} and {other} share {these(len(shared), 'image')}: {_some(shared)}")
    return notes


def _some(images: Sequence[str]) -> str:
    told = ", ".join(printable(image.partition("/")[2]) for image in images[:_TOLD])
    more = len(images) - _TOLD
    return f"{told} and {more:,} more" if more > 0 else told
