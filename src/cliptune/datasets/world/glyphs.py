"""Silhouettes: 24 shapes and 62 glyphs in 21 fonts, each a 48×48 mask with values in 0..1.

Shapes are polygons and ovals on a square from −1 to 1 (y down), drawn four times too large and averaged.
Glyphs are cut from matplotlib's own fonts, so the package needs no font files.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from torch import Tensor

MASK_SIDE = 48
_OVERSAMPLING = 4
_MARGIN = 0.8
"""the part of a mask's width that a shape from −1 to 1 fills"""
_GLYPH_SIDE = 40
"""pixels of a mask that the longer side of a glyph fills"""
_FONT_SIZE = 120

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

TRAINING_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmr10",
    "cmb10",
    "cmtt10",
    "cmti10",
)
HELD_OUT_FONTS = ("cmss10", "DejaVuSerif-BoldItalic", "DejaVuSansMono-BoldOblique")

Point = tuple[float, float]


@dataclass(frozen=True)
class Polygon:
    """A filled polygon, or a hole of that form."""

    points: tuple[Point, ...]
    hole: bool = False


@dataclass(frozen=True)
class Oval:
    """A filled ellipse in the box (left, top, right, bottom), or a hole of that form."""

    box: tuple[float, float, float, float]
    hole: bool = False


Part = Polygon | Oval


def _regular(corners: int, inner: float = 1.0) -> Polygon:
    """A regular polygon with a corner on top; with `inner` below 1 a star with that inner radius."""
    radii = (1.0,) if inner == 1.0 else (1.0, inner)
    n = corners * len(radii)
    angles = [2 * math.pi * i / n - math.pi / 2 for i in range(n)]
    return Polygon(
        tuple((radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles))
    )


def _rectangle(x: float, y: float) -> Polygon:
    """The rectangle of half width x and half height y."""
    return Polygon(((-x, -y), (x, -y), (x, y), (-x, y)))


def _disc(x: float, y: float, radius: float, hole: bool = False) -> Oval:
    return Oval((x - radius, y - radius, x + radius, y + radius), hole)


def _turn(steps: int) -> list[float]:
    return [2 * math.pi * i / steps for i in range(steps)]


def _heart() -> Polygon:
    def height(t: float) -> float:
        return 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)

    return Polygon(tuple((16 * math.sin(t) ** 3 / 17, -height(t) / 17) for t in _turn(60)))


def _drop() -> Polygon:
    return Polygon(tuple((0.6 * math.sin(t) * abs(math.sin(t / 2)) ** 1.2, -math.cos(t)) for t in _turn(60)))


def _petals() -> tuple[Oval, ...]:
    return tuple(_disc(0.55 * math.cos(a), 0.55 * math.sin(a), 0.42) for a in _turn(5))


_CROSS = ((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3))
_ARROW = ((-1, -0.25), (0.2, -0.25), (0.2, -0.75), (1, 0), (0.2, 0.75), (0.2, 0.25), (-1, 0.25))
_LIGHTNING = ((0.2, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1), (0.6, -0.25), (0.05, -0.25), (0.5, -1))
_HOUSE = ((0, -1), (1, -0.1), (0.7, -0.1), (0.7, 0.9), (-0.7, 0.9), (-0.7, -0.1), (-1, -0.1))
_KEY_BIT = ((-0.2, -0.12), (1, -0.12), (1, 0.4), (0.78, 0.4), (0.78, 0.12), (0.5, 0.12), (0.5, 0.35), (0.3, 0.35))

