"""Cross-entropy by step, averaged over seeds: one panel a data set and number of shots, one line a label.

Only the part `ce` of the loss is drawn, which every method has; and only the last phase, in which the method itself is
trained (not AST's probe). CLIP-DoRA's figure 2, and numbers for "converges faster".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cliptune.report import plots, theme, words
from cliptune.report.blocks import Block, Drawing, Table, Text
from cliptune.report.captions import shots_cell, where
from cliptune.report.compare import Named, Place, shots_text
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row
from cliptune.report.training import steps
from cliptune.statistics import mean_and_deviation

MOST_PANELS = 9
MOST_POINTS = 120
"""points of a smoothed line: a page of nine panels stays small"""
WINDOWS = 20
"""the smoothing window is this part of all steps, and at least five"""
MARKS = (0.5, 0.25)
"""shares of the lowest loss at a panel's first step: when does a line fall below?"""
LAST = 0.1
"""share of the steps over which the final loss is averaged"""


@dataclass(frozen=True, eq=False)
class Curve:
    """One label's loss at one place and number of shots, over seeds; arrays by step [n]."""

    label: str
    place: Place
    shots: int | None
    steps: np.ndarray
    losses: np.ndarray
    """[runs n]"""

    @property
    def window(self) -> int:
        """Steps that are averaged into one smoothed value; odd, so that it is centred."""
        return max(4, len(self.steps) // WINDOWS) // 2 * 2 + 1

    @property
    def smoothed(self) -> np.ndarray:
        """[runs n]"""
        return np.array([smooth(loss, self.window) for loss in self.losses])


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving mean; at both ends over what the window still holds."""
    place, half = np.arange(len(values)), window // 2
    first, end = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[end] - sums[first]) / (end - first)


def cross_entropy(record: Record) -> dict[int, float]:
    """The part `ce` of the loss by step of the last phase, counted from 1; empty where the run does not tell it."""
    rows = steps(record)
    if not rows:
        return {}
    phase = rows[-1]["phase"]
    before = max((row["step"] for row in rows if row["phase"] != phase), default=0)
    return {
        row["step"] - before: row["parts"]["ce"]
        for row in rows
        if row["phase"] == phase and row["parts"].get("ce") is not None
    }


def curves(runs: Sequence[Named]) -> list[Curve]:
    """One a place, number of shots and label; of seeds that are not equally long, the steps they share."""
    gathered: dict[tuple[Place, int | None, str], list[dict[int, float]]] = defaultdict(list)
    for each in runs:
        if found := cross_entropy(each.record):
            gathered[(each.cell.place, each.cell.shots, each.label)].append(found)
    result = []
    for (place, shots, label), seeds in gathered.items():
        shared = sorted(set.intersection(*(set(losses) for losses in seeds)))
        if shared:
            losses = np.array([[each[step] for step in shared] for each in seeds])
            result.append(Curve(label, place, shots, np.array(shared), losses))
    return sorted(result, key=lambda curve: (curve.place, words.number(curve.shots) or 0))


def loss_curves(runs: Sequence[Named], name: str = "losses") -> list[Block]:
    """The figure and its table; a sentence where no run tells its cross-entropy."""
    found = curves(runs)
    if not found:
        return [Text(f"Cross-entropy by step: {words.NOT_MEASURED}; no metrics.jsonl tells it.", missing=True)]
    panels = panels_of(found)
    seeds, windows = [len(each.losses) for each in found], [each.window for each in found]
    some = f" {MOST_PANELS} of {len(panels)} panels; the table has all." if len(panels) > MOST_PANELS else ""
    several = f"band: ± one sample standard deviation over {words.span(seeds, 'seed')}"
    band = several if max(seeds) > 1 else "no band: one run"
    caption = (
        f"Cross-entropy on the training images by step{'' if max(seeds) == 1 else ', mean over seeds'}. Thick: moving "
        f"mean over {words.span(windows, 'step')}; faint behind it: without that mean; {band}.{some}"
    )
    rows = convergence(found)
    alt = "; ".join(f"{row['label']}, {row['data']}, {shots_text(row['shots'])}: {final(row)}" for row in rows[:12])
    order = {label: index for index, label in enumerate(dict.fromkeys(each.label for each in runs))}
    figure = draw(panels[:MOST_PANELS], order)
    drawing = Drawing(name, figure, caption, f"Loss curves. Final: {alt}.", wide=len(panels) > 1)
    return [drawing, convergence_table(rows)]


def final(row: Row) -> str:
    deviation = row["deviation"]
    return words.decimals(row["final"]) + ("" if deviation is None else f" ± {words.decimals(deviation)}")


def panels_of(found: Sequence[Curve]) -> list[list[Curve]]:
    panels: dict[tuple, list[Curve]] = defaultdict(list)
    for curve in found:
        panels[(curve.place, curve.shots)].append(curve)
    return list(panels.values())


@theme.themed
def draw(panels: Sequence[Sequence[Curve]], order: dict[str, int]) -> Figure:
    """Small multiples with one legend; a label looks alike in all, and as in the page's other figures."""
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    size = (plots.WIDE, 0.8 + 2.5 * rows) if columns > 1 else (5.2, 3.8)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    places = list(dict.fromkeys(panel[0].place for panel in panels))
    for ax, panel in zip(axes, panels):
        for curve in panel:
            _line(ax, curve, order[curve.label])
        ax.set_ylim(bottom=0)
        ax.set_title(_title(panel[0], places))
    for ax in axes[max(0, len(panels) - columns) : len(panels)]:
        ax.set_xlabel("step")
    for ax in axes[len(panels) :]:
        ax.remove()
    figure.supylabel("cross-entropy (nats)", fontsize=9)
    drawn = {curve.label for panel in panels for curve in panel}
    named = {label: index for label, index in order.items() if label in drawn}
    handles = [Line2D([], [], label=label, markersize=4, **theme.series(index)) for label, index in named.items()]
    longest = max(len(label) for label in named)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 1 if longest > 30 else 4))
    return figure


