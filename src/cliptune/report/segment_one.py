"""The page of one run that segments, the answer first."""

import numpy as np

from cliptune.report import answer, plots_segment, words
from cliptune.report.blocks import Block, Drawing, Page, Section, Table, Text, Tile, Verdict
from cliptune.report.one_run import (
    at_odds,
    cost_and_training,
    facts,
    provenance,
    settings,
    unpaired,
)
from cliptune.report.remarks import noted, written
from cliptune.report.segment_gallery import galleries
from cliptune.report.segment_read import SegmentRecord
from cliptune.report.segment_tables import (
    decoder_share,
    empty,
    headline,
    paired,
    parts,
    run_row,
    share_told,
)
from cliptune.report.segment_words import images_told, prompts_told
from cliptune.report.tables import Column, cost, why_unpaired
from cliptune.report.tiles import reached_on, trained_parameters

PARTS = (
    Column("n", "images", words.count),
    Column("dice", "Dice after", words.percent),
    Column("zero_shot", "zero-shot", words.percent),
    Column("gain", "gain, points", words.points),
    Column("iou", "IoU after", words.percent),
    Column("zero_shot_iou", "zero-shot IoU", words.percent),
)


def page_of(record: SegmentRecord) -> Page:
    """Everything the folder tells of one run."""
    return Page(
        title=record.name,
        subtitle=f"{record.method} on {record.model} · {record.data} · {images_told(record.run.get('shots'))} · "
        f"prompts {words.plain(record.prompt_kind)} · seed {words.plain(record.run.get('seed'))}",
        verdict=noted(verdict_of(record), written(record)),
        tiles=tiles(record),
        sections=[
            Section("result", "The result", result(record)),
            Section("distribution", "Image by image", distribution(record)),
            Section("sizes", "By size and group", sizes(record)),
            Section("images", "Images", galleries(record)),
            Section("cost", "What it cost, how it trained", cost_and_training(record, "Dice") + efficiency(record)),
            Section("data", "Data and prompts", data_and_prompts(record)),
            Section("settings", "Settings", settings(record)),
            Section(
                "provenance", "Provenance", [provenance(record, record.data, prompts_told(record.section("prompt")))]
            ),
        ],
        rows=[run_row(record)],
    )


def verdict_of(record: SegmentRecord) -> Verdict:
    """Against zero-shot on the same images: a gain is claimed only where the bootstrap interval lies above zero."""
    row, pair = headline(record), paired(record)
    warned = (record.leak,) if record.leak else ()
    if row["dice"] is None:
        return Verdict("unknown", "No Dice was measured in this run.", warned)
    after = f"Dice {words.percent(row['dice'])} ({words.interval(row['interval'])})"
    if record.method.replace("-", "_") == "zero_shot":
        lead = "This run is zero-shot itself: nothing was adapted."
        return Verdict("unknown", lead, (f"It reaches {after}.", *warned))
    if row["zero_shot"] is None:
        return Verdict("unknown", answer.LEADS["unknown"], (f"After adapting: {after}.", *warned))
    numbers = f"{after} after, zero-shot {words.percent(row['zero_shot'])}: {words.points(row['gain'])} points"
    if pair is None:
        kind = answer.judge(row, None)
        numbers += f". No paired test: {why_unpaired(record)}, so only intervals that lie apart count as a difference."
    else:
        low, high = pair["interval"]
        kind = "gain" if low > 0 else "loss" if high < 0 else "even"
        numbers += (
            f" (95 % {words.difference_interval(pair['interval'])}); {words.these(pair['fixed'], 'image')} better, "
            f"{pair['broken']:,} worse of {pair['n']:,}."
        )
    return Verdict(kind, answer.LEADS[kind], (numbers, *warned))


def tiles(record: SegmentRecord) -> list[Tile]:
    row, decoder = headline(record), decoder_share(record)
    decoded = "" if decoder is None else f"; {words.percent(decoder)} of them in the decoder"
    return [
        Tile("Dice after", words.percent(row["dice"]), reached_on(row)),
        Tile("Dice zero-shot", words.percent(row["zero_shot"]), f"95 % {words.interval(row['zero_shot_interval'])}"),
        Tile("gain, points", words.points(row["gain"]), ""),
        Tile("IoU after", words.percent(row["iou"]), f"zero-shot {words.percent(row['zero_shot_iou'])}"),
        trained_parameters(record, decoded),
    ]


