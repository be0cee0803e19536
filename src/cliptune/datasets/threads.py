"""One piece of work over many files at once, without torch."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def in_threads(work: Callable[[In], Out], jobs: Sequence[In]) -> list[Out]:
    """`work` over `jobs`, in order; Pillow decodes and resizes without the interpreter's lock."""
    workers = min(len(jobs), os.cpu_count() or 1, 8)
    if workers < 2:
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, jobs))
