"""Validation during training: when a phase may end, and which numbers it keeps.

Every `train.validate_every` steps and after the last one, the adapter classifies the validation images through the test
transform. With `train.patience` p the phase ends after p validations in a row that were not better than the best, and
the numbers of the best are put back, whether it ended early or not. The learning rate's schedule stays that of the full
length: it is cut off, not compressed.

better    `train.early_stop_on` = accuracy: the higher accuracy, or the lower loss at the same; loss: the lower loss
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Phase, fill
from cliptune.recipe import Recipe
from cliptune.tasks.classify import predict, scorer
from cliptune.training.compute import Compute
from cliptune.training.events import Validated

if TYPE_CHECKING:
    from cliptune.training.loop import Lesson

PERIODS = 20
"""validations of a phase where nothing is said: its cost is then known, however short an epoch is"""
BATCH = 64
"""images measured together: always the same, so that a resumed run decides alike"""


def period(recipe: Recipe, phase: Phase, steps: int) -> int:
    """Steps between two validations of a phase; 0 if it is not validated."""
    if not phase.validated or phase.kind != "gradient":
        return 0
    return recipe.train.validate_every or (max(1, steps // PERIODS) if recipe.train.patience else 0)


def refuse_without_images(recipe: Recipe, images: int) -> None:
    """Refuse to validate on nothing.

    Raises:
        UserError: the recipe asks for validations of a phase, and there are no validation images.
    """
    train = recipe.train
    if images or not any(period(recipe, phase, 1) for phase in recipe.method.phases()):
        return
    asked = f"train.patience = {train.patience}" if train.patience else f"train.validate_every = {train.validate_every}"
    raise UserError(f"{asked}, but there are no validation images", "give data with a validation split, or set it to 0")


class Validation:
    """The validations of one phase of `steps` steps."""

    def __init__(self, adapter: Adapter, lesson: "Lesson", compute: Compute, phase: Phase, steps: int):
        self.adapter, self.lesson, self.compute, self.phase, self.steps = adapter, lesson, compute, phase, steps
        self.every = period(lesson.recipe, phase, steps)
        self.patience = lesson.recipe.train.patience
        self.mine = lesson.val.some(compute.group.part(len(lesson.val)))
        """this process's share of the images"""
        self.best: Validated | None = None
        self.numbers: dict[str, Tensor] = {}
        self.since = 0
        """validations since the best one"""

    def due(self, step: int) -> bool:
        """Whether to validate after `step` (1-based)."""
        return bool(self.every) and (step % self.every == 0 or step == self.steps)

    @property
    def over(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.patience <= self.since

    def measure(self, step: int) -> Validated:
        """Measure after `step` (1-based), and take notice."""
        found = Validated(self.phase.name, step, *self._measured())
        if self.best is None or self._rank(found) > self._rank(self.best):
            self.best, self.since = found, 0
            if self.patience:
                self.numbers = {name: p.detach().clone() for name, p in self.adapter.trainable().items()}
        else:
            self.since += 1
        return found

    def keep_best(self) -> None:
        """Put the numbers of the best validation back, if patience asked for it."""
        if self.numbers:
            fill({name: p.detach() for name, p in self.adapter.trainable().items()}, self.numbers)

    def told(self) -> dict[str, Any]:
        """What a checkpoint keeps beside `numbers` (JSON); empty where nothing was validated."""
        return {"best": asdict(self.best), "since": self.since} if self.best else {}

    def restore(self, told: Mapping[str, Any], numbers: Mapping[str, Tensor]) -> None:
        """Put back what `told()` and `numbers` gave."""
        if told:
            self.best, self.since = Validated(**told["best"]), told["since"]
            self.numbers = {name: tensor.to(self.compute.device) for name, tensor in numbers.items()}

    def _rank(self, found: Validated) -> tuple[float, ...]:
        by_loss = self.lesson.recipe.train.early_stop_on == "loss"
        return (-found.loss,) if by_loss else (found.accuracy, -found.loss)

    def _measured(self) -> tuple[float, float]:
        """Accuracy and mean cross-entropy over the images of all processes."""
        group, right, loss = self.compute.group, 0, 0.0
        self.adapter.eval()
        with group.together():
            if len(self.mine):
                score = scorer(self.adapter, self.lesson.tokens)
                found = predict(score, self.mine, self.adapter.backbone, self.compute, BATCH)
                right, loss = int(found.correct.sum()), float(found.nll.sum())
        self.adapter.train()
        told = group.gather((right, loss))
        images = len(self.lesson.val)
        return sum(right for right, _ in told) / images, sum(loss for _, loss in told) / images
