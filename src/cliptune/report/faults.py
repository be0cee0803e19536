"""Sections of one run's page: where it errs, how far its confidence goes, what it forgot, which tensors it picked."""

from collections.abc import Sequence

import numpy as np

from cliptune.report import answer, plots, words
from cliptune.report.blocks import Block, Drawing, Table, Text
from cliptune.report.leading import chance_of
from cliptune.report.read import Predictions, Record
from cliptune.report.tables import (
    Column,
    Row,
    confusion,
    headline,
    per_class,
    reliability,
    retention,
    temperatures,
)
from cliptune.report.training import selection
from cliptune.statistics import calibration, wilson

PER_CLASS = (
    Column("class", "class"),
    Column("n", "images", words.count),
    Column("accuracy", "after", words.percent),
    Column("zero_shot", "zero-shot", words.percent),
    Column("change", "change, points", words.points),
)
BINS = (
    Column("told", "confidence"),
    Column("n", "images", words.count),
    Column("confidence", "mean confidence", words.percent),
    Column("accuracy", "right", words.percent),
    Column("interval", "95 % interval", words.interval),
)
TEMPERATURES = (
    Column("when", ""),
    Column("temperature", "temperature T", words.decimals),
    Column("ece", "calibration error", words.percent),
    Column("ece_at", "at T", words.percent),
    Column("nll", "negative log-likelihood", words.decimals),
    Column("nll_at", "at T", words.decimals),
)
RETENTION = (
    Column("name", "not adapted for"),
    Column("n", "images", words.count),
    Column("before", "before", words.percent),
    Column("interval_before", "95 % interval", words.interval),
    Column("after", "after", words.percent),
    Column("interval_after", "95 % interval", words.interval),
    Column("change", "change, points", words.points),
    Column("chance", "chance", words.percent),
)
SCORES = (
    Column("name", "tensor"),
    Column("score", "score", words.scientific),
    Column("picked", "picked"),
    Column("inert", "inert"),
)
FIXED = tuple(column for column in SCORES if column.key != "score")


def errors(record: Record) -> list[Block]:
    """Confusions and accuracy per class; the table stands beside a small matrix, folded where it is long."""
    classes = per_class(record)
    if not classes:
        return [confusions(record), Text(f"Accuracy per class: {words.NOT_MEASURED}.", missing=True)]
    table = Table("Accuracy per class", PER_CLASS, classes, folded=len(classes) > 12)
    if all(row["accuracy"] is None for row in classes):
        return [confusions(record), table]
    images = [row["n"] or 0 for row in classes]
    some = (
        f"The {plots.MOST_LABELLED // 2} best and {plots.MOST_LABELLED // 2} worst changes of {len(classes):,} classes"
    )
    change = Drawing(
        "classes",
        plots.class_change(classes, chance=chance_of(record)),
        f"{some if len(classes) > plots.MOST_LABELLED else 'Every class'}, zero-shot and after; dashed: chance. Lines: "
        "Wilson's 95 % "
        f"interval; n = {words.span(images, 'image')} a class.",
        class_words(classes),
        wide=True,
    )
    return [confusions(record), change, table] if table.folded else [confusions(record), table, change]


def confusions(record: Record) -> Block:
    pairs = confusion(record)
    n = len(record.predictions) if record.predictions else 0
    if not n:
        return Text(f"Confusions: {words.NOT_MEASURED}; predictions.csv is missing or empty.", missing=True)
    if len(record.classes) <= plots.MOST_LABELLED:
        few = len(record.classes) <= plots.MOST_COUNTED
        return Drawing(
            "confusion",
            plots.confusion_matrix(pairs, record.classes),
            f"Answers after adapting, n = {n:,} test images. Colour: share of the true class"
            f"{'; numbers: images' if few else ''}. Counts, so no interval.",
            worst_pair(pairs),
            wide=len(record.classes) > 12,
        )
    if not any(row["label"] != row["answer"] and row["n"] for row in pairs):
        return Text(f"No mistake among {words.these(n, 'test image')}.")
    return Drawing(
        "confusion",
        plots.confused_pairs(pairs),
        f"The most frequent mistakes after adapting and how often zero-shot made them, n = {n:,} test images of "
        f"{len(record.classes):,} classes. Counts, so no interval.",
        worst_pair(pairs),
        wide=True,
    )


def worst_pair(pairs: Sequence[Row]) -> str:
    wrong = [row for row in pairs if row["label"] != row["answer"] and row["n"]]
    if not wrong:
        return "Confusions: no mistake."
    worst = max(wrong, key=lambda row: row["n"])
    return f"Confusions; most often {worst['label']} is taken for {worst['answer']}, {words.these(worst['n'], 'time')}."


def class_words(classes: Sequence[Row]) -> str:
    changed = [row for row in classes if row["change"] is not None]
    if not changed:
        return "Accuracy per class."
    best, worst = max(changed, key=lambda row: row["change"]), min(changed, key=lambda row: row["change"])
    return (
        f"Change per class: from {words.points(worst['change'])} points ({worst['class']}) "
        f"to {words.points(best['change'])} points ({best['class']})."
    )


