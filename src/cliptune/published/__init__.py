"""The papers' numbers as data: results.csv holds every cell of the source papers' tables, in per cent.

`matching` finds the value that is about the very thing a run measured.

CLIP-AST's average harmonic mean (81.06) is a mean of per-data-set harmonic means; the other rows of that table are
harmonic means of the averages. The rows of earlier methods in CLIP-DoRA's table 3 are ODG-CLIP's open-set accuracies
to the last digit (the columns Acc of its main table): over the target's known classes, each source showing some.

CLIP-LoRA-XS's readme prints 0.5 % for rank 32; results.csv holds 0.05, which is what its own numbers give (0.049).
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

BACKBONES = {"vit-b-32": "ViT-B/32", "vit-b-16": "ViT-B/16", "vit-l-14": "ViT-L/14"}
"""zoo name → what the papers call it"""
SEGMENTERS = {"clipseg-rd64-refined": "CLIPSeg"}
"""the same of CLIPs with a decoder that marks images"""
MEANS_OF_HARMONIC = (("CLIP-AST table 2", "CLIP-AST"),)
"""table and method whose average harmonic mean is a mean over data sets; all others are of the average accuracies"""
UNSAID = {"CLIP-DoRA table 3": "classes: whether the paper's are a closed or an open set is not said"}
"""table → what it leaves unsaid of its numbers, so that no difference to them can be told"""
ZERO_SHOT = ("CLIP (Zero-shot)", "CLIP")

TABLES: dict[str, tuple[str, ...]] = {
    "zero_shot": (*ZERO_SHOT, "no tuning"),
    "bitfit": ("both encoders, fixed bias (BitFit)",),
    "ast": (
        "CLIP-AST",
        "both encoders, layer granularity",
        "both encoders, global granularity",
        "image encoder only, layer granularity",
        "text encoder only, layer granularity",
        "both encoders, fixed bias (BitFit)",
    ),
}
"""method → what the tables call it, where that is not its title"""
ACCURACIES = ("top1", "base top1", "novel top1", "harmonic mean")


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


def eleven() -> set[str]:
    """The data sets of the few-shot tables, as the papers write them."""
    return {each.dataset for each in results() if each.source == "CLIP-DoRA table 1"} - {"Average"}


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


@dataclass(frozen=True)
class Line:
    """One method's accuracies in one table."""

    what: str
    backbone: str
    cells: dict[str, float]
    """by shots; '' where all images are trained on, '0' for zero-shot whatever it stands beside"""
    source: str


def of_method(name: str, title: str) -> list[Line]:
    """A method's mean accuracies, a line per table, backbone and protocol; ImageNet's where no mean is printed.

    Left out: the tables' "CLIP" of domain generalization, an open-set accuracy, and lines that repeat others.
    """
    groups: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    for found in results():
        open_set = (found.method, found.protocol) == ("CLIP", "domain-generalization")
        if found.method in TABLES.get(name, (title,)) and found.metric in ACCURACIES and not open_set:
            key = (found.source, found.backbone, found.protocol, found.method, found.metric)
            shots = "0" if name == "zero_shot" else found.shots
            groups.setdefault(key, {}).setdefault(found.dataset, {})[shots] = found.value
    lines = []
    for (source, backbone, protocol, label, metric), by_set in groups.items():
        dataset = next((known for known in ("Average", "ImageNet") if known in by_set), None)
        if dataset is not None:
            over = {"Average": "mean"}.get(dataset, dataset)
            told = metric if metric == "harmonic mean" else f"{over} {metric.replace('top1', 'accuracy')}"
            labelled = f": {label}" if label not in (title, *ZERO_SHOT) else ""
            lines.append(Line(f"{protocol}, {told}{labelled}", backbone, by_set[dataset], source))
    return [line for line in lines if not any(_repeats(line, other) for other in lines)]


def _repeats(line: Line, other: Line) -> bool:
    """Whether `other` says all that `line` does and more."""
    same = (line.what, line.backbone) == (other.what, other.backbone)
    return same and line.cells.items() < other.cells.items()
