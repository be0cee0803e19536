"""The papers' numbers as data: results.csv holds every cell of the source papers' tables, accuracies in per cent.

CLIP-AST's average harmonic mean (81.06) is a mean of per-data-set harmonic means; the other rows of that table are
harmonic means of the averages. The "CLIP" row of the domain-generalization table is probably not zero-shot.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

BACKBONES = {"vit-b-32": "ViT-B/32", "vit-b-16": "ViT-B/16", "vit-l-14": "ViT-L/14"}
"""zoo name → what the papers call it"""
ZERO_SHOT = ("CLIP (Zero-shot)", "CLIP")


@dataclass(frozen=True)
class Result:
    """One cell of a table."""

    source: str
    """paper and table"""
    backbone: str
    protocol: str
    method: str
    shots: str
    dataset: str
    metric: str
    value: float


@cache
def results() -> tuple[Result, ...]:
    """Every published number."""
    text = (resources.files("cliptune") / "published" / "results.csv").read_text("utf-8")
    return tuple(Result(**{**row, "value": float(row["value"])}) for row in csv.DictReader(text.splitlines()))  # type: ignore[arg-type]


def zero_shot(dataset: str, backbone: str) -> list[Result]:
    """Published zero-shot accuracies (per cent) of a data set, by its column in the papers' tables, on a backbone.

    Args:
        backbone: as the papers write it, 'ViT-B/16'.
    """
    return [
        found
        for found in results()
        if found.dataset == dataset
        and found.backbone == backbone
        and found.method in ZERO_SHOT
        and found.protocol in ("few-shot", "out-of-distribution")
        and found.metric == "top1"
    ]
