"""What the presets of a recipe set, and how long training is.

paper    the published settings of every method
small    for small backbones: a rate of its own for every method, and one length for all that descend a gradient

steps = passes · images / batch, not under least_steps and not over most_steps          (docs/decisions/0017)

Where all images are trained on (full-data, domain-generalization, shots = all) the length is 10 epochs, not under
least_steps: the small preset's passes and its upper limit are for few images.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from cliptune import settings

if TYPE_CHECKING:
    from cliptune.methods.base import Method
    from cliptune.recipe import Recipe

FULL_DATA_EPOCHS = 10
"""CLIP-DoRA's, for domain generalization"""

SMALL: dict[str, Any] = {"train.passes": 32, "train.least_steps": 60, "train.most_steps": 400, "train.batch": 32}
"""the length of the small preset, the same for every method that is trained by steps"""

WAYS: dict[str, Any] = {"steps": "auto", "epochs": 0, "passes": 0, "steps_per_shot": None}
"""settings of [train] that say how long training is, the first that says something winning, and what says nothing"""
LENGTHS = (*WAYS, "least_steps", "most_steps")

MEDVLSM: dict[str, Any] = {
    "train.schedule": "plateau",
    "train.weight_decay": 1e-3,
    "train.clip": 0.5,
    "train.epochs": 1000,
    "train.validate_every": "epoch",
    "train.patience": 20,
    "train.min_delta": 1e-4,
}
"""medvlsm's training of CLIPSeg, for every method (its least of ten epochs follows from the patience)"""
PUBLISHED_RATES = {"driver": {"train.lr": 2e-3, "train.batch": 128}, "yaml": {"train.lr": 2e-4, "train.batch": 16}}
SEGMENT_SMALL: dict[str, Any] = {
    "train.epochs": 8,
    "train.batch": 16,
    "train.lr": 1e-3,
    "train.augment": "affine",
    "segment.decoder_lr": 1e-3,
}
"""for the mini CLIPSeg; these and the methods' rates were chosen on validation images of world/glyphs, seed 1"""


def preset_of(method: "type[Method]", preset: str, segment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a preset sets for a method: dotted key → value.

    Args:
        preset: paper or small.
        segment: the table [segment] of a recipe that marks images; None where images are classified.
    """
    if segment is None:
        trained = "classify" in method.tasks and is_trained_by_steps(method())
        common = SMALL if preset == "small" and trained else {}
        return {**common, **method.presets.get(preset, {})}
    own = method.presets.get(f"segment/{preset}", {})
    if preset == "small":
        return {**SEGMENT_SMALL, **own}
    published = settings.convert(segment.get("published", "driver"), Literal["driver", "yaml"], "segment.published")
    task = MEDVLSM | PUBLISHED_RATES[published]
    if "train.lr" in own:  # a rate for the towers; the decoder keeps the published one
        task["segment.decoder_lr"] = task["train.lr"]
    return {**task, **own}


def is_trained_by_steps(method: "Method") -> bool:
    """Whether a method descends a gradient."""
    return any(phase.kind == "gradient" for phase in method.phases())


def foreign_lengths(tables: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """The lengths in a recipe's [train] that do not count, because it was written for another preset than the chosen.

    base-to-novel-ast says 20 epochs for the paper's preset; under small it would be trained for three times the steps
    of the methods beside it.

    Args:
        preset: the chosen one, paper or small.
    """
    written_for = tables.get("recipe", {}).get("preset", "auto")
    if written_for in ("auto", preset):
        return {}
    return {key: value for key, value in tables.get("train", {}).items() if key in LENGTHS}


def says(train: Mapping[str, Any]) -> list[str]:
    """The lengths in a table [train] that say something, and do not leave it to other settings."""
    return [key for key, value in train.items() if key in WAYS and value != WAYS[key]]


def length_notes(tables: Mapping[str, Any], preset: str) -> tuple[str, ...]:
    """In words, which lengths of a recipe do not count under the chosen preset."""
    foreign = foreign_lengths(tables, preset)
    told = ", ".join(f"train.{key} = {foreign[key]}" for key in says(foreign))
    if not told:
        return ()
    keep = " ".join(f"--set train.{key}={foreign[key]}" for key in says(foreign))
    belong = "belongs" if "," not in told else "belong"
    ignored = "is" if belong == "belongs" else "are"
    written = tables["recipe"]["preset"]
    return (f"{told} {belong} to the {written} preset and {ignored} ignored under {preset}; {keep} keeps it",)


def overlay(train: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Take the lengths out of a recipe's table [train] where the options, which win over it, say another."""
    if says({key.removeprefix("train."): value for key, value in options.items() if key.startswith("train.")}):
        for key in LENGTHS:
            train.pop(key, None)


def fill(merged: Mapping[str, dict[str, Any]], defaults: Mapping[str, Any], whole: bool = False) -> None:
    """Put a preset's values where `merged` (table → key → value) has none.

    Where a length is given, the preset's own is left out: `train.passes` beside a preset of 30 epochs would do nothing.
    A limit that is given wins over the preset's other one.

    Args:
        whole: whether all images are trained on. Epochs are their length, so of the preset's only the floor counts.
    """
    train, given = dict(merged["train"]), says(merged["train"])
    for key, value in defaults.items():
        section, _, name = key.rpartition(".")
        if section == "train" and name in LENGTHS and (given or (whole and name in ("passes", "most_steps"))):
            continue
        merged[section or "method"].setdefault(name, value)
    least, most = merged["train"].get("least_steps", 0), merged["train"].get("most_steps", 0)
    if 0 < most < least and ("least_steps" in train) != ("most_steps" in train):
        typed = most if "most_steps" in train else least
        merged["train"]["least_steps"] = merged["train"]["most_steps"] = typed


def steps_of(recipe: "Recipe", images: int) -> int:
    """Optimiser steps of the main phase for that many training images."""
    train = recipe.train
    if train.steps != "auto":
        return train.steps
    shots = recipe.shots
    if train.epochs or (shots is None and not train.passes):
        steps = (train.epochs or FULL_DATA_EPOCHS) * -(-images // train.batch)
    elif train.passes:
        steps = math.ceil(train.passes * images / train.batch)
    else:
        assert shots is not None
        steps = train.steps_per_shot * shots
    return max(train.least_steps, min(steps, train.most_steps or steps))
