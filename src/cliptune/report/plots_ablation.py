"""Accuracy, or what leads its place, against a setting's value, a line a data set or label: CLIP-AST's figure 4."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cliptune.errors import UserError
from cliptune.registry import nearest
from cliptune.report import plots_compare, theme, words
from cliptune.report.blocks import Drawing, Table
from cliptune.report.captions import bars, mean_and_spread, shots_cell, spread, where
from cliptune.report.compare import Named, Place, flatten, labels, shots_text
from cliptune.report.read import Record
from cliptune.report.several_leading import as_drawn, measured_as, with_leading
from cliptune.report.tables import Column, Row
from cliptune.statistics import mean_and_deviation

LOG_SPAN = 20
"""values that span more than this times their lowest stand on a logarithmic axis"""


def settings_of(record: Record) -> dict[str, Any]:
    """Every setting by its dotted key, as `--set` takes it; the method's own also as `settings.…` and `method.…`."""
    own = dict(flatten(record.section("settings")))
    return dict(flatten(record.section("recipe"))) | own | {f"settings.{key}": value for key, value in own.items()}


def setting_rows(runs: Sequence[Named], key: str) -> list[Row]:
    """Mean and deviation over seeds of every line and value; lines in the order met, values ascending.

    Raises:
        UserError: no run has that setting.
    """
    told = [(each, settings_of(each.record)) for each in runs]
    known = [(each, found[key]) for each, found in told if key in found]
    if not known:
        every = list(dict.fromkeys(name for _, found in told for name in found))
        close = nearest(key, every) or every[:8]
        raise UserError(f"no run has the setting '{key}'", f"settings there: {', '.join(close) or 'none'}")
    chosen = [each for each, _ in known]
    gathered: dict[tuple, list[tuple[Named, Any]]] = defaultdict(list)
    for (each, value), line in zip(known, lines(chosen, key)):
        gathered[(line, each.cell.place, each.cell.shots, words.plain(value))].append((each, value))
    rows = [_row(line, place, shots, found) for (line, place, shots, _), found in gathered.items()]
    order = {line: index for index, line in enumerate(dict.fromkeys(row["line"] for row in rows))}
    if numeric(rows):
        rows.sort(key=lambda row: (order[row["line"]], row["value"]))
    return rows


def lines(runs: Sequence[Named], key: str) -> list[str]:
    """What to call each run's line: its label, without the setting's value where labels carry it; data set; shots."""
    values = defaultdict(set)
    for each in runs:
        values[each.label].add(words.plain(settings_of(each.record)[key]))
    names = [each.label for each in runs]
    if len(values) > 1 and all(len(found) == 1 for found in values.values()):
        bare = key.removeprefix("settings.").removeprefix("method.")
        names = labels([each.record for each in runs], [each.cell for each in runs], without=bare)
    parts = (
        names,
        [each.cell.place.data for each in runs],
        [each.cell.place.model for each in runs],
        [each.cell.place.protocol for each in runs],
        ["" if key == "protocol.shots" else shots_text(each.cell.shots) for each in runs],
    )
    differing = [part for part in parts if len(set(part)) > 1] or [parts[1]]
    return [", ".join(told) for told in zip(*differing)]


def _row(line: str, place: Place, shots: int | None, found: Sequence[tuple[Named, Any]]) -> Row:
    """What leads its runs under 'accuracy', and the accuracy itself under 'plain'."""
    after = [measured.accuracy for each, _ in found if (measured := each.record.after())]
    first = found[0][0].record.after()
    row = {
        "line": line,
        "label": line,
        **place._asdict(),
        "shots": shots,
        "value": found[0][1],
        "runs": len(after),
        "plain": mean_and_deviation(after)[0],
        "n": first.n if first else None,
    }
    [drawn] = as_drawn(with_leading([row], [Named(line, each.cell, each.record) for each, _ in found]))
    return drawn


def numeric(rows: Sequence[Row]) -> bool:
    """Whether all values are numbers; words and 'auto' among them are categories."""
    return all(words.number(row["value"]) is not None for row in rows)


