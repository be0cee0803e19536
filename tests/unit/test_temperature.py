"""The temperature that fits validation images, against a brute-force grid."""

import numpy as np
import pytest
import torch

from cliptune.statistics import calibration, expected_calibration_error
from cliptune.tasks.classify import Predictions, Tempered, measure, remembering
from cliptune.tasks.temperature import COLDEST, HOTTEST, Temperature, fit_temperature


def drawn(truth: float, n: int = 500, classes: int = 7, scale: float = 3.0, seed: int = 0):
    """Logits whose labels are drawn from softmax(logits / truth)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, scale, (n, classes)).astype(np.float32)
    odds = np.exp(logits / truth)
    labels = np.array([draw.choice(classes, p=row / row.sum()) for row in odds])
    return logits, labels


def nll(logits, labels, temperature):
    return float(torch.nn.functional.cross_entropy(torch.tensor(logits).double() / temperature, torch.tensor(labels)))


@pytest.mark.parametrize(("truth", "scale"), [(0.3, 3.0), (1.0, 3.0), (2.5, 3.0), (6.0, 40.0)])
def test_is_the_grids_lowest(truth, scale):
    logits, labels = drawn(truth, scale=scale)
    found = fit_temperature(logits, labels)
    grid = np.geomspace(COLDEST, HOTTEST, 2000)
    best = grid[np.argmin([nll(logits, labels, each) for each in grid])]
    assert found is not None
    assert found.value == pytest.approx(best, rel=0.004)
    assert found.images == 500
    assert nll(logits, labels, found.value) <= min(nll(logits, labels, each) for each in grid) + 1e-12
    assert found.value == pytest.approx(truth, rel=0.2)


def test_without_a_minimum_there_is_none():
    logits = np.eye(4, dtype=np.float32)
    assert fit_temperature(logits, np.arange(4)) is None  # all right: colder is better without end
    assert fit_temperature(logits, np.array([1, 2, 3, 0])) is None  # all wrong: hotter is better without end
    assert fit_temperature(np.zeros((3, 2), np.float32), np.array([0, 1, 0])) is None
    assert fit_temperature(np.zeros((0, 2), np.float32), np.zeros(0, int)) is None


def test_measures_at_the_temperature():
    score, right = np.array([0.9, 0.6]), np.array([True, False])
    tempered = Tempered(Temperature(2.0, 40), np.array([0.7, 0.55]), np.array([0.4, 1.2]))
    predictions = Predictions(np.array([0, 0]), np.array([[0], [1]]), score[:, None], np.array([0.1, 1.0]), tempered)
    found = measure(predictions, ("a", "b"))["calibrated"]
    expected = expected_calibration_error(calibration(tempered.score, right))
    assert found == {"temperature": 2.0, "n": 40, "nll": pytest.approx(0.8), "ece": expected}


def test_remembering_changes_nothing():
    kept: list[torch.Tensor] = []
    step = remembering(lambda given: 2 * given, kept, torch.float16)
    assert torch.equal(step(torch.ones(2)), torch.full((2,), 2.0))
    assert kept[0].dtype == torch.float16
