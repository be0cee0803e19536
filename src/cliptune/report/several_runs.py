"""The page that compares runs that classify: means over seeds, every test. What tasks share: several_parts.py."""

from collections.abc import Mapping, Sequence

from cliptune.report import plots_compare, verdict, words
from cliptune.report.blocks import Block, Page, Section, Table, Text
from cliptune.report.captions import mean_columns, method_columns, opening, shots_cell
from cliptune.report.compare import Place, groups
from cliptune.report.compare_tests import by_test
from cliptune.report.read import Record
from cliptune.report.several_costs import every_run, forgotten
from cliptune.report.several_parts import (
    STANDING,
    beside_best,
    by_parameters,
    compared,
    differences,
    each_place,
    means_drawn,
    page_around,
    standing_column,
    tiles_of,
)
from cliptune.report.tables import Column, Row, run_row


def page_of(
    records: Sequence[Record],
    given: Sequence[str] | None = None,
    reported: Mapping[str, tuple[str, str]] | None = None,
) -> Page:
    """Compare at least two runs.

    Args:
        given: their labels, where they have some.
        reported: label → where a paper's value for it stands, as `papers.beside_papers` takes it.
    """
    found = compared(records, given, reported)
    runs, places, order = found.runs, found.places, found.order
    rows = groups(runs)
    told = beside_best(rows, runs)
    shots = sorted({shots_cell(each.cell.shots) for each in runs}, key=lambda text: (len(text), text))
    means_and_tests = means(told, places, order, found.notes, found.published) + each_test(by_test(runs))
    return page_around(
        found,
        [
            Section("means", "Accuracy, mean over seeds", means_and_tests),
            Section("pairs", "Paired differences", differences(runs, found.pairs, places)),
        ],
        kind="run",
        beside=f"shots {', '.join(shots)}",
        verdict=verdict.of_several(runs, found.pairs),
        tiles=tiles_of(rows, places, lambda place: words.short(place.data, 24)),
        means=rows,
        every_run=every_run(runs),
        rows=[run_row(record) for record in records],
        then=[
            Section("forgotten", "What was forgotten, beside what was gained", forgotten(rows, places, order)),
        ],
    )


def means(
    rows: Sequence[Row],
    places: Sequence[Place],
    order: dict[str, int],
    notes: Sequence[str],
    published: Sequence[Row] = (),
) -> list[Block]:
    blocks: list[Block] = [Text(note) for note in notes]
    blocks += each_place(
        rows,
        places,
        "accuracy",
        lambda index, here, place: mean_figures(index, here, place, places, order, published),
    )
    kept = list(dict.fromkeys(name for row in rows for name in row["retention"]))
    shown = [row | {f"kept {name}": row["retention"].get(name, (None, None))[0] for name in kept} for row in rows]
    standing = standing_column(rows)
    columns = (
        *method_columns(rows),
        *mean_columns("accuracy", "mean"),
        *standing,
        *(Column(f"kept {name}", f"change on {name}, points", words.points) for name in kept),
        Column("trainable_parameters", "trainable parameters", words.count),
    )
    blocks.append(Table("Mean and sample standard deviation over seeds", columns, shown))
    if standing:
        blocks.append(Text(STANDING))
    return blocks


def each_test(rows: Sequence[Row]) -> list[Block]:
    """Base and novel, or a set and its variants: the plots above speak of the first test alone."""
    if not rows:
        return []
    columns = (
        *method_columns(rows),
        Column("test", "test"),
        *mean_columns("accuracy", "mean"),
    )
    return [Table("Every test, mean and sample standard deviation over seeds", columns, rows)]


def mean_figures(
    index: int,
    rows: Sequence[Row],
    place: Place,
    places: Sequence[Place],
    order: dict[str, int],
    published: Sequence[Row] = (),
) -> list[Block]:
    """Accuracy by shots, or by method where there is one number of shots; and by trainable parameters."""
    several = len({row["shots"] for row in rows if words.number(row["shots"])}) > 1
    shots, method = plots_compare.accuracy_by_shots, plots_compare.accuracy_by_label
    beside = [row for row in published if (row["data"], row["model"], row["protocol"]) == place]
    told = opening(place, places, "accuracy by shots" if several else "accuracy by method")
    figure = shots(rows, order, beside) if several else method(rows, order)
    return [
        means_drawn(f"shots-{index}", figure, told, rows),
        *by_parameters(index, rows, place, places, order),
    ]
