"""Loss curves of several runs: what is averaged, smoothed and told as numbers."""

import numpy as np
import pytest

from cliptune.report import plots_loss, theme
from cliptune.report.blocks import Drawing, Table, Text
from cliptune.report.compare import Named, name_all
from cliptune.report.read import read_record
from tests.unit.report_runs import write_run
from tests.unit.test_report_compare import record


def told(losses, phase="train", extra=0.0, start=0):
    return tuple(
        {"event": "step", "phase": phase, "step": start + i, "loss": ce + extra, "parts": {"ce": ce, "scl_text": extra}}
        for i, ce in enumerate(losses, 1)
    )


def named(losses, *, events=None, **run) -> Named:
    found = record("11", **run)
    object.__setattr__(found, "events", events or told(losses))
    return name_all([found])[0][0]


class TestNumbers:
    def test_only_the_cross_entropy_of_the_last_phase(self):
        events = told([9.0, 8.0], "probe") + told([3.0, 2.0, 1.0], "tune", extra=5.0)
        assert plots_loss.cross_entropy(named([], events=events).record) == {1: 3.0, 2: 2.0, 3: 1.0}

    def test_a_run_without_parts_tells_nothing(self):
        events = ({"event": "step", "phase": "train", "step": 1, "loss": 2.0},)
        assert plots_loss.cross_entropy(named([], events=events).record) == {}

    def test_smoothing_by_hand(self):
        assert plots_loss.smooth(np.array([1.0, 2.0, 6.0, 2.0]), 3) == pytest.approx([1.5, 3.0, 10 / 3, 4.0])
        assert plots_loss.smooth(np.array([1.0, 3.0]), 9) == pytest.approx([2.0, 2.0])
        assert plots_loss.smooth(np.arange(5.0), 1) == pytest.approx(np.arange(5.0))

    def test_seeds_are_averaged_on_the_steps_they_share(self):
        runs = [named([4.0, 2.0, 0.0], seed=1), named([2.0, 2.0], seed=2)]
        [curve] = plots_loss.curves(runs)
        assert curve.losses.tolist() == [[4.0, 2.0], [2.0, 2.0]]

    def test_final_loss_and_marks_by_hand(self):
        """A straight fall from 100 to 1 in 100 steps: smoothing changes nothing inside, the last ten average 5.5."""
        fast = named(np.arange(100.0, 0, -1), method="dora")
        slow = named(np.linspace(120, 60, 100))
        first, second = plots_loss.convergence(plots_loss.curves([fast, slow]))
        assert first["final"] == pytest.approx(5.5)
        assert first["deviation"] is None
        assert (first["mark 0.5"], first["below 0.5"]) == (50, 52)
        assert (first["mark 0.25"], first["below 0.25"]) == (25, 77)
        assert second["mark 0.5"] == 50
        assert second["below 0.5"] is None
        [_, table] = plots_loss.loss_curves([fast, slow])
        assert isinstance(table, Table)
        assert "never" in [cell.text for cell in table.cells[1]]
        assert table.numeric[-1]


class TestFigure:
    def test_a_panel_a_cell_a_line_a_label_a_band_over_seeds(self, tmp_path):
        folders = [
            write_run(
                tmp_path / f"{m}-{k}-{s}",
                method=m,
                shots=k,
                seed=s,
                steps=60,
                n=40,
                gallery=False,
            )
            for m in ("lora", "dora")
            for k in (4, 16)
            for s in (1, 2)
        ]
        [drawing, _] = plots_loss.loss_curves(name_all([read_record(folder) for folder in folders])[0])
        assert isinstance(drawing, Drawing)
        assert drawing.wide
        axes = drawing.figure.axes
        assert [ax.get_title(loc="left") for ax in axes] == ["digits · 4 shots", "digits · 16 shots"]
        for ax in axes:
            assert [line.get_label() for line in ax.lines if not line.get_label().startswith("_")] == ["lora", "dora"]
            assert len(ax.collections) == 2
        assert {text.get_text() for text in drawing.figure.legends[0].get_texts()} == {"lora", "dora"}
        assert "over 2 seeds" in drawing.caption
        assert "moving mean over 5 steps" in drawing.caption

    def test_a_label_looks_as_in_the_other_figures(self):
        first, second = named([2.0, 1.0]), named([3.0, 1.0], method="dora")
        silent = Named("quiet", first.cell, record("11", method="quiet"))
        [drawing, _] = plots_loss.loss_curves([silent, first, second])
        drawn = {line.get_label(): line.get_color() for line in drawing.figure.axes[0].lines}
        assert (drawn["lora"], drawn["dora"]) == (theme.series(1)["color"], theme.series(2)["color"])
        assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == ["lora", "dora"]

    def test_too_many_panels_are_counted(self):
        runs = [named([2.0, 1.0], shots=shots) for shots in range(1, 12)]
        [drawing, table] = plots_loss.loss_curves(runs)
        assert len(drawing.figure.axes) == 9
        assert "9 of 11 panels" in drawing.caption
        assert len(table.rows) == 11

    def test_nothing_to_draw_is_said(self):
        [only] = plots_loss.loss_curves([Named("a", named([1.0]).cell, record("1"))])
        assert isinstance(only, Text)
        assert "not measured" in only.text
