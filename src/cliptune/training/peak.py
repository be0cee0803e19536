"""The largest memory of one run, not of the process that does several.

On a GPU torch counts for the run. On the CPU the system keeps one mark for the process: Linux lets it be set back at
the start of a run. Elsewhere the mark is this run's if no other ran before in the process, or if it has risen since.
"""

from dataclasses import dataclass

import torch

from cliptune.training.compute import Compute, forget_peak, resident_bytes

UNKNOWN = (
    "Peak memory is not known: this process did other runs before, and the system keeps one mark for all of them. "
    "Start the run by itself to measure it."
)
_earlier = 0
"""runs that this process began"""


@dataclass(frozen=True)
class Peak:
    """The mark at the start of a run."""

    compute: Compute
    is_own: bool
    """whether whatever the mark is at the end is this run's"""
    at_start: int
    """bytes"""

    @classmethod
    def start(cls, compute: Compute) -> "Peak":
        global _earlier
        if compute.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(compute.device)
            return cls(compute, True, 0)
        is_own = forget_peak() or _earlier == 0
        _earlier += 1
        return cls(compute, is_own, resident_bytes())

    def measured(self) -> int | None:
        """Bytes; None where the mark may be an earlier run's."""
        peak = self.compute.peak_memory_bytes()
        return peak if self.is_own or peak > self.at_start else None

    def told(self) -> dict[str, int | str | None]:
        """The record's part: `peak_memory_bytes`, and why there is none."""
        peak = self.measured()
        return {"peak_memory_bytes": peak} | ({"peak_memory_unknown": UNKNOWN} if peak is None else {})
