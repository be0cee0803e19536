"""What the comparisons of every task share: the page around its sections, tiles, means drawn, paired differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from matplotlib.figure import Figure

from cliptune.report import plots_compare, words
from cliptune.report.blocks import Block, Drawing, Items, Page, Section, Table, Text, Tile, Verdict
from cliptune.report.captions import (
    at,
    at_shots,
    bare_p,
    bars,
    mean_and_spread,
    opening,
    shots_cell,
    usual_shots,
    where,
)
from cliptune.report.compare import AnyRun, Named, Place, leader, name_all, shots_text
from cliptune.report.pairs import Pairs, pairs, seen_from
from cliptune.report.papers import beside_papers, papers_table
from cliptune.report.plots_loss import cross_entropy, loss_curves
from cliptune.report.plots_selection import selection_maps
from cliptune.report.several_costs import costs, provenance
from cliptune.report.tables import Column, Row
from cliptune.report.ties import on_these, standings
from cliptune.statistics import ENOUGH_DRAWS

MOST_FOREST_ROWS = 60
MOST_TILES = 16
STANDING = (
    "A method is ahead if it is better than every other one on that data with that many shots, behind if it is worse "
    "than the highest mean, and tied if its difference to that is within chance. Each is a t test over seeds and test "
    "images at 5 %, corrected by Holm for all pairs of this table. With fewer than three seeds the words say so (on "
    "this draw, on these draws); no pair means that the runs share no episode."
)
MEANS_OF_PAIRS = (
    "Interval: a t interval over the seeds and the test images together, of one pair by itself; of fewer than three "
    "seeds over the test images alone, for these draws. p: of the same test, corrected by Holm for all pairs of this "
    "table."
)


@dataclass(frozen=True)
class Compared(Generic[AnyRun]):
    """Runs under their labels, and what several sections ask of all of them."""

    runs: list[Named[AnyRun]]
    notes: list[str]
    published: list[Row]
    pairs: Pairs
    places: list[Place]
    order: dict[str, int]
    """label → its place among the labels, which is its colour in every figure"""


def compared(
    records: Sequence[AnyRun], given: Sequence[str] | None, reported: Mapping[str, tuple[str, str]] | None
) -> Compared[AnyRun]:
    """Name the runs and pair them; the arguments are those of a task's `page_of`."""
    runs, notes = name_all(records, given)
    published = beside_papers(runs, reported or {})
    places = list(dict.fromkeys(each.cell.place for each in runs))
    order = {label: index for index, label in enumerate(dict.fromkeys(each.label for each in runs))}
    return Compared(runs, notes, published, pairs(runs), places, order)


def page_around(
    found: Compared,
    sections: Sequence[Section],
    *,
    kind: str,
    beside: str,
    verdict: Verdict,
    tiles: Sequence[Tile],
    means: Sequence[Row],
    every_run: Table,
    rows: Sequence[Row],
    then: Sequence[Section] = (),
) -> Page:
    """A comparison's page: the task's own sections, and in one order for all what no task tells in its own way.

    Args:
        kind: what one run is called in the title. beside: what the subtitle tells beside labels, data and seeds.
        means: what the table of costs reads. rows: of the CSV, one a record.
        then: the task's own sections that stand after the papers.
    """
    seeds = {each.cell.seed for each in found.runs}
    sets = list(dict.fromkeys(place.data for place in found.places))
    papers = [Section("papers", "Beside the papers", [papers_table(found.published)])] if found.published else []
    return Page(
        title=f"{words.these(len(rows), kind)} compared",
        subtitle=f"{words.short(', '.join(found.order), 160)} · {words.short(', '.join(sets), 80)} · {beside} · "
        f"{words.these(len(seeds), 'seed')}",
        verdict=verdict,
        tiles=tiles,
        sections=[
            *sections,
            *trained(found.runs),
            *papers,
            *then,
            Section("cost", "What it cost", costs(means, found.runs)),
            Section("runs", "Every run", [every_run]),
            Section("provenance", "Provenance", provenance(found.runs)),
        ],
        rows=rows,
    )


def measured_at(rows: Sequence[Row], place: Place) -> list[Row]:
    """The rows of one place that have a mean: what tiles and figures can show."""
    return [row for row in at(rows, place) if row["accuracy"] is not None]


