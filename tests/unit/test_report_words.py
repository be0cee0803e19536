"""How the report writes numbers, and the model card."""

import json

import pytest

from cliptune.report import words
from cliptune.report.card import model_card
from tests.unit.report_runs import write_run


class TestWords:
    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (words.percent(0.912), "91.2 %"),
            (words.percent(None), "not measured"),
            (words.percent(float("nan")), "not measured"),
            (words.points(0.272), "+27.2"),
            (words.points(-0.0001), "0.0"),
            (words.points(-0.031), "−3.1"),
            (words.interval((0.893, 0.928)), "89.3–92.8"),
            (words.p_value(0.0004), "p < 0.001"),
            (words.p_value(0.5), "p = 0.50"),
            (words.seconds(221.3), "3 min 41 s"),
            (words.size(5.1e9), "5.1 GB"),
            (words.abbreviated(1500), "1.5 k"),
            (words.short("an extremely long name", 12), "an extre…ame"),
        ],
    )
    def test_format(self, said, expected):
        assert said == expected

    def test_short_names_stay_apart(self):
        names = [f"the class with a number {i} and more words" for i in range(20)]
        assert len(set(words.distinct(names, 14))) == 20
        assert len(set(words.distinct([f"{'x' * 40}{i}{'y' * 40}" for i in range(20)], 14))) == 20


class TestCard:
    def test_says_what_it_is(self, tmp_path):
        folder = write_run(tmp_path / "dora-digits-16shot-s1", steps=1, gallery=False)
        run = json.loads((folder / "run.json").read_text())
        card = model_card(run)
        front, _, body = card.removeprefix("---\n").partition("---\n")
        assert 'base_model: "mini"' in front
        assert "library_name: cliptune" in front
        assert "license" not in front
        test = run["metrics"]["test"]
        low, high = test["interval"]
        assert f"| this adapter | {100 * test['accuracy']:.1f} % | {100 * low:.1f}–{100 * high:.1f} | 600 |" in body
        for part in (
            'cliptune.Run.open("dora-digits-16shot-s1")',
            "cliptune predict",
            "cliptune merge",
            "ab" * 32,
            "world/shapes",
        ):
            assert part in body

    def test_names_cannot_break_it(self):
        card = model_card({"name": "a: b\n---", "method": "dora", "data": {"name": '"x"\n- y', "classes": ["<b>"]}})
        front = card.split("---\n")[1]
        assert all(line.startswith(("library_name:", "pipeline_tag:", "tags:", "- ")) for line in front.splitlines())
        assert "<b>" not in card

    def test_of_an_empty_record(self):
        assert "not measured" in model_card({})
