"""What a person should know before a run begins: that it takes long, and what is shorter; whose model it is."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cliptune.cli import output

if TYPE_CHECKING:
    from cliptune.planning import AnyPlan

LONG = 300
"""seconds from which on a run's time is told before it begins"""
SHORT = 1800
"""seconds that the offered number of steps takes"""
FEWEST = 20
"""steps below which none are offered: they would teach next to nothing"""


def say_time(plan: "AnyPlan", runs: int = 1) -> None:
    """The time of a run that takes minutes or hours, and what takes less.

    Args:
        runs: how many of them follow one another.
    """
    from cliptune.report import words
    from cliptune.studies.estimate import of_plan

    guess = of_plan(plan)
    if guess.seconds is None or guess.seconds * runs < LONG:
        return
    each = words.seconds(guess.seconds)
    told = each if runs == 1 else f"{words.seconds(runs * guess.seconds)}, {runs:,} runs of {each} each,"
    output.say(f"note: this will take about {told} on this machine: {_length(plan)}")
    output.say("      right within a factor of two; `cliptune check` with the same words times three steps")
    if shorter := ways_to_less(plan, guess.seconds):
        output.say(f"      shorter: {'; '.join(shorter)}")


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
    from cliptune.studies.estimate import of_plan, steps_within

    ways = []
    for name in METHODS:
        method = find_method(name)
        if plan.recipe.task in method.tasks and any(phase.kind == "closed" for phase in method().phases()):
            other: Any = dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, method=method()))  # type: ignore[type-var]
            quick = of_plan(other).seconds
            if quick is not None and quick < seconds / 2:
                ways.append(f"first {name} in place of {plan.recipe.method.name}: about {words.seconds(quick)}")
    steps = steps_within(plan, SHORT)
    if steps >= FEWEST and seconds > 2 * SHORT:
        ways.append(f"--set train.steps={steps}: about {words.seconds(SHORT)}, fewer steps than the recipe's")
    return ways


def say_model(plan: "AnyPlan", tables: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> None:
    """That nobody named a model, where a person's own images meet the one that ships."""
    named = "model.name" in options or "name" in tables.get("model", {})
    data = getattr(plan.episode, "imageset", None) or plan.episode.maskset
    if named or not data.source:
        return
    marks = plan.recipe.task == "segment"
    what = "segmenter" if marks else "CLIP"
    better = "clipseg-rd64-refined" if marks else "vit-b-16"
    output.say(
        f"note: no --model: the embedded mini {what} is used, which learned from drawn shapes at "
        f"{plan.backbone.preprocess.crop} pixels"
    )
    output.say(f"      for your own images take a real one: --model {better}; all names: cliptune list models")
