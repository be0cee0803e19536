"""What a verb prints: text for people, or with --json one object on standard output and the text on standard error.

Of several processes that torchrun or `accelerate launch` started, the first alone speaks. What is refused is refused by
all of them and told by the first of each machine; another one tells it only if the first has nothing to refuse.
"""

import contextlib
import errno
import json as jsons
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from cliptune.errors import UserError

GRACE = 5.0
"""seconds in which the first process refuses the same, and the launcher then ends this one"""

LAUNCHED = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")
"""what torchrun and `accelerate launch` say to a process, as whole numbers"""

_json = False


def start(json: bool) -> None:
    """Called once per command line."""
    global _json
    _json = json


class Forgiving:
    """A standard stream that never ends a run: once it cannot be written, as a closed pipe or a full disk, it is mute.

    What its encoding cannot say is replaced by a question mark.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.problem: Exception | None = None
        """why it is mute"""
        self.errors_before = getattr(stream, "errors", None)
        self._on_error("replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        if self.problem is None:
            try:
                self.stream.write(text)
            except (OSError, ValueError) as problem:  # a closed file is a ValueError
                self._mute(problem)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.problem is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as problem:
                self._mute(problem)

    def end(self) -> None:
        """Flush, and leave the stream as it was given."""
        self.flush()
        if self.errors_before:
            self._on_error(self.errors_before)

    def _on_error(self, errors: str) -> None:
        if hasattr(self.stream, "reconfigure"):
            with contextlib.suppress(OSError, ValueError):
                self.stream.reconfigure(errors=errors)

    def _mute(self, problem: Exception) -> None:
        """What is still in the stream's buffer goes nowhere, so that the interpreter can flush it when it ends."""
        self.problem = problem
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Standard output and error are `Forgiving` inside; a closed one takes what is written and drops it."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        out, err = (Forgiving(stream if stream is not None else nowhere) for stream in before)
        sys.stdout, sys.stderr = out, err
        try:
            yield
        finally:
            out.end()
            if isinstance(out.problem, OSError) and out.problem.errno != errno.EPIPE:
                err.write(f"cliptune: standard output could not be written: {out.problem.strerror}\n")
            err.end()
            sys.stdout, sys.stderr = before


def wants_json() -> bool:
    return _json


def first(where: str = "RANK") -> bool:
    """Whether this is the first process, of all or (`LOCAL_RANK`) of this machine; alone, it is."""
    return "LOCAL_RANK" not in os.environ or os.environ.get(where, "0") == "0"


def processes() -> int:
    """How many processes a launcher started for this command line.

    Raises:
        UserError: what it says in the environment is no number.
    """
    if "LOCAL_RANK" not in os.environ:
        return 1
    for name in LAUNCHED:
        if not (value := os.environ.get(name, "1")).isdecimal():
            raise UserError(f"{name}={value!r} in the environment is no number", f"unset {' '.join(LAUNCHED)}")
    return int(os.environ.get("WORLD_SIZE", "1"))


def say(text: str = "") -> None:
    """A line for the person."""
    if first():
        print(text, file=sys.stderr if _json else sys.stdout, flush=True)


def note(text: str) -> None:
    """A remark beside the results, on standard error."""
    if first():
        print(text, file=sys.stderr, flush=True)


def result(value: dict[str, Any]) -> None:
    """The verb's result, printed only with --json; what the stream's encoding lacks is escaped."""
    if _json and first():
        text = jsons.dumps(value, ensure_ascii=False, default=str)
        try:
            text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            text = jsons.dumps(value, default=str)
        print(text, flush=True)


def refuse_lost(fix: str) -> None:
    """Refuse to end well where answers that stand nowhere else could not be written. A reader may leave early.

    Raises:
        UserError: standard output is a full or broken disk.
    """
    problem = getattr(sys.stdout, "problem", None)
    if isinstance(problem, OSError) and problem.errno != errno.EPIPE:
        raise UserError("not all answers are written", fix)


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
