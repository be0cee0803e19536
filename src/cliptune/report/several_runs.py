"""The page that compares runs that classify: means over seeds, every test. What tasks share: several_parts.py."""

from collections.abc import Mapping, Sequence

from cliptune.report import plots_compare, words
from cliptune.report.blocks import Block, Page, Section, Table, Text
from cliptune.report.by_shots import by_shots
from cliptune.report.captions import mean_columns, method_columns, opening, shots_cell
from cliptune.report.compare import Named, Place, groups
from cliptune.report.compare_tests import by_test
from cliptune.report.pairs import Pairs
from cliptune.report.read import Record
from cliptune.report.remarks import noted, remarks_on_data, with_training
from cliptune.report.several_costs import every_run, forgotten
from cliptune.report.several_leading import (
    as_drawn,
    lead_columns,
    measured_as,
    of_several,
    with_leading,
    without_chance,
)
from cliptune.report.several_parts import (
    ACCURACY,
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

OF_MEANS = "harmonic mean, of the mean accuracies"


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
    rows, at_chance = without_chance(with_leading(groups(runs), runs), runs)
    told = beside_best(rows, runs)
    drawn = as_drawn(rows)
    measured = measured_as(rows)
    repeated = any(row["runs"] > 1 for row in rows)
    shots = sorted({shots_cell(each.cell.shots) for each in runs}, key=lambda text: (len(text), text))
    means_and_tests = means(told, places, order, found.notes, found.published) + each_test(by_test(runs))
    return page_around(
        found,
        [
            Section("means", measured.capitalize() + (", mean over seeds" if repeated else ""), means_and_tests),
            *paired(runs, found.pairs, places, rows),
        ],
        kind="run",
        beside=f"shots {', '.join(shots)}",
        verdict=with_training(
            noted(of_several(runs, found.pairs, rows), remarks_on_data([each.record for each in runs])), runs
        ),
        tiles=tiles_of(drawn, places, lambda place: words.short(place.data, 24)),
        means=rows,
        every_run=every_run(runs),
        rows=[run_row(record) for record in records],
        then=[
            Section(
                "forgotten", "What was forgotten, beside what was gained", forgotten(drawn, places, order, at_chance)
            ),
        ],
    )


def paired(runs: Sequence[Named[Record]], found: Pairs, places: Sequence[Place], rows: Sequence[Row]) -> list[Section]:
    """Paired differences; none where no two methods ran on the same data."""
    labels = {place: {each.label for each in runs if each.cell.place == place} for place in places}
    if all(len(names) < 2 for names in labels.values()):
        return []
    kinds = {row["lead"] for row in rows}
    about = [
        *(["Differences are of the harmonic mean of base and novel."] if "harmonic mean" in kinds else []),
        *(["Where classes are unequal, differences are of the mean over classes."] if "class mean" in kinds else []),
    ]
    counted = ACCURACY[1] if kinds == {"accuracy"} else (*ACCURACY[1][:2], "McNemar p, accuracy")
    blocks = differences(runs, found, places, (measured_as(rows), counted))
    return [Section("pairs", "Paired differences", [*map(Text, about), *blocks])]


def means(
    rows: Sequence[Row],
    places: Sequence[Place],
    order: dict[str, int],
    notes: Sequence[str],
    published: Sequence[Row] = (),
) -> list[Block]:
    blocks: list[Block] = [Text(note) for note in notes]
    blocks += each_place(
        as_drawn(rows),
        places,
        "accuracy",
        lambda index, here, place: mean_figures(index, here, place, places, order, published),
    )
    kept = list(dict.fromkeys(name for row in rows for name in row["retention"]))
    shown = [row | {f"kept {name}": row["retention"].get(name, (None, None))[0] for name in kept} for row in rows]
    standing = standing_column(rows)
    columns = (
        *method_columns(rows),
        *lead_columns(rows),
        *standing,
        *(Column(f"kept {name}", f"change on {name}, points", words.points) for name in kept),
        Column("trainable_parameters", "trainable parameters", words.count),
    )
    repeated = any(row["runs"] > 1 for row in rows)
    title = "Mean and sample standard deviation over seeds" if repeated else "Every method"
    blocks.append(Table(title, columns, shown))
    if (block := by_shots(rows)) is not None:
        blocks.append(block)
    if standing:
        blocks.append(Text(STANDING))
    return blocks


def each_test(rows: Sequence[Row]) -> list[Block]:
    """Base and novel, or a set and its variants. Of one run both ways of averaging harmonic means are the same."""
    rows = [row for row in rows if row["runs"] > 1 or row["test"] != OF_MEANS]
    rows = sorted(rows, key=lambda row: not row["test"].startswith("harmonic"))
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
    measured = measured_as(rows)
    told = opening(place, places, f"{measured} by shots" if several else f"{measured} by method")
    figure = shots(rows, order, beside, measured) if several else method(rows, order, measured)
    return [
        means_drawn(f"shots-{index}", figure, told, rows),
        *by_parameters(index, rows, place, places, order, measured),
    ]
