"""The training loop: a generator of events.

Everything random about step n is a function of the seed, the phase and n: augmentation and dropout; the order of images
of the seed and the epoch alone.
So a run does not depend on what ran before it in the process, and resuming needs no generator states.

The loop is given training and validation images; it never sees a test split.
"""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Features, Phase
from cliptune.recipe import Recipe, steps_of
from cliptune.training.checkpoint import Checkpoint, Progress, restore_optimizer
from cliptune.training.compute import Compute
from cliptune.training.events import Event, PhaseEnded, Saved, Started, Step
from cliptune.training.losses import SelfConsistency
from cliptune.training.optim import adamw, rate
from cliptune.training.student import Student

ALARM_AFTER = 3
"""steps after which a tensor that never had a gradient is an error; LoRA's A has none at step 1, where B is zero"""


@dataclass(frozen=True)
class Lesson:
    """What one run trains on."""

    recipe: Recipe
    train: Pixels
    val: Pixels
    tokens: Tensor
    """class prompts, [c t]"""
    consistency: SelfConsistency | None = None

    def student(self, adapter: Adapter, compute: Compute, phase: Phase) -> Student:
        """What runs the steps of `phase`."""
        consistency = self.consistency if phase.extra_losses else None
        return Student(adapter, self.recipe, self.train, self.tokens, compute, consistency)


def fit(adapter: Adapter, lesson: Lesson, compute: Compute, checkpoint: Checkpoint | None = None) -> Iterator[Event]:
    """Train `adapter` in place through its phases, yielding events; goes on from `checkpoint` if it holds a state.

    Raises:
        UserError: a tensor gets no gradient, or the loss is not a number.
    """
    start = Progress(0, 0, 0.0)
    moments: dict[str, Tensor] = {}
    if checkpoint is not None and checkpoint.exists():
        start, moments = checkpoint.load(adapter)
    spent = start.seconds
    phases = adapter.method.phases()
    for index, phase in enumerate(phases):
        if index < start.phase:
            continue
        began = time.perf_counter()
        if phase.kind == "closed":
            yield Started(phase.name, 1, 0, 0)
            solve(adapter, lesson, compute)
        else:
            progress = Progress(index, start.step if index == start.phase else 0, spent)
            yield from descend(adapter, lesson, compute, phase, progress, moments, checkpoint)
            moments = {}
        seconds = time.perf_counter() - began
        spent += seconds
        if checkpoint is not None and index + 1 < len(phases):
            checkpoint.save(Progress(index + 1, 0, spent), adapter, None)
        yield PhaseEnded(phase.name, seconds, adapter.facts())


def descend(
    adapter: Adapter,
    lesson: Lesson,
    compute: Compute,
    phase: Phase,
    start: Progress,
    moments: dict[str, Tensor],
    checkpoint: Checkpoint | None,
) -> Iterator[Event]:
    """One phase of gradient descent from `start.step` on."""
    settings, seed = lesson.recipe.train, lesson.recipe.protocol.seed
    steps = phase_steps(phase, lesson.recipe, len(lesson.train))
    adapter.begin(phase)
    adapter.train()
    trainable = adapter.trainable()
    bare = adamw(adapter, trainable, settings)
    if start.step:
        restore_optimizer(bare, trainable, moments)
    optimizer, scaler = compute.accelerator.prepare(bare), compute.accelerator.scaler
    if start.step and checkpoint is not None and scaler is not None:
        checkpoint.restore_scaler(scaler)
    alarm = GradientAlarm(adapter, trainable)
    student = lesson.student(adapter, compute, phase)
    yield Started(phase.name, steps, start.step, sum(parameter.numel() for parameter in trainable.values()))
    began = time.perf_counter()
    student.prepare(steps)
    saved = last = time.perf_counter()
    for step in range(start.step, steps):
        lr = rate(settings, step, steps)
        for group in bare.param_groups:
            group["lr"] = lr
        indices = batch_indices(len(lesson.train), settings.batch, seed, step)
        values = gradients(student, indices, seed, phase, step)
        alarm.look(step - start.step, last=step + 1 == steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = time.perf_counter()
        yield Step(
            phase=phase.name,
            step=step + 1,
            steps=steps,
            loss=sum(values.values()),
            parts=values,
            lr=lr,
            images=len(indices),
            images_per_second=len(indices) / (now - last),
            seconds=now - began,
        )
        last = time.perf_counter()
        if checkpoint is not None and step + 1 < steps and last - saved >= settings.checkpoint_seconds:
            checkpoint.save(Progress(start.phase, step + 1, start.seconds + last - began), adapter, bare, scaler)
            yield Saved(phase.name, step + 1)
            saved = time.perf_counter()
    broken = [name for name, parameter in trainable.items() if not bool(parameter.isfinite().all())]
    if broken:
        raise UserError(
            f"{broken[0]} is not a number after phase {phase.name}", "lower train.lr, for instance --set train.lr=1e-4"
        )
    adapter.finish(phase, bare, stream_seed(seed, phase.name, "finish", 0))
    compute.accelerator.free_memory()
    adapter.eval()


def gradients(student: Student, indices: list[int], seed: int, phase: Phase, step: int) -> dict[str, float]:
    """Accumulate a step's gradients from its own streams of random numbers; the loss terms by name."""
    generator = torch.Generator().manual_seed(stream_seed(seed, phase.name, "augment", step))
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(seed, phase.name, "dropout", step))
        values = student.backward(indices, generator)
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise UserError(
            f"the loss ({', '.join(bad)}) is not a number at step {step + 1} of phase {phase.name}",
            "lower train.lr, for instance --set train.lr=1e-4, or use --dtype float32",
        )
    return values


