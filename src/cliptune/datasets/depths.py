"""Pictures that are not of 8 bits: 16-bit colours, floats, signed and long whole numbers, and how they become 8 bits.

Each file is scaled by itself. Where its numbers have a range that is known, all files of that range are scaled alike:

    whole numbers from 0 to 65,535, also as floats   0 to the most of 8, 10, 12, 14 or 16 bits that are used
    floats up to 1 whose largest is at least 1/64    0 to 1
    floats up to 255 whose largest is at least 64    0 to 255
    all others: signed, elevations, temperatures     from its smallest to its largest: a contrast of its own

Floats may leave their range a little, as interpolation makes them (`OVERSHOOT`). NaN, infinity, the number that a TIFF
of GDAL's calls nodata, a transparent one, and one further from all others than these lie apart decide nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cliptune.counted import these

DEPTHS = (8, 10, 12, 14, 16)
"""bits of instruments that write 16-bit files"""
OVERSHOOT = 9 / 32
"""of a range: how far bicubic interpolation of pictures leaves it at most, (9/8)² + (1/8)² − 1, on either side"""
_FEW = 0.1
"""of the pixels that may do so"""
_APART = 4
"""numbers that may stand apart from all others"""
_BLOCK = 1 << 20
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA, _FORMAT, _NODATA = 258, 262, 277, 284, 338, 339, 42113
"""TIFF's tags; the last is GDAL's"""
_ONE_RANGE = "to avoid that, save them as 8 or 16 bits with one range"
_COLOURS = ("RGB", "RGBA", "CMYK")


class Scale(NamedTuple):
    """How the numbers of one image become 0 to 255."""

    low: float
    high: float
    """the smallest and the largest that counts"""
    black: float
    white: float
    cut: bool
    """whether others lie outside of black and white"""
    floats: bool
    own: bool
    """whether its range is unknown, so that its contrast is its own"""


def used_bits(highest: float) -> int:
    """Bits that an image of 16-bit whole numbers uses: the least of 8, 10, 12, 14 and 16 that hold its highest one.

    Cameras, scanners and microscopes put 10, 12 and 14 bits into files of 16; taken for 16 these are all but black.
    """
    return next((bits for bits in DEPTHS if highest < 2**bits), DEPTHS[-1])


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one number a pixel, of more than 8 bits or signed."""
    signed = image.mode == "L" and _tag(image, _FORMAT) == (2,)
    return signed or image.mode in ("F", "I") or image.mode.startswith("I;")


def scale_of(image: Image.Image) -> Scale:
    """The scale of a deep image."""
    values, missing = _numbers(image), _missing(image)
    lowest, highest = low, high = _ends(values, -np.inf, np.inf, missing)
    floats = values.dtype.kind == "f"
    if low > high:
        return Scale(0.0, 0.0, 0.0, 1.0, cut=False, floats=floats, own=False)
    for _ in range(_APART):
        second, last = _ends(values, low, high, missing)
        if second > last:
            break
        if second - low > high - second:
            low = second
        elif high - last > last - low:
            high = last
        else:
            break
    known = _white(values, low, high)
    black, white = (low, high) if known is None else (0.0, known)
    return Scale(low, high, black, white, lowest < black or highest > white, floats, own=known is None)


def _white(values: np.ndarray, low: float, high: float) -> float | None:
    """The end of the range that numbers from `low` to `high` are known to have, from 0; None where none is known."""
    floats = values.dtype.kind == "f"
    inside = (block[(block >= low) & (block <= high)] for block in _blocks(values))
    if not floats or all((block == np.rint(block)).all() for block in inside):
        if low < 0 or high > 65535:
            return None
        return 1.0 if floats and high <= 1 else 2.0 ** used_bits(high) - 1
    for white, least in ((1.0, 1 / 64), (255.0, 64.0)):  # below, a picture would be all but black
        if low >= -OVERSHOOT * high and least <= high <= white * (1 + OVERSHOOT):
            above = sum(int(((block > white) & (block <= high)).sum()) for block in _blocks(values))
            if above <= _FEW * values.size:
                return white
    return None


def eight_bits(image: Image.Image, clear: int = 0) -> Image.Image:
    """A deep image in RGB of 8 bits; NaN and what a file calls nodata are black.

    Args:
        clear: what a transparent number becomes.
    """
    values, missing, scale = _numbers(image), _missing(image), scale_of(image)
    inverted = image.mode != "L" and _tag(image, _PHOTOMETRIC) == 0  # of 8 bits and fewer Pillow turns them itself
    transparent = isinstance(image.info.get("transparency"), int)
    out = np.empty(values.shape, np.uint8)
    for block, into in zip(_blocks(values), _blocks(out), strict=True):
        share = (block.astype(np.float64) - scale.black) / max(scale.white - scale.black, 1e-12)
        share = np.clip(np.nan_to_num(1 - share if inverted else share, posinf=1, neginf=0), 0, 1)
        into[:] = np.rint(share * 255)
        into[np.isnan(block)] = 0
        if missing is not None:
            into[block == missing] = clear if transparent else 0
    return Image.fromarray(out).convert("RGB")


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _BLOCK // values.shape[1])
    return (values[top : top + rows] for top in range(0, len(values), rows))


def _ends(values: np.ndarray, above: float, below: float, missing: float | None) -> tuple[float, float]:
    """The smallest and the largest number between two, without these; (inf, -inf) where there is none."""
    low, high = np.inf, -np.inf
    for block in _blocks(values):
        inside = block[(block > above) & (block < below)]
        inside = inside if missing is None else inside[inside != missing]
        if inside.size:
            low, high = min(low, float(inside.min())), max(high, float(inside.max()))
    return low, high


