"""The papers' values beside ours. A difference is told only between like and like: data, test images, backbone, shots.

Whatever is unlike is named, and the paper's value then stands there as a reference that is not comparable.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import NamedTuple

from cliptune import published
from cliptune.datasets import find_set, sets
from cliptune.datasets.published import Facts
from cliptune.errors import UserError
from cliptune.published import Result
from cliptune.report import words
from cliptune.report.blocks import Table
from cliptune.report.captions import shots_cell, spread, where
from cliptune.report.compare import Named, Place
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row
from cliptune.statistics import mean_and_deviation

METRICS = {"base": "base top1", "novel": "novel top1"}
"""named test → what the papers' tables call its measure; other tests are 'top1'"""
HARMONIC = "harmonic mean"
AVERAGE = "Average"


class Reported(NamedTuple):
    """Where a label's value stands: `published.results()` has these names."""

    source: str
    """'CLIP-DoRA table 1'"""
    method: str
    """'CLIP-DoRA'"""


class Ours(NamedTuple):
    """One measure of one run."""

    test: str
    data: str
    """the test's data set"""
    metric: str
    accuracy: float
    n: int | None


@cache
def facts_of(data: str) -> Facts | None:
    """What was published about a data set; None of one that no paper knows."""
    try:
        return getattr(import_module(f"{sets.__name__}.{find_set(data)}"), "FACTS", None)
    except UserError:
        return None


def measures(record: Record) -> Iterator[Ours]:
    """Every named test and, of base and novel, their harmonic mean."""
    tests = record.section("tests")
    own = str(record.section("data").get("name") or "")
    for name in record.tests():
        found = record.after(name)
        assert found is not None
        told = tests.get(name)
        data = str(told.get("data")) if isinstance(told, Mapping) and told.get("data") else own
        yield Ours(name, data, METRICS.get(name, "top1"), found.accuracy, found.n)
    both, _ = record.harmonic_mean()
    if both is not None:
        yield Ours(HARMONIC, own, HARMONIC, both, None)


def backbone_of(record: Record) -> str:
    """As the papers write it, 'ViT-B/16'; empty where it is none of theirs."""
    from cliptune.models import zoo

    told = record.section("model")
    for name, written in published.BACKBONES.items():
        if {told.get("name"), told.get("source")} & {name, zoo.ZOO[name].source}:
            return written
    return ""


def beside_papers(runs: Sequence[Named], reported: Mapping[str, tuple[str, str]]) -> list[Row]:
    """Ours (mean and deviation over seeds) and the paper's value, a row a label, place, number of shots and test.

    Args:
        reported: label → (source, method) in `published.results()`; other labels are left out.

    Raises:
        UserError: nothing was published under one of these names.
    """
    for source, method in reported.values():
        check(source, method)
    gathered: dict[tuple, list[tuple[Named, Ours]]] = defaultdict(list)
    for each in runs:
        if each.label in reported:
            for ours in measures(each.record):
                gathered[(each.label, each.cell.place, each.cell.shots, ours.test)].append((each, ours))
    return [
        _row(label, place, shots, Reported(*reported[label]), told)
        for (label, place, shots, _), told in gathered.items()
    ]


def check(source: str, method: str) -> None:
    known = published.results()
    if not any((each.source, each.method) == (source, method) for each in known):
        here = dict.fromkeys(each.method for each in known if each.source == source)
        fix = (
            f"methods there: {', '.join(here)}"
            if here
            else f"tables: {', '.join(dict.fromkeys(e.source for e in known))}"
        )
        raise UserError(f"nothing was published as '{method}' in '{source}'", fix)


def _row(label: str, place: Place, shots: int | None, where_: Reported, told: Sequence[tuple[Named, Ours]]) -> Row:
    record, ours = told[0][0].record, told[0][1]
    mean, deviation = mean_and_deviation([each.accuracy for _, each in told])
    facts = facts_of(ours.data)
    found = find(where_, facts.column if facts else "", backbone_of(record), shots, ours.metric)
    reasons = unlike(found, record, ours, facts, shots) if found else []
    value = found.value / 100 if found else None
    comparable = found is not None and not reasons
    return {
        "label": label,
        **place._asdict(),
        "shots": shots,
        "test": ours.test,
        "runs": len(told),
        "accuracy": mean,
        "deviation": deviation,
        "source": where_.source,
        "method": where_.method,
        "paper": value,
        "paper_data": found.dataset if found else None,
        "paper_backbone": found.backbone if found else None,
        "paper_shots": found.shots if found else None,
        "comparable": comparable,
        "unlike": "; ".join(reasons),
        "difference": mean - value if comparable and mean is not None and value is not None else None,
    }


def find(where_: Reported, column: str, backbone: str, shots: int | None, metric: str) -> Result | None:
    """The paper's value for just this, else the nearest to it: the data set before the backbone before the shots.

    For a data set that the table lacks, its average over data sets; None where it has no such measure at all.
    """
    there = [
        each
        for each in published.results()
        if (each.source, each.method, each.metric) == (*where_, metric) and each.dataset in (column, AVERAGE)
    ]
    if not there:
        return None

    def nearness(each: Result) -> tuple[bool, bool, bool]:
        return each.dataset == column, each.backbone == backbone, each.shots == shots_of(shots)

    return max(there, key=nearness)


def shots_of(shots: int | None) -> str:
    return "" if shots is None else str(shots)


def unlike(found: Result, record: Record, ours: Ours, facts: Facts | None, shots: int | None) -> list[str]:
    """In what a run is not what the paper measured, in words; empty where the two may be compared."""
    reasons = []
    if facts is None or facts.column != found.dataset:
        reasons.append(f"data: the paper's is {found.dataset}")
    if found.backbone != backbone_of(record):
        reasons.append(f"backbone: the paper's is {found.backbone}")
    if found.protocol != record.run.get("protocol"):
        reasons.append(f"protocol: the paper's is {found.protocol}")
    if record.run.get("target"):
        reasons.append("target: the paper's is a mean over held-out domains")
    if record.method != "zero_shot" and found.shots != shots_of(shots):
        reasons.append(f"shots: the paper's are {found.shots or 'all images'}")
    return reasons + unfaithful(record, ours)


def unfaithful(record: Record, ours: Ours) -> list[str]:
    """In what a run's data are not the published ones, in words."""
    reasons = []
    facts = facts_of(ours.data)
    expected = facts.counts[2] if facts and ours.metric == "top1" else None
    # How many images each domain has was not published: a cut of one is not noticed.
    if expected and ours.n is not None and ours.n != expected and not record.run.get("target"):
        reasons.append(f"test images: {ours.n:,} of the published {expected:,}")
    split = str(record.section("data").get("split") or "published")
    if split != "published":
        reasons.append(f"split: {split}")
    return reasons


def papers_table(rows: Sequence[Row]) -> Table:
    """Ours, the paper's and the difference where there is one; else why there is none."""
    several = len({row["test"] for row in rows}) > 1
    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        *([Column("test", "test")] if several else []),
        Column("runs", "runs", words.count),
        Column("accuracy", "ours, mean", words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("paper", "the paper's", lambda value: "none" if value is None else words.percent(value)),
        Column("difference", "difference, points", lambda value: "" if value is None else words.points(value)),
        Column("source", "where"),
        Column("told", "comparable"),
    )
    shown = [row | {"told": _told(row)} for row in rows]
    return Table("Beside the papers' values", columns, shown)


def _told(row: Row) -> str:
    if row["paper"] is None:
        return "the table has no such value"
    return "yes" if row["comparable"] else f"not comparable ({row['unlike']})"
