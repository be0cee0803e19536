"""Accuracy against a setting: which runs make a line, where the values stand, what is refused."""

import json

import pytest

from cliptune.errors import UserError
from cliptune.report import plots_ablation
from cliptune.report.compare import name_all
from cliptune.report.read import read_record
from tests.unit.test_report_compare import record
from tests.unit.test_report_leading import halves_run, unequal_run


def ast(k, right="1110", **run):
    return record(
        right, method="ast", settings={"k": k, "score": run.pop("score", "mean_inv")}, zero_shot="1000", **run
    )


def named(*records):
    return name_all(list(records))[0]


class TestRows:
    def test_mean_over_seeds_and_one_line(self):
        runs = named(ast(6, "1111", seed=1), ast(6, "1100", seed=2), ast(2, "1000", seed=1))
        for key in ("k", "settings.k"):
            two, six = plots_ablation.setting_rows(runs, key)
            assert (two["value"], six["value"]) == (2, 6)
            assert two["line"] == six["line"] == "digits"
            assert (six["accuracy"], six["runs"], two["deviation"]) == (0.75, 2, None)
            assert six["deviation"] == pytest.approx(0.5 / 2**0.5)
            assert six["zero_shot"] == 0.25

    def test_a_line_a_data_set(self):
        rows = plots_ablation.setting_rows(named(*(ast(k, data=d) for k in (2, 4) for d in ("pets", "dtd"))), "k")
        assert [(row["line"], row["value"]) for row in rows] == [("pets", 2), ("pets", 4), ("dtd", 2), ("dtd", 4)]

    def test_another_setting_makes_another_line(self):
        runs = named(*(ast(k, score=score) for score in ("mean_inv", "random") for k in (2, 4)))
        assert {row["line"] for row in plots_ablation.setting_rows(runs, "k")} == {
            "ast score=mean_inv",
            "ast score=random",
        }

    def test_keys_of_the_recipe(self):
        runs = named(*(record("11", seed=seed, recipe={"train": {"lr": lr}}) for seed, lr in ((1, 1e-3), (2, 1e-4))))
        assert [row["value"] for row in plots_ablation.setting_rows(runs, "train.lr")] == [1e-4, 1e-3]

    def test_an_unknown_key_is_refused(self):
        with pytest.raises(UserError, match="no run has the setting 'kk'") as refused:
            plots_ablation.setting_rows(named(ast(2)), "kk")
        assert "k" in refused.value.fix


class TestFigure:
    def draw(self, *records, key="k"):
        return plots_ablation.setting_curve(named(*records), key)

    def test_line_bars_and_zero_shot(self):
        drawing = self.draw(ast(2, "1000"), ast(4, "1110", seed=1), ast(4, "1111", seed=2))
        [ax] = drawing.figure.axes
        curve = next(line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-")
        assert list(curve.get_xdata()) == [2, 4]
        assert list(curve.get_ydata()) == [25.0, 87.5]
        dotted = next(line for line in ax.lines if line.get_label() == "zero-shot")
        assert list(dotted.get_ydata()) == [25.0, 25.0]
        assert ax.get_xscale() == "linear"
        assert ax.get_xlabel() == "k"
        assert "one sample standard deviation over 2 seeds" in drawing.caption
        assert "of a single run its 95 % interval" in drawing.caption

    @pytest.mark.parametrize(("highest", "scale"), [(20, "linear"), (21, "log")])
    def test_a_wide_span_is_logarithmic(self, highest, scale):
        drawing = self.draw(ast(1), ast(highest))
        assert drawing.figure.axes[0].get_xscale() == scale
        assert ("logarithmic" in drawing.caption) == (scale == "log")

    def test_words_are_categories(self):
        drawing = self.draw(ast(2, score="mean_inv"), ast(2, score="random"), key="score")
        ax = drawing.figure.axes[0]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["mean_inv", "random"]

    def test_several_sets_have_several_zero_shot_lines(self):
        drawing = self.draw(*(ast(k, data=data) for k in (2, 4) for data in ("pets", "dtd")))
        names = [line.get_label() for line in drawing.figure.axes[0].lines]
        assert {"zero-shot, pets", "zero-shot, dtd"} <= set(names)

    def test_table_has_the_same_numbers(self):
        table = plots_ablation.setting_table(named(ast(2), ast(4)), "k")
        assert [cell.text for cell in table.cells[1]] == ["digits", "4", "4", "1", "75.0 %", "one run", "25.0 %"]


class TestWhatLeads:
    def curve(self, folders):
        runs = name_all([read_record(folder) for folder in folders])[0]
        drawing = plots_ablation.setting_curve(runs, "train.lr")
        return drawing, plots_ablation.setting_table(runs, "train.lr")

    def with_rate(self, folder, lr):
        run = json.loads((folder / "run.json").read_text())
        run["recipe"]["train"]["lr"] = lr
        (folder / "run.json").write_text(json.dumps(run))
        return folder

    def test_the_harmonic_mean_of_base_and_novel(self, tmp_path):
        reached = {1e-3: ((60, 160), (120, 80)), 1e-4: ((60, 120), (120, 120))}
        drawing, table = self.curve(
            [self.with_rate(halves_run(tmp_path / str(lr), *pair), lr) for lr, pair in reached.items()]
        )
        [ax] = drawing.figure.axes
        assert ax.get_ylabel() == "test harmonic mean of base and novel (%)"
        assert drawing.caption.startswith("Harmonic mean of base and novel by train.lr.")
        curve = next(line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-")
        assert list(curve.get_ydata()) == pytest.approx([60.0, 100 * 2 * 0.8 * 0.4 / 1.2])
        chance = next(line for line in ax.lines if line.get_label() == "chance")
        assert list(chance.get_ydata()) == pytest.approx([20.0, 20.0]), "five classes a half"
        assert [column.title for column in table.columns][-4:] == [
            "harmonic mean of base and novel",
            "± s.d., points",
            "zero-shot",
            "accuracy",
        ]

    def test_the_mean_over_unequal_classes(self, tmp_path):
        reached = {1e-3: (176, 16), 1e-4: (190, 10)}
        drawing, table = self.curve(
            [self.with_rate(unequal_run(tmp_path / str(lr), (196, 2), right), lr) for lr, right in reached.items()]
        )
        assert drawing.figure.axes[0].get_ylabel() == "test mean over classes (%)"
        assert [cell.text for cell in table.cells[1]][-4:] == ["84.0 %", "one run", "54.0 %", "87.3 %"]
