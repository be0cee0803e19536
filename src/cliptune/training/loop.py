"""The training loop: a generator of events.

Everything random about step n is a function of the seed, the phase and n: augmentation and dropout; the order of images
of the seed and the epoch alone.
So a run does not depend on what ran before it in the process, and resuming needs no generator states.

Several processes (`training.distributed`) go through the same loop with the same numbers. Their batches are one batch,
augmented as by a single process; dropout's masks are each process's own.

The loop is given training and validation images; it never sees a test split.
"""

import hashlib
import math
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Features, Phase
from cliptune.recipe import Recipe
from cliptune.recipe_presets import steps_of
from cliptune.tasks.classify import predict, scorer
from cliptune.training.checkpoint import Checkpoint, Progress, State, restore_optimizer
from cliptune.training.compute import Compute, seeded
from cliptune.training.distributed import alike
from cliptune.training.early_stopping import Validation
from cliptune.training.events import Event, PhaseEnded, Saved, Started, Step
from cliptune.training.losses import SelfConsistency
from cliptune.training.optim import adamw, rate
from cliptune.training.student import Student

ALARM_AFTER = 3
"""steps after which a tensor that never had a gradient is an error; LoRA's A has none at step 1, where B is zero"""


class AnyLesson(Protocol):
    """What the loop asks of what a run trains on, whatever the task."""

    score: ClassVar[str]
    """what a validation measures beside the loss: accuracy or dice"""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def train(self) -> Any:
        """The training images; has a length and `batches`."""

    @property
    def val(self) -> Any:
        """The validation images, likewise."""

    def validate(self, adapter: Any, compute: Compute, part: slice) -> tuple[float, float]:
        """The sums of scores and of losses over a part of the validation images."""

    def student(self, adapter: Any, compute: Compute, phase: Phase) -> Any:
        """What runs the steps of `phase`: `prepare(steps)` and `backward(indices, generator)`."""


VALIDATED = 64
"""images validated together: always the same, so that a resumed run decides alike"""


@dataclass(frozen=True)
class Lesson:
    """What one run trains on."""

    recipe: Recipe
    train: Pixels
    val: Pixels
    tokens: Tensor
    """class prompts, [c t]"""
    consistency: SelfConsistency | None = None
    score: ClassVar[str] = "accuracy"
    """what a validation measures beside the loss"""

    def validate(self, adapter: Adapter, compute: Compute, part: slice) -> tuple[float, float]:
        """Right answers and the sum of cross-entropies over a part of the validation images."""
        found = predict(scorer(adapter, self.tokens), self.val.some(part), adapter.backbone, compute, VALIDATED)
        return float(found.correct.sum()), float(found.nll.sum())

    def student(self, adapter: Adapter, compute: Compute, phase: Phase) -> Student:
        """What runs the steps of `phase`."""
        consistency = self.consistency if phase.extra_losses else None
        return Student(adapter, self.recipe, self.train, self.tokens, compute, consistency)


def fit(adapter: Adapter, lesson: AnyLesson, compute: Compute, checkpoint: Checkpoint | None = None) -> Iterator[Event]:
    """Train `adapter` in place through its phases, yielding events; goes on from `checkpoint` if it holds a state.

    Of several processes the main one reads the checkpoint for all, and it alone writes.

    Raises:
        UserError: a tensor gets no gradient, or the loss is not a number.
    """
    group = compute.group
    saved = group.on_main(lambda: checkpoint.load() if checkpoint is not None and checkpoint.exists() else None)
    start = saved.progress if saved else Progress(0, 0, 0.0)
    if saved:
        adapter.restore(saved.adapter, saved.facts)
    if not group.main:
        checkpoint = None
    spent = start.seconds
    phases = adapter.method.phases()
    for index, phase in enumerate(phases):
        if index < start.phase:
            continue
        began = time.perf_counter()
        training: Mapping[str, Any] = {}
        if phase.kind == "closed":
            yield Started(phase.name, 1, 0, 0)
            solve(adapter, lesson, compute)
        else:
            going_on = saved if index == start.phase and start.step else None
            training = yield from descend(adapter, lesson, compute, phase, index, spent, going_on, checkpoint)
        alike(group, f"tensors after phase {phase.name}", list(adapter.trainable()), "take machines of one kind")
        seconds = time.perf_counter() - began
        spent += seconds
        if checkpoint is not None and index + 1 < len(phases):
            checkpoint.save(Progress(index + 1, 0, spent), adapter, None)
        yield PhaseEnded(phase.name, seconds, adapter.facts(), training)


