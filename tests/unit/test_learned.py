"""A run that has not learned says so: by its loss, and beside the backbone and a linear probe on its own images."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import RidgeClassifier
from torch.nn import functional

from cliptune.datasets.base import ImageSet
from cliptune.methods.base import Features
from cliptune.models.backbone import Backbone
from cliptune.pipeline import execute
from cliptune.report import one_run
from cliptune.report.read import read_record
from cliptune.training.learned import Advice, beside, fall, losses, remarks, ridge_probe
from tests.conftest import plan_for, small_method
from tests.unit.report_runs import write_run

ADVICE = Advice("longer", "slower")


class TestLoss:
    @pytest.mark.parametrize(
        ("values", "classes", "hardly"),
        [
            ([4.68] + [4.11] * 59, 101, True),  # LoRA on 101 classes after 60 steps: 6 %, a linear probe 23 %
            ([4.68] + [3.57] * 149, 101, False),  # after 150 steps
            ([2.10] + [2.10] * 59, 200, False),  # it knew the classes before
            ([9.0] + [2.31] * 59, 10, True),  # from surely wrong to guessing
            ([0.85] + [2.35] * 59, 10, True),  # a rate that destroys what was known
            ([0.85] + [0.80] * 59, 10, False),
            ([2.0], 10, True),  # a single step has changed nothing yet
        ],
    )
    def test_threshold(self, values: list[float], classes: int, hardly: bool) -> None:
        found = fall(values, classes)
        assert found["hardly_fallen"] is hardly
        assert found["first"] == values[0]
        assert found["guessing"] == math.log(classes)

    def test_only_the_last_phases_cross_entropy_counts(self, tmp_path: Path) -> None:
        def step(phase: str, ce: float) -> str:
            return json.dumps({"event": "step", "phase": phase, "loss": 9.0, "parts": {"ce": ce, "scl_text": 5.0}})

        events = [step("probe", 3.0), json.dumps({"event": "phaseended"}), step("tune", 2.0), step("tune", 1.0)]
        (tmp_path / "metrics.jsonl").write_text("\n".join(events), "utf-8")
        assert losses(tmp_path / "metrics.jsonl") == [2.0, 1.0]


class TestProbe:
    def test_it_is_scikit_learns_ridge_at_its_best_strength(self) -> None:
        generator = torch.Generator().manual_seed(5)
        labels = torch.arange(60) % 4
        rows = torch.randn(60, 12, generator=generator) + 1.5 * functional.one_hot(labels, 12)
        train, val = Features(rows[:40], labels[:40]), Features(rows[40:], labels[40:])
        found = ridge_probe(train, val)
        x, z = (functional.normalize(part.features.double(), dim=-1).numpy() for part in (train, val))
        spread = float(((x - x.mean(0)) ** 2).sum(1).mean())
        best = max(
            RidgeClassifier(alpha=strength * spread * 40).fit(x, train.labels).score(z, val.labels)
            for strength in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
        )
        # scikit-learn leaves the intercept out of the penalty, which moves an answer or two of twenty
        assert found.mean() == pytest.approx(best, abs=0.1)
        assert found.mean() > 0.5

    def test_classes_that_are_not_in_training_are_wrong(self) -> None:
        rows = torch.eye(4)
        found = ridge_probe(Features(rows[:2], torch.tensor([0, 1])), Features(rows, torch.tensor([0, 1, 2, 3])))
        assert not found[2:].any()


class TestBeside:
    def test_chance_is_the_exact_sign_test(self) -> None:
        after, other = np.array([1, 1, 0, 0, 0, 0], bool), np.array([1, 0, 1, 1, 1, 1], bool)
        found = beside(after, {"zero_shot": other})
        assert found["n"] == 6
        assert found["zero_shot"] == {"accuracy": pytest.approx(5 / 6), "chance": pytest.approx(6 / 32)}

    def test_many_images_are_no_matter(self) -> None:
        """24,000 images that only one tells rightly, beside scipy's tail of the binomial distribution."""
        right = np.arange(24_000) < 11_800
        found = beside(right, {"zero_shot": ~right})["zero_shot"]["chance"]
        assert found == pytest.approx(float(stats.binom.sf(12_199, 24_000, 0.5)), rel=1e-9)

    def test_equal_answers_are_chance(self) -> None:
        same = np.ones(5, dtype=bool)
        assert beside(same, {"zero_shot": same})["zero_shot"]["chance"] == 1

    @pytest.mark.parametrize(
        ("accuracy", "chance", "fix"), [(0.5, 0.01, "slower"), (0.5, 0.2, ""), (0.7, 0.01, None), (0.6, 0.9, None)]
    )
    def test_only_what_is_below_is_noted(self, accuracy: float, chance: float, fix: str | None) -> None:
        told = {"validation": {"n": 40, "accuracy": accuracy, "zero_shot": {"accuracy": 0.6, "chance": chance}}}
        found = remarks(told, ADVICE)
        assert [each["fix"] for each in found] == ([] if fix is None else [fix])
        if found:
            assert "its own 40 validation images" in found[0]["what"]
            assert "50.0 against 60.0 %" in found[0]["what"]
            assert ("chance" in found[0]["what"]) == (fix == "")

    def test_dice_is_compared_too(self) -> None:
        [found] = remarks({"validation": {"n": 9, "dice": 0.2, "zero_shot": {"dice": 0.4}}}, ADVICE)
        assert "20.0 against 40.0 %" in found["what"]


