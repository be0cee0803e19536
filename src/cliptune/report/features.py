"""Image features of a run's first test, before and after: which images are shown, and how well classes lie apart.

CLIP-AST's figure 6 is a t-SNE picture. What such a picture seems to say depends on its settings, so two numbers of the
features themselves stand beside it: the silhouette and the accuracy of the five nearest neighbours, both by cosine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cliptune.report import plots_features, words
from cliptune.report.blocks import Block, Drawing, Table, Text
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row

CLASSES, IMAGES = 10, 100
"""at most so many classes, and images of each"""
NEIGHBOURS = 5
PERPLEXITY = 30
FEWEST = 10
"""images below which nothing is drawn"""


@dataclass(frozen=True)
class Chosen:
    """The images that are shown: features of unit length and the class of each."""

    before: np.ndarray
    """[n d]"""
    after: np.ndarray
    """[n d]"""
    labels: np.ndarray
    """int [n]: index into `classes`"""
    classes: tuple[str, ...]
    of_classes: int
    """classes there are to choose from"""


def evenly(count: int, most: int) -> np.ndarray:
    """Places of at most `most` of `count` things, evenly spread, first and last included."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def choose(before: np.ndarray, after: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> Chosen:
    """At most ten classes, spread evenly over the list of those with images, and a hundred images of each.

    Args:
        before, after: [n d]. names: class of every image [n]. classes: in the order of the data set.
    """
    there = [name for name in classes if name in set(names)]
    taken = tuple(there[i] for i in evenly(len(there), CLASSES))
    of_class = [np.flatnonzero(np.array(names) == name) for name in taken]
    rows = [found[evenly(len(found), IMAGES)] for found in of_class]
    every = np.concatenate(rows)
    labels = np.repeat(np.arange(len(taken)), [len(found) for found in rows])
    return Chosen(unit(before[every]), unit(after[every]), labels, taken, len(there))


def unit(features: np.ndarray) -> np.ndarray:
    found = features.astype(np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True).clip(1e-12)


def neighbours(features: np.ndarray, labels: np.ndarray, k: int = NEIGHBOURS) -> float | None:
    """Share of images whose k nearest others, by cosine, vote for their class; of equal votes the nearest decides."""
    if len(features) <= k:
        return None
    likeness = features @ features.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
    votes = (labels[nearest][:, :, None] == labels[nearest][:, None, :]).sum(axis=2)
    answers = labels[nearest[np.arange(len(labels)), votes.argmax(axis=1)]]
    return float((answers == labels).mean())


def silhouette(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean over images of (b − a) / max(a, b): a to the own class, b to the nearest other; cosine distances."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(labels)) < len(labels):
        return None
    return float(silhouette_score(features, labels, metric="cosine"))


def measured(chosen: Chosen) -> list[Row]:
    """Both numbers before and after."""
    return [
        {
            "measure": title,
            **{when: measure(getattr(chosen, when), chosen.labels) for when in ("before", "after")},
        }
        for title, measure in (("silhouette", silhouette), ("5 nearest neighbours right, leaving one out", neighbours))
    ]


def why_none(record: Record) -> str:
    """Empty where features and labels of the same images are there; otherwise the reason."""
    if record.features is None:
        return "this run kept none (evaluate.features)"
    if record.predictions is None:
        return "predictions.csv, which names their classes, is missing"
    if len(record.features["before"]) != len(record.predictions):
        return "features.safetensors and predictions.csv are not about the same images"
    if len(record.predictions) < FEWEST:
        return f"fewer than {FEWEST} images"
    return ""


def drawn(record: Record) -> list[Block]:
    """Two panels and two numbers, or why not."""
    if reason := why_none(record):
        return [Text(f"Features: {words.NOT_MEASURED}; {reason}.", missing=True)]
    assert record.features is not None
    assert record.predictions is not None
    chosen = choose(record.features["before"], record.features["after"], record.predictions.labels, record.classes)
    rows, n = measured(chosen), len(chosen.labels)
    perplexity = min(PERPLEXITY, (n - 1) // 3)
    of = f" of {chosen.of_classes:,}" if chosen.of_classes > len(chosen.classes) else ""
    told = "; ".join(
        f"{row['measure']} {words.decimals(row['before'])} before, {words.decimals(row['after'])} after" for row in rows
    )
    return [
        Drawing(
            "features",
            plots_features.two_panels(chosen.before, chosen.after, chosen.labels, chosen.classes, perplexity),
            f"Image features before and after, t-SNE (cosine, perplexity {perplexity}, the same seed), n = {n:,} test "
            f"images of {words.these(len(chosen.classes), 'class', 'classes')}{of}, at most {IMAGES} a class, taken "
            "evenly. Distances and axes of such a picture mean nothing beyond who is near whom; the table measures the "
            "features themselves.",
            f"t-SNE of image features. {told}.",
            wide=True,
        ),
        Table(
            "How far classes lie apart, the same images",
            (
                Column("measure", "measure"),
                Column("before", "before", words.decimals),
                Column("after", "after", words.decimals),
            ),
            rows,
        ),
    ]
