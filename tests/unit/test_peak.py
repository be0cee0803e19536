"""Memory is each run's own, or it is not told."""

import numpy as np
import pytest

from cliptune.training import compute as computing
from cliptune.training import peak as peaks
from cliptune.training.compute import compute, forget_peak
from cliptune.training.peak import UNKNOWN, Peak

can_be_set_back = pytest.mark.skipif(not forget_peak(), reason="this system keeps one mark for the process")
LARGE = 200_000_000


@pytest.fixture
def machine():
    return compute("cpu", "float32")


@can_be_set_back
def test_a_second_run_does_not_inherit_the_first_ones_peak(machine):
    first = Peak.start(machine)
    large = np.ones(LARGE, dtype=np.uint8)
    assert large.sum() == LARGE
    del large
    second = Peak.start(machine)
    assert first.measured() is not None
    assert second.measured() < first.at_start + LARGE / 2


@can_be_set_back
def test_a_runs_own_peak_is_counted(machine):
    started = Peak.start(machine)
    large = np.ones(LARGE, dtype=np.uint8)
    del large
    # The kernel counts in pages and pools what it frees; a tenth is more than it can hold back of 200 MB.
    assert started.measured() > started.at_start + 0.9 * LARGE


class TestWhereTheMarkStays:
    @pytest.fixture(autouse=True)
    def other_system(self, monkeypatch, tmp_path):
        monkeypatch.setattr(computing, "CLEAR", tmp_path / "no" / "such" / "file")
        monkeypatch.setattr(peaks, "_earlier", 0)

    def marks(self, monkeypatch, *values):
        left = list(values)
        monkeypatch.setattr(peaks, "resident_bytes", lambda: left.pop(0))
        monkeypatch.setattr(computing, "resident_bytes", lambda: left.pop(0))

    def test_the_first_run_of_a_process_has_the_mark(self, machine, monkeypatch):
        self.marks(monkeypatch, 700, 700)
        assert Peak.start(machine).told() == {"peak_memory_bytes": 700}

    def test_a_later_run_has_none_and_says_why(self, machine, monkeypatch):
        self.marks(monkeypatch, 500, 700, 700)
        Peak.start(machine)
        assert Peak.start(machine).told() == {"peak_memory_bytes": None, "peak_memory_unknown": UNKNOWN}

    def test_a_later_run_that_needs_more_is_told(self, machine, monkeypatch):
        self.marks(monkeypatch, 500, 700, 900)
        Peak.start(machine)
        assert Peak.start(machine).told() == {"peak_memory_bytes": 900}
