"""What a verb prints: text for people, or with --json one object on standard output and the text on standard error."""

import json as jsons
import sys
from typing import Any

_json = False


def start(json: bool) -> None:
    """Called once per command line."""
    global _json
    _json = json


def wants_json() -> bool:
    return _json


def say(text: str = "") -> None:
    """A line for the person."""
    print(text, file=sys.stderr if _json else sys.stdout, flush=True)


def result(value: dict[str, Any]) -> None:
    """The verb's result, printed only with --json."""
    if _json:
        print(jsons.dumps(value, ensure_ascii=False, default=str), flush=True)


def refuse(what: str, fix: str) -> int:
    """Two lines on standard error; exit code 2."""
    print(f"cliptune: {what}\n        {fix}", file=sys.stderr, flush=True)
    result({"error": {"what": what, "fix": fix}})
    return 2


def percent(fraction: float) -> str:
    """0.8612 → '86.1 %'."""
    return f"{100 * fraction:.1f} %"


def count(number: int) -> str:
    """307200 → '307,200'."""
    return f"{number:,}"
