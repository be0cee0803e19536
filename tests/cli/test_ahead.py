"""Before a long run begins: how long it takes, what takes less, and whose model it is."""

import re
from pathlib import Path

import pytest

from cliptune.cli import ahead
from cliptune.models.backbone import Backbone
from cliptune.studies import estimate
from tests.command import QUICK, Cliptune
from tests.conftest import plan_for, small_method

LAPTOP = 1e11
"""operations a second: about what two laptop cores do of float32 products"""


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of known speed."""
    monkeypatch.setattr(estimate, "_rate", lambda device, dtype="float32": LAPTOP)


@pytest.mark.usefixtures("laptop")
def test_hours_are_told_before_they_pass_and_what_is_shorter(base16: Backbone, few_digits, capsys) -> None:
    plan = plan_for(base16, few_digits, small_method("dora"), train__steps=2000)
    ahead.say_time(plan)
    told = capsys.readouterr().out
    hours = int(re.search(r"about (\d+) h", told)[1])
    # 2,000 steps × 32 images × 197 tokens × 12 blocks × 24 d² of forward, twice; × 1.6 for what is no product
    assert hours == pytest.approx(1.6 * 2000 * 2 * 32 * 197 * 12 * 24 * 768**2 / LAPTOP / 3600, rel=0.1)
    assert "2,000 steps" in told
    assert "first linear_probe in place of dora: about" in told
    steps = int(re.search(r"--set train.steps=(\d+)", told)[1])
    assert estimate.of_plan(plan_for(base16, few_digits, small_method("dora"), train__steps=steps)).seconds <= 1800


@pytest.mark.usefixtures("laptop")
def test_several_seeds_are_counted(base16: Backbone, few_digits, capsys) -> None:
    plan = plan_for(base16, few_digits, small_method("dora"), train__steps=2)
    ahead.say_time(plan)
    assert capsys.readouterr().out == ""
    ahead.say_time(plan, runs=10)
    told = capsys.readouterr().out
    assert "10 runs of" in told
    assert all(way.endswith(" a run") for way in told.partition("shorter: ")[2].strip().split("; ") if way)
    ahead.say_time(plan_for(base16, few_digits, small_method("dora"), train__steps=2000), runs=2)
    assert "about 30 min 0 s a run" in capsys.readouterr().out


@pytest.mark.usefixtures("laptop")
def test_a_run_of_a_minute_is_not_remarked_on(mini: Backbone, few_digits, capsys) -> None:
    ahead.say_time(plan_for(mini, few_digits, small_method("dora"), train__steps=60))
    assert capsys.readouterr().out == ""


def test_own_images_without_a_model_are_told_which_one_is_used(photos: Path, cliptune: Cliptune) -> None:
    for verb in ("check", "train"):
        said = cliptune(verb, "lora", "--data", photos, *QUICK).done()
        assert "no --model: the embedded mini CLIP is used, which learned from drawn shapes at 32 pixels" in said.out
        assert "--model vit-b-16" in said.out


@pytest.mark.usefixtures("few")
def test_nothing_is_said_of_a_model_that_was_named_or_of_data_that_ship(photos: Path, cliptune: Cliptune) -> None:
    assert "no --model" not in cliptune("train", "lora", "--data", photos, "--model", "mini", *QUICK).done().out
    assert "no --model" not in cliptune("train", "lora", "--data", "digits", *QUICK).done().out
