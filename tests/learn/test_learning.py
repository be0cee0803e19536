"""Methods learn: minutes, not seconds (`make slow`)."""

import dataclasses
import statistics

import pytest

from cliptune.datasets.base import ImageSet
from cliptune.datasets.mask_sets import open_masks
from cliptune.models import segmenter as segmenters
from cliptune.models.backbone import Backbone
from cliptune.pipeline import execute, prepare
from cliptune.recipe import find_method, load_tables
from tests.conftest import CLASSIFYING, SEGMENTING

pytestmark = pytest.mark.slow
LEARNERS = [name for name in CLASSIFYING if find_method(name)().phases()]
MARKERS = [name for name in SEGMENTING if find_method(name)().phases()]
SEEDS = {"lora", "lora_xs", "dora", "ast"}
"""the methods of the seed papers, which owe more"""


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_real_digits(name: str, mini: Backbone, digits: ImageSet, tmp_path) -> None:
    """16 shots: at least ten points over zero-shot; the low-rank methods and AST remove 60 % of its errors."""
    options = {"protocol.shots": 16, "evaluate.retention": "none"} | ({"rank": 16} if name == "lora_xs" else {})
    run = execute(prepare(load_tables(name), options, backbone=mini, imageset=digits), tmp_path / "run")
    before, after = run.metrics["zero_shot"]["accuracy"], run.metrics["test"]["accuracy"]
    print(f"{name}: {100 * before:.1f} → {100 * after:.1f}")
    assert after - before >= 0.10
    if name in SEEDS:
        assert (after - before) / (1 - before) >= 0.60


@pytest.mark.parametrize("name", MARKERS)
def test_learns_to_mark_letters_and_digits(name: str, tmp_path) -> None:
    """Half of the small preset's passes: at least three points of Dice over the untouched segmenter.

    With all passes every method gains 6.8 points or more, 95 % intervals from 2.4 on (docs/results-segmentation.md).
    """
    options = {"train.epochs": 4, "evaluate.retention": "none"} | ({"rank": 16} if name == "lora_xs" else {})
    tables = {**load_tables(name), "segment": {}}
    glyphs, segmenter = open_masks("world/glyphs"), segmenters.load("mini")
    run = execute(prepare(tables, options, "small", backbone=segmenter, imageset=glyphs), tmp_path / "run")
    before, after = run.metrics["zero_shot"]["dice"], run.metrics["test"]["dice"]
    print(f"{name}: {100 * before:.1f} → {100 * after:.1f}")
    assert after - before >= 0.03


def test_the_shipped_mini_clip_reads_digits_it_never_saw(mini: Backbone, digits: ImageSet, tmp_path) -> None:
    everything = dataclasses.replace(digits, test=digits.train + digits.val + digits.test)
    options = {"evaluate.retention": "none"}
    run = execute(prepare(load_tables("zero_shot"), options, backbone=mini, imageset=everything), tmp_path / "run")
    assert run.metrics["test"]["n"] == 1797
    assert run.metrics["test"]["accuracy"] >= 0.55


@pytest.mark.parametrize("update", ["beside", "merged"])
def test_bfloat16_learns_as_well_as_float32(update: str, mini: Backbone, digits: ImageSet, tmp_path) -> None:
    """DoRA at 16 shots on the same three episodes: the mean changes by less than the seeds' own spread.

    `merged` rounds W' to bfloat16 at every step, so it also asks whether small late updates survive that.
    """
    found: dict[str, list[float]] = {}
    for dtype in ("float32", "bfloat16"):
        for seed in (1, 2, 3):
            options = {
                "protocol.shots": 16,
                "protocol.seed": seed,
                "evaluate.retention": "none",
                "train.dtype": dtype,
                "shortcuts.update": update if dtype == "bfloat16" else "auto",
                "dropout": 0.0,
            }
            plan = prepare(load_tables("dora"), options, backbone=mini, imageset=digits)
            run = execute(plan, tmp_path / f"{dtype}-{seed}")
            found.setdefault(dtype, []).append(run.metrics["test"]["accuracy"])
    exact, rounded = found["float32"], found["bfloat16"]
    print(f"{update}: float32 {exact}, bfloat16 {rounded}")
    assert abs(statistics.mean(exact) - statistics.mean(rounded)) <= max(0.01, statistics.stdev(exact))
