"""What the masks of a set mean, decided from all of them together: two values, of which black is the background.

    a pixel is marked where its value lies nearer to `marked` than to any of `others`

What cannot be decided is refused with the values and how often they occur; `segment.value` then says which one is
marked, and the rest is background; or 'nonzero', and all but black is marked.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cliptune.counted import these
from cliptune.datasets.images import printable
from cliptune.datasets.mask_tally import Channel, Colour, Tally, Values, colour_of, counts_in, scales_of, values_of
from cliptune.datasets.mask_values import Stored, Survey, Value
from cliptune.errors import UserError

NONZERO = "nonzero"
Wanted = int | float | Sequence[int] | Literal["nonzero"]
"""`segment.value`: a number or a colour, or whatever is not black; () decides by itself"""

_BLACK = (0.0, 0.0, 0.0)
_WHITE = (255.0, 255.0, 255.0)
_NONE = Tally(0, 0, 0, "")
_SHIFT = 4
"""how far JPEG moves the value of a whole area, at most"""
_LISTED = 6
"""values that a message lists"""


@dataclass(frozen=True)
class Meaning:
    """How the masks of one set are read."""

    channel: Channel
    marked: Colour | None
    """None: whatever lies farther than `limit` from black in any channel"""
    others: tuple[Colour, ...]
    scales: Mapping[str, float] = field(default_factory=dict)
    """what the numbers of a depth are multiplied by, where a set has files of several depths"""
    limit: float = 0.0

    def mask(self, stored: Stored) -> np.ndarray:
        """uint8 [h w]: 1 where a file's pixel is marked."""
        values = stored.over_black()
        if self.channel == "alpha":
            values = np.full(values.shape[:2], 255, np.uint8) if stored.alpha is None else stored.alpha
        return self._marked(values * np.float32(self.scales.get(stored.depth, 1))).astype(np.uint8)

    def _marked(self, values: np.ndarray) -> np.ndarray:
        if self.marked is None:
            far = np.abs(values) > np.float32(self.limit)
            return far if values.ndim == 2 else far.any(-1)
        own = _distances(values, self.marked)
        marked = np.ones(values.shape[:2], bool)
        for other in self.others:
            marked &= own < _distances(values, other)
        return marked

    def marks(self, survey: Survey) -> int:
        """How many pixels of a file are marked, as far as its values were counted apart."""
        counts = counts_in(survey, self.channel)
        marked = self._are_marked(survey, list(counts.pixels))
        return sum(number for number, is_marked in zip(counts.pixels.values(), marked, strict=True) if is_marked)

    def is_framed(self, survey: Survey) -> bool:
        """Whether what is marked lies around what is not."""
        pixels, counts = survey.size[0] * survey.size[1], counts_in(survey, self.channel)
        return pixels > self.marks(survey) > pixels / 2 and self._is_marked(survey, counts.border)

    def _is_marked(self, survey: Survey, value: Value) -> bool:
        return self._are_marked(survey, [value])[0]

    def _are_marked(self, survey: Survey, values: Sequence[Value]) -> list[bool]:
        scale = self.scales.get(survey.depth, 1.0)
        colours = np.array([[colour_of(value, scale) for value in values]], np.float32)
        return list(self._marked(colours)[0])


def _distances(values: np.ndarray, colour: Colour) -> np.ndarray:
    """Squared distances of numbers [h w] or colours [h w 3] to a colour: [h w]."""
    if values.ndim == 2 and len(set(colour)) == 1:
        return np.asarray((values - np.float32(colour[0])) ** 2)
    channels = values if values.ndim == 3 else values[..., None]
    return np.asarray(((channels - np.array(colour, np.float32)) ** 2).sum(-1))


