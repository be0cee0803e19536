"""Which mask belongs to which image, by file names: first the same name, then names as people and tools vary them.

a.jpg        a.png                                 the same
A.JPG        a.png                                 in another case, or another Unicode form
00.jpg       00_mask.png, gt-00.png, 00_seg_1.png  with a word for a mask, perhaps numbered; likewise for an image
00.jpg       00/1.png, 00/2.png                    in a folder called like the image
7.jpg        007.png                               numbers filled up otherwise
p1/a.jpg     a.png                                 in another folder

Each rule is asked of what those before it left over, and pairs only what it tells apart: one image for a name.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

_MASK_WORDS = (
    "mask|masks|seg|segmentation|segmented|segment|label|labels|labelmap|gt|ground_?truth|anno|annotation|annotated|"
    "target|manual|bin|binary|matte|roi"
)
_IMAGE_WORDS = "image|images|img|imgs|photo|picture|original|orig|input|rgb|frame|scan|sat|train|training|test|val"
_NUMBER = r"(?:[\s_.\-]*\(?\d+\)?)?"

Name = Callable[[str], str]
"""the name that a key is compared by"""


class Pairing(NamedTuple):
    """What belongs together, by the keys of images and masks."""

    masks: dict[str, list[str]]
    """image → its masks, sorted"""
    differing: dict[str, str]
    """masks with another name than their image → how they differ"""
    lone_images: list[str]
    lone_masks: list[str]
    rivals: dict[str, list[str]]
    """lone images of whose name several folders have a mask: 'a' → ['cat/a', 'dog/a']"""


def pair(images: Iterable[str], masks: Iterable[str]) -> Pairing:
    """Masks of each image, by their paths without suffixes, as 'p1/00_mask'."""
    lone_images, lone_masks = set(images), set(masks)
    paired = {key: [key] for key in sorted(lone_images & lone_masks)}
    lone_images -= paired.keys()
    lone_masks -= paired.keys()
    differing: dict[str, str] = {}
    rules = [
        *_RULES,
        ("the same ending or beginning of all masks", _same, _common(lone_images, lone_masks), False),
        ("the same ending or beginning of all images and of all masks", _bare(lone_images), _bare(lone_masks), False),
    ]
    for what, of_image, of_mask, several in rules:
        owners, claims = _by_name(lone_images, of_image), _by_name(lone_masks, of_mask)
        for name in owners.keys() & claims.keys():
            if len(owners[name]) == 1 and (several or len(claims[name]) == 1):
                paired[owners[name][0]] = claims[name]
                differing |= dict.fromkeys(claims[name], what)
        lone_images -= paired.keys()
        lone_masks -= differing.keys()
    rivals = _rivals(lone_images, lone_masks)
    return Pairing(dict(sorted(paired.items())), differing, sorted(lone_images), sorted(lone_masks), rivals)


def _rivals(images: Iterable[str], masks: Iterable[str]) -> dict[str, list[str]]:
    """Masks that are called like the same image in different folders: 'cat/p1/a' and 'dog/p1/a' for 'p1/a'."""
    inner = _by_name(masks, lambda key: _of_mask(key).partition("/")[2])
    found = {image: inner.get(_of_image(image), []) for image in sorted(images)}
    return {image: own for image, own in found.items() if len({key.partition("/")[0] for key in own}) > 1}


def _by_name(keys: Iterable[str], name_of: Name) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for key in sorted(keys):
        names.setdefault(name_of(key), []).append(key)
    return names


def _same(key: str) -> str:
    return unicodedata.normalize("NFC", key).casefold()


def _wordless(words: str) -> Name:
    """The name without a word of `words`, at the end (perhaps numbered), else at the beginning of its last part."""
    end = re.compile(rf"(?<=.)(?:[\s_.\-]+(?:{words})|\s*\((?:{words})\)|(?<=\d)(?:{words})){_NUMBER}$")
    start = re.compile(rf"^(?:{words})(?:[\s_.\-]+|(?=\d))(?=.)")

    def name_of(key: str) -> str:
        folder, slash, name = _same(key).rpartition("/")
        short = end.sub("", name)
        return f"{folder}{slash}{start.sub('', name) if short == name else short}"

    return name_of


def _folder(key: str) -> str:
    return _same(key).rpartition("/")[0] or key


def _collapsed(key: str) -> str:
    """'7/7' is '7': an image in a folder of its own."""
    folder, _, name = _same(key).rpartition("/")
    return folder if folder.rpartition("/")[2] == name else _same(key)


def masks_beside(keys: Iterable[str]) -> set[str]:
    """Of files in one folder those that are called like another with a word for a mask."""
    listed = list(keys)
    known = {_same(key) for key in listed}
    return {key for key in listed if _of_mask(key) != _same(key) and _of_mask(key) in known}


def _unfilled(name_of: Name) -> Name:
    return lambda key: re.sub(r"\d+", lambda number: number[0].lstrip("0") or "0", name_of(key))


def _last(name_of: Name) -> Name:
    return lambda key: name_of(key).rpartition("/")[2]


def _common(images: Iterable[str], masks: Iterable[str]) -> Name:
    """Without the ending or beginning that every mask has beyond an image's name; the name itself where there is none.

    >>> _common(["a", "b"], ["a_lesion", "b_lesion"])("b_lesion")
    'b'
    """
    known, names = {_same(key) for key in images}, [_same(key) for key in masks]
    endings = [{name[i:] for i in range(1, len(name)) if name[:i] in known and not name[i].isalnum()} for name in names]
    beginnings = [
        {name[:i] for i in range(1, len(name)) if name[i:] in known and not name[i - 1].isalnum()} for name in names
    ]
    ending = min(set.intersection(*endings), default="") if endings else ""
    beginning = min(set.intersection(*beginnings), default="") if beginnings else ""
    if ending:
        return lambda key: _same(key).removesuffix(ending)
    return lambda key: _same(key).removeprefix(beginning)


def _bare(keys: Iterable[str]) -> Name:
    """Without the ending and beginning that all names have, as far as a separator bounds it.

    >>> _bare(["aachen_1_left", "aachen_2_left"])("aachen_2_left")
    '2'
    """
    names = [_same(key) for key in keys]
    if len(names) < 2:
        return _same
    ending = _beginning([name[::-1] for name in names])[::-1]
    ending = next((ending[i:] for i in range(len(ending)) if ending[i] in "_-. "), "")
    names = [name.removesuffix(ending) for name in names]
    beginning = _beginning(names)
    beginning = next((beginning[:i] for i in range(len(beginning), 0, -1) if beginning[i - 1] in "_-. /"), "")
    return lambda key: _same(key).removesuffix(ending).removeprefix(beginning)


def _beginning(names: Sequence[str]) -> str:
    """The letters that all names begin with."""
    return "".join(letters[0] for letters in takewhile(lambda it: len(set(it)) == 1, zip(*names, strict=False)))


_of_image, _of_mask = _wordless(_IMAGE_WORDS), _wordless(_MASK_WORDS)
_RULES: tuple[tuple[str, Name, Name, bool], ...] = (
    ("another case or Unicode form", _same, _same, False),
    ("a word for a mask in the name", _same, _of_mask, True),
    ("words for image and mask in the names", _of_image, _of_mask, True),
    ("a folder of masks for each image", _collapsed, _folder, True),
    ("numbers filled up otherwise", _unfilled(_of_image), _unfilled(_of_mask), False),
    ("another folder", _last(_of_image), _last(_of_mask), False),
)
"""how names differ; the names that are compared, of an image and of a mask; whether an image may have several masks"""
