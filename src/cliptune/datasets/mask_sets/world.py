"""The drawn world: two sets of pictures with masks and referring prompts that need no file and no download.

    objects   shapes in pictures like those the mini segmenter learned from, of another seed
    glyphs    letters and digits among shapes, in three fonts and often in bad light: nothing it was trained to mark

A part is drawn when its first image is read; pictures, masks and prompts are the same on every run. Pictures are by
`cliptune.datasets.world.objects`, 96×96. The kind of prompt p1 is the item's group: kind, colour, both or absent.
"""

from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cliptune.datasets.base import Missing
from cliptune.datasets.published import Facts
from cliptune.datasets.segmentation import MaskItem, MaskSet, word_prompts
from cliptune.errors import UserError

if TYPE_CHECKING:
    from cliptune.datasets.world.objects import Asked, Picture, Reference
    from cliptune.datasets.world.scenes import Kind

SEED = 1
SIZES = {"train": 400, "val": 80, "test": 200}
tasks = ("objects", "glyphs")
FACTS = Facts(
    title="The drawn world with masks",
    source="drawn by cliptune (96×96); no licence to mind",
    get="nothing to get: it is drawn",
    folders=(),
    counts=(SIZES["train"], SIZES["val"], SIZES["test"]),
)
_ASKED: tuple["Asked", ...] = ("kind", "kind", "colour", "both", "absent")
"""what the prompts tell things by, in turn"""
_KINDS: tuple[tuple["Kind", ...], ...] = (("digit", "capital", "shape"), ("capital", "digit", "shape"))
"""the first of them is always to be seen in a picture of `glyphs`"""
_GLYPH_STYLES = ("drawing", "photo", "blurry photo", "noisy photo", "noisy photo", "dark photo", "dark photo")


def load(root: str | Path | None = None, missing: Missing = "refuse", task: str = "") -> MaskSet:
    """One set of the drawn world; `root` and `missing` are not used, for nothing is read from disk.

    Raises:
        UserError: no such task.
    """
    if task not in tasks:
        what = f"the set 'world' has no part '{task}'" if task else "the set 'world' needs a part"
        raise UserError(what, f"choose one of: {', '.join(f'world/{each}' for each in tasks)}")
    return MaskSet(
        name=f"world/{task}",
        read_image=_read_image,
        read_mask=_read_mask,
        prompt_types=("p0", "p1"),
        train=_items(task, "train"),
        val=_items(task, "val"),
        test=_items(task, "test"),
        split=f"made here, seed {SEED}",
        about=FACTS.source,
        facts=FACTS,
    )


@cache
def _items(task: str, part: str) -> tuple[MaskItem, ...]:
    return tuple(
        MaskItem(
            image=f"world/{task}/{part}/{number:04d}",
            masks=(f"world/{task}/{part}/{number:04d}/mask",) if reference.things else (),
            prompts=word_prompts(reference.text),
            group=reference.asked,
        )
        for number, (_, reference) in enumerate(_scenes(task, part))
    )


@cache
def _scenes(task: str, part: str) -> list[tuple["Picture", "Reference"]]:
    """What is to be seen and what is asked about it, before any pixel."""
    from cliptune.datasets.world.glyphs import HELD_OUT_FONTS
    from cliptune.datasets.world.objects import random_picture, refer

    rng = Random(f"{SEED}/{task}/{part}")
    found = []
    for number in range(SIZES[part]):
        asked = _ASKED[number % len(_ASKED)]
        if task == "objects":
            picture = random_picture(rng)
            found.append((picture, refer(picture, rng, asked)))
        else:
            kinds = rng.choice(_KINDS)
            picture = random_picture(rng, kinds, _GLYPH_STYLES, HELD_OUT_FONTS)
            found.append((picture, refer(picture, rng, asked, about=("digit", "capital"))))
    return found


@cache
def _drawn(task: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a part, uint8 (n, 96, 96, 3), and the masks of their prompts, uint8 (n, 96, 96) of 0 and 1."""
    import torch

    from cliptune.datasets.world.objects import draw

    scenes = _scenes(task, part)
    noise = torch.Generator().manual_seed(Random(f"{SEED}/{task}/{part}/noise").getrandbits(48))
    images, masks = [], []
    for first in range(0, len(scenes), 50):
        some = scenes[first : first + 50]
        pixels, things = draw([picture for picture, _ in some], noise)
        images.append((pixels * 255).round().byte().permute(0, 2, 3, 1))
        masks += [things[row, list(reference.things)].any(dim=0) for row, (_, reference) in enumerate(some)]
    return torch.cat(images).numpy(), torch.stack(masks).byte().numpy()


def _read_image(item: MaskItem) -> Image.Image:
    task, part, number = _place(item)
    return Image.fromarray(_drawn(task, part)[0][number])


def _read_mask(item: MaskItem) -> np.ndarray:
    task, part, number = _place(item)
    return _drawn(task, part)[1][number].copy()


def _place(item: MaskItem) -> tuple[str, str, int]:
    """Task, part and number of an item."""
    try:
        _, task, part, number = item.image.split("/")
        if task in tasks and 0 <= int(number) < SIZES[part]:
            return task, part, int(number)
    except (ValueError, KeyError):
        pass
    raise UserError(f"the drawn world has no image '{item.image}'", "open the set again to list its items")
