"""Which value of the papers' tables is about the very thing that was measured here, and in what the nearest is not.

    a difference is told  ⇔  unlike(found, asked) is empty: same data, backbone, protocol and shots

Accuracies and Dice are matched alike. What only a run's folder tells (test images, split) is judged by who reads it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from cliptune import published
from cliptune.published import Result
from cliptune.tasks import TASKS

AVERAGE = "Average"
"""the papers' column of means over data sets"""
HARMONIC = "harmonic mean"
SEGMENTATION = "segmentation"
"""what the tables of segmentation name as their protocol"""
RUN_AS = {"ablation": "few-shot", "efficiency": "few-shot"}
"""protocol that a table names → the one its runs follow"""


@dataclass(frozen=True)
class Asked:
    """What a table's value has to be about."""

    source: str
    """'CLIP-DoRA table 1'"""
    method: str
    """as that table calls it"""
    dataset: str
    """as the papers write it; empty where none of them knows it"""
    metric: str
    """'top1', 'dice' …"""
    backbone: str
    """as the papers write it; empty where it is none of theirs"""
    protocol: str
    """'few-shot' …; 'segmentation' whatever the number of images"""
    shots: str | None
    """'16'; empty where all images are trained on; None where nothing is trained, so that shots do not matter"""


def nearest(asked: Asked) -> Result | None:
    """The paper's value for just this, else the nearest to it: the data set before the backbone before the shots.

    For a data set that the table lacks, its average over data sets; None where it has no such measure at all.
    """
    wanted = (asked.source, asked.method, asked.metric)
    there = [
        each
        for each in published.results()
        if (each.source, each.method, each.metric) == wanted and each.dataset in (asked.dataset, AVERAGE)
    ]

    def nearness(each: Result) -> tuple[bool, bool, bool]:
        return each.dataset == asked.dataset, each.backbone == asked.backbone, each.shots == asked.shots

    return max(there, key=nearness, default=None)


def exactly(asked: Asked) -> Result | None:
    """The paper's value for just this; None where it has none."""
    found = nearest(asked)
    return found if found is not None and not unlike(found, asked) else None


def unlike(found: Result, asked: Asked) -> list[str]:
    """In what a paper's value is about something else, in words; empty where the two may be compared."""
    reasons = []
    if found.dataset != asked.dataset:
        reasons.append(f"data: the paper's is {found.dataset}")
    if found.backbone != asked.backbone:
        reasons.append(f"backbone: the paper's is {found.backbone}")
    if RUN_AS.get(found.protocol, found.protocol) != asked.protocol:
        reasons.append(f"protocol: the paper's is {found.protocol}")
    if asked.shots is not None and found.shots != asked.shots:
        reasons.append(f"shots: the paper's are {found.shots or 'all images'}")
    if unsaid := published.UNSAID.get(found.source):
        reasons.append(unsaid)
    return reasons


def average(asked: Asked, datasets: Collection[str]) -> Result | None:
    """The paper's average, where it is a mean over the very `datasets` that stand here; None elsewhere.

    A paper that prints nothing but an average means the eleven few-shot sets. Its harmonic means are compared only
    where the average is the mean of those of the data sets, as ours is.
    """
    found = exactly(replace(asked, dataset=AVERAGE))
    if found is None or (found.metric == HARMONIC and (found.source, found.method) not in published.MEANS_OF_HARMONIC):
        return None
    row = (found.source, found.method, found.metric, found.backbone, found.shots)
    over = {
        each.dataset
        for each in published.results()
        if (each.source, each.method, each.metric, each.backbone, each.shots) == row
    } - {AVERAGE}
    return found if set(datasets) == (over or published.eleven()) else None


def backbone_of(names: Iterable[object]) -> str:
    """As the papers write it, 'ViT-B/16', from zoo names or hub ids; empty where it is none of theirs."""
    from cliptune.models import zoo

    given = set(names)
    sources = {name: each.source for name, each in zoo.ZOO.items()} | zoo.SEGMENTERS
    for name, written in (published.BACKBONES | published.SEGMENTERS).items():
        if given & {name, sources[name]}:
            return written
    return ""


def protocol_of(task: str, protocol: str) -> str:
    """What the tables call the protocol of a run.

    Args:
        task: one of `TASKS`. protocol: the recipe's or the record's.
    """
    assert task in TASKS
    return SEGMENTATION if task == "segment" else protocol


def shots_told(shots: int | None) -> str:
    """A number of shots as the tables write it; None is all images."""
    return "" if shots is None else str(shots)
