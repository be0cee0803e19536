"""The engine `local`: runs in processes of this machine, so many at a time, each with its own threads.

A process that dies (killed, out of memory) takes no other run with it: what was under way is tried again, one by one,
and goes on from its checkpoint; a run whose process dies three times alone has failed. Processes end with the one that
started them, and a run is locked while it is worked on, so a driver that was killed and started again finds no run
worked on twice.
"""

import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from pathlib import Path

from cliptune.studies.pool import Ended, Pool, Setting, perform, told_of
from cliptune.studies.study import Job

START = "spawn"
"""how a worker begins: a forked one could not use a GPU that its parent has used"""
ATTEMPTS = 3
DIED = (f"its process died {ATTEMPTS} times (killed, or out of memory)", "give --memory 2GB, or fewer --workers")


def run(jobs: Sequence[Job], pool: Pool, setting: Setting, workers: int) -> Iterator[Ended]:
    """Do `jobs`, yielding each as it ends, in any order."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(setting.threads)  # read by what a new process imports
    try:
        yield from _Work(jobs, pool, setting, workers).all()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


class _Work:
    """What waits, what is under way, and what was under way when a process died.

    Nobody says which process died. So its suspects are tried alone afterwards, and only a death alone is held against
    a run.
    """

    def __init__(self, jobs: Sequence[Job], pool: Pool, setting: Setting, workers: int):
        self.pool, self.setting, self.workers = pool, setting, workers
        self.waiting, self.suspects = deque(jobs), deque[Job]()
        self.flying: dict[Future[Ended], Job] = {}
        self.deaths: Counter[str] = Counter()

    def all(self) -> Iterator[Ended]:
        self.start()
        try:
            while self.waiting or self.suspects or self.flying:
                try:
                    self.hand_out()
                    done, _ = wait(self.flying, return_when=FIRST_COMPLETED)
                    for future in done:
                        ended = future.result()
                        del self.flying[future]
                        yield ended
                except BrokenProcessPool:
                    yield from self.begin_again()
        finally:
            for process in self.processes():
                process.terminate()
            self.executor.shutdown(wait=False, cancel_futures=True)

    def hand_out(self) -> None:
        """As many as there are workers; a suspect alone, when nothing else is under way."""
        while self.waiting and not self.suspects and len(self.flying) < self.workers:
            self.submit(self.waiting)
        if self.suspects and not self.flying:
            self.submit(self.suspects)

    def submit(self, queue: deque[Job]) -> None:
        future = self.executor.submit(_locked, queue[0], self.pool.out, self.setting)
        self.flying[future] = queue.popleft()

    def begin_again(self) -> Iterator[Ended]:
        """After a death: what had ended counts, what was under way is suspect, new processes."""
        left = []
        for future, job in self.flying.items():
            if future.done() and future.exception() is None:
                yield future.result()
            else:
                left.append(job)
        self.flying.clear()
        self.executor.shutdown(wait=True, cancel_futures=True)
        if len(left) == 1:
            (job,) = left
            self.deaths[job.key] += 1
            if self.deaths[job.key] >= ATTEMPTS:
                left = []
                ended = Ended(job, 0.0, DIED)
                self.pool.settle(ended)
                yield ended
        self.suspects.extend(left)
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context(START)
        self.others = set(multiprocessing.active_children())
        self.executor = ProcessPoolExecutor(self.workers, context, _begin, (self.setting.threads,))

    def processes(self) -> set[BaseProcess]:
        return set(multiprocessing.active_children()) - self.others


def _begin(threads: int) -> None:
    """First thing in a worker: end with the driver, keep to the thread budget."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def _locked(job: Job, out: Path, setting: Setting) -> Ended:
    pool = Pool(out)
    with pool.lock(job):
        if pool.state(job) == "finished":  # by another study, meanwhile
            record = pool.record(job)
            return told_of(job, 0.0, record or {})
        ended = perform(job, pool.folder(job), setting)
        pool.settle(ended)
        return ended
