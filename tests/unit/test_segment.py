"""Dice, IoU, cross-entropy and the loss against values worked by hand; what is measured on answers."""

import csv
import io
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional import jaccard_index
from torchmetrics.functional.classification import binary_f1_score

from cliptune.tasks.segment import (
    Answers,
    bce_losses,
    contrasting,
    dice_losses,
    dice_of,
    enlarged,
    gallery,
    iou_of,
    losses,
    marked,
    measure,
    overlay,
    to_csv,
)

EMPTY, FULL = np.zeros((2, 3), bool), np.ones((2, 3), bool)
LEFT = np.array([[1, 1, 0], [1, 1, 0]], bool)
MIDDLE = np.array([[0, 1, 0], [0, 1, 0]], bool)


@pytest.mark.parametrize(
    ("found", "truth", "dice", "iou"),
    [
        (EMPTY, EMPTY, 1, 1),
        (EMPTY, MIDDLE, 0, 0),
        (MIDDLE, EMPTY, 0, 0),
        (LEFT, MIDDLE, 2 * 2 / (4 + 2), 2 / 4),
        (FULL, LEFT, 2 * 4 / (6 + 4), 4 / 6),
        (LEFT, LEFT, 1, 1),
        (LEFT, ~LEFT, 0, 0),
    ],
)
def test_dice_and_iou_by_hand(found: np.ndarray, truth: np.ndarray, dice: float, iou: float) -> None:
    assert dice_of(found, truth) == pytest.approx(dice)
    assert iou_of(found, truth) == pytest.approx(iou)


def test_dice_and_iou_are_torchmetrics_on_noise() -> None:
    stream = np.random.default_rng(0)
    for _ in range(5):
        found, truth = stream.random((2, 20, 30)) > 0.6
        both = torch.from_numpy(found).int(), torch.from_numpy(truth).int()
        assert dice_of(found, truth) == pytest.approx(float(binary_f1_score(*both)), abs=1e-6)
        assert iou_of(found, truth) == pytest.approx(float(jaccard_index(*both, task="binary")), abs=1e-6)


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3)], [-math.log(3), 0.0]]])  # probabilities 0.5, 0.75, 0.25, 0.5
    masks = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    dice = 1 - 2 * 1.25 / (2 + 2)
    bce = -(math.log(0.5) + math.log(0.75) + math.log(0.75) + math.log(0.5)) / 4
    assert float(dice_losses(logits, masks)) == pytest.approx(dice, abs=1e-5)
    assert float(bce_losses(logits, masks)) == pytest.approx(bce, abs=1e-6)
    both = losses(logits, masks, 0.2)
    assert float(both["dice"]) == pytest.approx(dice, abs=1e-5)
    assert float(both["bce"]) == pytest.approx(0.2 * bce, abs=1e-6)
    assert losses(logits, masks, 0.0).keys() == {"dice"}, "the published training had no cross-entropy"


def test_the_loss_of_an_empty_mask_is_finite_and_falls_when_less_is_marked() -> None:
    masks = torch.zeros(1, 4, 4)
    high, low = (float(sum(losses(torch.full((1, 4, 4), value), masks, 0.2).values())) for value in (3.0, -3.0))
    assert math.isfinite(high)
    assert low < high
    # Nothing marked at all: ε / ε.
    assert float(dice_losses(torch.full((1, 4, 4), -60.0), masks)) == pytest.approx(0, abs=1e-6)


