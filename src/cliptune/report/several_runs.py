"""The page that compares runs: means over seeds and paired differences; its other sections are in several_costs.py."""

from collections.abc import Mapping, Sequence

from cliptune.report import plots_compare, verdict, words
from cliptune.report.blocks import Block, Drawing, Items, Page, Section, Table, Text, Tile
from cliptune.report.captions import (
    at,
    at_shots,
    bare_p,
    bars,
    mean_and_spread,
    opening,
    shots_cell,
    spread,
    usual_shots,
    where,
)
from cliptune.report.compare import Named, Pairs, Place, groups, leader, name_all, pairs, seen_from, shots_text
from cliptune.report.compare_tests import by_test
from cliptune.report.papers import beside_papers, papers_table
from cliptune.report.plots_loss import cross_entropy, loss_curves
from cliptune.report.plots_selection import selection_maps
from cliptune.report.read import Record
from cliptune.report.several_costs import costs, every_run, forgotten, provenance
from cliptune.report.tables import Column, Row, run_row
from cliptune.report.ties import Standing, standings

MOST_FOREST_ROWS = 60
STANDING = (
    "Ahead: of all others on that data with that many shots. Tied with the highest mean: on the same test images of "
    "the same episodes, the 95 % interval of the difference reaches zero, or the other is as good in half of the "
    "cells; such a lead is noise as far as these runs tell. No pair: they share no episode, so nothing is said."
)


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
    runs, notes = name_all(records, given)
    published = beside_papers(runs, reported or {})
    rows, found = groups(runs), pairs(runs)
    told = beside_best(rows, standings(runs))
    labels = list(dict.fromkeys(each.label for each in runs))
    order = {label: index for index, label in enumerate(labels)}
    places = list(dict.fromkeys(each.cell.place for each in runs))
    seeds = {each.cell.seed for each in runs}
    shots = sorted({shots_cell(each.cell.shots) for each in runs}, key=lambda text: (len(text), text))
    sets = list(dict.fromkeys(place.data for place in places))
    return Page(
        title=f"{words.these(len(records), 'run')} compared",
        subtitle=f"{words.short(', '.join(labels), 160)} · {words.short(', '.join(sets), 80)} · "
        f"shots {', '.join(shots)} · {words.these(len(seeds), 'seed')}",
        verdict=verdict.of_several(runs, found),
        tiles=tiles(rows, places),
        sections=[
            Section(
                "means",
                "Accuracy, mean over seeds",
                means(told, places, order, notes, published) + each_test(by_test(runs)),
            ),
            Section("pairs", "Paired differences", differences(runs, found, places)),
            *trained(runs),
            *([Section("papers", "Beside the papers", [papers_table(published)])] if published else []),
            Section("forgotten", "What was forgotten, beside what was gained", forgotten(rows, places, order)),
            Section("cost", "What it cost", [costs(rows)]),
            Section("runs", "Every run", [every_run(runs)]),
            Section("provenance", "Provenance", provenance(runs)),
        ],
        rows=[run_row(record) for record in records],
    )


def beside_best(rows: Sequence[Row], found: Mapping[tuple[Place, int | None], Standing]) -> list[Row]:
    """Every row with how its label stands to the best of its place and shots; None where it stands alone."""
    places = [Place(row["data"], row["model"], row["protocol"]) for row in rows]
    standing = [found.get((place, row["shots"])) for place, row in zip(places, rows)]
    return [row | {"standing": each.of(row["label"]) if each else None} for row, each in zip(rows, standing)]


def tiles(rows: Sequence[Row], places: Sequence[Place]) -> list[Tile]:
    """The highest means: of one place the three best methods beside zero-shot, of several the best of each."""
    found = []
    for place in places[:4]:
        known = [row for row in at(rows, place) if row["accuracy"] is not None]
        if not known:
            continue
        here, _ = at_shots(known)
        here = sorted(here, key=lambda row: -row["accuracy"])
        text = f"{words.short(place.data, 24)}, {shots_text(usual_shots(known))}"
        for row in here[: 3 if len(places) == 1 else 1]:
            beside = f"{words.points(row['gain'])} points over zero-shot" if row["gain"] is not None else ""
            found.append(Tile(f"{words.short(row['label'], 30)}; {text}", mean_and_spread(row), beside))
        if len(places) == 1:
            found.append(Tile(f"zero-shot; {words.short(place.data, 24)}", words.percent(here[0]["zero_shot"]), ""))
    return found


def means(
    rows: Sequence[Row],
    places: Sequence[Place],
    order: dict[str, int],
    notes: Sequence[str],
    published: Sequence[Row] = (),
) -> list[Block]:
    blocks: list[Block] = [Text(note) for note in notes]
    for index, place in enumerate(places):
        here = [row for row in at(rows, place) if row["accuracy"] is not None]
        if here:
            blocks += mean_figures(index, here, place, places, order, published)
        else:
            blocks.append(Text(f"{place.data}: accuracy {words.NOT_MEASURED}.", missing=True))
    kept = list(dict.fromkeys(name for row in rows for name in row["retention"]))
    shown = [row | {f"kept {name}": row["retention"].get(name, (None, None))[0] for name in kept} for row in rows]
    compared = any(row["standing"] for row in rows)
    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("runs", "runs", words.count),
        Column("accuracy", "mean", words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot", words.percent),
        Column("gain", "gain, points", words.points),
        *([Column("standing", "beside the best", lambda told: told or "only one")] if compared else []),
        *(Column(f"kept {name}", f"change on {name}, points", words.points) for name in kept),
        Column("trainable_parameters", "trainable parameters", words.count),
    )
    blocks.append(Table("Mean and sample standard deviation over seeds", columns, shown))
    if compared:
        blocks.append(Text(STANDING))
    return blocks


