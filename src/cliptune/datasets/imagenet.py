"""What ImageNet and its four test sets share: CLIP's list of 1,000 names, and folders whose names give the labels.

The folders are listed, never the files asked about one by one: 1.28 million of them take seconds.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from cliptune.counted import these
from cliptune.datasets.base import ImageSet, Item, Missing
from cliptune.datasets.published import PHOTO, Copy, Facts, assemble, find_copy, sorted_folders, sorted_images
from cliptune.datasets.templates import ensemble
from cliptune.errors import UserError
from cliptune.texts import read_text

TEMPLATES = (PHOTO, *ensemble("imagenet-7"))
"""CoOp's, then the seven that Tip-Adapter averages"""

_LISTS = Path(__file__).with_name("names")
_LINE = re.compile(r"(n\d{8})\s+(\S.*)")
_FIX = "take CoOp's classnames.txt, or remove this one: the names come with cliptune"


@cache
def published_names() -> Mapping[str, str]:
    """Wnid → name, sorted by wnid, which is the order of the labels. 'missile' and 'sunglasses' occur twice."""
    return read_names(_LISTS / "imagenet.txt")


@cache
def wnids_of(name: str) -> tuple[str, ...]:
    """The 200 wnids of 'imagenet_a' or 'imagenet_r', sorted."""
    return tuple((_LISTS / f"{name}.txt").read_text("utf-8").split())


def read_names(path: Path) -> dict[str, str]:
    """Wnid → name of a classnames.txt, sorted by wnid whatever the order of its lines.

    Raises:
        UserError: a line that is not 'wnid name', or a wnid twice.
    """
    lines = read_text(path, _FIX).split("\n")
    names: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line:
            continue
        found = _LINE.fullmatch(line)
        if found is None or found[1] in names:
            what = "is not 'n01440764 tench', a wnid and a name" if found is None else "repeats a wnid"
            raise UserError(f"{path}:{number}: '{line}' {what}", _FIX)
        names[found[1]] = found[2]
    return dict(sorted(names.items()))


def names_for(copy: Copy) -> Mapping[str, str]:
    """Wnid → name: from the classnames.txt of this copy where there is one, else CLIP's.

    Raises:
        UserError: the file is malformed, or its wnids are not ImageNet's 1,000.
    """
    ours, path = published_names(), copy.folder / "classnames.txt"
    if not path.is_file():
        return ours
    theirs = read_names(path)
    if strange := sorted(theirs.keys() ^ ours.keys()):
        where = "which is not one of ImageNet's 1,000" if strange[0] in theirs else "which ImageNet has, is not in it"
        raise UserError(f"{path} has {len(theirs):,} wnids: {strange[0]}, {where}", _FIX)
    if other := [wnid for wnid in ours if theirs[wnid] != ours[wnid]]:
        copy.notes.append(
            f"classnames.txt gives {len(other):,} of 1,000 classes another name than CLIP's list, "
            f"first {other[0]} '{theirs[other[0]]}' for '{ours[other[0]]}'"
        )
    return theirs


def open_test_set(
    name: str,
    facts: Facts,
    root: str | None,
    missing: Missing = "refuse",
    wnids: Sequence[str] | None = None,
    numbered: bool = False,
) -> ImageSet:
    """A set that is only tested on.

    Args:
        wnids: its classes, numbered from 0; None are all 1,000.
        numbered: folders are called by label, '0' to '999', instead of by wnid.
    """
    copy = find_copy(name, facts, root, missing)
    names = names_for(copy)
    wnids = tuple(names) if wnids is None else wnids
    labels = {str(label) if numbered else wnid: label for label, wnid in enumerate(wnids)}
    classes = tuple(names[wnid] for wnid in wnids)
    return assemble(copy, classes, {"test": scan(copy, "", labels, facts.counts[2])})


def scan(copy: Copy, part: str, labels: Mapping[str, int], published: int | None) -> tuple[Item, ...]:
    """The images of the class folders in `part`, by label and then by file name.

    A class keeps its label whatever else this copy lacks; what it lacks is noted.

    Args:
        part: below the image folder; '' for itself.
        labels: by folder name.
        published: how many images there should be, if that is known.

    Raises:
        UserError: no class folders there.
    """
    top = copy.images / part
    folders = sorted_folders(top)
    found = sorted((labels[folder], folder) for folder in folders if folder in labels)
    if not found:
        raise _no_classes(copy, top, folders, labels)
    items: list[Item] = []
    for label, folder in found:
        below = f"{part}/{folder}/" if part else f"{folder}/"
        items += [Item(below + file, label) for file in sorted_images(top / folder)]
    if strays := [folder for folder in folders if folder not in labels]:
        copy.notes.append(f"{len(strays):,} folders of {top} are no class and are left out, first {strays[0]}")
    if published is not None and len(items) != published:
        copy.notes.append(
            f"{top} has {len(items):,} images in {len(found):,} of {len(labels):,} classes; published are {published:,}"
        )
    return tuple(items)


def _no_classes(copy: Copy, top: Path, folders: Sequence[str], labels: Mapping[str, int]) -> UserError:
    wanted = f"one folder per class ({next(iter(labels))} …)"
    if flat := len(sorted_images(top)):
        return UserError(
            f"{top} has {these(flat, 'image')} and no class folders, as the validation archive unpacks",
            f"move them into {wanted}, with the script valprep.sh that many use or from the development kit's labels",
        )
    there = f"there is {folders[0]}" if folders else "there is none"
    return UserError(f"{top} has to have {wanted}, but {there}", f"get it: {copy.facts.get}")