def _numbers(image: Image.Image) -> np.ndarray:
    """The numbers of a deep image; Pillow takes signed bytes for unsigned ones, and 32 unsigned bits for signed."""
    values = np.asarray(image)
    if image.mode == "L":
        return values.view(np.int8)
    return values.view(np.uint32) if image.mode == "I" and _tag(image, _FORMAT, (1,)) == (1,) else values


def _missing(image: Image.Image) -> float | None:
    """The number that stands for no value."""
    nodata = image.info.get("transparency", _tag(image, _NODATA))
    try:
        return float(str(nodata).strip("\0 ")) if isinstance(nodata, int | str) else None
    except ValueError:
        return None


def _tag(image: Image.Image, number: int, default: Any = None) -> Any:
    """A TIFF's tag; None in other images."""
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(number, default)


def is_sixteen(image: Image.Image) -> bool:
    """Whether a file has colours of 16 bits each, of which Pillow keeps the upper 8; never of one loaded before."""
    if image.mode not in _COLOURS:
        return False
    return any(";16" in str(tile[3]) or tile[3] == ("RGB", 65535) for tile in getattr(image, "tile", ()))


def bits_of_colours(image: Image.Image) -> tuple[int, ...]:
    """Bits in use of each band where a file has colours of 16 bits, the same for all but alpha; else ()."""
    if not is_sixteen(image):
        return ()
    rounded = image.format == "PPM"  # Pillow cuts off the lower 8 bits of others
    values, bands = np.asarray(image), len(image.getbands())

    def used(numbers: np.ndarray) -> int:
        highest = int(numbers.max(initial=0))
        return used_bits(257 * highest - 129 if rounded else 256 * highest) if highest else DEPTHS[-1]

    if image.mode == "RGBA" and not has_unnamed_band(image):
        alpha, colours = values[..., 3], values[..., :3]
        shown = colours[alpha > 0]
        return *(used(shown if shown.any() else colours),) * 3, used(alpha)
    clear = _clear(image)
    values = values[..., :3] if image.mode == "RGBA" else values if clear is None else values[~clear]
    return (used(values),) * bands


def _clear(image: Image.Image) -> np.ndarray | None:
    """Where a file of 16-bit colours has the one that it calls transparent, as far as the upper 8 bits tell."""
    colour = image.info.get("transparency")
    return (np.asarray(image) == np.asarray(colour) >> 8).all(-1) if isinstance(colour, tuple) else None


def scaled_colours(image: Image.Image) -> Image.Image:
    """An image with its pixels; 16-bit colours are scaled by the bits in use, and a fourth band of no name is gone."""
    bits = bits_of_colours(image)
    image.load()
    if any(each < DEPTHS[-1] for each in bits):
        tops = [2 ** (each - 8) - 1 for each in bits]
        table = [min(255, round(255 * value / max(top, 1))) for top in tops for value in range(256)]
        scaled = image.point(table)
    else:
        scaled = image
    if bits and (clear := _clear(image)) is not None:
        scaled = scaled.convert("RGB")
        del scaled.info["transparency"]
        scaled.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return scaled.convert("RGB") if has_unnamed_band(image) else scaled


def has_unnamed_band(image: Image.Image) -> bool:
    """Whether a TIFF has a fourth band that it does not call alpha, as near infrared; Pillow takes it for alpha."""
    return image.mode == "RGBA" and _tag(image, _EXTRA, ()) == ()


def bands_left_out(image: Image.Image) -> tuple[int, int]:
    """Bands that a file has, and how many of them are read: a TIFF may have more."""
    read = 3 if has_unnamed_band(image) else len(image.getbands())
    return _tag(image, _SAMPLES) or read, read


def fix_planes(image: Image.Image) -> None:
    """Let Pillow read 16-bit colours that lie in a plane each: it takes their bytes for pixels of 8 bits."""
    if _tag(image, _PLANES) != 2 or set(_tag(image, _BITS, ())) != {16} or image.mode not in _COLOURS:
        return
    order = "L" if image.tag_v2.prefix == b"II" else "B"  # type: ignore[attr-defined]
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:])) if len(tile.args[0]) == 1 else tile
        for tile in image.tile  # type: ignore[attr-defined]
    ]


def scale_sentences(scales: Iterable[Scale]) -> list[str]:
    """Sentences on how the images of a set are scaled, one for each way, with the range of their numbers."""
    ways: dict[tuple[bool, bool, float], list[Scale]] = {}
    for scale in scales:
        ways.setdefault((scale.floats, scale.own, 0.0 if scale.own else scale.white), []).append(scale)
    sentences = [_sentence(alike) for alike in ways.values()]
    if sum(not own for _, own, _ in ways) > 1:
        differing = "they are read by different ranges, so the same value is not equally bright in all"
        sentences.append(f"{differing}; {_ONE_RANGE}")
    return sentences


def _sentence(alike: list[Scale]) -> str:
    first = alike[0]
    kind = "floats" if first.floats else "whole numbers"
    low, high = _number(min(scale.low for scale in alike)), _number(max(scale.high for scale in alike))
    cut = any(scale.cut for scale in alike)
    said = f"{these(len(alike), 'image')} of {kind}, {low} to {high}"
    if not first.own:
        return f"{said}, read as 0 to {_number(first.white)}{'; values outside are clipped' if cut else ''}"
    left = ", without values that stand apart as nodata does" if cut else ""
    return (
        f"{said}{left}: no known range, so each is stretched from its own smallest to its own largest value, and "
        f"contrast differs from image to image; {_ONE_RANGE}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
