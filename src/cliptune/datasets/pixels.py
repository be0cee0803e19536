"""Batches of pixels: every image decoded once into a uint8 cache, varied in bulk from one generator.

b images of a batch · s side of the backbone's crop, pixels · h w an image's own height and width
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cliptune.datasets.base import Augment, ImageSet, Item
from cliptune.datasets.threads import in_threads
from cliptune.models.preprocess import Preprocess

_TRIES = 10
_RATIOS = (3 / 4, 4 / 3)

CACHE_BYTES = 4 << 30
"""decoded images that are kept of the training, of the validation and of the test images, each"""


class Pixels:
    """The images of one list of items, decoded once into a uint8 cache; serves test-time and augmented batches.

    Args:
        imageset: reads the items, and says how to vary them unless `augment` does.
        items: what to serve; indices count in this list. The same path twice is decoded once.
        preprocess: the backbone's; batches have its crop's size.
        augment: overrides the image set's.
        cache_bytes: how much to keep; images beyond it are decoded again each time. No effect on any number.
    """

    labels: Tensor
    """long [n]"""

    def __init__(
        self,
        imageset: ImageSet,
        items: Sequence[Item],
        preprocess: Preprocess,
        augment: Augment | None = None,
        cache_bytes: int = CACHE_BYTES,
    ):
        self.imageset = imageset
        self.items = tuple(items)
        self.preprocess = preprocess
        self.augment = augment or imageset.augment
        self.labels = torch.tensor([item.label for item in self.items], dtype=torch.long)
        self._cuts: dict[str, np.ndarray] = {}
        self._originals: dict[str, np.ndarray] = {}
        self._free = cache_bytes

    def __len__(self) -> int:
        return len(self.items)

    def plain(self, indices: Sequence[int]) -> Tensor:
        """The test transform, not normalised: float32 [b 3 s s] in 0..1.

        Raises:
            UserError: an image cannot be decoded; names it.
        """
        items = [self.items[i] for i in indices]
        return floats(self._recall(items, self._cuts, self._cut), self.preprocess.crop)

    def varied(self, indices: Sequence[int], generator: torch.Generator, part: slice = slice(None)) -> Tensor:
        """Augmented as `augment` says, not normalised: float32 [b 3 s s] in 0..1.

        Depends on the generator's state and on the order of `indices`, not on what was cached. `part` says which of
        them to serve; each is varied as it would be among all.

        Raises:
            UserError: an image cannot be decoded; names it.
        """
        if self.augment.kind == "photo":
            return self._photo(indices[part], _uniform((len(indices), _TRIES * 4 + 1), generator)[part])
        if self.augment.kind == "affine":
            return _affine(self.plain(indices[part]), self.augment, _uniform((len(indices), 4), generator)[part])
        return self.plain(indices[part])

    def some(self, part: slice) -> "Pixels":
        """Part of the images, over the same cache."""
        mine = copy.copy(self)
        mine.items, mine.labels = self.items[part], self.labels[part]
        return mine

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Plain pixels [b 3 s s] and labels [b], in order; the last batch may be smaller."""
        for start in range(0, len(self), size):
            indices = range(start, min(start + size, len(self)))
            yield self.plain(indices), self.labels[indices.start : indices.stop]

    def _photo(self, indices: Sequence[int], draws: np.ndarray) -> Tensor:
        originals = self._recall([self.items[i] for i in indices], self._originals, self._original)
        boxes = [
            crop_box(image.shape[1], image.shape[0], self.augment.crop, row[:-1].reshape(_TRIES, 4))
            for image, row in zip(originals, draws, strict=True)
        ]
        flips = draws[:, -1] < self.augment.flip
        cuts = in_threads(self._resized, list(zip(originals, boxes, flips, strict=True)))
        return floats(cuts, self.preprocess.crop)

    def _resized(self, job: tuple[np.ndarray, tuple[int, int, int, int], bool]) -> np.ndarray:
        """uint8 [s s 3]: the box (left, top, width, height) of an image, resized and perhaps mirrored."""
        image, (left, top, width, height), flip = job
        part = Image.fromarray(np.ascontiguousarray(image[top : top + height, left : left + width]))
        side = self.preprocess.crop
        cut = np.asarray(part.resize((side, side), Image.Resampling[self.preprocess.resample.upper()]))
        return cut[:, ::-1] if flip else cut

    def _cut(self, item: Item) -> np.ndarray:
        known = self._originals.get(item.path)
        return self.preprocess.cut(self.imageset.read(item) if known is None else Image.fromarray(known))

    def _original(self, item: Item) -> np.ndarray:
        return np.array(self.imageset.read(item))

    def _recall(
        self, items: Sequence[Item], cache: dict[str, np.ndarray], make: Callable[[Item], np.ndarray]
    ) -> list[np.ndarray]:
        """Arrays of `items`, in order; those not in `cache` are made, and kept while the budget lasts."""
        missing = list({item.path: item for item in items if item.path not in cache}.values())
        made = dict(zip([item.path for item in missing], in_threads(make, missing), strict=True))
        arrays = [cache[item.path] if item.path in cache else made[item.path] for item in items]
        for path, array in made.items():
            if array.nbytes <= self._free:
                cache[path] = array
                self._free -= array.nbytes
        return arrays


