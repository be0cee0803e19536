"""What mask files store: their numbers or colours, counted, before anybody says what they mean.

    1 bit 0 or 255 · 8 and 16 bits, floats as they are · palettes as colours · alpha apart from what it covers

A screen shows class numbers 0 and 1 as black on black and a black shape on nothing as nothing. So pixels are taken from
the file, over every channel; `mask_meaning` decides what they say.
"""

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cliptune.datasets.images import converted, orientation, printable, regular_bytes
from cliptune.errors import UserError

Value = float | tuple[float, float, float]
"""a number, or a colour in red, green, blue"""
Around = dict[tuple[int, int], np.ndarray]
"""values [n] by how far down and right they lie of n pixels"""

KEPT, _KEPT_COLOURS = 1024, 256
"""values that are counted apart in one file, the most frequent; photos and soft masks have many more"""
AREA = 0.2
"""share of a value's pixels with like neighbours from which it fills areas; noise and edges stay far below"""
_LEVELS = 256
_FEW = 16
_SAMPLE = 1 << 16
"""pixels whose neighbours are looked at, at most; evenly spaced"""
_FIX = "repair it, or leave out pairs that cannot be read: --set data.missing=skip"
_TINT = 48
"""how far red, green and blue of a grey lie apart after JPEG"""


class Stored(NamedTuple):
    """A mask file's pixels, not turned by EXIF."""

    values: np.ndarray
    """numbers [h w], or colours uint8 [h w 3] where the channels differ"""
    alpha: np.ndarray | None
    """uint8 [h w]; None where everything is opaque"""
    depth: str
    """'8', '16' or 'float'"""
    orientation: int
    """EXIF's number; 1 where there is none"""
    more: bool = False
    """there are further pages or frames, which are not read"""
    lossy: bool = False
    """the file's format changes values a little, as JPEG does"""

    def over_black(self) -> np.ndarray:
        """The values with alpha laid over black."""
        if self.alpha is None:
            return self.values
        alpha = self.alpha if self.values.ndim == 2 else self.alpha[..., None]
        return np.rint(self.values * (alpha / 255)).astype(np.uint8)


class Counts(NamedTuple):
    """The values of one file."""

    pixels: dict[Value, int]
    """how many pixels hold each, at most `KEPT` values"""
    inside: dict[Value, int]
    """how many of those pixels have eight neighbours of the same value, as areas have and edges and noise have not;
    all where the file holds no more than two values"""
    border: Value
    """the most frequent one on the outermost pixels"""
    distinct: int
    """different values in all"""
    most: float
    """the largest number"""
    rims: dict[Value, int]
    """of values that fill no areas, how many pixels lie between two others, as on soft edges, and not in lines or
    points of their own"""
    near_black: int
    """pixels beside black: not black, and up to an eighth of the largest number"""
    specks: int
    """of those, how many are brighter than all their neighbours, as noise is and a soft edge is not"""
    steps: tuple[int, int]
    """neighbours of different numbers, and how many of them differ by a 64th of the largest at most; of large files
    some of them, of files with few values none"""


class Survey(NamedTuple):
    """What is to be known of one mask file to say what it means."""

    size: tuple[int, int]
    """width and height, not turned"""
    orientation: int
    depth: str
    colour: Counts
    """alpha laid over black"""
    alpha: Counts | None
    """None where everything is opaque"""
    more: bool = False
    """there are further pages or frames"""
    lossy: bool = False
    """see `Stored`"""


def read_stored(path: Path) -> Stored:
    """The pixels of a mask file.

    Raises:
        UserError: it cannot be opened or decoded; names it.
    """
    try:
        return converted(regular_bytes(path), printable(path), stored_pixels)
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be opened: {error.strerror or error}", _FIX) from error
    except UserError as problem:
        raise UserError(problem.what, _FIX) from problem