def confidence(record: Record) -> list[Block]:
    rows = reliability(record)
    if not rows or record.predictions is None:
        return [Text(f"Confidence: {words.NOT_MEASURED}; predictions.csv is missing or empty.", missing=True)]
    eces = {row["when"]: row["ece"] for row in rows}
    told = ", ".join(f"{when} {words.percent(ece)}" for when, ece in eces.items())
    sure, right = float(np.nanmean(record.predictions.scores)), float(np.mean(record.predictions.correct))
    if abs(sure - right) < 0.02:
        word = "about as sure as it is right"
    else:
        word = "surer than it is right" if sure > right else "less sure than it is right"
    return [
        Text(f"After adapting it is {word}: mean confidence {words.percent(sure)}, accuracy {words.percent(right)}."),
        Drawing(
            "reliability",
            plots.reliability_diagram(rows),
            f"Accuracy by confidence in 15 equal bins, n = {len(record.predictions):,} test images. Bars: Wilson's "
            f"95 % interval; hollow and pale under {plots.FEW} images a bin. Expected calibration error (ECE): {told}. "
            "On the dotted line, 80 % sure means right 8 times in 10.",
            f"Reliability diagram. Expected calibration error: {told}.",
        ),
        Table("After adapting, by confidence", BINS, by_confidence(record.predictions)),
        *at_temperature(record),
    ]


def by_confidence(predictions: Predictions) -> list[Row]:
    """A row for every fifth of the confidences in which there are images."""
    usable = np.isfinite(predictions.scores)
    bins = calibration(predictions.scores[usable], predictions.correct[usable], bins=5)
    return [
        vars(fifth)
        | {"told": f"{100 * fifth.low:.0f}–{100 * fifth.high:.0f} %", "interval": wilson(fifth.accuracy, fifth.n)}
        for fifth in bins
    ]


def at_temperature(record: Record) -> list[Block]:
    """Whether one number would mend the confidences: fitted to validation images, measured on the test's."""
    rows = temperatures(record)
    if not rows:
        why = "there are no validation images, or no finite temperature fits them best"
        return [Text(f"Confidence at a fitted temperature: {words.NOT_MEASURED}; {why}.", missing=True)]
    images = int(rows[-1]["images"] or 0)
    fitted = words.these(images, "validation image")
    title = f"Confidences at a temperature T, fitted to {fitted}; the answers stay the same"
    few = [Text(f"T has no interval; of {words.these(images, 'image')} it is a rough number.")] if images < 100 else []
    return [Table(title, TEMPERATURES, rows), *few]


def forgotten(record: Record) -> list[Block]:
    measured, gained = retention(record), headline(record)
    rows = [row for row in measured if not row["at_chance"]]
    if measured and not rows:
        return [Text(answer.forgotten(record)), Table("Retention", RETENTION, measured)]
    if not rows:
        why = "this run was not tried on anything it was not adapted for"
        return [Text(f"{words.NOT_MEASURED.capitalize()}: {why}.", missing=True)]
    return [
        Drawing(
            "retention",
            plots.retention_plot(rows, gained | {"chance": chance_of(record)}),
            f"Above the dotted line: what was adapted for, n = {words.count(gained['n'])} images. Below: what was not, "
            f"n = {', '.join(words.count(row['n']) for row in rows)}. Lines: 95 % intervals; upright bar: chance.",
            answer.forgotten(record),
            wide=True,
        ),
        Table("Retention", RETENTION, measured),
    ]


def picked(record: Record) -> list[Block]:
    """AST's selection: which tensors, and every score where scores chose."""
    rows, chosen = selection(record), record.section("selection")
    fixed = "choose" in chosen and "scores" not in chosen
    rule = ("choose",) if fixed else ("k", "granularity", "score")
    told = [f"{key} = {words.plain(chosen[key])}" for key in rule if chosen.get(key) is not None]
    names, inert = list(chosen.get("picked") or ()), list(chosen.get("inert") or ())
    picks = f"{words.these(len(names), 'tensor')} picked ({', '.join(told) or 'rule not recorded'})."
    blocks: list[Block] = [Text(picks)]
    if fixed:
        return [*blocks, Text("A fixed choice: nothing was scored."), Table("Every tensor", FIXED, rows, folded=True)]
    scored = [row for row in rows if row["score"] is not None and row["block"] is not None]
    if scored:
        left_out = f" Hatched: inert, no gradient ever reaches them; not ranked ({len(inert):,})." if inert else ""
        blocks.append(
            Drawing(
                "selection",
                plots.selection_map(rows),
                f"Score of {words.these(len(scored), 'tensor')}, part by block. Dots: picked.{left_out} One number a "
                "tensor, so no interval.",
                f"Score map; picked: {', '.join(str(name) for name in names[:12])}{'…' if len(names) > 12 else ''}.",
                wide=True,
            )
        )
    else:
        blocks.append(Text(f"Scores: {words.NOT_MEASURED}.", missing=True))
    ranked = sorted(rows, key=lambda row: (row["inert"], -(row["score"] or 0.0)))
    return [*blocks, Table("Every tensor by score", SCORES, ranked, folded=True)]