def result(record: SegmentRecord) -> list[Block]:
    """All measures, the paired difference, and the images on which there is nothing to mark."""
    after, before = record.after(), record.before()
    rows = [
        {
            "measure": title,
            "after": words.number(after.told.get(key)) if after else None,
            "zero_shot": words.number(before.told.get(key)) if before else None,
        }
        for key, title in (
            ("dice", "Dice, at the images' own size"),
            ("iou", "IoU, at the images' own size"),
            ("dice_at_input", "Dice, at the model's input size"),
        )
    ]
    nothing = empty(record)
    if nothing:
        title = f"answered empty, of {words.these(int(nothing['n']), 'image')} with nothing to mark"
        rows.append({"measure": title, **{when: nothing[when] for when in ("after", "zero_shot")}})
    columns = (
        Column("measure", "measure"),
        Column("after", "after", words.percent),
        Column("zero_shot", "zero-shot", words.percent),
    )
    blocks: list[Block] = [Table("All measures, mean over test images", columns, rows)]
    threshold = words.number(after.told.get("threshold")) if after else None
    if threshold is not None:
        blocks.append(Text(f"A pixel counts as marked above a probability of {threshold:g}."))
    if nothing is None:
        blocks.append(Text("Every test image has something to mark."))
    if (pair := paired(record)) is None:
        blocks.append(unpaired(record))
    else:
        blocks.append(
            Text(
                f"On the same {words.these(pair['n'], 'test image')} the mean difference is "
                f"{words.points(pair['difference'])} points, 95 % interval "
                f"{words.difference_interval(pair['interval'])} (paired bootstrap over images, 2,000 resamples)."
            )
        )
    return blocks + [Text(note) for note in disagreements(record)]


def disagreements(record: SegmentRecord) -> list[str]:
    """Where run.json and the prediction files tell different stories, say so."""
    told = [(each.dice, each.n) if each else (None, None) for each in (record.after(), record.before())]
    return at_odds(record, told, " with a mean Dice of {}")


def distribution(record: SegmentRecord) -> list[Block]:
    """How Dice spreads over the test images, and how each image changed."""
    after = record.predictions
    if after is None or not len(after):
        return [Text(f"Dice by image: {words.NOT_MEASURED}; predictions.csv is missing or empty.", missing=True)]
    before = record.zero_shot_predictions if not why_unpaired(record) else None
    told = [quartiles("after", after.dice), *([quartiles("zero-shot", before.dice)] if before else [])]
    beside = " Right: every image; above the dotted line it became better." if before else ""
    drawing = Drawing(
        "dice",
        plots_segment.dice_by_image(after.dice, before.dice if before else None),
        f"How many of {words.these(len(after), 'test image')} reach which Dice, in {plots_segment.BINS} equal bins. "
        f"Filled: after; hatched: zero-shot; lines: means.{beside} Counts, so no interval.",
        f"Dice by image: {'; '.join(told)}.",
        wide=before is not None,
    )
    return [drawing, Text(f"Quartiles of the images' Dice: {'; '.join(told)}.")]


def quartiles(when: str, dice: np.ndarray) -> str:
    first, middle, third = np.percentile(dice, [25, 50, 75])
    return f"{when} {words.percent(first)}, {words.percent(middle)}, {words.percent(third)}"


def sizes(record: SegmentRecord) -> list[Block]:
    """Dice by size of what is to be marked, and by group where the data has some."""
    blocks: list[Block] = []
    if by_size := parts(record, "per_size"):
        size = (Column("name", "to be marked"), Column("share", "share of the image", share_told))
        blocks.append(Table("By size of what is to be marked", (*size, *PARTS), by_size))
    else:
        blocks.append(Text(f"Dice by size: {words.NOT_MEASURED}.", missing=True))
    if by_group := parts(record, "per_group"):
        columns = (Column("name", "group"), *PARTS)
        blocks.append(Table("By group", columns, by_group, folded=len(by_group) > 12))
    return blocks


def efficiency(record: SegmentRecord) -> list[Block]:
    """What the shared table of costs does not tell: the decoder's part, and the speed of answering."""
    whole, decoder = cost(record)["trainable_parameters"], words.number(record.run.get("decoder_parameters"))
    towers = None if whole is None or decoder is None else whole - decoder
    speed = words.rough(cost(record)["inference_images_per_second"])
    rows = [
        ("trained in the decoder", f"{words.count(decoder)} parameters"),
        ("trained in the towers", f"{words.count(towers)} parameters"),
        ("speed of answering, images per second", speed),
    ]
    return [facts("Where the trainable parameters are", rows)]


def data_and_prompts(record: SegmentRecord) -> list[Block]:
    """What the model was told, and a warning where that tells the answer."""
    data = record.section("data")
    rows = [
        ("data", record.data),
        ("training images", words.count(data.get("train"))),
        ("validation images", words.count(data.get("val"))),
        ("test images", words.count(data.get("test"))),
        ("prompts", prompts_told(record.section("prompt"))),
        *(("note on the data", note) for note in data.get("notes") or ()),
    ]
    blocks: list[Block] = [facts("", rows)]
    return [Text(f"Warning: {record.leak}"), *blocks] if record.leak else blocks
