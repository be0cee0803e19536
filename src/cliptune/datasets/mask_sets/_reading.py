"""How your own masks are read: what their values mean, and which way up they are.

A photo with an EXIF orientation is shown upright. Its mask has rarely one: drawn on the picture as it is stored, it has
the stored sides and is turned with the photo; drawn on the upright one, it is right as it is. A half turn and a square
leave both possible; then the other photos of the set decide, or nobody, and a note says so.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cliptune.counted import these
from cliptune.datasets.base import Missing
from cliptune.datasets.images import opened, orientation, printable, reduction, regular_bytes, turned
from cliptune.datasets.mask_meaning import Meaning, Wanted, meaning_of, odd_files
from cliptune.datasets.mask_values import Survey, read_stored, survey
from cliptune.datasets.segmentation import PARTS, MaskItem, MaskSet, joined_masks
from cliptune.datasets.threads import in_threads
from cliptune.errors import UserError

Head = tuple[tuple[int, int], int]
"""an image's width and height as stored, and EXIF's orientation"""

_HEAD = 1 << 18
"""bytes in which a file's header is looked for before all are read"""
_WIDTH, _HEIGHT = 256, 257
"""TIFF's numbers for them"""
_QUARTER = (5, 6, 7, 8)
"""orientations that swap width and height"""


def with_meaning(maskset: MaskSet, value: Wanted = (), missing: Missing = "refuse") -> MaskSet:
    """Your own images with a reader for their masks, and notes on what was decided; every mask is read once.

    Files that cannot be read decide nothing; their reader names them later.

    Args:
        value: the number or colour that is marked; () decides by itself.
        missing: 'skip' leaves out pairs whose masks are not of the others' kind, or of another size than their image.

    Raises:
        UserError: see `meaning_of` and `odd_files`; no training mask marks anything, or none has its image's size.
    """
    root = Path(maskset.root)
    items = list(dict.fromkeys(item for part in PARTS for item in getattr(maskset, part)))
    files = list(dict.fromkeys(file for item in items for file in item.masks))
    known = zip(files, in_threads(survey, [root / file for file in files]), strict=True)
    surveys = {file: facts for file, facts in known if facts is not None}
    if not surveys:
        return maskset
    if odd := odd_files(surveys, printable(root), value, missing == "skip"):
        maskset = _without(maskset, odd)
        surveys = {file: facts for file, facts in surveys.items() if file not in odd}
        items = [item for item in items if odd.keys().isdisjoint(item.masks)]
    meaning, notes = meaning_of(surveys, printable(root), value)
    images = list(dict.fromkeys(item.image for item in items))
    heads = dict(zip(images, in_threads(_head, [root / image for image in images]), strict=True))
    turns, said = _turns(heads, items, surveys)
    if misfits := _misfits(heads, items, surveys, turns):
        maskset = _without_misfits(maskset, misfits, missing)
        surveys = {file: facts for file, facts in surveys.items() if file not in misfits or missing != "skip"}
    notes += [*_marked_notes(maskset, surveys, meaning), *said]
    read = partial(read_own_mask, root, meaning=meaning, turns=turns)
    return replace(maskset, read_mask=read, meaning=meaning, notes=(*maskset.notes, *notes))


def _misfits(
    heads: Mapping[str, Head], items: Iterable[MaskItem], surveys: Mapping[str, Survey], turns: Mapping[str, int]
) -> dict[str, str]:
    """Mask files of another size than their image, with both sizes; heads that could not be read say nothing."""
    misfits = {}
    for item in items:
        shown = _upright(*heads[item.image])
        for file in item.masks:
            own = _upright(surveys[file].size, turns.get(file, 1)) if file in surveys else shown
            if all(shown) and own != shown:
                misfits[file] = f"{own[0]} × {own[1]}, its image {shown[0]} × {shown[1]} pixels"
    return dict(sorted(misfits.items()))


def _upright(size: tuple[int, int], number: int) -> tuple[int, int]:
    return size[::-1] if number in _QUARTER else size


def _without_misfits(maskset: MaskSet, misfits: Mapping[str, str], missing: Missing) -> MaskSet:
    """The set without these mask files, or all of it, and a note.

    Raises:
        UserError: nothing would be left to train on.
    """
    first, sizes = next(iter(misfits.items()))
    if missing != "skip":
        many = ("mask file has another size than its image", "mask files have other sizes than their images")
        have = these(len(misfits), *many)
        told = f"{have}, first {printable(first)}: {sizes}"
        note = f"{told}; such pairs are refused when they are read, unless --set data.missing=skip leaves them out"
        return replace(maskset, notes=(*maskset.notes, note))
    kept = _without(maskset, {file: f"which is {sizes}" for file, sizes in misfits.items()})
    if maskset.train and not kept.train:
        raise UserError(
            f"{printable(maskset.root)}: no training mask has the size of its image, first {printable(first)}: {sizes}",
            "make images and masks the same size",
        )
    return kept


