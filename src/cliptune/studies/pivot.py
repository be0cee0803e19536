"""The table a study ends in, as a paper prints it: a line a method, a column a data set, the paper's values beside.

A cell is the mean and sample standard deviation over seeds; over held-out domains the mean of a seed comes first. The
average column is the mean over data sets of a seed, then over seeds, and stands only where no data set is missing. The
paper's value stands beside ours only for the same data set, backbone and shots, with the paper's settings; the
difference is told nowhere else.
"""

import importlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cliptune import published
from cliptune.datasets import find_set, sets
from cliptune.errors import UserError
from cliptune.published import BACKBONES, Result
from cliptune.report import words
from cliptune.report.blocks import Block, Table, Text
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row
from cliptune.statistics import mean_and_deviation
from cliptune.studies.study import Job, Study

AVERAGE = "Average"


class Field(NamedTuple):
    """A column."""

    dataset: str
    """as the papers write it, where they know it"""
    metric: str

    @property
    def title(self) -> str:
        return self.dataset if self.metric == "top1" else f"{self.dataset}, {self.metric}"


class Line(NamedTuple):
    """A line."""

    model: str
    shots: str
    label: str


@dataclass(frozen=True)
class Cell:
    """What stands where a line and a column meet."""

    mean: float | None = None
    deviation: float | None = None
    runs: int = 0
    missing: int = 0
    """runs of this cell that have not finished"""
    paper: float | None = None
    """as a fraction, like ours"""

    @property
    def difference(self) -> float | None:
        return None if self.mean is None or self.paper is None or self.missing else self.mean - self.paper

    def __str__(self) -> str:
        if self.mean is None:
            return f"not run (paper {100 * self.paper:.1f})" if self.paper is not None else "not run"
        told = f"{100 * self.mean:.1f}" + (f" ± {100 * self.deviation:.1f}" if self.deviation is not None else "")
        if self.missing:
            return f"{told}, {self.missing} runs missing"
        return told if self.paper is None else f"{told} (paper {100 * self.paper:.1f}, {words.points(self.difference)})"


@dataclass
class Pivot:
    """Cells by line and column, lines and columns in the order of the study."""

    lines: list[Line] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    cells: dict[tuple[Line, Field], Cell] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        return [
            {"label": line.label, "model": line.model, "shots": line.shots}
            | {each.title: self.cells.get((line, each)) for each in self.fields}
            for line in self.lines
        ]

    def numbers(self) -> list[Row]:
        """A row a cell, for the CSV."""
        return [
            {
                **line._asdict(),
                **each._asdict(),
                "mean": cell.mean,
                "deviation": cell.deviation,
                "runs": cell.runs,
                "missing": cell.missing,
                "paper": cell.paper,
                "difference": cell.difference,
            }
            for line in self.lines
            for each in self.fields
            if (cell := self.cells.get((line, each))) is not None
        ]


