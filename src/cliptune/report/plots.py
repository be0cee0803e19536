"""Plots of one run: rows in (see tables.py), Figure out. What the intervals are and n stand in the page's captions."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from cliptune.report import theme, words
from cliptune.report.tables import Row
from cliptune.statistics import wilson

MOST_LABELLED = 40
MOST_COUNTED = 16
MOST_POINTS = 400
FEW = 10
"""images in a bin of confidence under which its point is drawn hollow and pale"""
WIDE = 10.0
"""inches: the width of the page"""
PARTS = ("q", "k", "v", "o", "fc1", "fc2", "ln1", "ln2")


def thinned(steps: ArrayLike, values: ArrayLike, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Means over equal stretches of steps, so that a long run draws as few points as a short one."""
    both = [np.asarray(each, dtype=float) for each in (steps, values)]
    x, y = (np.array([each.mean() for each in np.array_split(all_, min(most, len(all_)))]) for all_ in both)
    return x, y


@theme.themed
def loss_curve(rows: Sequence[Row], validated: Sequence[Row] = (), measured: str = "accuracy") -> Figure:
    """The loss and its parts by step; what was measured on validation images below, where there was any."""
    figure = Figure(figsize=(5.2, 4.6 if validated else 3.4), layout="constrained")
    ratios = {"height_ratios": [2.4, 1] if validated else [1]}
    panels = figure.subplots(len(ratios["height_ratios"]), 1, sharex=True, squeeze=False, gridspec_kw=ratios)[:, 0]
    total = [(row["step"], row["loss"]) for row in rows if row["loss"] is not None]
    lines = {"loss": total} if total else {}
    for name in dict.fromkeys(name for row in rows for name in row["parts"]):
        lines[name] = [(row["step"], row["parts"][name]) for row in rows if row["parts"].get(name) is not None]
    if len(lines) == 2 and all(found == total for found in lines.values()):
        lines.pop("loss")
    for index, (name, found) in enumerate(lines.items()):
        x, y = thinned([step for step, _ in found], [value for _, value in found])
        look = theme.series(index) | {"marker": theme.MARKERS[index % 8] if len(lines) > 1 or len(x) < 3 else None}
        panels[0].plot(x, y, label=name, markevery=max(len(x) // 8, 1), markersize=4, **look)
    panels[0].set_ylabel("loss (nats)" if measured == "accuracy" else "loss")
    panels[0].set_ylim(bottom=min(0.0, panels[0].get_ylim()[0]))
    if len(lines) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(lines), 4))
    _mark_phases(panels[0], rows)
    if validated:
        panels[1].plot(
            [row["step"] for row in validated],
            [100 * row["value"] for row in validated],
            color=theme.AFTER,
            marker="o",
        )
        panels[1].set_ylabel(f"validation\n{measured} (%)")
    panels[-1].set_xlabel("step")
    return figure


def _mark_phases(ax: Axes, rows: Sequence[Row]) -> None:
    """A line where a later phase begins; the first one's name stands in the caption."""
    for phase in list(dict.fromkeys(row["phase"] for row in rows))[1:]:
        start = min(row["step"] for row in rows if row["phase"] == phase)
        ax.axvline(start, color=theme.NEUTRAL, linestyle=":")
        text, top = f"{words.short(phase, 18)} →", ax.get_xaxis_transform()
        ax.text(start, 1.02, text, transform=top, fontsize=8.5)