def _without(maskset: MaskSet, odd: Mapping[str, str]) -> MaskSet:
    """The set without the pairs of these mask files, and a note."""
    kept = {part: tuple(it for it in getattr(maskset, part) if odd.keys().isdisjoint(it.masks)) for part in PARTS}
    first, what = next(iter(odd.items()))
    its = "its image" if len(odd) == 1 else "their images"
    note = f"{_count(odd, 'mask file')} left out with {its}, first {printable(first)}, {what}"
    return replace(maskset, train=kept["train"], val=kept["val"], test=kept["test"], notes=(*maskset.notes, note))


def read_own_mask(root: Path, item: MaskItem, meaning: Meaning, turns: Mapping[str, int]) -> np.ndarray:
    """An item's mask, uint8 [h w] of 0 and 1, as large as `decode` makes its image; zeros where it has no files.

    Args:
        turns: orientations of mask files, as EXIF counts them, where they are not 1.

    Raises:
        UserError: a file cannot be read, or differs in size from the others of this image; names it.
    """

    def read(file: str) -> np.ndarray:
        mask = Image.fromarray(meaning.mask(read_stored(root / file)))
        factor = reduction(mask.size)
        return np.asarray(turned(mask, turns.get(file, 1)))[::factor, ::factor]

    return joined_masks(root, item, read)


def _marked_notes(maskset: MaskSet, surveys: Mapping[str, Survey], meaning: Meaning) -> list[str]:
    """What is to be said of masks that mark nothing or everything.

    Raises:
        UserError: no training mask marks anything.
    """
    shares = {file: meaning.marks(facts) / (facts.size[0] * facts.size[1]) for file, facts in surveys.items()}
    notes = []
    for part in PARTS:
        listed = [file for item in getattr(maskset, part) for file in item.masks if file in shares]
        if listed and not any(shares[file] for file in listed):
            told = f"nothing is marked in any {part} mask ({len(listed):,})"
            if part == "train":
                raise UserError(f"{printable(maskset.root)}: {told}", "give images to train on with something marked")
            notes.append(told)
    empty, full = [file for file in shares if not shares[file]], [file for file in shares if shares[file] == 1]
    if len(empty) > len(shares) / 2:
        notes.append(f"{len(empty):,} of {len(shares):,} mask files mark nothing, first {printable(empty[0])}")
    if more := [file for file, facts in surveys.items() if facts.more]:
        told = "has" if len(more) == 1 else "have"
        notes.append(f"{len(more):,} of {len(surveys):,} mask files {told} several pages or frames: the first is read")
    if full:
        notes.append(f"{len(full):,} of {len(shares):,} mask files are marked all over, first {printable(full[0])}")
    return notes


def _turns(
    heads: Mapping[str, Head], items: Iterable[MaskItem], surveys: Mapping[str, Survey]
) -> tuple[dict[str, int], list[str]]:
    """Orientations of mask files that are to be turned, and notes on what was concluded."""
    own = {file: facts.orientation for file, facts in surveys.items() if facts.orientation in range(2, 9)}
    listed = [(item, file) for item in items for file in item.masks if file in surveys and file not in own]
    stored: dict[str, int] = {}
    either: dict[str, int] = {}
    upright = 0
    for item, file in listed:
        size, number = heads[item.image]
        if number not in range(2, 9):
            continue
        if number not in _QUARTER or size[0] == size[1]:
            either[file] = number
        elif surveys[file].size == size:
            stored[file] = number
        else:
            upright += 1
    notes = []
    if stored:
        notes.append(
            f"{_count(stored, 'mask')} drawn on the photo as it is stored, which EXIF turns: turned with it, first "
            f"{printable(next(iter(stored)))}"
        )
    if either:
        alike = bool(stored) and not upright
        way = "turned with them, as the others" if alike else "taken as drawn on the upright photo"
        notes.append(
            f"{_count(either, 'mask')} of a photo that EXIF turns and would fit either way: {way}, first "
            f"{printable(next(iter(either)))}; look at `cliptune check`'s thumbnails"
        )
        stored |= either if alike else {}
    return own | stored, notes


def _count(files: Collection[str], what: str) -> str:
    return these(len(files), f"{what} is", f"{what}s are")


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height before any turn; Pillow tells a TIFF's as they are when it is shown."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_WIDTH, image.width), tags.get(_HEIGHT, image.height)


def _head(path: Path) -> Head:
    """Width and height as stored, and EXIF's orientation; 1 where there is none or the file cannot be read."""
    try:
        try:
            image = opened(regular_bytes(path, _HEAD))
            return _stored_size(image), orientation(image) or 1
        except Exception:  # a TIFF may have its header at the end
            image = opened(regular_bytes(path))
            return _stored_size(image), orientation(image) or 1
    except Exception:  # Pillow's readers raise anything on bad bytes; reading the image names the file
        return (0, 0), 1
