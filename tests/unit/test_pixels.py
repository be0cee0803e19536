"""Pixels: the test transform, the crops' law, and independence from the cache."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cliptune.datasets.base import Augment, ImageSet, Item
from cliptune.datasets.pixels import Pixels, crop_box
from cliptune.errors import UserError
from cliptune.models.preprocess import Preprocess

SMALL = Preprocess(32, 32, "bicubic", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SIZES = [(60, 40), (33, 90), (48, 48), (20, 25), (100, 31)]  # width, height


class Album:
    """Reads made-up photos and counts the reads."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def __call__(self, item: Item) -> Image.Image:
        self.reads.append(item.path)
        number = int(item.path)
        width, height = SIZES[number % len(SIZES)]
        rng = np.random.default_rng(number)
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).resize((width, height))


def album(n: int = 10, augment: Augment | None = None) -> ImageSet:
    items = tuple(Item(str(number), number % 3) for number in range(n))
    return ImageSet(name="album", classes=("a", "b", "c"), read=Album(), train=items, augment=augment or Augment())


def pixels(cache_bytes: int = 1 << 20, **augment) -> Pixels:
    imageset = album(augment=Augment(**augment))
    return Pixels(imageset, imageset.train, SMALL, cache_bytes=cache_bytes)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_plain_is_the_cut_and_labels_follow():
    served = pixels()
    batch = served.plain([7, 2, 7])
    assert batch.dtype == torch.float32
    assert batch.shape == (3, 3, 32, 32)
    wanted = SMALL.cut(served.imageset.read(Item("2", 0)))
    assert (batch[1].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8).tolist() == wanted.tolist()
    assert bool((batch[0] == batch[2]).all())
    assert served.labels.tolist() == [number % 3 for number in range(10)]
    assert served.labels.dtype == torch.long
    assert len(served) == 10


def test_batches_go_through_in_order():
    served = pixels()
    images, labels = zip(*served.batches(4), strict=True)
    assert [len(batch) for batch in images] == [4, 4, 2]
    assert bool((torch.cat(images) == served.plain(range(10))).all())
    assert bool((torch.cat(labels) == served.labels).all())


def test_empty_list_serves_empty_batches():
    imageset = album()
    served = Pixels(imageset, (), SMALL)
    assert served.plain([]).shape == (0, 3, 32, 32)
    assert served.varied([], seeded()).shape == (0, 3, 32, 32)
    assert list(served.batches(4)) == []
    assert served.labels.dtype == torch.long


def test_decodes_once():
    served = pixels()
    for _ in range(3):
        served.varied(range(10), seeded())
        served.plain(range(10))
    assert sorted(served.imageset.read.reads) == sorted(str(number) for number in range(10))


@pytest.mark.parametrize("kind", ["photo", "affine", "none"])
@pytest.mark.parametrize("cache_bytes", [0, 20_000])
def test_the_cache_changes_no_number(kind, cache_bytes):
    rich, poor = pixels(kind=kind), pixels(cache_bytes, kind=kind)
    one, two = seeded(5), seeded(5)
    for indices in ([3, 1, 4], [1, 5, 9], [2, 6, 5, 3]):
        assert bool((rich.varied(indices, one) == poor.varied(indices, two)).all())
        assert bool((rich.plain(indices) == poor.plain(indices)).all())
    assert len(poor.imageset.read.reads) > len(rich.imageset.read.reads)
    held = [*poor._cuts.values(), *poor._originals.values()]
    assert sum(array.nbytes for array in held) <= cache_bytes


@pytest.mark.parametrize("kind", ["photo", "affine"])
def test_only_the_generator_and_the_order_decide(kind):
    served = pixels(kind=kind)
    torch.manual_seed(1)
    first = served.varied([0, 1, 2, 3], seeded(3))
    torch.manual_seed(2)
    assert bool((first == served.varied([0, 1, 2, 3], seeded(3))).all())
    assert not bool((first == served.varied([0, 1, 2, 3], seeded(4))).all())
    turned = served.varied([3, 2, 1, 0], seeded(3)).flip(0)
    assert not bool((first == turned).all())
    moving = seeded(3)
    assert bool((first == served.varied([0, 1, 2, 3], moving)).all())
    assert not bool((first == served.varied([0, 1, 2, 3], moving)).all())


