"""The page of one run, the answer first. Where it errs, its confidence and what it forgot: faults.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from cliptune.report import answer, features, plots, words
from cliptune.report.blocks import Block, Drawing, Page, Section, Table, Text
from cliptune.report.compare import flatten, shots_text
from cliptune.report.faults import confidence, errors, forgotten, picked
from cliptune.report.gallery import galleries
from cliptune.report.read import Record, RunFolder
from cliptune.report.remarks import noted, remarks
from cliptune.report.tables import (
    Column,
    beside_headline,
    cost,
    every_test,
    paired_test,
    run_row,
    why_unpaired,
)
from cliptune.report.tiles import tiles
from cliptune.report.training import selection, steps, validations

COST = {
    "trainable_parameters": ("trainable parameters", words.count),
    "trainable_percent": ("share of the backbone", words.share),
    "adapter_bytes": ("adapter file", words.size),
    "train_seconds": ("training time", words.seconds),
    "evaluate_seconds": ("evaluation time", words.seconds),
    "images_per_second": ("training speed, images per second", words.rough),
    "peak_memory_bytes": ("peak memory", words.size),
    "merge_gap": ("merge gap, relative to the largest logit", words.scientific),
}
ACCURACIES = (
    Column("test", "test"),
    Column("n", "images", words.count),
    Column("accuracy", "after", words.percent),
    Column("interval", "95 % interval", words.interval),
    Column("zero_shot", "zero-shot", words.percent),
    Column("gain", "gain, points", words.points),
)


def page_of(record: Record) -> Page:
    """Everything the folder tells of one run."""
    told = f"{record.data}, {words.these(len(record.classes), 'class', 'classes')}"
    return Page(
        title=record.name,
        subtitle=f"{record.method} on {record.model} · {record.data} · {shots_text(record.run.get('shots'))} · "
        f"seed {words.plain(record.run.get('seed'))}",
        verdict=noted(answer.of_one(record), remarks(record)),
        tiles=tiles(record),
        sections=[
            Section("result", "The result, image by image", result(record)),
            Section("images", "Images", galleries(record)),
            Section("errors", "Where it errs", errors(record)),
            Section("confidence", "Can you trust its confidence?", confidence(record)),
            *([Section("features", "Image features", features.drawn(record))] if record.features else []),
            Section("forgotten", "What was forgotten", forgotten(record)),
            Section("cost", "What it cost, how it trained", cost_and_training(record)),
            *([Section("selection", "Which tensors were picked", picked(record))] if selection(record) else []),
            Section("settings", "Settings", settings(record)),
            Section("provenance", "Provenance", [provenance(record, told, record.section("data").get("template"))]),
        ],
        rows=[run_row(record)],
    )


def facts(title: str, pairs: Sequence[tuple[str, Any]], folded: bool = False) -> Table:
    """Names and values, without a heading."""
    rows = [{"fact": name, "value": words.plain(value)} for name, value in pairs]
    return Table(title, (Column("fact", ""), Column("value", "")), rows, folded)


def result(record: Record) -> list[Block]:
    """Both tables, then what they mean."""
    blocks: list[Block] = []
    pair = paired_test(record)
    if pair:
        columns = (
            Column("case", ""),
            Column("right", "right after", words.count),
            Column("wrong", "wrong after", words.count),
        )
        rows = [
            {"case": "right zero-shot", "right": pair["both_right"], "wrong": pair["broken"]},
            {"case": "wrong zero-shot", "right": pair["fixed"], "wrong": pair["both_wrong"]},
        ]
        of = "" if record.main in ("test", None) else f" of {record.main}"
        blocks.append(Table(f"The same {words.these(pair['n'], 'test image')}{of}, before and after", columns, rows))
    if measures := beside_headline(record):
        shown = [row | {when: _measure(row["key"], row[when]) for when in ("after", "zero_shot")} for row in measures]
        columns = (Column("measure", "measure"), Column("after", "after"), Column("zero_shot", "zero-shot"))
        blocks.append(Table("All measures of these images", columns, shown))
    if pair:
        text = (
            f"{words.these(pair['fixed'], 'image')} fixed, {pair['broken']:,} broken. If adapting changed nothing, a "
            f"split at least this uneven would come up with {words.p_value(pair['p'])} (McNemar's exact test)."
        )
        blocks.append(Text(text))
    else:
        blocks.append(unpaired(record))
    blocks += [Text(note) for note in disagreements(record)]
    if len(tests := every_test(record)) > 1:
        blocks.append(Table("Every test", ACCURACIES, tests))
    if told := apart(record):
        blocks.append(facts("Known and unknown classes", told))
    return blocks


def unpaired(record: RunFolder) -> Text:
    """Why there is no paired test."""
    return Text(f"Paired test: {words.NOT_MEASURED}; {why_unpaired(record)}.", missing=True)


def apart(record: Record) -> list[tuple[str, str]]:
    """How well unknown classes were told from known ones, under domain generalization's open set."""
    metrics = record.section("metrics")
    after, zero_shot = metrics.get("open_set"), metrics.get("zero_shot")
    before = zero_shot.get("open_set") if isinstance(zero_shot, Mapping) else None
    if not isinstance(after, Mapping) or not isinstance(before, Mapping):
        return []
    titles = {
        "auroc": "AUROC of the best class's probability, known against unknown",
        "known_accuracy": "known images right and not rejected",
        "unknown_accuracy": "unknown images rejected",
        "h_score": "harmonic mean of these two",
    }
    return [
        (title, f"{words.percent(before.get(key))} zero-shot, {words.percent(after.get(key))} after")
        for key, title in titles.items()
    ]


def _measure(key: str, value: float | None) -> str:
    return words.decimals(value) if key == "nll" else words.percent(value)


