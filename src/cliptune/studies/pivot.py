"""The table a study ends in, as a paper prints it: a line a method, a column a data set, the paper's values beside.

A cell is the mean and sample standard deviation over seeds; over held-out domains the mean of a seed comes first. The
average column is the mean over data sets of a seed, then over seeds, and stands only where no data set is missing. The
paper's value stands beside ours only for the same data set, backbone and shots, with the paper's settings; the
difference is told nowhere else.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cliptune import published
from cliptune.published import BACKBONES, Result
from cliptune.report import words
from cliptune.report.blocks import Block, Table, Text
from cliptune.report.papers import AVERAGE, HARMONIC, Ours, facts_of, measures, unfaithful
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row
from cliptune.statistics import mean_and_deviation
from cliptune.studies.study import Job, Study

Values = dict[tuple["Line", "Field"], dict[int, list[float | None]]]
"""accuracies by line and column, then by seed; a seed has several over held-out domains, None where a run is missing"""


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
    untouched = {job.untouched: record for job, record in done}
    names = {job.recipe.data.name: str(record.section("data").get("name")) for job, record in done}
    values: Values = defaultdict(lambda: defaultdict(list))
    like: dict[tuple[Line, Field], bool] = {}
    zero = {job.row.label for job in study.untouched}
    for job in (*study.untouched, *(job for job in study.jobs if job.row.label not in zero)):
        line, first = line_of(job), job.row.label in zero
        record = untouched.get(job.untouched) if first else records.get(job.key)
        for place, ours, before in measured(job, record, names):
            found = before if first else ours.accuracy if ours else None
            values[line, place][job.recipe.protocol.seed].append(found)
            same = job.faithful and (record is None or ours is None or not unfaithful(record, ours))
            like[line, place] = like.get((line, place), True) and same
    fields = list(dict.fromkeys(place for _, place in values))
    table = Pivot(in_order(study, [line for line, _ in values]), with_averages(fields))
    method = {row.label: row.published for row in study.rows}
    for line in table.lines:
        theirs = of_line(study, line, method.get(line.label, ""))
        for place in table.fields:
            if place.dataset == AVERAGE:
                columns = [each for each in fields if each.metric == place.metric]
                same = all(like.get((line, each), False) for each in columns)
                paper = average_of(theirs, place, {each.dataset for each in columns}) if same else None
                seeds = averaged(values, line, fields, place.metric)
            else:
                paper = theirs[place].value / 100 if like.get((line, place)) and place in theirs else None
                seeds = values[line, place]
            table.cells[line, place] = cell_of(seeds, paper, line.label in zero)
    return table


def line_of(job: Job) -> Line:
    shots = job.recipe.protocol.shots
    return Line(job.recipe.model.name, "" if isinstance(shots, str) else str(shots), job.label)


def in_order(study: Study, lines: Sequence[Line]) -> list[Line]:
    """By backbone and shots as they come, then as the rows stand in the study."""
    unique = list(dict.fromkeys(lines))
    places = list(dict.fromkeys((line.model, line.shots) for line in unique))
    rows = [row.label for row in study.rows]
    by_row = sorted((*study.untouched, *study.jobs), key=lambda job: rows.index(job.row.label))
    labels = list(dict.fromkeys(job.label for job in by_row))
    return sorted(unique, key=lambda line: (places.index((line.model, line.shots)), labels.index(line.label)))


def measured(
    job: Job, record: Record | None, names: Mapping[str, str]
) -> Iterator[tuple[Field, Ours | None, float | None]]:
    """By column: ours, and the untouched backbone's; of a run that is missing, None in the columns it would fill.

    Args:
        names: what finished runs call the data that recipes name.
    """
    if record is None:
        protocol = job.recipe.protocol
        metrics = ("base top1", "novel top1", HARMONIC) if protocol.name == "base-to-novel" else ("top1",)
        own = names.get(job.recipe.data.name, job.recipe.data.name)
        yield from ((Field(column_of(own), metric), None, None) for metric in metrics)
        yield from ((Field(column_of(name), "top1"), None, None) for name in protocol.tests)
        return
    for ours in measures(record):
        before = record.before(ours.test)
        zero = record.harmonic_mean()[1] if ours.metric == HARMONIC else before.accuracy if before else None
        yield Field(column_of(ours.data), ours.metric), ours, zero


def column_of(dataset: str) -> str:
    """What the papers call a data set; its own name where they do not know it."""
    facts = facts_of(dataset)
    return (facts.column or dataset) if facts else Path(dataset).name if Path(dataset).is_absolute() else dataset


def with_averages(fields: Sequence[Field]) -> list[Field]:
    """The columns, and an average of each metric over several data sets at the end."""
    count = Counter(each.metric for each in fields)
    return [*fields, *(Field(AVERAGE, metric) for metric in count if count[metric] > 1)]


def averaged(values: Values, line: Line, fields: Sequence[Field], metric: str) -> dict[int, list[float | None]]:
    """By seed, the mean over data sets; None where one of them is missing."""
    columns = [values[line, each] for each in fields if each.metric == metric]
    found: dict[int, list[float | None]] = {}
    for seed in dict.fromkeys(seed for column in columns for seed in column):
        found[seed] = [over_domains([over_domains(column.get(seed, [None])) for column in columns])]
    return found


def over_domains(values: Sequence[float | None]) -> float | None:
    """The mean over held-out domains, or over data sets; None where one is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if values and len(known) == len(values) else None


