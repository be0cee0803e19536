"""Files to RGB images: the format comes from the bytes, and what cannot be read is named."""

import errno
import os
import stat
import struct
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image, features

from cliptune.datasets.depths import eight_bits, fix_planes, is_deep, scaled_colours
from cliptune.datasets.formats import not_read
from cliptune.errors import UserError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff", ".bmp", ".gif")
    + (".pgm", ".ppm", ".pbm", ".pnm")
    + tuple(f".{kind}" for kind in ("webp", "avif") if features.check(kind))
)
"""file name endings taken for images, lower case, as far as this Pillow reads them; the decoder looks at bytes only"""
LARGEST = 1 << 30
"""bytes of a file that is read as an image"""
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "AVIF", "PPM")
"""what Pillow may take an image's bytes for. It knows more kinds, and for EPS it starts Ghostscript"""

LARGE = 16_000_000
"""pixels above which images are decoded one at a time, however many threads decode"""
HUGE = 40_000_000
"""pixels above which an image is made smaller while it is decoded"""
KEPT_SIDE = 1024
"""pixels that stay of a huge image's shorter side, at least; no backbone's crop is larger"""

_FIX = "remove or repair it, or list the good files in a CSV"
_SMALLER = "save it smaller or remove it, or list the good files in a CSV"
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC, _BITS, _COMPRESSION, _SAMPLES, _EXTRA = 262, 258, 259, 277, 338

_one_large = threading.Lock()

Converted = TypeVar("Converted")


def read_file(path: Path, as_published: bool = False) -> Image.Image:
    """`decode` of a file's bytes. A file that cannot be read is named at once; nothing is tried again.

    Raises:
        UserError: the file is missing, cannot be opened, or is no image; names it.
    """
    try:
        data = regular_bytes(path)
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be opened: {error.strerror or error}", _FIX) from error
    return decode(data, printable(path), as_published)


def regular_bytes(path: Path, most: int = -1) -> bytes:
    """The bytes of a regular file, or of what a link to one leads to; the first `most`, or all.

    Raises:
        OSError: it cannot be read, is a folder, a pipe or a device, which may never end, or has gigabytes.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if most < 0 and found.st_size > LARGEST:
            raise OSError(errno.EFBIG, f"it has {found.st_size / 1e9:.1f} GB, too much for an image")
        return file.read(most)


def _open_at_once(path: str, flags: int) -> int:
    """What is opened is what is looked at, and a pipe that nobody writes to is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def printable(path: str | Path) -> str:
    r"""A path as text that any UTF-8 file or terminal takes: bytes that are no UTF-8 become '\xff'."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a character, which no file name has but JSON can say
        return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def decode(data: bytes, name: str, as_published: bool = False) -> Image.Image:
    """Image bytes to an upright RGB image: transparency over white, 16 bits scaled to 8, a film's first frame.

    Memory stays bounded: images above `LARGE` pixels are decoded one at a time behind a lock; one above `HUGE` comes
    out at ½, ¼ or ⅛ of its sides, as far as the shorter keeps `KEPT_SIDE` (a JPEG is never decoded larger; others are
    reduced afterwards); Pillow refuses more than 2 · `Image.MAX_IMAGE_PIXELS` (179 megapixels) from the header alone.

    Args:
        data: the file's bytes, in one of `FORMATS`.
        name: how to call the file in an error.
        as_published: as the papers' code reads images, Pillow's `convert("RGB")`: not turned by EXIF, transparency
            dropped, none made smaller. But 16 bits are scaled here too: `convert` would clip them to white, and no set
            of the papers has any.

    Raises:
        UserError: no image, cut short, or so large that it may be a decompression bomb.
    """
    return converted(data, name, _plain_rgb if as_published else _as_seen)


def converted(data: bytes, name: str, convert: Callable[[Image.Image], Converted]) -> Converted:
    """What `convert` makes of an image that `opened` opened; large images wait for each other, as in `decode`.

    Raises:
        UserError: as `decode`.
    """
    try:
        with opened(data) as image, _in_line(image):
            return convert(image)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is too large to decode safely: {error}", _SMALLER) from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name} {not_read(data)}", _FIX) from error
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, IndexError … on bad bytes
        raise UserError(f"{name} cannot be decoded: {error or type(error).__name__}", _FIX) from error


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """An image in memory as `decode` would give it: upright, over white, RGB of 8 bits. The given one stays as it is.

    Args:
        name: how to call it in an error.

    Raises:
        UserError: its pixels cannot be loaded, as when it is a file that was closed or cut short.
    """
    try:
        image.load()  # of 16-bit colours Pillow keeps the upper 8: in memory they are what Pillow shows
        return _shown(image)
    except Exception as error:  # what is not in memory yet is decoded by Pillow's readers, which raise anything
        raise UserError(f"{name} cannot be decoded: {error or type(error).__name__}", _FIX) from error


def opened(data: bytes) -> Image.Image:
    """The image as Pillow opens it, of one of `FORMATS`: header read, pixels not yet decoded.

    Raises what Pillow raises.
    """
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        corrected = _called_rgb(data)
        if corrected is None:
            raise
        image = Image.open(BytesIO(corrected), formats=FORMATS)
    fix_planes(image)
    return image


def orientation(image: Image.Image) -> int | None:
    """The number EXIF gives, valid or not (0 occurs in Pets and ImageNet); None without one or where EXIF is broken."""
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # a broken EXIF block is no reason to refuse sound pixels
        return None
    return found if isinstance(found, int) else None


def _in_line(image: Image.Image) -> AbstractContextManager[object]:
    return _one_large if image.width * image.height > LARGE else nullcontext()


def _plain_rgb(image: Image.Image) -> Image.Image:
    image = _loaded(image)
    image.info.pop("transparency", None)  # dropped anyway; Pillow would warn of it for each palette image
    return image.convert("RGB")


def _as_seen(image: Image.Image) -> Image.Image:
    factor = reduction(image.size)
    if factor > 1:
        image.draft(None, (image.width // factor, image.height // factor))  # does nothing but for JPEG
    return _shown(image)


def _shown(image: Image.Image) -> Image.Image:
    """As `_as_seen`, of an image that stays as it is but for its pixels, which are loaded."""
    loaded = _loaded(image, clear=255)
    image = _over_white(turned(loaded, orientation(image) or 1))
    factor = reduction(image.size)
    return image.reduce(factor) if factor > 1 else image


def reduction(size: tuple[int, int]) -> int:
    """How many times smaller `decode` makes an image of (width, height): the largest of libjpeg's scales that keeps
    the shorter side; 1 up to `HUGE`.
    """
    if size[0] * size[1] <= HUGE:
        return 1
    return next((factor for factor in (8, 4, 2) if min(size) // factor >= KEPT_SIDE), 1)


def turned(image: Image.Image, number: int) -> Image.Image:
    """An image as EXIF's orientation `number` wants it shown; as it is for 1 and for what is no orientation."""
    turn = _UPRIGHT.get(number)
    return image if turn is None else image.transpose(turn)


