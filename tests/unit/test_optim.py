"""The schedule and the optimiser's groups."""

import math

import pytest
import torch

from cliptune.datasets.base import ImageSet
from cliptune.methods.dora import DoRA
from cliptune.models.backbone import Backbone
from cliptune.recipe import TrainSettings
from cliptune.training.optim import Plateau, adamw, rate
from tests.conftest import plan_for


def test_cosine_is_torchs_per_step() -> None:
    settings = TrainSettings(lr=2e-4, min_lr=1e-6)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=500, eta_min=1e-6)
    for step in range(500):
        assert rate(settings, step, 500) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        schedule.step()
    assert rate(settings, 250, 500) == pytest.approx((2e-4 + 1e-6) / 2)


def test_warm_up_rises_to_the_rate() -> None:
    settings = TrainSettings(lr=1.0, min_lr=0.0, warmup_steps=4)
    assert [round(rate(settings, step, 14), 3) for step in range(5)] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert rate(settings, 9, 14) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


def test_constant_stays() -> None:
    assert {rate(TrainSettings(lr=0.1, schedule="constant"), step, 9) for step in range(9)} == {0.1}


@pytest.mark.parametrize("decays", [True, False])
def test_magnitudes_decay_only_if_asked(decays: bool, mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, DoRA(decay_magnitude=decays))
    adapter = plan.attach()
    optimizer = adamw(adapter, adapter.trainable(), plan.recipe.train)
    names = {id(parameter): name for name, parameter in adapter.trainable().items()}
    still = {
        names[id(p)].rpartition(".")[2] for g in optimizer.param_groups if g["weight_decay"] == 0 for p in g["params"]
    }
    assert still == (set() if decays else {"m"})
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(adapter.trainable())


def test_the_plateau_is_torchs() -> None:
    losses = [1.0, 0.9, 0.90001, 0.95, 0.9, 0.89, 0.8899999, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1e-2)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2, min_lr=1e-4, eps=0)
    ours = Plateau(2)
    seen = set()
    for loss in losses:
        theirs.step(loss)
        ours.hear(loss)
        again = Plateau(2)
        again.restore(ours.told())
        ours = again
        seen.add(theirs.get_last_lr()[0])
        assert ours.lowered(1e-2, 1e-4) == pytest.approx(theirs.get_last_lr()[0])
    assert len(seen) > 2, "it was lowered more than once"
