"""Photos that EXIF turns, and their masks: drawn on the picture as it is stored, or as it is shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cliptune.datasets import images as reading
from cliptune.datasets.mask_pixels import read_pair
from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import MaskSet
from tests.layouts.segmentation import items

SIZE = (60, 40)


def photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Dark, with a bright corner: what is to be marked."""
    pixels = np.full((size[1], size[0], 3), 40, np.uint8)
    pixels[: size[1] // 2, : size[0] // 3] = 220
    return Image.fromarray(pixels)


def mask(image: Image.Image) -> Image.Image:
    return image.convert("L").point(lambda value: 255 * (value > 127))


def upright(image: Image.Image, number: int) -> Image.Image:
    turned = image.copy()
    turned.getexif()[0x0112] = number
    return ImageOps.exif_transpose(turned)


def save(
    root: Path, number: int, orientation: int, drawn_upright: bool, size: tuple[int, int] = SIZE, kind: str = "jpg"
) -> None:
    """A pair; the photo is stored turned where it has an orientation other than 1."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    stored = photo(size)
    stored.save(root / "images" / f"{number}.{kind}", exif=exif, quality=95)
    mask(upright(stored, orientation) if drawn_upright else stored).save(root / "masks" / f"{number}.png")


def worst(opened: MaskSet) -> float:
    """The largest share of pixels where a mask and its image's bright corner differ."""
    shares = []
    for item in items(opened):
        image, marked = read_pair(opened, item)
        shares.append(float(((np.asarray(image.convert("L")) > 127) != marked).mean()))
    return max(shares)


@pytest.mark.parametrize("orientation", range(5, 9))
@pytest.mark.parametrize("drawn_upright", [True, False])
@pytest.mark.parametrize("kind", ["jpg", "tif", "webp"])
def test_a_quarter_turn_is_seen_by_the_sides(orientation, drawn_upright, kind, tmp_path):
    for number in range(8):
        save(tmp_path, number, orientation if number % 2 else 1, drawn_upright, kind=kind)
    opened = open_masks(str(tmp_path), prompt="corner")
    assert worst(opened) < 0.02  # JPEG blurs the corner's edge
    if drawn_upright:
        assert opened.notes == ()
    else:
        (note,) = opened.notes
        assert note.startswith("4 masks are drawn on the photo as it is stored, which EXIF turns: turned with it")


@pytest.mark.parametrize(("orientation", "size"), [(3, SIZE), (2, SIZE), (4, SIZE), (6, (40, 40)), (3, (40, 40))])
def test_what_fits_either_way_is_noted(orientation, size, tmp_path):
    for number in range(8):
        save(tmp_path, number, orientation if number == 5 else 1, True, size)
    opened = open_masks(str(tmp_path), prompt="corner")
    assert worst(opened) < 0.02
    (note,) = opened.notes
    assert "1 mask is of a photo that EXIF turns and would fit either way: taken as drawn on the upright photo" in note
    assert "masks/5.png" in note


def test_other_photos_decide_what_fits_either_way(tmp_path):
    for number in range(8):
        save(tmp_path, number, (1, 6, 3)[number % 3], False)
    opened = open_masks(str(tmp_path), prompt="corner")
    assert worst(opened) < 0.02
    assert "2 masks are of a photo that EXIF turns and would fit either way: turned with them" in opened.notes[-1]


def test_a_mask_with_an_orientation_of_its_own_is_turned_by_it(tmp_path):
    for number in range(8):
        save(tmp_path, number, 3, False)
        exif = Image.Exif()
        exif[0x0112] = 3
        file = tmp_path / "masks" / f"{number}.png"
        mask(photo()).save(file, exif=exif)
    opened = open_masks(str(tmp_path), prompt="corner")
    assert (opened.notes, worst(opened) < 0.02) == ((), True)


def test_a_mask_is_made_smaller_with_its_image(tmp_path, monkeypatch):
    """As images above `HUGE` pixels are; here above fewer, for the sake of time."""
    monkeypatch.setattr(reading, "HUGE", 1000)
    monkeypatch.setattr(reading, "KEPT_SIDE", 16)
    for number in range(8):
        save(tmp_path, number, 6 if number % 2 else 1, False, (75, 51))
    opened = open_masks(str(tmp_path), prompt="corner")
    assert {read_pair(opened, item)[0].size for item in items(opened)} == {(38, 26), (26, 38)}
    assert worst(opened) < 0.08  # an eighth of the corner's edge and JPEG's blur at half the size
