"""Values that fill no areas: thin classes, instances, soft edges, noise; and what `nonzero` marks of them."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from cliptune.datasets.mask_sets import open_masks
from tests.layouts.segmentation import complaint, items, picture

COUNT = 6
Pixels = np.ndarray


def set_of(root: Path, masks: list, suffix: str = ".png", **saving: object) -> Path:
    """A folder of images with these masks, called 0, 1, 2 …"""
    for number, drawn in enumerate(masks):
        mask = drawn if isinstance(drawn, Image.Image) else Image.fromarray(drawn)
        picture(root / "images" / f"{number}.png", mask.size)
        file = root / "masks" / f"{number}{suffix}"
        file.parent.mkdir(exist_ok=True)
        mask.save(file, **saving)
    return root


def read(root: Path, value: object = "nonzero") -> tuple[list[Pixels], tuple[str, ...]]:
    """The masks by their numbers, and the notes."""
    opened = open_masks(str(root), prompt="vessel", value=value)
    listed = sorted(items(opened), key=lambda item: int(Path(item.image).stem))
    return [opened.read_mask(item) for item in listed], opened.notes


def stored(root: Path, suffix: str = ".png") -> list[Pixels]:
    return [np.asarray(Image.open(root / "masks" / f"{number}{suffix}")) for number in range(COUNT)]


def lines(*values: int, smooth: int = 1) -> list[Image.Image]:
    """Lines one pixel wide, four of each value, other ones in each picture."""
    drawn = []
    for number in range(COUNT):
        stream = np.random.default_rng(number)
        image = Image.new("L", (96 * smooth, 96 * smooth))
        for value in values:
            for _ in range(3):
                start, end = (tuple(stream.integers(0, 96 * smooth, 2).tolist()) for _ in range(2))
                ImageDraw.Draw(image).line([start, end], fill=value, width=smooth)
        drawn.append(image.resize((96, 96), Image.Resampling.BOX))
    return drawn


def stripes(*values: int) -> list[Pixels]:
    mask = np.zeros((48, 48), np.uint8)
    for place, value in enumerate(values, 1):
        mask[:, 10 * place] = value
    return [mask] * COUNT


def points(*values: int) -> list[Pixels]:
    masks = [np.zeros((96, 96), np.uint8) for _ in range(COUNT)]
    for number, mask in enumerate(masks):
        stream = np.random.default_rng(number)
        for value in values:
            mask[stream.integers(0, 96, 30), stream.integers(0, 96, 30)] = value
    return masks


def instances(size: int, gap: int, dtype: type = np.uint8, start: int = 20) -> Iterator[Pixels]:
    """Squares with a number each, which goes on from file to file."""
    for number in range(12):
        mask, own = np.zeros((64, 64), dtype), number * start
        for y in range(0, 60, 12):
            for x in range(0, 48, 12):
                own += 1
                mask[y : y + size, x : x + size] = own
        yield mask[: 64 - gap]


def discs(most: int = 255) -> list[Image.Image]:
    y, x = np.mgrid[:96, :128]
    shapes = [(x - 40 - 4 * number) ** 2 + (y - 40) ** 2 < 24**2 for number in range(COUNT)]
    return [Image.fromarray((most * shape).astype(np.uint8)) for shape in shapes]


def coloured(masks: list, *parts: float) -> list[Pixels]:
    return [(np.asarray(mask)[..., None] * np.array(parts)).astype(np.uint8) for mask in masks]


def in_palette(masks: list) -> list[Image.Image]:
    found = []
    for mask in masks:
        image = Image.fromarray(np.asarray(mask), "P")
        image.putpalette(PALETTE)
        found.append(image)
    return found


PALETTE = [part for number in range(256) for part in (number, number // 2, 0)]
THIN = {
    "three greys": stripes(100, 128, 255),
    "100, 255": stripes(100, 255),
    "128, 255": stripes(128, 255),
    "64, 255": stripes(64, 255),
    "1, 255": stripes(1, 255),
    "1, 2": stripes(1, 2),
    "lines": lines(128, 255),
    "lines of 100": lines(100, 255),
    "16 bits": [np.asarray(mask).astype(np.uint16) * 257 for mask in stripes(128, 255)],
    "points": points(1, 255),
    "points of 20": points(20, 255),
    "colours": coloured(lines(128, 255), 1, 0, 1),
    "a palette": in_palette(stripes(128, 255)),
}


@pytest.mark.parametrize("name", THIN)
def test_thin_classes_are_classes(name: str, tmp_path: Path) -> None:
    root = set_of(tmp_path, THIN[name])
    error = complaint(root, prompt="vessel")
    assert "values where two are needed: 0 in 6" in error.what
    assert "segment.value=nonzero" in error.fix
    masks, notes = read(root)
    assert not notes
    true = [np.asarray(mask).reshape(*np.asarray(mask).shape[:2], -1).any(-1) for mask in THIN[name]]
    assert all((mask == shape).all() for mask, shape in zip(masks, true, strict=True))


@pytest.mark.parametrize(("values", "chosen"), [((128, 255), 128), ((128, 255), 255), ((100, 255), 100)])
def test_a_thin_class_is_chosen_by_value(values: tuple[int, int], chosen: int, tmp_path: Path) -> None:
    masks, _ = read(set_of(tmp_path, lines(*values)), chosen)
    assert all((mask == (numbers == chosen)).all() for mask, numbers in zip(masks, stored(tmp_path), strict=True))


@pytest.mark.parametrize("smooth", [2, 4])
def test_smooth_lines_are_no_classes(smooth: int, tmp_path: Path) -> None:
    masks, notes = read(set_of(tmp_path, lines(255, smooth=smooth)), ())
    assert all((mask == (numbers > 127)).all() for mask, numbers in zip(masks, stored(tmp_path), strict=True))
    assert "have values beside 0 or 255: the nearest counts" in notes[-1]


@pytest.mark.parametrize("quality", [90, 100])
def test_thin_lines_with_noise_are_no_classes(quality: int, tmp_path: Path) -> None:
    root, drawn = set_of(tmp_path, lines(255), ".jpg", quality=quality), lines(255)
    for value in ((), "nonzero"):
        masks, _ = read(root, value)
        assert all((mask == (np.asarray(true) > 0)).all() for mask, true in zip(masks, drawn, strict=True))


@pytest.mark.parametrize("size", [3, 10, 12])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_instances_are_refused_and_all_of_them_marked_by_nonzero(size: int, dtype: type, tmp_path: Path) -> None:
    drawn = list(instances(size, 0, dtype))
    root = set_of(tmp_path, drawn)
    error = complaint(root, prompt="cell")
    assert "its masks hold 241 values where two are needed" in error.what
    assert "segment.value=nonzero" in error.fix
    masks, notes = read(root)
    assert all((mask == (numbers > 0)).all() for mask, numbers in zip(masks, drawn, strict=True))
    assert not notes
    assert int(read(root, 7)[0][0].sum()) == size**2


def test_wide_slopes_of_soft_masks_are_no_instances(tmp_path: Path) -> None:
    wide = [mask.resize((512, 384)).filter(ImageFilter.GaussianBlur(24)) for mask in discs()]
    assert len({value for mask in wide for value in np.unique(np.asarray(mask)).tolist()}) > 200
    masks, notes = read(set_of(tmp_path, wide), ())
    assert all((mask == (np.asarray(soft) > 127)).all() for mask, soft in zip(masks, wide, strict=True))
    assert "the nearest counts" in notes[-1]


@pytest.mark.parametrize("radius", [1, 4, 12])
def test_soft_masks_are_marked_from_the_smallest_value_on_by_nonzero(radius: int, tmp_path: Path) -> None:
    soft = [mask.filter(ImageFilter.GaussianBlur(radius)) for mask in discs()]
    masks, notes = read(set_of(tmp_path, soft))
    assert all((mask == (np.asarray(drawn) > 0)).all() for mask, drawn in zip(masks, soft, strict=True))
    assert notes[-1].endswith("have values beside 0 or 255: all that are not 0 are marked, soft edges too")


@pytest.mark.parametrize("as_png", [False, True])
@pytest.mark.parametrize("quality", [50, 75, 100])
def test_noise_near_black_is_not_marked_by_nonzero(quality: int, as_png: bool, tmp_path: Path) -> None:
    saved = []
    for mask in discs():
        file = io.BytesIO()
        mask.save(file, "JPEG", quality=quality)
        saved.append(Image.open(file))
    root = set_of(tmp_path, [mask.convert("L") for mask in saved], *([] if as_png else [".jpg"]))
    masks, notes = read(root)
    wrong = [int((mask != (np.asarray(true) > 0)).sum()) for mask, true in zip(masks, discs(), strict=True)]
    assert max(wrong) <= 2 * np.pi * 24
    assert "have noise near 0, as JPEG leaves it: values up to 31.9 count as 0" in notes[-1]


def test_probabilities_that_are_nowhere_zero_are_cut_above_their_black(tmp_path: Path) -> None:
    """As a network's output is: the background is 1 or 2 of 255, and here and there 0."""
    drawn = [np.clip(np.asarray(mask), 1, 253) for mask in discs()]
    for mask in drawn:
        mask[::9, ::7], mask[4::9, ::7], mask[90:, 100:] = 0, 2, np.arange(28) * 9
    masks, _ = read(set_of(tmp_path, drawn))
    assert all((mask == (numbers > 31)).all() for mask, numbers in zip(masks, drawn, strict=True))


