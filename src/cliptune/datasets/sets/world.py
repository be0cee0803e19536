"""The drawn world: eight small tasks that need no file and no download. Pictures by `cliptune.datasets.world`.

    digits     10   0 to 9 in three fonts the mini CLIP never saw
    capitals   26   A to Z in the same fonts
    shapes     24   circle to boat, any colour
    colours    12   the colour of a shape
    counts      4   one to four equal shapes
    pairs      40   a colour and a shape: base classes are pairs the mini CLIP saw, novel ones pairs it never saw
    styles     24   circle to boat in four styles, which are its domains
    combinations   288   every shape in every colour: many classes of few images

A split is drawn when its first image is read; the pictures are the same on every run.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from cliptune.datasets.base import Augment, ImageSet, Item, Missing
from cliptune.datasets.world import (
    COLOURS,
    DIGITS,
    HELD_OUT_FONTS,
    HELD_OUT_PAIRS,
    LETTERS,
    SHAPES,
    Scene,
    scene_of,
)
from cliptune.errors import UserError

SEED = 1
STYLES = ("drawing", "photo", "sketch", "dark photo")
"""the domains of `styles`"""
_HALF = 20
_SEEN = tuple((colour, shape) for shape in SHAPES for colour in COLOURS if (colour, shape) not in HELD_OUT_PAIRS)
_NEVER = tuple((colour, shape) for shape in SHAPES for colour in COLOURS if (colour, shape) in HELD_OUT_PAIRS)
PAIRS = _SEEN[:: len(_SEEN) // _HALF][:_HALF] + _NEVER[:_HALF]
COMBINATIONS = tuple((colour, shape) for shape in SHAPES for colour in COLOURS)
_PER_CLASS = {"train": 64, "val": 16}
_TEST_PER_CLASS = {"digits": 100, "capitals": 40, "shapes": 40, "colours": 80, "counts": 200, "pairs": 25, "styles": 40}
_FEW_PER_CLASS = {"train": 16, "val": 4, "test": 8}
"""of `combinations`, whose classes are many"""
_CLASSES = {
    "digits": DIGITS,
    "capitals": LETTERS,
    "shapes": SHAPES,
    "colours": tuple(COLOURS),
    "counts": ("one object", "two objects", "three objects", "four objects"),
    "pairs": tuple(f"{colour} {shape}" for colour, shape in PAIRS),
    "styles": SHAPES,
    "combinations": tuple(f"{colour} {shape}" for colour, shape in COMBINATIONS),
}
_TEMPLATES = {
    "digits": ("a photo of the digit {}", "a photo of the number {}", "the digit {}", "a drawing of the digit {}"),
    "capitals": ("a photo of the capital letter {}", "a photo of the letter {}", "a drawing of the capital letter {}"),
    "shapes": ("a photo of the {}", "a drawing of the {}", "the {}"),
    "colours": ("a photo of the {} shape", "a drawing of the {} shape", "the {} shape"),
    "counts": ("a photo of {}", "a drawing of {}", "{}"),
    "pairs": ("a photo of the {}", "a drawing of the {}", "the {}"),
    "styles": ("a photo of the {}", "a drawing of the {}", "the {}"),
    "combinations": ("a photo of the {}", "a drawing of the {}", "the {}"),
}
tasks: tuple[str, ...] = tuple(_CLASSES)


def load(root: Path | str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """One task of the drawn world; `root` and `missing` are not used, for nothing is read from disk."""
    if task not in tasks:
        what = f"the set 'world' has no task '{task}'" if task else "the set 'world' needs a task"
        raise UserError(what, f"choose one of: {', '.join(tasks)}")
    return ImageSet(
        name=f"world/{task}",
        classes=_CLASSES[task],
        read=_read,
        templates=_TEMPLATES[task],
        train=_items(task, "train"),
        val=_items(task, "val"),
        test=_items(task, "test"),
        augment=Augment(kind="affine"),
        split=f"made here, seed {SEED}",
        domains=STYLES if task == "styles" else (),
        about="drawn by cliptune (32×32); no licence to mind",
    )


def _items(task: str, split: str) -> tuple[Item, ...]:
    labels = _labels(task, split)
    return tuple(
        Item(f"world/{task}/{split}/{number:04d}", label, _style(number, len(labels)) if task == "styles" else "")
        for number, label in enumerate(labels)
    )


def _style(number: int, images: int) -> str:
    """The style of the image with this number: the first quarter of a split is in the first style."""
    return STYLES[number * len(STYLES) // images]


def _labels(task: str, split: str) -> list[int]:
    if task == "combinations":
        per_class = _FEW_PER_CLASS[split]
    else:
        per_class = _TEST_PER_CLASS[task] if split == "test" else _PER_CLASS[split]
    return list(range(len(_CLASSES[task]))) * per_class


def _read(item: Item) -> Image.Image:
    try:
        _, task, split, number = item.path.split("/")
        return Image.fromarray(_drawn(task, split)[int(number)])
    except (ValueError, KeyError, IndexError):
        raise UserError(
            f"the drawn world has no image '{item.path}'", "load the task again to list its items"
        ) from None


@cache
def _drawn(task: str, split: str) -> np.ndarray:
    """All images of a split, uint8 (n, 32, 32, 3)."""
    import torch

    from cliptune.datasets.world import render

    seed = f"{SEED}/{task}/{split}"
    rng = Random(seed)
    noise = torch.Generator().manual_seed(rng.getrandbits(48))
    labels = _labels(task, split)
    scenes = [_SCENES[task](rng, label) for label in labels]
    if task == "styles":
        scenes = [replace(scene, style=_style(number, len(labels))) for number, scene in enumerate(scenes)]
    images = torch.cat([render(scenes[i : i + 256], noise) for i in range(0, len(scenes), 256)])
    return (images * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _coloured(rng: Random, colour: str, shape: int | None = None) -> Scene:
    """A shape (any, or the one asked for) of a colour, in any style that shows colours."""
    while True:
        label = rng.randrange(len(SHAPES)) if shape is None else shape
        scene = scene_of(rng, "shape", label, colour=colour)
        if scene.style != "black and white photo":
            return scene


_SCENES: dict[str, Callable[[Random, int], Scene]] = {
    "digits": lambda rng, label: scene_of(rng, "digit", label, fonts=HELD_OUT_FONTS),
    "capitals": lambda rng, label: scene_of(rng, "capital", label, fonts=HELD_OUT_FONTS),
    "shapes": lambda rng, label: scene_of(rng, "shape", label),
    "colours": lambda rng, label: _coloured(rng, tuple(COLOURS)[label]),
    "counts": lambda rng, label: scene_of(rng, "shape", rng.randrange(len(SHAPES)), count=label + 1),
    "pairs": lambda rng, label: _coloured(rng, PAIRS[label][0], SHAPES.index(PAIRS[label][1])),
    "styles": lambda rng, label: scene_of(rng, "shape", label),
    "combinations": lambda rng, label: _coloured(rng, COMBINATIONS[label][0], SHAPES.index(COMBINATIONS[label][1])),
}
