"""Decoding: odd files are read as a person sees them; broken ones are named."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from cliptune.datasets.images import IMAGE_SUFFIXES, decode, read_file
from cliptune.errors import UserError

RED, GREEN = (250, 10, 20), (10, 240, 30)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Left half red, right half green."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height))
    return image


def oriented(orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(halves(), kind, exif=exif)


def near(image: Image.Image, xy: tuple[int, int], colour: tuple[int, int, int], within: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(image.getpixel(xy), colour, strict=True)) <= within


def test_transparency_is_laid_over_white():
    image = Image.new("RGBA", (4, 4), (*RED, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    out = decode(encoded(image, "PNG"), "a.jpg")
    assert out.mode == "RGB"
    assert [out.getpixel((x, 0)) for x in range(3)] == [(255, 255, 255), (127, 127, 127), RED]


def test_palette_with_a_transparent_colour():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED, *GREEN])
    image.putpixel((2, 2), 0)
    out = decode(encoded(image, "PNG", transparency=0), "a.png")
    assert out.getpixel((2, 2)) == (255, 255, 255)
    assert out.getpixel((0, 0)) == RED


def test_grey_with_alpha():
    image = Image.new("LA", (3, 3), (80, 255))
    image.putpixel((0, 0), (80, 0))
    out = decode(encoded(image, "PNG"), "a.png")
    assert (out.getpixel((0, 0)), out.getpixel((1, 1))) == ((255,) * 3, (80,) * 3)


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("1", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "BMP")]
)
def test_other_modes_become_rgb(mode, kind):
    image = halves().convert(mode)
    out = decode(encoded(image, kind), "a")
    assert out.mode == "RGB"
    assert out.size == (40, 20)
    assert near(out, (5, 5), image.convert("RGB").getpixel((5, 5)))
    assert near(out, (35, 15), image.convert("RGB").getpixel((35, 15)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    out = np.asarray(decode(encoded(Image.fromarray(ramp), kind), "a"))
    assert (out[..., 0].ravel() == np.arange(256)).all()
    assert (out[..., 0] == out[..., 2]).all()


def test_float_tiffs():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    for factor in (1, 255, 70_000):
        out = np.asarray(decode(encoded(Image.fromarray(ramp * factor), "TIFF"), "a"))
        assert (out[..., 1].ravel() == np.arange(256)).all(), factor


def test_gif_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert near(decode(data, "a.jpg"), (3, 3), RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_six_turns_it_upright(kind):
    out = decode(oriented(6, kind), "a")
    assert out.size == (20, 40)
    assert near(out, (10, 5), RED, 30)
    assert near(out, (10, 35), GREEN, 30)


def test_every_orientation_undoes_its_own_turn():
    for orientation in range(1, 9):
        data = oriented(orientation)
        wanted = ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")
        assert decode(data, "a").tobytes() == wanted.tobytes(), orientation


@pytest.mark.parametrize("orientation", [0, 9, 4242])
def test_invalid_orientation_is_ignored(orientation):
    assert decode(oriented(orientation), "a").tobytes() == decode(oriented(1), "a").tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0no tiff header here", b"Exif\0\0II*\0"])  # raise in Pillow for PNG, WEBP
def test_broken_exif_is_ignored(kind, exif):
    assert decode(encoded(halves(), kind, exif=exif), "a").size == (40, 20)


def test_truncated_file_is_named(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = tmp_path / "cut short.jpg"
    path.write_bytes(encoded(noise, "JPEG")[:-900])
    with pytest.raises(UserError) as error:
        read_file(path)
    assert "cut short.jpg" in error.value.what
    assert "truncated" in error.value.what
    assert "list the good files in a CSV" in error.value.fix


@pytest.mark.parametrize("data", [b"", b"not an image, a note", b"\xff\xd8\xff\xe0" + b"\0" * 40])
def test_text_named_jpg_is_named(data, tmp_path):
    path = tmp_path / "note.jpg"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"note\.jpg is not an image"):
        read_file(path)


def test_decompression_bomb(monkeypatch):
    data = encoded(halves(), "PNG")  # 800 pixels; Pillow refuses twice its limit and warns from the limit on
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(UserError, match=r"big\.png is too large"):
        decode(data, "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.warns(Image.DecompressionBombWarning):
        assert decode(data, "large.png").size == (40, 20)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg cannot be opened: No such file"):
        read_file(tmp_path / "gone.jpg")
    with pytest.raises(UserError, match="cannot be opened"):
        read_file(tmp_path)


def test_suffixes_are_lower_case_with_a_dot():
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"} <= IMAGE_SUFFIXES
