"""What an image set holds, before anything is trained on it: what was understood, what is odd, a sheet of pictures.

Everything that comes back is plain data (text, numbers, lists, dicts), ready for JSON.
"""

import hashlib
import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

from PIL import Image, ImageDraw, ImageFont, ImageOps

from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.depths import Scale, scale_sentences
from cliptune.datasets.duplicates import difference_hash, near_duplicates, small_greys
from cliptune.datasets.images import decode, opened, printable, regular_bytes
from cliptune.datasets.remarks import depth_remarks, file_remarks, size_remarks, unusual_scale
from cliptune.errors import UserError
from cliptune.files import write_whole

SPLITS = ("train", "val", "test")

Given = TypeVar("Given")
Seen = TypeVar("Seen")
_CHUNK = 256
CELL = 128
"""pixels of a thumbnail's side"""
_CAPTION, _GAP = 20, 8


def understood(imageset: ImageSet) -> dict[str, Any]:
    """What a data set was taken to be.

    'counts' and 'domains' hold images by split; 'per_class' how many the poorest, the middle and the richest class
    have; 'published' what the literature says of counts and classes and whether it 'matches' (None: nothing known).
    """
    items = {split: getattr(imageset, split) for split in SPLITS}
    return {
        "name": imageset.name,
        "root": printable(imageset.root),
        "about": imageset.about,
        "split": imageset.split,
        "class_count": len(imageset.classes),
        "classes": [printable(name) for name in imageset.classes],
        "counts": {split: len(listed) for split, listed in items.items()},
        "domains": {
            domain: {split: sum(item.domain == domain for item in listed) for split, listed in items.items()}
            for domain in imageset.domains
        },
        "per_class": {split: _per_class(listed, len(imageset.classes)) for split, listed in items.items()},
        "published": _published(imageset),
        "templates": list(imageset.templates),
        "notes": [printable(note) for note in imageset.notes],
    }


def _per_class(items: Sequence[Item], classes: int) -> dict[str, float] | None:
    if not items:
        return None
    found = Counter(item.label for item in items)
    counts = [found[label] for label in range(classes)]
    return {"least": min(counts), "median": median(counts), "most": max(counts)}


def _published(imageset: ImageSet) -> dict[str, Any] | None:
    facts = imageset.facts
    if facts is None or not (facts.classes or any(facts.counts)):
        return None
    counts = dict(zip(SPLITS, facts.counts, strict=True))
    # Where the official validation images are the test, the papers count them once.
    asked = [split for split in SPLITS if counts[split] is not None and not (split == "val" and facts.val_is_test)]
    matches = facts.classes in (0, len(imageset.classes))
    matches = matches and all(counts[split] == len(getattr(imageset, split)) for split in asked)
    return {"title": facts.title, "classes": facts.classes, "counts": counts, "matches": matches if asked else None}


class Place(NamedTuple):
    """Where an image is listed; as text 'cat/1.jpg (train, cat)', in JSON a list of its parts."""

    path: str
    split: str
    name: str
    """of its class"""

    def __str__(self) -> str:
        return f"{self.path} ({self.split}, {self.name})"


@dataclass(frozen=True)
class Examination:
    """What reading the images showed."""

    looked_at: int
    """files that were read"""
    images: int
    """files there are"""
    unreadable: dict[str, str]
    """path → reason"""
    modes: dict[str, int]
    """Pillow's pixel modes, the most frequent first: 'RGB', 'L' (grey), 'RGBA' …"""
    odd: dict[str, str]
    """path → remark: another format than the name says, turned by EXIF, very small or very large"""
    listed_twice: dict[str, int]
    """'train and test' → files listed in both"""
    duplicates: list[list[Place]]
    """files of equal content in different splits, domains or classes"""
    near_duplicates: list[list[Place]]
    """an image, and one of an earlier domain or split that looks almost the same"""
    flat: int
    """images with too few edges to tell near duplicates by"""
    scaled: list[str]
    """of images of 16-bit grey, floats, signed or long whole numbers: their range, and how they are scaled"""

    def facts(self) -> dict[str, Any]:
        """As a dict, for JSON."""
        return asdict(self)