def stored_pixels(image: Image.Image) -> Stored:
    """The pixels of a mask as its file stores them; of several pages or frames the first."""
    more = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return _first_page(image)._replace(more=more, lossy=_is_lossy(image))


def _is_lossy(image: Image.Image) -> bool:
    """Of WebP and AVIF, which may be either, JPEG in TIFF too; whether noise is there, the values say."""
    return image.format in ("JPEG", "MPO", "JPEG2000") or image.info.get("compression") in ("jpeg", "tiff_jpeg")


def _first_page(image: Image.Image) -> Stored:
    image.load()
    number = orientation(image) or 1
    if image.mode == "1":
        return Stored(np.asarray(image).astype(np.uint8) * 255, None, "8", number)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image)
        whole = np.issubdtype(values.dtype, np.integer)
        return Stored(values if whole else np.nan_to_num(values), None, "16" if whole else "float", number)
    if image.mode == "P" and not _tells_apart(image):
        return Stored(np.asarray(image), None, "8", number)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        alpha = None if alpha.min() == 255 else alpha
    values = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    if alpha is not None and alpha.min() == alpha.max() and 1 < len(np.unique(_packed(values))) <= _FEW:
        alpha = None  # the same everywhere, it tells nothing, and the colours do
    return Stored(values if values.ndim == 2 else _grey(values), alpha, "8", number)


def _tells_apart(image: Image.Image) -> bool:
    """Whether a palette shows each of the numbers that are used in a colour of its own."""
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.unique(np.asarray(image))
    return used.max() < len(palette) and len(np.unique(palette[used], axis=0)) == len(used)


