"""What the scripts that write docs/results-*.md share: a study run to its end, and differences judged as reports do."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cliptune.report import words
from cliptune.report.compare import Named, name_all
from cliptune.report.pairs import corrected, means, seen_from
from cliptune.report.ties import is_ahead, is_better, on_these
from cliptune.statistics import ENOUGH_DRAWS, Drawn, judged, mean_difference
from cliptune.studies.outcome import finished
from cliptune.studies.pool import Pool
from cliptune.studies.reading import load

DOCS = Path(__file__).parents[1] / "docs"
RULE = (
    "Differences are paired, on the same training and test images; 95 % intervals and p values are over draws of "
    "training images and test images together, p corrected by Holm for the pairs of the table "
    "([decision 0016](decisions/0016-ahead-over-draws.md)). They say nothing of other data sets."
)


def conducted(name: str, out: Path, small: bool = False, **settings: Any) -> list[Named]:
    """The runs of a study under their labels; those that are missing are trained first, by the command.

    Args:
        settings: dotted settings with '__' for the dot, as `--set` takes them; a list is an axis.
    """
    chosen = {key.replace("__", "."): value for key, value in settings.items() if value is not None}
    typed = [f"--set={key}={value}" for key, value in chosen.items()]
    command = [sys.executable, "-m", "cliptune", "study", name, "--out", str(out), *["--small"] * small, *typed]
    subprocess.run(command, check=True)
    done = finished(load(name, small, chosen), Pool(out))
    return name_all([record for _, record in done], [job.label for job, _ in done])[0]


def compared(runs: Sequence[Named], chosen: Sequence[tuple[str, str]]) -> list[dict]:
    """The mean differences of these pairs of labels, first minus second, corrected for just them."""
    named = {label for pair in chosen for label in pair}
    rows = {frozenset((row["first"], row["second"])): row for row in means([run for run in runs if run.label in named])}
    found = [seen_from(rows[frozenset(pair)], pair[0]) for pair in chosen if frozenset(pair) in rows]
    return corrected(found)


def told(row: Mapping[str, Any]) -> str:
    """What a difference allows to say, in the words of the reports."""
    turned = seen_from(dict(row), row["second"])
    if is_ahead(dict(row)) or is_ahead(turned):
        return "ahead" if row["difference"] > 0 else "behind"
    if is_better(dict(row)) or is_better(turned):
        return f"{'higher' if row['difference'] > 0 else 'lower'} {on_these(row['draws'])}"
    return "not told apart" if row["draws"] >= ENOUGH_DRAWS else f"not told apart {on_these(row['draws'])}"


def differences(rows: Sequence[Mapping[str, Any]], more: Mapping[str, Sequence[str]] | None = None) -> str:
    """A Markdown table of mean differences.

    Args:
        more: further columns, a text a row.
    """
    more = more or {}
    head = ["first − second", "mean difference, points", "95 % interval", "p, corrected", "cells won, drawn, lost"]
    lines = [[*head, *more, "the first is"], ["---", *["---:"] * (len(head) - 1 + len(more)), "---"]]
    for index, row in enumerate(rows):
        lines.append(
            [
                f"{row['first']} − {row['second']}",
                words.points(row["difference"]),
                words.difference_interval(row["interval"]),
                words.p_value(row["holm"]).removeprefix("p ").removeprefix("= "),
                f"{row['wins']}, {row['ties']}, {row['losses']}",
                *(column[index] for column in more.values()),
                told(row),
            ]
        )
    return table(lines)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown; the second line is the rule below the head."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def gain(cells: Sequence[Drawn]) -> str:
    """A mean gain with its interval over draws and test images, in points."""
    found = mean_difference(cells)
    return f"{words.points(found.mean)} ({words.difference_interval(judged([found])[0].interval)})"


def mean_spread(mean: float | None, deviation: float | None) -> str:
    """'91.2 ± 0.4', per cent."""
    if mean is None:
        return words.NOT_MEASURED
    return f"{100 * mean:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
