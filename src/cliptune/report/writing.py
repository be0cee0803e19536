"""Rows → CSV, Markdown and LaTeX."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cliptune.report import words
from cliptune.report.tables import Column


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line a row; the columns are all keys in the order met; numbers as `plain_number` writes them."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain_number(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def plain_number(value: Any) -> Any:
    """A cell of a CSV: whole numbers without a point, other ones to seven digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"
    return value


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"−": "$-$", "±": r"$\pm$", "–": "--", "…": r"\dots{}", "→": r"$\to$", "×": r"$\times$", "·": r"$\cdot$"},
    **{"<": "$<$", ">": "$>$", "|": r"\textbar{}", "[": "{[}", "*": "{*}"},
}
"""what TeX would read as a command (also just after a line's end) or lacks in its first font → what it prints"""


class Best(str):
    """A cell that is ahead of all others of its column by the rule of `ties`: LaTeX sets it in bold."""


def to_latex(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column] = (), caption: str = "") -> str:
    """A tabular that needs booktabs alone; columns of numbers flush right.

    Args:
        caption: what stands above it; the tabular is then inside a table that floats.
    """
    columns = columns or _all_columns(rows)
    cells = [[each.show(row.get(each.key)) for each in columns] for row in rows]
    numbers = [i > 0 and all(words.reads_as_number(line[i]) for line in cells) for i in range(len(columns))]
    head, *body = [
        " & ".join(map(_latex_cell, line)) + r" \\" for line in [[column.title for column in columns], *cells]
    ]
    begin = rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numbers)}}}"
    text = [begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    if caption:
        text = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(caption)}}}", *text, r"\end{table}"]
    return "\n".join(text) + "\n"


def _latex_cell(text: str) -> str:
    return rf"\textbf{{{latex_text(text)}}}" if isinstance(text, Best) else latex_text(text)


def latex_text(text: str) -> str:
    """Text on one line in which TeX reads nothing but what is printed."""
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))


def to_markdown(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column] = ()) -> str:
    """A table as GitHub reads it; `columns` say what is shown and how, all keys as they are where none are given."""
    columns = columns or _all_columns(rows)
    lines = ["| " + " | ".join(_cell(column.title) for column in columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(each.show(row.get(each.key))) for each in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _all_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [Column(key, key) for key in dict.fromkeys(key for row in rows for key in row)]


def _cell(text: str) -> str:
    return markdown_text(text).replace("|", "\\|")


def markdown_text(text: str) -> str:
    """Text on one line in which nothing is read as HTML: 'p < 0.001' stays as it is, '<b>' and '&amp;' do not.

    HTML begins with < and a letter, a slash, ! or ?; a character reference with & and a letter or #.
    """
    text = " ".join(text.split())
    text = re.sub(r"&(?=[#A-Za-z])", "&amp;", text)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
