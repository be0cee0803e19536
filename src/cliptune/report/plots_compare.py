"""Plots of several runs: rows in (see compare.py), Figure out."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cliptune.report import plots, theme, words
from cliptune.report.compare import shots_text
from cliptune.report.tables import Row
from cliptune.statistics import mean_and_deviation


def order_of(rows: Sequence[Row]) -> dict[str, int]:
    """Label → index, so that a method looks alike in every figure."""
    return {label: index for index, label in enumerate(dict.fromkeys(row["label"] for row in rows))}


def half_width(row: Row) -> tuple[float, float]:
    """Below and above the mean, in points: one sample standard deviation, or a single run's own 95 % interval."""
    if row["deviation"] is not None:
        return 100 * row["deviation"], 100 * row["deviation"]
    if row["interval"]:
        low, high = row["interval"]
        return max(100 * (row["accuracy"] - low), 0), max(100 * (high - row["accuracy"]), 0)
    return 0.0, 0.0


def _point(ax: Axes, x: float, row: Row, look: dict, label: str | None = None) -> None:
    below, above = half_width(row)
    look = look | {"linestyle": "none"}
    ax.errorbar([x], [100 * row["accuracy"]], [[below], [above]], elinewidth=1.0, label=label, **look)


def _reference_lines(draw: Callable, rows: Sequence[Row]) -> None:
    """Zero-shot and, where it is known, what guessing reaches, across the whole plot.

    Args:
        draw: `axhline` or `axvline` of an axes.
    """
    mean, _ = mean_and_deviation([row["zero_shot"] for row in rows if row["zero_shot"] is not None])
    if mean is not None:
        draw(100 * mean, color=theme.NEUTRAL, linestyle=":", linewidth=1.6, label="zero-shot", zorder=1)
    chance = {row.get("chance") for row in rows}
    if len(chance) == 1 and (value := chance.pop()) is not None:
        draw(100 * value, color=theme.NEUTRAL, linestyle=theme.CHANCE_DASH, linewidth=1.0, label="chance", zorder=1)


