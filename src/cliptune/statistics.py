"""Intervals, paired tests and calibration, each one small function of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, harmonic_mean

import numpy as np

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


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; the deviation of a single value is None, not 0."""
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in [low, high)."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def calibration(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Non-empty equal-width bins of confidence."""
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
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
