"""Heat maps of what was picked, and the agreement of picks, worked by hand."""

import numpy as np
import pytest

from cliptune.report import plots_selection
from cliptune.report.blocks import Drawing, Table, Text
from cliptune.report.compare import name_all
from cliptune.report.read import read_record
from tests.unit.report_runs import ast_selection, write_run
from tests.unit.test_report_compare import record

NAMES = [
    f"{tower}.{block}.{part}" for tower in ("vision", "text") for block in (0, 1) for part in ("q.weight", "k.bias")
]


def picked(*names, **run):
    scores = dict.fromkeys(NAMES, 1.0)
    inert = [name for name in NAMES if name.endswith("k.bias")]
    chosen = {"scores": scores, "picked": list(names), "inert": inert}
    return record("11", method="ast", selection=chosen, **run)


def named(*records):
    return name_all(list(records))[0]


class TestShares:
    def test_share_of_seeds(self):
        runs = named(picked("vision.0.q.weight", seed=1), picked("vision.0.q.weight", "text.1.q.weight", seed=2))
        found = {row["name"]: row for row in plots_selection.shares(runs)}
        assert found["vision.0.q.weight"]["share"] == 1.0
        assert found["text.1.q.weight"]["share"] == 0.5
        assert found["vision.1.q.weight"]["share"] == 0.0
        assert found["vision.0.k.bias"]["inert"]
        assert not found["vision.0.q.weight"]["inert"]

    def test_data_sets_count_alike(self):
        one = plots_selection.shares(named(picked("vision.0.q.weight", seed=1), picked("vision.0.q.weight", seed=2)))
        other = plots_selection.shares(named(picked("vision.1.q.weight", data="eurosat")))
        found = {row["name"]: row["share"] for row in plots_selection.mean_over_sets([one, other])}
        assert (found["vision.0.q.weight"], found["vision.1.q.weight"], found["text.0.q.weight"]) == (0.5, 0.5, 0.0)


class TestAgreement:
    def test_by_hand(self):
        """Seeds share one of two picked; towers share block 0 in the second run only; four tensors are ranked."""
        runs = named(
            picked("vision.0.q.weight", "text.1.q.weight", seed=1),
            picked("vision.0.q.weight", "text.0.q.weight", seed=2),
            picked("vision.1.q.weight", "text.1.q.weight", data="eurosat", seed=1),
        )
        rows = {(row["data"], row["between"]): row for row in plots_selection.agreement(runs)}
        assert rows[("digits", "seeds")]["jaccard"] == pytest.approx(1 / 3)
        assert rows[("digits", "seeds")]["pairs"] == 1
        assert rows[("digits", "vision and text")]["jaccard"] == pytest.approx((0 + 1) / 2)
        assert rows[("eurosat", "seeds")]["jaccard"] is None
        assert rows[("digits and eurosat", "data sets")]["jaccard"] == pytest.approx((1 / 3 + 0) / 2)
        assert rows[("digits", "seeds")]["chance"] == pytest.approx(0.5 / 1.5)

    def test_of_empty_sets(self):
        assert plots_selection.jaccard(set(), set()) is None


class TestFigure:
    def test_cells_are_the_shares_and_inert_ones_are_hatched(self):
        runs = named(picked("vision.0.q.weight", seed=1), picked("vision.0.q.weight", "text.1.q.weight", seed=2))
        drawing, table = plots_selection.selection_maps(runs)
        assert isinstance(drawing, Drawing)
        assert isinstance(table, Table)
        vision, text = drawing.figure.axes[:2]
        assert (vision.get_title(loc="left"), text.get_title(loc="left")) == ("vision", "text")
        assert [label.get_text() for label in vision.get_yticklabels()] == ["q.weight", "k.bias"]
        cells = vision.images[0].get_array()
        assert cells[0].tolist() == [100.0, 0.0]
        assert cells.mask[1].all()
        assert text.images[0].get_array()[0].tolist() == [0.0, 50.0]
        assert [patch.get_hatch() for patch in vision.patches] == ["/////"] * 2
        assert "n = 2 runs" in drawing.caption
        assert "never ranked (4)" in drawing.caption

    def test_several_sets_have_a_mean_first(self, tmp_path):
        folders = [
            write_run(tmp_path / f"{data}", steps=0, n=20, gallery=False, selection=ast_selection(), method="ast")
            for data in ("one", "two")
        ]
        records = [read_record(folder) for folder in folders]
        records[1].run["data"]["name"] = "pets"
        blocks = plots_selection.selection_maps(name_all(records)[0])
        drawings = [block for block in blocks if isinstance(block, Drawing)]
        assert [each.name for each in drawings] == ["picks-mean-0", "picks-0", "picks-1"]
        assert "mean over 2 data sets" in drawings[0].caption
        shown = np.sum([ax.images[0].get_array().sum() for ax in drawings[0].figure.axes[:2]])
        assert shown == pytest.approx(100 * 24)

    def test_without_any_selection(self):
        [only] = plots_selection.selection_maps(named(record("1")))
        assert isinstance(only, Text)
