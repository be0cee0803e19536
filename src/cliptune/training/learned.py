"""Whether a run has learned: its training loss, and its own validation images beside two that cost nothing.

    loss          first: the cross-entropy of the last phase's first step, which is the untouched backbone's;
                  last: the mean of its last five steps
                  hardly fallen: last > 0.8 · min(first, ln c)  and  last > 0.5 · ln c            c classes
    zero_shot     the untouched backbone on the same validation images
    linear_probe  a ridge regression from the untouched image features of the training images, not augmented, to their
                  classes; its strength is the best on the validation images, which flatters it a little

Answering all c classes alike costs ln c. A run that starts above it, as a backbone that is surely wrong does, comes
down to ln c by forgetting alone, so the fall counts from there. Below half of it the backbone chooses as if among √c
classes: it knows them, and a loss that stays says nothing. In between, a run on 101 classes that had learned next to
nothing ended at 0.89 of ln c, and one that had reached half of the probe's accuracy at 0.77
(docs/decisions/0017-small-preset.md).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cliptune.methods.base import Features
from cliptune.recipe import Recipe
from cliptune.recipe_presets import is_trained_by_steps
from cliptune.statistics import sign_test

FALLEN, KNOWN = 0.8, 0.5
"""parts of the loss, see above"""
ENDS = 5
"""steps that the last loss is the mean of, but never more than a third of all"""
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""strengths tried, as parts of the features' spread"""
CHANCE = 0.05
"""one-sided probability under which a worse answer is no chance"""
TITLES = {"zero_shot": "the untouched backbone", "linear_probe": "a linear probe on the untouched backbone's features"}


def ridge_probe(train: Features, val: Features) -> np.ndarray:
    """Which validation images a ridge regression onto the classes tells rightly: bool [n]."""
    x, middle = _unit(train.features), _unit(train.features).mean(dim=0)
    one = torch.ones(len(x), 1, dtype=x.dtype)
    x, z = torch.cat([x - middle, one], dim=1), _unit(val.features) - middle
    z = torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], dim=1)
    classes = int(max(train.labels.max(), val.labels.max())) + 1
    wanted = functional.one_hot(train.labels, classes).to(x.dtype)
    moments, towards = x.T @ x, x.T @ wanted
    spread = float(x[:, :-1].square().sum(dim=1).mean())
    best = np.zeros(len(z), dtype=bool)
    for ridge in RIDGES:
        weight = max(ridge * spread * len(x), 1e-9) * torch.eye(x.shape[1], dtype=x.dtype)
        right = ((z @ torch.linalg.solve(moments + weight, towards)).argmax(dim=1) == val.labels).numpy()
        best = right if right.sum() > best.sum() else best
    return best


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.double(), dim=-1)


def beside(after: np.ndarray, others: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A run's right answers on its validation images, bool [n], beside those of others on the same images.

    `chance` is the probability, by an exact sign test over the images that only one of the two tells rightly, that a
    run as good as the other ends as far below it.
    """
    told: dict[str, Any] = {"n": len(after), "accuracy": float(after.mean())}
    for name, right in others.items():
        worse, better = int((right & ~after).sum()), int((after & ~right).sum())
        told[name] = {"accuracy": float(right.mean()), "chance": sign_test(worse, better)}
    return told


def losses(log: Path) -> list[float]:
    """The cross-entropies of all steps of the last phase in a metrics.jsonl; empty where there is none."""
    phases: dict[str, list[float]] = {}
    for line in log.read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "step" and "ce" in event["parts"]:
            phases.setdefault(event["phase"], []).append(event["parts"]["ce"])
    return list(phases.values())[-1] if phases else []


def fall(values: Sequence[float], classes: int) -> dict[str, Any]:
    """How far the cross-entropy has come down over the steps, see the top."""
    ends = max(1, min(ENDS, len(values) // 3))
    first, last, guessing = values[0], sum(values[-ends:]) / ends, math.log(classes)
    hardly = last > FALLEN * min(first, guessing) and last > KNOWN * guessing
    return {"first": first, "last": last, "guessing": guessing, "hardly_fallen": hardly}


def learned(record: Mapping[str, Any], recipe: Recipe, log: Path) -> dict[str, Any]:
    """The record's part `learning`: loss, validation images, remarks for people; empty where nothing is fitted.

    Args:
        record: run.json with its metrics, and `on_validation` (see `beside`) where images are classified.
        log: the run's metrics.jsonl.
    """
    if not recipe.method.phases():
        return {}
    told: dict[str, Any] = {}
    validation = dict(record.get("on_validation") or _of_dice(record.get("metrics", {})))
    if not is_trained_by_steps(recipe.method):
        validation.pop("linear_probe", None)  # it is fitted to features itself
    elif values := losses(log):
        told["loss"] = fall(values, len(record["data"]["classes"]))
    if validation:
        told["validation"] = validation
    return {"learning": {**told, "remarks": remarks(told, _advice(told, recipe, record.get("training", {})))}}


def _of_dice(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a run that marks images; of a mean of Dice no chance is told."""
    after, before = metrics.get("validation"), metrics.get("validation_zero_shot")
    if not after or not before or "dice" not in after:
        return {}
    return {"n": after["n"], "dice": after["dice"], "zero_shot": {"dice": before["dice"]}}


@dataclass(frozen=True)
class Advice:
    """What to type instead where a run is worse than it should be."""

    unlearned: str
    """its loss has not come down, or others that cost nothing are ahead of it"""
    worse: str
    """its loss has come down and the untouched backbone is ahead of it"""


def _advice(told: Mapping[str, Any], recipe: Recipe, training: Mapping[str, Any]) -> Advice:
    if not is_trained_by_steps(recipe.method):
        more = "give it more images (--shots), or take another method: cliptune list methods"
        return Advice(more, more)
    lr, loss = recipe.train.lr, told.get("loss")
    slower = f"lower the learning rate: --set train.lr={lr / 4:g}"
    if loss and loss["last"] > loss["first"]:
        return Advice(slower, slower)
    higher = f"a higher learning rate: --set train.lr={2 * lr:g}"
    if training.get("stopped_early"):
        patience = 2 * recipe.train.patience
        return Advice(f"train longer: --set train.patience={patience}; or take {higher}", slower)
    return Advice(f"train longer: --set train.steps={4 * training['steps']}; or take {higher}", slower)


def remarks(told: Mapping[str, Any], advice: Advice) -> list[dict[str, str]]:
    """What is wrong with a run (`what`) and what to type instead (`fix`, empty where chance explains it)."""
    listed = []
    loss, validation = told.get("loss"), told.get("validation", {})
    if loss and loss["hardly_fallen"]:
        course = "has risen" if loss["last"] > loss["first"] else "has hardly fallen"
        what = f"the training loss {course}: {loss['first']:.2f} → {loss['last']:.2f} "
        listed.append({"what": f"{what}(a random guess has a loss of {loss['guessing']:.2f})", "fix": advice.unlearned})
    score = "dice" if "dice" in validation else "accuracy"
    for name, title in TITLES.items():
        other = validation.get(name)
        if not other or validation[score] >= other[score]:
            continue
        what = f"on its own {validation['n']:,} validation images it ends below {title}: "
        what += f"{100 * validation[score]:.1f} against {100 * other[score]:.1f} %"
        if other.get("chance", 0.0) >= CHANCE:
            listed.append({"what": f"{what}; the difference is within chance", "fix": ""})
        else:
            listed.append({"what": what, "fix": advice.worse if name == "zero_shot" else advice.unlearned})
    return listed
