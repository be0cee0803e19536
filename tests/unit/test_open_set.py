"""Known and unknown told apart by the best class's probability, worked by hand."""

import numpy as np
import pytest

from cliptune.tasks.classify import Predictions
from cliptune.tasks.open_set import open_set_measures


def predictions(labels: list[int], predicted: list[int], scores: list[float]) -> Predictions:
    ranked, probabilities = np.array(predicted)[:, None], np.array(scores)[:, None]
    return Predictions(np.array(labels), ranked, probabilities, np.zeros(len(labels)))


KNOWN = predictions([0, 1, 1, 0], [0, 1, 0, 0], [0.9, 0.8, 0.7, 0.4])
UNKNOWN = predictions([-1, -1], [0, 1], [0.5, 0.3])


def test_by_hand() -> None:
    # The 5 % quantile of 0.6 … 1.0 in 21 equal steps is the second value, 0.62.
    val = predictions([0] * 21, [0] * 21, list(np.linspace(0.6, 1.0, 21)))
    found = open_set_measures(KNOWN, UNKNOWN, val)
    assert found["threshold"] == pytest.approx(0.62)
    assert found["known_accuracy"] == 2 / 4, "two right above the threshold, one wrong, one rejected"
    assert found["unknown_accuracy"] == 2 / 2
    assert found["h_score"] == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert found["auroc"] == pytest.approx(7 / 8), "seven of the eight pairs have the known image above"
    assert (found["n_known"], found["n_unknown"]) == (4, 2)


def test_without_validation_images_there_is_no_threshold() -> None:
    found = open_set_measures(KNOWN, UNKNOWN, None)
    assert found["auroc"] == pytest.approx(7 / 8)
    assert {found[key] for key in ("threshold", "known_accuracy", "unknown_accuracy", "h_score")} == {None}


def test_high_scores_of_unknown_images_count_against() -> None:
    assert open_set_measures(UNKNOWN, KNOWN, None)["auroc"] == pytest.approx(1 / 8)
