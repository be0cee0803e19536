"""Sections of one run's page: where it errs, how far its confidence goes, what it forgot, which tensors it picked."""

from collections.abc import Sequence

import numpy as np

from cliptune.report import plots, verdict, words
from cliptune.report.blocks import Block, Drawing, Table, Text
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row, confusion, headline, per_class, reliability, retention, selection

PER_CLASS = (
    Column("class", "class"),
    Column("n", "images", words.count),
    Column("accuracy", "after", words.percent),
    Column("zero_shot", "zero-shot", words.percent),
    Column("change", "change, points", words.points),
)


def errors(record: Record) -> list[Block]:
    blocks: list[Block] = []
    pairs, classes = confusion(record), per_class(record)
    n = len(record.predictions) if record.predictions else 0
    if not n:
        blocks.append(Text(f"Confusions: {words.NOT_MEASURED}; predictions.csv is missing or empty.", missing=True))
    elif len(record.classes) <= plots.MOST_LABELLED:
        blocks.append(
            Drawing(
                "confusion",
                plots.confusion_matrix(pairs, record.classes),
                f"Answers after adapting, n = {n:,} test images. Colour: share of the true class; numbers: images.",
                worst_pair(pairs),
                wide=len(record.classes) > 12,
            )
        )
    elif any(row["label"] != row["answer"] and row["n"] for row in pairs):
        blocks.append(
            Drawing(
                "confusion",
                plots.confused_pairs(pairs),
                f"The most frequent mistakes after adapting and how often zero-shot made them, n = {n:,} test images "
                f"of {len(record.classes):,} classes.",
                worst_pair(pairs),
                wide=True,
            )
        )
    else:
        blocks.append(Text(f"No mistake among {words.these(n, 'test image')}."))
    if not classes:
        return [*blocks, Text(f"Accuracy per class: {words.NOT_MEASURED}.", missing=True)]
    if any(row["accuracy"] is not None for row in classes):
        some = len(classes) > plots.MOST_LABELLED
        least, most = min(row["n"] or 0 for row in classes), max(row["n"] or 0 for row in classes)
        which = (
            f"The {plots.MOST_LABELLED // 2} best and worst changes of {len(classes):,} classes"
            if some
            else "Every class"
        )
        blocks.append(
            Drawing(
                "classes",
                plots.class_change(classes),
                f"{which}, zero-shot and after. Lines: Wilson's 95 % interval; {least:,}–{most:,} images a class.",
                class_words(classes),
                wide=True,
            )
        )
    blocks.append(Table("Accuracy per class", PER_CLASS, classes, folded=len(classes) > 12))
    return blocks


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
    gap = sure - right
    word = (
        "about as sure as it is right"
        if abs(gap) < 0.02
        else "surer than it is right"
        if gap > 0
        else "less sure than it is right"
    )
    return [
        Text(
            f"After adapting the model is {word}: mean confidence {words.percent(sure)}, accuracy {words.percent(right)}."
        ),
        Drawing(
            "reliability",
            plots.reliability_diagram(rows),
            f"Accuracy by confidence in 15 equal bins, n = {len(record.predictions):,}. Bars: Wilson's 95 % interval; hollow "
            f"points hold fewer than 10 images. Expected calibration error: {told}. On the dotted line, 80 % sure means "
            "right 8 times in 10.",
            f"Reliability diagram. Expected calibration error: {told}.",
        ),
    ]


RETENTION = (
    Column("name", "not adapted for"),
    Column("n", "images", words.count),
    Column("before", "before", words.percent),
    Column("interval_before", "95 % interval", words.interval),
    Column("after", "after", words.percent),
    Column("interval_after", "95 % interval", words.interval),
    Column("change", "change, points", words.points),
)


def forgotten(record: Record) -> list[Block]:
    rows = retention(record)
    if not rows:
        return [
            Text(
                f"{words.NOT_MEASURED.capitalize()}: this run was not tried on anything it was not adapted for.",
                missing=True,
            )
        ]
    return [
        Drawing(
            "retention",
            plots.retention_plot(rows, headline(record)),
            f"Above the dotted line: what was adapted for, n = {words.count(headline(record)['n'])}. Below: what was not, n = "
            f"{', '.join(words.count(row['n']) for row in rows)}. Lines: 95 % intervals.",
            verdict.forgotten(record),
            wide=True,
        ),
        Table("Retention", RETENTION, rows),
    ]


def picked(record: Record) -> list[Block]:
    rows, chosen = selection(record), record.section("selection")
    said = [
        f"{key} = {words.plain(chosen[key])}" for key in ("k", "granularity", "score") if chosen.get(key) is not None
    ]
    names, inert = chosen.get("picked") or [], chosen.get("inert") or []
    blocks: list[Block] = [
        Text(f"{words.these(len(names), 'tensor')} picked ({', '.join(said) or 'rule not recorded'}).")
    ]
    scored = [row["score"] for row in rows if row["score"] is not None]
    if scored and any(row["block"] is not None for row in rows):
        blocks.append(
            Drawing(
                "selection",
                plots.selection_map(rows),
                f"Score of each of {words.these(len(scored), 'tensor')}: part by block. Dots: picked. Hatched: inert, a "
                f"gradient is zero by construction, left out of the ranking ({len(inert):,}). A score is one number, so no "
                "interval.",
                f"Score map; picked: {', '.join(str(name) for name in names[:12])}{'…' if len(names) > 12 else ''}.",
                wide=True,
            )
        )
    else:
        blocks.append(Text(f"Scores: {words.NOT_MEASURED}.", missing=True))
    blocks.append(
        Table(
            "Every tensor by score",
            (
                Column("name", "tensor"),
                Column("score", "score", words.scientific),
                Column("picked", "picked"),
                Column("inert", "inert"),
            ),
            sorted(rows, key=lambda row: -(row["score"] or 0.0)),
            folded=True,
        )
    )
    return blocks


