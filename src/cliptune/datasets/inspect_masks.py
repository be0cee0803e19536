"""What a set of images with masks holds, before anything is trained on it: what was understood, what is odd, a sheet.

Beside what `inspect` looks for in images: images and masks that do not fit each other, and masks that are not black and
white. Everything that comes back is plain data (text, numbers, lists, dicts), ready for JSON.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cliptune.datasets.depths import Scale, scale_sentences
from cliptune.datasets.duplicates import difference_hash, near_duplicates, small_greys
from cliptune.datasets.images import converted, decode, opened, printable, regular_bytes
from cliptune.datasets.inspect import CELL, in_chunks, listed_twice, write_sheet
from cliptune.datasets.mask_episode import kind_of
from cliptune.datasets.remarks import depth_remarks, file_remarks, size_remarks, unusual_scale
from cliptune.datasets.segmentation import BRIGHT, PARTS, MaskItem, MaskSet
from cliptune.errors import UserError

Pair = tuple[str, tuple[str, ...]]
"""an image and its mask files"""

_OUTLINE = 3
"""pixels, on a picture of twice a thumbnail's side"""


def understood(maskset: MaskSet) -> dict[str, Any]:
    """What a set of images with masks was taken to be.

    'counts' holds images by part, 'groups' each group's; 'prompts' every kind with an example, its longest list of
    texts, how many different texts there are and whether it is known to tell the answer; 'published' what the
    literature says of the counts and whether it 'matches' (None: nothing known).
    """
    items = {part: getattr(maskset, part) for part in PARTS}
    groups = dict.fromkeys(item.group for listed in items.values() for item in listed if item.group)
    return {
        "name": maskset.name,
        "root": printable(maskset.root),
        "about": maskset.about,
        "masks": True,
        "split": maskset.split,
        "counts": {part: len(listed) for part, listed in items.items()},
        "published": _published(maskset),
        "groups": {
            printable(group): {part: sum(item.group == group for item in listed) for part, listed in items.items()}
            for group in groups
        },
        "prompts": [_kind(maskset, kind) for kind in maskset.prompt_types],
        "notes": [printable(note) for note in maskset.notes],
    }


def _published(maskset: MaskSet) -> dict[str, Any] | None:
    facts = maskset.facts
    if facts is None or not maskset.root or not any(facts.counts):  # without a root it is drawn here
        return None
    counts = dict(zip(PARTS, facts.counts, strict=True))
    matches = all(count in (None, len(getattr(maskset, part))) for part, count in counts.items())
    # Parts made here may have the published sizes and are still not the published ones.
    return {"title": facts.title, "counts": counts, "matches": matches and maskset.split == "published"}


def _kind(maskset: MaskSet, kind: str) -> dict[str, Any]:
    found = [dict(item.prompts)[kind] for part in PARTS for item in getattr(maskset, part)]
    return {
        "kind": kind,
        "example": found[0][0],
        "most_texts": max(map(len, found)),
        "different": len({text for texts in found for text in texts}),
        "tells": kind in maskset.telling,
    }


class Place(NamedTuple):
    """Where an image is listed; as text 'images/1.jpg (train)', in JSON a list of its parts."""

    path: str
    part: str

    def __str__(self) -> str:
        return f"{self.path} ({self.part})"


