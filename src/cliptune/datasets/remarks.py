"""What is odd about an image file: its name, its size, its turn, its depth and its bands. `check` tells it."""

import math
from collections.abc import Iterator

from PIL import Image

from cliptune.datasets.depths import (
    DEPTHS,
    Scale,
    bands_left_out,
    bits_of_colours,
    has_unnamed_band,
    is_deep,
    scale_of,
)
from cliptune.datasets.images import LARGE, orientation, shows_something

SMALL = 32
"""pixels of the shorter side below which an image is remarked on"""


def file_remarks(header: Image.Image, suffix: str) -> Iterator[str]:
    """What is odd about a file: another format than its suffix says, turned by EXIF."""
    kind = "JPEG" if header.format == "MPO" else header.format  # MPO: a JPEG with further pictures behind it
    if Image.registered_extensions().get(suffix.replace(".mpo", ".jpg")) != kind:
        yield f"{kind} named {suffix}" if suffix else f"{kind} without an ending"
    turn = orientation(header)
    if turn not in (None, 1):
        yield f"EXIF orientation {turn}" if turn in range(2, 9) else f"invalid EXIF orientation {turn}"
    if header.format != "MPO" and getattr(header, "is_animated", False):
        yield "several pages or frames: the first is read"


def size_remarks(image: Image.Image) -> Iterator[str]:
    """A remark where an image is very small or very large."""
    pixels = image.width * image.height
    if min(image.size) < SMALL:
        yield f"small: {image.width} × {image.height} pixels"
    elif pixels > LARGE:
        yield f"large: {image.width} × {image.height} pixels, {pixels / 1e6:.0f} megapixels"


def depth_remarks(header: Image.Image) -> Iterator[str]:
    """Remarks where a 16-bit file holds fewer bits, by which its brightness is scaled; where bands are left out; where
    nothing is opaque.
    """
    bits = bits_of_colours(header)
    if bits and header.convert("RGB").getextrema() == ((0, 0),) * 3:
        yield "no colour reaches 256 of 65,535: it comes out black"
    elif bits and bits[0] < DEPTHS[-1]:
        yield f"{bits[0]} of 16 bits used in each colour: scaled, and only the upper {bits[0] - 8} of them are read"
    if bits and header.mode == "RGBA" and not has_unnamed_band(header) and bits[3] < DEPTHS[-1]:
        yield f"{bits[3]} of 16 bits used in alpha: scaled"
    bands, read = bands_left_out(header)
    if bands > read:
        why = ", as no tag says that the fourth is alpha" if has_unnamed_band(header) else ""
        yield f"{bands} bands: {'the first is' if read == 1 else f'the first {read} are'} read{why}"
    if not has_unnamed_band(header) and not shows_something(header):
        yield "nothing in it is opaque: its colours are read without their alpha"
    if header.mode.startswith("I;16") and (white := scale_of(header).white) < 65535:
        yield f"{math.log2(white + 1):.0f} of 16 bits used: scaled by {white:,.0f}"


def unusual_scale(header: Image.Image) -> Scale | None:
    """How a file of 16-bit grey, floats, signed or long whole numbers is scaled; None for any other."""
    return scale_of(header) if is_deep(header) else None
