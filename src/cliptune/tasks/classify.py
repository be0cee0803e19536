"""Classification: predictions of test images, and what is measured on them."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel

from cliptune.datasets.base import distinct
from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.methods.base import Adapter
from cliptune.models.backbone import Backbone
from cliptune.models.products import still
from cliptune.models.towers import Towers
from cliptune.statistics import calibration, expected_calibration_error, wilson
from cliptune.training.compute import Compute


@dataclass(frozen=True)
class Scorer:
    """Scores images against class prompts that are encoded once.

    The two steps are apart because only the first runs in the towers' precision; logits are float32.
    """

    features: Callable[[Tensor], Tensor]
    """normalised pixels [b 3 h w] → image features [b d]"""
    logits: Callable[[Tensor], Tensor]
    """image features [b d] → class logits [b c]"""

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.logits(self.features(pixels))


@torch.no_grad()
def scorer(model: Adapter | Backbone, tokens: Tensor) -> Scorer:
    """The scorer of an adapter or an untouched backbone for class prompts [c t]."""
    text = model.text_features(tokens)
    if isinstance(model, Adapter):
        return Scorer(model.image_features, lambda image: model.logits(image, text))
    return Scorer(model.image_features, lambda image: model.logit_scale * image @ text.T)


@torch.no_grad()
def merged_scorer(model: CLIPModel, tokens: Tensor) -> Scorer:
    """The same for an ordinary CLIPModel."""
    both = Towers(model)
    text = both.text_features(tokens)
    scale = float(model.logit_scale.exp())
    return Scorer(both.image_features, lambda image: scale * image @ text.T)


def scorer_of(adapter: Adapter, tokens: Tensor) -> Scorer:
    """The fastest exact scorer of an adapter: of a merged copy, where the method can be merged."""
    adapter.eval()
    if adapter.method.mergeable:
        return merged_scorer(adapter.merged().eval(), tokens)
    return scorer(adapter, tokens)


@dataclass(frozen=True)
class Predictions:
    """What a scorer says of n images with c classes."""

    labels: np.ndarray
    """int [n]; −1 where unknown"""
    ranked: np.ndarray
    """int [n, top]: the most probable classes, best first"""
    probabilities: np.ndarray
    """float [n, top]: theirs"""
    nll: np.ndarray
    """float [n]: −log probability of the label; nan where unknown"""

    @property
    def score(self) -> np.ndarray:
        """Probability of the best [n]."""
        return self.probabilities[:, 0]

    @property
    def predicted(self) -> np.ndarray:
        return self.ranked[:, 0]

    @property
    def correct(self) -> np.ndarray:
        return self.predicted == self.labels


@torch.no_grad()
@still()
def predict(
    score: Scorer, pixels: Pixels, backbone: Backbone, compute: Compute, batch: int, top: int = 5
) -> Predictions:
    """Predictions of every image, batch by batch; nothing of size n × c is kept."""
    ranked, probabilities, nll = [], [], []
    for images, labels in pixels.batches(batch):
        with compute.autocast():
            image = score.features(backbone.preprocess.normalise(images.to(compute.device)))
        log_probabilities = F.log_softmax(score.logits(image.float()), dim=-1).cpu()
        if not bool(log_probabilities.isfinite().all()):
            raise UserError("the model's scores are not numbers", "lower train.lr, for instance --set train.lr=1e-4")
        best = log_probabilities.topk(min(top, log_probabilities.shape[1]))
        ranked.append(best.indices)
        probabilities.append(best.values.exp())
        known = labels.clamp_min(0)
        values = -log_probabilities.gather(1, known[:, None])[:, 0]
        nll.append(torch.where(labels >= 0, values, torch.nan))
    return Predictions(
        labels=pixels.labels.numpy(),
        ranked=torch.cat(ranked).numpy(),
        probabilities=torch.cat(probabilities).double().numpy(),
        nll=torch.cat(nll).double().numpy(),
    )


def measure(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy (fraction), its 95 % Wilson interval, mean of per-class accuracies, nll, calibration error, per class.

    A class without test images counts in no mean.
    """
    correct = predictions.correct
    accuracy = float(correct.mean())
    per_class = {}
    for index, name in enumerate(distinct(classes)):
        mine = predictions.labels == index
        if mine.any():
            per_class[name] = {"accuracy": float(correct[mine].mean()), "n": int(mine.sum())}
    return {
        "accuracy": accuracy,
        "n": len(correct),
        "interval": list(wilson(accuracy, len(correct))),
        "macro_accuracy": float(np.mean([each["accuracy"] for each in per_class.values()])),
        "nll": float(predictions.nll.mean()),
        "ece": expected_calibration_error(calibration(predictions.score, correct)),
        "per_class": per_class,
    }


def to_csv(predictions: Predictions, paths: Sequence[str], classes: Sequence[str]) -> str:
    """path,label,prediction,score,top5: one line an image, names instead of numbers, top5 joined by '|'."""
    text, classes = io.StringIO(), distinct(classes)
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "label", "prediction", "score", "top5"])
    for path, label, ranked, score in zip(paths, predictions.labels, predictions.ranked, predictions.score):
        name = classes[label] if label >= 0 else ""
        rows.writerow([path, name, classes[ranked[0]], f"{score:.6f}", "|".join(classes[i] for i in ranked)])
    return text.getvalue()


def gallery(before: Predictions, after: Predictions, most: int = 8) -> dict[str, list[int]]:
    """Rows worth a look: fixed and broken against `before`, most surely right (best) and wrong (worst)."""

    def top(mask: np.ndarray) -> list[int]:
        rows = np.flatnonzero(mask)
        return [int(row) for row in rows[np.argsort(-after.score[rows], kind="stable")][:most]]

    return {
        "fixed": top(~before.correct & after.correct),
        "broken": top(before.correct & ~after.correct),
        "best": top(after.correct),
        "worst": top(~after.correct),
    }
