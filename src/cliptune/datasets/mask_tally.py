"""The values of all masks of a set together, and the few that they gather around.

Two in black-and-white masks, even where JPEG or soft edges put others beside and between them; one for each class in
label maps, whether the classes fill areas or are thin as vessels and points are; none that can be told from the others
in soft masks, whose ends are then black and white.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from cliptune.datasets.mask_values import AREA, Counts, Survey, Value

Colour = tuple[float, float, float]
Channel = Literal["colour", "alpha"]
"""numbers and colours with alpha laid over black; or alpha alone"""

_THIN = 0.5
"""share of a value's pixels that are no rims between two others from which it is one of its own, though thin"""
_SPECKS = 0.015
"""share of the pixels near black that stand out from all around them from which they are noise: JPEG has 0.02 to 0.5"""
_CLEAN = 16
"""up to so many values there is no noise among them"""
_WIDE, _NEAR = 100, 8
"""noise is looked for where values span 100 and more, and reaches over an eighth of the span"""
_MOST_LABELS = 200
"""areas of more values than this may be a smooth slope"""
_SLOPE, _BRIGHT = 0.8, 0.3
"""in a slope so many neighbours differ by little; soft masks in blocks have so much of what is not black near white"""
WHITE = {"8": 255.0, "16": 65535.0, "float": 1.0}


class Tally(NamedTuple):
    """One value over all files."""

    pixels: int
    inside: int
    """of them with eight like neighbours"""
    files: int
    first: str
    """a file that holds it"""
    rims: int = 0
    """of them between two other values"""
    stored: Colour | None = None
    """the value as the files store it, where it was multiplied to fit those of other depths"""
    depth: str = ""
    """the depth of those files"""