def crop_box(width: int, height: int, area: tuple[float, float], draws: np.ndarray) -> tuple[int, int, int, int]:
    """RandomResizedCrop's box (left, top, width, height), pixels, from uniform draws.

    Each try takes an area uniform in `area` (fractions of the image) and a ratio w/h log-uniform in 3/4..4/3; the
    first whose box fits is placed uniformly. If none fits: the largest centred box with a ratio in the range.

    Args:
        draws: numbers in 0..1, [tries, 4]: area, ratio, top, left.
    """
    least, most = math.log(_RATIOS[0]), math.log(_RATIOS[1])
    for of_area, of_ratio, of_top, of_left in draws.tolist():
        target = width * height * (area[0] + (area[1] - area[0]) * of_area)
        ratio = math.exp(least + (most - least) * of_ratio)
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(of_left * (width - w + 1)), int(of_top * (height - h + 1)), w, h
    w = min(width, max(1, round(height * _RATIOS[1])))
    h = min(height, max(1, round(width / _RATIOS[0])))
    return (width - w) // 2, (height - h) // 2, w, h


def _affine(pixels: Tensor, augment: Augment, uniform: np.ndarray) -> Tensor:
    """[b 3 s s] turned, sized and shifted, each image by its own draw [4]; the border's pixels fill what comes in."""
    if not len(pixels):
        return pixels
    theta = affine_maps(torch.from_numpy(uniform * 2 - 1).to(pixels.dtype), augment)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def affine_maps(draws: Tensor, augment: Augment) -> Tensor:
    """Turned, sized and shifted as `augment` allows: affine maps [b 2 3] from draws [b 4] in −1..1."""
    angle, size = draws[:, 0] * augment.rotate, 1 + draws[:, 1] * augment.scale
    shift = draws[:, 2:] * augment.shift
    cos, sin = angle.cos() * size, angle.sin() * size
    return torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)


def _uniform(shape: tuple[int, int], generator: torch.Generator) -> np.ndarray:
    """float64 in 0..1; on whatever device the generator lives."""
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device).cpu().numpy()


def floats(cuts: Sequence[np.ndarray], side: int) -> Tensor:
    """uint8 [s s 3] each to float32 [b 3 s s] in 0..1."""
    stacked = torch.from_numpy(np.stack(cuts)) if cuts else torch.empty(0, side, side, 3, dtype=torch.uint8)
    return stacked.permute(0, 3, 1, 2).contiguous().float().div_(255)