@theme.themed
def confusion_matrix(rows: Sequence[Row], classes: Sequence[str]) -> Figure:
    """Share of each true class given each answer, for at most 40 classes; counts in the cells while they fit."""
    names = list(dict.fromkeys([*classes, *(row["label"] for row in rows), *(row["answer"] for row in rows)]))
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    for row in rows:
        counts[place[row["label"]], place[row["answer"]]] += row["n"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(0.26 * len(names) + 1.7, 3.6), 9.0)
    figure, ax = theme.canvas(side + 0.7, side)
    shown = np.ma.masked_where(counts == 0, 100 * shares)
    image = ax.imshow(shown, cmap="Blues", vmin=0, vmax=100, interpolation="none", aspect="equal")
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of the true class (%)")
    longest = 18 if len(names) <= 20 else 14
    texts = words.distinct(names, longest)
    letters = 8.0 if len(names) <= 25 else 6.5
    slant = 90.0 if max(len(text) for text in texts) > 3 else 0.0
    ax.set_xticks(range(len(names)), texts, rotation=slant, fontsize=letters)
    ax.set_yticks(range(len(names)), texts, fontsize=letters)
    ax.set_xlabel("answer")
    ax.set_ylabel("true class")
    ax.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    ax.grid(False)
    ax.grid(which="minor", color=theme.NEUTRAL, linewidth=0.4)
    ax.tick_params(which="minor", length=0)
    if len(names) <= MOST_COUNTED:
        for (i, j), n in np.ndenumerate(counts):
            if n:
                colour = "#ffffff" if shares[i, j] > 0.55 else "#000000"
                ax.text(j, i, f"{n}", ha="center", va="center", fontsize=7.5, color=colour)
    return figure


@theme.themed
def confused_pairs(rows: Sequence[Row], most: int = 20) -> Figure:
    """The most frequent mistakes, after and zero-shot, for more classes than a matrix can name."""
    wrong = sorted((row for row in rows if row["label"] != row["answer"]), key=lambda row: -row["n"])
    wrong = [row for row in wrong if row["n"]][:most]
    figure, ax = theme.canvas(WIDE, 0.9 + 0.3 * max(len(wrong), 1))
    y = np.arange(len(wrong))
    ax.barh(y - 0.2, [row["n"] for row in wrong], 0.38, color=theme.AFTER, label="after")
    if any(row["zero_shot"] is not None for row in wrong):
        counts = [row["zero_shot"] or 0 for row in wrong]
        ax.barh(y + 0.2, counts, 0.38, facecolor="none", edgecolor=theme.BEFORE, hatch="////", label="zero-shot")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    ax.set_yticks(y, [f"{words.short(row['label'], 26)} → {words.short(row['answer'], 26)}" for row in wrong])
    ax.set_ylim(max(len(wrong), 1) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("test images (true class → answer)")
    ax.grid(axis="y", visible=False)
    return figure


@theme.themed
def reliability_diagram(rows: Sequence[Row]) -> Figure:
    """Accuracy against confidence, a point per bin, with Wilson's 95 % interval; hollow where under 10 images."""
    figure, ax = theme.canvas(4.6, 4.2)
    ax.plot([0, 100], [0, 100], color=theme.NEUTRAL, linestyle=":", label="confidence = accuracy")
    looks = {"zero-shot": (theme.BEFORE, "o", "--"), "after": (theme.AFTER, "s", "-")}
    for when, (colour, marker, dash) in looks.items():
        found = [row for row in rows if row["when"] == when]
        if not found:
            continue
        sound = [row for row in found if row["n"] >= FEW]
        line = [[100 * row[key] for row in sound] for key in ("confidence", "accuracy")]
        ax.plot(*line, color=colour, linestyle=dash, linewidth=1.1, alpha=0.7)
        for row in found:
            few = row["n"] < FEW
            face, alpha = ("#ffffff", 0.35) if few else (colour, 1.0)
            x, low, high = 100 * row["confidence"], 100 * row["interval"][0], 100 * row["interval"][1]
            ax.plot([x, x], [low, high], color=colour, linewidth=0.9, alpha=alpha)
            ax.plot(x, 100 * row["accuracy"], marker, color=colour, markerfacecolor=face, alpha=alpha)
        ax.plot([], [], color=colour, marker=marker, linestyle=dash, label=f"{when}, ECE {100 * found[0]['ece']:.1f} %")
    ax.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="confidence in the answer (%)", ylabel="accuracy (%)")
    ax.set_aspect("equal")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, columnspacing=1.2)
    return figure


