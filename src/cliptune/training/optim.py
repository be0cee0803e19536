"""The optimiser and the schedule: AdamW, one rate for all, cosine per step."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from cliptune.methods.base import Adapter
from cliptune.recipe import TrainSettings


def rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Learning rate of `step` (counted from 0) of `steps`: lr at the first, towards min_lr after the last.

    min + (lr − min) · (1 + cos(π step / steps)) / 2, torch's CosineAnnealingLR with T_max = steps, after the warm-up.
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / (settings.warmup_steps + 1)
    if settings.schedule == "constant":
        return settings.lr
    done = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    low = min(settings.min_lr, settings.lr)
    return low + (settings.lr - low) * (1 + math.cos(math.pi * done)) / 2


def adamw(adapter: Adapter, trainable: Mapping[str, nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over the adapter's numbers, those that must not decay in a group of their own."""
    groups = [
        {"params": [p for name, p in trainable.items() if adapter.decays(name)], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in trainable.items() if not adapter.decays(name)], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True)
