"""The nouns of prompted segmentation: an image with its mask and its prompts, and a set of them.

mask[h w] = 1 where any of the image's mask files marks the pixel, else 0

A published set's masks mark what is brighter than 127 in the first channel. 127 and not 0, because real masks are
noisy: Kvasir-SEG's are JPEG, some of CVC-ClinicDB's have values up to 112 where nothing is. What your own masks mark is
decided from all of them together, see `mask_meaning`. A MaskSet says nothing of the size a model wants: masks keep
their own.
"""

import os
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cliptune.datasets.base import Missing
from cliptune.datasets.images import printable, read_file
from cliptune.errors import UserError
from cliptune.registry import find

if TYPE_CHECKING:
    from cliptune.datasets.mask_meaning import Meaning
    from cliptune.datasets.published import Facts

PARTS = ("train", "val", "test")
BRIGHT = 127
"""a pixel belongs to the mask above this"""
RANDOM = "random"
"""the kind of prompt that draws one of the others"""
KIND_OF_PROMPT = re.compile(r"p\d+|random|auto")
"""what is taken for a kind of prompt and not for words"""

Prompts = tuple[tuple[str, tuple[str, ...]], ...]
"""texts by kind, in the order of the kinds: (("p0", ("",)), ("p1", ("polyp",)), …); of several texts one is drawn"""


@dataclass(frozen=True, slots=True)
class MaskItem:
    """One image with its masks and prompts; paths are relative to the set's root, '/' between parts."""

    image: str
    masks: tuple[str, ...] = ()
    """what any of them marks counts; none: the set says that there is nothing to mark"""
    prompts: Prompts = ()
    group: str = ""
    """what is looked at apart or must stay together: 'benign', 'sequence 7'"""


@dataclass(frozen=True)
class MaskSet:
    """Images with masks and prompts in three parts; an empty tuple where a part does not exist."""

    name: str
    read_image: Callable[[MaskItem], Image.Image] = field(repr=False, compare=False)
    """decode one item's image to RGB; raises UserError naming the file when it cannot"""
    read_mask: Callable[[MaskItem], np.ndarray] = field(repr=False, compare=False)
    """one item's mask, uint8 [h w] of 0 and 1, at its own size; raises UserError naming the file when it cannot"""
    prompt_types: tuple[str, ...] = ()
    """kinds of prompts every item has, in order: ('p0', 'p1', …)"""
    train: tuple[MaskItem, ...] = ()
    val: tuple[MaskItem, ...] = ()
    test: tuple[MaskItem, ...] = ()
    root: str = ""
    """the folder the items' paths are relative to"""
    split: str = "published"
    """where the parts come from: 'published', 'given' (by the user's folders) or 'made here …'"""
    about: str = ""
    """one line: source, licence"""
    source: str = ""
    """what opens it again where its name does not: the path of your own images"""
    facts: "Facts | None" = field(default=None, repr=False, compare=False)
    """what was published about it"""
    notes: tuple[str, ...] = ()
    """what somebody should know about this copy: rows listed twice, files left out, prompts that tell the answer"""
    telling: tuple[str, ...] = ()
    """kinds of prompts that are known to tell something of the true masks"""
    opened: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """how it was opened, as settings: data.root, data.missing, segment.words, segment.value"""
    meaning: "Meaning | None" = field(default=None, repr=False, compare=False)
    """how the masks of your own images are read; None: what is brighter than 127"""

    def __repr__(self) -> str:
        sizes = f"{len(self.train):,} train, {len(self.val):,} val, {len(self.test):,} test images"
        return f"MaskSet({self.name!r}, {sizes})"

    def _repr_html_(self) -> str:
        from cliptune.notebook import of_masks

        return of_masks(self)


def word_prompts(word: str) -> Prompts:
    """The prompts of a set that comes without: p0 is empty, p1 says what is looked for.

    >>> word_prompts("polyp")
    (('p0', ('',)), ('p1', ('polyp',)))
    """
    return (("p0", ("",)), ("p1", (word,)))


def prompt_of(item: MaskItem, kind: str, stream: random.Random) -> str:
    """An item's prompt; of several texts one is drawn.

    Args:
        kind: 'p0', 'p1' …, or 'random': any but the first, each as likely.
        stream: asked only where there is something to draw.

    Raises:
        UserError: the item has no such kind; names those it has.
    """
    texts = dict(item.prompts)
    later = [name for name, _ in item.prompts[1:]]
    kind = find(kind, [*texts, RANDOM] if later else texts, f"prompt of {printable(item.image)}")
    drawn = texts[stream.choice(later) if kind == RANDOM else kind]
    return drawn[0] if len(drawn) == 1 else stream.choice(drawn)


def read_image_below(root: Path, item: MaskItem, as_published: bool = True) -> Image.Image:
    """An item's image in RGB; your own come upright and over white, published ones as the papers' code reads them.

    Raises:
        UserError: it cannot be read; names it.
    """
    return read_file(root / item.image, as_published)


def read_mask_below(root: Path, item: MaskItem, as_published: bool = True) -> np.ndarray:
    """An item's mask, uint8 [h w] of 0 and 1; zeros of the image's size where it has no mask files.

    Raises:
        UserError: a file cannot be read, holds no white, or differs in size from the others of this image; names it.
    """
    return joined_masks(root, item, lambda file: _bright(root / file), as_published)


