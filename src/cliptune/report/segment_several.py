"""The page that compares runs that segment: mean Dice over seeds, paired differences, Dice by image and by size."""

from collections.abc import Mapping, Sequence

from cliptune.report import plots_compare, plots_segment, verdict, words
from cliptune.report.blocks import Block, Drawing, Page, Section, Table, Text, Verdict
from cliptune.report.captions import (
    at,
    at_shots,
    mean_columns,
    method_columns,
    opening,
    spread,
    usual_shots,
)
from cliptune.report.compare import Named, Place, told_apart
from cliptune.report.remarks import with_training
from cliptune.report.segment_compare import Runs, by_size, gathered, groups, spread_over_images
from cliptune.report.segment_read import SegmentRecord
from cliptune.report.segment_tables import headline, paired, run_row
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
from cliptune.report.tables import Column, Row, cost

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
    found = compared(records, given, reported)
    runs, places, order = found.runs, found.places, found.order
    rows = groups(runs)
    told = beside_best(rows, runs)
    kinds = list(dict.fromkeys(words.plain(record.prompt_kind) for record in records))
    return page_around(
        found,
        [
            Section("means", "Dice, mean over seeds", means(told, places, order, found.notes)),
            Section("pairs", "Paired differences", differences(runs, found.pairs, places, DICE)),
            Section("distribution", "Image by image", distributions(runs, places, order)),
            Section("sizes", "By size of what is to be marked", sizes(by_size(runs), places, order)),
        ],
        kind="segmentation run",
        beside=f"prompts {', '.join(kinds)}",
        verdict=with_training(with_warnings(verdict.of_several(runs, found.pairs), runs), runs),
        tiles=tiles_of(as_drawn(rows), places, lambda place: tile_place(place, places)),
        means=rows,
        every_run=every_run(runs),
        rows=[run_row(record) for record in records],
    )


def with_warnings(found: Verdict, runs: Runs) -> Verdict:
    """The verdict, and a warning for every kind of prompts that tells of the masks."""
    warnings = dict.fromkeys(each.record.leak for each in runs if each.record.leak)
    return Verdict(found.kind, found.lead, [*found.sentences, *warnings])


def as_drawn(rows: Sequence[Row]) -> list[Row]:
    """Rows as the shared figures and captions read them: what is drawn of a method stands under 'accuracy'."""
    return [row | {"accuracy": row["dice"]} for row in rows]


def tile_place(place: Place, places: Sequence[Place]) -> str:
    """The data; with what sets this place apart, where kinds of prompts make several places of the same data."""
    alike = sum(each.data == place.data for each in places) > 1
    return words.short(told_apart(place, places) if alike else place.data, 48)


def means(rows: Sequence[Row], places: Sequence[Place], order: dict[str, int], notes: Sequence[str]) -> list[Block]:
    """Figures of every place, then the table of all."""
    blocks: list[Block] = [Text(note) for note in notes]
    blocks += each_place(
        as_drawn(rows), places, "Dice", lambda index, here, place: mean_figures(index, here, place, places, order)
    )
    standing = standing_column(rows)
    columns = (
        *method_columns(rows),
        Column("runs", "runs", words.count),
        Column("dice", "Dice", words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("iou", "IoU", words.percent),
        Column("iou_deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot Dice", words.percent),
        Column("gain", "gain, points", words.points),
        Column("gain_interval", "95 % interval", words.difference_interval),
        *standing,
        Column("trainable_parameters", "trainable parameters", words.count),
        Column("trainable_percent", "of the backbone", words.share),
        Column("decoder_parameters", "in the decoder", words.count),
    )
    blocks.append(Table("Mean and sample standard deviation over seeds", columns, rows))
    interval = (
        "Interval of the gain: a t interval over seeds and test images; of fewer than three seeds, on these draws."
    )
    return [*blocks, Text(f"{SHOTS}{interval}{f' {STANDING}' if standing else ''}")]


def mean_figures(
    index: int, rows: Sequence[Row], place: Place, places: Sequence[Place], order: dict[str, int]
) -> list[Block]:
    """Dice by method and shots, and against trainable parameters."""
    figure = plots_compare.accuracy_by_label(rows, order, "Dice")
    return [
        means_drawn(f"dice-{index}", figure, opening(place, places, "Dice by method"), rows),
        *by_parameters(index, rows, place, places, order, "Dice"),
    ]


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
        *method_columns(rows),
        Column("size", "size"),
        Column("n", "images", words.count),
        *mean_columns("dice", "Dice"),
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
