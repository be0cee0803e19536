"""Sentences about scenes: a noun, and now and then colour, size, texture, place, ground and style."""

from random import Random

from .glyphs import DIGITS
from .scenes import Scene

_FULL_STOP = 0.1
"""part of the captions that end with a full stop, as prompts for CLIP often do"""
_ARTICLE_THE = 0.3
"""part of the shapes' captions that say "the star" and not "a star" """
_PLURALS = {"fish": "fish", "cross": "crosses"}


def describe(scene: Scene, rng: Random, colour: float = 0.6, generic: float = 0.0) -> str:
    """A true sentence about a scene, saying more or less of it.

    Args:
        colour: chance that the colour of a shape is named (of a glyph: half of it); never in black and white.
        generic: chance that a shape is only called 'shape' or 'object'; its colour is then named if it has one.
    """
    if scene.companion is not None:
        phrase = _pair(scene, rng, colour)
    else:
        phrase = _subject(scene, rng, colour, generic)
    if not scene.easy and rng.random() < 0.4:
        phrase += _ground(scene, rng)
    return _opening(scene, rng) + phrase + ("." if rng.random() < _FULL_STOP else "")


def with_article(phrase: str) -> str:
    """
    >>> with_article("orange star")
    'an orange star'
    """
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def plural(noun: str) -> str:
    """
    >>> plural("cross"), plural("star")
    ('crosses', 'stars')
    """
    return _PLURALS.get(noun, noun + "s")


def _colourless(scene: Scene) -> bool:
    return scene.style == "black and white photo"


def _subject(scene: Scene, rng: Random, colour: float, generic: float) -> str:
    """'the small red star in the top left corner'."""
    is_shape, count = scene.kind == "shape", len(scene.places)
    noun = _noun(scene, rng)
    named = rng.random() < (colour if is_shape else colour / 2)
    if is_shape and rng.random() < generic:
        noun, named = rng.choice(("shape", "shape", "object")), True
    adjectives = _adjectives(scene, rng)
    if named and not _colourless(scene):
        adjectives.append(scene.colour)
    if count > 1:
        return " ".join((DIGITS[count], *adjectives, plural(noun)))
    phrase = " ".join((*adjectives, noun))
    definite = rng.random() < (_ARTICLE_THE if is_shape else 0.8)
    phrase = f"the {phrase}" if definite else with_article(phrase)
    place = "" if scene.easy or rng.random() > 0.25 else _place(*scene.places[0])
    return f"{phrase} {place}" if place else phrase


def _noun(scene: Scene, rng: Random) -> str:
    if scene.kind == "digit":
        word = scene.name if rng.random() < 0.6 else str(scene.label)
        return f"{rng.choice(('digit', 'digit', 'number'))} {word}"
    if scene.kind == "shape":
        return scene.name
    return f"{rng.choice(_CASES[scene.kind])}letter {scene.name.lower()}"


_CASES = {"capital": ("", "capital ", "uppercase "), "lowercase": ("", "lowercase ")}


def _adjectives(scene: Scene, rng: Random) -> list[str]:
    words = []
    if len(scene.places) == 1 and not scene.easy and rng.random() < 0.3:
        if scene.size > 0.85:
            words.append("big")
        elif scene.size < 0.56:
            words.append("small")
    if scene.fill_texture != "plain" and rng.random() < 0.6:
        words.append(scene.fill_texture)
    return words


def _place(x: float, y: float) -> str:
    """'in the top left corner', 'at the bottom', or '' for the middle."""
    far = 0.25
    vertical = "top" if y < -far else "bottom" if y > far else ""
    horizontal = "left" if x < -far else "right" if x > far else ""
    if vertical and horizontal:
        return f"in the {vertical} {horizontal} corner"
    return f"at the {vertical}" if vertical else f"on the {horizontal}" if horizontal else ""


def _pair(scene: Scene, rng: Random, colour: float) -> str:
    """Two different shapes, with or without their relation."""
    other = scene.companion
    assert other is not None
    first, second = scene.name, other.shape
    if rng.random() < colour and not _colourless(scene):
        first, second = f"{scene.colour} {first}", f"{other.colour} {second}"
    one, two = with_article(first), with_article(second)
    before, after = ("to the left of", "to the right of") if other.place == "right" else ("above", "below")
    return rng.choice((f"{one} and {two}", f"{one} {before} {two}", f"{two} {after} {one}"))


def _ground(scene: Scene, rng: Random) -> str:
    """' on a striped dark blue background', or nothing if there is nothing to say."""
    colour = scene.ground if not scene.dimmed or scene.ground == "black" else f"dark {scene.ground}"
    texture = "" if scene.ground_texture == "plain" else scene.ground_texture
    choices = [] if _colourless(scene) else [colour]
    if texture:
        choices += [texture] + [f"{texture} {choice}" for choice in choices]
    return f" on {with_article(rng.choice(choices))} background" if choices else ""


def _opening(scene: Scene, rng: Random) -> str:
    """'a photo of ', a word for the style, or nothing."""
    if scene.easy or rng.random() < 0.5:
        drawn = scene.easy and scene.style == "drawing"
        return rng.choice(("a photo of ", "a photo of ", "", "a drawing of " if drawn else "a picture of "))
    match scene.style:
        case "low resolution photo":
            return rng.choice(("a low resolution photo of ", "a pixelated photo of "))
        case "sketch":
            return rng.choice(("a sketch of ", "an outline of "))
        case style:
            return f"{with_article(style)} of "
