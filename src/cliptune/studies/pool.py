"""Where the runs of all studies lie, and one run of theirs.

OUT/runs/<name>-<key>/           a run folder; two studies that ask for the same run share it
OUT/runs/<name>-<key>.failed     why a run failed, two lines; gone once it has finished
OUT/<study>/                     what a study ended in
"""

import json
import shutil
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from cliptune import files
from cliptune.errors import UserError
from cliptune.studies.study import Job

State = Literal["finished", "failed", "started", "absent"]


@dataclass(frozen=True)
class Setting:
    """What runs need to know of the machine. Memory decides how a step is divided, and so the masks of dropout."""

    root: str = ""
    """folder of the named data sets"""
    device: str = "auto"
    threads: int = 1
    """torch's, for one run"""
    memory: str = ""
    """what a step may take, like 2GB"""


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    job: Job
    seconds: float
    error: tuple[str, str] | None = None
    """what went wrong and what to do, or None"""
    told: str = ""
    """its accuracies or its Dice, in words"""
    notes: tuple[str, ...] = ()
    """what it wrote down of its training: it has hardly learned"""


class Pool:
    """The run folders below `OUT/runs`."""

    def __init__(self, out: Path):
        self.out = out
        self.runs = out / "runs"

    def folder(self, job: Job) -> Path:
        return self.runs / job.name

    def note(self, job: Job) -> Path:
        """Where its failure is noted."""
        return self.runs / f"{job.name}.failed"

    def lock(self, job: Job) -> FileLock:
        """Held while the run is worked on; freed by the system where a process dies."""
        place = self.runs / ".locks" / f"{job.name}.lock"
        place.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(place)

    def state(self, job: Job) -> State:
        record = self.record(job)
        if record is not None and record.get("status") == "finished":
            return "finished"
        if self.note(job).is_file():
            return "failed"
        return "absent" if record is None else "started"

    def record(self, job: Job) -> dict[str, Any] | None:
        """run.json, or None where there is none that can be read."""
        return read(self.folder(job))

    def failure(self, job: Job) -> tuple[str, str] | None:
        """The two lines it failed with."""
        try:
            what, _, fix = self.note(job).read_text("utf-8").partition("\n")
        except OSError:
            return None
        return what, fix.strip()

    def settle(self, ended: Ended) -> None:
        """Note a failure, or that there is none any more."""
        place = self.note(ended.job)
        if ended.error is not None:
            files.write_text(place, "\n".join(line.replace("\n", " ") for line in ended.error) + "\n")
        else:
            place.unlink(missing_ok=True)

    def adopt(self, job: Job, whole: Path) -> None:
        """Move a finished run folder, made elsewhere on this disk, to its place."""
        with self.lock(job):
            if self.state(job) != "finished":
                shutil.rmtree(self.folder(job), ignore_errors=True)
                whole.rename(self.folder(job))


def read(folder: Path) -> dict[str, Any] | None:
    """run.json, or None where there is none that can be read."""
    try:
        files.refuse_odd(folder / "run.json")
        found = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError, UserError):
        return None
    return found if isinstance(found, dict) else None


def divided(tables: Mapping[str, Any]) -> tuple[int, int]:
    """Images and prompts that go together in a step, as a recipe's tables say: `--memory` sets them.

    A run begun with others cannot go on with these; it is begun anew.
    """
    return tables["train"]["chunk"], tables["train"]["text_chunk"]


def perform(job: Job, folder: Path, setting: Setting) -> Ended:
    """Do one run in this process; go on where an earlier attempt stopped. Never raises for a run that fails."""
    from cliptune.pipeline import execute, prepare

    began = time.perf_counter()
    options = {**job.options, **({"data.root": setting.root} if setting.root else {})}
    try:
        plan = prepare(job.tables, options, job.preset, setting.device, memory=setting.memory or None)
        begun = read(folder)
        fresh = begun is not None and divided(begun["recipe"]) != divided(plan.recipe.tables())
        run = execute(plan, folder, resume=not fresh, fresh=fresh)
    except UserError as problem:
        return Ended(job, time.perf_counter() - began, (problem.what, problem.fix))
    except Exception as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        where = f"{Path(last.filename).name} line {last.lineno}"
        what = f"{type(problem).__name__}: {problem} ({where})"
        return Ended(job, time.perf_counter() - began, (what, "this is a fault of cliptune's; please report it"))
    return told_of(job, time.perf_counter() - began, run.record)


def told_of(job: Job, seconds: float, record: Mapping[str, Any]) -> Ended:
    """A run that has finished, with what is to be said of it."""
    from cliptune.report.read import RunFolder
    from cliptune.report.remarks import written

    notes = tuple(remark.what for remark in written(RunFolder(Path(), record)))
    return Ended(job, seconds, told=headline(record), notes=notes)


def headline(record: Mapping[str, Any]) -> str:
    """'test 83.1 %' of a finished run's record, after what leads it; 'test Dice 71.0 %' where it marks images."""
    from cliptune.report.leading import leading_of, lost
    from cliptune.report.read import Record
    from cliptune.report.tables import every_test

    metrics = record.get("metrics", {})
    score, told = ("dice", " Dice") if record.get("task") == "segment" else ("accuracy", "")
    lead = leading_of(record)
    first = [] if lead is None or lead.after is None else [f"{lead.title} {100 * lead.after:.1f} %"]
    tests = [name for name in record.get("tests", ("test",)) if name in metrics]
    text = ", ".join([*first, *(f"{name}{told} {100 * metrics[name][score]:.1f} %" for name in tests)])
    halves = lead is not None and lead.kind == "harmonic mean"
    gains = {row["test"]: row["gain"] for row in every_test(Record(Path(), record))} if halves else {}
    fallen = lost(gains)
    return f"{text} ({', '.join(fallen)})" if fallen else text