class GradientAlarm:
    """Refuses to train on when some tensor the method should train gets no gradient."""

    def __init__(self, adapter: Adapter, trainable: dict[str, nn.Parameter]):
        inert = set(adapter.inert())
        self.silent = {name: parameter for name, parameter in trainable.items() if name not in inert}
        self.total = len(self.silent)

    def look(self, step: int, last: bool) -> None:
        """After the backward pass of `step` (0-based since the start of this loop); `last` of the phase."""
        if not self.silent or step >= ALARM_AFTER:
            return
        self.silent = {
            name: parameter
            for name, parameter in self.silent.items()
            if parameter.grad is None or not bool(parameter.grad.any())
        }
        if self.silent and (step == ALARM_AFTER - 1 or (last and step > 0)):
            first = next(iter(self.silent))
            raise UserError(
                f"{self.total - len(self.silent)} of {self.total} tensors are trained: "
                f"no gradient reaches {first}" + (" and others" if len(self.silent) > 1 else ""),
                "leave those sites out of `where`, or use --dtype float32 if gradients underflow",
            )


@torch.no_grad()
def solve(adapter: Adapter, lesson: Lesson, compute: Compute) -> None:
    """A closed phase: image features of the training and validation images, test transform, then `adapter.solve`."""

    def features(pixels: Pixels) -> Features:
        rows = []
        for batch, _ in pixels.batches(lesson.recipe.evaluate.batch):
            normalised = adapter.backbone.preprocess.normalise(batch.to(compute.device))
            with compute.autocast():
                rows.append(adapter.backbone.towers.image_embeddings(normalised))
        width = adapter.backbone.model.config.projection_dim
        return Features(torch.cat(rows) if rows else torch.zeros(0, width), pixels.labels)

    adapter.solve(features(lesson.train), features(lesson.val))
    adapter.eval()


def phase_steps(phase: Phase, recipe: Recipe, images: int) -> int:
    """Optimiser steps of a phase: its own length if it has one, else the recipe's."""
    if phase.steps is not None:
        return phase.steps
    if phase.epochs is not None:
        return phase.epochs * -(-images // recipe.train.batch)
    return steps_of(recipe, images)


def batch_indices(images: int, batch: int, seed: int, step: int) -> list[int]:
    """The images of `step`: every epoch a new permutation, the last batch of an epoch may be smaller."""
    per_epoch = -(-images // batch)
    epoch, place = divmod(step, per_epoch)
    generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    return torch.randperm(images, generator=generator)[place * batch : (place + 1) * batch].tolist()


def stream_seed(*parts: int | str) -> int:
    """A 63-bit seed for one named stream of random numbers."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