def _title(curve: Curve, places: Sequence[Place]) -> str:
    """What sets this panel apart."""
    data = words.short(curve.place.data, 22)
    model = f" · {words.short(curve.place.model, 14)}" if len({place.model for place in places}) > 1 else ""
    return f"{data}{model} · {shots_text(curve.shots)}"


def _line(ax: Axes, curve: Curve, index: int) -> None:
    look, smoothed = theme.series(index), curve.smoothed
    x, raw = plots.thinned(curve.steps, curve.losses.mean(axis=0), 2 * MOST_POINTS)
    ax.plot(x, raw, color=look["color"], linewidth=0.6, alpha=0.3, zorder=1)
    x, mean = plots.thinned(curve.steps, smoothed.mean(axis=0), MOST_POINTS)
    if len(smoothed) > 1:
        _, deviation = plots.thinned(curve.steps, smoothed.std(axis=0, ddof=1), MOST_POINTS)
        ax.fill_between(x, mean - deviation, mean + deviation, color=look["color"], alpha=0.18, linewidth=0, zorder=2)
    every = (len(x) // 12 * (index % 6) // 6, max(len(x) // 6, 1))
    ax.plot(x, mean, label=curve.label, markevery=every, markersize=4, zorder=3, **look)


def convergence(found: Sequence[Curve]) -> list[Row]:
    """How low each line ends and when it first falls below the panel's marks; None where it never does.

    The marks are shares of the lowest loss at the first step among the panel's lines, the same for all of them, so
    that a line that starts high has no advantage. Most methods start at the backbone, so these losses are equal.
    """
    rows = []
    for panel in panels_of(found):
        first = min(float(curve.losses[:, 0].mean()) for curve in panel)
        for curve in panel:
            mean = curve.smoothed.mean(axis=0)
            last = max(1, round(LAST * len(curve.steps)))
            value, deviation = mean_and_deviation([float(loss[-last:].mean()) for loss in curve.losses])
            rows.append(
                {
                    "label": curve.label,
                    **curve.place._asdict(),
                    "shots": curve.shots,
                    "runs": len(curve.losses),
                    "steps": int(curve.steps[-1]),
                    "window": curve.window,
                    "first": float(curve.losses[:, 0].mean()),
                    "final": value,
                    "deviation": deviation,
                    **{f"mark {share:g}": share * first for share in MARKS},
                    **{f"below {share:g}": first_below(curve.steps, mean, share * first) for share in MARKS},
                }
            )
    return rows


def first_below(at: np.ndarray, values: np.ndarray, mark: float) -> int | None:
    """The first step at which the value is below `mark`; None where it never is."""
    below = np.flatnonzero(values < mark)
    return int(at[below[0]]) if len(below) else None


def convergence_table(rows: Sequence[Row]) -> Table:
    def step(value: int | None) -> str:
        return "never" if value is None else f"{value:,}"

    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("runs", "runs", words.count),
        Column("steps", "steps", words.count),
        Column("final", "mean of the last 10 %, nats", words.decimals),
        Column("deviation", "± s.d.", lambda value: "one run" if value is None else words.decimals(value)),
        Column("mark 0.5", "half of the first, nats", words.decimals),
        Column("below 0.5", "first step below", step),
        Column("mark 0.25", "a quarter of it, nats", words.decimals),
        Column("below 0.25", "first step below it", step),
    )
    return Table("How fast the smoothed loss falls", columns, rows)
