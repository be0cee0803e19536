"""Words and columns that the sections of a comparison share."""

from collections.abc import Sequence
from typing import Any

from cliptune.report import words
from cliptune.report.compare import Place, shots_text, told_apart
from cliptune.report.tables import Column, Row


def at(rows: Sequence[Row], place: Place) -> list[Row]:
    """The rows of one place."""
    return [row for row in rows if Place(row["data"], row["model"], row["protocol"]) == place]


def opening(place: Place, places: Sequence[Place], text: str) -> str:
    """A caption's first words: with what sets this place apart, where there are several."""
    if len(places) == 1:
        return text[0].upper() + text[1:]
    return f"{told_apart(place, places)}: {text}"


def where(rows: Sequence[Row]) -> list[Column]:
    """Columns for whatever the rows' places differ in."""
    titles = {"data": "data", "model": "backbone", "protocol": "protocol"}
    return [Column(key, title) for key, title in titles.items() if len({row[key] for row in rows}) > 1]


def shots_cell(shots: Any) -> str:
    return "all" if shots is None else str(shots)


def spread(value: Any) -> str:
    """A standard deviation, in points."""
    return "one run" if value is None else f"{100 * value:.1f}"


def method_columns(rows: Sequence[Row]) -> list[Column]:
    """What a row is about: the method, where, and how many shots; every table over methods begins with these."""
    return [Column("label", "method"), *where(rows), Column("shots", "shots", shots_cell)]


def mean_columns(key: str, title: str) -> list[Column]:
    """A mean over seeds beside zero-shot; `key` holds the mean."""
    return [
        Column("runs", "runs", words.count),
        Column(key, title, words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot", words.percent),
        Column("gain", "gain, points", words.points),
    ]


def bare_p(value: Any) -> str:
    """A p value under a heading that says so already."""
    return words.p_value(value).removeprefix("p ").removeprefix("= ")


def mean_and_spread(row: Row) -> str:
    mean, deviation = row["accuracy"], row["deviation"]
    return words.percent(mean) if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f} %"


def usual_shots(rows: Sequence[Row]) -> int | None:
    """The number of shots most labels were run with, the largest of equals: what a plot over something else shows."""
    labels = {
        shots: len({row["label"] for row in rows if row["shots"] == shots}) for shots in {r["shots"] for r in rows}
    }
    return max(labels, key=lambda shots: (labels[shots], words.number(shots) or 0))


def at_shots(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The rows at the usual number of shots, and how a caption says so."""
    shots = usual_shots(rows)
    several = len({row["shots"] for row in rows}) > 1
    return [row for row in rows if row["shots"] == shots], f" at {shots_text(shots)}" if several else ""


def bars(rows: Sequence[Row]) -> str:
    """What the intervals of a figure of means are, and n."""
    repeated = [row["runs"] for row in rows if row["deviation"] is not None]
    images = [row["n"] for row in rows if row["n"]]
    told = []
    if repeated:
        told.append(f"± one sample standard deviation over {words.span(repeated, 'seed')}")
    if len(repeated) < len(rows):
        told.append("of a single run its 95 % interval over test images")
    return f"Bars: {'; '.join(told)}; n = {words.span(images, 'test image') if images else 'not recorded'}."