@theme.themed
def class_change(rows: Sequence[Row], most: int = MOST_LABELLED, chance: float | None = None) -> Figure:
    """Every class before and after, the best change on top; with too many classes, both ends of that list."""
    known = sorted((row for row in rows if row["accuracy"] is not None), key=lambda row: -(row["change"] or 0.0))
    shown = known if len(known) <= most else known[: most // 2] + known[-(most // 2) :]
    figure, ax = theme.canvas(WIDE, 1.2 + 0.22 * max(len(shown), 2))
    for y, row in enumerate(shown):
        before, after = row["zero_shot"], row["accuracy"]
        _dumbbell(ax, y, before, after, _bounds(before, row["n"]), _bounds(after, row["n"]))
    if len(known) > most:
        ax.axhline(most // 2 - 0.5, color=theme.NEUTRAL, linestyle=":")
    handles = _before_after()
    if chance is not None:
        line = ax.axvline(100 * chance, color=theme.NEUTRAL, linestyle=theme.CHANCE_DASH, linewidth=1.0, zorder=1)
        line.set_label("chance")
        handles.append(line)
    ax.set_yticks(range(len(shown)), words.distinct([row["class"] for row in shown], 36))
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlabel("accuracy (%)")
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def _bounds(accuracy: float | None, n: int | None) -> tuple[float, float] | None:
    return wilson(accuracy, n) if accuracy is not None and n else None


def _dumbbell(ax: Axes, y: float, before: float | None, after: float | None, *bounds: tuple | None) -> None:
    if before is not None and after is not None:
        ax.plot([100 * before, 100 * after], [y, y], color=theme.NEUTRAL, linewidth=2.4, alpha=0.55, zorder=1)
    looks = ((before, bounds[0], theme.BEFORE, "o", -0.14), (after, bounds[1], theme.AFTER, "s", 0.14))
    for value, interval, colour, marker, shift in looks:
        if value is None:
            continue
        if interval:
            ax.plot([100 * end for end in interval], [y + shift] * 2, color=colour, linewidth=0.9)
        face = "#ffffff" if marker == "o" else colour
        ax.plot(100 * value, y, marker=marker, color=colour, markerfacecolor=face, linestyle="none", zorder=3)


def _before_after() -> list[Line2D]:
    return [
        Line2D([], [], color=theme.BEFORE, marker="o", markerfacecolor="#ffffff", linewidth=0.9, label="zero-shot"),
        Line2D([], [], color=theme.AFTER, marker="s", linewidth=0.9, label="after"),
    ]


@theme.themed
def retention_plot(rows: Sequence[Row], gained: Row) -> Figure:
    """What was adapted for, on top, and what was not, below: before and after on one scale."""
    figure, ax = theme.canvas(WIDE, 1.25 + 0.42 * (len(rows) + 1))
    target = {
        "name": f"{gained['test'] or 'test'} (adapted for)",
        "before": gained["zero_shot"],
        "after": gained["accuracy"],
        "interval_before": gained["zero_shot_interval"],
        "interval_after": gained["interval"],
        "chance": gained.get("chance"),
    }
    for y, row in enumerate([target, *rows]):
        if row.get("chance") is not None:
            ax.plot([100 * row["chance"]] * 2, [y - 0.3, y + 0.3], color=theme.NEUTRAL, linewidth=2.0, zorder=1)
        _dumbbell(ax, y, row["before"], row["after"], row["interval_before"], row["interval_after"])
    ax.axhline(0.5, color=theme.NEUTRAL, linestyle=":")
    ax.set_yticks(range(len(rows) + 1), [words.short(row["name"], 32) for row in (target, *rows)])
    ax.set_ylim(len(rows) + 0.5, -0.5)
    ax.set_xlabel("accuracy (%)")
    ax.legend(handles=_before_after(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


@theme.themed
def selection_map(rows: Sequence[Row]) -> Figure:
    """AST's score of every tensor: part by block, a panel a tower; picked cells dotted, inert ones hatched."""
    placed = [row for row in rows if row["block"] is not None]
    towers = sorted({row["tower"] for row in placed}, key=lambda name: (name != "vision", name))
    ranked = [row["score"] for row in placed if row["score"] and row["score"] > 0 and not row["inert"]]
    low, high = (min(ranked), max(ranked)) if ranked else (0.1, 1.0)
    high = high if high > low else low * 10
    norm = LogNorm(low, high)
    parts = {tower: in_order(row["part"] for row in placed if row["tower"] == tower) for tower in towers}
    columns = {tower: 1 + max(row["block"] for row in placed if row["tower"] == tower) for tower in towers}
    height = 1.5 + 0.23 * max(len(found) for found in parts.values())
    figure = Figure(figsize=(2.4 + 0.27 * sum(columns.values()) + 0.9 * len(towers), height), layout="constrained")
    widths = [columns[tower] for tower in towers]
    panels = figure.subplots(1, len(towers), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
    for ax, tower in zip(panels, towers):
        place = {part: index for index, part in enumerate(parts[tower])}
        _score_cells(ax, [row for row in placed if row["tower"] == tower], place, columns[tower], norm)
        ax.set(xlim=(-0.5, columns[tower] - 0.5), ylim=(len(place) - 0.5, -0.5), xlabel="block", title=tower)
        ax.set_xticks(range(0, columns[tower], 1 if columns[tower] <= 12 else 2))
        ax.set_yticks(range(len(place)), list(place))
        ax.grid(which="major", visible=False)
    panels[0].set_ylabel("tensor")
    bar = figure.colorbar(
        ScalarMappable(norm, "cividis"), ax=list(panels), shrink=0.9, label="score (log scale, no unit)"
    )
    ticks = _log_ticks(low, high)
    bar.set_ticks(ticks, labels=[words.abbreviated(tick) for tick in ticks])
    bar.minorticks_off()
    dot = Line2D([], [], marker="o", color="#000000", markerfacecolor="#ffffff", linestyle="none", label="picked")
    inert = Patch(facecolor="none", edgecolor=theme.NEUTRAL, hatch="////", label="inert (not ranked)")
    figure.legend(handles=[dot, inert], loc="outside upper center", ncols=2)
    return figure


def in_order(found: Iterable[str]) -> list[str]:
    """Kinds of tensors as a block holds them: q, k, v, o, the MLP, the norms; weights before biases."""

    def rank(part: str) -> tuple:
        name, _, kind = part.partition(".")
        return (PARTS.index(name) if name in PARTS else len(PARTS), name, kind != "weight", kind)

    return sorted(set(found), key=rank)


def _log_ticks(low: float, high: float) -> list[float]:
    decades = [10.0**power for power in range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)]
    return decades if len(decades) >= 2 else [float(f"{value:.2g}") for value in np.geomspace(low, high, 3)]


def _score_cells(ax: Axes, rows: Sequence[Row], place: dict[str, int], columns: int, norm: LogNorm) -> None:
    scores = np.full((len(place), columns), np.nan)
    for row in rows:
        x, y = row["block"], place[row["part"]]
        if row["inert"]:
            ax.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=theme.NEUTRAL, hatch="////", linewidth=0)
            )
        elif row["score"] and row["score"] > 0:
            scores[y, x] = row["score"]
    ax.imshow(np.ma.masked_invalid(scores), norm=norm, cmap="cividis", interpolation="none", aspect="auto")
    ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(place) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#ffffff", linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    picked = [(row["block"], place[row["part"]]) for row in rows if row["picked"]]
    ax.plot(
        [x for x, _ in picked],
        [y for _, y in picked],
        marker="o",
        color="#000000",
        markerfacecolor="#ffffff",
        markersize=5,
        linestyle="none",
    )
