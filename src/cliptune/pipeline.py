"""One run from plan to run folder: attach → fit → evaluate → record. `planning.prepare` understood and checked it.

One direction; nothing reaches back.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cliptune import files
from cliptune.datasets import contents
from cliptune.errors import UserError
from cliptune.methods.base import Adapter
from cliptune.models.shortcuts import using
from cliptune.planning import AnyPlan, Plan, prepare
from cliptune.records import already_done, describe, same_everywhere, write_record
from cliptune.report.card import model_card
from cliptune.runs import Run, read_record, run_name, save_adapter
from cliptune.tracking import Trackers, installed
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.events import Event, Measured
from cliptune.training.log import Log, Meter
from cliptune.training.loop import AnyLesson, fit

__all__ = ["Plan", "execute", "prepare"]

Listener = Callable[[Event], None]


def execute(
    plan: AnyPlan,
    out: Path | None = None,
    *,
    resume: bool = False,
    fresh: bool = False,
    listeners: Iterable[Listener] = (),
    before: Any = None,
    track: Iterable[str] = (),
) -> Run:
    """Train, evaluate and record a prepared run. An equal finished run is returned as it is.

    Of several processes the main one measures, writes and tells the listeners; the others train along and wait for it.

    Args:
        out: run folder. resume, fresh: what to do with an unfinished or other run there. listeners: hear the events.
        before: the untouched backbone measured already, by another run on the same episode and backbone.
        track: experiment trackers that are told of the run, see `tracking`.

    Raises:
        UserError: a tracker is not installed; the folder holds another or an unfinished run; no room; training went
            wrong in a known way.
    """
    track = installed(track)
    folder = out or Path("runs") / run_name(plan.recipe)
    group = plan.machine.group
    same_everywhere(plan)
    if not group.on_main(lambda: already_done(folder, plan, resume=resume, fresh=fresh)):
        names = track if group.main else ()
        with using(plan.recipe.shortcuts), Trackers(names, folder, plan.recipe, len(plan.episode.train)) as trackers:
            _execute(plan, folder, fresh=fresh, listeners=[*listeners, trackers.hear], before=before)
    return Run(folder, plan.backbone, group.on_main(lambda: read_record(folder)))


def _execute(plan: AnyPlan, folder: Path, *, fresh: bool, listeners: list[Listener], before: Any) -> None:
    group = plan.machine.group
    with group.together():
        if group.main:
            files.writable_folder(folder)
        adapter = plan.attach()
        lesson = plan.lesson()
        evaluation = (before or plan.before()) if group.main else None
        decode(lesson)
        if group.main:
            adapters = 3 * sum(tensor.nbytes for tensor in adapter.state().values())
            files.room_for(folder, adapters + plan.kept_bytes() + 20_000_000)
            if fresh and folder.exists():
                shutil.rmtree(folder)
    if evaluation is None:
        return _train_along(plan, adapter, lesson)
    started_here = not folder.exists()
    try:
        _run(plan, folder, adapter, lesson, evaluation, listeners)
    except Exception as problem:
        if started_here and not Checkpoint(folder / "checkpoint").exists():
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _note_failure(folder, problem)
        if isinstance(problem, OSError):
            raise files.cannot_write(folder, problem) from problem
        raise


def _train_along(plan: AnyPlan, adapter: Adapter, lesson: AnyLesson) -> None:
    """What the processes beside the main one do of `_run`; they meet it where it does something alone."""
    group = plan.machine.group
    with group.together():
        pass
    for _ in fit(adapter, lesson, plan.machine):
        pass
    with group.together():
        pass


def _note_failure(folder: Path, problem: Exception) -> None:
    """Leave word in run.json, if the disk lets us; --resume goes on from the last checkpoint."""
    with contextlib.suppress(UserError):
        record = read_record(folder) | {"status": "failed", "error": str(problem).split("\n")[0]}
        write_record(folder, record)


def decode(lesson: AnyLesson) -> None:
    """Decode every training and validation image once, so that a bad file is found before anything is written."""
    for pixels in (lesson.train, lesson.val):
        for _ in pixels.batches(64):
            pass


def _run(
    plan: AnyPlan, folder: Path, adapter: Any, lesson: AnyLesson, evaluation: Any, listeners: list[Listener]
) -> None:
    group, meter, checkpoint = plan.machine.group, Meter(), Checkpoint(folder / "checkpoint")
    with group.together():
        record = describe(plan, adapter, folder) | {"status": "running", "started": _now()}
        write_record(folder, record)
        files.write_text(folder / "recipe.toml", plan.recipe.to_toml())
        plan.episode.save(folder / "episode.json")
        plan.episode.contents.save(folder / contents.FILE)
        log = Log(folder / "metrics.jsonl", adapter, checkpoint)
    progress = checkpoint.progress()
    earlier = progress.seconds if progress else 0.0
    began = time.perf_counter()
    with log:
        for event in fit(adapter, lesson, plan.machine, checkpoint):
            log.write(event)
            meter.hear(event)
            for listener in listeners:
                listener(event)
    record["seconds"] = {"train": earlier + time.perf_counter() - began}
    with group.together():
        _finish(plan, folder, adapter, evaluation, record, meter)
        for listener in listeners:
            listener(Measured(record["metrics"]))
        checkpoint.remove()


def _finish(plan: AnyPlan, folder: Path, adapter: Any, evaluation: Any, record: dict[str, Any], meter: Meter) -> None:
    """Measure the trained adapter, save it, and complete the record."""
    record |= describe(plan, adapter, folder)
    measuring = time.perf_counter()
    record |= plan.measure(adapter, evaluation, folder)
    record["seconds"]["evaluate"] = evaluation.seconds + time.perf_counter() - measuring
    record["images_per_second"] = meter.images_per_second
    if meter.training:
        record["training"] = meter.training
    record["peak_memory_bytes"] = plan.machine.peak_memory_bytes()
    record |= {"status": "finished", "finished": _now()}
    save_adapter(folder / "adapter", adapter, model_card(record))
    write_record(folder, record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