class _Look(NamedTuple):
    """What is kept of one image."""

    digest: bytes = b""
    greys: bytes = b""
    mode: str = ""
    remark: str = ""
    reason: str = ""
    scale: Scale | None = None


def examine(
    imageset: ImageSet, most: int | None = None, progress: Callable[[int, int], object] | None = None
) -> Examination:
    """Read the images once each and report what is odd; a bad one never stops it.

    Equal files have equal SHA-256, drawn images equal pixels; `duplicates.py` says what a near duplicate is.

    Args:
        most: look at no more files than this, evenly spaced; duplicates are then only those among them.
        progress: called now and then with how many files are done, and of how many.
    """
    listed: dict[str, tuple[tuple[str, Item], ...]] = {}
    for split in SPLITS:
        for item in getattr(imageset, split):
            listed[item.path] = (*listed.get(item.path, ()), (split, item))
    paths = list(listed)
    if most is not None and most < len(paths):
        paths = [paths[i * len(paths) // most] for i in range(most)]
    first = [listed[path][0][1] for path in paths]
    looks = dict(zip(paths, in_chunks(lambda item: _look(imageset, item), first, progress), strict=True))
    readable = {path: look for path, look in looks.items() if not look.reason}
    ranks = {path: min(_rank(imageset, *each) for each in listed[path]) for path in readable}
    equal = [
        group
        for group in _equal(readable)
        if len({ranks[path] for path in group}) > 1 or len({it.label for path in group for _, it in listed[path]}) > 1
    ]
    told = {path for group in equal for path in group}
    near = near_duplicates({path: look.greys for path, look in readable.items() if path not in told}, ranks)

    def places(path: str) -> list[Place]:
        once = {item.label: split for split, item in reversed(listed[path])}  # the first split of each label stays
        names = {label: printable(imageset.classes[label]) for label in sorted(once)}
        return [Place(printable(path), once[label], name) for label, name in names.items()]

    return Examination(
        looked_at=len(looks),
        images=len(listed),
        unreadable={printable(path): look.reason for path, look in looks.items() if look.reason},
        modes=dict(Counter(look.mode for look in readable.values()).most_common()),
        odd={printable(path): look.remark for path, look in readable.items() if look.remark},
        listed_twice=listed_twice([[split for split, _ in each] for each in listed.values() if len(each) > 1]),
        duplicates=[[place for path in group for place in places(path)] for group in equal],
        near_duplicates=[[places(path)[0], places(like)[0]] for path, like in near.items()],
        flat=sum(difference_hash(look.greys) is None for look in readable.values()),
        scaled=scale_sentences(look.scale for look in readable.values() if look.scale is not None),
    )


def _rank(imageset: ImageSet, split: str, item: Item) -> int:
    """Which of the parts that should share no image: the splits, of every domain where there are domains."""
    domain = imageset.domains.index(item.domain) if imageset.domains else 0
    return domain * len(SPLITS) + SPLITS.index(split)


def listed_twice(splits: Sequence[Sequence[str]]) -> dict[str, int]:
    """'train and test' → files listed in both, of the splits that each file is listed in."""
    several = (dict.fromkeys(each) for each in splits)
    return dict(Counter(" and ".join(each) for each in several if len(each) > 1))


def _equal(looks: Mapping[str, _Look]) -> list[list[str]]:
    """Paths grouped by content."""
    groups: dict[bytes, list[str]] = {}
    for path, look in looks.items():
        groups.setdefault(look.digest, []).append(path)
    return list(groups.values())


def in_chunks(
    look: Callable[[Given], Seen], items: Sequence[Given], progress: Callable[[int, int], object] | None
) -> Iterator[Seen]:
    """`look` at each, in order; no more images are in memory than there are threads."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for start in range(0, len(items), _CHUNK):
            yield from pool.map(look, items[start : start + _CHUNK])
            if progress is not None:
                progress(min(start + _CHUNK, len(items)), len(items))


def _look(imageset: ImageSet, item: Item) -> _Look:
    try:
        path = Path(imageset.root, item.path)
        if not (imageset.root and path.is_file()):
            image = imageset.read(item)
            digest = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()
            return _Look(digest, small_greys(image), image.mode, "; ".join(size_remarks(image)))
        data = regular_bytes(path)
        greys = small_greys(decode(data, printable(item.path)))
        with opened(data) as header:
            remark = "; ".join(
                (*file_remarks(header, path.suffix.lower()), *size_remarks(header), *depth_remarks(header))
            )
            digest, mode = hashlib.sha256(data).digest(), header.mode
            return _Look(digest, greys, mode, remark, scale=unusual_scale(header))
    except UserError as error:
        return _Look(reason=error.what)
    except Exception as error:  # a set's own reader may raise anything; the other images are still to be looked at
        return _Look(reason=f"{printable(item.path)} cannot be read: {error or type(error).__name__}")


def thumbnails(imageset: ImageSet, path: Path, count: int = 9) -> None:
    """A contact sheet of images from different classes, as PNG, each with its class name; the same for the same set.

    Classes are taken evenly spaced, an image each from train (val, test where there is none); images that cannot be
    read are passed over.

    Raises:
        UserError: none of the images that were tried can be read, or the sheet cannot be written.
    """
    chosen = list(itertools.islice(_readable(imageset, count), count))
    if not chosen:
        raise UserError(
            f"data set '{imageset.name}' has no readable image to show", "mend or remove what cannot be read"
        )
    write_sheet(chosen, path, count)


def write_sheet(chosen: Sequence[tuple[Image.Image, str]], path: Path, count: int) -> None:
    """Pictures with captions on a sheet with room for `count`, as PNG.

    Raises:
        UserError: the file cannot be written.
    """
    columns = math.ceil(math.sqrt(count))
    size = (columns * (CELL + _GAP) + _GAP, math.ceil(count / columns) * (CELL + _CAPTION + _GAP) + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    for number, (image, name) in enumerate(chosen):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (CELL + _GAP), _GAP + row * (CELL + _CAPTION + _GAP)
        cell = ImageOps.pad(image, (CELL, CELL), color="#eeeeee")
        sheet.paste(cell, (left, top))
        draw.text((left, top + CELL + 2), _fitting(name, font), fill="black", font=font)
    write_whole(path, lambda half: sheet.save(half, "PNG"))


def _readable(imageset: ImageSet, count: int) -> Iterator[tuple[Image.Image, str]]:
    """Images with class names: one of each of `count` classes, then a second of each …; at most 5 · count reads."""
    by_class: dict[int, list[Item]] = {}
    for item in imageset.train or imageset.val or imageset.test:
        by_class.setdefault(item.label, []).append(item)
    labels = sorted(by_class)
    labels = [labels[i * len(labels) // count] for i in range(count)] if len(labels) > count else labels
    rounds = itertools.zip_longest(*(by_class[label] for label in labels))
    items = (item for row in rounds for item in row if item is not None)
    for item in itertools.islice(items, 5 * count):
        try:
            yield imageset.read(item), imageset.classes[item.label]
        except Exception:  # what is unreadable is `examine`'s to report
            continue


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from matplotlib import get_data_path

    try:  # matplotlib's DejaVu knows far more letters than the font within Pillow
        return ImageFont.truetype(
            str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 12, layout_engine=ImageFont.Layout.BASIC
        )
    except OSError:
        return ImageFont.load_default()


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    name = " ".join(printable(name).replace("_", " ").split())
    if font.getlength(name) <= CELL:
        return name
    return next(short for end in range(len(name), -1, -1) if font.getlength(short := f"{name[:end].rstrip()}…") <= CELL)
