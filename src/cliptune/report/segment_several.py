"""The page that compares runs that segment: mean Dice over seeds, paired differences, Dice by image and by size."""

from collections.abc import Mapping, Sequence

from cliptune.report import plots_compare, plots_segment, verdict, words
from cliptune.report.blocks import Block, Drawing, Page, Section, Table, Text, Tile, Verdict
from cliptune.report.captions import (
    at,
    at_shots,
    bars,
    mean_and_spread,
    opening,
    shots_cell,
    spread,
    usual_shots,
    where,
)
from cliptune.report.compare import Named, Place, name_all, pairs, shots_text, told_apart
from cliptune.report.papers import beside_papers, papers_table
from cliptune.report.segment_compare import Runs, by_size, gathered, groups, spread_over_images
from cliptune.report.segment_read import SegmentRecord
from cliptune.report.segment_tables import headline, paired, run_row
from cliptune.report.several_costs import costs, provenance
from cliptune.report.several_runs import STANDING, beside_best, differences, trained
from cliptune.report.tables import Column, Row, cost
from cliptune.report.ties import standings

DICE = ("Dice", ("first better, images", "second better, images", "sign test p"))
SHOTS = "Shots are training images in all. "


def page_of(
    records: Sequence[SegmentRecord],
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
    sets = list(dict.fromkeys(place.data for place in places))
    kinds = list(dict.fromkeys(words.plain(record.prompt_kind) for record in records))
    return Page(
        title=f"{words.these(len(records), 'segmentation run')} compared",
        subtitle=f"{words.short(', '.join(labels), 160)} · {words.short(', '.join(sets), 80)} · "
        f"prompts {', '.join(kinds)} · {words.these(len(seeds), 'seed')}",
        verdict=with_warnings(verdict.of_several(runs, found), runs),
        tiles=tiles(rows, places),
        sections=[
            Section("means", "Dice, mean over seeds", means(told, places, order, notes)),
            Section("pairs", "Paired differences", differences(runs, found, places, DICE)),
            Section("distribution", "Image by image", distributions(runs, places, order)),
            Section("sizes", "By size of what is to be marked", sizes(by_size(runs), places, order)),
            *trained(runs),
            *([Section("papers", "Beside the papers", [papers_table(published)])] if published else []),
            Section("cost", "What it cost", [costs(rows)]),
            Section("runs", "Every run", [every_run(runs)]),
            Section("provenance", "Provenance", provenance(runs)),
        ],
        rows=[run_row(record) for record in records],
    )


def with_warnings(found: Verdict, runs: Runs) -> Verdict:
    """The verdict, and a warning for every kind of prompts that tells of the masks."""
    warnings = dict.fromkeys(each.record.leak for each in runs if each.record.leak)
    return Verdict(found.kind, found.lead, [*found.sentences, *warnings])


def as_drawn(rows: Sequence[Row]) -> list[Row]:
    """Rows as the shared figures and captions read them: what is drawn of a method stands under 'accuracy'."""
    return [row | {"accuracy": row["dice"]} for row in rows if row["dice"] is not None]


def tiles(rows: Sequence[Row], places: Sequence[Place]) -> list[Tile]:
    """The highest means: of one place the three best methods beside zero-shot, of several the best of each."""
    found = []
    for place in places[:4]:
        known = as_drawn(at(rows, place))
        if not known:
            continue
        here, _ = at_shots(known)
        here = sorted(here, key=lambda row: -row["dice"])
        alike = sum(each.data == place.data for each in places) > 1
        text = (
            f"{words.short(told_apart(place, places) if alike else place.data, 48)}, {shots_text(usual_shots(known))}"
        )
        for row in here[: 3 if len(places) == 1 else 1]:
            beside = f"{words.points(row['gain'])} points over zero-shot" if row["gain"] is not None else ""
            found.append(Tile(f"{words.short(row['label'], 30)}; {text}", mean_and_spread(row), beside))
        if len(places) == 1:
            found.append(Tile(f"zero-shot; {words.short(place.data, 24)}", words.percent(here[0]["zero_shot"]), ""))
    return found


def means(rows: Sequence[Row], places: Sequence[Place], order: dict[str, int], notes: Sequence[str]) -> list[Block]:
    """Figures of every place, then the table of all."""
    blocks: list[Block] = [Text(note) for note in notes]
    for index, place in enumerate(places):
        if here := as_drawn(at(rows, place)):
            blocks += mean_figures(index, here, place, places, order)
        else:
            blocks.append(Text(f"{place.data}: Dice {words.NOT_MEASURED}.", missing=True))
    compared = any(row["standing"] for row in rows)
    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("runs", "runs", words.count),
        Column("dice", "Dice", words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("iou", "IoU", words.percent),
        Column("iou_deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot Dice", words.percent),
        Column("gain", "gain, points", words.points),
        Column("gain_interval", "95 % interval", words.difference_interval),
        *([Column("standing", "beside the best", lambda told: told or "only one")] if compared else []),
        Column("trainable_parameters", "trainable parameters", words.count),
        Column("trainable_percent", "of the backbone", words.share),
        Column("decoder_parameters", "in the decoder", words.count),
    )
    blocks.append(Table("Mean and sample standard deviation over seeds", columns, rows))
    interval = "Interval of the gain: paired bootstrap over the test images, seeds averaged image by image first."
    return [*blocks, Text(f"{SHOTS}{interval}{f' {STANDING}' if compared else ''}")]


def mean_figures(
    index: int, rows: Sequence[Row], place: Place, places: Sequence[Place], order: dict[str, int]
) -> list[Block]:
    """Dice by method and shots, and against trainable parameters."""
    drawn: list[Block] = [
        Drawing(
            f"dice-{index}",
            plots_compare.accuracy_by_label(rows, order, "Dice"),
            f"{opening(place, places, 'Dice by method')}. {bars(rows)}",
            "; ".join(f"{row['label']} {shots_text(row['shots'])} {mean_and_spread(row)}" for row in rows),
        )
    ]
    sized, said = at_shots([row for row in rows if row["trainable_parameters"] is not None] or rows)
    if any(row["trainable_parameters"] for row in sized):
        drawn.append(
            Drawing(
                f"parameters-{index}",
                plots_compare.accuracy_by_parameters(sized, order, "Dice"),
                f"{opening(place, places, 'Dice by trainable parameters')}{said}. {bars(sized)}",
                "; ".join(f"{row['label']}: {words.count(row['trainable_parameters'])} parameters" for row in sized),
            )
        )
    return drawn


def distributions(runs: Runs, places: Sequence[Place], order: dict[str, int]) -> list[Block]:
    """How Dice spreads over the test images, a box a method, at the usual number of shots."""
    blocks: list[Block] = []
    for index, place in enumerate(places):
        rows = [{"label": each.label, "shots": each.cell.shots} for each in runs if each.cell.place == place]
        shots, (_, said) = usual_shots(rows), at_shots(rows)
        seeds = {label: found for (where_, label, n), found in gathered(runs).items() if (where_, n) == (place, shots)}
        first = spread_over_images([record for records in seeds.values() for record in records], zero_shot=True)
        boxes = {"zero-shot": first, **{label: spread_over_images(records) for label, records in seeds.items()}}
        told = {label: dice for label, dice in boxes.items() if dice is not None}
        if not told:
            blocks.append(Text(f"{place.data}: Dice by image {words.NOT_MEASURED}.", missing=True))
            continue
        most = max(len(dice) for dice in told.values())
        blocks.append(
            Drawing(
                f"spread-{index}",
                plots_segment.dice_by_label(told, order),
                f"{opening(place, places, 'Dice by image')}{said}, n = {most:,} test images, seeds averaged image by "
                "image. Box: the middle half; line in it: median; lines out of it: 5th to 95th percentile; marker: "
                "mean. These are images' own values, so no interval of the mean.",
                "; ".join(f"{label}: mean {words.percent(dice.mean().item())}" for label, dice in told.items()),
                wide=True,
            )
        )
    return blocks


def sizes(rows: Sequence[Row], places: Sequence[Place], order: dict[str, int]) -> list[Block]:
    """Mean Dice by size: a figure a place at the usual number of shots, and the table of all."""
    if not rows:
        return [Text(f"Dice by size: {words.NOT_MEASURED}.", missing=True)]
    blocks: list[Block] = []
    for index, place in enumerate(places):
        if not (of_place := at(rows, place)):
            continue
        here, said = at_shots(of_place)
        zero_shot = {row["size"]: row["zero_shot"] for row in here}
        first = [{"label": None, "size": size, "dice": dice} for size, dice in zero_shot.items()]
        images = {row["size"]: row["n"] for row in here}
        told = ", ".join(f"{size} {words.count(n)}" for size, n in images.items())
        blocks.append(
            Drawing(
                f"sizes-{index}",
                plots_segment.dice_by_size([*first, *here], order),
                f"{opening(place, places, 'mean Dice by size of what is to be marked')}{said}, mean over seeds. Test "
                f"images: {told}. No bars; the table has the spread over seeds.",
                "; ".join(f"{row['label']}, {row['size']}: {words.percent(row['dice'])}" for row in here),
            )
        )
    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("size", "size"),
        Column("n", "images", words.count),
        Column("runs", "runs", words.count),
        Column("dice", "Dice", words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot", words.percent),
        Column("gain", "gain, points", words.points),
    )
    return [*blocks, Table("By size, mean over seeds", columns, rows)]


def every_run(runs: Sequence[Named[SegmentRecord]]) -> Table:
    """A row a run, with the interval of its own gain."""
    rows = []
    for each in runs:
        pair = paired(each.record) or {}
        rows.append(
            headline(each.record)
            | {"train_seconds": cost(each.record)["train_seconds"], "gain_interval": pair.get("interval")}
            | {key: pair.get(key) for key in ("fixed", "broken")}
        )
    columns = (
        Column("run", "run"),
        Column("dice", "Dice after", words.percent),
        Column("interval", "95 % interval", words.interval),
        Column("n", "images", words.count),
        Column("iou", "IoU after", words.percent),
        Column("zero_shot", "zero-shot Dice", words.percent),
        Column("gain", "gain, points", words.points),
        Column("gain_interval", "95 % interval of the gain", words.difference_interval),
        Column("fixed", "images better", words.count),
        Column("broken", "images worse", words.count),
        Column("train_seconds", "training", words.seconds),
    )
    return Table("", columns, rows)
