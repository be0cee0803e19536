"""Intervals, paired tests and calibration, each one small function of numbers.

Whether a method is ahead of another is decided in one place: `mean_difference` → `judged` → `holm`
(docs/decisions/0016-ahead-over-draws.md).
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, harmonic_mean
from typing import NamedTuple

import numpy as np

LEVEL = 0.05
"""of every test, two-sided"""
ENOUGH_DRAWS = 3
"""fewer draws of training images tell nothing of other draws"""
RESAMPLES = 2000
SEED = 20_250_101
BINS = 15


def wilson(accuracy: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` images."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    centre = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(fixed: int, broken: int) -> float:
    """Exact two-sided p: were `fixed` and `broken` equally likely, how often a split at least this uneven?

    In whole numbers: 2 · Σ C(n, k) / 2ⁿ over k ≤ min(fixed, broken). `scipy.stats.binomtest` gives the same (tested),
    but importing it costs more than the whole rest of a report's arithmetic.
    """
    n = fixed + broken
    term = tail = 1
    for k in range(min(fixed, broken)):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / 2**n)


def sign_test(more: int, less: int) -> float:
    """Exact one-sided p: were both equally likely, how often is `more` at least as large as it is?

    Σ C(n, k) / 2ⁿ over k ≤ less, in whole numbers.
    """
    n = more + less
    term = tail = 1
    for k in range(less):
        term = term * (n - k) // (k + 1)
        tail += term
    return tail / 2**n


def paired_bootstrap(differences: Sequence[np.ndarray]) -> tuple[float, float]:
    """95 % interval of the mean of per-image differences.

    Args:
        differences: one array a set of test images. Images are resampled within their set; the sets' means are
            then averaged with equal weight.

    Resampling n images with repeats and taking the mean is a multinomial draw over the distinct values, so the cost
    does not grow with n.
    """
    generator = np.random.default_rng(SEED)
    means = np.zeros(RESAMPLES)
    for difference in differences:
        values, counts = np.unique(difference, return_counts=True)
        draws = generator.multinomial(len(difference), counts / len(difference), size=RESAMPLES)
        means += draws @ values / len(difference) / len(differences)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


class Drawn(NamedTuple):
    """Two methods trained on the same images: what they differ by on every test image."""

    draw: Hashable
    """which draw of training images: the seed"""
    images: Hashable
    """which test images"""
    difference: np.ndarray
    """[n] first minus second"""


@dataclass(frozen=True)
class MeanDifference:
    """The mean over cells, and how far it would move with other draws of training images and other test images."""

    mean: float
    draws: int
    differing: int
    """test images on which the two differ"""
    image_variance: float
    """of the mean with other test images, the draws as they are"""
    null_variance: float
    """the same about nought, as a test of no difference has it: few images that all agree are no proof"""
    lasting_variance: float
    """the part of it that more draws would not lessen: images on which one method is better whatever the draw"""
    draw_variance: float
    """of the mean with other draws; 0 where there is one draw"""


class Judged(NamedTuple):
    """95 % interval of a mean difference of fractions, and the two-sided p value of none."""

    interval: tuple[float, float]
    p: float


def mean_difference(cells: Sequence[Drawn]) -> MeanDifference:
    """Mean over cells with the variances of a two-way layout, draws × test images, both drawn at random.

        v = draw_variance + lasting_variance      (MS_draws + MS_images − MS_rest) / (draws · images)

    where every draw is tested on the same images once. That is the variance of multi-reader studies (Hillis 2007,
    Statistics in Medicine 26, 596–619), draws for readers. Cells of one draw (several numbers of shots) are one unit.
    """
    weight = 1 / len(cells)
    means = [float(cell.difference.mean()) for cell in cells]
    mean = sum(means) * weight
    residuals: dict[Hashable, float] = defaultdict(float)
    by_images: dict[Hashable, dict[Hashable, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for cell, value in zip(cells, means):
        residuals[cell.draw] += weight * (value - mean)
        by_images[cell.images][cell.draw].append(cell.difference)
    image_variance = null_variance = apart = one_image = 0.0
    differing = 0
    for of_draws in by_images.values():
        sums = weight * np.array(
            [found[0] if len(found) == 1 else np.sum(found, axis=0) for found in of_draws.values()]
        )
        whole, n = sums.sum(axis=0), sums.shape[1]
        null_variance += float(whole @ whole) / n**2
        if n > 1:
            image_variance += float(whole.var(ddof=1)) / n
            apart += float(sums.var(axis=1, ddof=1).sum()) / n
        one_image += (float(np.abs(whole).max()) / n) ** 2
        differing += int(np.count_nonzero(whole))
    k, lasting, drawn = len(residuals), 0.0, 0.0
    if k > 1:
        lasting = max(0.0, (image_variance - apart) * k / (k - 1))
        drawn = sum(value * value for value in residuals.values()) * k / (k - 1)
    # An interval is never narrower than one more image would make it: that of images which all agree would be nought.
    image_variance = max(image_variance, one_image)
    return MeanDifference(mean, k, differing, image_variance, max(null_variance, image_variance), lasting, drawn)


def judged(pairs: Sequence[MeanDifference], labels: int = 2) -> list[Judged]:
    """t intervals and p values of the pairs of `labels` methods that ran on the same cells.

    The spread over draws is the pair's own or the mean over all pairs, whichever is larger, with the (labels − 1) ·
    (draws − 1) degrees of freedom of that mean: two degrees, of three draws, tell hardly any pair apart, and a
    pair's own small spread would be luck. The variance is never below that of the test images alone. Fewer than
    `ENOUGH_DRAWS` draws are taken as they are: what is judged then holds for these draws.
    """
    from scipy.special import stdtr, stdtrit  # several times faster to import than scipy.stats

    enough = [pair for pair in pairs if pair.draws >= ENOUGH_DRAWS]
    pooled = float(np.mean([pair.draws * pair.draw_variance for pair in enough])) if enough else 0.0
    found = []
    for pair in pairs:
        freedom, over_draws = max(pair.differing - 1, 1), 0.0
        if pair.draws >= ENOUGH_DRAWS:
            over_draws = max(pair.draw_variance, pooled / pair.draws) + pair.lasting_variance
            freedom = min(freedom, (labels - 1) * (pair.draws - 1))
        half = float(stdtrit(freedom, 1 - LEVEL / 2)) * sqrt(max(pair.image_variance, over_draws))
        error = sqrt(max(pair.null_variance, over_draws))
        p = 2 * float(stdtr(freedom, -abs(pair.mean) / error)) if error else 1.0
        found.append(Judged((max(pair.mean - half, -1.0), min(pair.mean + half, 1.0)), p))
    return found


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values: below `LEVEL` for any true null hypothesis of the family in at most that share.

    Holm 1979, Scandinavian Journal of Statistics 6, 65–70.
    """
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; the deviation of a single value is None, not 0."""
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in (low, high]."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def calibration(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Non-empty equal-width bins of confidence."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        Bin(
            low=index / bins,
            high=(index + 1) / bins,
            n=int(inside.sum()),
            confidence=float(confidence[inside].mean()),
            accuracy=float(correct[inside].mean()),
        )
        for index in range(bins)
        if (inside := place == index).any()
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """Mean distance between confidence and accuracy, weighted by images."""
    total = sum(each.n for each in bins)
    return sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / total if total else None


def harmonic(first: float, second: float) -> float:
    """2ab / (a + b), of two accuracies; 0 where one is 0."""
    return harmonic_mean([first, second])
