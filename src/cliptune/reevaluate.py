"""Measuring a finished run again: its own tests, or other data."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, Item, prompts
from cliptune.datasets.code import typed_code
from cliptune.datasets.episodes import Test
from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.files import read_json
from cliptune.models.shortcuts import using
from cliptune.runs import Run
from cliptune.tasks.classify import measure, predict, scorer, scorer_of
from cliptune.training.compute import compute


def measure_again(run: Run, data: str | None, root: str | None, template: str | None, device: str) -> dict[str, Any]:
    """Accuracy of the untouched backbone and of the adapted one on a test split.

    Args:
        data: a data set or path; None is the run's own, and so is the Python file that the run was made from.
        template: None is the run's, or the other data's first.

    Returns:
        data, template, zero_shot, adapted of the first test; and, where the run has several, all of them in `tests`.

    Raises:
        UserError: no test images; other classes for a method whose head knows only its own.
    """
    if template is not None and template.count("{}") != 1:
        raise UserError(f"--template {template!r}", "write one {} where the class name goes")
    settings = run.record["recipe"]["data"]
    base = root or settings["root"] or None
    typed = typed_code([data or ""])
    other = data is not None and not typed & typed_code([settings["name"]])
    tests = {"test": other_data(run, data, base, settings)} if data and other else own_tests(run, base, settings, typed)
    dtype = run.record["environment"]["dtype"]
    machine = compute(device, "auto" if dtype == "float16" else dtype, run.backbone.parameters)
    run.to(machine.device)
    batch = run.record["recipe"]["evaluate"]["batch"]
    found = {}
    with using(run.shortcuts):
        for name, test in tests.items():
            chosen = template or test.template
            tokens = run.backbone.tokens(prompts(test.classes, chosen))
            pixels = Pixels(test.imageset, test.items, run.backbone.preprocess)
            both = {
                key: measure(predict(score, pixels, run.backbone, machine, batch), test.classes)
                for key, score in (
                    ("zero_shot", scorer(run.backbone, tokens)),
                    ("adapted", scorer_of(run.adapter, tokens)),
                )
            }
            found[name] = {"data": test.imageset.name, "template": chosen, **both}
    first = next(iter(found.values()))
    return first if len(found) == 1 else {**first, "tests": found}


def other_data(run: Run, data: str, root: str | None, settings: Mapping[str, Any]) -> Test:
    """The test split of data that the run was not made for."""
    imageset = open_set(data, root, settings["split_seed"], typed=typed_code([data]))
    if not imageset.test:
        raise UserError(f"'{imageset.name}' has no test images", "give data with a test split")
    if not run.adapter.method.open_vocabulary and imageset.classes != run.classes:
        raise UserError(
            f"{run.adapter.method.name} knows only the classes it was fitted on", "evaluate it on its own data"
        )
    return Test(imageset, imageset.test, imageset.classes, imageset.templates[0])


def own_tests(
    run: Run, root: str | None, settings: Mapping[str, Any], typed: Set[Path] = frozenset()
) -> dict[str, Test]:
    """The run's own test images and classes, from its episode.json; the image sets only read the pixels.

    Splitting your own images again would give another test split as soon as a file was added or removed. What was
    missing then may be missing now, so nothing else is asked of the copy.

    Args:
        typed: Python files that a person typed; another one that the run folder names is refused.
    """
    path, fix = run.folder / "episode.json", "put back the file that `cliptune train` wrote, or train again"
    episode = read_json(path, fix)
    opened: dict[str, ImageSet] = {}
    tests = {}
    for name in run.tests:
        try:
            told = episode.get("tested", {}).get(name) or {"data": episode["data"], **episode}
            items = tuple(Item(str(path), int(label)) for path, label in episode["tests"][name])
            classes, template, own = tuple(map(str, told["classes"])), str(told["template"]), str(episode["data"])
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is broken: {type(problem).__name__} {problem}", fix) from None
        source = settings["name"] if told["data"] == own else str(told["data"])
        if source not in opened:
            opened[source] = open_set(source, root, settings["split_seed"], "skip", typed=typed)
        tests[name] = Test(opened[source], items, classes, template)
    return tests
