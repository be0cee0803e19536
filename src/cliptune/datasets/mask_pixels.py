"""Batches of images with their masks: decoded and resized once, varied together from one generator.

b images of a batch · s side both are resized to, pixels; the aspect ratio is not kept · h w an image's own size
"""

import copy
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cliptune.datasets.base import Augment
from cliptune.datasets.images import printable
from cliptune.datasets.pixels import affine_maps
from cliptune.datasets.segmentation import MaskItem, MaskSet, prompt_of
from cliptune.datasets.threads import in_threads
from cliptune.errors import UserError
from cliptune.models.preprocess import Preprocess

PLAIN = Augment(kind="none")


class Batch(NamedTuple):
    """Images, not normalised, with masks and prompts."""

    pixels: Tensor
    """float32 [b 3 s s] in 0..1"""
    masks: Tensor
    """float32 [b s s] of 0 and 1"""
    prompts: list[str]


class MaskPixels:
    """The images and masks of one list of items.

    Args:
        maskset: reads the items.
        items: what to serve; indices count in this list.
        preprocess: resizes images to a square (bilinear for CLIPSeg's); masks are resized to it by nearest.
        prompt: kind of prompt, 'p1' or 'random'.
        augment: how training images are varied, their masks with them.
        cache_bytes: how much to keep; what is beyond is decoded again each time. No effect on any number.
    """

    def __init__(
        self,
        maskset: MaskSet,
        items: Sequence[MaskItem],
        preprocess: Preprocess,
        prompt: str,
        augment: Augment = PLAIN,
        cache_bytes: int = 4 << 30,
    ):
        assert preprocess.squash, "images and masks have to be resized alike"
        self.maskset, self.items, self.preprocess = maskset, tuple(items), preprocess
        self.prompt, self.augment = prompt, augment
        self._kept: dict[MaskItem, tuple[np.ndarray, np.ndarray]] = {}
        self._free = cache_bytes

    def __len__(self) -> int:
        return len(self.items)

    def plain(self, indices: Sequence[int], draws: random.Random | None = None) -> Batch:
        """The test transform. A prompt with several texts is drawn by `draws`, or always alike for the same item.

        Raises:
            UserError: a file cannot be decoded, or an image and its mask differ in size; names it.
        """
        pairs = self._recall([self.items[index] for index in indices])
        images = np.stack([image for image, _ in pairs]) if pairs else np.zeros((0, *self._shape, 3), np.uint8)
        masks = np.stack([mask for _, mask in pairs]) if pairs else np.zeros((0, *self._shape), np.uint8)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(255)
        return Batch(pixels, torch.from_numpy(masks).float(), [self._text(index, draws) for index in indices])

    def varied(self, indices: Sequence[int], generator: torch.Generator, part: slice = slice(None)) -> Batch:
        """Augmented as `augment` says; prompts drawn anew.

        Depends on the generator's state and on the order of `indices`, not on what was cached. `part` says which of
        them to serve; each is varied as it would be among all.
        """
        seeds = torch.randint(2**62, (len(indices),), generator=generator).tolist()
        uniform = torch.rand((len(indices), 4), generator=generator, dtype=torch.float64)[part]
        mine, seeds = indices[part], seeds[part]
        found = self.plain(mine)
        texts = [self._text(index, random.Random(seed)) for index, seed in zip(mine, seeds, strict=True)]
        if self.augment.kind == "none" or not texts:
            return found._replace(prompts=texts)
        maps = _photo(uniform, self.augment)
        if self.augment.kind == "affine":
            maps = affine_maps(2 * uniform - 1, self.augment)
        grid = F.affine_grid(maps.float(), list(found.pixels.shape), align_corners=False)
        pixels = F.grid_sample(found.pixels, grid, padding_mode="border", align_corners=False)
        masks = F.grid_sample(found.masks[:, None], grid, mode="nearest", padding_mode="border", align_corners=False)
        return Batch(pixels, masks[:, 0], texts)

    def batches(self, size: int) -> Iterator[Batch]:
        """Plain batches, in order; the last may be smaller."""
        for start in range(0, len(self), size):
            yield self.plain(range(start, min(start + size, len(self))))

    def some(self, part: slice) -> "MaskPixels":
        """Part of the images, over the same cache."""
        mine = copy.copy(self)
        mine.items = self.items[part]
        return mine

    def truth(self, index: int) -> np.ndarray:
        """An item's mask at its own size, uint8 [h w] of 0 and 1."""
        return self.maskset.read_mask(self.items[index])

    def image(self, index: int) -> Image.Image:
        """An item's image at its own size."""
        return self.maskset.read_image(self.items[index])

    def texts(self) -> list[str]:
        """Every prompt that may be asked for, each once."""
        kinds = {self.prompt} if self.prompt != "random" else None
        found = [texts for item in self.items for kind, texts in item.prompts if kinds is None or kind in kinds]
        return list(dict.fromkeys(text for texts in found for text in texts))

    @property
    def _shape(self) -> tuple[int, int]:
        return self.preprocess.size, self.preprocess.size

    def _text(self, index: int, draws: random.Random | None) -> str:
        item = self.items[index]
        return prompt_of(item, self.prompt, draws or random.Random(item.image))

    def _recall(self, items: Sequence[MaskItem]) -> list[tuple[np.ndarray, np.ndarray]]:
        missing = list(dict.fromkeys(item for item in items if item not in self._kept))
        made = dict(zip(missing, in_threads(self._cut, missing), strict=True))
        found = [self._kept[item] if item in self._kept else made[item] for item in items]
        for item, pair in made.items():
            size = pair[0].nbytes + pair[1].nbytes
            if size <= self._free:
                self._kept[item] = pair
                self._free -= size
        return found

    def _cut(self, item: MaskItem) -> tuple[np.ndarray, np.ndarray]:
        image, mask = read_pair(self.maskset, item)
        small = Image.fromarray(mask).resize(self._shape, Image.Resampling.NEAREST)
        return self.preprocess.cut(image), np.asarray(small)


def read_pair(maskset: MaskSet, item: MaskItem) -> tuple[Image.Image, np.ndarray]:
    """An item's image and mask, of one size.

    Raises:
        UserError: one of them cannot be read, or they differ in size; names it.
    """
    image, mask = maskset.read_image(item), maskset.read_mask(item)
    if image.size != mask.shape[::-1]:
        told = f"{image.width} × {image.height}, its mask {mask.shape[1]} × {mask.shape[0]} pixels"
        place = printable(str(Path(maskset.root, item.image)))
        raise UserError(
            f"{place} is {told}", "make both the same size, or leave such pairs out: --set data.missing=skip"
        )
    return image, mask


def _photo(uniform: Tensor, augment: Augment) -> Tensor:
    """A crop of the area `augment.crop` (aspect ratio kept) and a flip, as affine maps [b 2 3] of the unit square.

    uniform: [b 4] draws in 0..1.
    """
    low, high = augment.crop
    side = (low + (high - low) * uniform[:, 0]).sqrt()
    flip = torch.where(uniform[:, 3] < augment.flip, -1.0, 1.0).to(side.dtype)
    x, y = (2 * uniform[:, 1] - 1) * (1 - side), (2 * uniform[:, 2] - 1) * (1 - side)
    zero = torch.zeros_like(side)
    return torch.stack([torch.stack([side * flip, zero, x], 1), torch.stack([zero, side, y], 1)], 1)
