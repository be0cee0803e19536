"""What a verb prints: text for people, or with --json one object on standard output and the text on standard error.

Of several processes that torchrun or `accelerate launch` started, the first alone speaks. What is refused is refused by
all of them and told by the first of each machine; another one tells it only if the first has nothing to refuse.
"""

import json as jsons
import os
import sys
import time
from typing import Any

GRACE = 5.0
"""seconds in which the first process refuses the same, and the launcher then ends this one"""

_json = False


def start(json: bool) -> None:
    """Called once per command line."""
    global _json
    _json = json


def wants_json() -> bool:
    return _json


def first(where: str = "RANK") -> bool:
    """Whether this is the first process, of all or (`LOCAL_RANK`) of this machine."""
    return os.environ.get(where, "0") == "0"


def processes() -> int:
    """How many processes a launcher started for this command line."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def say(text: str = "") -> None:
    """A line for the person."""
    if first():
        print(text, file=sys.stderr if _json else sys.stdout, flush=True)


def note(text: str) -> None:
    """A remark beside the results, on standard error."""
    if first():
        print(text, file=sys.stderr, flush=True)


def result(value: dict[str, Any]) -> None:
    """The verb's result, printed only with --json."""
    if _json and first():
        print(jsons.dumps(value, ensure_ascii=False, default=str), flush=True)


def refuse(what: str, fix: str) -> int:
    """Two lines on standard error; exit code 2."""
    if not first("LOCAL_RANK"):
        time.sleep(GRACE)
    print(f"cliptune: {what}\n        {fix}", file=sys.stderr, flush=True)
    result({"error": {"what": what, "fix": fix}})
    return 2


def percent(fraction: float) -> str:
    """0.8612 → '86.1 %'."""
    return f"{100 * fraction:.1f} %"


def count(number: int) -> str:
    """307200 → '307,200'."""
    return f"{number:,}"
