"""Methods learn: minutes, not seconds (`make slow`)."""

import dataclasses

import pytest

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet
from cliptune.methods import METHODS
from cliptune.models.backbone import Backbone
from cliptune.pipeline import execute, prepare
from cliptune.recipe import find_method, load_tables

pytestmark = pytest.mark.slow
LEARNERS = [name for name in METHODS if find_method(name)().phases()]


@pytest.fixture(scope="module")
def colours() -> ImageSet:
    drawn = open_set("world/colours")
    return dataclasses.replace(drawn, test=drawn.test[:480])


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_the_drawn_world(name: str, mini: Backbone, colours: ImageSet, tmp_path) -> None:
    """Colours, which the mini CLIP names badly: at least ten points on 16 shots."""
    options = {"protocol.shots": 16, "evaluate.retention": "none"} | ({"rank": 16} if name == "lora_xs" else {})
    run = execute(prepare(load_tables(name), options, backbone=mini, imageset=colours), tmp_path / "run")
    before, after = run.metrics["zero_shot"]["accuracy"], run.metrics["test"]["accuracy"]
    print(f"{name}: {100 * before:.1f} → {100 * after:.1f}")
    assert after - before >= 0.10


@pytest.mark.parametrize("name", ["lora", "lora_xs", "dora", "ast"])
def test_removes_most_of_zero_shots_errors_on_digits(name: str, mini: Backbone, digits: ImageSet, tmp_path) -> None:
    """16 shots remove at least 60 % of zero-shot's errors on real handwritten digits."""
    options = {"protocol.shots": 16, "evaluate.retention": "none"} | ({"rank": 16} if name == "lora_xs" else {})
    run = execute(prepare(load_tables(name), options, backbone=mini, imageset=digits), tmp_path / "run")
    before, after = run.metrics["zero_shot"]["accuracy"], run.metrics["test"]["accuracy"]
    print(f"{name}: {100 * before:.1f} → {100 * after:.1f}")
    assert (after - before) / (1 - before) >= 0.60


def test_the_shipped_mini_clip_reads_digits_it_never_saw(mini: Backbone, digits: ImageSet, tmp_path) -> None:
    everything = dataclasses.replace(digits, test=digits.train + digits.val + digits.test)
    options = {"evaluate.retention": "none"}
    run = execute(prepare(load_tables("zero_shot"), options, backbone=mini, imageset=everything), tmp_path / "run")
    assert run.metrics["test"]["n"] == 1797
    assert run.metrics["test"]["accuracy"] >= 0.55