def pivot(study: Study, done: Sequence[tuple[Job, Record]]) -> Pivot:
    """The study's table from its finished runs."""
    records = {job.key: record for job, record in done}
    gathered: dict[tuple[Line, Field], dict[int, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    zero = next((row.label for row in study.rows if row.recipe == "zero_shot"), None)
    lines: dict[Line, Job] = {}
    for job in study.jobs:
        record = records.get(job.key)
        line = line_of(job)
        lines.setdefault(line, job)
        for each, (after, before) in accuracies(job, record).items():
            gathered[line, each][job.recipe.protocol.seed].append(after)
            if zero is not None and job.row.recipe != "zero_shot":
                gathered[line._replace(label=zero), each][job.recipe.protocol.seed].append(before)
    fields = list(dict.fromkeys(each for _, each in gathered))
    ordered = in_order(study, [line for line, _ in gathered], zero)
    table = Pivot(ordered, with_averages(fields))
    by_label = {row.label: row.published for row in study.rows}
    for line in ordered:
        job = lines.get(line) or next(iter(lines.values()))
        theirs = comparable(study, line, by_label.get(job.row.label if line in lines else line.label, ""))
        for each in table.fields:
            seeds = averaged(gathered, line, fields, each.metric) if each.dataset == AVERAGE else gathered[line, each]
            table.cells[line, each] = cell_of(seeds, theirs.get(each), line.label == zero)
    return table


def line_of(job: Job) -> Line:
    shots = job.recipe.protocol.shots
    return Line(job.recipe.model.name, "" if isinstance(shots, str) else str(shots), job.label)


def in_order(study: Study, lines: Sequence[Line], zero: str | None) -> list[Line]:
    """By backbone and shots as they come, then as the rows stand in the study."""
    unique = list(dict.fromkeys(lines))
    places = list(dict.fromkeys((line.model, line.shots) for line in unique))
    labels = ([zero] if zero else []) + list(dict.fromkeys(job.label for job in study.jobs))
    return sorted(unique, key=lambda line: (places.index((line.model, line.shots)), labels.index(line.label)))


def accuracies(job: Job, record: Record | None) -> dict[Field, tuple[float | None, float | None]]:
    """Accuracy after and before by column; of a run that is missing, None in the columns it would fill."""
    name, protocol = column_of(job.recipe.data.name), job.recipe.protocol
    if protocol.name == "base-to-novel":
        halves = {Field(name, f"{half} top1"): both(record, half) for half in ("base", "novel")}
        return halves | {Field(name, "harmonic mean"): record.harmonic_mean() if record else (None, None)}
    tests = record.tests() if record else ["test", *protocol.tests]
    return {Field(name if test == "test" else column_of(test), "top1"): both(record, test) for test in tests}


def both(record: Record | None, test: str) -> tuple[float | None, float | None]:
    """Accuracy on a test after and before."""
    after, before = (record.after(test), record.before(test)) if record else (None, None)
    return (after.accuracy if after else None), (before.accuracy if before else None)


def column_of(dataset: str) -> str:
    """What the papers call a data set; its own name where they do not know it."""
    try:
        facts = getattr(importlib.import_module(f"{sets.__name__}.{find_set(dataset)}"), "FACTS", None)
    except UserError:
        return dataset
    return (facts.column or dataset) if facts else dataset


def with_averages(fields: Sequence[Field]) -> list[Field]:
    """The columns, and an average of each metric over several data sets at the end."""
    count = Counter(each.metric for each in fields)
    return [*fields, *(Field(AVERAGE, metric) for metric in count if count[metric] > 1)]


def averaged(
    gathered: Mapping[tuple[Line, Field], Mapping[int, Sequence[float | None]]],
    line: Line,
    fields: Sequence[Field],
    metric: str,
) -> dict[int, list[float | None]]:
    """By seed, the mean over data sets; None where one of them is missing."""
    columns = [gathered[line, each] for each in fields if each.metric == metric]
    found: dict[int, list[float | None]] = {}
    for seed in dict.fromkeys(seed for column in columns for seed in column):
        values = [over_domains(column.get(seed, [None])) for column in columns]
        known = [value for value in values if value is not None]
        found[seed] = [sum(known) / len(known) if len(known) == len(values) else None]
    return found


def over_domains(values: Sequence[float | None]) -> float | None:
    """The mean of a seed over held-out domains; None where one is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if values and len(known) == len(values) else None


def cell_of(seeds: Mapping[int, Sequence[float | None]], paper: float | None, zero: bool) -> Cell:
    means = [over_domains(values) for values in seeds.values()]
    known = [value for value in means if value is not None]
    missing = sum(value is None for values in seeds.values() for value in values)
    mean, deviation = mean_and_deviation(known)
    # The untouched backbone answers alike for every seed; where its tests are the same, there is no deviation.
    deviation = None if zero and not deviation else deviation
    return Cell(mean, deviation, len(known), 0 if zero and known else missing, paper)


def comparable(study: Study, line: Line, method: str) -> dict[Field, float]:
    """The paper's values for this line, as fractions; none in the small form, for other settings or backbones."""
    if study.small or not method or not study.about.source:
        return {}
    found = values_of(study.about.source, BACKBONES.get(line.model, line.model))
    return {
        Field(each.dataset, each.metric): each.value / 100
        for each in found
        if each.method == method and (each.shots in ("", "0") or not line.shots or each.shots == line.shots)
    }


def values_of(source: str, backbone: str = "") -> list[Result]:
    """A table of a paper, of one backbone if given."""
    return [
        each for each in published.results() if each.source == source and (not backbone or each.backbone == backbone)
    ]


def blocks(study: Study, table: Pivot) -> list[Block]:
    """Ours, a table for every backbone and number of shots; then what the paper reports of methods without runs."""
    found: list[Block] = []
    columns = (Column("label", "method"), *(Column(each.title, each.title, shown) for each in table.fields))
    rows = table.rows()
    for model, shots in dict.fromkeys((line.model, line.shots) for line in table.lines):
        title = f"{model}, {words.these(int(shots), 'shot')}" if shots else model
        here = [row for row in rows if (row["model"], row["shots"]) == (model, shots)]
        found.append(Table(f"{title}: mean ± s.d. over seeds, per cent", columns, here))
    if study.about.note:
        found.append(Text(study.about.note))
    return found + theirs(study)


def shown(cell: Cell | None) -> str:
    return words.NOT_MEASURED if cell is None else str(cell)


def theirs(study: Study) -> list[Block]:
    """The paper's table: every method it names, and whether it was run here."""
    source = study.about.source
    if not source:
        return []
    results = values_of(source)
    names = {row.published for row in study.rows if row.published} if study.about.runs or study.rows else set()
    rows: dict[tuple[str, str, str], Row] = {}
    for each in results:
        key = (each.backbone, each.shots, each.method)
        here = "above" if each.method in names and not study.small else "not run"
        if each.method in study.about.not_reproducible:
            here = "not reproducible"
        row = rows.setdefault(key, {"label": each.method, "model": each.backbone, "shots": each.shots, "here": here})
        row[Field(each.dataset, each.metric).title] = each.value
    fields = list(dict.fromkeys(Field(each.dataset, each.metric).title for each in results))
    columns = (
        Column("label", "method"),
        *([Column("model", "backbone")] if len({each.backbone for each in results}) > 1 else []),
        *([Column("shots", "shots")] if len({each.shots for each in results}) > 1 else []),
        *(Column(name, name) for name in fields),
        Column("here", "here"),
    )
    aside = "; other data and another backbone than the small form's, so not to be compared" if study.small else ""
    return [Table(f"What the paper prints ({source}){aside}", columns, list(rows.values()), folded=not study.small)]
