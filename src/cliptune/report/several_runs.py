"""The page that compares runs: means over seeds, paired differences, cost and what each method forgot."""

from collections.abc import Sequence
from typing import Any

from cliptune.report import plots_compare, verdict, words
from cliptune.report.blocks import Block, Drawing, Items, Page, Section, Table, Text, Tile
from cliptune.report.compare import Named, Pairs, Place, groups, leader, name_all, pairs, shots_text
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row, cost, headline, paired_test, retention, run_row

MOST_FOREST_ROWS = 60


def page_of(records: Sequence[Record]) -> Page:
    """Compare at least two runs."""
    runs, notes = name_all(records)
    rows, found = groups(runs), pairs(runs)
    labels = list(dict.fromkeys(each.label for each in runs))
    order = {label: index for index, label in enumerate(labels)}
    places = list(dict.fromkeys(each.cell.place for each in runs))
    seeds = {each.cell.seed for each in runs}
    shots = sorted({str(each.cell.shots) for each in runs}, key=lambda text: (len(text), text))
    return Page(
        title=f"{words.these(len(records), 'run')} compared",
        subtitle=f"{words.short(', '.join(labels), 160)} · {words.short(', '.join(p.data for p in places), 80)} · "
        f"shots {', '.join(shots)} · {words.these(len(seeds), 'seed')}",
        verdict=verdict.of_several(runs, found),
        tiles=best_tiles(rows, places),
        sections=[
            Section("means", "Accuracy, mean over seeds", means(rows, places, order, notes)),
            Section("pairs", "Paired differences", differences(runs, found, places)),
            Section("parameters", "Accuracy against size and cost", size(rows, places, order)),
            Section("forgotten", "What was forgotten, beside what was gained", forgotten(rows, places, order)),
            Section("runs", "Every run", [every_run(runs)]),
            Section("provenance", "Provenance", provenance(runs)),
        ],
        rows=[run_row(record) for record in records],
    )


def at(rows: Sequence[Row], place: Place) -> list[Row]:
    return [row for row in rows if Place(row["data"], row["model"], row["protocol"]) == place]


def named(place: Place, places: Sequence[Place]) -> str:
    """What sets this place apart from the others, for a title; nothing where there is one only."""
    return "" if len(places) == 1 else f"{place.data}, {place.model}"


def mean_and_spread(row: Row) -> str:
    mean, deviation = row["accuracy"], row["deviation"]
    return words.percent(mean) if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f} %"


def best_tiles(rows: Sequence[Row], places: Sequence[Place]) -> list[Tile]:
    """The highest mean at the most shots of each place; a tile is no verdict."""
    tiles = []
    for place in places[:4]:
        here = [row for row in at(rows, place) if row["accuracy"] is not None]
        if not here:
            continue
        most = max((words.number(row["shots"]) or 0) for row in here)
        best = max((row for row in here if (words.number(row["shots"]) or 0) == most), key=lambda row: row["accuracy"])
        name = f"highest mean, {words.short(place.data, 24)}, {shots_text(best['shots'])}"
        tiles.append(
            Tile(name, mean_and_spread(best), f"{best['label']}; zero-shot {words.percent(best['zero_shot'])}")
        )
    return tiles


def means(rows: Sequence[Row], places: Sequence[Place], order: dict[str, int], notes: Sequence[str]) -> list[Block]:
    blocks: list[Block] = [Text(note) for note in notes]
    for index, place in enumerate(places):
        here = at(rows, place)
        if not any(row["accuracy"] is not None for row in here):
            blocks.append(Text(f"{place.data}: accuracy {words.NOT_MEASURED}.", missing=True))
            continue
        several = len({row["shots"] for row in here if words.number(row["shots"]) and row["accuracy"] is not None}) > 1
        draw = plots_compare.accuracy_by_shots if several else plots_compare.accuracy_by_label
        where = named(place, places)
        blocks.append(
            Drawing(
                f"shots-{index}",
                draw(here, order),
                f"{where + ': ' if where else ''}accuracy {'by shots' if several else 'by method'}. {bars(here)}",
                "; ".join(f"{row['label']} {shots_text(row['shots'])} {mean_and_spread(row)}" for row in here),
            )
        )
    kept = list(dict.fromkeys(name for row in rows for name in row["retention"]))
    shown = [
        row
        | {"mean": row["accuracy"], "shots_text": words.number(row["shots"])}
        | {f"kept {name}": row["retention"].get(name, (None, None))[0] for name in kept}
        for row in rows
    ]
    blocks.append(Table("Mean and sample standard deviation over seeds", mean_columns(rows, places, kept), shown))
    return blocks


