"""Pictures of more than 8 bits, of floats, of signed numbers and of odd bands: read as they are meant, or told."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets.depths import Scale, scale_sentences
from cliptune.datasets.folder import load
from cliptune.datasets.images import decode, opened, upright_rgb
from cliptune.datasets.inspect import examine
from cliptune.datasets.remarks import depth_remarks, unusual_scale

SIDE = 64
RAMP = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)
TWELVE = np.arange(4096, dtype=np.uint16).reshape(SIDE, SIDE)
OPAQUE = np.full_like(TWELVE, 65535)
GREY = (TWELVE // 16).astype(np.uint8)
WHOLE, SIGNED, FLOAT = 1, 2, 3
ALPHA, PREMULTIPLIED, UNNAMED = 2, 1, 0


def tiff(values, photometric=1, extra=None, planar=False, kind=WHOLE, order="<", packed=False, nodata=None) -> bytes:
    """A TIFF [h w] or [h w bands] written by hand, in a strip (for each band where planar): Pillow writes few kinds."""
    values = np.asarray(values)
    values = values.reshape(*values.shape[:2], -1)
    values = values.astype(values.dtype.newbyteorder(order))
    bands = values.shape[2]
    strips = [values[..., band].tobytes() for band in range(bands)] if planar else [values.tobytes()]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    starts = [8 + sum(map(len, strips[:number])) for number in range(len(strips) + 1)]
    tags = [(256, "H", [values.shape[1]]), (257, "H", [len(values)]), (258, "H", [8 * values.itemsize] * bands)]
    tags += [(259, "H", [8 if packed else 1]), (262, "H", [photometric]), (273, "L", starts[:-1]), (277, "H", [bands])]
    tags += [(278, "H", [len(values)]), (279, "L", list(map(len, strips))), (284, "H", [1 + planar])]
    tags += [(338, "H", list(extra))] if extra is not None else []
    tags += [(339, "H", [kind] * bands)]
    tags += [(42113, "s", f"{nodata}\0".encode())] if nodata is not None else []
    entries = behind = b""
    for tag, letter, found in tags:
        data = found if letter == "s" else struct.pack(f"{order}{len(found)}{letter}", *found)
        if len(data) > 4:
            place = struct.pack(f"{order}L", starts[-1] + 2 + 12 * len(tags) + 4 + len(behind))
            data, behind = place, behind + data
        entries += struct.pack(f"{order}HHL", tag, {"s": 2, "H": 3, "L": 4}[letter], len(found)) + data.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, starts[-1])
    count = struct.pack(f"{order}H", len(tags))
    return head + b"".join(strips) + count + entries + struct.pack(f"{order}L", 0) + behind


def png(values, colour: int, transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits; colour: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">LLBBBBB", values.shape[1], len(values), 16, colour, 0, 0, 0)
    clear = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    data = chunk(b"IHDR", head) + clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def bands(*each: np.ndarray) -> np.ndarray:
    return np.stack(each, -1)


def read(data: bytes) -> np.ndarray:
    """Red, which must be green and blue too, in both readings."""
    seen = np.asarray(decode(data, "a")).astype(int)
    assert (seen == seen[..., :1]).all()
    return seen[..., 0]


def remarks(data: bytes) -> list[str]:
    with opened(data) as header:
        return list(depth_remarks(header))


def scale(data: bytes) -> Scale:
    with opened(data) as header:
        found = unusual_scale(header)
    assert found is not None
    return found


def with_holes(values: np.ndarray, value: float, count: int = 1) -> np.ndarray:
    values = np.array(values)
    values[:1].flat[:count] = value
    return values


SIXTEEN = {
    "PNG RGBA": png(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 6),
    "PNG LA": png(bands(TWELVE, OPAQUE), 4),
    "TIFF": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 2, [ALPHA]),
    "TIFF, big-endian": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 2, [ALPHA], order=">"),
    "TIFF, compressed": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 2, [ALPHA], packed=True),
    "TIFF, premultiplied": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 2, [PREMULTIPLIED]),
    "TIFF, a plane each": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 2, [ALPHA], planar=True),
    "TIFF, fourth unnamed": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE), 2),
    "TIFF, alpha of 12 bits": tiff(bands(TWELVE, TWELVE, TWELVE, OPAQUE // 16), 2, [ALPHA]),
    "RGB, a plane each": tiff(bands(TWELVE, TWELVE, TWELVE), 2, planar=True),
    "RGB, a plane each, big-endian": tiff(bands(TWELVE, TWELVE, TWELVE), 2, planar=True, order=">"),
    "RGB, a plane each, compressed": tiff(bands(TWELVE, TWELVE, TWELVE), 2, planar=True, packed=True),
    "CMYK": tiff(bands(*[TWELVE.max() - TWELVE] * 3, 0 * TWELVE), 5),
    "PPM": b"P6 64 64 65535\n" + bands(TWELVE, TWELVE, TWELVE).astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", SIXTEEN)
def test_colours_that_use_twelve_bits_with_whatever_beside_them(kind):
    data = SIXTEEN[kind]
    # Pillow keeps the upper 8 of 16 bits: 16 levels, 17 apart. Cut off, v is read as 17 ⌊v / 256⌋, which is 15 off
    # ⌊v / 16⌋ at most; a PPM's is rounded, 17 round(v / 257), which is up to 23 off.
    most = 23 if kind == "PPM" else 15
    assert np.abs(read(data) - GREY).max() <= most
    assert np.abs(np.asarray(decode(data, "a", as_published=True))[..., 0].astype(int) - GREY).max() <= most
    assert "12 of 16 bits used in each colour: scaled, and only the upper 4 of them are read" in remarks(data)
    assert ("12 of 16 bits used in alpha: scaled" in remarks(data)) == (kind == "TIFF, alpha of 12 bits")


def test_colours_below_alpha_and_transparent_ones_decide_nothing():
    hidden = TWELVE < 2048
    white = np.where(hidden, 65535, TWELVE)
    with_alpha = png(bands(white, white, white, np.where(hidden, 0, 65535)), 6)
    for data in (with_alpha, png(bands(white, white, white), 2, (65535,) * 3), png(white, 0, (65535,))):
        seen = read(data)
        assert (seen[hidden] == 255).all()
        assert np.abs(seen - GREY)[~hidden].max() <= 15  # 16 levels, as above


def test_a_colour_of_eight_bits_in_sixteen_is_told():
    small = bands(GREY, GREY, GREY).astype(np.uint16)
    assert remarks(png(small, 2)) == ["no colour reaches 256 of 65,535: it comes out black"]
    assert (read(tiff(GREY.astype(np.uint16))) == GREY).all()


OVER = RAMP * 1.04 - 0.02
KNOWN = {
    "fractions": (RAMP * 0.99, 1),
    "fractions that overshoot": (OVER, 1),
    "dark fractions": (RAMP * 0.2, 1),
    "0 and 1": (RAMP > 0.5, 1),
    "bytes that overshoot": (OVER * 255, 255),
    "dark bytes": (np.rint(RAMP * 40), 255),
    "counts": (np.rint(RAMP * 4000), 4095),
    "nodata": (with_holes(RAMP, -9999), 1),
    "much nodata": (with_holes(RAMP / 2, -3.4e38, SIDE), 1),
    "NaN": (with_holes(RAMP, np.nan), 1),
    "infinity": (with_holes(RAMP, -np.inf), 1),
}


@pytest.mark.parametrize("name", KNOWN)
def test_floats_of_a_known_range(name):
    values, white = KNOWN[name]
    data = tiff(values.astype(np.float32), kind=FLOAT)
    wanted = np.clip(np.nan_to_num(values.astype(float), neginf=0), 0, white) / white * 255
    assert np.abs(read(data) - wanted).max() <= 0.51  # half a grey level, and float32
    assert (scale(data).white, scale(data).own) == (white, False)


OTHERS = {
    "radiance": RAMP * 0.004,
    "depth in metres": RAMP * 8.3,
    "kelvin": RAMP * 60 + 250,
    "elevation": RAMP * 2600.5 + 300,
    "decibel": -25 * RAMP - 0.1,
    "-1 to 1": RAMP * 2 - 1,
    "just above 1": RAMP * 0.2 + 1.01,
}


@pytest.mark.parametrize("hole", [None, np.nan, -9999, 1e20])
@pytest.mark.parametrize("name", OTHERS)
def test_floats_of_no_known_range_have_a_contrast_of_their_own(name, hole):
    values = OTHERS[name] if hole is None else with_holes(OTHERS[name], hole, 5)
    data = tiff(values.astype(np.float32), kind=FLOAT)
    sound = OTHERS[name][1:]
    wanted = (sound - sound.min()) / np.ptp(sound) * 255
    assert np.abs(read(data)[1:] - wanted).max() <= 255 / SIDE + 0.5  # the first row decides too; half a grey level
    assert scale(data).own


@pytest.mark.parametrize(
    ("values", "kind", "white"),
    [
        (np.rint(RAMP * 4095) - 1024, np.int16, None),
        (np.rint(RAMP * 255) - 128, np.int8, None),
        (np.rint(RAMP * 4e9), np.uint32, None),
        (with_holes(np.rint(RAMP * 9000), -9999), np.int16, 16383),
        (with_holes(np.rint(RAMP * 900), 2**31 - 1), np.int32, 1023),
    ],
    ids=["CT", "signed bytes", "above 2³¹", "reflectance", "largest as nodata"],
)
def test_signed_and_long_whole_numbers(values, kind, white):
    data = tiff(values.astype(kind), kind=SIGNED if np.issubdtype(kind, np.signedinteger) else WHOLE)
    assert (scale(data).white == white) == (white is not None)
    assert scale(data).own == (white is None)
    seen = read(data)[1:]
    assert (np.diff(seen.ravel()) >= 0).all()
    assert np.ptp(seen) >= 137  # reflectance: 9,000 of 16,383 are 140 of 255, of which the first row is left out


def test_what_gdal_calls_nodata_decides_nothing():
    values = with_holes(np.rint(RAMP * 4000) - 1000, -3000, SIDE).astype(np.int16)
    told = tiff(values, kind=SIGNED, nodata=-3000)
    assert scale(told).low == -1000 + round(RAMP[1, 0] * 4000)
    assert (read(told)[0] == 0).all()
    assert scale(tiff(values, kind=SIGNED)).low == -3000  # it does not stand apart


def test_one_bright_number_does_not_darken_sixteen_bits():
    data = tiff(with_holes(TWELVE, 65535))
    assert np.abs(read(data)[1:] - GREY[1:]).max() <= 1  # v · 255 / 4,095, rounded, and ⌊v / 16⌋
    assert remarks(data) == ["12 of 16 bits used: scaled by 4,095"]


def test_nothing_finite_and_nothing_but_one_number():
    for value in (np.nan, np.inf, 7.5, 0):
        read(tiff(np.full((8, 8), value, np.float32), kind=FLOAT))


@pytest.mark.parametrize("values", [GREY, GREY.astype(np.uint16) * 257, (GREY / 255).astype(np.float32)])
def test_where_the_smallest_is_white(values):
    kind = FLOAT if values.dtype.kind == "f" else WHOLE
    assert (read(tiff(values, 0, kind=kind)) == 255 - GREY).all()


@pytest.mark.parametrize(("values", "kind"), [(TWELVE, "PNG"), (TWELVE, "TIFF"), (np.float32(GREY / 255), "TIFF")])
def test_deep_images_are_turned_upright(values, kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values[:, :40]).save(tmp_path / "a", kind, exif=exif)
    seen = read((tmp_path / "a").read_bytes())
    assert np.abs(seen - np.rot90(GREY[:, :40], -1)).max() <= 1


@pytest.mark.parametrize("planar", [False, True])
def test_a_fourth_band_is_alpha_only_where_it_is_called_so(planar):
    four = bands(GREY, GREY, GREY, 255 - GREY)
    data = tiff(four, 2, planar=planar)
    assert (read(data) == GREY).all()
    assert remarks(data) == ["4 bands: the first 3 are read, as no tag says that the fourth is alpha"]
    called = tiff(four, 2, [ALPHA], planar=planar)
    alpha = 1 - GREY / 255
    assert np.abs(read(called) - (alpha * GREY + (1 - alpha) * 255)).max() <= 1
    assert remarks(called) == []


@pytest.mark.parametrize(
    "data",
    [
        tiff(bands(GREY, GREY, GREY, 255 - GREY), 2),
        tiff(GREY.astype(np.int8), kind=SIGNED),
        tiff(TWELVE * 16, 0),
        tiff(np.rint(RAMP * 4e9).astype(np.uint32)),
        tiff(with_holes(np.rint(RAMP * 4000) - 1000, -3000).astype(np.int16), kind=SIGNED, nodata=-3000),
        tiff(OVER.astype(np.float32), kind=FLOAT),
        png(np.where(TWELVE < 2048, 65535, TWELVE), 0, (65535,)),
    ],
)
def test_an_image_that_was_opened_is_read_as_its_file_is(data):
    image = opened(data)
    for _ in range(2):
        assert (np.asarray(upright_rgb(image, "a")) == np.asarray(decode(data, "a"))).all()
    assert image.mode == opened(data).mode


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (tiff(bands(GREY, GREY, GREY, GREY), 2, [UNNAMED]), "4 bands: the first 3 are read"),
        (tiff(bands(GREY, GREY, GREY, GREY, GREY), 2, [UNNAMED] * 2), "5 bands: the first 3 are read"),
        (tiff(bands(GREY, GREY, GREY, GREY * 0 + 255, GREY), 2, [ALPHA, UNNAMED]), "5 bands: the first 4 are read"),
        (tiff(bands(GREY, GREY), 1, [UNNAMED]), "2 bands: the first is read"),
    ],
    ids=["4", "5", "5 with alpha", "2"],
)
def test_bands_that_are_left_out_are_told(data, told):
    assert (read(data) == GREY).all()
    assert remarks(data) == [told]


def test_premultiplied_grey():
    data = tiff(bands(GREY, 0 * GREY + 255), 1, [PREMULTIPLIED])
    assert (read(data) == GREY).all()
    assert (np.asarray(decode(data, "a", as_published=True))[..., 0] == GREY).all()


def test_check_tells_how_a_set_of_floats_is_scaled(tmp_path: Path):
    sets = {"a": [RAMP * 0.9, OVER, RAMP * 2 - 1], "b": [RAMP * 0.5 + 0.1, RAMP, with_holes(RAMP * 300 - 150, -9999)]}
    for name, images in sets.items():
        (tmp_path / name).mkdir()
        for number, values in enumerate(images):
            Image.fromarray(values.astype(np.float32)).save(tmp_path / name / f"{number}.tif")
    found = examine(load(tmp_path))
    assert (found.odd, found.unreadable, found.modes) == ({}, {}, {"F": 6})
    fixed, own = sorted(found.scaled, reverse=True)
    assert fixed == "4 images of floats, -0.02 to 1.02, read as 0 to 1; values outside are clipped"
    assert own.startswith("2 images of floats, -149.9 to 150, without values that stand apart as nodata does: no known")
    assert "contrast differs from image to image; to avoid that, save them as 8 or 16 bits with one range" in own


def test_sentences_on_scales():
    whole = Scale(3, 40_000, 0, 65535, cut=False, floats=False, own=False)
    assert scale_sentences([whole]) == ["1 image of whole numbers, 3 to 40,000, read as 0 to 65,535"]
    assert scale_sentences([whole, whole._replace(low=0)]) == [
        "2 images of whole numbers, 0 to 40,000, read as 0 to 65,535"
    ]
    other = scale_sentences([whole, whole._replace(high=900, white=1023)])
    assert other[1] == "1 image of whole numbers, 3 to 900, read as 0 to 1,023"
    assert other[2].startswith("they are read by different ranges, so the same value is not equally bright in all")
    assert scale_sentences([]) == []
