"""One run from plan to run folder: attach → fit → evaluate → record. `planning.prepare` understood and checked it.

One direction; nothing reaches back.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cliptune import files
from cliptune.datasets import contents
from cliptune.errors import UserError, no_memory, of_memory
from cliptune.methods.base import Adapter
from cliptune.models.shortcuts import using
from cliptune.planning import AnyPlan, Plan, prepare
from cliptune.records import already_done, describe, same_everywhere, write_record
from cliptune.report.card import model_card
from cliptune.run_folder import RunFolder
from cliptune.runs import Run, read_record, run_name, save_adapter
from cliptune.tracking import Trackers, installed
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.compute import training
from cliptune.training.events import Event, Measured
from cliptune.training.learned import learned
from cliptune.training.log import Log, Meter
from cliptune.training.loop import AnyLesson, fit
from cliptune.training.peak import Peak

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
    The folder is locked meanwhile. With `fresh` the run is made beside the one that lies there, and takes its place
    when it is whole.

    Args:
        out: run folder. resume, fresh: what to do with an unfinished or other run there. listeners: hear the events;
            one that fails hears no more, and the run goes on.
        before: the untouched backbone measured already, by another run on the same episode and backbone.
        track: experiment trackers that are told of the run, see `tracking`.

    Raises:
        UserError: a tracker is not installed; the folder holds another or an unfinished run, or another process works
            on it; no room; not enough memory; another thread trains; training went wrong in a known way.
    """
    track = installed(track)
    folder = files.user_path(out) if out else Path("runs") / run_name(plan.recipe)
    group, place = plan.machine.group, RunFolder(folder)
    same_everywhere(plan)
    with contextlib.ExitStack() as held:
        held.enter_context(training())

        def begin() -> bool:
            if not folder.exists():
                files.writable_folder(folder)
            if place.writable():
                held.enter_context(place.lock())
            return already_done(place, plan, resume=resume, fresh=fresh)

        if not group.on_main(begin):
            names, audience = track if group.main else (), Audience(listeners)
            with (
                using(plan.recipe.shortcuts),
                Trackers(names, place.work, plan.recipe, len(plan.episode.train)) as trackers,
            ):
                audience.listeners.append(trackers.hear)
                try:
                    _execute(plan, place, fresh=fresh, audience=audience, before=before)
                except Exception as problem:
                    if of_memory(problem):
                        raise no_memory() from problem
                    raise
            group.on_main(place.exchange)
        elif group.main and place.writable():
            Checkpoint(folder / "checkpoint").remove()  # left by a kill after the last record
        return Run(folder, plan.backbone, group.on_main(lambda: read_record(folder)))


class Audience:
    """Listeners of one run. One that fails, as a terminal that was closed, is left out; the run goes on without it."""

    def __init__(self, listeners: Iterable[Listener]):
        self.listeners = list(listeners)

    def hear(self, event: Event) -> None:
        for listener in list(self.listeners):
            try:
                listener(event)
            except Exception as problem:
                self.listeners.remove(listener)
                warnings.warn(f"a listener failed ({problem!r}); the run goes on without it", stacklevel=2)


def _execute(plan: AnyPlan, place: RunFolder, *, fresh: bool, audience: Audience, before: Any) -> None:
    group, folder, peak = plan.machine.group, place.work, Peak.start(plan.machine)
    with group.together():
        if group.main:
            files.writable_folder(folder)
            if folder.exists():
                files.refuse_linked_folders(folder)
        adapter = plan.attach()
        lesson = plan.lesson()
        evaluation = (before or plan.before()) if group.main else None
        decode(lesson)
        if group.main:
            adapters = 3 * sum(tensor.nbytes for tensor in adapter.state().values())
            files.room_for(folder, adapters + plan.kept_bytes() + 20_000_000)
            if fresh:
                place.clear()
    if evaluation is None:
        return _train_along(plan, adapter, lesson)
    started_here = not folder.exists()
    try:
        _run(plan, folder, adapter, lesson, evaluation, audience, peak)
    except Exception as problem:
        if started_here and not Checkpoint(folder / "checkpoint").exists():
            place.discard()
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
    plan: AnyPlan, folder: Path, adapter: Any, lesson: AnyLesson, evaluation: Any, audience: Audience, peak: Peak
) -> None:
    group, meter, checkpoint = plan.machine.group, Meter(), Checkpoint(folder / "checkpoint")
    with files.recorded() as written:
        with group.together():
            files.sweep(folder)
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
                audience.hear(event)
        record["seconds"] = {"train": earlier + time.perf_counter() - began}
        with group.together():
            refuse_incomplete(folder, written)
            _finish(plan, folder, adapter, evaluation, record, meter, peak)
            refuse_incomplete(folder, written)
            write_record(folder, record)
            audience.hear(Measured(record["metrics"]))
            checkpoint.remove()


def refuse_incomplete(folder: Path, written: Iterable[Path]) -> None:
    """Refuse to call a run finished whose files are not all there any more.

    Args:
        written: the files that were written so far. Those of checkpoint/ come and go.

    Raises:
        UserError: one is missing.
    """
    missing = [path for path in dict.fromkeys(written) if path.parent.name != "checkpoint" and not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{folder} was changed while the run was made in it: {missing[0].relative_to(folder)}{more} is missing",
            "train again, and leave that folder alone until the run has ended",
        )


def _finish(
    plan: AnyPlan, folder: Path, adapter: Any, evaluation: Any, record: dict[str, Any], meter: Meter, peak: Peak
) -> None:
    """Measure the trained adapter, save it, and complete the record, which is not written yet."""
    record |= describe(plan, adapter, folder)
    measuring = time.perf_counter()
    record |= plan.measure(adapter, evaluation, folder)
    record["seconds"]["evaluate"] = evaluation.seconds + time.perf_counter() - measuring
    record["images_per_second"] = meter.images_per_second
    if meter.training:
        record["training"] = meter.training
    record |= learned(record, plan.recipe, folder / "metrics.jsonl")
    record.pop("on_validation", None)  # told as part of it
    record |= peak.told()
    record |= {"status": "finished", "finished": _now()}
    save_adapter(folder / "adapter", adapter, model_card(record))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
