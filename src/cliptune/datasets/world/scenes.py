"""What a picture shows, before any pixel: a frozen Scene and the ways to draw one at random.

Two choices make the world learnable for a model of a million numbers in minutes:
    polarity   most scenes show a bright thing on a dimmed ground; only dark colours and one scene in ten do not
    easy       a plain ground, one object, a plain style; the curriculum starts with these
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from .glyphs import DIGITS, LETTERS, SHAPES, TRAINING_FONTS

Kind = Literal["digit", "capital", "lowercase", "shape"]
Rgb = tuple[float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (0.85, 0.12, 0.12),
    "green": (0.10, 0.62, 0.20),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.95, 0.88, 0.10),
    "orange": (0.97, 0.55, 0.05),
    "purple": (0.52, 0.12, 0.65),
    "pink": (0.98, 0.55, 0.75),
    "brown": (0.48, 0.28, 0.10),
    "black": (0.04, 0.04, 0.04),
    "white": (0.97, 0.97, 0.97),
    "gray": (0.50, 0.50, 0.50),
    "cyan": (0.10, 0.85, 0.90),
}
DARK = ("brown", "black")
"""colours that are never the bright thing of a dimmed scene"""
_TOO_BRIGHT_TO_DIM = ("white", "yellow", "pink")
_DIMMED = 0.9
"""part of the scenes with a thing of another colour whose ground is dimmed"""
_WHITE_ON_BLACK = 0.2
_ALONE, _COUNTED = 0.56, 0.68
"""part of the shapes that stand alone, and of the others that are several equal ones and not two different ones"""
CONTRAST = 0.5
"""smallest RGB distance between a thing and its ground"""

TEXTURES = ("plain", "striped", "dotted", "checkered", "gradient", "speckled")
STYLES = {
    "drawing": 5.0,
    "photo": 5.0,
    "sketch": 2.0,
    "blurry photo": 1.5,
    "noisy photo": 1.5,
    "dark photo": 1.2,
    "low resolution photo": 1.8,
    "black and white photo": 1.2,
}
"""how often each style is drawn, relative weights"""
CLASSES: dict[Kind, tuple[str, ...]] = {"digit": DIGITS, "capital": LETTERS, "lowercase": LETTERS, "shape": SHAPES}

HELD_OUT_PAIRS = frozenset(
    (colour, shape) for i, colour in enumerate(COLOURS) for j, shape in enumerate(SHAPES) if (7 * i + 5 * j) % 11 == 0
)
"""(colour, shape) pairs that no pretraining picture shows"""

_QUARTERS = ((-0.5, -0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, 0.5))


class Paint(NamedTuple):
    """The colours of a scene."""

    colour: str
    ground: str
    """colour of the background"""
    dimmed: bool
    """the ground is darkened and the thing brightened"""


@dataclass(frozen=True)
class Companion:
    """A second, different shape beside or below the first."""

    shape: str
    colour: str
    place: Literal["right", "below"]
    """where it stands as seen from the first"""


@dataclass(frozen=True)
class Scene:
    """Everything a caption may say and the renderer must show."""

    kind: Kind
    label: int
    """index into `CLASSES[kind]`"""
    colour: str
    ground: str
    """colour of the background"""
    dimmed: bool
    """the ground is darkened and the thing brightened"""
    font: str = ""
    """empty for shapes"""
    ground_texture: str = "plain"
    fill_texture: str = "plain"
    style: str = "photo"
    size: float = 0.8
    """width of one object, as a part of the picture's width"""
    places: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    """centres of the objects, −1..1, y down; one for each"""
    companion: Companion | None = None
    easy: bool = False

    @property
    def name(self) -> str:
        """'seven', 'Q', 'star'."""
        return CLASSES[self.kind][self.label]

    @property
    def character(self) -> str:
        """The glyph to draw; only for digits and letters."""
        return str(self.label) if self.kind == "digit" else self.name if self.kind == "capital" else self.name.lower()