def test_none_is_the_test_transform():
    served = pixels(kind="none")
    assert bool((served.varied([1, 2], seeded()) == served.plain([1, 2])).all())


def test_own_augment_comes_before_the_sets():
    imageset = album(augment=Augment(kind="photo"))
    served = Pixels(imageset, imageset.train, SMALL, augment=Augment(kind="none"))
    assert bool((served.varied([1], seeded()) == served.plain([1])).all())


def test_unreadable_image_is_named_from_the_threads():
    def read(item: Item) -> Image.Image:
        if item.path == "3":
            raise UserError("3 is not an image", "remove it")
        return Image.new("RGB", (40, 40))

    imageset = replace(album(), read=read)
    for serve in (Pixels.plain, lambda served, indices: served.varied(indices, seeded())):
        with pytest.raises(UserError, match="3 is not an image"):
            serve(Pixels(imageset, imageset.train, SMALL), range(10))


def boxes(width: int, height: int, area: tuple[float, float], n: int = 4000) -> np.ndarray:
    """[n 4]: left, top, width, height."""
    draws = np.random.default_rng(0).random((n, 10, 4))
    return np.array([crop_box(width, height, area, draw) for draw in draws])


@pytest.mark.parametrize("area", [(0.08, 1.0), (0.5, 1.0)])
def test_crops_keep_area_and_ratio_in_range(area):
    left, top, width, height = boxes(1000, 800, area).T
    share, ratio = width * height / 800_000, width / height
    assert share.min() >= area[0] - 2e-3
    assert share.max() <= area[1] + 1e-9
    assert ratio.min() >= 3 / 4 - 4e-3
    assert ratio.max() <= 4 / 3 + 4e-3
    assert share.min() < area[0] + 0.02
    assert left.min() == 0
    assert top.min() == 0
    assert (left + width).max() == 1000
    assert (top + height).max() == 800
    if area[0] == 0.08:  # small crops all fit, so among them the first try's law is seen unchanged
        small = share < 0.4
        edges = np.linspace(0.08, 0.4, 5)
        counts = np.histogram(share[small], edges)[0]
        assert abs(counts / small.sum() - 0.25).max() < 0.05
        logs = np.log(ratio[small]) / math.log(4 / 3)
        assert abs(logs.mean()) < 0.06
        assert abs(logs.std() - 1 / math.sqrt(3)) < 0.03


def test_crop_places_are_uniform():
    left, top, width, height = boxes(1000, 800, (0.1, 0.2)).T
    for place in (left / (1000 - width), top / (800 - height)):
        assert abs(place.mean() - 0.5) < 0.03
        assert abs(place.std() - 1 / math.sqrt(12)) < 0.02


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [(1000, 10, (493, 0, 13, 10)), (10, 1000, (0, 493, 10, 13)), (1, 1, (0, 0, 1, 1)), (50, 1, (24, 0, 1, 1))],
)
def test_ten_misses_fall_back_to_the_centre(width, height, wanted):
    draws = np.full((10, 4), 1.0 - 1e-12)
    assert crop_box(width, height, (0.9, 1.0), draws) == wanted


def test_whole_image_when_its_ratio_is_fine():
    draws = np.tile([1 - 1e-12, 0.0, 0.3, 0.3], (10, 1))  # all of the area at 3:4 fits no 10:9 image
    assert crop_box(100, 90, (1.0, 1.0), draws) == (0, 0, 100, 90)


