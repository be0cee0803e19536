"""What is measured on predictions, against torchmetrics and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from cliptune.tasks.classify import Predictions, gallery, measure, to_csv

CLASSES = ("ant", "bee", "colt's foot", "F/A-18")


def drawn(n: int = 400, seed: int = 0) -> tuple[torch.Tensor, Predictions]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, len(CLASSES), generator=generator)
    labels = torch.randint(len(CLASSES), (n,), generator=generator)
    logits[torch.arange(n), labels] += 1.5
    log_probabilities = logits.log_softmax(-1)
    best = log_probabilities.topk(4)
    return logits.softmax(-1), Predictions(
        labels=labels.numpy(),
        ranked=best.indices.numpy(),
        probabilities=best.values.exp().double().numpy(),
        nll=-log_probabilities[torch.arange(n), labels].double().numpy(),
    )


def test_measures_equal_the_libraries() -> None:
    probabilities, predictions = drawn()
    labels = torch.as_tensor(predictions.labels)
    found = measure(predictions, CLASSES)
    assert found["accuracy"] == pytest.approx(float(multiclass_accuracy(probabilities, labels, 4, average="micro")))
    assert found["macro_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predictions.predicted))
    assert found["ece"] == pytest.approx(
        float(multiclass_calibration_error(probabilities, labels, 4, n_bins=15)), abs=1e-6
    )
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities.double().numpy()), abs=1e-6)
    assert sum(each["n"] for each in found["per_class"].values()) == found["n"] == 400


def test_interval_is_wilsons() -> None:
    """80 of 100 right: 71.1 to 86.7 %, worked by hand from Wilson's formula with z = 1.96."""
    predictions = Predictions(
        np.zeros(100, int), np.array([[0]] * 80 + [[1]] * 20), np.full((100, 1), 0.9), np.full(100, 0.1)
    )
    low, high = measure(predictions, ("a", "b"))["interval"]
    assert (low, high) == (pytest.approx(0.7111, abs=1e-4), pytest.approx(0.8666, abs=1e-4))


def test_a_class_without_test_images_counts_in_no_mean() -> None:
    predictions = Predictions(np.array([0, 0]), np.array([[0], [1]]), np.full((2, 1), 0.5), np.full(2, 0.7))
    found = measure(predictions, ("a", "b"))
    assert found["macro_accuracy"] == 0.5
    assert list(found["per_class"]) == ["a"]


def test_csv_keeps_odd_names_and_order() -> None:
    import csv
    import io

    _, predictions = drawn(5)
    rows = list(csv.DictReader(io.StringIO(to_csv(predictions, [f"a,{i}.png" for i in range(5)], CLASSES))))
    assert [row["path"] for row in rows] == [f"a,{i}.png" for i in range(5)]
    assert [row["label"] for row in rows] == [CLASSES[label] for label in predictions.labels]
    assert all(row["top5"].split("|")[0] == row["prediction"] for row in rows)


def test_gallery_rows_are_what_they_say() -> None:
    _, before = drawn(seed=1)
    _, after = drawn(seed=2)
    after = Predictions(before.labels, after.ranked, after.probabilities, after.nll)
    rows = gallery(before, after, most=5)
    assert all(not before.correct[row] and after.correct[row] for row in rows["fixed"])
    assert all(before.correct[row] and not after.correct[row] for row in rows["broken"])
    assert after.correct[rows["best"]].all()
    assert not after.correct[rows["worst"]].any()
    assert not set(rows["best"]) & set(rows["fixed"])
    assert not set(rows["worst"]) & set(rows["broken"])


def test_a_gallery_shows_every_class_before_one_twice() -> None:
    labels = np.array([0] * 20 + [1] * 3 + [2])
    score = np.linspace(0.99, 0.5, 24)  # class 0 is the most certain throughout
    after = Predictions(labels, labels[:, None], score[:, None], np.zeros(24))
    wrong = Predictions(labels, (labels + 1)[:, None], score[:, None], np.zeros(24))
    rows = gallery(wrong, after, most=8)
    assert labels[rows["fixed"]].tolist() == [0, 1, 2, 0, 1, 0, 1, 0]
    assert rows["fixed"][:3] == [0, 20, 23]
    assert labels[rows["best"]].tolist() == [0] * 8
    assert rows["broken"] == rows["worst"] == []
