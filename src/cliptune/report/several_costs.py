"""Sections of a comparison: size and cost, what was forgotten beside what was gained, every run, provenance."""

from collections.abc import Sequence
from typing import Any

from cliptune.report import plots_compare, words
from cliptune.report.blocks import Block, Drawing, Items, Table, Text
from cliptune.report.compare import Named, Place
from cliptune.report.tables import Column, Row, cost, headline, paired_test, retention

COSTS = (
    Column("label", "method"),
    Column("data", "data"),
    Column("shots", "shots", lambda shots: "all" if shots is None else str(shots)),
    Column("trainable_parameters", "trainable parameters", words.count),
    Column("trainable_percent", "of the backbone", words.share),
    Column("train_seconds", "training", words.seconds),
    Column("images_per_second", "images per second", words.count),
    Column("peak_memory_bytes", "peak memory", words.size),
    Column("merge_gap", "merge gap", words.scientific),
)


def size(rows: Sequence[Row], places: Sequence[Place], order: dict[str, int]) -> list[Block]:
    blocks: list[Block] = []
    for index, place in enumerate(places):
        here = [
            row for row in at(rows, place) if row["trainable_parameters"] is not None and row["accuracy"] is not None
        ]
        if not here:
            continue
        where = named(place, places)
        several = " Small numbers: shots." if len({row["shots"] for row in here}) > 1 else ""
        blocks.append(
            Drawing(
                f"parameters-{index}",
                plots_compare.accuracy_by_parameters(here, order),
                f"{where + ': ' if where else ''}accuracy against trainable parameters.{several} {bars(here)}",
                "; ".join(f"{row['label']}: {words.count(row['trainable_parameters'])} parameters" for row in here),
            )
        )
    blocks.append(Table("Cost, mean over seeds", COSTS, rows))
    return blocks


def forgotten(rows: Sequence[Row], places: Sequence[Place], order: dict[str, int]) -> list[Block]:
    blocks: list[Block] = []
    table: list[Row] = []
    for index, place in enumerate(places):
        here = at(rows, place)
        for number, name in enumerate(dict.fromkeys(name for row in here for name in row["retention"])):
            found = [row for row in here if name in row["retention"]]
            where = named(place, places)
            if any(row["gain"] is not None for row in found):
                blocks.append(
                    Drawing(
                        f"retention-{index}-{number}",
                        plots_compare.gain_and_retention(found, name, order),
                        f"{where + ': ' if where else ''}gain against the change on {name}, which was not adapted for; below 0, "
                        f"forgotten. Bars: ± one sample standard deviation over {seeds_text(found)}; none for a single run.",
                        "; ".join(f"{r['label']} {words.points(r['retention'][name][0])} points" for r in found),
                    )
                )
            table += [
                row | {"name": name, "change": row["retention"][name][0], "spread": row["retention"][name][1]}
                for row in found
            ]
    if not table:
        return [
            Text(f"{words.NOT_MEASURED.capitalize()}: no run was tried on what it was not adapted for.", missing=True)
        ]
    columns = (
        Column("label", "method"),
        Column("data", "data"),
        Column("shots", "shots"),
        Column("gain", "gain, points", words.points),
        Column("name", "not adapted for"),
        Column("change", "change, points", words.points),
        Column("spread", "± s.d., points", lambda value: "one run" if value is None else f"{100 * value:.1f}"),
    )
    return [*blocks, Table("Gain and retention, mean over seeds", columns, table)]


def seeds_text(rows: Sequence[Row]) -> str:
    counts = sorted({row["runs"] for row in rows})
    return f"{'–'.join(str(each) for each in dict.fromkeys((counts[0], counts[-1])))} runs"


def every_run(runs: Sequence[Named]) -> Table:
    rows = []
    for each in runs:
        pair = paired_test(each.record) or {}
        kept = "; ".join(
            f"{r['name']} {words.points(r['change'])}" for r in retention(each.record) if r["change"] is not None
        )
        rows.append(
            headline(each.record)
            | cost(each.record)
            | {"label": each.label, "data": each.cell.place.data, "shots": each.cell.shots, "seed": each.cell.seed}
            | {key: pair.get(key) for key in ("fixed", "broken", "p")}
            | {"kept": kept or None}
        )
    columns = (
        Column("run", "run"),
        Column("accuracy", "after", words.percent),
        Column("interval", "95 % interval", words.interval),
        Column("n", "images", words.count),
        Column("zero_shot", "zero-shot", words.percent),
        Column("gain", "gain, points", words.points),
        Column("fixed", "fixed", words.count),
        Column("broken", "broken", words.count),
        Column("p", "McNemar p", lambda value: words.p_value(value).removeprefix("p ").removeprefix("= ")),
        Column("kept", "change on other things, points"),
        Column("train_seconds", "training", words.seconds),
    )
    return Table("", columns, rows)


def provenance(runs: Sequence[Named]) -> list[Block]:
    def of(each: Named, section: str, key: str) -> Any:
        return each.record.section(section).get(key)

    facts = (
        ("backbone", "model", "sha256"),
        ("commit", "environment", "commit"),
        ("cliptune", "environment", "cliptune"),
        ("torch", "environment", "torch"),
        ("device", "environment", "device"),
        ("number format", "environment", "dtype"),
    )
    mixed = [
        f"{title}: {', '.join(sorted(words.short(words.plain(value), 24) for value in values))}"
        for title, section, key in facts
        if len(values := {of(each, section, key) for each in runs}) > 1
    ]
    blocks: list[Block] = [
        Items("These runs differ in", mixed) if mixed else Text("All runs share backbone, versions, commit and device.")
    ]
    rows = [
        {
            "run": each.record.name,
            "episode": words.plain(of(each, "data", "episode_sha256"))[:16],
            "backbone": words.plain(of(each, "model", "sha256"))[:16],
            "commit": words.plain(of(each, "environment", "commit"))[:12],
            "dirty": of(each, "environment", "dirty"),
            "device": of(each, "environment", "device"),
            "finished": each.record.run.get("finished"),
        }
        for each in runs
    ]
    titles = {"episode": "episode (sha256)", "backbone": "backbone (sha256)", "dirty": "uncommitted changes"}
    columns = [Column(key, titles.get(key, key)) for key in rows[0]]
    return [*blocks, Table("Who is who", columns, rows, folded=True)]