class Values(NamedTuple):
    """All values of a set in one channel."""

    tallies: dict[Colour, Tally]
    centres: tuple[Colour, ...]
    """what the others gather around, the most frequent first"""
    reach: float
    """how far from a centre noise reaches; 0 where there is none"""
    soft: bool
    """there are no areas to tell the centres by: black and white are supposed"""
    pixels: int
    """of all files"""
    noisy: bool = False
    """there is noise near black, as JPEG leaves it"""

    @property
    def span(self) -> float:
        """How far the values reach."""
        return _span(self.tallies)

    @property
    def middle(self) -> float:
        """Share of the pixels that lie out of every centre's reach."""
        if not self.reach:
            own = (self.tallies[centre].pixels for centre in self.centres if centre in self.tallies)
            return 1 - sum(own) / self.pixels
        points, pixels = np.array(list(self.tallies)), np.array([tally.pixels for tally in self.tallies.values()])
        apart = np.stack([np.abs(points - np.array(centre)).max(1) for centre in self.centres])
        return 1 - float(pixels[apart.min(0) <= self.reach].sum()) / self.pixels

    @property
    def pictures(self) -> bool:
        """Whether these seem to be no masks: most of their pixels gather around nothing, or no value prevails."""
        largest = max(tally.pixels for tally in self.tallies.values())
        return self.middle > 0.5 or (len(self.centres) > 64 and largest < 0.2 * self.pixels)

    @property
    def scattered(self) -> bool:
        """Whether most values occur in one file only, as those of photos do that were cut out."""
        return len(self.centres) > 3 and 2 * sum(self.tallies[it].files == 1 for it in self.centres) > len(self.centres)

    def around(self, centre: Colour) -> Tally:
        """What lies nearer to this centre than to the others; files and first are the centre's own."""
        if len(self.centres) > _CLEAN and centre in self.tallies:
            return self.tallies[centre]  # in label maps of many values few are rims
        points = np.array(list(self.tallies))
        apart = np.stack([((points - np.array(other)) ** 2).sum(1) for other in self.centres])
        nearest = apart.argmin(0) == self.centres.index(centre)
        pixels = sum(tally.pixels for tally, near in zip(self.tallies.values(), nearest, strict=True) if near)
        own = self.tallies.get(centre)
        return Tally(pixels, 0, own.files, own.first) if own else Tally(pixels, 0, 0, "")

    def strays(self, surveys: Mapping[str, Survey], scales: Mapping[str, float]) -> list[str]:
        """Files of two-valued masks most of whose pixels lie far from both values: pictures among masks."""
        if len(self.centres) != 2 or self.pictures:
            return []
        near = max(self.reach, _apart(*self.centres) / _NEAR)
        found = []
        for file, survey in surveys.items():
            scale = scales.get(survey.depth, 1.0)
            values = {colour_of(value, scale): pixels for value, pixels in survey.colour.pixels.items()}
            close = sum(n for it, n in values.items() if min(_apart(it, centre) for centre in self.centres) <= near)
            if 2 * close < sum(values.values()):  # rare values are not kept
                found.append(file)
        return found

    def rare(self, surveys: Mapping[str, Survey], scales: Mapping[str, float]) -> list[str]:
        """The few files (a tenth at most, or one) that hold a third value, where all others hold the same two."""
        most = max(1, len(surveys) // 10)
        odd = {centre for centre in self.centres if self.tallies[centre].files <= most}
        if self.pictures or len(self.centres) - len(odd) != 2:
            return []
        held = {
            file: {colour_of(value, scales.get(survey.depth, 1.0)) for value in survey.colour.pixels}
            for file, survey in surveys.items()
        }
        return [file for file, values in held.items() if values & odd]


def colour_of(value: Value, scale: float = 1.0) -> Colour:
    """A number as the grey it is; times `scale`."""
    red, green, blue = value if isinstance(value, tuple) else (value, value, value)
    return red * scale, green * scale, blue * scale


def counts_in(survey: Survey, channel: Channel) -> Counts:
    """A file's counts in a channel; without alpha it is opaque everywhere."""
    if channel == "colour":
        return survey.colour
    opaque: dict[Value, int] = {255.0: survey.size[0] * survey.size[1]}
    return survey.alpha or Counts(opaque, opaque, 255.0, 1, 255.0, {}, 0, 0, (0, 0))


def scales_of(surveys: Iterable[Survey]) -> dict[str, float]:
    """What the numbers of each depth are multiplied by so that white is the same in all; {} for files of one depth."""
    most: dict[str, float] = {}
    for survey in surveys:
        most[survey.depth] = max(most.get(survey.depth, 0.0), survey.colour.most)
    if len(most) < 2:
        return {}
    return {
        depth: 255.0 if depth == "float" and most[depth] <= 1 else 255.0 / white_of(depth, most[depth])
        for depth in most
    }


def white_of(depth: str, most: float) -> float:
    """White of a depth: that of bytes where larger files hold no more than a byte does."""
    white = WHITE[depth]
    return white if most <= 1 or most > 255 or depth == "8" else 255.0


def values_of(surveys: Mapping[str, Survey], channel: Channel, scales: Mapping[str, float]) -> Values:
    """The values of all files, and what they gather around."""
    tallies, pixels = _tallies(surveys, channel, scales), sum(it.size[0] * it.size[1] for it in surveys.values())
    if len(tallies) <= 2:
        return Values(tallies, tuple(tallies), 0.0, False, pixels)
    counts, span = [counts_in(survey, channel) for survey in surveys.values()], _span(tallies)
    depth = next(iter(surveys.values())).depth if channel == "colour" and not scales else "8"
    largest = max(max(colour) for colour in tallies)
    white = white_of(depth, largest)
    areas = [colour for colour, tally in tallies.items() if tally.inside >= AREA * tally.pixels]
    slope = len(tallies) > _CLEAN and _is_slope(counts)
    smooth = len(areas) > _MOST_LABELS and (slope or _is_bright(tallies, white))
    noisy = (channel == "colour" and any(survey.lossy for survey in surveys.values())) or _has_specks(counts, tallies)
    apart = areas if slope else [*areas, *_thin(tallies, areas, span / _NEAR if noisy and span >= _WIDE else 0.0)]
    clean = len(tallies) <= _CLEAN or (len(apart) >= len(tallies) / 2 and not smooth)
    reach = 0.0 if clean or span < _WIDE else span / _NEAR
    greys = all(len(set(colour)) == 1 for colour in tallies)
    groups = _groups(apart, reach)
    wide = greys and any(_span(group) > 2 * reach for group in groups)
    rank = {colour: place for place, colour in enumerate(apart)}
    centres = [] if wide else sorted((min(group, key=rank.__getitem__) for group in groups), key=rank.__getitem__)
    if len(centres) == 2 and clean:
        one, other = centres
        centres += [colour for colour in tallies if not _between(colour, one, other, span / _NEAR)]
    if len(centres) >= 2:
        return Values(tallies, tuple(centres), reach, False, pixels, noisy)
    if greys and largest > white / 2:
        return Values(tallies, ((0.0, 0.0, 0.0), (white, white, white)), span / _NEAR, True, pixels, noisy)
    return Values(tallies, tuple(tallies), 0.0, False, pixels, noisy)


def _tallies(surveys: Mapping[str, Survey], channel: Channel, scales: Mapping[str, float]) -> dict[Colour, Tally]:
    """The values of all files, the most frequent first."""
    tallies: dict[Colour, Tally] = {}
    for file, survey in surveys.items():
        counts = counts_in(survey, channel)
        for value, pixels in counts.pixels.items():
            colour = colour_of(value, scales.get(survey.depth, 1.0))
            old = tallies.get(colour, Tally(0, 0, 0, file))
            inside, rims = old.inside + counts.inside.get(value, 0), old.rims + counts.rims.get(value, 0)
            new = Tally(old.pixels + pixels, inside, old.files + 1, old.first, rims, old.stored, old.depth)
            if colour == colour_of(value):
                new = new._replace(stored=None, depth="")
            elif not old.files:
                new = new._replace(stored=colour_of(value), depth=survey.depth)
            tallies[colour] = new
    return dict(sorted(tallies.items(), key=lambda row: (-row[1].pixels, row[0])))


def _thin(tallies: Mapping[Colour, Tally], areas: Sequence[Colour], near: float) -> list[Colour]:
    """Values that fill no areas and are no rims of them: of lines and points. None near an area's, which is noise.

    Args:
        near: how far noise reaches.
    """
    near_areas = set(_near(list(tallies), areas, near))
    rest = {colour: tally for colour, tally in tallies.items() if colour not in near_areas}
    thin = [colour for colour, tally in rest.items() if tally.rims <= (1 - _THIN) * tally.pixels]
    inked = sum(tally.pixels for tally in rest.values())
    return thin if sum(tally.rims for tally in rest.values()) <= (1 - _THIN) * inked else []


def _near(colours: list[Colour], areas: Sequence[Colour], near: float) -> list[Colour]:
    """Those that are areas or lie near one."""
    if not areas or not colours:
        return []
    if not near:
        return list(areas)
    points, centres = np.array(colours), np.array(areas)
    close = [bool((np.abs(centres - point).max(1) <= near).any()) for point in points]
    return [colour for colour, is_close in zip(colours, close, strict=True) if is_close]


def _is_slope(counts: Sequence[Counts]) -> bool:
    """Whether most neighbours of different values differ by little."""
    steps, small = (sum(each.steps[place] for each in counts) for place in (0, 1))
    return steps > 0 and small >= _SLOPE * steps


def _is_bright(tallies: Mapping[Colour, Tally], white: float) -> bool:
    """Whether much of what is not black is nearly white, as in soft masks that were made larger in blocks."""
    inked = {max(colour): tally.pixels for colour, tally in tallies.items() if any(colour)}
    return sum(pixels for most, pixels in inked.items() if most >= white * 7 / 8) >= _BRIGHT * sum(inked.values())


def _has_specks(counts: Sequence[Counts], tallies: Mapping[Colour, Tally]) -> bool:
    """Whether there is noise near black: values beside both ends, the smallest among them, that stand out."""
    near, specks = sum(each.near_black for each in counts), sum(each.specks for each in counts)
    least = min((max(colour) for colour in tallies if any(colour)), default=0.0)
    return bool(near) and len(tallies) > 3 and least <= _span(tallies) / 64 and specks >= _SPECKS * near


def _span(colours: Iterable[Colour]) -> float:
    points = np.array(list(colours))
    return float((points.max(0) - points.min(0)).max())


def _groups(areas: Sequence[Colour], reach: float) -> list[list[Colour]]:
    """Areas whose values form a chain of steps up to `reach`."""
    if not reach:
        return [[colour] for colour in areas]
    groups: list[list[Colour]] = []
    for colour in areas:
        near = [group for group in groups if any(_apart(colour, other) <= reach for other in group)]
        joined = [other for group in near for other in group]
        groups = [group for group in groups if group not in near] + [[*joined, colour]]
    return groups


def _apart(one: Colour, other: Colour) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _between(colour: Colour, one: Colour, other: Colour, reach: float) -> bool:
    """Whether a value is a mixture of two, as on soft edges."""
    start, way = np.array(one), np.array(other) - np.array(one)
    place = float(np.clip((np.array(colour) - start) @ way / (way @ way), 0, 1))
    return bool(np.abs(start + place * way - np.array(colour)).max() <= reach)
