"""Decoding: odd files are read as a person sees them; broken ones are named."""

import mimetypes
import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from cliptune.datasets import depths, images
from cliptune.datasets.images import IMAGE_SUFFIXES, decode, opened, printable, read_file
from cliptune.datasets.places import UNREAD_SUFFIXES
from cliptune.errors import UserError
from cliptune.report.gallery import thumbnail

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FRAMES, PETS = SHARED / "cvc-clinicdb-tif", SHARED / "odd-files" / "oxford_pets"
needs_frames = pytest.mark.skipif(not FRAMES.is_dir(), reason="the real CVC-ClinicDB frames are not here")
needs_pets = pytest.mark.skipif(not PETS.is_dir(), reason="the real odd files of Oxford-IIIT Pet are not here")

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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not an image, a note", "is not an image but text: 'not an image, a note'"),
        (b'{"error": "not found"}', "is not an image but text"),
        (b"\x01\x02\x03" * 9, "is not an image (27 bytes)"),
        (b"\0" * 5000, "holds nothing but zeros"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "is a JPEG that is broken"),
        (b"II*\0\x08\0\0\0" + b"\0" * 40, "is a TIFF that is broken or of a kind that is not read"),
        (b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 40, "is a camera's raw picture, which is not read"),
        (b"\xef\xbb\xbf\n<HTML><body>", "is a web page"),
        (b"/annex/objects/SHA256E-s1--aa.jpg", "git annex get"),
        (b"Rar!\x1a\7", "is a RAR archive"),
        (b"\0\0\1\0\1\0", "is an icon"),
    ],
)
def test_what_is_no_image_is_named(data, words, tmp_path):
    path = tmp_path / "note.jpg"
    path.write_bytes(data)
    with pytest.raises(UserError) as refused:
        read_file(path)
    assert f"note.jpg {words}" in refused.value.what or words in refused.value.what


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for place in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(UserError, match="not a regular file"):
            read_file(place)