def random_scene(
    rng: Random,
    kind: Kind,
    easy: bool = False,
    fonts: tuple[str, ...] = TRAINING_FONTS,
) -> Scene:
    """A scene as pretraining sees it: held-out pairs are avoided, shapes may be many or have a companion."""
    label = rng.randrange(len(CLASSES[kind]))
    while True:
        paint = _random_paint(rng)
        if kind != "shape" or (paint.colour, SHAPES[label]) not in HELD_OUT_PAIRS:
            break
    alone = easy or kind != "shape" or rng.random() < _ALONE
    companion = None if alone or rng.random() < _COUNTED else _random_companion(rng, paint)
    count = 1 if alone or companion else rng.randrange(2, 5)
    return _furnish(rng, kind, label, paint, count, companion, easy, fonts)


def scene_of(
    rng: Random,
    kind: Kind,
    label: int,
    colour: str = "any",
    count: int = 1,
    fonts: tuple[str, ...] = TRAINING_FONTS,
) -> Scene:
    """A scene that shows what is asked for, held-out pairs included: one thing, or `count` equal ones."""
    paint = _random_paint(rng) if colour == "any" else _paint_with(rng, colour)
    return _furnish(rng, kind, label, paint, count, None, False, fonts)


def _random_paint(rng: Random) -> Paint:
    """One scene in five is white on black; of the others, dark colours come half as often as the rest."""
    if rng.random() < _WHITE_ON_BLACK:
        return Paint("white", "black", dimmed=True)
    weights = [0.5 if name in DARK else 1.0 for name in COLOURS]
    return _paint_with(rng, rng.choices(list(COLOURS), weights)[0])


def _paint_with(rng: Random, colour: str) -> Paint:
    """A thing of this colour on a ground on which it can be seen."""
    dimmed = colour not in DARK and rng.random() < _DIMMED
    grounds = [name for name in COLOURS if colour_distance(name, colour) > CONTRAST]
    if dimmed:
        grounds = [name for name in grounds if name not in _TOO_BRIGHT_TO_DIM]
    return Paint(colour, rng.choice(grounds), dimmed)


def colour_distance(one: str, other: str) -> float:
    """RGB distance of two of `COLOURS`, 0..√3."""
    return math.dist(COLOURS[one], COLOURS[other])


def _random_companion(rng: Random, paint: Paint) -> Companion:
    while True:
        shape, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
        seen = colour_distance(colour, paint.ground) > CONTRAST and not (paint.dimmed and colour in DARK)
        if seen and (colour, shape) not in HELD_OUT_PAIRS:
            return Companion(shape, colour, rng.choice(("right", "below")))


def _furnish(
    rng: Random,
    kind: Kind,
    label: int,
    paint: Paint,
    count: int,
    companion: Companion | None,
    easy: bool,
    fonts: tuple[str, ...],
) -> Scene:
    """Textures, style, size and places for a subject that is already chosen."""
    size = _random_size(rng, kind, crowded=count > 1 or companion is not None)
    ground_texture = "plain" if easy or rng.random() < 0.55 else rng.choice(TEXTURES[1:])
    fill_texture = "plain" if easy or kind != "shape" or rng.random() < 0.75 else rng.choice(TEXTURES[1:4])
    style = rng.choice(("drawing", "photo")) if easy else rng.choices(list(STYLES), list(STYLES.values()))[0]
    return Scene(
        kind,
        label,
        *paint,
        font=rng.choice(fonts) if kind != "shape" else "",
        ground_texture=ground_texture,
        fill_texture=fill_texture,
        style=style,
        size=size,
        places=_random_places(rng, size, count, companion),
        companion=companion,
        easy=easy,
    )


def _random_size(rng: Random, kind: Kind, crowded: bool) -> float:
    if crowded:
        return rng.uniform(0.36, 0.46)
    return rng.uniform(0.45, 0.95) if kind == "shape" else rng.uniform(0.78, 1.05)


def _random_places(
    rng: Random, size: float, count: int, companion: Companion | None
) -> tuple[tuple[float, float], ...]:
    """One centre anywhere it fits, or for several objects different quarters of the picture."""
    if companion is not None:
        sway = rng.uniform(-0.2, 0.2)
        return ((-0.5, sway),) if companion.place == "right" else ((sway, -0.5),)
    if count > 1:
        quarters = rng.sample(_QUARTERS, count)
        return tuple((x + rng.uniform(-0.06, 0.06), y + rng.uniform(-0.06, 0.06)) for x, y in quarters)
    room = max(0.05, 1 - 0.8 * size)
    return ((rng.uniform(-room, room), rng.uniform(-room, room)),)
