"""Measuring a finished run again: its own tests, or other data."""

import dataclasses
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from cliptune.datasets import contents, open_set
from cliptune.datasets.base import ImageSet, Item, prompts
from cliptune.datasets.code import typed_code
from cliptune.datasets.contents import Located, located
from cliptune.datasets.episodes import OWN_PARTS, Test
from cliptune.datasets.images import printable
from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.files import read_json
from cliptune.models.shortcuts import using
from cliptune.runs import Run
from cliptune.tasks.classify import measure, predict, scorer, scorer_of
from cliptune.training.compute import compute

BROKEN_EPISODE = "put back the file that `cliptune train` wrote, or train again"


def measure_again(run: Run, data: str | None, root: str | None, template: str | None, device: str) -> dict[str, Any]:
    """Accuracy of the untouched backbone and of the adapted one on a test split.

    Args:
        data: a data set or path; None is the run's own, and so is the Python file that the run was made from. A copy of
            the run's own test images counts as these, wherever it is.
        template: None is the run's, or the other data's first.

    Returns:
        data, template, zero_shot, adapted of the first test; and, where the run has several, all of them in `tests`.
        left_out: how many test images were left out because the run was trained or validated on them; notes: what
        somebody should know, in sentences.

    Raises:
        UserError: no test images; other classes for a method whose head knows only its own.
    """
    if template is not None and template.count("{}") != 1:
        raise UserError(f"--template {template!r}", "write one {} where the class name goes")
    notes: list[str] = []
    tests, left_out = tests_of(run, data, root, notes)
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
    first = {**next(iter(found.values())), "left_out": left_out, "notes": notes}
    return first if len(found) == 1 else {**first, "tests": found}


def tests_of(run: Run, data: str | None, root: str | None, notes: list[str]) -> tuple[dict[str, Test], int]:
    """What is measured, and how many of its images are left out; for the arguments see `measure_again`.

    Args:
        notes: what somebody should know is added.
    """
    settings = run.record["recipe"]["data"]
    root = root or settings["root"] or None
    typed = typed_code([data or ""])
    if not data or typed & typed_code([settings["name"]]):  # the Python file that the run was made from
        tests = own_tests(run, root, settings, typed=typed)
        note_replaced(run, {name: located(test.imageset.root, paths_of(test)) for name, test in tests.items()}, notes)
        return tests, 0
    imageset = open_set(data, root, settings["split_seed"], settings.get("missing", "refuse"), typed=typed)
    if is_own_copy(run, imageset):
        notes.append(f"{data} has the run's own test images, by content; they are measured as the run did")
        return own_tests(run, root, settings, imageset), 0
    whole = other_data(run, imageset)
    test = without_seen(run, whole, notes)
    return {"test": test}, len(whole.items) - len(test.items)


def other_data(run: Run, imageset: ImageSet) -> Test:
    """The test split of data that the run was not made for."""
    if not imageset.test:
        raise UserError(f"'{imageset.name}' has no test images", "give data with a test split")
    if not run.adapter.method.open_vocabulary and imageset.classes != run.classes:
        raise UserError(
            f"{run.adapter.method.name} knows only the classes it was fitted on", "evaluate it on its own data"
        )
    return Test(imageset, imageset.test, imageset.classes, imageset.templates[0])


def paths_of(test: Test) -> list[str]:
    return [item.path for item in test.items]


def is_own_copy(run: Run, imageset: ImageSet) -> bool:
    """Whether the test split of your own images is that of the run, by name and content."""
    recorded = contents.read(run.folder)
    if recorded is None or not imageset.source:
        return False
    listed = {item.path for item in imageset.test}
    own = {name: recorded.parts.get(name, {}) for name in run.tests}
    if not listed or set().union(*own.values()) != listed:
        return False
    return not recorded.differing({name: located(imageset.root, part) for name, part in own.items()})


def without_seen(run: Run, test: Test, notes: list[str]) -> Test:
    """The test without images that the run was trained or validated on, whatever they are called there.

    Raises:
        UserError: nothing else is left.
    """
    files = located(test.imageset.root, paths_of(test))
    seen = seen_before(run, test.imageset.name, paths_of(test), files, notes)
    items = tuple(item for item in test.items if item.path not in seen)
    return dataclasses.replace(test, items=items)


def seen_before(run: Run, name: str, paths: Sequence[str], files: Mapping[str, Path], notes: list[str]) -> set[str]:
    """Those test images of the data `name` that the run was trained or validated on; a note says how many.

    Files are compared by content, drawn and embedded images by name.

    Raises:
        UserError: all of them.
    """
    recorded = contents.read(run.folder)
    if files and recorded is None:
        notes.append(f"the run has no {contents.FILE}: images that it was trained on cannot be recognised")
    seen = recorded.among(OWN_PARTS, files) if recorded else set()
    if name == run.record["data"]["name"]:
        own = {path for part in OWN_PARTS for path in listed(run, part)}
        seen |= {path for path in paths if path in own and path not in files}
    if seen and len(seen) == len(set(paths)):
        raise UserError(f"the run was trained or validated on every test image of '{name}'", "give it other images")
    if seen:
        notes.append(
            f"{len(seen):,} of {len(set(paths)):,} test images of '{name}' are left out: the run was trained or "
            "validated on them"
        )
    return seen


def listed(run: Run, part: str) -> list[str]:
    """Paths of a part's images, from the run's episode.json.

    Raises:
        UserError: the file cannot be read, or is not one of a run.
    """
    path = run.folder / "episode.json"
    try:
        return [str(row[0]) for row in read_json(path, BROKEN_EPISODE)[part]]
    except (KeyError, TypeError, IndexError) as problem:
        raise UserError(f"{path} is broken: {type(problem).__name__} {problem}", BROKEN_EPISODE) from None


def note_replaced(run: Run, files: Located, notes: list[str]) -> None:
    """Say how many of the run's own test images have changed since."""
    recorded = contents.read(run.folder)
    if recorded and (replaced := recorded.differing(files)):
        total = len({path for part in files.values() for path in part})
        notes.append(
            f"{len(replaced):,} of {total:,} test images have changed under the same name since the run measured them, "
            f"first {printable(replaced[0])}"
        )


def refuse_gone(name: str) -> None:
    """Refuse a run's own images that are no longer where they were.

    Raises:
        UserError: `name`, as the run recorded it, is a path and nothing is there.
    """
    if Path(name).is_absolute() and not Path(name).exists():
        raise UserError(
            f"the run's images were in {name}, and that is gone",
            "name where they are now: --data PATH (they are compared by content)",
        )


def own_tests(
    run: Run,
    root: str | None,
    settings: Mapping[str, Any],
    copy: ImageSet | None = None,
    typed: Set[Path] = frozenset(),
) -> dict[str, Test]:
    """The run's own test images and classes, from its episode.json; the image sets only read the pixels.

    Splitting your own images again would give another test split as soon as a file was added or removed. What was
    missing then may be missing now, so nothing else is asked of the copy.

    Args:
        copy: where the run's own images are now, if not where they were.
        typed: Python files that a person typed; another one that the run folder names is refused.
    """
    path, fix = run.folder / "episode.json", BROKEN_EPISODE
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
        if source == settings["name"] and copy is not None:
            opened[source] = copy
        if source not in opened:
            refuse_gone(source)
            opened[source] = open_set(source, root, settings["split_seed"], "skip", typed=typed)
        tests[name] = Test(opened[source], items, classes, template)
    return tests
