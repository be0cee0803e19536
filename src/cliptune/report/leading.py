"""Which number a run's page, its verdict and the terminal begin with, and what guessing would reach.

    base and novel tested        their harmonic mean, the protocol's measure
    unequal classes in the test  the mean over classes: the largest has more than `UNEQUAL` times the smallest's images
    else                         accuracy

Accuracy always stands beside it. Chance is 1 / c for c classes, for the mean over classes as for the accuracy of
somebody who guesses all classes alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from cliptune.counted import span
from cliptune.report import words
from cliptune.report.read import Measure, Record, RunFolder
from cliptune.statistics import harmonic

UNEQUAL = 1.5
HALVES = ("base", "novel")

Kind = Literal["accuracy", "class mean", "harmonic mean"]
TITLES: Mapping[Kind, str] = {
    "accuracy": "accuracy",
    "class mean": "mean over classes",
    "harmonic mean": "harmonic mean of base and novel",
}


@dataclass(frozen=True)
class Leading:
    """The number that leads, after and zero-shot, fractions; None where it was not measured."""

    kind: Kind
    after: float | None
    before: float | None
    chance: float | None

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def gain(self) -> float | None:
        return None if self.after is None or self.before is None else self.after - self.before


def leading(record: Record) -> Leading:
    """The number that leads a run."""
    after, before = record.after(), record.before()
    both = record.harmonic_mean()
    if both[0] is not None:
        return Leading("harmonic mean", *both, _chance_of_halves(record))
    chance = chance_of(record)
    if after is not None and is_unequal(after):
        means = [words.number(side.extra.get("macro_accuracy")) if side else None for side in (after, before)]
        if means[0] is not None:
            return Leading("class mean", means[0], means[1], chance)
    return Leading("accuracy", after.accuracy if after else None, before.accuracy if before else None, chance)


class Scores(NamedTuple):
    """A run on every test image that its leading number is made of."""

    paths: tuple[str, ...]
    values: np.ndarray
    """[n] whose mean is the leading number"""
    right: np.ndarray
    """[n] from 0 to 1: how right the answer is"""


def reached(run: RunFolder) -> float | None:
    """The number that leads a run of any task; None where it was not measured."""
    return leading(run).after if isinstance(run, Record) else run.reached


def scores(run: RunFolder, untouched: bool = False) -> Scores | None:
    """By test image what a run's leading number is the mean of; None where its predictions are missing.

    accuracy       1 where the answer is right
    class mean     n / (c · n of the image's class) where it is right                  c classes, n test images
    harmonic mean  H = 2 b v / (b + v) of base b and novel v. H = b ∂H/∂b + v ∂H/∂v, so an image of base that is right
                   has ∂H/∂b · n / n of base, ∂H/∂b = 2 v² / (b + v)², one of novel likewise: the mean is H, and how it
                   moves with the test images is right to first order (the delta method)

    Args:
        untouched: of the backbone before adapting.
    """
    kind = leading(run).kind if isinstance(run, Record) else "accuracy"
    if isinstance(run, Record) and kind == "harmonic mean":
        return _scores_of_halves(run, untouched)
    predictions = run.zero_shot_predictions if untouched else run.predictions
    if predictions is None:
        return None
    right = predictions.by_image
    if kind == "accuracy":
        return Scores(predictions.paths, right, right)
    names, places, sizes = np.unique(np.asarray(predictions.truths), return_inverse=True, return_counts=True)
    return Scores(predictions.paths, right * len(right) / (len(names) * sizes[places]), right)


def _scores_of_halves(run: Record, untouched: bool) -> Scores | None:
    base, novel = (run.predictions_of(half)[int(untouched)] for half in HALVES)
    if base is None or novel is None or not len(base) or not len(novel):
        return None
    b, v, n = base.by_image.mean(), novel.by_image.mean(), len(base) + len(novel)
    both = max(b + v, np.finfo(float).tiny)
    values = [
        2 * (v / both) ** 2 * base.by_image * n / len(base),
        2 * (b / both) ** 2 * novel.by_image * n / len(novel),
    ]
    paths = (*(f"base/{path}" for path in base.paths), *(f"novel/{path}" for path in novel.paths))
    return Scores(paths, np.concatenate(values), np.concatenate([base.by_image, novel.by_image]))


def leading_of(run: Mapping[str, Any]) -> Leading | None:
    """What leads a run, by its run.json alone, where that is not the measure of its tests itself; else None."""
    if run.get("task") == "segment":
        return None
    lead = leading(Record(Path(), run))
    return None if lead.kind == "accuracy" or lead.after is None else lead


def lost(gains: Mapping[str, float | None]) -> list[str]:
    """'novel classes lost 3.2 points', of base and novel what fell.

    Args:
        gains: by test, fractions.
    """
    fallen = [(half, gain) for half in HALVES if (gain := gains.get(half)) is not None and gain < 0]
    return [f"{half} classes lost {-100 * gain:.1f} points" for half, gain in fallen]


def class_sizes(measure: Measure) -> dict[str, int]:
    """Test images by class, of those that have some; empty where the run does not tell."""
    listed = measure.extra.get("per_class")
    if not isinstance(listed, Mapping):
        return {}
    sizes = {
        str(name): words.number(of_class.get("n")) for name, of_class in listed.items() if isinstance(of_class, Mapping)
    }
    return {name: int(n) for name, n in sizes.items() if n}


def is_unequal(measure: Measure) -> bool:
    """Whether a test's classes differ so much in size that accuracy is mostly about the large ones."""
    sizes = class_sizes(measure).values()
    return len(sizes) > 1 and max(sizes) > UNEQUAL * min(sizes)


def told_unequal(measure: Measure) -> str:
    """Why the mean over classes leads, in words."""
    sizes = class_sizes(measure)
    largest = max(sizes, key=lambda name: sizes[name])
    share = sizes[largest] / sum(sizes.values())
    return (
        f"The test's classes are unequal ({span(sizes.values(), 'image', to=' to ')} a class), so the mean over "
        f"classes leads: every class counts alike. Always answering '{words.short(largest, 40)}' would give an "
        f"accuracy of {words.percent(share)}."
    )


def chance_of(record: Record, test: str | None = None) -> float | None:
    """What guessing reaches on a named test, by default the main one; None where its classes are not told."""
    test = test or record.main
    tested = record.section("tests").get(test or "")
    classes = words.number(tested.get("classes")) if isinstance(tested, Mapping) else None
    if classes is None and test == record.main:
        classes = len(record.classes)
    return 1 / classes if classes else None


def _chance_of_halves(record: Record) -> float | None:
    base, novel = (chance_of(record, half) for half in HALVES)
    return None if base is None or novel is None else harmonic(base, novel)


def beside_chance(measure: Measure | None, chance: float | None) -> str:
    """'below chance' or 'at chance', where the 95 % interval does not lie above it; else empty.

    Of a test with unequal classes the mean over classes counts where it is known, with the accuracy's interval: an
    accuracy above chance is no knowledge where one class is most of the test.
    """
    if measure is None or chance is None or measure.interval is None:
        return ""
    value = measure.accuracy
    mean = words.number(measure.extra.get("macro_accuracy"))
    if mean is not None and is_unequal(measure):
        value = min(value, mean)
    low, high = (end + value - measure.accuracy for end in measure.interval)
    if high < chance:
        return "below chance"
    return "at chance" if low <= chance else ""
