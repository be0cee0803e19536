"""Plots of Dice by image: before and after in one run, and by method in several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cliptune.report import plots, plots_compare, theme, words

BINS = 20
MOST_POINTS = 2000
"""images in the scatter; of more, evenly spaced ones are drawn, so that the page stays small"""
WHISKERS = (5, 95)
"""percentiles"""
HATCHED: dict[str, Any] = {"facecolor": "none", "edgecolor": theme.BEFORE, "hatch": "////", "linewidth": 1.2}
HOLLOW = {"color": theme.NEUTRAL, "marker": "o", "markerfacecolor": "none"}


@theme.themed
def dice_by_image(after: np.ndarray, before: np.ndarray | None) -> Figure:
    """How many images reach which Dice, and every image before against after.

    Args:
        after: [n] Dice of every image. before: [n], of the same images zero-shot; None where they are not paired.
    """
    if before is None:
        figure, left = theme.canvas(5.2, 3.4)
    else:
        figure = Figure(figsize=(plots.WIDE, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.45, 1]})
    edges = np.linspace(0, 100, BINS + 1).tolist()
    left.hist(100 * after, edges, color=theme.AFTER, alpha=0.85, label="after")
    if before is not None:
        left.hist(100 * before, edges, label="zero-shot", **HATCHED)
        left.axvline(100 * before.mean(), color=theme.BEFORE, linestyle="--", label="mean, zero-shot")
    left.axvline(100 * after.mean(), color=theme.INK, linestyle="-", linewidth=1.2, label="mean, after")
    left.set(xlim=(0, 100), xlabel="Dice of an image (%)", ylabel="test images")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    if before is not None:
        every = max(1, -(-len(after) // MOST_POINTS))
        right.plot([0, 100], [0, 100], color=theme.NEUTRAL, linestyle=":")
        look = {"color": theme.AFTER, "marker": "o", "markersize": 3.5, "alpha": 0.55, "linestyle": "none"}
        right.plot(100 * before[::every], 100 * after[::every], markeredgewidth=0, **look)
        right.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="zero-shot Dice (%)", ylabel="Dice after (%)")
        right.set_aspect("equal")
    return figure


@theme.themed
def dice_by_label(dice: Mapping[str, np.ndarray], order: Mapping[str, int]) -> Figure:
    """A box a label: median and quartiles over test images, whiskers from the 5th to the 95th percentile, the mean.

    Args:
        dice: label → [n] Dice by image. order: label → its look in the page's figures; others are drawn neutral.
    """
    figure, ax = theme.canvas(plots.WIDE, 1.0 + 0.42 * len(dice))
    for y, (label, values) in enumerate(dice.items()):
        known = label in order
        look = theme.series(order[label]) if known else {"color": theme.NEUTRAL, "marker": "o"}
        low, first, middle, third, high = 100 * np.percentile(values, [WHISKERS[0], 25, 50, 75, WHISKERS[1]])
        ax.plot([low, high], [y, y], color=look["color"], linewidth=1.2)
        ax.barh(y, third - first, 0.5, first, facecolor=look["color"], alpha=0.35, edgecolor=look["color"])
        ax.plot([middle, middle], [y - 0.25, y + 0.25], color=theme.INK, linewidth=1.8)
        ax.plot(100 * values.mean(), y, marker=look["marker"], color=look["color"], markeredgecolor=theme.INK)
    ax.set_yticks(range(len(dice)), words.distinct(list(dice), 44))
    ax.set_ylim(len(dice) - 0.5, -0.5)
    ax.set(xlim=(-1, 101), xlabel="Dice of an image (%)")
    ax.grid(axis="y", visible=False)
    return figure


@theme.themed
def dice_by_size(rows: Sequence[Mapping], order: Mapping[str, int]) -> Figure:
    """Mean Dice by size of what is to be marked: a marker a label, beside each other; zero-shot hollow.

    Args:
        rows: `label` (None for zero-shot), `size` and `dice`.
    """
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    labels = sorted({row["label"] for row in rows if row["label"]}, key=lambda label: order[label])
    figure, ax = theme.canvas(5.2, 3.6 + 0.12 * len(labels))
    for place, label in enumerate([None, *labels]):
        found = [row for row in rows if row["label"] == label and row["dice"] is not None]
        aside = 0.6 * (place / max(len(labels), 1) - 0.5)
        look = theme.series(order[label]) if label else HOLLOW
        x = [sizes.index(row["size"]) + aside for row in found]
        ax.plot(x, [100 * row["dice"] for row in found], **(look | {"linestyle": "none"}), label=label or "zero-shot")
    ax.set_xticks(range(len(sizes)), sizes)
    ax.set(xlim=(-0.5, len(sizes) - 0.5), ylim=(-2, 102), xlabel="size of what is to be marked", ylabel="mean Dice (%)")
    ax.grid(axis="x", visible=False)
    plots_compare.legend_below(figure, ax)
    return figure
