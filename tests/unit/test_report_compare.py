"""Several runs: means, paired differences, and refusals; statistics against numbers worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cliptune import statistics
from cliptune.report import several_runs, words
from cliptune.report.compare import groups, name_all
from cliptune.report.page import write_report
from cliptune.report.pairs import pairs, seen_from
from cliptune.report.read import Predictions, Record, read_record
from cliptune.report.tables import Column, headline, paired_test, reliability
from cliptune.report.training import steps
from cliptune.report.writing import latex_text, to_csv, to_latex, to_markdown
from tests.unit.report_runs import ast_selection, write_run
from tests.unit.test_report import read_page


def record(
    right: str, *, method="lora", seed=1, shots=4, episode="e", settings=None, data="digits", zero_shot="", **run
) -> Record:
    """A run in memory: '1101' is right, right, wrong, right on images 0–3."""

    def rows(text):
        labels = tuple("a" for _ in text)
        guesses = tuple("a" if letter == "1" else "b" for letter in text)
        return Predictions(tuple(map(str, range(len(text)))), labels, guesses, np.full(len(text), 0.9))

    metrics = {"test": {"accuracy": right.count("1") / len(right), "n": len(right)}}
    if zero_shot:
        metrics["zero_shot"] = {"accuracy": zero_shot.count("1") / len(zero_shot), "n": len(zero_shot)}
    table = {
        "name": f"{method}-{shots}-{seed}",
        "method": method,
        "settings": settings or {},
        "data": {"name": data, "episode_sha256": f"{episode}{shots}-{seed}"},
        "model": {"name": "mini", "sha256": "m"},
        "protocol": "few-shot",
        "shots": shots,
        "seed": seed,
        "metrics": metrics,
    }
    return Record(Path(table["name"]), table | run, (), rows(right), rows(zero_shot) if zero_shot else None)


class TestStatistics:
    @pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (5, 0), (8, 2), (12, 12), (301, 29), (0, 900)])
    def test_mcnemar_is_the_binomial_test(self, fixed, broken):
        expected = stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
        assert statistics.mcnemar(fixed, broken) == pytest.approx(expected, rel=1e-9)

    def test_mcnemar_by_hand(self):
        assert statistics.mcnemar(5, 0) == 2 / 32
        assert statistics.mcnemar(3, 1) == 2 * (1 + 4) / 16

    def test_wilson_by_hand(self):
        low, high = statistics.wilson(0.9, 100)
        assert (low, high) == pytest.approx((0.8256, 0.9448), abs=1e-4)
        assert statistics.wilson(1.0, 0) == (0.0, 1.0)

    def test_calibration_by_hand(self):
        confidence, correct = np.array([0.91, 0.93, 0.501, 0.519]), np.array([True, False, True, True])
        bins = statistics.calibration(confidence, correct, bins=10)
        assert [(each.n, each.accuracy) for each in bins] == [(2, 1.0), (2, 0.5)]
        expected = 0.5 * abs(0.51 - 1.0) + 0.5 * abs(0.92 - 0.5)
        assert statistics.expected_calibration_error(bins) == pytest.approx(expected)

    def test_an_edge_belongs_to_the_bin_below(self):
        """As in Guo et al. 2017 (arXiv 1706.04599): bins (low, high]."""
        assert [
            (each.low, each.high) for each in statistics.calibration(np.array([0.5]), np.array([True]), bins=2)
        ] == [(0.0, 0.5)]

    def test_certainty_has_a_bin(self):
        [only] = statistics.calibration(np.array([1.0]), np.array([True]))
        assert (only.low, only.n) == (14 / 15, 1)

    def test_bootstrap_covers_the_normal_interval(self):
        difference = np.repeat([1.0, 0.0, -1.0], [60, 320, 20])
        low, high = statistics.paired_bootstrap([difference])
        half = 1.96 * difference.std() / 20
        assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), abs=0.004)
        assert (low, high) == statistics.paired_bootstrap([difference])

    def test_bootstrap_of_no_difference(self):
        assert statistics.paired_bootstrap([np.zeros(50)]) == (0.0, 0.0)

    def test_deviation_is_the_samples(self):
        assert statistics.mean_and_deviation([0.8, 0.9, 1.0]) == pytest.approx((0.9, 0.1))
        assert statistics.mean_and_deviation([0.8]) == (0.8, None)


class TestOneRecord:
    def test_headline_and_pair_by_hand(self):
        found = record("11110", zero_shot="10001")
        assert headline(found)["gain"] == pytest.approx(0.4)
        assert headline(found)["errors_removed"] == pytest.approx(0.4 / 0.6)
        pair = paired_test(found)
        assert [pair[key] for key in ("both_right", "fixed", "broken", "both_wrong")] == [1, 3, 1, 0]
        assert pair["p"] == 2 * (1 + 4) / 16

    def test_other_images_are_not_paired(self):
        assert paired_test(record("111", zero_shot="11")) is None

    def test_page_ece_is_the_csvs(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, gallery=False)
        after = [row for row in reliability(read_record(folder)) if row["when"] == "after"]
        told = json.loads((folder / "run.json").read_text())["metrics"]["test"]["ece"]
        assert after[0]["ece"] == pytest.approx(told, abs=1e-6)

    def test_phases_count_on_and_a_resume_replaces(self):
        def step(phase, number, loss):
            return {"event": "step", "phase": phase, "step": number, "loss": loss, "parts": {}}

        events = (
            step("probe", 1, 9.0),
            step("probe", 2, 8.0),
            step("train", 1, 7.0),
            step("train", 2, 6.0),
            step("train", 2, 5.0),
        )
        found = steps(Record(Path(), {}, events))
        assert [(row["step"], row["loss"]) for row in found] == [(1, 9.0), (2, 8.0), (3, 7.0), (4, 5.0)]

    def test_writers(self):
        rows = [{"a": 1.5, "b": None}, {"a": "x|y", "c": True}]
        assert to_csv(rows) == "a,b,c\n1.5,,\nx|y,,True\n"
        assert to_markdown(rows).splitlines()[2:] == [
            "| 1.5 | not measured | not measured |",
            "| x\\|y | not measured | yes |",
        ]

    def test_latex_needs_booktabs_alone(self):
        columns = (Column("a", "a & b"), Column("b", "gain, points", words.points))
        assert to_latex([{"a": "lora_xs r=2", "b": -0.031}, {"a": "50 %", "b": None}], columns).splitlines() == [
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"a \& b & gain, points \\",
            r"\midrule",
            r"lora\_xs r=2 & $-$3.1 \\",
            r"50 \% & not measured \\",
            r"\bottomrule",
            r"\end{tabular}",
        ]

    def test_latex_escapes_what_tex_would_read(self):
        assert latex_text("[a]\\b{c}~^$#*") == (
            r"{[}a]\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\$\#{*}"
        )


class TestCompare:
    def test_mean_and_deviation_over_seeds(self):
        runs = [record(right, seed=seed, zero_shot="1000") for seed, right in enumerate(("1110", "1111", "1100"), 1)]
        [row] = groups(name_all(runs)[0])
        assert row["accuracy"] == pytest.approx(0.75)
        assert row["deviation"] == pytest.approx(0.25)
        assert row["gain"] == pytest.approx(0.5)
        assert row["seeds"] == [1, 2, 3]

    def test_labels_name_what_differs(self):
        runs = [record("11", settings={"rank": rank, "alpha": 1.0}, seed=rank) for rank in (2, 4)] + [
            record("11", method="dora")
        ]
        assert [each.label for each in name_all(runs)[0]] == ["lora rank=2", "lora rank=4", "dora"]

    def test_a_learning_rate_tied_to_the_shots_is_no_other_method(self):
        runs = [record("11", shots=shots, recipe={"train": {"steps": 10 * shots}}) for shots in (1, 4)]
        assert {each.label for each in name_all(runs)[0]} == {"lora"}
        runs = [record("11", seed=seed, recipe={"train": {"lr": seed / 10}}) for seed in (1, 2)]
        assert [each.label for each in name_all(runs)[0]] == ["lora train.lr=0.1", "lora train.lr=0.2"]

    def test_twins_are_told(self):
        first, second = record("11", finished="2025-01-01"), record("10", finished="2025-01-02", name="later")
        runs, notes = name_all([second, first])
        assert [each.record.name for each in runs] == ["later"]
        assert "later" in notes[0]

    def test_paired_difference_by_hand(self):
        runs = [record("1110", seed=1), record("1111", seed=2)]
        runs += [record("1000", seed=1, method="dora"), record("1111", seed=2, method="dora")]
        found = pairs(name_all(runs)[0])
        [mean] = found.means
        assert mean["difference"] == pytest.approx(0.25)
        assert (mean["wins"], mean["ties"], mean["losses"]) == (1, 1, 0)
        assert mean["images"] == 4
        assert [cell["difference"] for cell in found.cells] == [0.5, 0.0]
        assert found.cells[0]["fixed"] == 2
        turned = seen_from(mean, "dora")
        assert (turned["difference"], turned["wins"], turned["losses"]) == (pytest.approx(-0.25), 0, 1)
        assert turned["interval"] == (-mean["interval"][1], -mean["interval"][0])
        assert not found.refused

    def test_mean_weighs_cells_alike_whatever_their_images(self):
        runs = [record("11", seed=1), record("11", seed=2), record("1111", seed=3)]
        runs += [
            record("00", seed=1, method="dora"),
            record("00", seed=2, method="dora"),
            record("1111", seed=3, method="dora"),
        ]
        [mean] = pairs(name_all(runs)[0]).means
        assert mean["difference"] == pytest.approx(2 / 3)
        assert mean["interval"] == (-1.0, 1.0)  # three draws of which two differ by everything and one by nothing

    def test_other_episodes_are_refused_in_words(self):
        runs = [record("11"), record("10", method="dora", episode="other")]
        found = pairs(name_all(runs)[0])
        assert not found.means
        assert found.refused == [
            "lora and dora, digits, 4 shots, seed 1: different episodes (e4-1… and other4-1…), not paired."
        ]

    def test_missing_partner_is_told(self):
        runs = [record("11", seed=1), record("11", seed=2), record("10", seed=1, method="dora")]
        found = pairs(name_all(runs)[0])
        assert len(found.means) == 1
        assert found.refused == ["lora, digits, 4 shots, seed 2: dora has no run there, so no pair."]

    def test_other_data_never_meet(self):
        runs = [record("11"), record("10", method="dora", data="eurosat")]
        assert pairs(name_all(runs)[0]).cells == []


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    return [
        write_run(
            root / f"{method}-{shots}-{seed}",
            method=method,
            shots=shots,
            seed=seed,
            after=after - (0.06 if shots == 4 else 0),
            parameters=parameters,
            steps=3,
            n=300,
            gallery=False,
            episode="unlike" if (method, shots, seed) == ("dora", 4, 2) else None,
        )
        for method, after, parameters in (
            ("lora", 0.75, 36_864),
            ("dora", 0.95, 41_472),
            ("linear_probe", 0.7, 5_130),
        )
        for shots in (4, 16)
        for seed in (1, 2, 3)
    ]


class TestPage:
    def test_comparison(self, folders, tmp_path):
        written = write_report(folders, tmp_path / "all.html", plots=tmp_path / "plots")
        text = read_page(written[0]).text
        rows = groups(name_all([read_record(folder) for folder in folders])[0])
        assert len(rows) == 6
        for row in rows:
            mean, deviation = 100 * row["accuracy"], 100 * row["deviation"]
            assert (
                f"{row['label']} {row['shots']} 3 {mean:.1f} % {deviation:.1f} {100 * row['zero_shot']:.1f} %" in text
            )
        assert "One method is ahead." in text
        assert "digits, mini: dora is ahead of lora by" in text
        assert "(1 cell not paired, see below)" in text
        assert "4 shots, seed 2: different episodes" in text
        assert (tmp_path / "plots" / "forest-0.png").is_file()
        assert len(written[1].read_text().splitlines()) == 19

    def test_sections_follow_what_the_records_hold(self, tmp_path):
        def anchors(*methods):
            found = [
                write_run(
                    tmp_path / f"{method}-{seed}",
                    method=method,
                    seed=seed,
                    steps=6,
                    n=60,
                    gallery=False,
                    selection=ast_selection(blocks=2) if method == "ast" else None,
                )
                for method in methods
                for seed in (1, 2)
            ]
            return [section.anchor for section in several_runs.page_of([read_record(f) for f in found]).sections]

        assert not {"losses", "picks"} & set(anchors("lora"))
        assert anchors("lora", "dora")[2:4] == ["losses", "forgotten"]
        assert anchors("lora", "ast")[2:5] == ["losses", "picks", "forgotten"]

    def test_the_means_say_who_is_only_tied(self, folders):
        page = several_runs.page_of([read_record(folder) for folder in folders])
        table, by_shots = [b for b in page.sections[0].blocks if b.kind == "table"]
        assert [column.title for column in by_shots.columns] == ["method", "4 shots", "16 shots"]
        at = [column.title for column in table.columns].index("beside the best")
        told = {(row[0].text, row[1].text): row[at].text for row in table.cells}
        assert told[("dora", "16")] == "ahead"
        assert told[("lora", "16")] == "behind"
        # at 4 shots seed 2 of dora saw another episode, so two draws are left
        assert told[("dora", "4")] == "highest on these draws"
        assert told[("lora", "4")] == "lower on these draws"

    def test_alike_methods_are_not_ranked(self, tmp_path):
        folders = [
            write_run(
                tmp_path / f"{method}-{seed}", method=method, seed=seed, steps=0, n=200, gallery=False, parameters=0
            )
            for method in ("lora", "dora")
            for seed in (1, 2)
        ]
        page = several_runs.page_of([read_record(folder) for folder in folders])
        assert page.verdict.kind == "even"
        assert "cannot be told" in page.verdict.sentences[0]
        read_page(write_report(folders, tmp_path / "all.html")[0])

    def test_runs_without_anything_in_common(self, tmp_path):
        (tmp_path / "bare").mkdir()
        (tmp_path / "bare" / "run.json").write_text('{"status": "finished"}')
        folders = [tmp_path / "bare", write_run(tmp_path / "one", steps=1, gallery=False, retention=False)]
        text = read_page(write_report(folders, tmp_path / "all.html")[0]).text
        assert "No two methods ran on the same data" in text
        assert "None" not in text
