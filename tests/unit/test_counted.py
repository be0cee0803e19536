"""Plurals and spans."""

import pytest

from cliptune.counted import span, these
from cliptune.report.captions import bars


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (these(0, "run"), "0 runs"),
        (these(1, "run"), "1 run"),
        (these(1, "class", "classes"), "1 class"),
        (these(1200, "class", "classes"), "1,200 classes"),
        (span([120, 120]), "120"),
        (span([120, 120], "image"), "120 images"),
        (span([1, 1, 1], "seed"), "1 seed"),
        (span([3, 1], "seed"), "1–3 seeds"),
        (span([7, 7], to=" to "), "7"),
        (span([7, 9], "class", "classes", to=" to "), "7 to 9 classes"),
    ],
)
def test_counts(said, expected):
    assert said == expected


def test_bars_of_one_image():
    row = {"runs": 1, "deviation": None, "interval": (0.2, 0.9), "n": 1}
    assert bars([row]).endswith("n = 1 test image.")
    assert "over 2 seeds" in bars([row | {"runs": 2, "deviation": 0.1}])
