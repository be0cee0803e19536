"""Early stopping: when it stops, what it keeps, what it refuses, and a resume that decides alike."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.methods.ast import AST
from cliptune.methods.base import Adapter
from cliptune.methods.bitfit import BitFit
from cliptune.methods.lora import LoRA
from cliptune.models.backbone import Backbone
from cliptune.pipeline import Plan, execute
from cliptune.training import early_stopping
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.early_stopping import Validation
from cliptune.training.events import Event, PhaseEnded, Saved, Step, Validated
from cliptune.training.loop import fit
from tests.conftest import plan_for


def trained(plan: Plan, checkpoint: Checkpoint | None = None, stop: int = 0) -> tuple[Adapter, list[Event]]:
    """The adapter and what happened; left after the state of step `stop` was saved, if one is named."""
    adapter, events = plan.attach(), []
    for event in fit(adapter, plan.lesson(), plan.machine, checkpoint):
        events.append(event)
        if stop and isinstance(event, Saved) and event.step == stop:
            break
    return adapter, events


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """What the validations find, in order: (accuracy, loss); to be filled."""
    found: list[tuple[float, float]] = []
    monkeypatch.setattr(Validation, "_measured", lambda self: found.pop(0))
    return found


def test_it_stops_after_patience_and_keeps_the_best(mini: Backbone, few_digits: ImageSet, measured: list) -> None:
    measured += [(0.5, 1.0), (0.6, 0.9), (0.6, 0.95), (0.55, 0.5), (0.9, 0.1)]
    plan = plan_for(mini, few_digits, LoRA(), train__steps=20, train__validate_every=2, train__patience=2)
    _, events = trained(plan)
    assert [event.step for event in of(Step, events)] == list(range(1, 9))
    assert [event.step for event in of(Validated, events)] == [2, 4, 6, 8]
    told = of(PhaseEnded, events)[0].training
    assert (told["steps"], told["steps_taken"], told["stopped_early"]) == (20, 8, True)
    assert (told["best"]["step"], told["best"]["accuracy"]) == (4, 0.6)
    rates = [event.lr for event in of(Step, events)]
    assert rates[-1] > 0.6 * rates[0], "the schedule is that of 20 steps"


def test_the_numbers_kept_are_those_after_the_best_step(mini: Backbone, few_digits: ImageSet, measured: list) -> None:
    same: dict[str, Any] = {"train__schedule": "constant", "train__validate_every": 2}
    measured += [(0.5, 1.0), (0.6, 0.9), (0.1, 2.0), (0.1, 2.0)]
    kept, _ = trained(plan_for(mini, few_digits, LoRA(), train__steps=8, train__patience=9, **same))
    measured += [(0.5, 1.0), (0.6, 0.9)]
    ended, _ = trained(plan_for(mini, few_digits, LoRA(), train__steps=4, **same))
    assert all(torch.equal(tensor, kept.state()[name]) for name, tensor in ended.state().items())


def test_equal_accuracy_is_decided_by_the_loss(mini: Backbone, few_digits: ImageSet, measured: list) -> None:
    found = [(0.6, 0.9), (0.6, 0.8), (0.5, 0.1), (0.6, 0.8)]
    for on, best in (("accuracy", 2), ("loss", 3)):
        measured[:] = found
        options = {"train__steps": 4, "train__validate_every": 1, "train__patience": 4, "train__early_stop_on": on}
        _, events = trained(plan_for(mini, few_digits, LoRA(), **options))
        assert of(PhaseEnded, events)[0].training["best"]["step"] == best


def test_without_patience_validations_change_nothing(mini: Backbone, few_digits: ImageSet) -> None:
    plain, events = trained(plan_for(mini, few_digits, LoRA()))
    assert not of(Validated, events)
    told, events = trained(plan_for(mini, few_digits, LoRA(), train__validate_every=4))
    assert [event.step for event in of(Validated, events)] == [4, 6], "and after the last step"
    assert all(torch.equal(tensor, told.state()[name]) for name, tensor in plain.state().items())


def test_by_default_there_are_twenty_validations(mini: Backbone, few_digits: ImageSet, measured: list) -> None:
    measured += [(0.5, 1.0)] * 20
    _, events = trained(plan_for(mini, few_digits, BitFit(), train__steps=40, train__patience=50))
    assert [event.step for event in of(Validated, events)] == list(range(2, 41, 2))


def test_what_is_measured_is_what_evaluation_measures(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    """The last validation of a run that tells them, against `metrics.validation` of its record."""
    run = execute(plan_for(mini, few_digits, LoRA(), train__validate_every=6), tmp_path / "run")
    best = run.record["training"]["best"]
    assert best["step"] == 6
    assert best["accuracy"] == run.metrics["validation"]["accuracy"]
    assert best["loss"] == pytest.approx(run.metrics["validation"]["nll"], rel=1e-4)


def test_the_probe_of_ast_is_not_stopped(mini: Backbone, few_digits: ImageSet, measured: list) -> None:
    measured += [(0.5, 1.0)] * 3
    plan = plan_for(mini, few_digits, AST(probe_steps=8), train__steps=8, train__validate_every=1, train__patience=2)
    _, events = trained(plan)
    assert {event.phase for event in of(Validated, events)} == {"tune"}
    assert [ended.training["steps_taken"] for ended in of(PhaseEnded, events)] == [8, 3]


@pytest.mark.parametrize("left_at", [1, 5])
def test_a_resumed_run_stops_where_the_uninterrupted_one_does(
    left_at: int, mini: Backbone, few_digits: ImageSet, tmp_path: Path
) -> None:
    options = {"train__steps": 30, "train__validate_every": 1, "train__patience": 3, "train__lr": 2e-2}
    plan = plan_for(mini, few_digits, LoRA(), train__checkpoint_seconds=0, **options)
    through, events = trained(plan)
    told = of(PhaseEnded, events)[0].training
    assert told["stopped_early"]
    assert told["steps_taken"] > 5
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    trained(plan, checkpoint, stop=left_at)
    resumed, later = trained(plan, checkpoint)
    assert of(PhaseEnded, later)[0].training == told
    assert of(Validated, later) == of(Validated, events)[left_at:]
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in through.state().items())


def test_patience_wants_validation_images(mini: Backbone, few_digits: ImageSet) -> None:
    none = dataclasses.replace(few_digits, val=())
    for options, named in (({"train__patience": 3}, "patience = 3"), ({"train__validate_every": 5}, "every = 5")):
        with pytest.raises(UserError, match=f"{named}, but there are no validation images"):
            plan_for(mini, none, LoRA(), **options)
    assert early_stopping.period(plan_for(mini, none, LoRA()).recipe, LoRA().phases()[0], 100) == 0


@pytest.mark.parametrize("key", ["patience", "validate_every"])
def test_negative_numbers_make_no_sense(key: str, mini: Backbone, few_digits: ImageSet) -> None:
    with pytest.raises(UserError, match=f"train.{key} = -1 makes no sense"):
        plan_for(mini, few_digits, LoRA(), **{f"train__{key}": -1})


def test_the_record_tells(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    run = execute(plan_for(mini, few_digits, LoRA()), tmp_path / "run")
    assert run.record["training"] == {"steps": 6, "steps_taken": 6, "stopped_early": False}
    assert run.record["environment"]["processes"] == 1