@dataclass(frozen=True)
class Examination:
    """What reading the images and their masks showed."""

    looked_at: int
    """images that were read, with their masks"""
    images: int
    """images there are"""
    unreadable: dict[str, str]
    """path of an image or a mask → reason"""
    sizes_differ: dict[str, str]
    """path of an image → its size and its mask's"""
    dim: dict[str, str]
    """path of a mask → what its brightest value is: nothing would be marked, though it is not black"""
    modes: dict[str, int]
    """Pillow's pixel modes of the images, the most frequent first: 'RGB', 'L' (grey) …"""
    mask_modes: dict[str, int]
    """of the mask files"""
    odd: dict[str, str]
    """path of an image → remark: another format than the name says, turned by EXIF, very small or very large"""
    grey: int
    """mask files with values other than 0 and 255 in the first channel; none of your own, see `notes`"""
    empty: dict[str, int]
    """part → images with nothing to mark"""
    share: dict[str, float] | None
    """of the image that is marked: least, lower quartile, median, upper quartile, most; of masks that mark something"""
    listed_twice: dict[str, int]
    """'train and test' → images listed in both"""
    duplicates: list[list[Place]]
    """images of equal content in different parts, or in one part with different masks"""
    near_duplicates: list[list[Place]]
    """an image, and one of an earlier part that looks almost the same"""
    flat: int
    """images with too few edges to tell near duplicates by"""
    scaled: list[str]
    """of images of 16-bit grey, floats, signed or long whole numbers: their range, and how they are scaled"""
    spoilt: frozenset[Pair]
    """those that cannot be trained or tested on"""

    def facts(self) -> dict[str, Any]:
        """As a dict, for JSON; without `spoilt`, which its other fields tell."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "spoilt"}


class _Look(NamedTuple):
    """What is kept of one image and its masks."""

    reasons: dict[str, str]
    dim: dict[str, str]
    sizes: str = ""
    digest: bytes = b""
    greys: bytes = b""
    mode: str = ""
    remark: str = ""
    mask_modes: tuple[str, ...] = ()
    grey: int = 0
    mask_digest: bytes = b""
    share: float | None = None
    scale: Scale | None = None


def examine(
    maskset: MaskSet, most: int | None = None, progress: Callable[[int, int], object] | None = None
) -> Examination:
    """Read images and masks once each and report what is odd; a bad one never stops it.

    Args:
        most: look at no more images than this, evenly spaced; duplicates are then only those among them.
        progress: called now and then with how many are done, and of how many.
    """
    listed: dict[Pair, list[tuple[str, MaskItem]]] = {}
    for part in PARTS:
        for item in getattr(maskset, part):
            listed.setdefault((item.image, item.masks), []).append((part, item))
    pairs = list(listed)
    if most is not None and most < len(pairs):
        pairs = [pairs[i * len(pairs) // most] for i in range(most)]
    first = [listed[pair][0][1] for pair in pairs]
    looks = dict(zip(pairs, in_chunks(lambda item: _look(maskset, item), first, progress), strict=True))
    parts: dict[str, list[str]] = {}
    for (image, _), places in listed.items():
        parts.setdefault(image, []).extend(part for part, _ in places)
    by_image = {image: look for (image, _), look in reversed(looks.items()) if look.digest}
    by_image = {image: by_image[image] for image, _ in pairs if image in by_image}
    equal = _equal(by_image, parts)
    told = {image for group in equal for image in group}
    ranks = {image: min(map(PARTS.index, parts[image])) for image in by_image}
    near = near_duplicates({image: look.greys for image, look in by_image.items() if image not in told}, ranks)

    def place(image: str) -> Place:
        return Place(printable(image), min(parts[image], key=PARTS.index))

    nothing = [part for pair, look in looks.items() if look.share == 0 for part, _ in listed[pair]]
    modes = Counter(mode for look in looks.values() for mode in look.mask_modes)
    return Examination(
        looked_at=len(looks),
        images=len(listed),
        unreadable={path: why for look in looks.values() for path, why in look.reasons.items()},
        sizes_differ={printable(image): look.sizes for (image, _), look in looks.items() if look.sizes},
        dim={path: told for look in looks.values() for path, told in look.dim.items()},
        modes=dict(Counter(look.mode for look in by_image.values()).most_common()),
        mask_modes=dict(modes.most_common()),
        odd={printable(image): look.remark for image, look in by_image.items() if look.remark},
        grey=sum(look.grey for look in looks.values()),
        empty={part: nothing.count(part) for part in PARTS if part in nothing},
        share=_quartiles([look.share for look in looks.values() if look.share]),
        listed_twice=listed_twice(list(parts.values())),
        duplicates=[[place(image) for image in group] for group in equal],
        near_duplicates=[[place(image), place(like)] for image, like in near.items()],
        flat=sum(difference_hash(look.greys) is None for look in by_image.values()),
        scaled=scale_sentences(look.scale for look in by_image.values() if look.scale is not None),
        spoilt=frozenset(pair for pair, look in looks.items() if look.reasons or look.dim or look.sizes),
    )


def _equal(looks: Mapping[str, _Look], parts: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Images of equal content that lie in different parts or are marked differently."""
    groups: dict[bytes, list[str]] = {}
    for image, look in looks.items():
        groups.setdefault(look.digest, []).append(image)
    several = (group for group in groups.values() if len(group) > 1)
    return [
        group
        for group in several
        if len({part for image in group for part in parts[image]}) > 1
        or len({looks[image].mask_digest for image in group}) > 1
    ]


def _quartiles(shares: Sequence[float]) -> dict[str, float] | None:
    if not shares:
        return None
    names = ("least", "lower", "median", "upper", "most")
    return dict(zip(names, (float(each) for each in np.quantile(shares, [0, 0.25, 0.5, 0.75, 1])), strict=True))