def gradient(augment: Augment, n: int) -> Pixels:
    """One image, dark on the left and bright on the right, dark above and bright below."""
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    image = Image.fromarray(np.stack([x * 4, y * 4, np.zeros_like(x)], 2).astype(np.uint8))
    imageset = ImageSet(name="gradient", classes=("a", "b"), read=lambda item: image, augment=augment)
    return Pixels(imageset, [Item("one", 0)] * n, SMALL)


def left_darker(batch: torch.Tensor) -> torch.Tensor:
    return batch[:, 0, :, :8].mean((1, 2)) < batch[:, 0, :, -8:].mean((1, 2))


@pytest.mark.parametrize(("chance", "low", "high"), [(0.0, 0, 0), (0.5, 160, 240), (1.0, 400, 400)])
def test_photo_flips_as_often_as_told(chance, low, high):
    batch = gradient(Augment(flip=chance), 400).varied(range(400), seeded())
    assert low <= int((~left_darker(batch)).sum()) <= high
    assert bool((batch[:, 1, :8].mean((1, 2)) < batch[:, 1, -8:].mean((1, 2))).all())


def test_photo_is_crop_then_resize_by_hand():
    """One batch against the definition, step by step: the draws in their order, Pillow's crop, resize, mirror."""
    served = pixels(kind="photo")
    batch = served.varied([4, 0], seeded(9))
    draws = torch.rand((2, 41), generator=seeded(9), dtype=torch.float64).numpy()
    for row, number in enumerate([4, 0]):
        image = served.imageset.read(Item(str(number), 0))
        left, top, width, height = crop_box(*image.size, (0.08, 1.0), draws[row, :40].reshape(10, 4))
        part = image.crop((left, top, left + width, top + height)).resize((32, 32), Image.Resampling.BICUBIC)
        if draws[row, 40] < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert (batch[row].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8).tolist() == np.asarray(
            part
        ).tolist()


def test_affine_moves_but_never_mirrors():
    served = gradient(Augment(kind="affine"), 200)
    batch = served.varied(range(200), seeded())
    assert bool(left_darker(batch).all())
    assert (batch - served.plain([0])).abs().mean((1, 2, 3)).min() > 1e-4
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_affine_at_zero_is_plain_and_shift_has_its_unit():
    still = gradient(Augment(kind="affine", rotate=0.0, scale=0.0, shift=0.0), 3)
    torch.testing.assert_close(still.varied(range(3), seeded()), still.plain(range(3)), atol=1e-5, rtol=0)
    shifted = gradient(Augment(kind="affine", rotate=0.0, scale=0.0, shift=0.25), 300)
    moved = shifted.varied(range(300), seeded()) - shifted.plain([0])
    per_pixel = 8 / 255  # the gradient: 64 columns of 4 steps, at half size
    columns = moved[:, 0, :, 12:20].mean((1, 2)) / per_pixel
    assert 3.6 < columns.abs().max() <= 4.02  # a quarter of half of 32 pixels


def slopes(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean step of the red channel per column and per row, in the middle of each image."""
    red = batch[:, 0, 12:20, 12:20]
    return red.diff(dim=2).mean((1, 2)), red.diff(dim=1).mean((1, 2))


def test_affine_scale_has_its_range():
    served = gradient(Augment(kind="affine", rotate=0.0, scale=0.3, shift=0.0), 300)
    across, _ = slopes(served.varied(range(300), seeded()))
    ratio = across / slopes(served.plain([0]))[0]
    assert 0.69 < ratio.min() < 0.75
    assert 1.25 < ratio.max() < 1.31


def test_affine_turns_both_ways_within_its_range():
    served = gradient(Augment(kind="affine", rotate=0.3, scale=0.0, shift=0.0), 300)
    across, down = slopes(served.varied(range(300), seeded()))
    angle = torch.atan2(down, across)
    assert -0.31 < angle.min() < -0.27
    assert 0.27 < angle.max() < 0.31
    torch.testing.assert_close(across.hypot(down), slopes(served.plain([0]))[0].expand(300), atol=1e-3, rtol=0)
