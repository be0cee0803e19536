"""Sentences about scenes: a noun, and now and then colour, size, texture, place, ground and style.

Every caption carries its meaning beside its words, so that "a photo of the digit 3" and "the number three" count as
the same caption when a batch is scored.
"""

from dataclasses import dataclass
from random import Random

from .glyphs import DIGITS
from .scenes import Scene

_FULL_STOP = 0.1
"""part of the captions that end with a full stop, as prompts for CLIP often do"""
_ARTICLE_THE = 0.3
"""part of the shapes' captions that say "the star" and not "a star" """
_PLURALS = {"fish": "fish", "cross": "crosses"}


@dataclass(frozen=True)
class Caption:
    """A sentence and what it says."""

    text: str
    meaning: tuple[str, ...]
    """the statements made, in one wording each"""


def describe(scene: Scene, rng: Random, colour: float = 0.6, generic: float = 0.0) -> Caption:
    """A true sentence about a scene, saying more or less of it.

    Args:
        colour: chance that the colour of a shape is named (of a glyph: half of it); never in black and white.
        generic: chance that a shape is only called 'shape' or 'object'; its colour is then named if it has one.
    """
    if scene.companion is not None:
        phrase, meaning = _pair(scene, rng, colour)
    else:
        phrase, meaning = _subject(scene, rng, colour, generic)
    if not scene.easy and rng.random() < 0.4:
        ground, said = _ground(scene, rng)
        phrase, meaning = phrase + ground, meaning + said
    opening, said = _opening(scene, rng)
    stop = "." if rng.random() < _FULL_STOP else ""
    return Caption(opening + phrase + stop, meaning + said)


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


def _subject(scene: Scene, rng: Random, colour: float, generic: float) -> tuple[str, tuple[str, ...]]:
    """'the small red star in the top left corner', with what it says."""
    is_shape, count = scene.kind == "shape", len(scene.places)
    noun, meaning = _noun(scene, rng)
    named = rng.random() < (colour if is_shape else colour / 2)
    if is_shape and rng.random() < generic:
        noun, meaning, named = rng.choice(("shape", "shape", "object")), ("shape",), True
    adjectives = _adjectives(scene, rng)
    if named and not _colourless(scene):
        adjectives.append(scene.colour)
    meaning = (*meaning, *adjectives)
    if count > 1:
        return " ".join((DIGITS[count], *adjectives, plural(noun))), (*meaning, DIGITS[count])
    phrase = " ".join((*adjectives, noun))
    definite = rng.random() < (_ARTICLE_THE if is_shape else 0.8)
    phrase = f"the {phrase}" if definite else with_article(phrase)
    place = "" if scene.easy or rng.random() > 0.25 else _place(*scene.places[0])
    return (f"{phrase} {place}", (*meaning, place)) if place else (phrase, meaning)


def _noun(scene: Scene, rng: Random) -> tuple[str, tuple[str, ...]]:
    if scene.kind == "digit":
        word = scene.name if rng.random() < 0.6 else str(scene.label)
        return f"{rng.choice(('digit', 'digit', 'number'))} {word}", ("digit", scene.name)
    if scene.kind == "shape":
        return scene.name, (scene.name,)
    letter, case = scene.name.lower(), rng.choice(_CASES[scene.kind])
    return f"{case}letter {letter}", ("letter", letter, scene.kind if case else "")


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


def _pair(scene: Scene, rng: Random, colour: float) -> tuple[str, tuple[str, ...]]:
    """Two different shapes, with or without their relation."""
    other = scene.companion
    assert other is not None
    named = rng.random() < colour and not _colourless(scene)
    first, second = scene.name, other.shape
    if named:
        first, second = f"{scene.colour} {first}", f"{other.colour} {second}"
    one, two = with_article(first), with_article(second)
    before, after = ("to the left of", "to the right of") if other.place == "right" else ("above", "below")
    form = rng.randrange(3)
    if form == 0:
        return f"{one} and {two}", (first, second)
    phrase = f"{one} {before} {two}" if form == 1 else f"{two} {after} {one}"
    return phrase, (first, before, second)


def _ground(scene: Scene, rng: Random) -> tuple[str, tuple[str, ...]]:
    """' on a striped dark blue background', or nothing if there is nothing to say."""
    colour = scene.ground if not scene.dimmed or scene.ground == "black" else f"dark {scene.ground}"
    texture = "" if scene.ground_texture == "plain" else scene.ground_texture
    choices = [] if _colourless(scene) else [colour]
    if texture:
        choices += [texture] + [f"{texture} {choice}" for choice in choices]
    if not choices:
        return "", ()
    ground = f"{rng.choice(choices)} background"
    return f" on {with_article(ground)}", (ground,)


def _opening(scene: Scene, rng: Random) -> tuple[str, tuple[str, ...]]:
    """'a photo of ', a word for the style, or nothing; a plain photo says nothing about the scene."""
    if scene.easy or rng.random() < 0.5:
        drawn = scene.easy and scene.style == "drawing"
        openings = ("a photo of ", "a photo of ", "", "a drawing of " if drawn else "a picture of ")
        return rng.choice(openings), ()
    match scene.style:
        case "low resolution photo":
            return rng.choice(("a low resolution photo of ", "a pixelated photo of ")), (scene.style,)
        case "sketch":
            return rng.choice(("a sketch of ", "an outline of ")), (scene.style,)
        case "photo":
            return "a photo of ", ()
        case style:
            return f"{with_article(style)} of ", (style,)