def legend_below(figure: Figure, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    longest = max((len(name) for name in names), default=0)
    columns = 1 if longest > 30 else 2 if longest > 14 else 4
    lines = -(-len(names) // columns) or 1
    figure.legend(handles, names, loc="outside lower center", ncols=-(-len(names) // lines) or 1)


@theme.themed
def accuracy_by_shots(
    rows: Sequence[Row], order: dict[str, int], published: Sequence[Row] = (), measured: str = "accuracy"
) -> Figure:
    """A line per label over shots (log₂ axis), points moved a little aside so that bars do not cover each other.

    Args:
        published: rows of `papers.beside_papers`; those that are comparable are hollow markers.
    """
    rows = [row for row in rows if words.number(row["shots"]) and row["accuracy"] is not None]
    labels = [label for label in order if any(row["label"] == label for row in rows)]
    figure, ax = theme.canvas(5.2, 3.9 + 0.12 * len(labels))
    _reference_lines(ax.axhline, rows)
    for place, label in enumerate(labels):
        found = sorted((row for row in rows if row["label"] == label), key=lambda row: row["shots"])
        aside = 2 ** (0.06 * (place - (len(labels) - 1) / 2))
        look = theme.series(order[label])
        x = [row["shots"] * aside for row in found]
        ax.plot(x, [100 * row["accuracy"] for row in found], **(look | {"marker": None}))
        for index, (x_i, row) in enumerate(zip(x, found)):
            _point(ax, x_i, row, look, label if index == 0 else None)
        _hollow(ax, [row for row in published if row["label"] == label], aside, look)
    shots = sorted({row["shots"] for row in rows})
    ax.set_xscale("log", base=2)
    ax.set_xticks(shots, [str(each) for each in shots])
    ax.minorticks_off()
    ax.set_xlim(shots[0] / 1.35, shots[-1] * 1.35)
    ax.set_xlabel("labelled images per class (shots)")
    ax.set_ylabel(f"test {measured} (%)")
    legend_below(figure, ax)
    return figure


def _hollow(ax: Axes, published: Sequence[Row], aside: float, look: dict) -> None:
    """The paper's values, only where they are comparable."""
    found = [row for row in published if row["comparable"] and words.number(row["shots"])]
    if found:
        hollow = look | {"linestyle": "none", "markerfacecolor": "#ffffff", "markersize": 7, "zorder": 4}
        x, y = [row["shots"] * aside for row in found], [100 * row["paper"] for row in found]
        ax.plot(x, y, label=f"{found[0]['method']}, the paper's", **hollow)


@theme.themed
def accuracy_by_label(rows: Sequence[Row], order: dict[str, int], measured: str = "accuracy") -> Figure:
    """A row per label and number of shots: what remains of the shots curve where there is one number of shots."""
    rows = [row for row in rows if row["accuracy"] is not None]
    figure, ax = theme.canvas(5.2, 1.3 + 0.36 * len(rows))
    _reference_lines(ax.axvline, rows)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    for y, row in enumerate(rows):
        below, above = half_width(row)
        look = theme.series(order[row["label"]]) | {"linestyle": "none"}
        ax.errorbar([100 * row["accuracy"]], [y], xerr=[[below], [above]], elinewidth=1.0, **look)
    several = len({row["shots"] for row in rows}) > 1
    names = [f"{row['label']}, {shots_text(row['shots'])}" if several else row["label"] for row in rows]
    ax.set_yticks(range(len(rows)), [words.short(name, 40) for name in names])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(f"test {measured} (%)")
    return figure


@theme.themed
def accuracy_by_parameters(rows: Sequence[Row], order: dict[str, int], measured: str = "accuracy") -> Figure:
    """Accuracy against trainable parameters (log axis); a label without any stands at the left, marked 'none'."""
    rows = [row for row in rows if row["trainable_parameters"] is not None and row["accuracy"] is not None]
    sizes = [row["trainable_parameters"] for row in rows if row["trainable_parameters"] > 0]
    low, high = (min(sizes), max(sizes)) if sizes else (1.0, 10.0)
    none_at = low / 4
    figure, ax = theme.canvas(5.2, 3.9 + 0.12 * len(order))
    _reference_lines(ax.axhline, rows)
    for row in rows:
        _point(ax, row["trainable_parameters"] or none_at, row, theme.series(order[row["label"]]), row["label"])
    ax.set_xscale("log")
    ticks = _round_numbers(low / 1.6, high * 1.6)
    names = [words.abbreviated(tick) for tick in ticks]
    if any(not row["trainable_parameters"] for row in rows):
        ticks, names = [none_at, *ticks], ["none", *names]
    ax.set_xticks(ticks, names)
    ax.minorticks_off()
    ax.set_xlim(min(ticks[0], low) / 1.6, high * 1.6)
    ax.set_xlabel("trainable parameters (count)")
    ax.set_ylabel(f"test {measured} (%)")
    legend_below(figure, ax)
    return figure


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between `low` and `high`; the powers alone where that would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    found = [value for value in found if low <= value <= high]
    decades = [10.0**power for power in powers if low <= 10.0**power <= high]
    return decades if len(found) > 6 and len(decades) > 1 else found


@theme.themed
def forest(means: Sequence[Row], cells: Sequence[Row], measured: str = "accuracy") -> Figure:
    """A diamond per pair of labels (mean over cells) above its cells' squares; right of zero, the first is better."""
    lines: list[tuple[str, Row, bool]] = []
    for mean in means:
        lines.append((f"{mean['first']} − {mean['second']}", mean, True))
        for cell in cells:
            if (cell["first"], cell["second"]) == (mean["first"], mean["second"]):
                lines.append((f"{shots_text(cell['shots'])}, seed {words.plain(cell['seed'])}", cell, False))
    figure, ax = theme.canvas(plots.WIDE, 1.0 + 0.23 * max(len(lines), 2))
    ax.axvline(0, color=theme.INK, linewidth=0.9)
    for y, (_, row, whole) in enumerate(lines):
        low, high = (100 * end for end in row["interval"])
        colour = theme.AFTER if whole else theme.NEUTRAL
        ax.plot([low, high], [y, y], color=colour, linewidth=2.0 if whole else 1.0)
        ax.plot(100 * row["difference"], y, marker="D" if whole else "s", color=colour, markersize=6.5 if whole else 4)
    ax.set_yticks(range(len(lines)), [words.short(name, 54) for name, _, _ in lines])
    for tick, (_, _, whole) in zip(ax.get_yticklabels(), lines):
        tick.set_fontweight("bold" if whole else "normal")
    ax.set_ylim(len(lines) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"difference in {measured} (points); right of 0, the first named is better")
    return figure


@theme.themed
def gain_and_retention(rows: Sequence[Row], name: str, order: dict[str, int]) -> Figure:
    """Gain on what was adapted for against the change on `name`, which was not; bars are deviations over seeds."""
    figure, ax = theme.canvas(5.2, 3.9 + 0.12 * len(order))
    ax.axhline(0, color=theme.INK, linewidth=0.9)
    ax.axvline(0, color=theme.INK, linewidth=0.9)
    for row in rows:
        change, deviation = row["retention"][name]
        x_bar = 100 * (row["gain_deviation"] or 0.0)
        look = theme.series(order[row["label"]]) | {"linestyle": "none"}
        ax.errorbar(
            100 * row["gain"], 100 * change, 100 * (deviation or 0.0), x_bar, elinewidth=1.0, label=row["label"], **look
        )
    ax.set_xlabel("gain over zero-shot (points)")
    ax.set_ylabel(f"change on {words.short(name, 24)} (points)")
    legend_below(figure, ax)
    return figure
