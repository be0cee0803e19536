"""After training: the one place that opens the test split.

The untouched backbone is measured first (`Evaluation.before`), which also decodes every test image before anything is
written; the trained adapter afterwards. Nothing measured here reaches the trainer.
"""

import functools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, Item, prompts
from cliptune.datasets.episodes import Episode, Test
from cliptune.datasets.pixels import Pixels
from cliptune.export import merge_gap
from cliptune.files import write_tensors, write_text, write_whole
from cliptune.methods.base import Adapter, Features
from cliptune.recipe_presets import is_trained_by_steps
from cliptune.statistics import harmonic, wilson
from cliptune.tasks.classify import (
    Predictions,
    Scorer,
    gallery,
    measure,
    merged_scorer,
    predict,
    remembering,
    scorer,
    to_csv,
)
from cliptune.tasks.open_set import open_set_measures
from cliptune.tasks.temperature import Temperature, fit_temperature
from cliptune.training.learned import beside, ridge_probe

if TYPE_CHECKING:
    from cliptune.planning import Plan

RETENTION_DEFAULT = "world/shapes"
PROBED = 100
"""most training images of a class that the linear probe beside a run is fitted to"""
THUMBNAIL = 96
"""pixels, longer side"""


@dataclass(frozen=True)
class Tested:
    """A named test, its images, its class prompts, and what the untouched backbone says of it."""

    test: Test
    pixels: Pixels
    tokens: Tensor
    """[c t]"""
    zero_shot: Predictions


@dataclass(frozen=True)
class Evaluation:
    """Test images and what the untouched backbone says of them."""

    tests: Mapping[str, Tested]
    val: Pixels
    val_zero_shot: Predictions | None
    temperature: Temperature | None
    """the backbone's, fitted to the validation images"""
    features: Tensor | None
    """float16 [n d]: image features of the first test, where the recipe keeps them"""
    retention: ImageSet | None
    retention_before: Predictions | None
    val_probe: np.ndarray | None
    """which validation images a linear probe on the backbone's features tells rightly, bool [n]; None where there are
    none, or nothing is trained by steps"""
    seconds: float
    """spent measuring the backbone"""

    @classmethod
    def before(cls, plan: "Plan") -> "Evaluation":
        """Measure the backbone. Decodes every test image; raises UserError naming one that cannot be read."""
        began = time.perf_counter()
        val = plan.pixels(plan.episode.val)
        val_zero_shot, temperature = _on_validation(plan, scorer(plan.backbone, plan.tokens), val)
        tests, features = {}, None
        for index, (name, test) in enumerate(plan.episode.tests.items()):
            pixels, tokens = plan.test_pixels(test), plan.tokens_of(test)
            keep = index == 0 and plan.recipe.evaluate.features
            found, kept = _on_test(plan, scorer(plan.backbone, tokens), pixels, temperature, keep)
            tests[name] = Tested(test, pixels, tokens, found)
            features = kept if keep else features
        held = held_out(plan)
        return cls(
            tests=tests,
            val=val,
            val_zero_shot=val_zero_shot,
            temperature=temperature,
            features=features,
            retention=held,
            retention_before=_zero_shot_on(plan, plan.backbone.model, held) if held else None,
            val_probe=_probe(plan, val) if len(val) and is_trained_by_steps(plan.recipe.method) else None,
            seconds=time.perf_counter() - began,
        )


