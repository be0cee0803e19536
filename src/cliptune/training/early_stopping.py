"""Validation during training: when a phase may end, and which numbers it keeps.

Every `train.validate_every` steps and after the last one, the adapter answers for the validation images through the
test transform. With `train.patience` p the phase ends after p validations in a row that were not better than the best,
and the numbers of the best are put back, whether it ended early or not. The learning rate's schedule stays that of the
full length: it is cut off, not compressed.

better    `train.early_stop_on` = accuracy: the higher accuracy (of segmentation: mean Dice), or the lower loss at the
          same; loss: the lower loss. Patience counts from the last one that was better by more than `train.min_delta`
plateau   Under `train.schedule = "plateau"` the validation losses also lower the learning rate (`optim.Plateau`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cliptune.counted import these
from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Phase, fill
from cliptune.recipe import Recipe
from cliptune.recipe_presets import steps_of
from cliptune.training.compute import Compute
from cliptune.training.events import Validated
from cliptune.training.optim import Plateau

if TYPE_CHECKING:
    from cliptune.training.loop import AnyLesson

PERIODS = 20
"""validations of a phase where nothing is said: its cost is then known, however short an epoch is"""


def period(recipe: Recipe, phase: Phase, steps: int, images: int = 0) -> int:
    """Steps between two validations of a phase of `steps` on so many training images; 0 if it is not validated."""
    train = recipe.train
    if not phase.validated or phase.kind != "gradient":
        return 0
    if train.validate_every == "epoch":
        return max(1, -(-images // train.batch))
    wanted = train.patience or train.schedule == "plateau"
    return train.validate_every or (max(1, steps // PERIODS) if wanted else 0)


def refuse_without_images(recipe: Recipe, images: int) -> None:
    """Refuse to validate on nothing.

    Raises:
        UserError: the recipe asks for validations of a phase, and there are no validation images.
    """
    train = recipe.train
    if images or not any(period(recipe, phase, 1) for phase in recipe.method.phases()):
        return
    asked = f"train.validate_every = {train.validate_every}"
    asked = f"train.patience = {train.patience}" if train.patience else asked
    if train.schedule == "plateau":
        asked = "train.schedule = plateau"
    raise UserError(f"{asked}, but there are no validation images", "give data with a validation split, or set it to 0")


def refuse_long_warmup(recipe: Recipe, images: int) -> None:
    """Refuse a warm-up that never ends, for that many training images.

    Raises:
        UserError: it is as long as the run.
    """
    steps = steps_of(recipe, images)
    if recipe.method.phases() and recipe.train.warmup_steps >= steps:
        what = f"train.warmup_steps = {recipe.train.warmup_steps} of {these(steps, 'step')}"
        raise UserError(what, "warm up for fewer steps")


class Validation:
    """The validations of one phase of `steps` steps."""

    def __init__(self, adapter: Adapter, lesson: "AnyLesson", compute: Compute, phase: Phase, steps: int):
        self.adapter, self.lesson, self.compute, self.phase, self.steps = adapter, lesson, compute, phase, steps
        self.every = period(lesson.recipe, phase, steps, len(lesson.train))
        self.patience = lesson.recipe.train.patience
        self.plateau = Plateau(lesson.recipe.train.plateau_patience)
        self.best: Validated | None = None
        self.numbers: dict[str, Tensor] = {}
        self.since = 0
        """validations since one that was better by `train.min_delta`"""
        self.bar: Validated | None = None
        """that one"""

    def due(self, step: int) -> bool:
        """Whether to validate after `step` (1-based)."""
        return bool(self.every) and (step % self.every == 0 or step == self.steps)

    @property
    def over(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.patience <= self.since

    def measure(self, step: int) -> Validated:
        """Measure after `step` (1-based), and take notice."""
        score, loss = self._measured()
        found = Validated(self.phase.name, step, loss=loss, **{self.lesson.score: score})
        if self.lesson.recipe.train.schedule == "plateau":
            self.plateau.hear(loss)
        if self.best is None or self._rank(found) > self._rank(self.best):
            self.best = found
            if self.patience:
                self.numbers = {name: p.detach().clone() for name, p in self.adapter.trainable().items()}
        self.since += 1
        if self.bar is None or self._beyond(found, self.bar):
            self.bar, self.since = found, 0
        return found

    def keep_best(self) -> None:
        """Put the numbers of the best validation back, if patience asked for it."""
        if self.numbers:
            fill({name: p.detach() for name, p in self.adapter.trainable().items()}, self.numbers)

    def told(self) -> dict[str, Any]:
        """What a checkpoint keeps beside `numbers` (JSON); empty where nothing was validated."""
        if self.best is None:
            return {}
        return {
            "best": self.best.told(),
            "since": self.since,
            "bar": self.bar.told() if self.bar else None,
            "plateau": self.plateau.told(),
        }

    def restore(self, told: Mapping[str, Any], numbers: Mapping[str, Tensor]) -> None:
        """Put back what `told()` and `numbers` gave."""
        if told:
            self.best, self.since = Validated(**told["best"]), told["since"]
            self.bar = Validated(**told["bar"]) if told["bar"] else None
            self.plateau.restore(told["plateau"])
            self.numbers = {name: tensor.to(self.compute.device) for name, tensor in numbers.items()}

    def _rank(self, found: Validated) -> tuple[float, ...]:
        by_loss = self.lesson.recipe.train.early_stop_on == "loss"
        return (-found.loss,) if by_loss else (found.score, -found.loss)

    def _beyond(self, found: Validated, bar: Validated) -> bool:
        least = self.lesson.recipe.train.min_delta
        if not least:
            return self._rank(found) > self._rank(bar)
        return self._rank(found)[0] > self._rank(bar)[0] + least

    def _measured(self) -> tuple[float, float]:
        """Mean score (accuracy, Dice) and mean loss over the images of all processes."""
        group, mine = self.compute.group, (0.0, 0.0)
        images = len(self.lesson.val)
        self.adapter.eval()
        with group.together():
            part = group.part(images)
            if part.stop > part.start:
                mine = self.lesson.validate(self.adapter, self.compute, part)
        self.adapter.train()
        told = group.gather(mine)
        return sum(score for score, _ in told) / images, sum(loss for _, loss in told) / images