def each_test(rows: Sequence[Row]) -> list[Block]:
    """Base and novel, or a set and its variants: the plots above speak of the first test alone."""
    if not rows:
        return []
    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("test", "test"),
        Column("runs", "runs", words.count),
        Column("accuracy", "mean", words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot", words.percent),
        Column("gain", "gain, points", words.points),
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
    drawn: list[Block] = [
        Drawing(
            f"shots-{index}",
            shots(rows, order, beside) if several else method(rows, order),
            f"{opening(place, places, 'accuracy by shots' if several else 'accuracy by method')}. {bars(rows)}",
            "; ".join(f"{row['label']} {shots_text(row['shots'])} {mean_and_spread(row)}" for row in rows),
        )
    ]
    sized, said = at_shots([row for row in rows if row["trainable_parameters"] is not None] or rows)
    if any(row["trainable_parameters"] for row in sized):
        drawn.append(
            Drawing(
                f"parameters-{index}",
                plots_compare.accuracy_by_parameters(sized, order),
                f"{opening(place, places, 'accuracy by trainable parameters')}{said}. {bars(sized)}",
                "; ".join(f"{row['label']}: {words.count(row['trainable_parameters'])} parameters" for row in sized),
            )
        )
    return drawn


def trained(runs: Sequence[Named]) -> list[Section]:
    """How the loss fell, where there are labels to compare; what AST picked, where it did."""
    found = []
    told = {each.label for each in runs if cross_entropy(each.record)}
    if len(told) > 1:
        found.append(Section("losses", "How the loss fell", loss_curves(runs)))
    if any(each.record.section("selection").get("picked") for each in runs):
        found.append(Section("picks", "Which tensors were picked", selection_maps(runs)))
    return found


ACCURACY = ("accuracy", ("only first right", "only second right", "McNemar p"))
"""what runs differ in, and how images are counted that only one of two runs is better on"""


def differences(
    runs: Sequence[Named],
    found: Pairs,
    places: Sequence[Place],
    measured: tuple[str, tuple[str, str, str]] = ACCURACY,
) -> list[Block]:
    """Every pair of labels over shared cells: a forest, the means and each cell."""
    measure, (fixed, broken, p) = measured
    blocks: list[Block] = []
    for index, place in enumerate(places):
        if rows := at(found.means, place):
            best = leader(runs, place)
            blocks.append(
                forest_of(index, rows, at(found.cells, place), place, places, best[0] if best else "", measure)
            )
    if not found.means:
        blocks.append(
            Text(f"Paired differences: {words.NOT_MEASURED}; no two runs saw the same episode.", missing=True)
        )
    else:
        difference = (
            Column("first", "first"),
            Column("second", "second"),
            *where(found.means),
            Column("cells", "shared cells", words.count),
            Column("difference", "mean difference, points", words.points),
            Column("interval", "95 % interval", words.difference_interval),
            Column("wins", "better", words.count),
            Column("ties", "equal", words.count),
            Column("losses", "worse", words.count),
        )
        blocks.append(Table("Mean differences, first minus second", difference, found.means))
        cell = (
            Column("first", "first"),
            Column("second", "second"),
            *where(found.cells),
            Column("shots", "shots", shots_cell),
            Column("seed", "seed"),
            Column("n", "images", words.count),
            Column("difference", "difference, points", words.points),
            Column("interval", "95 % interval", words.difference_interval),
            Column("fixed", fixed, words.count),
            Column("broken", broken, words.count),
            Column("p", p, bare_p),
        )
        blocks.append(Table("Every cell", cell, found.cells, folded=True))
    if found.refused:
        blocks.append(Items(f"Not paired ({len(found.refused):,})", found.refused))
    return blocks


def forest_of(
    index: int,
    rows: Sequence[Row],
    cells: Sequence[Row],
    place: Place,
    places: Sequence[Place],
    best: str,
    measure: str = "accuracy",
) -> Drawing:
    """All pairs while they are few, else those with the best label; their cells too, while they fit."""
    against = [seen_from(row, best) for row in rows if best in (row["first"], row["second"])]
    chosen = against if against and len(rows) > 3 else list(rows)
    sides = {frozenset((row["first"], row["second"])): row["first"] for row in chosen}
    shown = [
        seen_from(cell, sides[pair]) for cell in cells if (pair := frozenset((cell["first"], cell["second"]))) in sides
    ]
    which = f" Pairs with {best}, the highest mean; the table has all." if chosen is against else ""
    return Drawing(
        f"forest-{index}",
        plots_compare.forest(chosen, shown if len(shown) + len(chosen) <= MOST_FOREST_ROWS else [], measure),
        f"{opening(place, places, 'differences on the same test images')}. Lines: paired bootstrap 95 % interval over "
        f"test images, 2,000 resamples, n = {words.count(max(row['images'] for row in rows))}. The draws of training "
        f"images are taken as they are, so look at the spread between cells too.{which}",
        "; ".join(f"{row['first']} − {row['second']}: {words.points(row['difference'])} points" for row in chosen),
        wide=True,
    )
