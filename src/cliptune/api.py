"""The same verbs from Python."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Union

from cliptune import notes
from cliptune.datasets.base import ImageSet
from cliptune.datasets.segmentation import MaskSet
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.methods.base import Method
from cliptune.models.backbone import Backbone
from cliptune.models.segmenter import Segmenter
from cliptune.pipeline import execute, prepare
from cliptune.progress import Bar
from cliptune.recipe import load_tables
from cliptune.registry import name_of
from cliptune.runs import Run
from cliptune.settings import native, plain
from cliptune.tracking import installed
from cliptune.training.events import Event

Name = Union[str, "os.PathLike[str]"]


def train(
    model: Backbone | Name,
    data: ImageSet | MaskSet | Name,
    method: Method | type[Method] | Name,
    *,
    shots: int | None = None,
    seed: int | None = None,
    preset: str = "auto",
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    fresh: bool = False,
    track: Iterable[str] | str = (),
    progress: bool = True,
    on_event: Callable[[Event], None] | None = None,
) -> Run:
    """Adapt `model` with `method` on `shots` images per class of `data`, measure it, write a run folder.

    >>> run = cliptune.train("vit-b-16", "photos/", cliptune.DoRA(rank=2), shots=4)  # doctest: +SKIP
    >>> run.metrics["test"]["accuracy"]  # doctest: +SKIP
    0.921

    Images with masks are marked: shots are then images in all.

    Warns (UserWarning) of what the command line notes: a run of hours, what of the data or recipe does not count, class
    names that are codes, how your own images are varied, a backbone that only guesses, a run that has hardly learned.

    Args:
        model: a backbone from `cliptune.load`, a segmenter from `cliptune.load_segmenter`, or its name or folder.
        data: an image set from `cliptune.data`, images with masks from `cliptune.masks`, or their name, folder or CSV.
        method: like `cliptune.DoRA(rank=2)`; the class `cliptune.DoRA` with the preset's settings; or a method's or
            recipe's name.
        shots, seed: None takes the recipe's (16, of images with masks all, and 1 where it says nothing).
        preset: paper, small, or auto (small under 20 M parameters).
        settings: dotted key → value, as `--set`: {"train.lr": 1e-3, "train.batch": 16}. `cliptune show train` on the
            command line lists a table's keys.
        out: run folder; by default below `runs/`.
        device: auto, cpu, cuda or mps.
        resume, fresh: go on with an unfinished run in that folder; remove what is there and start over.
        track: experiment trackers that follow the run, like "tensorboard" or ["tensorboard", "wandb"].
        progress: show a bar, on a terminal or in a notebook.
        on_event: called with every event of training (`cliptune.training.events`: Started, Step with loss and rate,
            Validated, PhaseEnded, Saved, Measured).

    Returns:
        The finished run; an equal finished run in that folder is returned as it is.

    Raises:
        UserError: anything a person can correct; its text says what to write instead.
    """
    trackers = installed([track] if isinstance(track, str) else track)
    tables = _tables(method)
    given = {"protocol.shots": shots, "protocol.seed": seed}
    chosen: dict[str, Any] = {key: native(value) for key, value in given.items() if value is not None}
    chosen |= _checked_settings(settings)
    backbone = model if isinstance(model, Backbone) else None
    imageset = data if isinstance(data, ImageSet | MaskSet) else None
    chosen["model.name"] = backbone.name if backbone else name_of(model, "model", ", or cliptune.load(…)")
    opened = (imageset.source or imageset.name) if imageset else name_of(data, "data", ", or cliptune.data(…)")
    chosen["data.name"] = opened
    if isinstance(imageset, MaskSet):
        chosen |= imageset.opened
        if isinstance(backbone, Segmenter) and backbone.keeps_inert:
            chosen.setdefault("segment.inert", "keep")
    elif imageset:
        chosen["data.split_seed"] = imageset.split_seed
        chosen |= {f"data.{key}": value for key, value in imageset.opened.items()}
    plan = prepare(tables, chosen, preset, device, backbone, imageset)
    folder = user_path(name_of(out, "folder", "")) if out else None
    main = plan.machine.group.main
    _warn(notes.before_run(plan) if main else ())
    with Bar(shown=progress and main) as bar:
        listeners = [bar.hear] if on_event is None else [bar.hear, on_event]
        run = execute(plan, folder, resume=resume, fresh=fresh, listeners=listeners, track=trackers)
    _warn([note for note in notes.after_run(run) if len(note) > 1] if main else ())  # those with something to do
    return run


def _warn(told: Iterable[notes.Note]) -> None:
    """The command line's notes as warnings, on the line that called `train`."""
    for note in told:
        warnings.warn("\n  ".join(note), stacklevel=3)


def _tables(method: Any) -> dict[str, dict[str, Any]]:
    """A recipe's tables of a method, its class, or a name."""
    if isinstance(method, Method):
        return {"method": {"name": method.name, **plain(method)}}
    if isinstance(method, type) and issubclass(method, Method) and method is not Method:
        return {"method": {"name": method.name}}
    return load_tables(name_of(method, "method", ", or cliptune.LoRA(rank=2)"))


def _checked_settings(settings: Any) -> dict[str, Any]:
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise UserError(f"settings = {settings!r}", 'give names and values: settings={"train.lr": 1e-3}')
    return {key: native(value) for key, value in settings.items()}
