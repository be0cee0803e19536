"""What a person can mend, in two lines: what is wrong and where; what to type instead.

Exception
└── UserError        printed without a traceback, exit code 2
"""

import errno
import os
from pathlib import Path

DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
MOST = 2000
"""characters of a line: a value that is a megabyte long is not repeated whole"""


class UserError(Exception):
    """A mistake the user can mend.

    Args:
        what: what is wrong and where, one line, no full stop.
        fix: what to type or do instead, one line.
    """

    def __init__(self, what: str, fix: str):
        super().__init__(f"{shortened(what, MOST)}\n{shortened(fix, MOST)}")
        self.what = shortened(" ".join(what.split("\n")), MOST)
        self.fix = shortened(" ".join(fix.split("\n")), MOST)


def shortened(text: str, most: int = 240) -> str:
    """The same, or its two ends where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[-most // 4 :]}"


def of_system(problem: OSError, path: str | os.PathLike[str] = "") -> UserError | None:
    """What the system refused, in two lines; None where it is not about a path, room, memory or open files.

    Args:
        path: what it is about, where `problem` does not say.
    """
    name = str(path) or (os.fsdecode(problem.filename) if isinstance(problem.filename, str | bytes) else "")
    place, code = shortened(name), problem.errno
    if code in (errno.EMFILE, errno.ENFILE):
        return UserError("too many files are open", "allow more: ulimit -n 1024")
    if code in FULL:
        return UserError(f"no room{f' for {place}' if place else ''} ({problem.strerror})", "free some space")
    if code == errno.ENOENT and not name and not _somewhere():
        return UserError("the folder you are in does not exist any more", "go to another one: cd")
    if not name or Path(__file__).parent in Path(name).parents:
        return None
    if code in DENIED:
        return UserError(f"{place}: permission denied", "ask its owner for access (chmod a+rX), or give another path")
    if code == errno.ENOENT:
        return UserError(f"{place}: no such file or folder", "check that path")
    return UserError(f"{place}: {problem.strerror or problem}", "check that path")


def no_memory() -> UserError:
    """The two lines for a run that needs more memory than there is."""
    return UserError(
        "there is not enough memory for a step of this run",
        "divide its steps: --memory 2GB (from Python: settings={'train.chunk': 8}), or take a smaller --model",
    )


def _somewhere() -> bool:
    """Whether the folder this process is in still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def of_memory(problem: BaseException) -> bool:
    """Whether memory ran out: Python's, torch's on a device, or torch's on the CPU, which is a RuntimeError."""
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(problem, RuntimeError) and any(word in str(problem) for word in words)