def disagreements(record: Record) -> list[str]:
    """Where run.json and the prediction files tell different stories, say so."""
    told = [(each.accuracy, each.n) if each else (None, None) for each in (record.after(), record.before())]
    return at_odds(record, told, ", {} right", " Tables of single images use the file.")


def at_odds(
    record: RunFolder, told: Sequence[tuple[float | None, int | None]], holds: str, then: str = ""
) -> list[str]:
    """A note on every prediction file whose mean or number of images is not what run.json says.

    Args:
        told: what run.json says was reached and of how many images, after and zero-shot.
        holds: how the note goes on after the file's number of images; its mean stands at {}. then: its last words.
    """
    notes = []
    files = {"predictions.csv": record.predictions, "zero_shot_predictions.csv": record.zero_shot_predictions}
    for (file, rows), (reached, n) in zip(files.items(), told, strict=True):
        if rows is None or reached is None or not len(rows):
            continue
        mean = float(rows.by_image.mean())
        if abs(mean - reached) > 1e-4 or (n is not None and n != len(rows)):
            notes.append(
                f"Note: {file} holds {words.these(len(rows), 'image')}{holds.format(words.percent(mean))}; run.json "
                f"says {words.percent(reached)} of {words.count(n)}.{then}"
            )
    return notes


def cost_and_training(record: RunFolder, measured: str = "accuracy") -> list[Block]:
    """The loss curve beside the table of costs; `measured` is what the validation images were for."""
    rows, validated = steps(record), validations(record, measured.lower())
    blocks: list[Block] = []
    if any(row["loss"] is not None or row["parts"] for row in rows):
        parts = list(dict.fromkeys(name for row in rows for name in row["parts"]))
        told = f" and its parts {', '.join(parts)}" if len(parts) > 1 else ""
        phases = list(dict.fromkeys(row["phase"] for row in rows))
        then = f" ({', then '.join(phases)})" if len(phases) > 1 else ""
        smooth = f"; every point is the mean of a stretch, {plots.MOST_POINTS} in all"
        last = next((row["loss"] for row in reversed(rows) if row["loss"] is not None), None)
        blocks.append(
            Drawing(
                "loss",
                plots.loss_curve(rows, validated, measured),
                f"Training loss{told} over {words.these(rows[-1]['step'], 'step')}{then}"
                f"{smooth if len(rows) > plots.MOST_POINTS else ''}. One run, so no interval. "
                f"{f'Below: {measured} on the validation images.' if validated else 'No validation during training.'}",
                f"Loss curve; the last loss is {words.decimals(last)}.",
            )
        )
    else:
        blocks.append(Text(f"Loss: {words.NOT_MEASURED}; metrics.jsonl tells of no training step.", missing=True))
    blocks.append(facts("Cost", [(name, show(cost(record)[key])) for key, (name, show) in COST.items()]))
    final = record.section("metrics").get("validation")
    if isinstance(final, Mapping) and (reached := words.number(final.get(measured.lower()))) is not None:
        n = words.number(final.get("n"))
        images = f" of {words.these(int(n), 'image')}" if n else ""
        blocks.append(Text(f"Validation {measured} at the end: {words.percent(reached)}{images}."))
    if record.unreadable_lines:
        lines = words.these(record.unreadable_lines, "line")
        blocks.append(Text(f"{lines} of metrics.jsonl could not be read and were left out."))
    return blocks


def settings(record: RunFolder) -> list[Block]:
    blocks: list[Block] = []
    own = list(flatten(record.section("settings")))
    blocks.append(facts(f"Settings of {record.method}", own) if own else Text("This method has no settings."))
    if recipe := list(flatten(record.section("recipe"))):
        blocks.append(facts("The whole recipe, resolved", recipe, folded=True))
    for key, title in (("sites", "Adapted sites"), ("inert", "Inert: adapted, but nothing reads them")):
        names = record.run.get(key)
        if isinstance(names, list) and names:
            blocks.append(facts(f"{title} ({len(names):,})", [(key, names)], folded=True))
    return blocks


def provenance(record: RunFolder, told: str, prompt: Any) -> Table:
    """Where everything came from; what is told of the data and the prompt depends on the task."""
    model, data, machine = record.section("model"), record.section("data"), record.section("environment")
    splits = ", ".join(f"{key} {words.count(data.get(key))}" for key in ("train", "val", "test"))
    dirty = " with uncommitted changes" if machine.get("dirty") else ""
    versions = [
        f"{name} {machine[name]}" for name in ("cliptune", "python", "torch", "transformers") if name in machine
    ]
    rows = [
        ("run", record.name),
        ("backbone", model.get("name")),
        ("backbone's source", model.get("source")),
        ("backbone's weights (sha256)", model.get("sha256")),
        ("backbone's parameters", words.count(model.get("parameters"))),
        ("data", told),
        ("images", splits),
        ("split", data.get("split")),
        *(("note on the data", note) for note in data.get("notes") or ()),
        ("prompt", prompt),
        ("episode (sha256)", data.get("episode_sha256")),
        ("protocol", record.run.get("protocol")),
        ("shots", shots_text(record.run.get("shots"))),
        ("seed", record.run.get("seed")),
        ("versions", ", ".join(versions)),
        ("commit", f"{machine['commit']}{dirty}" if machine.get("commit") else None),
        ("device", machine.get("device")),
        ("number format", machine.get("dtype")),
        ("threads", machine.get("threads")),
        ("machine", machine.get("machine")),
        ("started", record.run.get("started")),
        ("finished", record.run.get("finished")),
        ("repeat it", "cliptune train recipe.toml (the file in this run's folder)"),
    ]
    return facts("", rows)