def _look(maskset: MaskSet, item: MaskItem) -> _Look:
    reasons: dict[str, str] = {}
    look = _Look(reasons, {})
    size = None
    try:
        image = maskset.read_image(item)
        size, look = image.size, _of_image(look, maskset, item, image)
    except Exception as error:  # a set's own reader may raise anything; the others are still to be looked at
        reasons[printable(item.image)] = _reason(error, item.image)
    look = _of_masks(look, maskset, item)
    if look.dim or any(printable(file) in reasons for file in item.masks):
        return look
    if not item.masks and size is None:
        return look  # its mask is as large as the image, which cannot be read
    try:
        mask = maskset.read_mask(item)
    except Exception as error:
        where = item.masks[0] if item.masks else item.image
        reasons[printable(where)] = _reason(error, where)
        return look
    if size is not None and size != mask.shape[::-1]:
        told = f"{size[0]} × {size[1]}, its mask {mask.shape[1]} × {mask.shape[0]} pixels"
        look = look._replace(sizes=f"{told} ({printable(item.masks[0])})" if item.masks else told)
    digest = hashlib.sha256(f"{mask.shape}".encode() + np.packbits(mask > 0).tobytes()).digest()
    return look._replace(mask_digest=digest, share=float((mask > 0).mean()))


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, UserError):
        return error.what
    return f"{printable(path)} cannot be read: {error or type(error).__name__}"


def _of_image(look: _Look, maskset: MaskSet, item: MaskItem, image: Image.Image) -> _Look:
    look = look._replace(greys=small_greys(image))
    path = Path(maskset.root, item.image)
    if not (maskset.root and path.is_file()):
        digest = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()
        return look._replace(digest=digest, mode=image.mode, remark="; ".join(size_remarks(image)))
    data = regular_bytes(path)
    with opened(data) as header:
        remark = "; ".join((*file_remarks(header, path.suffix.lower()), *size_remarks(header), *depth_remarks(header)))
        digest, scale = hashlib.sha256(data).digest(), unusual_scale(header)
        return look._replace(digest=digest, mode=header.mode, remark=remark, scale=scale)


def _of_masks(look: _Look, maskset: MaskSet, item: MaskItem) -> _Look:
    """What the mask files hold before the threshold; drawn masks have none."""
    modes: list[str] = []
    grey = 0
    for file in item.masks:
        path = Path(maskset.root, file)
        if not maskset.root:
            continue
        try:
            data = regular_bytes(path)
            if maskset.meaning is not None:  # the set's own reader judges them
                modes.append(converted(data, printable(file), lambda image: image.mode))
                continue
            values = np.asarray(decode(data, printable(file), as_published=True))[..., 0]
            with opened(data) as header:
                modes.append(header.mode)
        except Exception as error:
            look.reasons[printable(file)] = _reason(error, file)
            continue
        counts = np.bincount(values.ravel(), minlength=256)
        grey += bool(counts[1:255].any())
        brightest = int(np.flatnonzero(counts)[-1])
        if 0 < brightest <= BRIGHT:
            look.dim[printable(file)] = f"nowhere brighter than {brightest} of 255"
    return look._replace(mask_modes=tuple(modes), grey=grey)


def thumbnails(maskset: MaskSet, path: Path, count: int = 9) -> None:
    """A sheet of images with what is to be marked outlined, as PNG; the same for the same set.

    They are taken evenly spaced from train (val, test where there is none) and called by their prompts, or by their
    files' names where the prompts are all the same; images that cannot be read are passed over.

    Raises:
        UserError: none of the images that were tried can be read, or the sheet cannot be written.
    """
    listed = maskset.train or maskset.val or maskset.test
    # The nine first, then those between them, in case some cannot be read.
    order = dict.fromkeys(i * len(listed) // n for n in (count, 5 * count) for i in range(n)) if listed else {}
    pictures = itertools.islice(_outlined(maskset, [listed[index] for index in order]), count)
    chosen = [(picture, item) for item, picture in pictures]
    if not chosen:
        raise UserError(f"'{maskset.name}' has no readable image to show", "mend or remove what cannot be read")
    kind = kind_of(maskset, "auto")
    texts = [dict(item.prompts)[kind][0] for _, item in chosen]
    if len(set(texts)) == 1:
        texts = [Path(item.image).name for _, item in chosen]
    write_sheet([(picture, text) for (picture, _), text in zip(chosen, texts, strict=True)], path, count)


def _outlined(maskset: MaskSet, items: Sequence[MaskItem]) -> Iterator[tuple[MaskItem, Image.Image]]:
    from cliptune.tasks.segment import overlay

    for item in items:
        try:
            image, mask = maskset.read_image(item), maskset.read_mask(item)
        except Exception:  # what is unreadable is `examine`'s to report
            continue
        if image.size != mask.shape[::-1]:
            continue
        scale = 2 * CELL / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = np.asarray(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3))
        truth = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        yield item, Image.fromarray(overlay(small, np.zeros_like(truth), truth, _OUTLINE))
