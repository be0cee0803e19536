"""Telling images of unknown classes from those of known ones by the probability of the best class.

ODG-CLIP (Singha et al., CVPR 2024) learns a prompt for the unknown; the methods here have none, so an image is taken
for unknown where the highest class probability lies below a threshold (Hendrycks & Gimpel, ICLR 2017). The threshold
is chosen on the source domains' validation images, never on the target.
"""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from cliptune.statistics import harmonic
from cliptune.tasks.classify import Predictions

KEPT = 0.95
"""share of the validation images that the threshold takes for known"""


def open_set_measures(known: Predictions, unknown: Predictions, val: Predictions | None) -> dict[str, Any]:
    """How well known and unknown images are told apart; fractions.

    Returns:
        auroc: of the score, known against unknown, without any threshold.
        threshold, known_accuracy (right class and not rejected), unknown_accuracy (rejected), h_score (the harmonic
        mean of these two): None without validation images.
    """
    scores = np.concatenate([known.score, unknown.score])
    is_known = np.concatenate([np.ones(len(known.score)), np.zeros(len(unknown.score))])
    found: dict[str, Any] = {
        "n_known": len(known.score),
        "n_unknown": len(unknown.score),
        "auroc": float(roc_auc_score(is_known, scores)),
        **dict.fromkeys(("threshold", "known_accuracy", "unknown_accuracy", "h_score")),
    }
    if val is not None and len(val.score):
        threshold = float(np.quantile(val.score, 1 - KEPT))
        right = float((known.correct & (known.score >= threshold)).mean())
        rejected = float((unknown.score < threshold).mean())
        found |= {
            "threshold": threshold,
            "known_accuracy": right,
            "unknown_accuracy": rejected,
            "h_score": harmonic(right, rejected),
        }
    return found