def sixteen_bit_png(pixels):
    """RGB of 16 bits each, which Pillow reads but does not write."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize(("bits", "off"), [(16, 1), (14, 4), (12, 16)])
def test_colours_of_fewer_bits_within_sixteen_are_scaled(bits, off, as_published):
    seen = np.random.default_rng(0).integers(0, 256, (9, 11, 3))
    seen[0, 0] = 255
    out = np.asarray(decode(sixteen_bit_png(seen * (2**bits - 1) // 255), "a", as_published))
    assert np.abs(out - seen).max() <= off


def test_an_image_without_anything_opaque_shows_its_colours():
    image = halves().convert("RGBA")
    image.putalpha(0)
    assert decode(encoded(image, "PNG"), "a").tobytes() == halves().tobytes()
    clear = Image.new("RGBA", (4, 4), (9, 9, 9, 0))
    assert decode(encoded(clear, "PNG"), "a").getextrema() == ((255, 255),) * 3


def test_every_ending_is_one_this_pillow_reads():
    for suffix in IMAGE_SUFFIXES - {".mpo", ".apng", ".pbm", ".pnm", ".pgm"}:
        kind = Image.registered_extensions()[suffix]
        assert decode(encoded(halves(), kind), "a").size == (40, 20)
    assert {suffix for suffix in (".webp", ".avif") if features.check(suffix[1:])} <= IMAGE_SUFFIXES


def test_no_ending_of_a_picture_is_unknown():
    """A file of an unknown ending is left out without a word."""
    Image.init()
    types = mimetypes.MimeTypes().types_map
    pictures = {ending for known in types for ending, kind in known.items() if kind.startswith("image/")}
    others = {".jls", ".mrxs", ".ras", ".wdp", ".ts", ".pict"}
    known = IMAGE_SUFFIXES | UNREAD_SUFFIXES
    assert {ending.lower() for ending in pictures | set(Image.registered_extensions()) | others} <= known
    assert not IMAGE_SUFFIXES & UNREAD_SUFFIXES
    assert {ending for ending in known if ending != ending.lower() or not ending.startswith(".")} == set()


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_decompression_bomb(monkeypatch, kind, as_published):
    data = encoded(halves(), kind)  # 800 pixels; Pillow refuses twice its limit and warns from the limit on
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(UserError, match=r"big\.png is too large") as error:
        decode(data, "big.png", as_published)
    assert "800 pixels" in error.value.what
    assert "save it smaller" in error.value.fix
    assert str(error.value).count("\n") == 1
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


@pytest.mark.parametrize("number", [1, 6])
def test_both_readings_of_a_turned_photo(number):
    data = oriented(number)
    lying = Image.open(BytesIO(data)).convert("RGB")
    assert decode(data, "a", as_published=True).tobytes() == lying.tobytes()
    assert (decode(data, "a").tobytes() == lying.tobytes()) is (number == 1)
    assert decode(data, "a").size == ((40, 20) if number == 1 else (20, 40))


def test_invalid_orientation_is_no_turn_in_either_reading():
    assert decode(oriented(0), "a").tobytes() == decode(oriented(0), "a", as_published=True).tobytes()
    assert [images.orientation(opened(oriented(number))) for number in (0, 1, 6)] == [0, 1, 6]
    assert images.orientation(opened(encoded(halves(), "PNG"))) is None


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_both_readings_of_transparency(mode):
    image = Image.new("RGBA", (4, 4), (80, 80, 80, 255))
    image.putpixel((1, 2), (0, 0, 0, 0))
    options = {}
    if mode == "P":
        image, options = Image.new("P", (4, 4), 1), {"transparency": b"\0\xff"}
        image.putpalette([0, 0, 0, 80, 80, 80])
        image.putpixel((1, 2), 0)
    data = encoded(image.convert(mode), "PNG", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of every such palette; thousands of lines tell nobody anything
        seen, published = decode(data, "a"), decode(data, "a", as_published=True)
    assert (seen.getpixel((1, 2)), seen.getpixel((0, 0))) == ((255,) * 3, (80,) * 3)
    assert (published.getpixel((1, 2)), published.getpixel((0, 0))) == ((0,) * 3, (80,) * 3)
    assert published.mode == "RGB"


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_the_name_says_nothing(kind, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(halves() if kind == "GIF" else halves().convert("RGBA"), kind))
    for as_published in (False, True):
        out = read_file(path, as_published)
        assert out.mode == "RGB"
        assert near(out, (5, 5), RED)
        assert near(out, (35, 5), GREEN)


@pytest.mark.parametrize("adobe", [True, False])
@pytest.mark.parametrize("as_published", [True, False])
def test_cmyk_jpeg_is_not_inverted(adobe, as_published):
    """Pillow writes Adobe's inverted CMYK and takes every CMYK JPEG for it, with Adobe's marker or without."""
    data = encoded(halves().convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    assert data[at + 4 : at + 9] == b"Adobe"
    if not adobe:
        data = data[:at] + data[at + 2 + struct.unpack_from(">H", data, at + 2)[0] :]
    out = decode(data, "a", as_published)
    assert near(out, (5, 5), RED)
    assert near(out, (35, 5), GREEN)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_as_published_too(kind):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    data = encoded(Image.fromarray(ramp), kind)
    assert decode(data, "a", as_published=True).tobytes() == decode(data, "a").tobytes()
    assert (np.asarray(decode(data, "a", as_published=True))[..., 0].ravel() == np.arange(256)).all()


def png(rows: np.ndarray, bits: int, colour: int) -> bytes:
    """A PNG written by hand: Pillow writes none of 16 bits in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    head = struct.pack(">LLBBBBB", rows.shape[1], len(rows), bits, colour, 0, 0, 0)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, part) for kind, part in parts)


@pytest.mark.parametrize("as_published", [True, False])
def test_sixteen_bits_in_colour(as_published):
    rows = np.arange(256).repeat(3).reshape(16, 16, 3)
    rows[..., 1] = 128
    out = np.asarray(decode(png((rows * 257).astype(">u2"), 16, 2), "a", as_published))
    assert (out == rows).all()


def test_scaling_goes_in_blocks_unseen(monkeypatch):
    ramp = Image.fromarray(np.linspace(-3e5, 7e5, 60 * 40).astype(np.int32).reshape(60, 40))
    whole = decode(encoded(ramp, "TIFF"), "a")
    monkeypatch.setattr(depths, "_BLOCK", 130)  # three rows
    assert decode(encoded(ramp, "TIFF"), "a").tobytes() == whole.tobytes()
    assert whole.getextrema() == ((0, 255),) * 3


def test_grey_in_both_readings():
    data = encoded(Image.linear_gradient("L"), "PNG")
    for as_published in (False, True):
        out = np.asarray(decode(data, "a", as_published))
        assert out.shape == (256, 256, 3)
        assert (out == np.arange(256)[:, None, None]).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncated_file_is_read_once(kind, tmp_path, monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded(noise, kind)[:-900])
    reads = []
    real = images.regular_bytes
    monkeypatch.setattr(images, "regular_bytes", lambda path: reads.append(path) or real(path))
    for as_published in (False, True):
        with pytest.raises(UserError, match=r"cut\.jpg"):
            read_file(path, as_published)
    assert len(reads) == 2