def meaning_of(surveys: Mapping[str, Survey], where: str, value: Wanted = ()) -> tuple[Meaning, list[str]]:
    """How to read the masks of a set, and what to say of it.

    Args:
        surveys: by mask file, at least one.
        where: the set's folder, for messages.
        value: what is marked, where a person said so.

    Raises:
        UserError: everything is marked or nothing; not two values, or none of them black, and no `value`; no such
            `value`.
    """
    scales = scales_of(surveys.values())
    channel: Channel = "colour"
    values = values_of(surveys, channel, scales)
    shapeless = len(values.centres) == 1 or values.pictures or values.scattered
    if shapeless and any(survey.alpha for survey in surveys.values()):
        by_alpha = values_of(surveys, "alpha", scales)
        if len(by_alpha.centres) == 2:
            channel, values = "alpha", by_alpha
    if len(values.centres) == 1:
        raise _one_value(values, where)
    if value == NONZERO:
        meaning = Meaning(channel, None, (_BLACK,), scales, _nonzero_limit(values, where))
    else:
        marked = _brighter(values, where) if value == () else _wanted(values, where, value)
        meaning = Meaning(channel, marked, _rivals(values, marked), scales)
    return meaning, _notes(values, meaning, surveys, value != ())


def _rivals(values: Values, marked: Colour) -> tuple[Colour, ...]:
    """The other values; of greys the next darker and the next brighter, for no other can be nearer than both."""
    others = [it for it in (values.centres if marked in values.centres else values.tallies) if it != marked]
    if any(len(set(colour)) > 1 for colour in (marked, *others)):
        return tuple(others)
    darker, brighter = [it for it in others if it < marked], [it for it in others if it > marked]
    return (*([max(darker)] if darker else []), *([min(brighter)] if brighter else []))


def checked(value: object) -> Wanted:
    """`segment.value` as somebody gave it in Python.

    Raises:
        UserError: no number, colour or 'nonzero'.
    """
    if hasattr(value, "tolist"):  # numpy's and torch's
        value = value.tolist()
    if value == NONZERO or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)):
        return value  # type: ignore[return-value]
    parts = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
    if len(parts) in (0, 3) and all(isinstance(part, int) and not isinstance(part, bool) for part in parts):
        return parts
    raise UserError(f"segment.value = {value!r}", f"a number, a colour like [0, 128, 0], or '{NONZERO}'")


def odd_files(surveys: Mapping[str, Survey], where: str, value: Wanted, skip: bool) -> dict[str, str]:
    """Mask files that are not of the others' kind, with what they are; empty where all are alike.

    Raises:
        UserError: pictures are among the masks, unless they are to be skipped. Files with a value of their own are
            refused by `meaning_of`, which lists them.
    """
    if any(survey.alpha for survey in surveys.values()):
        return {}
    scales = scales_of(surveys.values())
    values = values_of(surveys, "colour", scales)
    ends = " and ".join(said(centre) for centre in values.centres[:2])
    strays = values.strays(surveys, scales)
    if strays and not skip:
        more = f", and {len(strays) - 1:,} more are so" if len(strays) > 1 else ""
        raise UserError(
            f"{where}: {printable(strays[0])} is a picture and no mask: most of it is far from {ends}{more}",
            "put the mask there, or leave out such pairs: --set data.missing=skip",
        )
    if strays:
        return dict.fromkeys(strays, f"a picture and no mask: most of it is far from {ends}")
    if skip and value == ():
        return dict.fromkeys(values.rare(surveys, scales), "no mask of the others' kind: it holds a third value")
    return {}


def _nonzero_limit(values: Values, where: str) -> float:
    """How far from black noise reaches: an eighth of the span, or half the way to the nearest value where that is less.

    Nothing where there is no noise, unless black is a dark grey: soft edges and thin lines count from the smallest on.
    """
    dark = [centre for centre in values.centres if max(centre) <= values.reach]
    if _BLACK not in values.tallies and not dark:
        raise UserError(f"segment.value = {NONZERO}, and the masks of {where} hold {_listed(values)}", _choose(values))
    if not values.noisy and (_BLACK in values.centres or not dark):
        return 0.0
    half = [max(centre) / 2 for centre in values.centres if centre not in (_BLACK, *dark)]
    return min(values.span / 8, *half)


