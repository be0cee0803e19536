"""Files to RGB images: the format comes from the bytes, and what cannot be read is named."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from cliptune.errors import UserError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".avif", ".pgm", ".ppm")
)
"""file name endings taken for images, lower case; the decoder itself does not look at them"""

_FIX = "remove or repair it, or list the good files in a CSV"
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


def read_file(path: Path) -> Image.Image:
    """`decode` of a file's bytes.

    Raises:
        UserError: the file is missing, cannot be opened, or is no image; names it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror or error}", _FIX) from error
    return decode(data, str(path))


def decode(data: bytes, name: str) -> Image.Image:
    """Image bytes to an upright RGB image: transparency over white, 16 bits scaled to 8, a film's first frame.

    Args:
        data: the file's bytes, of any format Pillow reads.
        name: how to call the file in an error.

    Raises:
        UserError: no image, cut short, or so large that it may be a decompression bomb.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            return _rgb(_upright(image))
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is too large to decode safely: {error}", _FIX) from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name} is not an image ({len(data):,} bytes)", _FIX) from error
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, IndexError … on bad bytes
        raise UserError(f"{name} cannot be decoded: {error or type(error).__name__}", _FIX) from error


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; an invalid or unreadable one is ignored (0 occurs in Pets and ImageNet)."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a broken EXIF block is no reason to refuse sound pixels
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Numbers of more than 8 bits to uint8, the same way for every image of a kind.

    Whole numbers up to 65,535 are taken for 16 bits, floats up to 1 for fractions and up to 255 for bytes; what lies
    outside has no known range and is stretched from its smallest to its largest.
    """
    whole = np.issubdtype(values.dtype, np.integer)
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    if low >= 0 and high <= (65535 if whole else 255):
        low, high = 0.0, 65535.0 if whole else 1.0 if high <= 1 else 255.0
    return np.rint((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
