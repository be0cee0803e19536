"""Pictures of several different things, each with its exact mask, and prompts that refer to some of them.

    picture = random_picture(rng)                    two to four things on one ground
    images, masks = draw([picture], noise)           (B, 3, 96, 96) in 0..1 and (B, 4, 96, 96), one mask a thing
    reference = refer(picture, rng, "colour")        "the red shape", and the numbers of all red things
    target = masks[0, list(reference.things)].any(0)

mask_k [h w] = silhouette_k > ½ where no later thing covers it; a prompt's mask is the union over the things it is
true of, and is empty where it names something that is not there. Things do not touch, and no sketches are drawn: an
outline leaves open what belongs to the thing. Things are of one colour: in a thing this small a texture hides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Literal

import torch
from torch import Generator, Tensor

from .captions import with_article
from .glyphs import TRAINING_FONTS
from .paint import paints, place, silhouettes_of, styled
from .scenes import CLASSES, COLOURS, CONTRAST, DARK, HELD_OUT_PAIRS, STYLES, Kind, Scene, colour_distance, random_scene

OBJECTS_SIDE = 96
"""pixels a side: a thing of 20 to 36 pixels covers as many patches as one of the mini CLIP's 32-pixel pictures"""
MOST_THINGS = 4
PLAIN_STYLES = ("drawing", "photo")
TRAINING_STYLES = ("drawing", "photo", "blurry photo", "noisy photo", "dark photo", "black and white photo")
COLOURLESS = "black and white photo"
_SMALLEST, _LARGEST = 0.28, 0.46
"""width of a thing, as a part of the picture's"""
_APART = 0.82
"""how far the centres of two things are apart at least, in sums of their half widths"""
_ALIKE = 0.6
"""part of the pictures in which the second thing has the first one's colour, or else is of its kind"""

Asked = Literal["kind", "colour", "both", "absent"]
"""what a prompt tells things by; 'absent' names something that is not there"""


@dataclass(frozen=True)
class Picture:
    """Several things on one ground: scenes that agree in ground, texture of the ground and style."""

    things: tuple[Scene, ...]

    @property
    def style(self) -> str:
        return self.things[0].style


@dataclass(frozen=True)
class Reference:
    """A prompt, and the things of a picture that it is true of."""

    text: str
    things: tuple[int, ...]
    """numbers into `Picture.things`; empty where it names something that is not there"""
    asked: Asked


def random_picture(
    rng: Random,
    kinds: Sequence[Kind] = ("shape",),
    styles: Sequence[str] = TRAINING_STYLES,
    fonts: tuple[str, ...] = TRAINING_FONTS,
) -> Picture:
    """Two to four things that do not touch; the first is of `kinds[0]`, the others of any of `kinds`.

    Pairs of colour and shape that pretraining holds out are not shown.
    """
    first = random_scene(rng, kinds[0], easy=True, fonts=fonts)
    style = rng.choices(list(styles), [STYLES[style] for style in styles])[0]
    first = replace(first, ground_texture=_ground_texture(rng), style=style, easy=False)
    things = [first]
    for _ in range(rng.randrange(1, MOST_THINGS)):
        things.append(_another(rng, things, rng.choice(kinds), fonts))
    rng.shuffle(things)
    layout = _layout(rng, len(things))
    return Picture(
        tuple(replace(thing, size=size, places=(centre,)) for thing, (size, centre) in zip(things, layout, strict=True))
    )


def _ground_texture(rng: Random) -> str:
    return "plain" if rng.random() < 0.55 else rng.choice(("striped", "dotted", "checkered", "gradient", "speckled"))


def _another(rng: Random, things: Sequence[Scene], kind: Kind, fonts: tuple[str, ...]) -> Scene:
    """One more thing for the ground of the others; the second is often like the first in colour or kind."""
    first = things[0]
    alike = rng.choice(("colour", "kind")) if len(things) == 1 and rng.random() < _ALIKE else ""
    while True:
        colour = first.colour if alike == "colour" else rng.choice(list(COLOURS))
        if alike == "kind":
            kind, label = first.kind, first.label
        else:
            label = rng.randrange(len(CLASSES[kind]))
        seen = colour_distance(colour, first.ground) > CONTRAST and not (first.dimmed and colour in DARK)
        font = rng.choice(fonts) if kind != "shape" else ""
        other = replace(first, kind=kind, label=label, colour=colour, font=font)
        if seen and not (kind == "shape" and (colour, other.name) in HELD_OUT_PAIRS):
            return other


