"""The engine `local`: runs in processes of this machine, so many at a time, each with its own threads.

A process that dies (killed, out of memory) takes no other run with it: what was under way is tried again, twice, and
goes on from its checkpoint. Processes end with the one that started them, and a run is locked while it is worked on,
so a driver that was killed and started again finds no run worked on twice.
"""

import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path

from cliptune.studies.pool import Ended, Pool, Setting, headline, perform
from cliptune.studies.study import Job

ATTEMPTS = 3


def run(jobs: Sequence[Job], pool: Pool, setting: Setting, workers: int) -> Iterator[Ended]:
    """Do `jobs`, yielding each as it ends, in any order."""
    waiting = deque(jobs)
    attempts: Counter[str] = Counter()
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(setting.threads)  # read by what a new process imports
    executor = _start(workers, setting.threads)
    flying: dict[Future[Ended], Job] = {}
    try:
        while waiting or flying:
            while waiting and len(flying) < workers:
                job = waiting.popleft()
                flying[executor.submit(_locked, job, pool.out, setting)] = job
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            broken = False
            for future in done:
                job = flying.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    broken = True
                    flying[future] = job
            if broken:
                # Nobody says which process died: everything that was under way has had an attempt.
                executor.shutdown(wait=True, cancel_futures=True)
                for job in flying.values():
                    attempts[job.key] += 1
                    if attempts[job.key] < ATTEMPTS:
                        waiting.append(job)
                    else:
                        yield Ended(job, 0.0, _died(workers))
                flying.clear()
                executor = _start(workers, setting.threads)
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _died(workers: int) -> tuple[str, str]:
    fix = f"take fewer --workers (now {workers}), or --memory 2GB" if workers > 1 else "give --memory 2GB, see dmesg"
    return f"its process died {ATTEMPTS} times (killed, or out of memory)", fix


def _start(workers: int, threads: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (threads,))


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
            return Ended(job, 0.0, told=headline(record or {}))
        ended = perform(job, pool.folder(job), setting)
        pool.settle(ended)
        return ended
