"""Temperature scaling: one number that divides all logits so that confidences fit the validation images.

    T = argmin mean(−log softmax(z / T)[y])                                             Guo et al., ICML 2017

letters   z logits [n c] · y labels [n] · β = 1/T, in which the mean is convex: its slope is mean(E[z] − z_y) and its
          curvature mean(Var[z]) under softmax(βz), so Newton's method inside a bracket finds the one minimum.
It changes no answer, only how sure an answer sounds. It is never fitted to test images.
"""

from dataclasses import dataclass

import numpy as np

COLDEST, HOTTEST = 0.05, 20.0
"""temperatures beyond these are no calibration: images all right without exception want T → 0"""


@dataclass(frozen=True)
class Temperature:
    value: float
    images: int
    """validation images it was fitted to"""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature | None:
    """The temperature with the lowest mean negative log-likelihood; None where no minimum lies within the limits.

    Args:
        logits: [n c]. labels: int [n].
    """
    beta = lowest(logits.astype(np.float64) - logits.max(axis=1, keepdims=True), labels)
    return None if beta is None else Temperature(1 / beta, len(labels))


def lowest(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """The β within the limits at which the slope is zero."""
    low, high, beta = 1 / HOTTEST, 1 / COLDEST, 1.0
    if not len(labels) or slope(logits, labels, low)[0] >= 0 or slope(logits, labels, high)[0] <= 0:
        return None
    while high - low > 1e-9 * low:
        first, second = slope(logits, labels, beta)
        low, high = (low, beta) if first > 0 else (beta, high)
        step = beta - first / second if second > 0 else low
        after = step if low < step < high else (low + high) / 2
        if abs(after - beta) < 1e-9 * beta:
            return after
        beta = after
    return beta


def slope(logits: np.ndarray, labels: np.ndarray, beta: float) -> tuple[float, float]:
    """First and second derivative of the mean negative log-likelihood by β."""
    odds = np.exp(beta * logits)
    shares = odds / odds.sum(axis=1, keepdims=True)
    mean = (shares * logits).sum(axis=1)
    of_label = logits[np.arange(len(labels)), labels]
    return float((mean - of_label).mean()), float(((shares * logits**2).sum(axis=1) - mean**2).mean())