_OUTLINES: dict[str, tuple[Part, ...]] = {
    "circle": (_disc(0, 0, 0.9),),
    "ellipse": (Oval((-1, -0.55, 1, 0.55)),),
    "ring": (_disc(0, 0, 0.95), _disc(0, 0, 0.55, hole=True)),
    "square": (_rectangle(0.8, 0.8),),
    "rectangle": (_rectangle(1, 0.5),),
    "triangle": (_regular(3),),
    "diamond": (Polygon(((0, -1), (0.7, 0), (0, 1), (-0.7, 0))),),
    "pentagon": (_regular(5),),
    "hexagon": (_regular(6),),
    "star": (_regular(5, inner=0.42),),
    "cross": (Polygon(_CROSS + tuple((-x, -y) for x, y in _CROSS)),),
    "heart": (_heart(),),
    "crescent": (_disc(0, 0, 0.95), Oval((-0.45, -1, 1.25, 0.7), hole=True)),
    "arrow": (Polygon(_ARROW),),
    "drop": (_drop(),),
    "lightning": (Polygon(_LIGHTNING),),
    "house": (Polygon(_HOUSE),),
    "tree": (
        Polygon(((0, -1), (0.8, 0.5), (-0.8, 0.5))),
        Polygon(((-0.18, 0.5), (0.18, 0.5), (0.18, 1), (-0.18, 1))),
    ),
    "fish": (Oval((-1, -0.5, 0.5, 0.5)), Polygon(((0.3, 0), (1, -0.55), (1, 0.55)))),
    "cloud": (Oval((-1, -0.2, -0.1, 0.6)), Oval((-0.5, -0.7, 0.45, 0.5)), Oval((0.1, -0.25, 1, 0.6))),
    "flower": (*_petals(), _disc(0, 0, 0.22, hole=True)),
    "key": (
        Oval((-1, -0.45, -0.15, 0.45)),
        Oval((-0.75, -0.2, -0.4, 0.2), hole=True),
        Polygon(_KEY_BIT + ((0.3, 0.12), (-0.2, 0.12))),
    ),
    "cup": (
        Polygon(((-0.8, -0.7), (0.45, -0.7), (0.3, 0.8), (-0.65, 0.8))),
        Oval((0.2, -0.45, 1, 0.35)),
        Oval((0.42, -0.22, 0.78, 0.12), hole=True),
    ),
    "boat": (
        Polygon(((-1, 0.3), (1, 0.3), (0.6, 0.85), (-0.6, 0.85))),
        Polygon(((-0.05, -1), (-0.05, 0.2), (-0.8, 0.2))),
        Polygon(((0.1, -0.8), (0.1, 0.2), (0.7, 0.2))),
    ),
}
SHAPES = tuple(_OUTLINES)


@cache
def shape_mask(name: str) -> "Tensor":
    """The silhouette of one of `SHAPES`, (48, 48)."""
    side = MASK_SIDE * _OVERSAMPLING
    image = Image.new("L", (side, side), 0)
    canvas = ImageDraw.Draw(image)

    def pixel(value: float) -> float:
        return (value * _MARGIN + 1) * side / 2

    for part in _OUTLINES[name]:
        ink = 0 if part.hole else 255
        if isinstance(part, Oval):
            canvas.ellipse([pixel(value) for value in part.box], fill=ink)
        else:
            canvas.polygon([(pixel(x), pixel(y)) for x, y in part.points], fill=ink)
    return _values(image.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX))


@cache
def glyph_mask(character: str, font: str) -> "Tensor":
    """One digit or letter of a font, its longer side 40 of 48 pixels, (48, 48)."""
    sheet = Image.new("L", (3 * _FONT_SIZE, 3 * _FONT_SIZE), 0)
    ImageDraw.Draw(sheet).text((_FONT_SIZE, _FONT_SIZE // 2), character, font=_font(font), fill=255)
    glyph = sheet.crop(sheet.getbbox())
    ratio = _GLYPH_SIDE / max(glyph.size)
    glyph = glyph.resize(
        (max(1, round(glyph.width * ratio)), max(1, round(glyph.height * ratio))), Image.Resampling.BOX
    )
    mask = Image.new("L", (MASK_SIDE, MASK_SIDE), 0)
    mask.paste(glyph, ((MASK_SIDE - glyph.width) // 2, (MASK_SIDE - glyph.height) // 2))
    return _values(mask)


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), _FONT_SIZE)


def _values(image: Image.Image) -> "Tensor":
    import torch

    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)
