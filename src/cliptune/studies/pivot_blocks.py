"""A study's table as blocks of its page: ours by backbone and number of shots, then the paper's values."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cliptune import published
from cliptune.published import Result, matching
from cliptune.published.matching import AVERAGE
from cliptune.report import words
from cliptune.report.blocks import Block, Table, Text
from cliptune.report.tables import Column, Row
from cliptune.studies.pivot import Cell, Field, Pivot, column_of
from cliptune.studies.study import Study


def values_of(source: str, backbone: str = "") -> list[Result]:
    """A table of a paper, of one backbone if given."""
    return [
        each for each in published.results() if each.source == source and (not backbone or each.backbone == backbone)
    ]


def blocks(study: Study, table: Pivot, unequal: Sequence[str] = ()) -> list[Block]:
    """Ours, a table for every backbone and number of shots; then what the paper reports of methods without runs.

    Args:
        unequal: of `unequal_sets`.
    """
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
    if study.about.source and unequal:
        found.append(
            Text(
                f"Accuracy, as the paper has it. The test classes of {', '.join(unequal)} are unequal: the mean over "
                "classes stands in the comparison below."
            )
        )
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