def setting_curve(runs: Sequence[Named], key: str, name: str = "", title: str = "") -> Drawing:
    """Accuracy, or what leads (mean ± s.d. over seeds), against the values of `key`.

    Args:
        key: dotted, as in the recipe ('train.lr', 'method.k'); the method's own also bare ('k').
        name: of the figure, for its file; left out, made of the key. title: what the axis says; left out, the key.

    Raises:
        UserError: no run has that setting, or none of those that do was measured.
    """
    rows = [row for row in setting_rows(runs, key) if row["accuracy"] is not None]
    if not rows:
        raise UserError(f"no run with the setting '{key}' has an accuracy", "let the runs finish first")
    zero_shot = " Dotted: zero-shot on the same images." if any(row["zero_shot"] is not None for row in rows) else ""
    axis = " The axis is logarithmic." if numeric(rows) and logarithmic(rows) else ""
    return Drawing(
        name or f"setting-{key.replace('.', '-').replace('_', '-')}",
        draw(rows, title or key),
        f"{headed(rows)} by {title or key}. {bars(rows)}{zero_shot}{axis}",
        "; ".join(f"{row['line']} at {words.plain(row['value'])}: {mean_and_spread(row)}" for row in rows),
    )


def headed(rows: Sequence[Row]) -> str:
    """What the rows show, as a heading begins."""
    measured = measured_as(rows)
    return measured[0].upper() + measured[1:]


def logarithmic(rows: Sequence[Row]) -> bool:
    values = [row["value"] for row in rows]
    return min(values) > 0 and max(values) > LOG_SPAN * min(values)


@theme.themed
def draw(rows: Sequence[Row], title: str) -> Figure:
    """A line per name and the zero-shot accuracy of its images; words stand side by side without a line."""
    names = list(dict.fromkeys(row["line"] for row in rows))
    figure, ax = theme.canvas(5.2, 3.6 + 0.12 * len(names))
    _zero_shot(ax, rows, names)
    ordered = numeric(rows)
    if ordered and logarithmic(rows):
        ax.set_xscale("log")
    at = _places(rows, ordered)
    ticks = dict(sorted({at[words.plain(row["value"])]: words.plain(row["value"]) for row in rows}.items()))
    for index, line in enumerate(names):
        found = sorted((row for row in rows if row["line"] == line), key=lambda row: at[words.plain(row["value"])])
        aside = 0.0 if ordered else 0.08 * (index - (len(names) - 1) / 2)
        x = [at[words.plain(row["value"])] + aside for row in found]
        look = theme.series(index) | ({} if ordered else {"linestyle": "none"})
        below, above = zip(*(plots_compare.half_width(row) for row in found))
        shown = [100 * row["accuracy"] for row in found]
        ax.errorbar(x, shown, [list(below), list(above)], elinewidth=1.0, label=line, **look)
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.minorticks_off()
    if not ordered:
        ax.set_xlim(-0.5, len(ticks) - 0.5)
    ax.set_xlabel(title)
    ax.set_ylabel(f"test {measured_as(rows)} (%)")
    plots_compare.legend_below(figure, ax)
    return figure


def _places(rows: Sequence[Row], ordered: bool) -> dict[str, float]:
    """Where a value stands on the axis: its number, or its turn."""
    if ordered:
        return {words.plain(row["value"]): float(row["value"]) for row in rows}
    return {text: float(i) for i, text in enumerate(dict.fromkeys(words.plain(row["value"]) for row in rows))}


def _zero_shot(ax: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    """One dotted line a set of test images, in a line's colour where there are several; what guessing reaches."""
    by_place: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        if row["zero_shot"] is not None:
            by_place[(row["data"], row["model"], row["protocol"])].append(row)
    for index, found in enumerate(by_place.values()):
        mean, _ = mean_and_deviation([row["zero_shot"] for row in found])
        several = len(by_place) > 1
        colour = theme.series(names.index(found[0]["line"]))["color"] if several else theme.NEUTRAL
        label = f"zero-shot, {found[0]['data']}" if several else "zero-shot"
        dots = (0, (1, 1 + 2 * (index % 4)))
        ax.axhline(100 * (mean or 0.0), color=colour, linestyle=dots, linewidth=1.4, label=label, zorder=1)
    chance = {row["chance"] for row in rows}
    if len(chance) == 1 and (value := chance.pop()) is not None:
        ax.axhline(100 * value, color=theme.NEUTRAL, linestyle=theme.CHANCE_DASH, linewidth=1.0, label="chance")


def setting_table(runs: Sequence[Named], key: str) -> Table:
    """The numbers of `setting_curve`."""
    rows = setting_rows(runs, key)
    plain = {row["lead"] for row in rows} == {"accuracy"}
    columns = (
        Column("line", "runs of"),
        *where(rows),
        Column("shots", "shots", shots_cell),
        Column("value", key),
        Column("runs", "runs", words.count),
        Column("accuracy", "mean" if plain else measured_as(rows), words.percent),
        Column("deviation", "± s.d., points", spread),
        Column("zero_shot", "zero-shot", words.percent),
        *([] if plain else [Column("plain", "accuracy", words.percent)]),
    )
    return Table(f"{headed(rows)} by {key}", columns, rows)
