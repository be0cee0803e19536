"""What a person should know of a run before it begins and once it has ended. The one place for the words.

A note is a few lines: what is to be known, then what to do about it. The command line prints them, `cliptune.train`
warns of them, a notebook shows those of a finished run.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # mistakes are answered without loading torch
    from cliptune.datasets.coded_names import Coded
    from cliptune.planning import AnyPlan
    from cliptune.runs import Run

Note = tuple[str, ...]
LONG = 300
"""seconds from which on a run's time is told before it begins"""
SHORT = 1800
"""seconds that the offered number of steps takes"""
FEWEST = 20
"""steps below which none are offered: they would teach next to nothing"""


def of_plan(plan: "AnyPlan") -> Iterator[Note]:
    """What was left out, guessed or does not count, and class names that are codes."""
    for note in (*plan.episode.notes, *plan.notes):
        yield (note,)
    if (codes := codes_in(plan)) is not None:
        yield codes.what, codes.fix


def codes_in(plan: "AnyPlan") -> "Coded | None":
    """Class names of somebody's own images that are codes and no words."""
    from cliptune.datasets.coded_names import coded
    from cliptune.datasets.episodes import Episode

    episode = plan.episode
    if not isinstance(episode, Episode) or not episode.imageset.source:
        return None
    return coded(episode.classes, episode.template)


def training_images(plan: "AnyPlan") -> Note:
    """How the training images are varied and, where it was decided for somebody's own images, what decided it."""
    told = f"training images: {plan.augment().told()}"
    if plan.mirroring is None:
        return (told,)
    other = "affine" if plan.augment().flip and plan.augment().kind == "photo" else "photo"
    return told, f"because {plan.mirroring.why}; --set train.augment={other} overrides"


def long_run(plan: "AnyPlan", runs: int = 1) -> Note:
    """The time of a run that takes minutes or hours, and what takes less; empty of a short one.

    Args:
        runs: how many of them follow one another.
    """
    from cliptune.report import words
    from cliptune.studies.estimate import of_plan as guessed

    guess = guessed(plan)
    if guess.seconds is None or guess.seconds * runs < LONG:
        return ()
    each = words.seconds(guess.seconds)
    told = each if runs == 1 else f"{words.seconds(runs * guess.seconds)}, {runs:,} runs of {each} each,"
    shorter = [f"{way}{' a run' if runs > 1 else ''}" for way in ways_to_less(plan, guess.seconds)]
    return (
        f"this will take about {told} on this machine: {_length(plan)}",
        "This estimate may be off by a factor of two; `cliptune check` with the same arguments measures it.",
        *([f"shorter: {'; '.join(shorter)}"] if shorter else []),
    )


def _length(plan: "AnyPlan") -> str:
    from cliptune.studies.estimate import work_of

    work = work_of(plan)
    upto = "up to " if plan.recipe.train.patience else ""
    return f"{upto}{work.steps:,} steps of {plan.recipe.train.batch} images" if work and work.steps else "no steps"


def ways_to_less(plan: "AnyPlan", seconds: float) -> list[str]:
    """What takes less than `seconds`: a head on stored features, fewer steps."""
    from cliptune.methods import METHODS
    from cliptune.recipe import find_method
    from cliptune.report import words
    from cliptune.studies.estimate import of_plan as guessed
    from cliptune.studies.estimate import steps_within

    ways = []
    for name in METHODS:
        method = find_method(name)
        if plan.recipe.task in method.tasks and any(phase.kind == "closed" for phase in method().phases()):
            other: Any = dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, method=method()))  # type: ignore[type-var]
            quick = guessed(other).seconds
            if quick is not None and quick < seconds / 2:
                ways.append(f"first {name} in place of {plan.recipe.method.name}: about {words.seconds(quick)}")
    steps = steps_within(plan, SHORT)
    if steps >= FEWEST and seconds > 2 * SHORT:
        ways.append(f"--set train.steps={steps}, fewer than the recipe's: about {words.seconds(SHORT)}")
    return ways


def embedded_model(plan: "AnyPlan") -> Note:
    """That a person's own images meet the small model that ships, where nobody named one."""
    marks = plan.recipe.task == "segment"
    what = "segmenter" if marks else "CLIP"
    better = "clipseg-rd64-refined" if marks else "vit-b-16"
    return (
        f"no --model: the embedded mini {what} is used, which learned from drawn shapes at "
        f"{plan.backbone.preprocess.crop} pixels",
        f"for your own images take a real one: --model {better}; all names: cliptune list models",
    )


def before_run(plan: "AnyPlan") -> Iterator[Note]:
    """All that holds whoever starts the run."""
    yield from of_plan(plan)
    if plan.mirroring is not None:
        yield training_images(plan)
    if long := long_run(plan):
        yield long


def after_run(run: "Run") -> Iterator[Note]:
    """Zero-shot at or below chance, and what the run noted of its training."""
    from cliptune.report.read import Record, RunFolder
    from cliptune.report.remarks import fixes_once, remarks_on_numbers, written

    folder = RunFolder(run.folder, run.record)
    listed = written(folder) if run.task == "segment" else remarks_on_numbers(Record(run.folder, run.record))
    for remark in fixes_once(listed):
        yield (remark.what, remark.fix) if remark.fix else (remark.what,)
