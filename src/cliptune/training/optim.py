"""The optimiser and the schedule: AdamW, one rate for all (a segmenter's decoder may have its own), cosine per step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cliptune.methods.base import Adapter
from cliptune.recipe import TrainSettings


def rate(settings: TrainSettings, step: int, steps: int, peak: float | None = None) -> float:
    """Learning rate of `step` (counted from 0) of `steps`: lr at the first, towards min_lr after the last.

    `peak` takes the place of lr for tensors with a rate of their own.

    Under `plateau` it is lr; `Plateau` says what it is multiplied by.

    min + (lr − min) · (1 + cos(π step / steps)) / 2, torch's CosineAnnealingLR with T_max = steps, after the warm-up.
    """
    lr = settings.lr if peak is None else peak
    if step < settings.warmup_steps:
        return lr * (step + 1) / (settings.warmup_steps + 1)
    if settings.schedule in ("constant", "plateau"):
        return lr
    done = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    low = min(settings.min_lr, lr)
    return low + (lr - low) * (1 + math.cos(math.pi * done)) / 2


def adamw(adapter: Adapter, trainable: Mapping[str, nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over the adapter's numbers: a group for each decay and each rate that they have.

    A group's `peak` is what `rate` starts from.
    """
    kinds: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        own = adapter.rate(name)
        kinds.setdefault((adapter.decays(name), settings.lr if own is None else own), []).append(parameter)
    groups = [
        {"params": kinds[kind], "weight_decay": settings.weight_decay if kind[0] else 0.0, "peak": kind[1]}
        for kind in sorted(kinds, reverse=True)
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True)


class Plateau:
    """What the rate is multiplied by under `schedule = "plateau"`: a tenth as often as the loss stops falling.

    After more than `train.plateau_patience` validations in a row whose loss was not below (1 − 10⁻⁴) of the lowest, the
    rate is multiplied by 0.1 and the counting starts again: torch's ReduceLROnPlateau with its defaults.
    """

    FACTOR, THRESHOLD = 0.1, 1e-4

    def __init__(self, patience: int):
        self.patience = patience
        self.lowest, self.since, self.factor = math.inf, 0, 1.0

    def hear(self, loss: float) -> None:
        """Take notice of a validation loss."""
        if loss < self.lowest * (1 - self.THRESHOLD):
            self.lowest, self.since = loss, 0
        else:
            self.since += 1
        if self.since > self.patience:
            self.factor, self.since = self.factor * self.FACTOR, 0

    def lowered(self, lr: float, least: float) -> float:
        """The rate that applies where the schedule says `lr`; never lowered below `least`."""
        return lr if self.factor == 1 else max(min(lr, least), lr * self.factor)

    def told(self) -> dict[str, Any]:
        """What a checkpoint keeps (JSON)."""
        lowest = self.lowest if math.isfinite(self.lowest) else None
        return {"lowest": lowest, "since": self.since, "factor": self.factor}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Put back what `told()` gave."""
        self.lowest = math.inf if told["lowest"] is None else told["lowest"]
        self.since, self.factor = told["since"], told["factor"]
