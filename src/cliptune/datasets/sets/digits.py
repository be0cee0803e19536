"""Handwritten digits, 10 classes, 1,797 images, offline: they come with scikit-learn.

Test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, 1998; CC BY 4.0), 8 × 8
pixels in 17 greys; here padded by one pixel, enlarged to 32 × 32 (bilinear), white on black.
Split: torch.randperm(1797) of a generator seeded with 7 → 597 train / 200 validation / 1,000 test.
"""

from functools import cache

import numpy as np
from PIL import Image

from cliptune.datasets.base import Augment, ImageSet, Item, Missing
from cliptune.errors import UserError

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATE = "a photo of the digit {}"
_SIDE = 32
_TRAIN, _VAL = 597, 200


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The digits with their fixed split; `root` and `missing` are not used.

    Raises:
        UserError: a `task` is given; the digits have none.
    """
    if task:
        raise UserError(f"'digits' has no part '{task}'", "say: --data digits")
    from sklearn.datasets import load_digits

    labels = load_digits().target
    items = tuple(Item(f"digits/{index:04d}", int(labels[index])) for index in _order(len(labels)))
    return ImageSet(
        name="digits",
        classes=CLASSES,
        read=_read,
        templates=(TEMPLATE,),
        train=items[:_TRAIN],
        val=items[_TRAIN : _TRAIN + _VAL],
        test=items[_TRAIN + _VAL :],
        augment=Augment(kind="affine"),
        split="made here, seed 7",
        about="UCI Optical Recognition of Handwritten Digits (test part), CC BY 4.0, from scikit-learn",
    )


def _order(images: int) -> list[int]:
    """torch.randperm(images) of a generator seeded with 7, without torch: both draw from the same Mersenne twister."""
    draws = np.random.RandomState(7).randint(0, 2**32, size=images, dtype=np.uint32)
    order = list(range(images))
    for place in range(images - 1):
        other = place + int(draws[place]) % (images - place)
        order[place], order[other] = order[other], order[place]
    return order


def _read(item: Item) -> Image.Image:
    grey = _images()[int(item.path.removeprefix("digits/"))]
    return Image.fromarray(np.repeat(grey[..., None], 3, axis=2))


@cache
def _images() -> np.ndarray:
    """uint8 [n 32 32], in load_digits' order."""
    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits

    padded = F.pad(torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16, (1, 1, 1, 1))
    large = F.interpolate(padded, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
    return large[:, 0].clamp(0, 1).mul(255).round().byte().numpy()
