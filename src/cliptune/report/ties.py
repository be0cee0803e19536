"""Which labels cannot be told from the best: so that a table never marks a winner inside the noise."""

from collections.abc import Sequence
from dataclasses import dataclass

from cliptune.report.compare import Named, Place, leader, pairs, seen_from
from cliptune.report.tables import Row
from cliptune.statistics import mean_and_deviation

AHEAD, HIGHEST, TIED, BEHIND, UNTESTED = "ahead", "highest", "tied", "behind", "no pair"


@dataclass(frozen=True)
class Standing:
    """The labels of one place and number of shots, seen from the best mean."""

    best: str
    tied: tuple[str, ...] = ()
    """paired with the best, and the difference lies inside the noise"""
    behind: tuple[str, ...] = ()
    """paired, and worse beyond the noise"""
    untested: tuple[str, ...] = ()
    """without a pair: nothing can be said"""

    @property
    def alone(self) -> bool:
        """Whether the best is ahead of all others, tested."""
        return not self.tied and not self.untested

    def of(self, label: str) -> str:
        """In a word or two, for a table's cell; the highest mean is ahead only if it is ahead of all."""
        first = AHEAD if self.alone else HIGHEST
        told = {self.best: first, **dict.fromkeys(self.tied, TIED), **dict.fromkeys(self.behind, BEHIND)}
        return told.get(label, UNTESTED)


def is_ahead(row: Row) -> bool:
    """Whether the first of a mean difference is ahead: its 95 % interval above zero, and better in most cells."""
    return row["interval"][0] > 0 and row["wins"] > row["cells"] / 2


def standings(runs: Sequence[Named]) -> dict[tuple[Place, int | None], Standing]:
    """Every place and number of shots with at least two labels, by the paired bootstrap on shared episodes."""
    keys = dict.fromkeys((each.cell.place, each.cell.shots) for each in runs)
    found = {}
    for place, shots in keys:
        here = [each for each in runs if (each.cell.place, each.cell.shots) == (place, shots)]
        if (best := best_of(here, place)) is not None:
            found[(place, shots)] = _standing(here, best)
    return found


def best_of(runs: Sequence[Named], place: Place) -> str | None:
    """The highest mean over the cells all labels share, or over each label's own where they share none."""
    if shared := leader(runs, place):
        return shared[0]
    means = {}
    for label in dict.fromkeys(each.label for each in runs):
        reached = [each.record.reached for each in runs if each.label == label]
        mean, _ = mean_and_deviation([value for value in reached if value is not None])
        if mean is not None:
            means[label] = mean
    return max(means, key=lambda label: means[label]) if len(means) > 1 else None


def _standing(runs: Sequence[Named], best: str) -> Standing:
    against = {}
    for row in pairs(runs).means:
        if best in (row["first"], row["second"]):
            turned = seen_from(row, best)
            against[turned["second"]] = turned
    others = [label for label in dict.fromkeys(each.label for each in runs) if label != best]
    return Standing(
        best,
        tied=tuple(label for label in others if label in against and not is_ahead(against[label])),
        behind=tuple(label for label in others if label in against and is_ahead(against[label])),
        untested=tuple(label for label in others if label not in against),
    )
