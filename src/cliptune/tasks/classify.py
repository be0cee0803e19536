"""Classification: predictions of test images, and what is measured on them."""

import csv
import io
from collections import Counter
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
from cliptune.tasks.temperature import Temperature
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


def remembering(step: Callable[[Tensor], Tensor], kept: list[Tensor], dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The same step of a scorer; what it computes is also put into `kept`, batch by batch, on the CPU as `dtype`."""

    def and_remember(given: Tensor) -> Tensor:
        found = step(given)
        kept.append(found.detach().to("cpu", dtype))
        return found

    return and_remember


@dataclass(frozen=True)
class Tempered:
    """The same images with logits divided by a temperature: other confidences, the same answers."""

    temperature: Temperature
    score: np.ndarray
    """probability of the best [n]"""
    nll: np.ndarray
    """float [n]; nan where the label is unknown"""


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
    tempered: Tempered | None = None
    """where a temperature was given"""

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
    score: Scorer,
    pixels: Pixels,
    backbone: Backbone,
    compute: Compute,
    batch: int,
    top: int = 5,
    temperature: Temperature | None = None,
) -> Predictions:
    """Predictions of every image, batch by batch; nothing of size n × c is kept."""
    ranked, probabilities, nll, warm = [], [], [], []
    for images, labels in pixels.batches(batch):
        logits = logits_of(score, images, backbone, compute)
        log_probabilities = F.log_softmax(logits, dim=-1)
        best = log_probabilities.topk(min(top, log_probabilities.shape[1]))
        ranked.append(best.indices)
        probabilities.append(best.values.exp())
        nll.append(_surprise(log_probabilities, labels))
        if temperature is not None:
            divided = F.log_softmax(logits / temperature.value, dim=-1)
            warm.append(torch.stack([divided.amax(dim=1).exp(), _surprise(divided, labels)]))
    tempered = None
    if temperature is not None:
        tempered = Tempered(temperature, *torch.cat(warm, dim=1).double().numpy())
    return Predictions(
        labels=pixels.labels.numpy(),
        ranked=torch.cat(ranked).numpy(),
        probabilities=torch.cat(probabilities).double().numpy(),
        nll=torch.cat(nll).double().numpy(),
        tempered=tempered,
    )


def logits_of(score: Scorer, images: Tensor, backbone: Backbone, compute: Compute) -> Tensor:
    """Class logits [b c], float32 on the CPU, of pixels [b 3 s s] in 0..1.

    Raises:
        UserError: they are not numbers.
    """
    with compute.autocast():
        image = score.features(backbone.preprocess.normalise(images.to(compute.device)))
    logits = score.logits(image.float()).cpu()
    if not bool(logits.isfinite().all()):
        raise UserError("the model's scores are not numbers", "lower train.lr, for instance --set train.lr=1e-4")
    return logits


def _surprise(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """−log probability of the label [n]; nan where it is unknown."""
    values = -log_probabilities.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    return torch.where(labels >= 0, values, torch.nan)


def measure(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy (fraction), its 95 % Wilson interval, mean of per-class accuracies, nll, calibration error, per class.

    `calibrated`: nll and calibration error at a temperature, where one was fitted to `n` validation images.
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
        **_calibrated(predictions),
        "per_class": per_class,
    }


def _calibrated(predictions: Predictions) -> dict[str, Any]:
    found = predictions.tempered
    if found is None:
        return {}
    bins = calibration(found.score, predictions.correct)
    return {
        "calibrated": {
            "temperature": found.temperature.value,
            "n": found.temperature.images,
            "nll": float(found.nll.mean()),
            "ece": expected_calibration_error(bins),
        }
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
    """Rows worth a look: fixed and broken against `before`, most surely right (best) and wrong (worst).

    Every class has its most certain image before one has a second. No image is shown twice: best leaves out what is
    shown as fixed, worst what is shown as broken.
    """
    fixed = surest(after, ~before.correct & after.correct, most)
    broken = surest(after, before.correct & ~after.correct, most)
    return {
        "fixed": fixed,
        "broken": broken,
        "best": surest(after, after.correct, most, fixed),
        "worst": surest(after, ~after.correct, most, broken),
    }


def surest(predictions: Predictions, mask: np.ndarray, most: int, without: Sequence[int] = ()) -> list[int]:
    """The rows of `mask` [n] with the highest scores, class by class in turn, but for those of `without`."""
    rows = np.setdiff1d(np.flatnonzero(mask), np.asarray(without, dtype=int))
    rows = rows[np.argsort(-predictions.score[rows], kind="stable")]
    times: Counter[int] = Counter()
    turn = np.zeros(len(rows), dtype=int)
    for index, label in enumerate(predictions.labels[rows]):
        turn[index] = times[int(label)]
        times[int(label)] += 1
    return [int(row) for row in rows[np.argsort(turn, kind="stable")][:most]]
