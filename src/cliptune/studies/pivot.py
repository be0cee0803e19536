"""The table a study ends in, as a paper prints it: a line a method, a column a data set, the paper's values beside.

A cell is the mean and sample standard deviation over seeds; over held-out domains the mean of a seed comes first. The
average column is the mean over data sets of a seed, then over seeds, and stands only where no data set is missing. The
paper's value stands beside ours only for the same data set, backbone and shots (`published.matching`), with the paper's
settings; the difference is told nowhere else. A study of segmentation has Dice where others have accuracies: at the
model's input size, as the papers have it, where the study is a paper's table, else at the images' own size.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from cliptune import published
from cliptune.published import Result, matching
from cliptune.published.matching import AVERAGE, HARMONIC, Asked
from cliptune.report import words
from cliptune.report.blocks import Block, Table, Text
from cliptune.report.papers import DICE, AnyRecord, Ours, facts_of, measures, unfaithful
from cliptune.report.tables import Column, Row
from cliptune.statistics import mean_and_deviation
from cliptune.studies.study import Job, Study

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
    for job in (*study.untouched, *(job for job in study.jobs if job.row.label not in zero)):
        line, first = line_of(job), job.row.label in zero
        record = untouched.get(job.untouched) if first else records.get(job.key)
        for place, ours in measured(job, record, names, bool(study.about.source)):
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
    """The harmonic mean of a data set's base and novel classes before both."""
    order = list(dict.fromkeys(place.dataset for place in fields))
    return sorted(fields, key=lambda place: (order.index(place.dataset), place.metric != HARMONIC))


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
    job: Job, record: AnyRecord | None, names: Mapping[str, str], for_papers: bool = True
) -> Iterator[tuple[Field, Ours | None]]:
    """What a run measured, by column; of a run that is missing, None in the columns it would fill.

    Args:
        names: what finished runs call the data that recipes name. for_papers: as `papers.measures` takes it.
    """
    if record is not None:
        yield from ((Field(column_of(ours.data), ours.metric), ours) for ours in measures(record, for_papers))
        return
    recipe, protocol = job.recipe, job.recipe.protocol
    own = column_of(names.get(recipe.data.name, recipe.data.name))
    metrics = ("base top1", "novel top1", HARMONIC) if protocol.name == "base-to-novel" else ("top1",)
    yield from ((Field(own, metric), None) for metric in ((DICE,) if recipe.task == "segment" else metrics))
    yield from ((Field(column_of(name), "top1"), None) for name in protocol.tests)


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


def values_of(source: str, backbone: str = "") -> list[Result]:
    """A table of a paper, of one backbone if given."""
    return [
        each for each in published.results() if each.source == source and (not backbone or each.backbone == backbone)
    ]


def blocks(study: Study, table: Pivot) -> list[Block]:
    """Ours, a table for every backbone and number of shots; then what the paper reports of methods without runs."""
    found: list[Block] = []
    columns = (Column("label", "method"), *(Column(each.title, each.title, shown) for each in table.fields))
    rows, masks = table.rows(), study.task == "segment"
    counted = "training image" if masks else "shot"
    size = " at the model's input size" if study.about.source else ""
    measure = f"Dice{size}, " if masks else ""
    for model, shots, here in together(rows):
        backbone = Path(model).name if model.count("/") > 1 or model.startswith((".", "~")) else model
        title = f"{backbone}, {words.these(int(shots), counted)}" if shots else backbone
        found.append(Table(f"{title}: {measure}mean ± s.d. over seeds, per cent", columns, here))
    found += [Text(text) for text in means_over(study, table.fields)] if table.lines else []
    if study.about.note:
        found.append(Text(study.about.note))
    return found + theirs(study, table)


def together(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """The rows of a backbone and number of shots, those without shots (zero-shot) above each of them."""
    for model in dict.fromkeys(row["model"] for row in rows):
        here = [row for row in rows if row["model"] == model]
        without = [row for row in here if not row["shots"]]
        for shots in dict.fromkeys(row["shots"] for row in here if row["shots"]) or [""]:
            yield model, shots, [*without, *(row for row in here if shots and row["shots"] == shots)]


def means_over(study: Study, fields: Sequence[Field]) -> list[str]:
    """Which targets, and which data sets, a column is a mean over."""
    told = []
    targets: dict[str, dict[str, None]] = defaultdict(dict)
    for job in (*study.jobs, *study.untouched):
        if target := job.recipe.protocol.target:
            targets[column_of(job.recipe.data.name)][target] = None
    for dataset, names in targets.items():
        if len(names) > 1:
            told.append(f"{dataset}: the mean over the held-out domains {', '.join(names)}.")
        else:
            told.append(f"{dataset}: the held-out domain {next(iter(names))} alone.")
    for metric in dict.fromkeys(place.metric for place in fields if place.dataset == AVERAGE):
        sets = [place.dataset for place in fields if place.metric == metric and place.dataset != AVERAGE]
        told.append(f"{Field(AVERAGE, metric).title}: the mean over {', '.join(sets)}.")
    return told


def shown(cell: Cell | None) -> str:
    return words.NOT_MEASURED if cell is None else str(cell)


def state_of(study: Study, table: Pivot, found: Result) -> str:
    """Whether a method of the paper was run here, and whether its values could be put beside ours."""
    labels = {job.label for job in (*study.jobs, *study.untouched) if job.row.published == found.method}
    cells = [
        cell
        for (line, _), cell in table.cells.items()
        if line.label in labels
        and matching.backbone_of((line.model,)) in (found.backbone, "")
        and found.shots in (line.shots, "")
        and cell.mean is not None
    ]
    if not cells:
        return "not run"
    return "above" if any(cell.paper is not None for cell in cells) else "above, not compared"


def theirs(study: Study, table: Pivot | None = None) -> list[Block]:
    """The paper's table: every method it names, and whether it was run here.

    Args:
        table: ours; None of a study that runs nothing, whose sizes stand above.
    """
    source = study.about.source
    if not source:
        return []
    results = values_of(source)
    sized = {row.published for row in study.rows} if table is None else set()
    rows: dict[tuple[str, str, str], Row] = {}
    for each in results:
        key = (each.backbone, each.shots, each.method)
        here = "above" if each.method in sized else "not run"
        if table is not None and not study.small:
            here = state_of(study, table, each)
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
