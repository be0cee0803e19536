"""The report room: what the page says is what the folder says, and nothing more."""

import csv
import html
import json
import re
from html.parser import HTMLParser

import pytest

from cliptune.errors import UserError
from cliptune.report import one_run
from cliptune.report.page import write_report
from cliptune.report.read import read_record
from tests.command import contents
from tests.unit.report_runs import DIGITS, ast_selection, write_run

VOID = {"meta", "img", "br", "hr", "link", "input", "path", "use"}
OUTSIDE = re.compile(
    r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import""", re.IGNORECASE
)


class Tags(HTMLParser):
    """Text, attributes, and whether every tag that opens also closes."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.attributes, self.each, self.wrong = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        self.each.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        self.each.append((tag, attributes))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def read_page(path) -> Tags:
    """Parse a report and hold it to what every report owes."""
    found = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(found)
    tags.close()
    assert not tags.wrong, tags.wrong[:3]
    assert not tags.open
    assert len(found.encode()) < 3_000_000
    assert not OUTSIDE.search(found)
    assert ("html", "lang", "en") in tags.attributes
    assert all(value for tag, name, value in tags.attributes if (tag, name) == ("img", "alt"))
    ids = [value for _, name, value in tags.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    pointed = {value[1:] for _, name, value in tags.attributes if name in ("href", "xlink:href") and value[:1] == "#"}
    assert pointed | set(re.findall(r"url\(#([^)]+)\)", found)) <= set(ids)
    drawings = [pairs for tag, pairs in tags.each if ("role", "img") in pairs]
    assert len(drawings) == found.count("<figure ")
    assert all(dict(pairs).get("aria-label") for pairs in drawings)
    assert all(len(pairs) == len(dict(pairs)) for _, pairs in tags.each)
    return tags


def page_of(folder):
    return write_report([folder], folder / "page.html")[0]


@pytest.fixture(scope="module")
def dora(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("runs") / "dora-digits-16shot-s1")
    return folder, write_report([folder])


class TestOneRun:
    def test_writes_html_csv_markdown_and_plots(self, dora):
        folder, written = dora
        assert written[:3] == [folder / "report.html", folder / "report.csv", folder / "report.md"]
        plots = {"loss", "confusion", "classes", "reliability", "retention"}
        assert {path.name for path in written[3:]} == {f"{name}.{kind}" for name in plots for kind in ("png", "svg")}
        assert all(path.stat().st_size > 0 for path in written)

    def test_numbers_are_the_folders(self, dora):
        folder, written = dora
        run = json.loads((folder / "run.json").read_text())
        text = read_page(written[0]).text
        test, zero_shot = run["metrics"]["test"], run["metrics"]["zero_shot"]
        right = {}
        for file in ("predictions.csv", "zero_shot_predictions.csv"):
            with (folder / file).open(newline="") as rows:
                right[file] = [row["label"] == row["prediction"] for row in csv.DictReader(rows)]
        pairs = list(zip(right["predictions.csv"], right["zero_shot_predictions.csv"]))
        fixed, broken = pairs.count((True, False)), pairs.count((False, True))
        gain = 100 * (test["accuracy"] - zero_shot["accuracy"])
        low, high = (100 * end for end in test["interval"])
        assert (
            f"After {100 * test['accuracy']:.1f} % ({low:.1f}–{high:.1f}), "
            f"zero-shot {100 * zero_shot['accuracy']:.1f} %: +{gain:.1f} points; "
            f"{fixed} images fixed, {broken} broken, p < 0.001."
        ) in text
        for name in DIGITS:
            after, before = test["per_class"][name], zero_shot["per_class"][name]
            row = f"{name} {after['n']} {100 * after['accuracy']:.1f} % {100 * before['accuracy']:.1f} %"
            assert row in text
        for key in ("ece", "macro_accuracy"):
            assert f"{100 * test[key]:.1f} % {100 * zero_shot[key]:.1f} %" in text
        assert f"{test['nll']:.3f} {zero_shot['nll']:.3f}" in text
        for name, row in run["retention"].items():
            assert f"{name} {row['n']} {100 * row['before']:.1f} %" in text
            assert f"{100 * row['after']:.1f} %" in text
        for part in ("184,320", "2.88 %", "21 s", "812.0 MB", "3.1e−07", "ab" * 32, "0123456789abcdef", "410"):
            assert part in text

    def test_csv_holds_fractions(self, dora):
        folder, written = dora
        run = json.loads((folder / "run.json").read_text())
        [row] = csv.DictReader(written[1].open(newline=""))
        seven_digits = 1e-7  # what `plain_number` writes
        assert float(row["accuracy"]) == pytest.approx(run["metrics"]["test"]["accuracy"], rel=seven_digits)
        assert float(row["zero_shot"]) == pytest.approx(run["metrics"]["zero_shot"]["accuracy"], rel=seven_digits)
        after = run["retention"]["world/shapes"]["after"]
        assert float(row["retention_world/shapes_after"]) == pytest.approx(after, rel=seven_digits)
        assert (row["seed"], row["trainable_parameters"], row["peak_memory_bytes"]) == ("1", "184320", "812000000")
        assert max(len(value.lstrip("-").replace(".", "")) for key, value in row.items() if key.startswith("gain")) <= 8

    def test_markdown_says_the_same(self, dora):
        _, written = dora
        found = written[2].read_text(encoding="utf-8")
        assert "p < 0.001" in found
        assert "&lt;" not in found
        assert found.startswith("# dora-digits-16shot-s1\n")
        assert "**Adapting helped.** After" in found
        assert "| class | images | after | zero-shot | change, points |" in found

    def test_figures_and_tables_for_a_paper(self, dora, tmp_path):
        written = write_report([dora[0]], tmp_path / "page.html", plots=tmp_path / "figures", latex=True)
        names = {path.name for path in written}
        assert {"page.tex", "loss.png", "loss.svg"} <= names
        found = (tmp_path / "page.tex").read_text(encoding="utf-8")
        assert found.startswith("% dora-digits-16shot-s1; \\usepackage{booktabs}\n")
        assert found.count(r"\begin{tabular}") == found.count(r"\end{tabular}") == found.count(r"\toprule") > 3
        assert "\\caption{Accuracy per class}\n\\begin{tabular}{lrrrr}\n" in found
        assert found.count(r"\begin{table}") == found.count(r"\end{table}") == found.count(r"\begin{tabular}")
        drawn = (tmp_path / "figures" / "loss.svg").read_text(encoding="utf-8")
        assert drawn.startswith("<?xml")
        assert "<text" not in drawn

    def test_tables_can_be_sorted(self, dora):
        tags = read_page(dora[1][0])
        assert ("table", "class", "sortable") in tags.attributes
        assert all("data-order" in dict(pairs) for tag, pairs in tags.each if tag == "td")

    def test_every_figure_has_words(self, dora):
        page = one_run.page_of(read_record(dora[0]))
        for drawing in page.drawings:
            assert drawing.alt
            assert "n = " in drawing.caption or "step" in drawing.caption
            assert re.search("interval", drawing.caption), drawing.caption

    def test_axes_have_units(self, dora):
        for drawing in one_run.page_of(read_record(dora[0])).drawings:
            figure = drawing.figure
            labels = [ax.get_xlabel() for ax in figure.axes] + [ax.get_ylabel() for ax in figure.axes]
            assert any(re.search(r"\(.+\)$", label) for label in labels), drawing.name
            assert figure.axes[0].get_ylabel() or figure.axes[0].get_yticklabels()[0].get_text() in (
                *DIGITS,
                "test (adapted for)",
            )

    def test_same_folder_same_page(self, dora, tmp_path):
        written = write_report([dora[0]], tmp_path / "again.html")
        assert written[0].read_text() == dora[1][0].read_text()
        assert len(written) == 3


class TestVerdict:
    def verdict(self, folder):
        return one_run.page_of(read_record(folder)).verdict

    def test_no_gain_inside_the_noise(self, tmp_path):
        folder = write_run(tmp_path / "run", before=0.64, after=0.65)
        found = self.verdict(folder)
        assert found.kind == "even"
        assert "chance" in found.lead

    def test_a_loss_is_said(self, tmp_path):
        found = self.verdict(write_run(tmp_path / "run", before=0.8, after=0.5))
        assert found.kind == "loss"
        assert "−" in found.sentences[0]

    def test_without_pairs_only_intervals_apart_count(self, tmp_path):
        folder = write_run(tmp_path / "run", before=0.64, after=0.67)
        (folder / "zero_shot_predictions.csv").unlink()
        found = self.verdict(folder)
        assert found.kind == "even"
        assert "No paired test: zero_shot_predictions.csv is missing" in found.sentences[0]

    def test_zero_shot_claims_nothing(self, tmp_path):
        folder = write_run(tmp_path / "run", method="zero_shot", settings={}, steps=0, parameters=0)
        assert "zero-shot itself" in self.verdict(folder).lead

    def test_forgetting_is_named(self, dora):
        assert self.verdict(dora[0]).sentences[1].startswith("Forgotten: world/")


class TestOddRuns:
    def test_script_in_a_class_name_stays_text(self, tmp_path):
        bad = '<script>alert("x")</script>'
        folder = write_run(tmp_path / "run", classes=(bad, "a|b", "$5 note", "日本語", "naïve & ünï"), n=200)
        written = write_report([folder])
        tags = read_page(written[0])
        page = written[0].read_text(encoding="utf-8")
        assert bad not in page
        assert html.escape(bad, quote=False) in page or html.escape(bad) in page
        assert page.count("<script>") == 1
        assert "日本語" in tags.text
        assert "$5 note" in tags.text
        found = written[2].read_text(encoding="utf-8")
        assert "<script" not in found
        assert "a\\|b" in found

    @pytest.mark.parametrize("classes", [1, 2, 41, 1000])
    def test_any_number_of_classes(self, tmp_path, classes):
        names = [f"a rather long name of the class that comes {i}th in this list of classes" for i in range(classes)]
        folder = write_run(tmp_path / "run", classes=names, n=max(60, 3 * classes))
        read_page(write_report([folder], tmp_path / "report.html")[0])

    def test_absent_pieces_are_said(self, tmp_path):
        folder = write_run(tmp_path / "run", gallery=False, retention=False, merge_gap=None, peak_memory_bytes=None)
        for name in ("metrics.jsonl", "predictions.csv", "zero_shot_predictions.csv"):
            (folder / name).unlink()
        text = read_page(page_of(folder)).text
        for piece in (
            "Loss: not measured",
            "Confusions: not measured",
            "Confidence: not measured",
            "Images: not measured",
            "What was forgotten: not measured",
            "peak memory not measured",
            "Paired test: not measured; predictions.csv is missing",
        ):
            assert piece in text

    def test_bare_record(self, tmp_path):
        (tmp_path / "run.json").write_text('{"status": "finished"}')
        text = read_page(write_report([tmp_path])[0]).text
        assert "No accuracy was measured" in text
        assert "None" not in text

    def test_other_named_tests_are_listed(self, tmp_path):
        folder = write_run(tmp_path / "run")
        run = json.loads((folder / "run.json").read_text())
        metrics = run["metrics"]
        named = {
            "base": metrics["test"],
            "novel": metrics["zero_shot"],
            "zero_shot": {"base": {"accuracy": 0.5, "n": 600}},
        }
        (folder / "run.json").write_text(json.dumps(run | {"metrics": named}))
        record = read_record(folder)
        assert record.main == "base"
        assert record.before().accuracy == 0.5
        assert "Every test" in read_page(page_of(folder)).text

    def test_files_that_disagree_are_noticed(self, tmp_path):
        folder = write_run(tmp_path / "run")
        run = json.loads((folder / "run.json").read_text())
        run["metrics"]["test"]["accuracy"] = 0.5
        (folder / "run.json").write_text(json.dumps(run))
        assert "run.json says 50.0 %" in read_page(page_of(folder)).text

    def test_half_a_line_in_the_log_is_counted(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=5)
        with (folder / "metrics.jsonl").open("a") as log:
            log.write('{"event": "st')
        assert "1 line of metrics.jsonl could not be read" in read_page(page_of(folder)).text

    def test_ast_map(self, tmp_path):
        folder = write_run(tmp_path / "run", method="clip_ast", selection=ast_selection())
        text = read_page(page_of(folder)).text
        assert "24 tensors picked (k = 6, granularity = tensor, score = adam)" in text
        assert "Score of 384 tensors" in text

    def test_ast_names_of_no_block_are_listed(self, tmp_path):
        chosen = {"scores": {"logit_scale": 3.0}, "picked": ["logit_scale"], "inert": []}
        folder = write_run(tmp_path / "run", method="clip_ast", selection=chosen)
        assert "logit_scale" in read_page(page_of(folder)).text


class TestRefusals:
    @pytest.mark.parametrize("status", ["running", "failed"])
    def test_unfinished(self, tmp_path, status):
        folder = write_run(tmp_path / "run", status=status)
        with pytest.raises(UserError) as refused:
            write_report([folder])
        assert status in refused.value.what
        assert "--resume" in refused.value.fix

    def test_no_run(self, tmp_path):
        with pytest.raises(UserError, match=r"no run\.json there"):
            write_report([tmp_path])

    def test_runs_one_level_down(self, tmp_path):
        write_run(tmp_path / "run", steps=1, gallery=False)
        with pytest.raises(UserError) as refused:
            write_report([tmp_path])
        assert f"cliptune report {tmp_path}/*" in refused.value.fix

    def test_broken_json(self, tmp_path):
        (tmp_path / "run.json").write_text('{"status": ')
        with pytest.raises(UserError, match=r"run.json is broken"):
            write_report([tmp_path])

    @pytest.mark.parametrize(
        ("text", "said"),
        [("path,label\na,b\n", "no column prediction, score"), ("path,label,prediction,score\na,b,b,x\n", "line 2")],
    )
    def test_broken_predictions(self, tmp_path, text, said):
        folder = write_run(tmp_path / "run", steps=1, gallery=False)
        (folder / "predictions.csv").write_text(text)
        with pytest.raises(UserError, match=said):
            write_report([folder])

    def test_only_what_is_written_is_in_the_way(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, gallery=False)
        (tmp_path / "paper.tex").write_text("mine")
        write_report([folder], tmp_path / "paper.html")
        assert (tmp_path / "paper.tex").read_text() == "mine"

    @pytest.mark.parametrize(
        ("name", "there", "said"),
        [("notes.html", "notes.md", r"notes\.md exists"), ("notes.html", "notes.html", r"notes\.html exists")]
        + [("notes.pdf", "", r"notes\.html"), ("notes", "", r"notes\.html"), ("", "", "it is a folder")],
    )
    def test_a_place_that_is_no_page_s(self, tmp_path, name, there, said):
        folder = write_run(tmp_path / "run", steps=1, gallery=False)
        if there:
            (tmp_path / there).write_text("mine")
        before = contents(tmp_path)
        with pytest.raises(UserError, match=said):
            write_report([folder], tmp_path / name)
        assert contents(tmp_path) == before
        for _ in range(2):  # its own page is replaced
            page_of(folder)

    def test_nothing_given(self):
        with pytest.raises(UserError):
            write_report([])