def _grey(colours: np.ndarray) -> np.ndarray:
    """[h w] where red, green and blue are equal, or as good as equal after JPEG; else as given."""
    red, green, blue = (colours[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if not spread.any():
        return np.ascontiguousarray(red)
    if spread.max() <= _TINT and _more_than_few(_packed(colours)):
        return np.rint((red.astype(np.float32) + green + blue) / 3).astype(np.uint8)
    return colours


def _more_than_few(keys: np.ndarray) -> bool:
    sample = keys.ravel()[:: 1 + keys.size // 4096]
    return len(np.unique(sample)) > _FEW or len(np.unique(keys)) > _FEW


def _packed(values: np.ndarray) -> np.ndarray:
    """One number a pixel."""
    if values.ndim == 2:
        return values
    red, green, blue = (values[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _unpacked(key: float, colours: bool) -> Value:
    if not colours:
        return float(key)
    number = int(key)
    return float(number >> 16), float(number >> 8 & 255), float(number & 255)


def counts_of(values: np.ndarray) -> Counts:
    """The values [h w] or [h w 3] of one file, counted."""
    colours = values.ndim == 3
    keys = _packed(values)
    different, numbers = _unique(keys)
    if len(different) > 4 * _LEVELS and not colours:  # a soft mask of many bits: levels are enough to tell that it is
        step = max(float(different[-1]) / _LEVELS, 1e-12)
        keys = np.rint(keys / step) * step
        different, numbers = _unique(keys)
    order = np.argsort(-numbers, kind="stable")[: _KEPT_COLOURS if colours else KEPT]
    pixels = {_unpacked(different[place], colours): int(numbers[place]) for place in order}
    inside = dict(pixels) if len(different) <= 2 else _inside(keys, colours)
    thin = [place for place in order if inside.get(_unpacked(different[place], colours), 0) < AREA * numbers[place]]
    rim = Counter(np.concatenate([keys[0], keys[-1], keys[:, 0], keys[:, -1]]).tolist())
    near_black, specks = _specks(values.max(-1) if colours else values)
    return Counts(
        pixels=pixels,
        inside=inside,
        border=_unpacked(rim.most_common(1)[0][0], colours),
        distinct=len(different),
        most=float(values.max()),
        rims=_rims(keys, different[np.sort(thin)], colours) if thin else {},
        near_black=near_black,
        specks=specks,
        steps=(0, 0) if colours or len(different) <= _FEW else _steps(keys),
    )


def _around(keys: np.ndarray, chosen: np.ndarray, reach: int) -> tuple[np.ndarray, Around, int]:
    """Some of the chosen pixels [n], those around them, and how many pixels each stands for."""
    places = np.flatnonzero(chosen)
    every = 1 + len(places) // _SAMPLE
    down, right = np.divmod(places[::every], keys.shape[1])
    padded = np.pad(keys, reach, mode="edge")
    steps = range(-reach, reach + 1)
    around = {(y, x): padded[down + reach + y, right + reach + x] for y in steps for x in steps if y or x}
    return keys[down, right], around, every


def _rims(keys: np.ndarray, thin: np.ndarray, colours: bool) -> dict[Value, int]:
    """Pixels of `thin` values with two others on opposite sides that differ from them and from each other."""
    own, around, every = _around(keys, np.isin(keys, thin), 2)
    between = np.zeros(own.shape, bool)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for far in (1, 2):
            one, other = around[far * down, far * right], around[-far * down, -far * right]
            between |= (one != own) & (other != own) & (one != other)
    different, numbers = np.unique(own[between], return_counts=True)
    return {_unpacked(key, colours): int(number) * every for key, number in zip(different, numbers, strict=True)}


def _specks(values: np.ndarray) -> tuple[int, int]:
    """How many pixels are near black, and how many of them are brighter than all around them."""
    chosen = (values > 0) & (values <= values.max() / 8)
    if not chosen.any():
        return 0, 0
    own, around, every = _around(values, chosen, 1)
    peaks = np.logical_and.reduce([other < own for other in around.values()])
    return len(own) * every, int(peaks.sum()) * every


def _steps(keys: np.ndarray) -> tuple[int, int]:
    every = 1 + keys.size // (4 * _SAMPLE)
    across, down = keys[::every], keys[:, ::every]
    step, most, small = float(keys.max()) / 64, 0, 0
    for one, other in ((across[:, 1:], across[:, :-1]), (down[1:], down[:-1])):
        differ = one != other
        apart = np.abs(one[differ].astype(np.float32) - other[differ])
        most += apart.size
        small += int((apart <= step).sum())
    return most, small


def _unique(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values and how often each occurs; bytes without sorting."""
    if keys.dtype != np.uint8:
        return np.unique(keys, return_counts=True)
    numbers = np.bincount(keys.ravel(), minlength=256)
    different = np.flatnonzero(numbers)
    return different, numbers[different]


def _inside(keys: np.ndarray, colours: bool) -> dict[Value, int]:
    across = (keys[:, :-2] == keys[:, 1:-1]) & (keys[:, 1:-1] == keys[:, 2:])
    middle = keys[:, 1:-1]
    down = (middle[:-2] == middle[1:-1]) & (middle[1:-1] == middle[2:])
    different, numbers = _unique(middle[1:-1][across[:-2] & across[1:-1] & across[2:] & down])
    order = np.argsort(-numbers, kind="stable")[: _KEPT_COLOURS if colours else KEPT]
    return {_unpacked(different[place], colours): int(numbers[place]) for place in order}


def survey(path: Path) -> Survey | None:
    """What one mask file holds; None where it cannot be read, which is for its reader to say."""
    try:
        stat = path.stat()
        return _surveyed(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, UserError):
        return None


@lru_cache(maxsize=1 << 12)
def _surveyed(path: Path, size: int, changed: int) -> Survey:
    """Kept by a file's size and time, for a set is opened more than once in a run."""
    stored = read_stored(path)
    height, width = stored.values.shape[:2]
    alpha = None if stored.alpha is None else counts_of(stored.alpha)
    colour = counts_of(stored.over_black())
    return Survey((width, height), stored.orientation, stored.depth, colour, alpha, stored.more, stored.lossy)