def tiles_of(rows: Sequence[Row], places: Sequence[Place], named: Callable[[Place], str]) -> list[Tile]:
    """A tile for every method at the usual number of shots, the highest mean first; zero-shot's where it has no run.

    Args:
        named: what a tile calls a place.
    """
    found = []
    for place in places:
        known = measured_at(rows, place)
        if not known:
            continue
        here, _ = at_shots(known)
        here = sorted(here, key=lambda row: -row["accuracy"])
        text = f"{named(place)}, {shots_text(usual_shots(known))}"
        for row in here:
            trained = row["gain"] is not None and row["trainable_parameters"] != 0
            what = f"{row['lead_title']}, " if row.get("lead", "accuracy") != "accuracy" else ""
            beside = f"{what}{words.points(row['gain'])} points over zero-shot" if trained else what.rstrip(", ")
            found.append(Tile(f"{words.short(row['label'], 30)}; {text}", mean_and_spread(row), beside))
        if len(places) == 1 and all(row["trainable_parameters"] != 0 for row in here):
            found.append(Tile(f"zero-shot; {words.short(place.data, 24)}", words.percent(here[0]["zero_shot"]), ""))
    if len(found) <= MOST_TILES:
        return found
    rest = len(found) - MOST_TILES + 1
    return [*found[: MOST_TILES - 1], Tile("in the table below", f"{rest} more", "")]


def each_place(
    rows: Sequence[Row],
    places: Sequence[Place],
    measured: str,
    drawn: Callable[[int, list[Row], Place], list[Block]],
) -> list[Block]:
    """What is `drawn` of every place's means: of a single one nothing, the table has it.

    A place without any says in words that `measured` was not measured.
    """
    blocks: list[Block] = []
    for index, place in enumerate(places):
        if here := measured_at(rows, place):
            blocks += drawn(index, here, place) if len(here) > 1 else []
        else:
            blocks.append(Text(f"{place.data}: {measured} {words.NOT_MEASURED}.", missing=True))
    return blocks


def means_drawn(name: str, figure: Figure, told: str, rows: Sequence[Row]) -> Drawing:
    """A figure of one place's means under the words `told`, which say of what."""
    alt = "; ".join(f"{row['label']} {shots_text(row['shots'])} {mean_and_spread(row)}" for row in rows)
    return Drawing(name, figure, f"{told}. {bars(rows)}", alt)


def by_parameters(
    index: int,
    rows: Sequence[Row],
    place: Place,
    places: Sequence[Place],
    order: dict[str, int],
    measured: str = "accuracy",
) -> list[Block]:
    """What was reached against how many parameters were trained, at the usual number of shots; no single point."""
    sized, said = at_shots([row for row in rows if row["trainable_parameters"] is not None] or rows)
    if len(sized) < 2 or not any(row["trainable_parameters"] for row in sized):
        return []
    return [
        Drawing(
            f"parameters-{index}",
            plots_compare.accuracy_by_parameters(sized, order, measured),
            f"{opening(place, places, f'{measured} by trainable parameters')}{said}. {bars(sized)}",
            "; ".join(f"{row['label']}: {words.count(row['trainable_parameters'])} parameters" for row in sized),
        )
    ]


def beside_best(rows: Sequence[Row], runs: Sequence[Named]) -> list[Row]:
    """Every row with how its label stands to the best of its place and shots; None where it stands alone."""
    found = standings(runs)
    places = [Place(row["data"], row["model"], row["protocol"]) for row in rows]
    standing = [found.get((place, row["shots"])) for place, row in zip(places, rows)]
    return [row | {"standing": each.of(row["label"]) if each else None} for row, each in zip(rows, standing)]


def standing_column(rows: Sequence[Row]) -> list[Column]:
    """How methods stand to the best (`STANDING` explains it); none where every method stands alone."""
    if not any(row["standing"] for row in rows):
        return []
    return [Column("standing", "beside the best", lambda told: told or "only one")]


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
            Column("draws", "seeds", words.count),
            Column("holm", "p, corrected", bare_p),
            Column("wins", "better", words.count),
            Column("ties", "equal", words.count),
            Column("losses", "worse", words.count),
        )
        blocks.append(Table("Mean differences, first minus second", difference, found.means))
        blocks.append(Text(MEANS_OF_PAIRS))
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


def few_draws(rows: Sequence[Row]) -> str:
    """Of which draws a mean's interval speaks, where those are too few to tell of others."""
    fewest = min(row["draws"] for row in rows)
    if fewest >= ENOUGH_DRAWS:
        return ""
    return f"; with fewer than {ENOUGH_DRAWS} seeds over test images alone, {on_these(fewest)}"


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
        f"{opening(place, places, 'differences on the same test images')}. Diamonds: mean over cells with a 95 % "
        f"interval over seeds and test images, n = {words.count(max(row['images'] for row in rows))}"
        f"{few_draws(rows)}. Squares: one cell, with the paired bootstrap 95 % interval over test images alone, 2,000 "
        f"resamples: it holds for that draw of training images.{which}",
        "; ".join(f"{row['first']} − {row['second']}: {words.points(row['difference'])} points" for row in chosen),
        wide=True,
    )
