"""How numbers are written in reports, the card and tables: one place, standard library only."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cliptune.counted import span as span
from cliptune.counted import these as these

NOT_MEASURED = "not measured"
SIGNIFICANT = 0.05


def number(value: Any) -> float | None:
    """`value` as a finite float, or None for whatever is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def percent(fraction: Any) -> str:
    """0.912 → '91.2 %'."""
    value = number(fraction)
    return NOT_MEASURED if value is None else f"{100 * value:.1f} %".replace("-", "−")


def signed_percent(fraction: Any) -> str:
    """0.75 → '+75.0 %'; for shares that may be negative."""
    value = number(fraction)
    return NOT_MEASURED if value is None else f"{_signed(100 * value)} %"


def points(fraction: Any) -> str:
    """A difference of two accuracies, in percentage points: 0.272 → '+27.2'."""
    value = number(fraction)
    return NOT_MEASURED if value is None else _signed(100 * value)


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def interval(bounds: Sequence[float | None] | None) -> str:
    """(0.893, 0.928) → '89.3–92.8'."""
    if not bounds or any(number(bound) is None for bound in bounds):
        return NOT_MEASURED
    low, high = bounds
    return f"{100 * low:.1f}–{100 * high:.1f}"  # type: ignore[operator]


def difference_interval(bounds: Sequence[float | None] | None) -> str:
    """(-0.012, 0.034) → '−1.2 to +3.4', in points."""
    if not bounds or any(number(bound) is None for bound in bounds):
        return NOT_MEASURED
    return f"{points(bounds[0])} to {points(bounds[1])}"


def count(value: Any) -> str:
    """1234 → '1,234'."""
    found = number(value)
    return NOT_MEASURED if found is None else f"{found:,.0f}"


def rough(value: Any) -> str:
    """A measured speed to two digits: 3565 → '3,600', 0.8231 → '0.82'."""
    found = number(value)
    if not found:
        return NOT_MEASURED if found is None else "0"
    two = float(f"{found:.2g}")
    return f"{two:,.{max(1 - math.floor(math.log10(abs(two))), 0)}f}"


def decimals(value: Any) -> str:
    """A plain quantity to three decimals."""
    found = number(value)
    return NOT_MEASURED if found is None else f"{found:.3f}".replace("-", "−")


def scientific(value: Any) -> str:
    """2.4e-07 stays readable."""
    found = number(value)
    return NOT_MEASURED if found is None else f"{found:.1e}".replace("-", "−") if found else "0"


def p_value(value: Any) -> str:
    """'p < 0.001', 'p = 0.032', 'p = 0.50'."""
    found = number(value)
    if found is None:
        return NOT_MEASURED
    if found < 0.001:
        return "p < 0.001"
    return f"p = {found:.3f}" if found < 0.1 else f"p = {found:.2f}"


def seconds(value: Any) -> str:
    """221.3 → '3 min 41 s'."""
    found = number(value)
    if found is None:
        return NOT_MEASURED
    if found < 10:
        return f"{found:.1f} s"
    whole = round(found)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: Any) -> str:
    """Bytes in decimal units: 5_100_000_000 → '5.1 GB'."""
    found = number(value)
    if found is None:
        return NOT_MEASURED
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if found >= scale:
            return f"{found / scale:.1f} {unit}"
    return f"{found:.0f} bytes"


def abbreviated(value: float) -> str:
    """An axis tick: 1500 → '1.5 k'."""
    for unit, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def share(value: Any) -> str:
    """A percentage that is stored as one already: 0.21 → '0.21 %'."""
    found = number(value)
    return NOT_MEASURED if found is None else f"{found:.3g} %"


def plain(value: Any) -> str:
    """Any setting as text."""
    if value is None or value == "":
        return NOT_MEASURED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


def reads_as_number(text: str) -> bool:
    """Whether a cell says a number, or stands where one was not to be had: it is then set flush right."""
    return text[:1].isdigit() or text[:1] in "+−-" or text in (NOT_MEASURED, "one run", "all", "never", "< 0.001")


def short(name: Any, longest: int) -> str:
    """One line of at most `longest` characters; the middle of a long name goes."""
    text = "".join(letter for letter in " ".join(str(name).split()) if letter.isprintable())
    if len(text) <= longest:
        return text
    tail = max((longest - 1) // 3, 1)
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"


def distinct(names: Sequence[Any], longest: int) -> list[str]:
    """Short names that stay apart: where cutting makes two alike, the words they all begin with go; else a number."""
    cut = [short(name, longest) for name in names]
    if len(set(cut)) == len(set(map(str, names))):
        return cut
    split = [str(name).split() for name in names]
    alike = next((i for i, column in enumerate(zip(*split)) if len(set(column)) > 1), 0)
    cut = [short(" ".join(["…" * bool(alike), *parts[alike:]]).strip(), longest) for parts in split]
    seen = Counter(cut)
    return [text if seen[text] == 1 else f"{text[: longest - 5]} ({index})" for index, text in enumerate(cut, start=1)]
