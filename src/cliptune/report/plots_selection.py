"""What AST picked over seeds: a heat map of kinds by blocks, a map a tower, and how far picks agree.

CLIP-AST's figure 5; a cell is the share of seeds in which that tensor was picked. One run: `plots.selection_map`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from cliptune.report import plots, theme, words
from cliptune.report.blocks import Block, Drawing, Table, Text
from cliptune.report.captions import shots_cell, where
from cliptune.report.compare import Named, Place, shots_text
from cliptune.report.tables import Column, Row
from cliptune.report.training import selection
from cliptune.statistics import mean_and_deviation

MOST_MAPS = 12
"""figures; the paper has eleven data sets"""
COLOURS = "Blues"

Group = tuple[str, Place, int | None]
"""label, place, shots: runs that differ in the seed alone"""


def grouped(runs: Sequence[Named]) -> dict[Group, list[Named]]:
    """The runs that tell what they picked."""
    found: dict[Group, list[Named]] = defaultdict(list)
    for each in runs:
        if each.record.section("selection").get("picked"):
            found[(each.label, each.cell.place, each.cell.shots)].append(each)
    return dict(sorted(found.items(), key=lambda pair: (pair[0][0], pair[0][1], words.number(pair[0][2]) or 0)))


def shares(runs: Sequence[Named]) -> list[Row]:
    """A row per tensor: the share of these runs that picked it; inert where all of them say so."""
    told: dict[str, list[Row]] = defaultdict(list)
    for each in runs:
        for row in selection(each.record):
            told[row["name"]].append(row)
    return [
        {key: rows[0][key] for key in ("name", "tower", "block", "part")}
        | {"share": sum(row["picked"] for row in rows) / len(runs), "inert": all(row["inert"] for row in rows)}
        for rows in told.values()
    ]


def selection_maps(runs: Sequence[Named], name: str = "picks") -> list[Block]:
    """A figure per label, data set and number of shots, the mean over data sets first; then the agreement."""
    groups = grouped(runs)
    if not groups:
        return [Text(f"Which tensors were picked: {words.NOT_MEASURED}; no run here selects any.", missing=True)]
    blocks: list[Block] = []
    by_rule = defaultdict(list)
    for (label, place, shots), found in groups.items():
        by_rule[(label, place.model, place.protocol, shots)].append((place.data, found))
    for index, ((label, _, _, shots), sets) in enumerate(by_rule.items()):
        if len(sets) > 1:
            rows = mean_over_sets([shares(found) for _, found in sets])
            said = f"{label}, {shots_text(shots)}: mean over {len(sets)} data sets of the share of seeds"
            blocks.append(_drawing(f"{name}-mean-{index}", rows, said, sum(len(found) for _, found in sets)))
    for index, ((label, place, shots), found) in enumerate(list(groups.items())[:MOST_MAPS]):
        said = f"{label}, {place.data}, {shots_text(shots)}: share of seeds"
        blocks.append(_drawing(f"{name}-{index}", shares(found), said, len(found)))
    if len(groups) > MOST_MAPS:
        blocks.append(Text(f"{MOST_MAPS} of {len(groups)} maps are drawn; the table has all."))
    return [*blocks, agreement_table(agreement(runs))]


def mean_over_sets(sets: Sequence[Sequence[Row]]) -> list[Row]:
    """Every data set counts alike, however many seeds it has."""
    told: dict[str, list[Row]] = defaultdict(list)
    for row in (row for rows in sets for row in rows):
        told[row["name"]].append(row)
    return [
        rows[0] | {"share": sum(row["share"] for row in rows) / len(sets), "inert": all(r["inert"] for r in rows)}
        for rows in told.values()
    ]


def _drawing(name: str, rows: Sequence[Row], said: str, runs: int) -> Drawing:
    placed = [row for row in rows if row["block"] is not None]
    outside = len(rows) - len(placed)
    inert = sum(row["inert"] for row in rows)
    often = sorted((row for row in rows if row["share"]), key=lambda row: -row["share"])[:6]
    return Drawing(
        name,
        draw(placed),
        f"{said} in which a tensor was picked, n = {words.these(runs, 'run')}."
        f"{f' Hatched: inert, never ranked ({inert:,}).' if inert else ''}"
        f"{f' {outside:,} outside the blocks are not shown.' if outside else ''} Shares, so no interval.",
        "Most often picked: " + ", ".join(f"{row['name']} {words.percent(row['share'])}" for row in often) + ".",
    )


@theme.themed
def draw(rows: Sequence[Row]) -> Figure:
    """Kinds by blocks, a panel a tower, vision first."""
    towers = sorted({row["tower"] for row in rows}, key=lambda name: (name != "vision", name))
    parts = plots.in_order(row["part"] for row in rows)
    columns = [1 + max(row["block"] for row in rows if row["tower"] == tower) for tower in towers]
    figure = Figure(figsize=(5.2, 1.5 + 0.17 * len(parts)), layout="constrained")
    panels = figure.subplots(1, len(towers), squeeze=False, sharey=True, gridspec_kw={"width_ratios": columns})[0]
    for ax, tower, blocks in zip(panels, towers, columns):
        _cells(ax, [row for row in rows if row["tower"] == tower], parts, blocks)
        ax.set(xlabel="block", title=tower)
        ax.set_xticks(range(0, blocks, 1 if blocks <= 6 else 2 if blocks <= 14 else 4))
    panels[0].set_yticks(range(len(parts)), parts, fontsize=7.5)
    panels[0].set_ylabel("tensor")
    scale = ScalarMappable(Normalize(0, 100), COLOURS)
    figure.colorbar(scale, ax=list(panels), shrink=0.9, label="picked (% of seeds)")
    if any(row["inert"] for row in rows):
        inert = Patch(facecolor="none", edgecolor=theme.NEUTRAL, hatch="/////", label="inert (not ranked)")
        figure.legend(handles=[inert], loc="outside upper right")
    return figure


def _cells(ax: Axes, rows: Sequence[Row], parts: Sequence[str], blocks: int) -> None:
    place = {part: index for index, part in enumerate(parts)}
    found = np.full((len(parts), blocks), np.nan)
    for row in rows:
        x, y = row["block"], place[row["part"]]
        if row["inert"]:
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=theme.NEUTRAL, hatch="/////", lw=0))
        else:
            found[y, x] = 100 * row["share"]
    ax.imshow(np.ma.masked_invalid(found), vmin=0, vmax=100, cmap=COLOURS, interpolation="none", aspect="auto")
    ax.set_xticks(np.arange(blocks + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(parts) + 1) - 0.5, minor=True)
    ax.grid(which="major", visible=False)
    ax.grid(which="minor", color=theme.NEUTRAL, linewidth=0.4, alpha=0.5)
    ax.tick_params(which="minor", length=0)


def jaccard(first: set[str], second: set[str]) -> float | None:
    """Shared of all that either has; None of two empty sets."""
    return len(first & second) / len(first | second) if first | second else None


def agreement(runs: Sequence[Named]) -> list[Row]:
    """Mean Jaccard index of picks: between seeds, between towers of a run, between data sets; and what chance gives."""
    rows: list[Row] = []
    groups = grouped(runs)
    picks = {group: [_picked(each) for each in found] for group, found in groups.items()}
    for group in groups:
        label, place, shots = group
        head = {"label": label, **place._asdict(), "shots": shots}
        sets, chance = picks[group], _by_chance(groups[group])
        rows.append(_row(head, "seeds", combinations(sets, 2), chance))
        rows.append(_row(head, "vision and text", [_towers(each) for each in groups[group]], chance))
    for (one, there), (other, elsewhere) in combinations(groups.items(), 2):
        (label, place, shots), (_, far, _) = one, other
        alike = (label, place.model, place.protocol, shots) == (other[0], far.model, far.protocol, other[2])
        if alike and place.data != far.data:
            head = {"label": label, **place._asdict(), "data": f"{place.data} and {far.data}", "shots": shots}
            chance = _by_chance([*there, *elsewhere])
            rows.append(_row(head, "data sets", product(picks[one], picks[other]), chance))
    return rows


def _picked(each: Named) -> set[str]:
    return {str(name) for name in each.record.section("selection").get("picked") or ()}


def _towers(run: Named) -> tuple[set[str], set[str]]:
    """What was picked in either tower, among the blocks both have: '3.q.weight' stands for vision's and text's."""
    rows = selection(run.record)
    shared = set.intersection(*({_at(row) for row in rows if row["tower"] == tower} for tower in ("vision", "text")))
    first, second = (
        {_at(row) for row in rows if row["picked"] and row["tower"] == tower} & shared for tower in ("vision", "text")
    )
    return first, second


def _at(row: Row) -> str:
    return f"{row['block']}.{row['part']}"


def _by_chance(runs: Sequence[Named]) -> float | None:
    """About what two random draws of as many of the ranked tensors would share: p / (2 − p), p = picked / ranked."""
    told = []
    for each in runs:
        rows = selection(each.record)
        ranked = sum(row["score"] is not None and not row["inert"] for row in rows)
        if ranked:
            told.append(min(1.0, sum(row["picked"] for row in rows) / ranked))
    share, _ = mean_and_deviation(told)
    return share / (2 - share) if share else None


def _row(head: Row, between: str, pairs: Iterable[tuple[set[str], set[str]]], chance: float | None) -> Row:
    found = [value for first, second in pairs if first and second and (value := jaccard(first, second)) is not None]
    mean, deviation = mean_and_deviation(found)
    return {**head, "between": between, "pairs": len(found), "jaccard": mean, "deviation": deviation, "chance": chance}


def agreement_table(rows: Sequence[Row]) -> Table:
    columns = (
        Column("label", "method"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("between", "between"),
        Column("pairs", "pairs", words.count),
        Column("jaccard", "shared of all picked (Jaccard)", words.percent),
        Column("chance", "by chance, about", words.percent),
    )
    return Table("How far the picks agree", columns, rows)
