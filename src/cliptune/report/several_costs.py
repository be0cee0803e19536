"""Sections of a comparison: what was forgotten beside what was gained, cost, every run, provenance."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cliptune.report import plots_compare, words
from cliptune.report.blocks import Block, Drawing, Items, Table, Text
from cliptune.report.captions import at, at_shots, bare_p, method_columns, opening, spread
from cliptune.report.compare import Named, Place
from cliptune.report.tables import Column, Row, cost, headline, paired_test, retention

SPEED = "Images per second are the machine's of that moment, to two digits: no difference below a half is one."
SHARED_PEAK = (
    "Peak memory of {runs} is left out: they were run in one process, which kept one mark for all of them, so it is "
    "not known which run used how much."
)


def costs(rows: Sequence[Row], runs: Sequence[Named]) -> list[Block]:
    """What each method cost, mean over seeds, and what cannot be compared."""
    shared = shared_peaks(runs)
    of_shared = {each.label for each in runs if each.record.name in shared}
    rows = [row | {"peak_memory_bytes": None} if row["label"] in of_shared else row for row in rows]
    notes = [SHARED_PEAK.format(runs=words.these(len(shared), "run"))] if shared else []
    notes += dict.fromkeys(str(why) for each in runs if (why := each.record.run.get("peak_memory_unknown")))
    return [costs_table(rows), *map(Text, [*notes, SPEED])]


def shared_peaks(runs: Sequence[Named]) -> set[str]:
    """Names of runs whose peak of memory is the same to the byte: the mark of a process that did all of them."""
    peaks: dict[float, set[str]] = defaultdict(set)
    for each in runs:
        peak = words.number(each.record.run.get("peak_memory_bytes"))
        if peak and each.record.section("environment").get("device") == "cpu":
            peaks[peak].add(each.record.name)
    return {name for names in peaks.values() if len(names) > 1 for name in names}


def costs_table(rows: Sequence[Row]) -> Table:
    columns = (
        *method_columns(rows),
        Column("trainable_parameters", "trainable parameters", words.count),
        Column("trainable_percent", "of the backbone", words.share),
        Column("train_seconds", "training", words.seconds),
        Column("images_per_second", "images per second, training", words.rough),
        Column("inference_images_per_second", "images per second, testing", words.rough),
        Column("peak_memory_bytes", "peak memory", words.size),
        Column("merge_gap", "merge gap", words.scientific),
    )
    return Table("Cost, mean over seeds" if any(row["runs"] > 1 for row in rows) else "Cost", columns, rows)


def forgotten(
    rows: Sequence[Row], places: Sequence[Place], order: dict[str, int], notes: Sequence[str] = ()
) -> list[Block]:
    """Figures of every place with several methods, the table of all, and notes on what is left out."""
    blocks: list[Block] = [Text(note) for note in notes]
    table: list[Row] = []
    for index, place in enumerate(places):
        here = at(rows, place)
        for number, name in enumerate(dict.fromkeys(name for row in here for name in row["retention"])):
            found = [row for row in here if name in row["retention"]]
            if len([row for row in found if row["gain"] is not None]) > 1:
                blocks.append(gain_figure(f"retention-{index}-{number}", name, found, place, places, order))
            for row in found:
                change, deviation = row["retention"][name]
                table.append(row | {"name": name, "change": change, "spread": deviation})
    if not table:
        return blocks or [Text("Not measured: no run was tried on what it was not adapted for.", missing=True)]
    columns = (
        *method_columns(table),
        Column("gain", "gain, points", words.points),
        Column("name", "not adapted for"),
        Column("change", "change, points", words.points),
        Column("spread", "± s.d., points", spread),
    )
    return [*blocks, Table("Gain and retention", columns, table)]


def gain_figure(
    figure: str, name: str, rows: Sequence[Row], place: Place, places: Sequence[Place], order: dict[str, int]
) -> Drawing:
    shown, said = at_shots([row for row in rows if row["gain"] is not None])
    repeated = [row["runs"] for row in shown if row["gain_deviation"] is not None]
    bars = f"Bars: ± one sample standard deviation over {words.span(repeated, 'seed')}" if repeated else "No bars"
    single = "; none for a single run" if len(repeated) < len(shown) else ""
    return Drawing(
        figure,
        plots_compare.gain_and_retention(shown, name, order),
        f"{opening(place, places, 'gain')}{said} beside the change on {name}, which was not adapted for; below 0, "
        f"forgotten. {bars}{single}.",
        "; ".join(f"{row['label']} {words.points(row['retention'][name][0])} points" for row in shown),
    )


def every_run(runs: Sequence[Named]) -> Table:
    rows = []
    for each in runs:
        pair = paired_test(each.record) or {}
        changes = [row for row in retention(each.record) if row["change"] is not None]
        kept = "; ".join(f"{row['name']} {words.points(row['change'])}" for row in changes)
        rows.append(
            headline(each.record)
            | {"train_seconds": cost(each.record)["train_seconds"], "kept": kept or None}
            | {key: pair.get(key) for key in ("fixed", "broken", "p")}
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
        Column("p", "McNemar p", bare_p),
        Column("kept", "change on other things, points"),
        Column("train_seconds", "training", words.seconds),
    )
    return Table("", columns, rows)


SHARED = {
    "backbone": ("model", "sha256"),
    "commit": ("environment", "commit"),
    "cliptune": ("environment", "cliptune"),
    "torch": ("environment", "torch"),
    "device": ("environment", "device"),
    "number format": ("environment", "dtype"),
}
"""what runs should have in common for their times and last digits to be compared"""


def provenance(runs: Sequence[Named]) -> list[Block]:
    def of(each: Named, section: str, key: str) -> Any:
        return each.record.section(section).get(key)

    mixed = []
    for title, place in SHARED.items():
        values = {words.plain(of(each, *place)) for each in runs}
        if len(values) > 1:
            mixed.append(f"{title}: {', '.join(sorted(words.short(value, 24) for value in values))}")
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
    return [
        Items("These runs differ in", mixed) if mixed else Text(f"The same in all runs: {', '.join(SHARED)}."),
        Table("Who is who", [Column(key, titles.get(key, key)) for key in rows[0]], rows, folded=True),
    ]