def _one_value(values: Values, where: str) -> UserError:
    (only,) = values.centres
    files = values.tallies[only].files
    what = "marks anything" if only == _BLACK else "tells anything apart"
    return UserError(
        f"{where}: none of its {files:,} mask files {what}, all are {_named(values, only)} everywhere",
        "mark what is to be found (black 0 around it, white 255 in it), or give the folder of the true masks",
    )


def _brighter(values: Values, where: str) -> Colour:
    """Of two values the one that is not black."""
    if values.pictures:
        told = f"{where}: what should be masks are pictures of many colours"
        raise UserError(
            told, "call the two folders images/ and masks/; if these are class numbers: --set segment.value=NUMBER"
        )
    if len(values.centres) != 2:
        told = f"{where}: its masks hold {len(values.centres):,} values where two are needed: {_listed(values)}"
        raise UserError(told, _choose(values))
    one, other = values.centres
    dark = [centre for centre in (one, other) if max(centre) <= values.reach]
    if len(dark) != 1:
        raise UserError(
            f"{where}: its masks hold {_listed(values)}, and none is black, so either may be the background",
            f"say which one is marked: {typed(_stored(values, other))} or {typed(_stored(values, one))}",
        )
    return other if dark == [one] else one


def _choose(values: Values) -> str:
    """What to type where there are several values."""
    rest = f"; all that are not 0: --set segment.value={NONZERO}" if _BLACK in values.centres else ""
    return f"say which one is marked, the others are then background: {typed(_stored(values, _likely(values)))}{rest}"


def _likely(values: Values) -> Colour:
    """The most frequent value that is not black."""
    return next((centre for centre in values.centres if centre != _BLACK), values.centres[0])


def _wanted(values: Values, where: str, value: float | Sequence[int] | str) -> Colour:
    wanted = colour_of(float(value)) if isinstance(value, int | float) else tuple(float(part) for part in value)
    if len(wanted) != 3:
        raise UserError(f"segment.value = {list(wanted)}", "a number, or a colour like [0, 128, 0]")
    for centre in values.centres:
        if max(abs(a - b) for a, b in zip(centre, wanted, strict=True)) <= max(1e-6, min(values.reach, _SHIFT)):
            return centre
    scaled = next((it for it in values.centres if values.tallies.get(it, _NONE).stored == wanted), None)
    if scaled is not None:
        return scaled
    stored = next((it for it in values.tallies if np.allclose(it, wanted, rtol=0, atol=1e-6)), None)
    if stored is not None and not values.reach and not values.soft:
        return stored  # a rim between two others, in masks without noise
    if stored is not None:
        ends = " and ".join(said(centre) for centre in values.centres[:_LISTED])
        told = f"the masks of {where} hold it only as noise or on soft edges, beside {ends}"
        raise UserError(f"segment.value = {said(wanted)}: {told}", _choose(values))
    raise UserError(
        f"segment.value = {said(wanted)}, and the masks of {where} hold {_listed(values)}",
        _choose(values),
    )


def _named(values: Values, colour: Colour) -> str:
    """A value as its files store it: '1 (in 16-bit files)' where it was multiplied to fit those of other depths."""
    tally = values.tallies.get(colour)
    if tally is None or tally.stored is None:
        return said(colour)
    return f"{said(tally.stored)} (in {'float' if tally.depth == 'float' else f'{tally.depth}-bit'} files)"


def _stored(values: Values, colour: Colour) -> Colour:
    """What a person types for a value: it as its files store it."""
    tally = values.tallies.get(colour)
    return colour if tally is None or tally.stored is None else tally.stored


def said(colour: Colour) -> str:
    """'128', or '(0, 128, 0)'."""
    numbers = [f"{part:g}" for part in colour]
    return numbers[0] if len(set(numbers)) == 1 else f"({', '.join(numbers)})"


