"""Classifying images with a finished run.

    p = softmax(z / T)          z  logits [c] of an image · T  the run's temperature, fitted to its validation images

An image that cannot be read costs its own answer and no other one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from cliptune.datasets.base import distinct
from cliptune.datasets.pixels import floats, in_threads
from cliptune.datasets.places import same_names
from cliptune.errors import UserError
from cliptune.inputs import TABLE, Answer, Images, Picture, attempted, collected, pictures, share, whole_number
from cliptune.models.products import still
from cliptune.models.shortcuts import using
from cliptune.progress import Bar
from cliptune.runs import TOP, Run
from cliptune.tasks.classify import logits_of, scorer
from cliptune.training.compute import compute

BATCH = 64
UNKNOWN = "unknown"
"""the answer where no class is as probable as the threshold"""


class Classifier:
    """A run ready to classify: its class prompts are encoded once.

    Args:
        classes: other class names than the run's; None keeps them.
        top: how many classes `top` names.
        calibrate: divide logits by the run's temperature, where it has one and the classes are its own.
        threshold: a best class that is less probable is answered by `UNKNOWN`.
        device: auto, cpu, cuda or mps.

    Raises:
        UserError: a value that cannot be meant, or other classes for a method whose head knows only its own.
    """

    def __init__(
        self,
        run: Run,
        classes: Sequence[str] | None = None,
        top: int = TOP,
        calibrate: bool = True,
        threshold: float | None = None,
        device: str = "auto",
    ):
        top = whole_number(top, "top")
        threshold = share(threshold, closed=True)
        names = run.classes if classes is None else class_names(classes, run.classes)
        own = names == run.classes
        self.names = distinct(names)
        """class names by label, told apart where two are equal"""
        self.temperature = run.temperature if calibrate and own else None
        """what logits are divided by; None leaves them as they are"""
        self.threshold, self.top = threshold, min(top, len(names))
        self.calibration = _calibration(run, own, calibrate)
        """in words, what was done to the probabilities"""
        self.run, self.machine = run, compute(device, "float32")
        run.to(self.machine.device)
        if not own and not run.adapter.method.open_vocabulary:
            raise UserError(
                f"{run.adapter.method.name} knows only the classes it was fitted on", "leave the classes out"
            )
        with using(run.shortcuts), still():
            self.score = scorer(run.adapter, run.backbone.tokens(run.prompts(names)))

    def answers(self, images: Sequence[Picture]) -> Iterator[Answer | UserError]:
        """For each image, in order, what is answered, or why it cannot be read. Works batch by batch, as it is asked.

        Raises:
            UserError: the model's scores are not numbers.
        """
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            cuts = in_threads(self._cut, batch)
            readable = [cut for cut in cuts if not isinstance(cut, UserError)]
            rows = iter(self._probabilities(floats(readable, self._side)) if readable else ())
            for picture, cut in zip(batch, cuts, strict=True):
                yield cut if isinstance(cut, UserError) else self._answer(picture.name, next(rows))

    def columns(self) -> list[str]:
        """Column names of a table of answers: path, prediction, score, then the classes."""
        return [*TABLE, *(f"{name} (class)" if name in TABLE else name for name in self.names)]

    @property
    def _side(self) -> int:
        return self.run.backbone.preprocess.crop

    def _cut(self, picture: Picture) -> Any:
        """uint8 [s s 3], or what is wrong with the image."""
        image = attempted(picture)
        return image if isinstance(image, UserError) else self.run.backbone.preprocess.cut(image)

    @torch.no_grad()
    def _probabilities(self, pixels: Tensor) -> Tensor:
        """[b c] of pixels [b 3 s s] in 0..1."""
        with using(self.run.shortcuts), still():
            logits = logits_of(self.score, pixels, self.run.backbone, self.machine)
        return (logits.double() / (self.temperature or 1.0)).softmax(dim=-1)

    def _answer(self, name: str, row: Tensor) -> Answer:
        best = row.topk(self.top)
        ranked = [(self.names[index], float(p)) for index, p in zip(best.indices, best.values, strict=True)]
        known = self.threshold is None or ranked[0][1] >= self.threshold
        return {
            "path": name,
            "prediction": ranked[0][0] if known else UNKNOWN,
            "score": ranked[0][1],
            "top": ranked,
            "probabilities": dict(zip(self.names, row.tolist(), strict=True)),
        }


def class_names(classes: Any, own: tuple[str, ...]) -> tuple[str, ...]:
    """Class names that somebody gave; the run's `own` are always good.

    Raises:
        UserError: one text instead of a list, fewer than two names, an empty one, or two that make the same prompt.
    """
    fix = "give a list of names: classes=['ant', 'bee'], or --classes ant,bee"
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        raise UserError(f"classes = {classes!r} is not a list of class names", fix)
    names = tuple(str(name) if isinstance(name, str) else name for name in classes)  # numpy has a str of its own
    if names == own:
        return own
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{name!r} is no class name", fix)
    if (pair := same_names(names)) is not None:
        raise UserError(f"the classes '{pair[0]}' and '{pair[1]}' make the same prompt", "leave one of them out")
    if len(names) < 2:
        raise UserError(f"classes = {list(names)}: there must be at least 2 to choose from", fix)
    return names


def _calibration(run: Run, own: bool, calibrate: bool) -> str:
    if not calibrate:
        return "probabilities are not calibrated"
    if not own:
        return "probabilities are not calibrated: the run's temperature was fitted to its own classes"
    if run.temperature is None:
        return "probabilities are not calibrated: the run has no fitted temperature"
    return f"probabilities calibrated by the run's temperature, {run.temperature:.3g}"


def classify(
    run: Run,
    images: Images,
    top: int,
    classes: Sequence[str] | None,
    calibrate: bool,
    threshold: float | None,
    skip_bad: bool,
    device: str,
    progress: bool,
) -> list[Answer]:
    """See `Run.predict`."""
    listed = pictures(images)
    ready = Classifier(run, classes, top, calibrate, threshold, device)
    nothing: Answer = {"prediction": None, "score": None, "top": [], "probabilities": {}}
    with Bar("images", len(listed), shown=progress and len(listed) > BATCH) as bar:
        return collected(listed, ready.answers(listed), nothing, skip_bad, bar)
