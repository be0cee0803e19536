"""How the report writes numbers, and the model card."""

import json
import re
from pathlib import Path

import pytest

from cliptune.report import theme, words
from cliptune.report.card import model_card
from cliptune.report.page import write_report
from cliptune.report.tables import Column
from cliptune.report.writing import Best, markdown_text, to_csv, to_latex
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


class TestTables:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (9600.0, "9600"),
            (0.16400000000000003, "0.164"),
            (3.1e-07, "3.1e-07"),
            (2 / 3, "0.6666667"),
            (723206144.0, "723206144"),
            (None, ""),
            ("a", "a"),
            (True, "True"),
            (float("nan"), "nan"),
        ],
    )
    def test_cells_of_a_csv(self, value, written):
        assert to_csv([{"a": value, "b": "x"}]) == f"a,b\n{written},x\n"

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("p < 0.001", "p < 0.001"),
            ("a <b>bold</b> name", "a &lt;b>bold&lt;/b> name"),
            ("<!-- x -->", "&lt;!-- x -->"),
            ("R & D", "R & D"),
            ("AT&T; &#60;", "AT&amp;T; &amp;#60;"),
            ("1 > 0", "1 > 0"),
        ],
    )
    def test_markdown_reads_nothing_as_html(self, text, written):
        assert markdown_text(text) == written

    @pytest.mark.parametrize(
        ("value", "said"),
        [(3565, "3,600"), (1159.4, "1,200"), (412.0, "410"), (0.8231, "0.82"), (9.96, "10")],
    )
    def test_speeds_have_two_digits(self, value, said):
        assert words.rough(value) == said

    def test_latex_with_a_caption_and_the_best_in_bold(self):
        rows = [{"a": "lora", "b": Best("81.3")}, {"a": "dora", "b": "80.0"}]
        text = to_latex(rows, [Column("a", "method"), Column("b", "4 shots", lambda text: text)], "Accuracy, 50 %")
        assert text.splitlines() == [
            r"\begin{table}",
            r"\centering",
            r"\caption{Accuracy, 50 \%}",
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"method & 4 shots \\",
            r"\midrule",
            r"lora & \textbf{81.3} \\",
            r"dora & 80.0 \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]


def contrast(first: str, second: str) -> float:
    """WCAG 2's contrast of two colours like #0072b2, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


class TestAccess:
    @pytest.mark.parametrize("paper", theme.PAPERS)
    def test_marks_stand_out(self, paper):
        for colour in (*theme.SERIES, theme.BEFORE, theme.AFTER, theme.NEUTRAL):
            assert contrast(colour, paper) >= 3, f"{colour} on {paper}: WCAG 1.4.11 asks for 3"

    def test_the_page_s_own_colours_too(self):
        style = (Path(theme.__file__).parent / "template.html.j2").read_text("utf-8")
        light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", line)) for line in re.findall(r":root \{ .*", style)[:2])
        assert (light["paper"], dark["paper"]) == theme.PAPERS
        for colours in (light, dark):
            assert {"good", "bad", "accent"} <= set(colours)
            for name in ("good", "bad", "accent"):
                assert contrast(colours[name], colours["paper"]) >= 3

    def test_keyboard_and_print(self, tmp_path):
        page = write_report([write_run(tmp_path / "run", steps=1)])[0].read_text("utf-8")
        assert page.index('class="skip" href="#main"') < page.index("<h1>")
        assert '<main id="main">' in page
        boxes = re.findall(r'<div class="scroll[^>]*>', page)
        assert boxes
        assert all('tabindex="0"' in box and 'aria-label="' in box for box in boxes)
        assert "beforeprint" in page