def cell_of(seeds: Mapping[int, Sequence[float | None]], paper: float | None, zero: bool) -> Cell:
    means = [over_domains(values) for values in seeds.values()]
    known = [value for value in means if value is not None]
    missing = sum(value is None for values in seeds.values() for value in values)
    mean, deviation = mean_and_deviation(known)
    # The untouched backbone answers alike whatever the seed.
    return Cell(mean, None if zero else deviation, len(known), missing, paper)


def of_line(study: Study, line: Line, method: str) -> dict[Field, Result]:
    """What the source reports of a method on a line's backbone and shots; nothing beside the small form."""
    if study.small or not method or not study.about.source:
        return {}
    return {
        Field(each.dataset, each.metric): each
        for each in values_of(study.about.source, BACKBONES.get(line.model, line.model))
        if each.method == method and (each.shots in ("", "0") or not line.shots or each.shots == line.shots)
    }


def average_of(theirs: Mapping[Field, Result], place: Field, datasets: set[str]) -> float | None:
    """The paper's average as a fraction, where it is a mean over the very data sets that stand here.

    A paper that prints nothing but an average means the eleven few-shot sets. Its harmonic means are compared only
    where the average is the mean of those of the data sets, as ours is.
    """
    found = theirs.get(place)
    if found is None or (place.metric == HARMONIC and (found.source, found.method) not in published.MEANS_OF_HARMONIC):
        return None
    over = {each.dataset for each in theirs if each.metric == place.metric} - {AVERAGE}
    return found.value / 100 if datasets == (over or published.eleven()) else None


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
        Column("here", "here"),
        *([Column("model", "backbone")] if len({each.backbone for each in results}) > 1 else []),
        *([Column("shots", "shots")] if len({each.shots for each in results}) > 1 else []),
        *(Column(name, name, as_printed(rows.values(), name)) for name in fields),
    )
    aside = "; other data and another backbone than the small form's, so not to be compared" if study.small else ""
    return [Table(f"The paper's values ({source}){aside}", columns, list(rows.values()), folded=bool(study.rows))]


def as_printed(rows: Iterable[Row], name: str) -> Callable[[Any], str]:
    """A column of a paper with as many decimals as its longest number has, two at most."""
    values = [row[name] for row in rows if row.get(name) is not None]
    decimals = next((n for n in (0, 1) if all(round(value, n) == value for value in values)), 2)
    return lambda value: words.NOT_MEASURED if value is None else f"{value:,.{max(1, decimals)}f}"
