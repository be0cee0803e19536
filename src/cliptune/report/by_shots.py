"""Methods down, shots across: the table a paper prints, one for all numbers of shots."""

from collections.abc import Sequence

from cliptune.report import words
from cliptune.report.blocks import Table
from cliptune.report.captions import mean_and_spread, shots_cell, where
from cliptune.report.several_leading import as_drawn, measured_as
from cliptune.report.tables import Column, Row
from cliptune.report.ties import AHEAD
from cliptune.report.writing import Best

NOT_RUN = "–"


def by_shots(rows: Sequence[Row]) -> Table | None:
    """Mean ± s.d. of every method, a column a number of shots; None where no method has two.

    Args:
        rows: of `several_leading.with_leading`, with `standing`.
    """
    shots = list(dict.fromkeys(row["shots"] for row in sorted(rows, key=lambda row: words.number(row["shots"]) or 1e9)))
    lines: dict[tuple, Row] = {}
    for row in as_drawn(rows):
        key = (row["data"], row["model"], row["protocol"], row["label"])
        line = lines.setdefault(key, {name: row[name] for name in ("label", "data", "model", "protocol")})
        if row["accuracy"] is not None:
            text = mean_and_spread(row).removesuffix(" %")
            line[f"shots {row['shots']}"] = Best(text) if row.get("standing") == AHEAD else text
    if all(sum(key.startswith("shots ") for key in line) < 2 for line in lines.values()):
        return None
    columns = (
        Column("label", "method"),
        *where(rows),
        *(Column(f"shots {count}", _heading(count), lambda text: text or NOT_RUN) for count in shots),
    )
    return Table(f"{measured_as(rows).capitalize()} by shots, per cent", columns, list(lines.values()))


def _heading(shots: int | None) -> str:
    return "all images" if shots is None else words.these(int(shots_cell(shots)), "shot")