def typed(colour: Colour) -> str:
    """What a person types for a value."""
    text = said(colour)
    return f"--set segment.value={text}" if text[0] != "(" else f"--set 'segment.value=[{text[1:-1]}]'"


def _listed(values: Values) -> str:
    """Values with the files that hold them and their share of all pixels."""
    rows = []
    for centre in values.centres[:_LISTED]:
        tally = values.around(centre)
        only = f" ({printable(tally.first)})" if tally.files == 1 else ""
        rows.append(f"{_named(values, centre)} in {tally.files:,}{only}, {_percent(tally.pixels / values.pixels)}")
    more = len(values.centres) - _LISTED
    return "; ".join(rows) + (f"; and {more:,} more" if more > 0 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "under 0.1 %"


def _notes(values: Values, meaning: Meaning, surveys: Mapping[str, Survey], chosen: bool) -> list[str]:
    notes = []
    pair = set(values.centres)
    if meaning.channel == "alpha":
        drawn = sum(survey.alpha is not None for survey in surveys.values())
        notes.append(f"masks are read from the alpha channel of {these(drawn, 'file')}, where their shapes are")
        if drawn < len(surveys):
            rest = these(len(surveys) - drawn, "mask file has", "mask files have")
            notes.append(f"{rest} no alpha channel and count as marked all over")
    elif meaning.marked is not None and not chosen and pair not in ({_BLACK, _WHITE}, {_BLACK, (65535.0,) * 3}):
        rest = " and ".join(_named(values, centre) for centre in meaning.others)
        name = _named(values, meaning.marked)
        notes.append(f"masks hold {rest} and {name}: {name} is marked")
    mixed = [survey for survey in surveys.values() if _is_mixed(survey, meaning, values)]
    if meaning.marked is None:
        notes += _nonzero_notes(surveys, meaning, len(mixed), values)
    elif mixed and meaning.marked in values.centres:
        ends = " or ".join(said(centre) for centre in values.centres[:2])
        less = f" ({_percent(values.middle)} of all pixels are far from both)" if values.soft else ""
        notes.append(
            f"{len(mixed):,} of {len(surveys):,} mask files have values beside {ends}: the nearest counts{less}"
        )
    framed = sum(meaning.is_framed(survey) for survey in surveys.values())
    if framed > len(surveys) / 2 and not chosen and meaning.marked is not None:
        notes.append(
            f"in {framed:,} of {len(surveys):,} mask files {said(meaning.marked)}, which is marked, surrounds "
            f"{said(meaning.others[0])}: if they are inverted, {typed(meaning.others[0])}"
        )
    return notes


def _nonzero_notes(surveys: Mapping[str, Survey], meaning: Meaning, mixed: int, values: Values) -> list[str]:
    """How the smallest values are read where all that are not 0 are marked."""
    noisy = sum(_holds_noise(survey, meaning) for survey in surveys.values())
    if noisy:
        told = f"have noise near 0, as JPEG leaves it: values up to {meaning.limit:.3g} count as 0"
        return [f"{noisy:,} of {len(surveys):,} mask files {told}"]
    if mixed:
        ends = " or ".join(said(centre) for centre in values.centres[:2])
        told = f"have values beside {ends}: all that are not 0 are marked, soft edges too"
        return [f"{mixed:,} of {len(surveys):,} mask files {told}"]
    return []


def _holds_noise(survey: Survey, meaning: Meaning) -> bool:
    counts, scale = counts_in(survey, meaning.channel), meaning.scales.get(survey.depth, 1.0)
    return any(0 < max(colour_of(value, scale)) <= meaning.limit for value in counts.pixels)


def _is_mixed(survey: Survey, meaning: Meaning, values: Values) -> bool:
    """Whether a file has values that are none of the set's centres."""
    counts, scale = counts_in(survey, meaning.channel), meaning.scales.get(survey.depth, 1.0)
    return len(values.centres) == 2 and any(colour_of(value, scale) not in values.centres for value in counts.pixels)