def mean_columns(rows: Sequence[Row], places: Sequence[Place], kept: Sequence[str]) -> list[Column]:
    where = [Column("data", "data"), Column("model", "backbone")] if len(places) > 1 else []
    if len({place.protocol for place in places}) > 1:
        where.append(Column("protocol", "protocol"))
    return [
        Column("label", "method"),
        *where,
        Column("shots", "shots", lambda shots: "all" if shots is None else str(shots)),
        Column("runs", "runs", words.count),
        Column("accuracy", "mean", words.percent),
        Column("deviation", "± s.d., points", lambda value: "one run" if value is None else f"{100 * value:.1f}"),
        Column("zero_shot", "zero-shot", words.percent),
        Column("gain", "gain, points", words.points),
        *(Column(f"kept {name}", f"change on {name}, points", words.points) for name in kept),
        Column("trainable_parameters", "trainable parameters", words.count),
    ]


def bars(rows: Sequence[Row]) -> str:
    """What the intervals of a figure of means are, and n."""
    runs = sorted({row["runs"] for row in rows if row["runs"]})
    images = sorted({row["n"] for row in rows if row["n"]})
    spread = [row for row in rows if row["deviation"] is not None]
    n = (
        f"n = {'–'.join(f'{each:,}' for each in dict.fromkeys((images[0], images[-1])))} test images"
        if images
        else "n not recorded"
    )
    told = []
    if spread:
        counts = sorted({row["runs"] for row in spread})
        told.append(
            f"± one sample standard deviation over {'–'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds"
        )
    if runs and runs[0] == 1:
        told.append("for a single run its 95 % interval over test images")
    return f"Bars: {'; '.join(told) or 'none'}; {n}."


DIFFERENCE = (
    Column("first", "first"),
    Column("second", "second"),
    Column("data", "data"),
    Column("cells", "shared cells", words.count),
    Column("difference", "mean difference, points", words.points),
    Column("interval", "95 % interval", words.difference_interval),
    Column("wins", "better", words.count),
    Column("ties", "equal", words.count),
    Column("losses", "worse", words.count),
)
CELL = (
    Column("first", "first"),
    Column("second", "second"),
    Column("data", "data"),
    Column("shots", "shots"),
    Column("seed", "seed"),
    Column("n", "images", words.count),
    Column("difference", "difference, points", words.points),
    Column("interval", "95 % interval", words.difference_interval),
    Column("fixed", "only first right", words.count),
    Column("broken", "only second right", words.count),
    Column("p", "McNemar p", lambda value: words.p_value(value).removeprefix("p ").removeprefix("= ")),
)


def differences(runs: Sequence[Named], found: Pairs, places: Sequence[Place]) -> list[Block]:
    blocks: list[Block] = []
    for index, place in enumerate(places):
        rows, cells = at(found.means, place), at(found.cells, place)
        best = leader(runs, place)
        if not rows:
            continue
        against_best = [
            verdict.seen_from(row, best[0]) for row in rows if best and best[0] in (row["first"], row["second"])
        ]
        chosen = against_best if len(rows) > 3 and against_best else rows
        turned = [
            turn(cell, row)
            for row in chosen
            for cell in cells
            if {cell["first"], cell["second"]} == {row["first"], row["second"]}
        ]
        turned = turned if len(turned) + len(chosen) <= MOST_FOREST_ROWS else []
        where = named(place, places)
        which = (
            f" Pairs with {best[0]}, the highest mean; the table has all." if best and chosen is against_best else ""
        )
        blocks.append(
            Drawing(
                f"forest-{index}",
                plots_compare.forest(chosen, turned),
                f"{where + ': ' if where else ''}difference on the same test images. Lines: paired bootstrap 95 % interval over "
                f"test images, 2,000 resamples, n = {words.count(max(row['images'] for row in rows))}; the draws of training "
                f"images are taken as they are, so look at the spread between cells too.{which}",
                "; ".join(f"{r['first']} − {r['second']}: {words.points(r['difference'])} points" for r in chosen),
                wide=True,
            )
        )
    if found.means:
        blocks.append(Table("Mean differences, first minus second", DIFFERENCE, found.means))
        blocks.append(Table("Every cell", CELL, found.cells, folded=True))
    else:
        blocks.append(
            Text(f"Paired differences: {words.NOT_MEASURED}; no two runs saw the same episode.", missing=True)
        )
    if found.refused:
        blocks.append(Items(f"Not paired ({len(found.refused):,})", found.refused))
    return blocks


def turn(cell: Row, mean: Row) -> Row:
    """A cell seen from the side its mean is seen from."""
    if cell["first"] == mean["first"]:
        return cell
    low, high = cell["interval"]
    return cell | {
        "first": cell["second"],
        "second": cell["first"],
        "difference": -cell["difference"],
        "interval": (-high, -low),
    }