def _layout(rng: Random, count: int) -> list[tuple[float, tuple[float, float]]]:
    """Sizes and centres of things that fit beside each other; they shrink until they do."""
    largest = _LARGEST
    while True:
        spots = []
        for _ in range(count):
            size = rng.uniform(_SMALLEST, largest)
            room = 1 - 0.9 * size
            spots.append((size, (rng.uniform(-room, room), rng.uniform(-room, room))))
        if all(_clear(one, other) for one, other in combinations(spots, 2)):
            return spots
        largest = max(_SMALLEST, 0.99 * largest)


def _clear(one: tuple[float, tuple[float, float]], other: tuple[float, tuple[float, float]]) -> bool:
    (size, (x, y)), (other_size, (other_x, other_y)) = one, other
    return max(abs(x - other_x), abs(y - other_y)) > _APART * (size + other_size)


def draw(pictures: Sequence[Picture], noise: Generator, side: int = OBJECTS_SIDE) -> tuple[Tensor, Tensor]:
    """Images (B, 3, S, S) in 0..1 and masks (B, 4, S, S), bool, false beyond a picture's last thing.

    Equal pictures and an equal generator give equal pixels.
    """
    scenes = [scene for picture in pictures for scene in picture.things]
    sizes, centres = torch.tensor([scene.size for scene in scenes]), torch.tensor([scene.places[0] for scene in scenes])
    silhouettes = place(silhouettes_of(scenes, noise), sizes, centres, noise, side)
    colours, grounds = paints(scenes, noise, side)
    images = torch.empty(len(pictures), 3, side, side)
    masks = torch.zeros(len(pictures), MOST_THINGS, side, side, dtype=torch.bool)
    row = 0
    for number, picture in enumerate(pictures):
        image = grounds[row]
        for k in range(len(picture.things)):
            silhouette = silhouettes[row + k]
            image = torch.lerp(image, colours[row + k], silhouette)
            masks[number] &= silhouette <= 0.5
            masks[number, k] = silhouette[0] > 0.5
        images[number] = image
        row += len(picture.things)
    return styled(images, [picture.things[0] for picture in pictures], noise), masks


def refer(picture: Picture, rng: Random, asked: Asked, about: Sequence[Kind] = ()) -> Reference:
    """A prompt that tells things by kind ("the star"), colour ("a red shape") or both, or that is true of none.

    In black and white nothing is told by its colour: 'colour' and 'both' fall back to the kind. What is absent shares
    a word with what is there where it can.

    Args:
        about: kinds of things to speak of, one of which the picture shows; none: any.
    """
    things = [thing for thing in picture.things if not about or thing.kind in about]
    if asked == "absent":
        return _absent(picture, rng, things)
    if picture.style == COLOURLESS:
        asked = "kind"
    return _reference(picture, rng, asked, rng.choice(things))


def _absent(picture: Picture, rng: Random, things: Sequence[Scene]) -> Reference:
    """What is named is plainly not there: nothing of that kind has nearly that colour."""
    by: Asked = "kind" if picture.style == COLOURLESS else rng.choice(("kind", "colour", "both"))
    while True:
        named = replace(rng.choice(things), colour=rng.choice(things).colour)
        if by == "kind" or (by == "both" and rng.random() < 0.4):
            named = replace(named, label=rng.randrange(len(CLASSES[named.kind])))
        if by == "colour" or (by == "both" and rng.random() < 0.4):
            named = replace(named, colour=rng.choice(list(COLOURS)))
        if not any(_true_of(thing, named, by, CONTRAST) for thing in picture.things):
            return replace(_reference(picture, rng, by, named), asked="absent")


def _true_of(thing: Scene, named: Scene, asked: Asked, tolerance: float = 0.0) -> bool:
    """Whether a thing is of the kind and colour that is named, as far as both are asked for."""
    same_name = asked == "colour" or thing.name == named.name
    same_colour = asked == "kind" or colour_distance(thing.colour, named.colour) <= tolerance
    return thing.kind == named.kind and same_name and same_colour


def _reference(picture: Picture, rng: Random, asked: Asked, named: Scene) -> Reference:
    """The prompt for the kind and colour of `named`, as much of both as is asked, and all things it is true of."""
    noun = _any_of(rng, named.kind) if asked == "colour" else _noun(rng, named)
    phrase = noun if asked == "kind" else f"{named.colour} {noun}"
    text = f"the {phrase}" if rng.random() < 0.6 else with_article(phrase)
    return Reference(text, tuple(i for i, thing in enumerate(picture.things) if _true_of(thing, named, asked)), asked)


def _noun(rng: Random, named: Scene) -> str:
    if named.kind == "shape":
        return named.name
    if named.kind == "digit":
        return f"{rng.choice(('digit', 'number'))} {rng.choice((named.name, str(named.label)))}"
    return f"{named.kind} letter {named.name.lower()}"


def _any_of(rng: Random, kind: Kind) -> str:
    return {"shape": "shape", "digit": rng.choice(("digit", "number"))}.get(kind, f"{kind} letter")
