"""Experiment trackers (tensorboard, wandb, …) through accelerate's adapters, as one listener of a run.

A tracker watches; the run folder stays the record. So what it writes itself lies in `tracking/` there and is read by
nothing of ours, and a tracker that fails is dropped with one warning instead of costing the run.

A resumed run goes on under the same step numbers. Tensorboard is told to forget the steps that come again; the others
get a further run of the same name, which begins where this one goes on.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cliptune.errors import UserError
from cliptune.recipe import Recipe
from cliptune.registry import nearest
from cliptune.training.events import Event, Measured, Step, as_dict
from cliptune.training.loop import phase_steps

PROJECT = "cliptune"
NAMED_BY = {
    "wandb": "name",
    "trackio": "name",
    "swanlab": "experiment_name",
    "mlflow": "run_name",
    "clearml": "task_name",
}
"""trackers that keep runs in projects → the argument that names the run"""


def installed(names: Iterable[str]) -> tuple[str, ...]:
    """The trackers asked for, one by one; a name may be a list with commas.

    Raises:
        UserError: an unknown one, or one that is not installed.
    """
    asked = [word.strip().lower() for text in names for word in text.split(",") if word.strip()]
    if not asked:
        return ()
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
    from accelerate.utils import LoggerType

    there = {str(kind) for kind in get_available_trackers()}
    for name in asked:
        if name not in LOGGER_TYPE_TO_CLASS:
            close = nearest(name, LOGGER_TYPE_TO_CLASS)
            offer = f"did you mean {close[0]}? " if close else ""
            raise UserError(f"--track {name}: no such tracker", f"{offer}known: {', '.join(LOGGER_TYPE_TO_CLASS)}")
        if name in {str(kind) for kind in LoggerType} - there:
            extra = " (the extra `track` brings it)" if name == "tensorboard" else ""
            raise UserError(
                f"--track {name}: it is not installed", f"pip install {name.replace('_', '-')}{extra}, or leave it out"
            )
    return tuple(dict.fromkeys(asked))


class Trackers:
    """The `installed` trackers of one run: hears its events, from `with` to the end of it.

    They are started by the first event, when the run's record lies in the folder.
    """

    def __init__(self, names: Iterable[str], folder: Path, recipe: Recipe, images: int):
        self.waiting = list(names)
        self.folder, self.recipe = folder, recipe
        self.running: dict[str, Any] = {}
        self.before: dict[str, int] = {}
        self.last = total = 0
        for phase in recipe.method.phases():
            self.before[phase.name] = total
            total += phase_steps(phase, recipe, images) if phase.kind == "gradient" else 0

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, *_: object) -> None:
        for name, tracker in list(self.running.items()):
            self._attempt(name, tracker.finish)

    def hear(self, event: Event) -> None:
        if not isinstance(event, Measured) and hasattr(event, "step"):
            self.last = self.before[event.phase] + event.step
        for name in self.waiting:
            self._attempt(name, partial(self._open, name))
        self.waiting = []
        if values := told(event):
            for name, tracker in list(self.running.items()):
                self._attempt(name, partial(tracker.log, values, step=self.last))

    def _open(self, name: str) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind, place, run = LOGGER_TYPE_TO_CLASS[name], self.folder / "tracking", self.folder.name
        options: dict[str, Any] = {NAMED_BY[name]: run} if name in NAMED_BY else {}
        known = name == "tensorboard" and (place / run).exists()
        if known:
            options = {"purge_step": self.last + 1}
        if kind.requires_logging_directory:
            place.mkdir(exist_ok=True)
        places = [place] if kind.requires_logging_directory else []
        tracker = kind(PROJECT if name in NAMED_BY else run, *places, **options)
        tracker.start()
        self.running[name] = tracker
        if not known:
            tracker.store_init_configuration(settings(self.recipe))

    def _attempt(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as problem:
            self.running.pop(name, None)
            reason = str(problem).partition("\n")[0] or type(problem).__name__
            warnings.warn(f"{name} failed ({reason}); the run goes on without it", stacklevel=2)


def settings(recipe: Recipe) -> dict[str, Any]:
    """'train.lr' → its value; lists as text, because trackers take scalars."""
    return {
        f"{table}.{key}": json.dumps(value) if isinstance(value, list) else value
        for table, values in recipe.tables().items()
        for key, value in values.items()
    }


def told(event: Event) -> dict[str, float]:
    """The measurements in an event: a step's under its phase, like 'train/loss', another's under its own name."""
    if isinstance(event, Measured):
        return flat(event.metrics)
    values = as_dict(event)
    if isinstance(event, Step):
        shown = {key: values[key] for key in ("loss", "lr", "images_per_second")} | values["parts"]
        return {f"{event.phase}/{key}": value for key, value in shown.items()}
    if "step" not in values:
        return {}
    return {f"{values['event']}/{key}": value for key, value in values.items() if isinstance(value, float)}


def flat(metrics: Mapping[str, Any], under: str = "") -> dict[str, float]:
    """The fractions in run.json's metrics by path, like 'test/accuracy'; those of single classes are left out."""
    found: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping) and key != "per_class":
            found |= flat(value, f"{under}{key}/")
        elif isinstance(value, float):
            found[f"{under}{key}"] = value
    return found