def miscalled(order: str, bits: tuple[int, ...] = (8, 8, 8), extra: bool = False, compression: int = 1) -> bytes:
    """Two strips of uncompressed RGB in a TIFF that calls them grey, as CVC-ClinicDB's frames do."""
    pixels = halves().tobytes()
    tags = [(256, 40), (257, 20), (258, bits), (259, compression), (262, 1), (273, (8, 8 + len(pixels) // 2))]
    tags += [(277, 3), (278, 10), (279, (len(pixels) // 2,) * 2), *([(338, 0)] if extra else [])]
    start = 8 + len(pixels)
    behind, entries, room = b"", b"", start + 2 + 12 * len(tags) + 4
    for tag, value in tags:
        values = value if isinstance(value, tuple) else (value,)
        data = struct.pack(f"{order}{len(values)}H", *values)
        if len(data) > 4:
            data, behind = struct.pack(f"{order}L", room + len(behind)), behind + data
        entries += struct.pack(f"{order}HHL", tag, 3, len(values)) + data.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, start)
    count = struct.pack(f"{order}H", len(tags))
    return head + pixels + count + entries + struct.pack(f"{order}L", 0) + behind


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_that_calls_its_colours_grey(order):
    data = miscalled(order)
    with pytest.raises(Image.UnidentifiedImageError):  # once Pillow reads it, the mending can go
        Image.open(BytesIO(data))
    for as_published in (False, True):
        assert decode(data, "a.tif", as_published).tobytes() == halves().tobytes()


@pytest.mark.parametrize(
    "data",
    [
        miscalled("<", bits=(16, 16, 16)),
        miscalled("<", extra=True),
        miscalled("<", compression=77),
        miscalled("<")[:2500],
        b"II*\0",
        b"MM\0*\xff\xff\xff\xff",
    ],
    ids=["16 bits", "alpha", "compressed", "cut short", "header only", "points nowhere"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_other_odd_tiffs_are_not_guessed_at(data):
    with pytest.raises(UserError, match=r"a\.tif"):
        decode(data, "a.tif")


@needs_frames
@pytest.mark.parametrize("number", [1, 100, 274, 400, 612])
def test_real_frames(number):
    path = FRAMES / "Original" / f"{number}.tif"
    frame, mask = read_file(path), read_file(FRAMES / "Ground Truth" / f"{number}.tif")
    assert frame.size == mask.size == (384, 288)
    pixels = np.frombuffer(path.read_bytes()[8 : 8 + 384 * 288 * 3], np.uint8).reshape(288, 384, 3)
    assert (np.asarray(frame) == pixels).all()
    red, green, blue = np.asarray(frame).reshape(-1, 3).mean(0)
    assert red > green > blue  # the inside of a gut
    assert 0.001 < (np.asarray(mask)[..., 0] > 127).mean() < 0.5
    assert read_file(path, as_published=True).tobytes() == frame.tobytes()


@needs_pets
def test_real_odd_pets():
    for path in sorted(PETS.glob("*.jpg")):
        published = read_file(path, as_published=True)
        assert published.mode == "RGB"
        assert published.tobytes() == Image.open(path).convert("RGB").tobytes()
        assert read_file(path).tobytes() == published.tobytes()  # alpha is opaque, EXIF orientations are 0 and 1
    with pytest.raises(UserError, match=r"Abyssinian_100\.mat is not an image"):
        read_file(PETS / "Abyssinian_100.mat")


@pytest.mark.parametrize(
    ("size", "factor"), [((199, 200), 1), ((400, 200), 2), ((450, 900), 4), ((1000, 900), 8), ((5000, 90), 1)]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_huge_images_come_out_smaller(size, factor, kind, monkeypatch):
    monkeypatch.setattr(images, "HUGE", 40_000)
    monkeypatch.setattr(images, "KEPT_SIDE", 100)
    data = encoded(halves(*size), kind)
    out = decode(data, "a")
    assert out.size == tuple(-(-side // factor) for side in size)
    assert near(out, (1, 1), RED)
    assert near(out, (out.width - 2, out.height - 2), GREEN)
    assert decode(data, "a", as_published=True).size == size


def test_huge_jpeg_is_never_decoded_larger(monkeypatch):
    monkeypatch.setattr(images, "HUGE", 40_000)
    monkeypatch.setattr(images, "KEPT_SIDE", 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    sizes = []
    real = images._over_white
    monkeypatch.setattr(images, "_over_white", lambda image: sizes.append(image.size) or real(image))
    assert decode(encoded(halves(900, 450), "JPEG", exif=exif), "a").size == (113, 225)
    assert sizes == [(113, 225)]


def test_reduction_of_real_sizes():
    wanted = {(8000, 5000): 1, (8001, 5000): 4, (9331, 6530): 4, (12_000, 9000): 8, (30_000, 2000): 1}
    assert {size: images.reduction(size) for size in wanted} == wanted


@pytest.mark.parametrize("as_published", [True, False])
def test_large_images_are_decoded_one_at_a_time(as_published, monkeypatch):
    monkeypatch.setattr(images, "LARGE", 500)
    inside, most, guard = 0, {"large": 0, "small": 0}, threading.Lock()
    both = threading.Barrier(2, timeout=120)
    real = images.is_deep

    def watched(image):
        nonlocal inside
        if image.width < 40:
            both.wait()  # passes only where two small ones are inside together
            return real(image)
        with guard:
            inside += 1
            most["large"] = max(most["large"], inside)
        threading.Event().wait(0.01)
        with guard:
            inside -= 1
        return real(image)

    monkeypatch.setattr(images, "is_deep", watched)
    large, small = encoded(halves(), "PNG"), encoded(halves(20, 20), "PNG")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda data: decode(data, "a", as_published), [large] * 6))
        list(pool.map(lambda data: decode(data, "a", as_published), [small] * 2))
    assert most["large"] == 1


def test_a_broken_large_image_lets_the_next_one_in(monkeypatch):
    monkeypatch.setattr(images, "LARGE", 500)
    data = encoded(Image.effect_noise((64, 64), 90), "PNG")
    for _ in range(2):
        with pytest.raises(UserError, match="cannot be decoded"):
            decode(data[:-900], "a")
    assert decode(data, "a").size == (64, 64)


@pytest.mark.parametrize(
    "name",
    ["käse größe.png", "猫 (1).png", "colt's foot [2] {x}.png", " lead and trail .png", "100% #1 & co.png", "n\ne.png"],
)
def test_names_with_anything_in_them(name, tmp_path):
    path = tmp_path / "a folder (b)" / name
    path.parent.mkdir()
    path.write_bytes(encoded(halves(), "PNG"))
    assert read_file(path).size == (40, 20)
    path.write_bytes(b"x")
    with pytest.raises(UserError) as error:
        read_file(path)
    assert name.replace("\n", " ") in error.value.what


def test_names_that_are_no_unicode(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_bytes(encoded(halves(), "PNG"))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert read_file(path).size == (40, 20)
    path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"caf\\xe9\.png is not an image"):
        read_file(path)
    path.unlink()
    with pytest.raises(UserError) as error:
        read_file(path)
    error.value.what.encode("utf-8")  # what a strict terminal does
    assert [printable(name) for name in ("größe", "a\ud800b")] == ["größe", r"a\ud800b"]


NOT_READ = {
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, "is HEIC"),
    "PDF": (b"%PDF-1.7\n", "a PDF"),
    "web page": (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "WMF": (b"\xd7\xcd\xc6\x9a" + b"\0" * 40, "is not an image"),
    "empty": (b"", "is empty"),
}


@pytest.fixture
def planted_gs(tmp_path, monkeypatch):
    """A `gs` first on the path, and the file that it would write."""
    (tmp_path / "bin").mkdir()
    program, mark = tmp_path / "bin" / "gs", tmp_path / "gs-was-run"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return mark


@pytest.mark.parametrize("kind", NOT_READ)
@pytest.mark.parametrize("as_published", [True, False])
def test_other_formats_are_named_and_start_nothing(kind, as_published, tmp_path, planted_gs):
    data, words = NOT_READ[kind]
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError) as refused:
        read_file(tmp_path / "x.png", as_published)
    assert words in refused.value.what
    assert not planted_gs.exists()


@pytest.mark.parametrize("kind", [*NOT_READ, "link", "pipe", "large", "bomb"])
def test_a_strangers_thumbnail_is_left_out_of_the_report(kind, tmp_path, planted_gs):
    path = tmp_path / "0.png"
    if kind in NOT_READ:
        path.write_bytes(NOT_READ[kind][0])
    elif kind == "link":
        (tmp_path / "private.png").write_bytes(encoded(halves(), "PNG"))
        path.symlink_to(tmp_path / "private.png")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        side = 600 if kind == "large" else 20_000
        path.write_bytes(encoded(Image.new("1", (side, side)), "PNG"))
    assert thumbnail(path) == ""
    assert not planted_gs.exists()


def test_a_thumbnail_is_shown(tmp_path):
    (tmp_path / "0.png").write_bytes(encoded(halves(), "PNG"))
    assert thumbnail(tmp_path / "0.png").startswith("data:image/")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_depths_within_sixteen_bits_are_scaled_by_what_is_used(bits, tmp_path):
    """A ramp of 4, 10, 12 … bits looks the same whatever file of 16 bits it is written to."""
    ramp = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)
    for kind in ("TIFF", "PNG"):
        image = decode(encoded(Image.fromarray(ramp.reshape(16, 16)), kind), "x")
        assert np.abs(np.asarray(image)[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1
