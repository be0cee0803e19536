"""The drawn world: five small tasks that need no file and no download. Pictures by `cliptune.datasets.world`.

    digits     10   0 to 9 in three fonts the mini CLIP never saw
    capitals   26   A to Z in the same fonts
    shapes     24   circle to boat, any colour
    colours    12   the colour of a shape
    counts      4   one to four equal shapes

A split is drawn when its first image is read; the pictures are the same on every run.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image

from cliptune.datasets.base import Augment, ImageSet, Item
from cliptune.datasets.world import COLOURS, DIGITS, HELD_OUT_FONTS, LETTERS, SHAPES, Scene, render, scene_of
from cliptune.errors import UserError

SEED = 1
_PER_CLASS = {"train": 64, "val": 16}
_TEST_PER_CLASS = {"digits": 100, "capitals": 40, "shapes": 40, "colours": 80, "counts": 200}
_CLASSES = {
    "digits": DIGITS,
    "capitals": LETTERS,
    "shapes": SHAPES,
    "colours": tuple(COLOURS),
    "counts": ("one object", "two objects", "three objects", "four objects"),
}
_TEMPLATES = {
    "digits": ("a photo of the digit {}", "a photo of the number {}", "the digit {}", "a drawing of the digit {}"),
    "capitals": ("a photo of the capital letter {}", "a photo of the letter {}", "a drawing of the capital letter {}"),
    "shapes": ("a photo of the {}", "a drawing of the {}", "the {}"),
    "colours": ("a photo of the {} shape", "a drawing of the {} shape", "the {} shape"),
    "counts": ("a photo of {}", "a drawing of {}", "{}"),
}
tasks: tuple[str, ...] = tuple(_CLASSES)


def load(root: Path | str | None = None, task: str = "") -> ImageSet:
    """One task of the drawn world; `root` is not used, for nothing is read from disk."""
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
        about="drawn by cliptune (32×32); no licence to mind",
    )


def _items(task: str, split: str) -> tuple[Item, ...]:
    labels = _labels(task, split)
    return tuple(Item(f"world/{task}/{split}/{number:04d}", label) for number, label in enumerate(labels))


def _labels(task: str, split: str) -> list[int]:
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
    seed = f"{SEED}/{task}/{split}"
    rng = Random(seed)
    noise = torch.Generator().manual_seed(rng.getrandbits(48))
    scenes = [_SCENES[task](rng, label) for label in _labels(task, split)]
    images = torch.cat([render(scenes[i : i + 256], noise) for i in range(0, len(scenes), 256)])
    return (images * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _coloured(rng: Random, label: int) -> Scene:
    """A shape of the colour asked for, in any style that shows colours."""
    while True:
        scene = scene_of(rng, "shape", rng.randrange(len(SHAPES)), colour=tuple(COLOURS)[label])
        if scene.style != "black and white photo":
            return scene


_SCENES: dict[str, Callable[[Random, int], Scene]] = {
    "digits": lambda rng, label: scene_of(rng, "digit", label, fonts=HELD_OUT_FONTS),
    "capitals": lambda rng, label: scene_of(rng, "capital", label, fonts=HELD_OUT_FONTS),
    "shapes": lambda rng, label: scene_of(rng, "shape", label),
    "colours": _coloured,
    "counts": lambda rng, label: scene_of(rng, "shape", rng.randrange(len(SHAPES)), count=label + 1),
}
