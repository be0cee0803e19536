"""The loop: order, alarms, parts of a batch."""

import dataclasses
from pathlib import Path

import pytest
import torch

from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.methods.ast import AST
from cliptune.methods.base import Adapter
from cliptune.methods.lora import LoRA
from cliptune.models.backbone import Backbone
from cliptune.models.products import Factors
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.events import PhaseEnded, Saved, Started, Step
from cliptune.training.loop import batch_indices, fit, stream_seed
from tests.conftest import plan_for


@pytest.mark.parametrize(("images", "batch"), [(20, 32), (64, 32), (70, 32), (5, 1)])
def test_every_epoch_sees_every_image_once(images: int, batch: int) -> None:
    per_epoch = -(-images // batch)
    epochs = []
    for epoch in range(3):
        seen = [i for step in range(per_epoch) for i in batch_indices(images, batch, 1, epoch * per_epoch + step)]
        assert sorted(seen) == list(range(images))
        epochs.append(seen)
    assert images < 4 or epochs[0] != epochs[1]


def test_streams_differ_by_every_part() -> None:
    seeds = {stream_seed(s, p, k, n) for s in (1, 2) for p in ("a", "b") for k in ("x", "y") for n in (0, 1)}
    assert len(seeds) == 16
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_events_tell_the_story_in_order(mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, AST())
    events = list(fit(plan.attach(), plan.lesson(), plan.machine))
    kinds = [(type(event).__name__, event.phase) for event in events]
    assert kinds == [("Started", "probe"), ("Step", "probe"), ("PhaseEnded", "probe"), ("Started", "tune")] + [
        ("Step", "tune")
    ] * 6 + [("PhaseEnded", "tune")]
    steps = [event for event in events if isinstance(event, Step)]
    assert set(steps[0].parts) == {"ce"}, "stage 1 is cross-entropy alone"
    assert set(steps[-1].parts) == {"ce", "scl_image", "scl_text", "scl_logits"}
    assert steps[-1].loss == pytest.approx(sum(steps[-1].parts.values()))
    picked = next(event for event in events if isinstance(event, PhaseEnded)).facts["picked"]
    started = [event for event in events if isinstance(event, Started)]
    assert len(picked) == 7 * 6
    assert started[1].trainable < started[0].trainable


def test_a_tensor_without_gradient_is_an_error(mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, LoRA())
    adapter = plan.attach()
    silent = adapter.linears["vision.3.q"]  # type: ignore[attr-defined]
    silent.factors = lambda: Factors(silent.B.detach(), silent.A.detach())
    with pytest.raises(UserError, match=r"40 of 42 tensors are trained: no gradient reaches vision\.3\.q\.A"):
        list(fit(adapter, plan.lesson(), plan.machine))


def test_a_loss_that_is_not_a_number_stops_the_run(mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, LoRA())
    adapter = plan.attach()
    with torch.no_grad():
        next(iter(adapter.trainable().values())).fill_(float("nan"))
    with pytest.raises(UserError, match="not a number at step 1"):
        list(fit(adapter, plan.lesson(), plan.machine))


def test_frozen_text_is_encoded_once(mini: Backbone, few_digits: ImageSet, monkeypatch) -> None:
    plan = plan_for(mini, few_digits, LoRA(where=("vision.*.q",)))
    adapter = plan.attach()
    calls = []
    original = adapter.text_features
    monkeypatch.setattr(adapter, "text_features", lambda tokens: calls.append(1) or original(tokens))
    list(fit(adapter, plan.lesson(), plan.machine))
    assert len(calls) == 1


def test_the_trainer_is_never_given_a_test_image(mini: Backbone, digits: ImageSet) -> None:
    """Reading any test image during training fails here."""
    forbidden = {item.path for item in digits.test}

    def read(item):
        assert item.path not in forbidden, "the trainer opened the test split"
        return digits.read(item)

    plan = plan_for(mini, dataclasses.replace(digits, read=read), LoRA())
    list(fit(plan.attach(), plan.lesson(), plan.machine))


def test_the_loss_scale_of_float16_goes_on_where_it_was(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    def trained(checkpoint: Checkpoint | None, stop: int = 0) -> tuple[Adapter, float]:
        plan = plan_for(mini, few_digits, LoRA(), train__checkpoint_seconds=0)
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=2)
        plan.machine.accelerator.scaler = scaler  # as accelerate sets it on a GPU
        adapter = plan.attach()
        for event in fit(adapter, plan.lesson(), plan.machine, checkpoint):
            if stop and isinstance(event, Saved) and event.step == stop:
                break
        return adapter, scaler.get_scale()

    through, scale = trained(None)
    assert scale == 256 * 2**3, "doubled after every second step"
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    trained(checkpoint, stop=3)
    resumed, again = trained(checkpoint)
    assert again == scale
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in through.state().items())