def evaluate(plan: "Plan", adapter: Adapter, evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Measure the trained adapter (merged, where it can be), write predictions and thumbnails; the record's part."""
    adapter.eval()
    merged = adapter.merged().eval() if adapter.method.mergeable else None

    def score(tokens: Tensor) -> Scorer:
        return merged_scorer(merged, tokens) if merged is not None else scorer(adapter, tokens)

    val, temperature = _on_validation(plan, score(plan.tokens), evaluation.val)
    after, features, speed = {}, None, None
    for index, (name, each) in enumerate(evaluation.tests.items()):
        keep = index == 0 and plan.recipe.evaluate.features
        scored, began = score(each.tokens), time.perf_counter()
        after[name], kept = _on_test(plan, scored, each.pixels, temperature, keep)
        if index == 0:
            features, speed = kept, len(each.pixels) / (time.perf_counter() - began)
    before = {name: each.zero_shot for name, each in evaluation.tests.items()}
    found = measures(plan.episode, after, val)
    zero_shot = measures(plan.episode, before, evaluation.val_zero_shot)
    metrics = found | {"zero_shot": zero_shot["test"] if set(zero_shot) == {"test"} else zero_shot}
    if val is not None and evaluation.val_zero_shot is not None:
        metrics["validation"] = measure(val, plan.episode.classes)
        metrics["validation_zero_shot"] = measure(evaluation.val_zero_shot, plan.episode.classes)
    validation = {}
    if val is not None and evaluation.val_zero_shot is not None:
        others = {"zero_shot": evaluation.val_zero_shot.correct}
        others |= {} if evaluation.val_probe is None else {"linear_probe": evaluation.val_probe}
        validation = {"on_validation": beside(val.correct, others)}
    for name, each in evaluation.tests.items():
        write_predictions(folder, name, name == next(iter(evaluation.tests)), each, after[name])
    main, predictions = next(iter(evaluation.tests.values())), next(iter(after.values()))
    if features is not None:
        write_features(folder, plan, main, evaluation.features, features)
    rows = gallery(main.zero_shot, predictions)
    write_thumbnails(main.pixels, rows, folder / "thumbnails")
    return {
        "metrics": metrics,
        **validation,
        "inference_images_per_second": speed,
        "retention": _retention(plan, merged or adapter.model, evaluation),
        "gallery": rows,
        "merge_gap": _gap(plan, adapter, merged, main.pixels) if merged is not None else None,
    }


def _on_validation(plan: "Plan", score: Scorer, val: Pixels) -> tuple[Predictions | None, Temperature | None]:
    """What is said of the validation images, and the temperature fitted to them; None without any."""
    if not len(val):
        return None, None
    logits: list[Tensor] = []
    found = _predict(plan, Scorer(score.features, remembering(score.logits, logits, torch.float32)), val)
    return found, fit_temperature(torch.cat(logits).numpy(), found.labels)


def _probe(plan: "Plan", val: Pixels) -> np.ndarray:
    """Which validation images a linear probe on the untouched features of the training images tells rightly."""
    score, found = scorer(plan.backbone, plan.tokens), []
    for pixels in (plan.pixels(_some(plan.episode.train)), val):
        kept: list[Tensor] = []
        _predict(plan, Scorer(remembering(score.features, kept, torch.float32), score.logits), pixels)
        found.append(Features(torch.cat(kept), pixels.labels))
    return ridge_probe(*found)


def _some(items: Sequence[Item]) -> list[Item]:
    """The first `PROBED` of every class."""
    seen: Counter[int] = Counter()
    taken = []
    for item in items:
        seen[item.label] += 1
        if seen[item.label] <= PROBED:
            taken.append(item)
    return taken


def _on_test(
    plan: "Plan", score: Scorer, pixels: Pixels, temperature: Temperature | None, keep: bool
) -> tuple[Predictions, Tensor | None]:
    """What is said of a test, and its image features, float16 [n d], where they are to be kept."""
    kept: list[Tensor] = []
    if keep:
        score = Scorer(remembering(score.features, kept, torch.float16), score.logits)
    found = _predict(plan, score, pixels, temperature)
    return found, torch.cat(kept) if keep else None


def write_features(folder: Path, plan: "Plan", main: Tested, before: Tensor | None, after: Tensor) -> None:
    """features.safetensors: `before` and `after`, float16 [n d] of unit length, rows as in predictions.csv."""
    if before is None:  # the backbone was measured by a run that kept none
        _, before = _on_test(plan, scorer(plan.backbone, main.tokens), main.pixels, None, keep=True)
    assert before is not None
    both = {"before": before, "after": after}
    unit = {name: functional.normalize(found.float(), dim=-1).half() for name, found in both.items()}
    write_tensors(folder / "features.safetensors", unit)


def measures(episode: Episode, found: Mapping[str, Predictions], val: Predictions | None) -> dict[str, Any]:
    """What is measured on every named test, and what only several of them tell together.

    base and novel → `harmonic_mean` of their accuracies; test and unknown → `open_set` (`tasks.open_set`), whose
    threshold comes from the source domains' validation images `val`.
    """
    tests = episode.tests
    told: dict[str, Any] = {name: measure(found[name], test.classes) for name, test in tests.items() if test.known}
    if {"base", "novel"} <= told.keys():
        told["harmonic_mean"] = harmonic(told["base"]["accuracy"], told["novel"]["accuracy"])
    if "unknown" in found:
        told["open_set"] = open_set_measures(found["test"], found["unknown"], val)
    return told


def write_predictions(folder: Path, name: str, main: bool, tested: Tested, after: Predictions) -> None:
    """predictions.csv and zero_shot_predictions.csv of the main test; those of another in predictions/ by its name."""
    paths = [item.path for item in tested.test.items]
    for predictions, kind in ((after, "predictions"), (tested.zero_shot, "zero_shot_predictions")):
        place = folder / f"{kind}.csv" if main else folder / kind / f"{name.replace('/', '-')}.csv"
        write_text(place, to_csv(predictions, paths, tested.test.classes))


def held_out(plan: "Plan") -> ImageSet | None:
    """The data set on which forgetting is measured: what `evaluate.retention` names."""
    name = plan.recipe.evaluate.retention
    if name == "none":
        return None
    name = RETENTION_DEFAULT if name == "auto" else name
    if name == plan.episode.imageset.name:
        return None
    return open_set(name, plan.recipe.data.root or None, plan.recipe.data.split_seed, typed=plan.typed)


def _zero_shot_on(plan: "Plan", model: CLIPModel, held: ImageSet) -> Predictions:
    tokens = plan.backbone.tokens(prompts(held.classes, held.templates[0]))
    return _predict(plan, merged_scorer(model, tokens), Pixels(held, held.test, plan.backbone.preprocess))


def _retention(plan: "Plan", model: CLIPModel, evaluation: Evaluation) -> dict[str, Any]:
    held, before = evaluation.retention, evaluation.retention_before
    if held is None or before is None:
        return {}
    after = _zero_shot_on(plan, model, held)
    n = len(before.labels)
    was, now = float(before.correct.mean()), float(after.correct.mean())
    intervals = {"interval_before": list(wilson(was, n)), "interval_after": list(wilson(now, n))}
    return {held.name: {"n": n, "classes": len(held.classes), "before": was, "after": now, **intervals}}


def _predict(plan: "Plan", score: Scorer, pixels: Pixels, temperature: Temperature | None = None) -> Predictions:
    batch = plan.recipe.evaluate.batch
    return predict(score, pixels, plan.backbone, plan.machine, batch, temperature=temperature)


def _gap(plan: "Plan", adapter: Adapter, merged: CLIPModel, test: Pixels) -> float:
    images, _ = next(test.batches(min(32, plan.recipe.evaluate.batch)))
    normalised = plan.backbone.preprocess.normalise(images.to(plan.machine.device))
    with torch.no_grad():
        return merge_gap(adapter, merged, plan.tokens, normalised)


def write_thumbnails(pixels: Pixels, rows: dict[str, list[int]], folder: Path) -> None:
    """`<row>.png` for every row named, at most 96 pixels a side."""
    for row in sorted({row for group in rows.values() for row in group}):
        image: Image.Image = pixels.imageset.read(pixels.items[row])
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        write_whole(folder / f"{row}.png", functools.partial(image.save, format="PNG"))
