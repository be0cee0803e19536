"""What a run goes through, in images, before it runs: from what was published of its data, or from the data themselves.

Opened are sets that ship, your own folders, and, where a domain is held out, the named set if it lies below the root:
domains differ in size. Of other sets that lie there a few headers are read, for the images' sizes.
"""

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from cliptune.datasets import data
from cliptune.datasets.facts import facts_of
from cliptune.datasets.images import IMAGE_SUFFIXES, opened, regular_bytes
from cliptune.datasets.published import find_copy
from cliptune.errors import UserError
from cliptune.protocols import make_episode, resolved
from cliptune.recipe import Recipe

if TYPE_CHECKING:
    from cliptune.datasets.base import ImageSet, Item
    from cliptune.datasets.published import Facts
    from cliptune.recipe_tables import ProtocolSettings

TYPICAL = 3 * 500 * 375
"""bytes of a decoded photograph of a set that is not here: most of the papers' have a longer side of 300 to 500"""
SAMPLED, AMONG = 24, 480
"""images whose size is looked up, spread over the first so many"""


@dataclass(frozen=True)
class Extent:
    """What a run has to go through."""

    classes: int
    train: int
    """images"""
    tests: int
    """images of all tests"""
    val: int = 0
    image_bytes: int = TYPICAL
    """of a decoded image at its own size, on average"""
    augment: str = "photo"
    """how the set varies its training images: `Augment.kind`"""


def extent(recipe: Recipe, root: str) -> Extent | None:
    """How much a run goes through; None if nothing is known of its data."""
    name, protocol = recipe.data.name, recipe.protocol
    whole = _whole(name, root)
    if whole is None:
        return None
    if protocol.name == "domain-generalization":
        return _held_out(name, root, protocol) or replace(
            whole, train=int(0.75 * whole.train), val=int(0.75 * whole.val), tests=whole.tests // 4
        )
    classes, share = whole.classes, 1.0
    if protocol.name == "base-to-novel":
        classes, share = -(-classes // 2), 0.5
    shots, train, val = recipe.shots, int(whole.train * share), int(whole.val * share)
    if shots is not None:
        train = min(shots * classes, whole.train or shots * classes)
        val = min(min(shots, 4) * classes, whole.val)
    others = [_whole(name, root) for name in protocol.tests]
    tests = whole.tests + sum(other.tests for other in others if other)
    return replace(whole, classes=classes, train=train, val=val, tests=tests)


@functools.cache
def _whole(name: str, root: str) -> Extent | None:
    """All of a data set."""
    facts = facts_of(name)
    if facts is not None:
        train, val, test = facts.counts
        size = _of_headers(facts, root) or TYPICAL
        return Extent(facts.classes, train or 9 * (test or 0) // 10, test or 0, val or (test or 0) // 10, size)
    imageset = _opened(name, root)
    return None if imageset is None else extent_of(imageset, imageset.train, imageset.val, len(imageset.test))


@functools.cache
def _held_out(name: str, root: str, protocol: "ProtocolSettings") -> Extent | None:
    """The same where a domain is held out, from the episode itself; None where the set is not here."""
    imageset = _opened(name, root)
    if imageset is None:
        return None
    try:
        chosen = resolved(protocol, imageset)
        episode = make_episode(chosen, imageset, "", lambda other: data(other, root or None))
    except UserError:  # the run itself will say so
        return None
    tests = sum(len(test.items) for test in episode.tests.values())
    return replace(extent_of(imageset, episode.train, episode.val, tests), classes=len(episode.classes))


@functools.cache
def _opened(name: str, root: str) -> "ImageSet | None":
    try:
        return data(name, root or None)  # `reading` has refused code that nobody typed
    except UserError:
        return None


def extent_of(imageset: "ImageSet", train: "tuple[Item, ...]", val: "tuple[Item, ...]", tests: int) -> Extent:
    """Of given parts of an image set; some of the images are read for their size."""
    some = train[:: max(1, len(train) // SAMPLED)][:SAMPLED]
    sizes = _sizes(imageset, some)
    size = sum(sizes) // len(sizes) if sizes else TYPICAL
    return Extent(len(imageset.classes), len(train), tests, len(val), size, imageset.augment.kind)


def _sizes(imageset: "ImageSet", items: "Iterable[Item]") -> list[int]:
    sizes = []
    for item in items:
        try:
            width, height = imageset.read(item).size
        except UserError:  # the run itself will say so
            continue
        sizes.append(3 * width * height)
    return sizes


def _of_headers(facts: "Facts", root: str) -> int | None:
    """Bytes of a decoded image of a named set below `root`, on average over some; None where it does not lie there."""
    if not root:
        return None
    try:
        folder = find_copy("", facts, root).images
    except UserError:
        return None
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    some = list(itertools.islice(paths, AMONG))
    sizes = []
    for path in some[:: max(1, len(some) // SAMPLED)]:
        try:
            with opened(regular_bytes(path)) as image:
                sizes.append(3 * image.width * image.height)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    return sum(sizes) // len(sizes) if sizes else None


def kept_bytes(size: Extent, augment: str, side: int, most: int, trained: bool = True) -> int:
    """Decoded images that a run keeps in memory at its end: uint8, cut to `side` pixels, or whole where steps crop.

    Args:
        augment: `train.augment` of the recipe. side: of the backbone's images, pixels.
        most: bytes that are kept of the training, of the validation and of the test images, each.
        trained: whether steps are taken; training images are cut for a head that is fitted in one go.
    """
    cut = 3 * side**2
    kind = size.augment if augment == "data" else augment
    train = size.train * (cut if kind in ("affine", "none") or not trained else size.image_bytes)
    return min(most, train) + min(most, size.val * cut) + min(most, size.tests * cut)
