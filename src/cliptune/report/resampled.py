"""Intervals of what is no plain mean over images: a harmonic mean of two tests, a mean over classes.

The draw of training images is taken as it is. Of a harmonic mean test images are resampled within their test, with the
same seed and number of resamples as `statistics.paired_bootstrap`. Within a class of few images that would be too
narrow, and no interval at all where they agree: see `class_mean`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cliptune.statistics import RESAMPLES, SEED

Bounds = tuple[float, float]


class Resampled(NamedTuple):
    """95 % intervals, fractions."""

    after: Bounds
    difference: Bounds


def harmonic_mean(halves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Resampled:
    """Of the harmonic mean of two tests' accuracies.

    Args:
        halves: for each test, which images were right before and after: bool [n], bool [n].
    """
    generator = np.random.default_rng(SEED)
    sides = [_accuracies(before, after, generator) for before, after in halves]
    (base_before, base_after), (novel_before, novel_after) = sides
    before, after = _harmonic(base_before, novel_before), _harmonic(base_after, novel_after)
    return Resampled(_bounds(after), _bounds(after - before))


def _accuracies(before: np.ndarray, after: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of resampled images, [resamples] before and after: draws over the four cases an image can be."""
    cases = [before & after, before & ~after, ~before & after, ~before & ~after]
    shares = np.array([case.mean() for case in cases])
    drawn = generator.multinomial(len(before), shares, size=RESAMPLES) / len(before)
    return drawn[:, 0] + drawn[:, 1], drawn[:, 0] + drawn[:, 2]


def _harmonic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    both = first + second
    return np.where(both > 0, 2 * first * second / np.where(both > 0, both, 1), 0.0)


def _bounds(values: np.ndarray) -> Bounds:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def class_mean(labels: Sequence[str], before: np.ndarray, after: np.ndarray) -> Resampled:
    """Of the mean over classes of their accuracies: m ± 1.96 · √(Σ v of class / n of class) / c, c classes.

    The variances v are those after adding one right and one wrong image to every class, or, of the difference of pairs,
    half an image to each of the four cases (Agresti and Min 2005, Statistics in Medicine 24, 729–740): of few images
    that agree the variance is not nought.

    Args:
        labels: the class of each image. before, after: which images were right, bool [n].
    """
    names = np.asarray(labels)
    accuracies, changes, spread, spread_of_change = [], [], 0.0, 0.0
    for name in dict.fromkeys(labels):
        was, now = before[names == name], after[names == name]
        n, right, fixed, broken = len(now), now.sum(), (now & ~was).sum(), (was & ~now).sum()
        p, f, b = (right + 1) / (n + 2), (fixed + 0.5) / (n + 2), (broken + 0.5) / (n + 2)
        accuracies.append(right / n)
        changes.append((fixed - broken) / n)
        spread += p * (1 - p) / n
        spread_of_change += (f + b - (f - b) ** 2) / n
    return Resampled(_around(accuracies, spread, 0.0), _around(changes, spread_of_change, -1.0))


def _around(values: Sequence[float], spread: float, least: float) -> Bounds:
    middle, width = float(np.mean(values)), 1.96 * float(np.sqrt(spread)) / len(values)
    return max(least, middle - width), min(1.0, middle + width)