def test_logits_are_enlarged_before_the_loss_and_the_threshold() -> None:
    logits = torch.tensor([[[-2.0, 2.0], [-2.0, 2.0]]])
    assert enlarged(logits, (4, 4)).shape == (1, 4, 4)
    expected = F.interpolate(logits[:, None], size=(4, 4), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(enlarged(logits, (4, 4)), expected)
    assert marked(logits, (4, 4), 0.5)[0].tolist() == [[False, False, True, True]] * 4
    assert marked(logits, (2, 2), 0.9)[0].tolist() == [[False, False]] * 2, "σ(2) = 0.88"


def answers(dice: list[float], truth: list[int], found: list[int]) -> Answers:
    n = len(dice)
    sizes = np.full((n, 2), 10)
    scores = np.array(dice)
    return Answers(scores, scores / 2, scores, np.array(truth), np.array(found), sizes, tuple("abcdef"[:n]))


def test_what_is_measured() -> None:
    given = answers([1.0, 0.0, 0.5, 0.9], truth=[0, 0, 4, 60], found=[0, 7, 5, 66])
    told = measure(given, ["x", "y", "x", ""], 0.5)
    assert told["dice"] == pytest.approx(0.6)
    assert told["iou"] == pytest.approx(0.3)
    assert told["n"] == 4
    assert told["interval"][0] < 0.6 < told["interval"][1]
    assert told["empty"] == {"n": 2, "right": 1}
    assert {name: each["n"] for name, each in told["per_size"].items()} == {"nothing": 2, "small": 1, "large": 1}
    assert told["per_size"]["nothing"]["dice"] == pytest.approx(0.5)
    assert told["per_group"] == {
        "x": {"n": 2, "dice": pytest.approx(0.75), "iou": pytest.approx(0.375)},
        "y": {"n": 1, "dice": 0, "iou": 0},
    }


def test_the_gallery_shows_both_ends_and_both_changes() -> None:
    before = answers([0.5, 0.5, 0.5, 1.0], truth=[5, 5, 5, 0], found=[5, 5, 5, 0])
    after = answers([0.9, 0.1, 0.5, 1.0], truth=[5, 5, 5, 0], found=[5, 5, 5, 0])
    assert gallery(before, after) == {"best": [0, 2, 1], "worst": [1, 2, 0, 3], "improved": [0], "worsened": [1]}


def test_the_table_of_images() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(answers([0.25], [3], [4]), ["images/a, b.png"], ["g"]))))
    assert rows == [
        {
            "path": "images/a, b.png",
            "prompt": "a",
            "group": "g",
            "dice": "0.250000",
            "iou": "0.125000",
            "truth": "3",
            "found": "4",
            "height": "10",
            "width": "10",
        }
    ]


def test_an_overlay_fills_what_was_found_and_outlines_the_truth() -> None:
    image = np.full((30, 30, 3), 100, np.uint8)
    found, truth = np.zeros((30, 30)), np.zeros((30, 30))
    found[2:9, 2:9], truth[14:26, 14:26] = 1, 1
    shown = overlay(image, found, truth, width=2)
    fill = contrasting(image)
    assert shown[5, 5].tolist() == [round((100 + part) / 2) for part in fill], "half the image, half the fill"
    assert shown[3, 5].tolist() == list(fill), "the edge in full colour"
    assert shown[1, 5].tolist() == [20, 20, 20], "and dark outside"
    assert shown[15, 20].tolist() == [255, 255, 255]
    assert shown[12, 20].tolist() == [20, 20, 20]
    assert shown[20, 20].tolist() == [100, 100, 100], "inside of the line"
    assert shown[29, 0].tolist() == [100, 100, 100]
    assert image[5, 5].tolist() == [100, 100, 100], "the image itself stays"
    assert (overlay(image, np.zeros((30, 30)), None) == image).all()


@pytest.mark.parametrize(
    "tissue",
    [
        [(200, 80, 60), (230, 190, 90), (255, 250, 240)],  # mucosa, its yellow, and glare
        [(60, 140, 220), (20, 60, 160), (210, 235, 250)],  # sea and sky
        [(0, 0, 0), (90, 90, 90), (255, 255, 255)],  # X-rays
        [(150, 60, 140), (235, 200, 225), (70, 30, 90)],  # stained cells
        [(30, 110, 40), (120, 170, 60), (90, 70, 40)],  # leaves and earth
    ],
)
def test_an_overlay_is_told_apart_on_any_ground(tissue: list[tuple[int, int, int]]) -> None:
    image = np.array(tissue, np.uint8)[np.arange(60)[:, None] // 3 % 3 + 0 * np.arange(60)]
    inside = np.zeros((60, 60), bool)
    inside[15:45, 15:45] = True
    shown = overlay(image, inside, None, width=2)
    tinted, ground = shown[20:40, 20:40].reshape(-1, 1, 3).astype(float), np.array(tissue, float)[None]
    # A difference is just noticed at 2.3 where 100 lie between black and white (CIE 1976); 442 do here, so at about 10.
    assert np.linalg.norm(tinted - ground, axis=2).min() > 60
    blind = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])  # red and green are not told apart
    assert np.linalg.norm((tinted - ground) @ blind, axis=2).min() > 40
