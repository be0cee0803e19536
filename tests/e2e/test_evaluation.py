"""What a run keeps besides accuracies: a temperature from the validation images, and image features."""

import csv

import pytest
import torch

import cliptune
from cliptune.evaluation import Evaluation
from cliptune.files import read_tensors
from cliptune.pipeline import execute, prepare
from cliptune.recipe import load_tables

QUICK = {"train.steps": 4, "evaluate.retention": "none"}


def test_temperature_and_features(few: None) -> None:
    settings = QUICK | {"evaluate.features": True}
    run = cliptune.train("mini", "digits", "lora", shots=4, out="run", settings=settings, device="cpu")
    for name in ("test", "zero_shot"):
        found = run.metrics[name]["calibrated"]
        assert found["n"] == run.record["data"]["val"]
        assert found["temperature"] > 0
        assert found["nll"] != run.metrics[name]["nll"]
    features = read_tensors(run.folder / "features.safetensors")
    with (run.folder / "predictions.csv").open(newline="") as file:
        images = len(list(csv.DictReader(file)))
    for name in ("before", "after"):
        assert features[name].shape == (images, 128)
        assert features[name].dtype == torch.float16
        assert features[name].float().norm(dim=-1).numpy() == pytest.approx(1, abs=2e-3)
    assert not torch.equal(features["before"], features["after"])


def test_a_method_that_leaves_images_alone_keeps_both(few: None) -> None:
    settings = {"evaluate.retention": "none", "evaluate.features": True}
    run = cliptune.train("mini", "digits", "linear_probe", shots=2, out="run", settings=settings, device="cpu")
    features = read_tensors(run.folder / "features.safetensors")
    assert torch.allclose(features["before"].float(), features["after"].float(), atol=1e-3)


def test_features_where_another_run_measured_the_backbone(few: None) -> None:
    chosen = QUICK | {"protocol.shots": 2}
    before = Evaluation.before(prepare(load_tables("lora"), chosen, device="cpu"))
    assert before.features is None
    plan = prepare(load_tables("lora"), chosen | {"evaluate.features": True}, device="cpu")
    run = execute(plan, before=before)
    assert set(read_tensors(run.folder / "features.safetensors")) == {"before", "after"}


def test_without_being_asked_no_features(few: None) -> None:
    run = cliptune.train("mini", "digits", "lora", shots=2, out="run", settings=QUICK, device="cpu")
    assert not (run.folder / "features.safetensors").exists()
