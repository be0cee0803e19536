"""After training: the one place that opens the test split.

The untouched backbone is measured first (`Evaluation.before`), which also decodes every test image before anything is
written; the trained adapter afterwards. Nothing measured here reaches the trainer.
"""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from transformers import CLIPModel

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, prompts
from cliptune.datasets.pixels import Pixels
from cliptune.export import merge_gap
from cliptune.files import write_text, write_whole
from cliptune.methods.base import Adapter
from cliptune.statistics import wilson
from cliptune.tasks.classify import Predictions, gallery, measure, merged_scorer, predict, scorer, to_csv

if TYPE_CHECKING:
    from cliptune.pipeline import Plan

RETENTION_DEFAULT = "world/shapes"
THUMBNAIL = 96
"""pixels, longer side"""


@dataclass(frozen=True)
class Evaluation:
    """Test images and what the untouched backbone says of them."""

    test: Pixels
    zero_shot: Predictions
    val: Pixels
    val_zero_shot: Predictions | None
    retention: ImageSet | None
    retention_before: Predictions | None
    seconds: float
    """spent measuring the backbone"""

    @classmethod
    def before(cls, plan: "Plan") -> "Evaluation":
        """Measure the backbone. Decodes every test image; raises UserError naming one that cannot be read."""
        began = time.perf_counter()
        test = plan.pixels(plan.episode.tests["test"])
        val = plan.pixels(plan.episode.val)
        score = scorer(plan.backbone, plan.tokens)
        held = held_out(plan)
        return cls(
            test=test,
            zero_shot=_predict(plan, score, test),
            val=val,
            val_zero_shot=_predict(plan, score, val) if len(val) else None,
            retention=held,
            retention_before=_zero_shot_on(plan, plan.backbone.model, held) if held else None,
            seconds=time.perf_counter() - began,
        )


def evaluate(plan: "Plan", adapter: Adapter, evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Measure the trained adapter (merged, where it can be), write predictions and thumbnails; the record's part."""
    adapter.eval()
    merged = adapter.merged().eval() if adapter.method.mergeable else None
    score = merged_scorer(merged, plan.tokens) if merged is not None else scorer(adapter, plan.tokens)
    after = _predict(plan, score, evaluation.test)
    classes = plan.episode.classes
    metrics = {"test": measure(after, classes), "zero_shot": measure(evaluation.zero_shot, classes)}
    if evaluation.val_zero_shot is not None:
        metrics["validation"] = measure(_predict(plan, score, evaluation.val), classes)
        metrics["validation_zero_shot"] = measure(evaluation.val_zero_shot, classes)
    paths = [item.path for item in evaluation.test.items]
    write_text(folder / "predictions.csv", to_csv(after, paths, classes))
    write_text(folder / "zero_shot_predictions.csv", to_csv(evaluation.zero_shot, paths, classes))
    rows = gallery(evaluation.zero_shot, after)
    write_thumbnails(evaluation.test, rows, folder / "thumbnails")
    return {
        "metrics": metrics,
        "retention": _retention(plan, merged or adapter.model, evaluation),
        "gallery": rows,
        "merge_gap": _gap(plan, adapter, merged, evaluation) if merged is not None else None,
    }


def held_out(plan: "Plan") -> ImageSet | None:
    """The data set on which forgetting is measured: what `evaluate.retention` names."""
    name = plan.recipe.evaluate.retention
    if name == "none":
        return None
    name = RETENTION_DEFAULT if name == "auto" else name
    if name == plan.episode.imageset.name:
        return None
    return open_set(name, plan.recipe.data.root or None, plan.recipe.data.split_seed)


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
    return {held.name: {"n": n, "before": was, "after": now, **intervals}}


def _predict(plan: "Plan", score: Any, pixels: Pixels) -> Predictions:
    return predict(score, pixels, plan.backbone, plan.machine, plan.recipe.evaluate.batch)


def _gap(plan: "Plan", adapter: Adapter, merged: CLIPModel, evaluation: Evaluation) -> float:
    images, _ = next(evaluation.test.batches(min(32, plan.recipe.evaluate.batch)))
    normalised = plan.backbone.preprocess.normalise(images.to(plan.machine.device))
    with torch.no_grad():
        return merge_gap(adapter, merged, plan.tokens, normalised)


def write_thumbnails(pixels: Pixels, rows: dict[str, list[int]], folder: Path) -> None:
    """`<row>.png` for every row named, at most 96 pixels a side."""
    for row in sorted({row for group in rows.values() for row in group}):
        image: Image.Image = pixels.imageset.read(pixels.items[row])
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        write_whole(folder / f"{row}.png", functools.partial(image.save, format="PNG"))
