"""The papers' values beside ours. A difference is told only between like and like: data, test images, backbone, shots.

Whatever is unlike is named, and the paper's value then stands there as a reference that is not comparable. Which value
is meant, `published.matching` says, here and in the tables of studies.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cliptune import published
from cliptune.datasets.facts import facts_of
from cliptune.errors import UserError
from cliptune.published import Result, matching
from cliptune.published.matching import HARMONIC, Asked
from cliptune.report import words
from cliptune.report.blocks import Table
from cliptune.report.captions import shots_cell, spread, where
from cliptune.report.compare import Named, Place
from cliptune.report.read import Record, RunFolder
from cliptune.report.segment_read import SegmentRecord
from cliptune.report.tables import Column, Row
from cliptune.statistics import mean_and_deviation

METRICS = {"base": "base top1", "novel": "novel top1"}
"""named test → what the papers' tables call its measure; other tests are 'top1'"""
DICE = "dice"
OWN_SIZE = "size: the paper's Dice is at the model's input size, this is at the images' own"

AnyRecord = Record | SegmentRecord


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
    value: float
    """a fraction"""
    before: float | None
    """the untouched backbone's"""
    n: int | None
    """images"""
    as_theirs: bool = True
    """false: measured at another size than the papers', which have Dice at the size the model is given"""


def measures(record: AnyRecord, for_papers: bool = True) -> Iterator[Ours]:
    """Every named test and, of base and novel, their harmonic mean; of a run that segments its Dice.

    Args:
        for_papers: Dice at the size the model is given, as the papers' code has it (medvlsm, base_module.py), where
            the run tells it; else at the images' own size.
    """
    own = str(record.section("data").get("name") or "")
    if isinstance(record, SegmentRecord):
        dice, zero_shot = record.after(), record.before()
        if dice is not None:
            at_input = [words.number(each.told.get("dice_at_input")) if each else None for each in (dice, zero_shot)]
            if for_papers and at_input[0] is not None:
                yield Ours("test", own, DICE, at_input[0], at_input[1], dice.n)
            else:
                yield Ours("test", own, DICE, dice.dice, zero_shot.dice if zero_shot else None, dice.n, False)
        return
    tests = record.section("tests")
    for name in record.tests():
        found, before = record.after(name), record.before(name)
        assert found is not None
        told = tests.get(name)
        data = str(told.get("data")) if isinstance(told, Mapping) and told.get("data") else own
        metric = METRICS.get(name, "top1")
        yield Ours(name, data, metric, found.accuracy, before.accuracy if before else None, found.n)
    both, both_before = record.harmonic_mean()
    if both is not None:
        yield Ours(HARMONIC, own, HARMONIC, both, both_before, None)


def asked_of(where_: Reported, record: RunFolder, ours: Ours, shots: int | None) -> Asked:
    """What a paper's value has to be about to stand beside a measure of a run."""
    told, facts = record.section("model"), facts_of(ours.data)
    return Asked(
        *where_,
        dataset=facts.column if facts else "",
        metric=ours.metric,
        backbone=matching.backbone_of((told.get("name"), told.get("source"))),
        protocol=matching.protocol_of(str(record.run.get("task") or "classify"), str(record.run.get("protocol"))),
        shots=None if record.method == "zero_shot" else matching.shots_told(shots),
    )


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
    mean, deviation = mean_and_deviation([each.value for _, each in told])
    asked = asked_of(where_, record, ours, shots)
    found = matching.nearest(asked)
    reasons = unlike(found, asked, record, ours) if found else []
    value = found.value / 100 if found else None
    comparable = found is not None and not reasons
    return {
        "label": label,
        **place._asdict(),
        "shots": shots,
        "test": ours.test,
        "metric": ours.metric,
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


def unlike(found: Result, asked: Asked, record: RunFolder, ours: Ours) -> list[str]:
    """In what a run is not what the paper measured, in words; empty where the two may be compared."""
    target = ["target: the paper's is a mean over held-out domains"] if record.run.get("target") else []
    return matching.unlike(found, asked) + target + unfaithful(record, ours)


def unfaithful(record: RunFolder, ours: Ours) -> list[str]:
    """In what a run's data are not the published ones, in words."""
    reasons = [] if ours.as_theirs else [OWN_SIZE]
    facts = facts_of(ours.data)
    expected = facts.counts[2] if facts and ours.metric in ("top1", DICE) else None
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
    masks = ", Dice at the model's input size" if any(row["metric"] == DICE for row in rows) else ""
    return Table(f"Beside the papers' values{masks}", columns, shown)


def _told(row: Row) -> str:
    if row["paper"] is None:
        return "the table has no such value"
    return "yes" if row["comparable"] else f"not comparable ({row['unlike']})"