def run_of(mini: Backbone, imageset: ImageSet, folder: Path, name: str = "lora", **options: object) -> dict:
    plan = plan_for(mini, imageset, small_method(name), protocol__shots=4, **options)
    return execute(plan, folder).record


def test_a_rate_that_destroys_is_noted_in_the_record_and_on_the_page(
    mini: Backbone, few_digits: ImageSet, tmp_path: Path
) -> None:
    record = run_of(mini, few_digits, tmp_path / "run", train__steps=20, train__lr=0.2)
    told = record["learning"]
    assert told["loss"]["hardly_fallen"]
    assert told["validation"]["n"] == record["data"]["val"] == 40
    assert told["validation"]["accuracy"] == record["metrics"]["validation"]["accuracy"]
    assert told["validation"]["zero_shot"]["accuracy"] == record["metrics"]["validation_zero_shot"]["accuracy"]
    assert len(told["remarks"]) == 3
    assert {each["fix"] for each in told["remarks"]} == {"lower the learning rate: --set train.lr=0.05"}
    sentences = " ".join(one_run.page_of(read_record(tmp_path / "run")).verdict.sentences)
    assert "the training loss has risen" in sentences
    assert sentences.count("--set train.lr=0.05") == 1


def test_a_run_that_learns_notes_nothing(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    told = run_of(mini, few_digits, tmp_path / "run", train__steps=60, train__lr=1e-2)["learning"]
    assert not told["loss"]["hardly_fallen"]
    assert [each for each in told["remarks"] if each["fix"]] == []


def test_a_probe_is_not_compared_with_itself_and_zero_shot_with_nothing(
    mini: Backbone, few_digits: ImageSet, tmp_path: Path
) -> None:
    probe = run_of(mini, few_digits, tmp_path / "probe", "linear_probe")["learning"]
    assert set(probe["validation"]) == {"n", "accuracy", "zero_shot"}
    assert "loss" not in probe
    assert "learning" not in run_of(mini, few_digits, tmp_path / "zero", "zero_shot")


def test_a_run_without_validation_images_has_its_loss_alone(mini: Backbone, digits: ImageSet, tmp_path: Path) -> None:
    told = run_of(mini, replace(digits, val=(), test=digits.test[:50]), tmp_path / "run")["learning"]
    assert set(told) == {"loss", "remarks"}


def test_a_record_of_an_earlier_version_has_no_notes(tmp_path: Path) -> None:
    sentences = one_run.page_of(read_record(write_run(tmp_path / "run"))).verdict.sentences
    assert not any(sentence.startswith(("Note:", "To try:")) for sentence in sentences)