def _over_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data and shows_something(image):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def shows_something(image: Image.Image) -> bool:
    """Whether any pixel is not wholly transparent. Where none is, as some tools save, the colours are what is meant."""
    if image.mode not in ("RGBA", "LA") or image.getchannel("A").getextrema() != (0, 0):
        return True
    return all(band.getextrema()[0] == band.getextrema()[1] for band in image.split()[:-1])


def _loaded(image: Image.Image, clear: int = 0) -> Image.Image:
    """The image with its pixels, in a mode of 8 bits; `clear`: what a transparent number of more bits becomes."""
    image = scaled_colours(image)
    if is_deep(image):
        return eight_bits(image, clear)
    return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode]) if image.mode in ("La", "RGBa") else image


def _called_rgb(data: bytes) -> bytes | None:
    """A TIFF whose header calls its colours grey, with that word put right; None for any other bytes.

    CVC-ClinicDB's frames are uncompressed RGB of 3 × 8 bits with PhotometricInterpretation 1 (BlackIsZero) in place
    of 2 (RGB). Pillow refuses that mixture.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        places = _tiff_places(data, order)
        found = {tag: _shorts(data, order, places[tag]) for tag in (_PHOTOMETRIC, _BITS, _SAMPLES)}
        compression = _shorts(data, order, places[_COMPRESSION]) if _COMPRESSION in places else (1,)
    except (struct.error, KeyError):
        return None
    wanted = {_PHOTOMETRIC: (1,), _BITS: (8, 8, 8), _SAMPLES: (3,)}
    if found != wanted or compression != (1,) or _EXTRA in places:
        return None
    at = places[_PHOTOMETRIC] + 8
    return data[:at] + struct.pack(f"{order}H", 2) + data[at + 2 :]


def _tiff_places(data: bytes, order: str) -> dict[int, int]:
    """Tag → where its 12 bytes start, for the first image of a TIFF."""
    (start,) = struct.unpack_from(f"{order}L", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries = range(start + 2, start + 2 + 12 * count, 12)
    return {struct.unpack_from(f"{order}H", data, entry)[0]: entry for entry in entries}


def _shorts(data: bytes, order: str, entry: int) -> tuple[int, ...]:
    """The 16-bit numbers of a TIFF tag; up to two of them stand in the entry itself. Empty for any other type."""
    _, kind, count, elsewhere = struct.unpack_from(f"{order}HHLL", data, entry)
    if kind != 3 or count > 8:
        return ()
    return struct.unpack_from(f"{order}{count}H", data, entry + 8 if count <= 2 else elsewhere)