def joined_masks(
    root: Path, item: MaskItem, read: Callable[[str], np.ndarray], as_published: bool = False
) -> np.ndarray:
    """What any of an item's mask files marks, uint8 [h w]; zeros of the image's size where it has none.

    Args:
        read: one mask file, by its path below `root`, to uint8 [h w] of 0 and 1.

    Raises:
        UserError: from `read`; or two of the files differ in size.
    """
    if not item.masks:
        width, height = read_image_below(root, item, as_published).size
        return np.zeros((height, width), np.uint8)
    mask = read(item.masks[0])
    for file in item.masks[1:]:
        other = read(file)
        if other.shape != mask.shape:
            sizes = " and ".join(f"{shape[1]} × {shape[0]}" for shape in (mask.shape, other.shape))
            where = f"{printable(root / item.masks[0])} and {printable(file)}"
            raise UserError(
                f"{where} are masks of one image and differ in size: {sizes}", "repair or remove one of them"
            )
        mask = mask | other
    return mask


def _bright(path: Path) -> np.ndarray:
    """A mask file as uint8 [h w] of 0 and 1. It is not turned by EXIF: what draws masks writes none."""
    values = np.asarray(read_file(path, as_published=True))[..., 0]
    brightest = int(values.max())
    if 0 < brightest <= BRIGHT:
        # Masks of 0 and 1, or of class numbers: all of them would count as empty, and nobody would be told.
        told = f"{printable(path)} is nowhere brighter than {brightest} of 255, so nothing would be marked"
        raise UserError(told, "save masks in black and white (0 and 255), all black where there is nothing to mark")
    return (values > BRIGHT).astype(np.uint8)


def of_files(
    name: str,
    root: Path,
    parts: Mapping[str, Sequence[MaskItem]],
    split: str,
    missing: Missing = "refuse",
    facts: "Facts | None" = None,
    notes: Sequence[str] = (),
) -> MaskSet:
    """A MaskSet of the items whose files are there.

    Args:
        parts: items by 'train', 'val', 'test', all with the same kinds of prompts.
        facts: of a published set, whose images are read as the papers' code does it; None: the user's own.

    Raises:
        UserError: files are missing, unless `missing` is 'skip'; none is there at all.
    """
    get = f"get it: {facts.get}" if facts else "complete the folder"
    kept, told = present(root, parts, missing, get)
    root = root.absolute()  # images are read later, perhaps after a change of directory
    return MaskSet(
        name=name,
        read_image=partial(read_image_below, root, as_published=facts is not None),
        read_mask=partial(read_mask_below, root, as_published=facts is not None),
        prompt_types=next((tuple(kind for kind, _ in it.prompts) for part in kept.values() for it in part), ()),
        train=kept.get("train", ()),
        val=kept.get("val", ()),
        test=kept.get("test", ()),
        root=str(root),
        split=split,
        about=facts.source if facts else "your own images",
        source="" if facts else str(root),
        facts=facts,
        notes=(*notes, *told),
    )


def present(
    root: Path, parts: Mapping[str, Sequence[MaskItem]], missing: Missing, get: str
) -> tuple[dict[str, tuple[MaskItem, ...]], tuple[str, ...]]:
    """The items whose image and masks all lie below `root`, and a note where some do not.

    Args:
        get: how to come by the files; told where none is there.

    Raises:
        UserError: some are not, unless `missing` is 'skip'; not one item is complete.
    """
    listed = dict.fromkeys(file for part in parts.values() for item in part for file in (item.image, *item.masks))
    known: dict[str, Collection[str]] = {}
    for folder in {file.rpartition("/")[0] for file in listed}:
        known[folder] = _names(root / folder)
    absent = [file for file in listed if file.rpartition("/")[2] not in known[file.rpartition("/")[0]]]
    if not absent:
        return {part: tuple(items) for part, items in parts.items()}, ()
    gone = set(absent)
    kept = {part: tuple(it for it in items if gone.isdisjoint((it.image, *it.masks))) for part, items in parts.items()}
    told = f"{len(absent):,} of {len(listed):,} listed files are not there, first {printable(root / absent[0])}"
    if not any(kept.values()):
        raise UserError(told, f"no image is there with its mask; {get}")
    if missing == "refuse":
        raise UserError(told, "complete the copy, or keep what exists: --set data.missing=skip")
    left = len({it.image for items in parts.values() for it in items} - {it.image for it in sum(kept.values(), ())})
    return kept, (f"{told}; {left:,} image{'s' if left != 1 else ''} left out",)


def _names(folder: Path) -> Collection[str]:
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):  # ValueError: a name that no file system has
        return ()


def refuse_wordless(maskset: MaskSet, prompt: str) -> None:
    """Refuse own images without words for what their masks mark, unless the kind of prompt was chosen.

    Args:
        prompt: `segment.prompt` of the recipe.

    Raises:
        UserError: nothing says what the masks mark.
    """
    if maskset.source and maskset.prompt_types == ("p0",) and prompt == "auto":
        raise UserError(
            f"'{maskset.name}' does not say what its masks mark",
            '--prompt "skin lesion" does; --prompt p0 trains without words',
        )
