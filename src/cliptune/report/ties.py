"""Which labels cannot be told from the best: so that a table never marks a winner inside the noise."""

from collections.abc import Sequence
from dataclasses import dataclass

from cliptune.report.compare import Named, Place, leader
from cliptune.report.leading import reached
from cliptune.report.pairs import corrected, means, seen_from
from cliptune.report.tables import Row
from cliptune.statistics import ENOUGH_DRAWS, LEVEL, mean_and_deviation

AHEAD, HIGHEST, TIED, BEHIND, UNTESTED = "ahead", "highest", "tied", "behind", "no pair"


@dataclass(frozen=True)
class Standing:
    """The labels of one place and number of shots, seen from the best mean."""

    best: str
    tied: tuple[str, ...] = ()
    """paired with the best, and the difference lies inside the noise"""
    behind: tuple[str, ...] = ()
    """paired, and worse beyond the noise of draws and test images"""
    untested: tuple[str, ...] = ()
    """without a pair: nothing can be said"""
    lower: tuple[str, ...] = ()
    """paired on too few draws to tell of others, and worse on those beyond the noise of the test images"""
    draws: int = ENOUGH_DRAWS
    """the fewest that `lower` shares with the best"""

    @property
    def alone(self) -> bool:
        """Whether the best is ahead of all others, tested."""
        return bool(self.behind) and not (self.tied or self.untested or self.lower)

    def of(self, label: str) -> str:
        """In a word or two, for a table's cell; the highest mean is ahead only if it is ahead of all."""
        here = on_these(self.draws)
        open_ = self.tied or self.untested or not self.lower
        first = AHEAD if self.alone else HIGHEST if open_ else f"{HIGHEST} {here}"
        told = {self.best: first, **dict.fromkeys(self.tied, TIED), **dict.fromkeys(self.behind, BEHIND)}
        return (told | dict.fromkeys(self.lower, f"lower {here}")).get(label, UNTESTED)


def is_better(row: Row) -> bool:
    """Whether the first of a mean difference is better than chance has it, all pairs of its table considered."""
    return row["difference"] > 0 and row["holm"] < LEVEL


def is_ahead(row: Row) -> bool:
    """Whether it is so over draws of training images too: of fewer than three nothing is said of others."""
    return row["draws"] >= ENOUGH_DRAWS and is_better(row)


def on_these(draws: int) -> str:
    return "on this draw" if draws == 1 else "on these draws"


def standings(runs: Sequence[Named]) -> dict[tuple[Place, int | None], Standing]:
    """Every place and number of shots with at least two labels, by paired differences on shared episodes.

    The p values are corrected for all pairs of all places and numbers of shots: they stand in one table.
    """
    keys = dict.fromkeys((each.cell.place, each.cell.shots) for each in runs)
    groups = {key: [each for each in runs if (each.cell.place, each.cell.shots) == key] for key in keys}
    best = {key: best_of(group, key[0]) for key, group in groups.items()}
    differences = {key: means(groups[key]) for key, label in best.items() if label is not None}
    family = iter(corrected([row for rows in differences.values() for row in rows]))
    told = {key: [next(family) for _ in rows] for key, rows in differences.items()}
    return {key: _standing(groups[key], label, told[key]) for key, label in best.items() if label is not None}


def best_of(runs: Sequence[Named], place: Place) -> str | None:
    """The highest mean over the cells all labels share, or over each label's own where they share none."""
    if shared := leader(runs, place):
        return shared[0]
    means = {}
    for label in dict.fromkeys(each.label for each in runs):
        values = [reached(each.record) for each in runs if each.label == label]
        mean, _ = mean_and_deviation([value for value in values if value is not None])
        if mean is not None:
            means[label] = mean
    return max(means, key=lambda label: means[label]) if len(means) > 1 else None


def _standing(runs: Sequence[Named], best: str, differences: Sequence[Row]) -> Standing:
    seen = [seen_from(row, best) for row in differences if best in (row["first"], row["second"])]
    against = {row["second"]: row for row in seen}
    others = [label for label in dict.fromkeys(each.label for each in runs) if label != best]
    paired = [label for label in others if label in against]
    better = [label for label in paired if is_better(against[label])]
    lower = tuple(label for label in better if not is_ahead(against[label]))
    return Standing(
        best,
        tied=tuple(label for label in paired if label not in better),
        behind=tuple(label for label in better if label not in lower),
        untested=tuple(label for label in others if label not in against),
        lower=lower,
        draws=min((against[label]["draws"] for label in lower), default=ENOUGH_DRAWS),
    )
