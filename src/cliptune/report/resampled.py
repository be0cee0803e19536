"""Bootstrap intervals of what is no mean over images: a harmonic mean of two tests, a mean over classes.

Test images are resampled within their test, or within their class, with the same seed and number of resamples as
`statistics.paired_bootstrap`. The draw of training images is taken as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cliptune.statistics import RESAMPLES, SEED, paired_bootstrap

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
    """Of the mean over classes of their accuracies; a class with one image adds no width.

    Args:
        labels: the class of each image. before, after: which images were right, bool [n].
    """
    names = np.asarray(labels)
    rows = [np.flatnonzero(names == name) for name in dict.fromkeys(labels)]
    right, gained = after.astype(float), after.astype(float) - before.astype(float)
    return Resampled(paired_bootstrap([right[row] for row in rows]), paired_bootstrap([gained[row] for row in rows]))