def descend(
    adapter: Adapter,
    lesson: AnyLesson,
    compute: Compute,
    phase: Phase,
    index: int,
    spent: float,
    saved: State | None,
    checkpoint: Checkpoint | None,
) -> Generator[Event, None, dict[str, Any]]:
    """One phase of gradient descent, going on from `saved`; what to tell of it (`PhaseEnded.training`).

    Args:
        index: of the phase. spent: seconds of training before.
    """
    settings, seed = lesson.recipe.train, lesson.recipe.protocol.seed
    steps = phase_steps(phase, lesson.recipe, len(lesson.train))
    first = saved.progress.step if saved else 0
    adapter.begin(phase)
    adapter.train()
    trainable = adapter.trainable()
    bare = adamw(adapter, trainable, settings)
    validation = Validation(adapter, lesson, compute, phase, steps)
    if saved:
        restore_optimizer(bare, trainable, saved.optimizer)
        validation.restore(saved.validation, saved.best)
    optimizer, scaler = compute.accelerator.prepare(bare), compute.accelerator.scaler
    if saved and saved.scaler is not None and scaler is not None:
        scaler.load_state_dict(dict(saved.scaler))
    alarm = GradientAlarm(adapter, trainable)
    student = lesson.student(adapter, compute, phase)
    yield Started(phase.name, steps, first, sum(parameter.numel() for parameter in trainable.values()))
    began = time.perf_counter()
    student.prepare(steps)
    written = last = time.perf_counter()
    taken = first
    for step in range(first, steps):
        lr = validation.plateau.lowered(rate(settings, step, steps), settings.min_lr)
        for group in bare.param_groups:
            own = rate(settings, step, steps, group["peak"])
            group["lr"] = validation.plateau.lowered(own, settings.min_lr)
        indices = batch_indices(len(lesson.train), settings.batch, seed, step)
        values = gradients(student, indices, seed, phase, step)
        alarm.look(step - first, last=step + 1 == steps)
        if settings.clip:
            compute.accelerator.clip_grad_norm_(list(trainable.values()), settings.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        taken, now = step + 1, time.perf_counter()
        loss, speed = sum(values.values()), len(indices) / (now - last)
        yield Step(phase.name, taken, steps, loss, values, lr, len(indices), speed, seconds=now - began)
        if validation.due(taken):
            yield validation.measure(taken)
        if taken == steps or validation.over:
            break
        last = time.perf_counter()
        if checkpoint is not None and last - written >= settings.checkpoint_seconds:
            progress = Progress(index, taken, spent + last - began)
            checkpoint.save(progress, adapter, bare, scaler, validation.told(), validation.numbers)
            yield Saved(phase.name, taken)
            written = time.perf_counter()
    validation.keep_best()
    refuse_broken(trainable, phase)
    adapter.finish(phase, bare, stream_seed(seed, phase.name, "finish", 0))
    compute.accelerator.free_memory()
    adapter.eval()
    best = {"best": validation.best.told()} if validation.best else {}
    return {"steps": steps, "steps_taken": taken, "stopped_early": taken < steps, **best}


def refuse_broken(trainable: Mapping[str, nn.Parameter], phase: Phase) -> None:
    """Raise UserError if a number is not one after a phase."""
    broken = [name for name, parameter in trainable.items() if not bool(parameter.isfinite().all())]
    if broken:
        raise UserError(
            f"{broken[0]} is not a number after phase {phase.name}", "lower train.lr, for instance --set train.lr=1e-4"
        )


def gradients(student: Any, indices: list[int], seed: int, phase: Phase, step: int) -> dict[str, float]:
    """Accumulate a step's gradients from its own streams of random numbers; the loss terms by name.

    Of several processes each draws masks of dropout from a stream of its own, so that the images of a batch have
    different ones; so the number of processes changes a run with dropout, as another seed does.
    """
    generator = torch.Generator().manual_seed(stream_seed(seed, phase.name, "augment", step))
    group = student.compute.group
    own = [group.rank] if group.size > 1 else []
    with seeded(stream_seed(seed, phase.name, "dropout", step, *own)):
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
def solve(adapter: Adapter, lesson: AnyLesson, compute: Compute) -> None:
    """A closed phase: image features of the training and validation images, test transform, then `adapter.solve`.

    It is not split: the main process solves, the others take over what it found.
    """

    def features(pixels: Pixels) -> Features:
        rows = []
        for batch, _ in pixels.batches(lesson.recipe.evaluate.batch):
            normalised = adapter.backbone.preprocess.normalise(batch.to(compute.device))
            with compute.autocast():
                rows.append(adapter.backbone.towers.image_embeddings(normalised))
        width = adapter.backbone.model.config.projection_dim
        return Features(torch.cat(rows) if rows else torch.zeros(0, width), pixels.labels)

    def found() -> tuple[dict[str, Tensor], Mapping[str, Any]]:
        adapter.solve(features(lesson.train), features(lesson.val))
        return {name: tensor.cpu() for name, tensor in adapter.state().items()}, adapter.facts()

    state, facts = compute.group.on_main(found)
    if not compute.group.main:
        adapter.restore(state, facts)
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