def test_noise_is_not_chosen_by_value(tmp_path: Path) -> None:
    soft = [mask.filter(ImageFilter.GaussianBlur(4)) for mask in discs()]
    between = int(next(value for value in np.unique(np.asarray(soft[0])) if 100 < value < 200))
    error = complaint(set_of(tmp_path, soft), prompt="disc", value=between)
    assert "hold it only as noise or on soft edges, beside 0 and 255" in error.what


def test_values_beyond_the_most_frequent_are_chosen(tmp_path: Path) -> None:
    mask = np.arange(1, 226, dtype=np.uint8).reshape(15, 15).repeat(4, 0).repeat(4, 1)
    root = set_of(tmp_path, [np.pad(mask, 20)] * COUNT)
    assert "226 values" in complaint(root, prompt="cell").what
    assert int(read(root, 225)[0][0].sum()) == 16


def test_a_value_of_another_depth_is_named_as_its_files_store_it(tmp_path: Path) -> None:
    ones = [np.asarray(mask).astype(np.uint16) for mask in discs(1)]
    root = set_of(tmp_path, [ones[number] if number < 3 else mask for number, mask in enumerate(discs())])
    told = complaint(root, prompt="disc").what
    assert "1 (in 16-bit files) in 3" in told
    assert "0.0039" not in told
    assert read(root, 1)[0][0].any()
    assert all((mask == (np.asarray(true) > 0)).all() for mask, true in zip(read(root)[0], discs(), strict=True))
