"""A study from its grid to its runs: what is done is left alone, one failure never stops the rest."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cliptune.errors import UserError
from cliptune.studies import local
from cliptune.studies.estimate import STARTING_SECONDS, Estimate, estimates
from cliptune.studies.pool import Ended, Pool, Setting, State
from cliptune.studies.study import Job, Study

Where = Literal["local", "ray"]


@dataclass(frozen=True)
class Ahead:
    """What there is to do."""

    states: dict[str, State]
    """by key"""
    todo: tuple[Job, ...]
    """in the order of the study, each run once"""
    estimates: dict[str, Estimate]
    """by key, of what is to do"""

    def seconds(self, workers: int) -> float | None:
        """Of all of it, on so many workers; None where nothing can be said of some run."""
        each = [found.seconds for found in self.estimates.values()]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / min(workers, max(1, len(each))) if len(known) == len(each) else None

    def bytes(self) -> int | None:
        """The most one run takes."""
        return max((found.bytes for found in self.estimates.values() if found.bytes is not None), default=None)


@dataclass(frozen=True)
class Told:
    """A run has ended."""

    ended: Ended
    done: int
    of: int
    left_seconds: float
    """until the last one, as it looks now"""


def ahead(study: Study, pool: Pool, setting: Setting, retry: bool) -> Ahead:
    """What of a study is still to be done; failed runs only with `retry`."""
    jobs = {job.key: job for job in study.jobs}
    states = {key: pool.state(job) for key, job in jobs.items()}
    left = ("absent", "started", "failed") if retry else ("absent", "started")
    todo = tuple(job for key, job in jobs.items() if states[key] in left)
    found = estimates(list(jobs.values()), pool, setting.root, setting.device)
    by_key = dict(zip(jobs, found, strict=True))
    return Ahead(states, todo, {job.key: by_key[job.key] for job in todo})


def conduct(plan: Ahead, pool: Pool, setting: Setting, engine: Where, workers: int) -> Iterator[Told]:
    """Do what is ahead, telling of every run as it ends.

    Raises:
        UserError: the engine is not installed or not there.
    """
    if engine == "ray":
        from cliptune.studies import on_ray

        running = on_ray.run(plan.todo, pool, setting, plan.estimates)
    else:
        running = local.run(plan.todo, pool, setting, workers)
    clock = Clock(plan)
    for done, ended in enumerate(running, start=1):
        yield Told(ended, done, len(plan.todo), clock.left(ended))


class Clock:
    """Time left: what is left of the estimates, at the pace at which the others were worked off."""

    def __init__(self, plan: Ahead):
        self.left_over = {key: found.seconds or STARTING_SECONDS for key, found in plan.estimates.items()}
        self.worked_off = 0.0
        self.began = time.perf_counter()

    def left(self, ended: Ended) -> float:
        self.worked_off += self.left_over.pop(ended.job.key, 0.0)
        pace = (time.perf_counter() - self.began) / max(self.worked_off, 1e-9)
        return pace * sum(self.left_over.values())


def workers_for(plan: Ahead, asked: int | None, device: str) -> int:
    """How many runs at a time on this machine: as asked, else a GPU each, or as many as cores and memory allow.

    Raises:
        UserError: fewer than one.
    """
    if asked is not None:
        if asked < 1:
            raise UserError(f"--workers {asked}", "give 1 or more")
        return asked
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.device_count()
    cores = usable_cores()
    room, needed = free_bytes(), plan.bytes()
    return max(1, min(cores, len(plan.todo) or 1, room // needed if room and needed else cores))


def threads_for(workers: int) -> int:
    """The share of this machine's cores that each of so many runs gets."""
    return max(1, usable_cores() // workers)


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_bytes() -> int | None:
    """Memory that is available now; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def failures(study: Study, pool: Pool) -> Sequence[tuple[Job, tuple[str, str]]]:
    """Runs that failed, with their two lines."""
    found = {job.key: (job, pool.failure(job)) for job in study.jobs if pool.state(job) == "failed"}
    return [(job, lines) for job, lines in found.values() if lines is not None]
