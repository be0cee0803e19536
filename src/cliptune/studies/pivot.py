"""The table a study ends in, as a paper prints it: a line a method, a column a data set, the paper's values beside.

A cell is the mean and sample standard deviation over seeds; over held-out domains the mean of a seed comes first. The
average column is the mean over data sets of a seed, then over seeds, and stands only where no data set is missing. The
paper's value stands beside ours only for the same data set, backbone and shots (`published.matching`), with the paper's
settings; the difference is told nowhere else. A study of segmentation has Dice where others have accuracies: at the
model's input size, as the papers have it, where the study is a paper's table, else at the images' own size.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from cliptune.datasets.facts import facts_of
from cliptune.published import Result, matching
from cliptune.published.matching import AVERAGE, HARMONIC, Asked
from cliptune.report import words
from cliptune.report.leading import TITLES, leading
from cliptune.report.papers import DICE, AnyRecord, Ours, measures, unfaithful
from cliptune.report.read import Record
from cliptune.report.tables import Row
from cliptune.statistics import mean_and_deviation
from cliptune.studies.study import Job, Study

BY_CLASS = TITLES["class mean"]
"""a column that stands before the accuracy where classes are unequal and the table is no paper's"""

Values = dict[tuple["Line", "Field"], dict[int, list[float | None]]]
"""fractions by line and column, then by seed; a seed has several over held-out domains, None where a run is missing"""


class Field(NamedTuple):
    """A column."""

    dataset: str
    """as the papers write it, where they know it"""
    metric: str

    @property
    def title(self) -> str:
        return self.dataset if self.metric in ("top1", DICE) else f"{self.dataset}, {self.metric}"


class Line(NamedTuple):
    """A line."""

    model: str
    shots: str
    label: str


Papers = dict[tuple[Line, Field], set[Asked | None]]
"""by line and column, what a paper's value has to be about; None for a run that is none of the paper's"""


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
            return f"{told}, {words.these(self.missing, 'run')} missing"
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


def pivot(study: Study, done: Sequence[tuple[Job, AnyRecord]]) -> Pivot:
    """The study's table from its finished runs."""
    records = {job.key: record for job, record in done}
    untouched = {job.untouched: record for job, record in done}
    names = {job.recipe.data.name: str(record.section("data").get("name")) for job, record in done}
    values: Values = defaultdict(lambda: defaultdict(list))
    asked: Papers = defaultdict(set)
    zero = {job.row.label for job in study.untouched}
    by_class = () if study.about.source else unequal_sets(done)
    for job in (*study.untouched, *(job for job in study.jobs if job.row.label not in zero)):
        line, first = line_of(job), job.row.label in zero
        record = untouched.get(job.untouched) if first else records.get(job.key)
        for place, ours in measured(job, record, names, bool(study.about.source), by_class):
            found = None if ours is None else ours.before if first else ours.value
            values[line, place][job.recipe.protocol.seed].append(found)
            same = job.faithful and (record is None or ours is None or not unfaithful(record, ours))
            asked[line, place].add(asked_of(study, job, place) if same else None)
    fields = leading_first(list(dict.fromkeys(place for _, place in values)))
    table = Pivot(in_order(study, [line for line, _ in values]), with_averages(fields))
    for line in table.lines:
        for place in table.fields:
            if place.dataset == AVERAGE:
                paper = average_of(asked, line, [each for each in fields if each.metric == place.metric])
                seeds = averaged(values, line, fields, place.metric)
            else:
                one = only(asked[line, place])
                paper, seeds = matching.exactly(one) if one else None, values[line, place]
            beside = paper.value / 100 if paper else None
            table.cells[line, place] = cell_of(seeds, beside, line.label in zero)
    return table


def leading_first(fields: Sequence[Field]) -> list[Field]:
    """The harmonic mean of a data set's base and novel classes before both, the mean over classes before accuracy."""
    order = list(dict.fromkeys(place.dataset for place in fields))
    return sorted(fields, key=lambda place: (order.index(place.dataset), place.metric not in (HARMONIC, BY_CLASS)))


def unequal_sets(done: Sequence[tuple[Job, AnyRecord]]) -> list[str]:
    """The data sets whose classes are unequal in a test, so that the mean over classes leads a run there."""
    leads = (record for _, record in done if isinstance(record, Record) and leading(record).kind == "class mean")
    return list(dict.fromkeys(column_of(str(record.section("data").get("name"))) for record in leads))


def asked_of(study: Study, job: Job, place: Field) -> Asked | None:
    """What a paper's value has to be about to stand in a job's cell; None where none may: in small forms."""
    source, method, recipe = study.about.source, job.row.published, job.recipe
    if study.small or not method or not source:
        return None
    shots, trained = job.recipe.shots, recipe.method.name != "zero_shot"
    return Asked(
        source,
        method,
        *place,
        backbone=matching.backbone_of((recipe.model.name,)),
        protocol=matching.protocol_of(recipe.task, recipe.protocol.name),
        shots=matching.shots_told(shots) if trained else None,
    )


def only(asked: set[Asked | None]) -> Asked | None:
    """What all runs of a cell agree on; None where they do not."""
    return next(iter(asked)) if len(asked) == 1 else None


def average_of(asked: Papers, line: Line, fields: Sequence[Field]) -> Result | None:
    """The paper's average beside ours over `fields`; None where one of them is not to be compared."""
    each = [only(asked[line, place]) for place in fields]
    alike = {replace(one, dataset=AVERAGE) for one in each if one is not None}
    if None in each or len(alike) != 1:
        return None
    return matching.average(alike.pop(), {place.dataset for place in fields})


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
    job: Job,
    record: AnyRecord | None,
    names: Mapping[str, str],
    for_papers: bool = True,
    by_class: Sequence[str] = (),
) -> Iterator[tuple[Field, Ours | None]]:
    """What a run measured, by column; of a run that is missing, None in the columns it would fill.

    Args:
        names: what finished runs call the data that recipes name. for_papers: as `papers.measures` takes it.
        by_class: columns that have a mean over classes too.
    """
    if record is not None:
        name = str(record.section("data").get("name"))
        if isinstance(record, Record) and column_of(name) in by_class:
            yield Field(column_of(name), BY_CLASS), mean_over_classes(record, name)
        yield from ((Field(column_of(ours.data), ours.metric), ours) for ours in measures(record, for_papers))
        return
    recipe, protocol = job.recipe, job.recipe.protocol
    own = column_of(names.get(recipe.data.name, recipe.data.name))
    metrics = ("base top1", "novel top1", HARMONIC) if protocol.name == "base-to-novel" else ("top1",)
    if own in by_class:
        yield Field(own, BY_CLASS), None
    yield from ((Field(own, metric), None) for metric in ((DICE,) if recipe.task == "segment" else metrics))
    yield from ((Field(column_of(name), "top1"), None) for name in protocol.tests)


def mean_over_classes(record: Record, data: str) -> Ours | None:
    """Of the main test; None where the run does not tell it."""
    sides = [record.after(), record.before()]
    after, before = (words.number(side.extra.get("macro_accuracy")) if side else None for side in sides)
    return None if after is None else Ours(record.main or "test", data, BY_CLASS, after, before, None)


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
