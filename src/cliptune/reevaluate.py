"""Measuring a finished run again: its own test split, or other data."""

import dataclasses
import json
from typing import Any

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, Item, prompts
from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.models.shortcuts import using
from cliptune.runs import Run
from cliptune.tasks.classify import measure, predict, scorer, scorer_of
from cliptune.training.compute import compute


def measure_again(run: Run, data: str | None, root: str | None, template: str | None, device: str) -> dict[str, Any]:
    """Accuracy of the untouched backbone and of the adapted one on a test split.

    Args:
        data: a data set or path; None is the run's own. template: None is the run's, or the other data's first.

    Raises:
        UserError: no test images; other classes for a method whose head knows only its own.
    """
    settings = run.record["recipe"]["data"]
    imageset = open_set(data or settings["name"], root or settings["root"] or None, settings["split_seed"])
    if not data:
        imageset = as_tested(run, imageset)
    if not imageset.test:
        raise UserError(f"'{imageset.name}' has no test images", "give data with a test split")
    dtype = run.record["environment"]["dtype"]
    machine = compute(device, "auto" if dtype == "float16" else dtype, run.backbone.parameters)
    run.to(machine.device)
    if data and not run.adapter.method.open_vocabulary and imageset.classes != run.classes:
        raise UserError(
            f"{run.adapter.method.name} knows only the classes it was fitted on", "evaluate it on its own data"
        )
    template = template or (imageset.templates[0] if data else run.record["data"]["template"])
    if template.count("{}") != 1:
        raise UserError(f"--template {template!r}", "write one {} where the class name goes")
    tokens = run.backbone.tokens(prompts(imageset.classes, template))
    pixels = Pixels(imageset, imageset.test, run.backbone.preprocess)
    batch = run.record["recipe"]["evaluate"]["batch"]
    with using(run.shortcuts):
        adapted = scorer_of(run.adapter, tokens)
        before = predict(scorer(run.backbone, tokens), pixels, run.backbone, machine, batch)
        after = predict(adapted, pixels, run.backbone, machine, batch)
    return {
        "data": imageset.name,
        "template": template,
        "zero_shot": measure(before, imageset.classes),
        "adapted": measure(after, imageset.classes),
    }


def as_tested(run: Run, imageset: ImageSet) -> ImageSet:
    """The run's own (first) test's images and classes, from its episode.json; `imageset` only reads the pixels.

    Splitting your own images again would give another test split as soon as a file was added or removed.
    """
    episode = json.loads((run.folder / "episode.json").read_text("utf-8"))
    items = tuple(Item(path, label) for path, label in episode["tests"][run.tests[0]])
    told = episode.get("tested", {}).get(run.tests[0], episode)
    return dataclasses.replace(imageset, classes=tuple(told["classes"]), test=items)
