"""A run folder while a run is made in it: locked, and the new run beside a finished one until it is whole.

    runs/.cliptune/NAME.lock, NAME.lock.json    the lock, and which process holds it
    runs/.cliptune/NAME/                        the run that is to replace runs/NAME (--fresh)
    runs/.cliptune/.NAME.old/                   the replaced run, for the moment of the exchange

None of it stays when the work is done; NAME/ stays where training was interrupted, for --resume.
"""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cliptune import files
from cliptune.errors import UserError
from cliptune.runs import read_record

HIDDEN = ".cliptune"
WRITTEN = {
    "": ("run.json", "recipe.toml", "episode.json", "files.json", "metrics.jsonl", "features.safetensors")
    + ("predictions.csv", "zero_shot_predictions.csv", "report.*"),
    "adapter": ("adapter.safetensors", "adapter.json", "README.md"),
    "checkpoint": ("state.json", "state-*.safetensors"),
    "thumbnails": ("*.png",),
    "plots": ("*.png", "*.svg"),
    "predictions": ("*.csv",),
    "zero_shot_predictions": ("*.csv",),
}
"""folder in a run folder → the names of what cliptune writes there; `tracking/` is the trackers' own"""


class RunFolder:
    """Where a run is made and where it ends.

    Args:
        folder: where it ends.
    """

    def __init__(self, folder: Path):
        self.folder, self.whole = folder, folder.resolve()
        # Where only the folder itself may be written to, as a volume that is mounted, it holds its own lock.
        self.inside = self.whole.is_dir() and not os.access(self.whole.parent, os.W_OK)
        self.hidden = (self.whole if self.inside else self.whole.parent) / HIDDEN
        self.name = self.whole.name or "root"
        self.work = folder
        """where the run is made: `folder` or `beside`"""

    @property
    def beside(self) -> Path:
        return self.hidden / self.name

    @property
    def old(self) -> Path:
        return self.hidden / f".{self.name}.old"

    def writable(self) -> bool:
        """Whether a lock can be made; a finished run may be read where nothing can be written."""
        there = next(place for place in (self.hidden, *self.hidden.parents) if place.exists())
        return os.access(there, os.W_OK)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while the folder is worked on.

        Raises:
            UserError: another process holds it, or the folder's parent cannot be written.
        """
        made = self._make_hidden()
        lock, who = FileLock(self.hidden / f"{self.name}.lock"), self.hidden / f"{self.name}.lock.json"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise self._busy(who) from None
        except OSError as problem:
            raise files.cannot_write(self.folder, problem) from None
        try:
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            files.write_text(who, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}))
            self._complete_exchange()
            yield
        finally:
            for path in (who, self.hidden / f"{self.name}.lock"):
                with contextlib.suppress(OSError):  # Windows does not remove an open file
                    path.unlink()
            lock.release()
            for place in made:
                with contextlib.suppress(OSError):  # it is in use
                    place.rmdir()

    def _make_hidden(self) -> list[Path]:
        """Make the folder of locks; the folders made for it, deepest first, and itself."""
        if self.hidden.is_symlink():
            raise UserError(f"{self.hidden} is a link", "remove it")
        missing = [place for place in self.hidden.parents if not place.exists()]
        try:
            self.hidden.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise files.cannot_write(self.folder, problem) from None
        return [self.hidden, *missing]

    def _busy(self, who: Path) -> UserError:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(who.read_text("utf-8"))
            return UserError(
                f"process {holder['pid']} on {holder['host']} is working on {self.folder} (since {holder['since']})",
                "wait until it has ended, stop it, or give another folder with --out",
            )
        return UserError(
            f"another process is working on {self.folder}",
            "wait until it has ended, or give another folder with --out",
        )

    def _complete_exchange(self) -> None:
        """What a process that was killed in `exchange` has left undone."""
        if self.old.is_dir() and not self.whole.exists():
            (self.beside if self.beside.is_dir() else self.old).rename(self.whole)
        if self.old.is_dir():
            shutil.rmtree(self.old, ignore_errors=True)

    def make_beside(self) -> None:
        """Make the run beside the one that lies there, which it replaces when it is whole (`exchange`).

        Raises:
            UserError: what lies there is not a run of ours alone, or cannot be replaced.
        """
        refuse_irreplaceable(self.folder)
        if self.inside:
            raise UserError(
                f"cannot replace {self.folder}: no permission to write beside it", "give another folder with --out"
            )
        self.work = self.beside

    def clear(self) -> None:
        """Remove an interrupted run that was to replace the one that lies there."""
        if self.work == self.beside:
            if self.beside.is_symlink():
                self.beside.unlink()
            shutil.rmtree(self.beside, ignore_errors=True)

    def exchange(self) -> None:
        """Put the finished run in the place of the one that lay there.

        Raises:
            UserError: meanwhile something else has come into that folder. The new run stays beside it.
        """
        if self.work != self.beside:
            return
        try:
            if self.whole.exists():
                refuse_irreplaceable(self.folder)
                self.whole.rename(self.old)
            self.beside.rename(self.whole)
        except UserError as problem:
            again = "then give the same command with --resume instead of --fresh: the new run is whole"
            raise UserError(problem.what, f"move away what is not of the run, {again}") from None
        except OSError as problem:
            self._complete_exchange()
            raise files.cannot_write(self.folder, problem) from problem
        shutil.rmtree(self.old, ignore_errors=True)
        self.work = self.folder

    def discard(self) -> None:
        """Remove what was begun here, but nothing that we did not write."""
        if self.work.is_dir() and not foreign(self.work):
            shutil.rmtree(self.work, ignore_errors=True)


def refuse_irreplaceable(folder: Path) -> None:
    """Refuse to remove a folder unless it is a run of ours and nothing else.

    Raises:
        UserError: a link, a folder that somebody stands in, no run, or a run with other files among its own.
    """
    keep = "give another folder with --out"
    if folder.is_symlink():
        raise UserError(f"{folder} is a link, and --fresh would replace it", f"give --out {folder.resolve()}")
    if folder.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise UserError(f"--fresh would remove {folder.resolve()}, the folder you are in or one above it", keep)
    if os.path.ismount(folder):
        raise UserError(f"{folder} is a disk of its own and cannot be replaced", f"give --out {folder / 'run'}")
    record = read_record(folder)
    if not is_ours(record):
        raise UserError(f"{folder}/run.json is not a run's record, so --fresh removes nothing", keep)
    if others := foreign(folder):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UserError(
            f"{folder} holds what cliptune did not write: {others[0]}{more}; --fresh would remove it",
            f"move it away, or {keep}",
        )


def is_ours(record: Any) -> bool:
    """Whether a record has what every one of ours has had from its first moment."""
    recipe = record["recipe"]
    return isinstance(recipe, dict) and isinstance(recipe.get("method"), dict) and "name" in recipe["method"]


def foreign(folder: Path) -> list[str]:
    """What lies in a run folder and was not written by cliptune, sorted; paths relative to it."""
    others = []
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        if inner.parts[0] in ("tracking", HIDDEN) or files.is_leftover(path):
            continue
        if path.is_dir() and not path.is_symlink():
            known = len(inner.parts) == 1 and inner.name in WRITTEN
        else:
            names = WRITTEN.get(str(inner.parent) if len(inner.parts) > 1 else "", ())
            known = any(fnmatchcase(path.name, name) for name in names)
        if not known:
            others.append(str(inner))
    return sorted(others)
