"""The report of runs that segment: figures worked by hand, pages that hold, refusals in two lines."""

import csv
import json
import re

import numpy as np
import pytest

# isort: split

from cliptune.errors import UserError
from cliptune.report import segment_one, segment_several
from cliptune.report.blocks import Overlays, Table
from cliptune.report.card import model_card
from cliptune.report.compare import name_all
from cliptune.report.page import write_report
from cliptune.report.segment_compare import groups, spread_over_images
from cliptune.report.segment_read import read_mask_predictions, read_segment_record
from tests.unit.report_runs import write_run
from tests.unit.segment_runs import row, write_files, write_segment_run
from tests.unit.test_report import read_page

BEFORE = [row("a", 0.2), row("b", 0.4, truth=100), row("c", 0.6, truth=3000), row("d", 0.0, truth=0, found=40)]
AFTER = [row("a", 0.8), row("b", 0.7, truth=100), row("c", 0.5, truth=3000), row("d", 1.0, truth=0, found=0)]
"""means: 0.3 before, 0.75 after; three better, one worse"""


def by_hand(folder, seed=1, method="lora", after=AFTER, **over):
    return write_files(folder, BEFORE, after, seed=seed, method=method, thumbnails=False, **over)


def table_of(page, section, title=None):
    blocks = next(each.blocks for each in page.sections if each.anchor == section)
    return next(
        block for block in blocks if isinstance(block, Table) and (title is None or block.title.startswith(title))
    )


def cells(table):
    """First cell of every row → the texts of the others."""
    return {line[0].text: [cell.text for cell in line[1:]] for line in table.cells}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = write_segment_run(tmp_path_factory.mktemp("runs") / "lora-kvasir-16shot-s1")
    return folder, write_report([folder], latex=True)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    home = tmp_path_factory.mktemp("several")
    strengths = {"lora": (0.8, 60_000), "bitfit": (0.79, 20_000), "linear_probe": (0.5, 512)}
    folders = [
        write_segment_run(home / f"{name}-s{seed}", method=name, seed=seed, after=after, parameters=size, n=24)
        for name, (after, size) in strengths.items()
        for seed in (1, 2)
    ]
    return folders, write_report(folders, home / "comparison.html", home / "plots", latex=True)


class TestByHand:
    def test_headline(self, tmp_path):
        page = segment_one.page_of(read_segment_record(by_hand(tmp_path / "run")))
        said = page.verdict.sentences[0]
        assert said.startswith("Dice 75.0 % (72.0–78.0) after, zero-shot 30.0 %: +45.0 points (95 % ")
        assert said.endswith("3 images better, 1 worse of 4.")
        told = {tile.name: (tile.value, tile.beside) for tile in page.tiles}
        assert told["Dice after"] == ("75.0 %", "95 % 72.0–78.0, n = 4")
        assert told["trainable parameters"] == ("100,000", "5 % of the backbone; 25.0 % of them in the decoder")
        # IoU = Dice / (2 − Dice): 2/3, 7/13, 1/3, 1
        assert told["IoU after"][0] == f"{100 * (2 / 3 + 7 / 13 + 1 / 3 + 1) / 4:.1f} %"

    def test_the_interval_decides(self, tmp_path):
        def kind(name, after):
            return segment_one.page_of(read_segment_record(by_hand(tmp_path / name, after=after))).verdict.kind

        other = [row("a", 0.3), row("b", 0.3, truth=100), row("c", 0.7, truth=3000), row("d", 0.0, truth=0, found=9)]
        worse = [row("a", 0.1), row("b", 0.2, truth=100), row("c", 0.3, truth=3000), row("d", 0.0, truth=0, found=9)]
        assert [kind("even", other), kind("loss", worse)] == ["even", "loss"]

    def test_measures_sizes_and_empty_masks(self, tmp_path):
        page = segment_one.page_of(read_segment_record(by_hand(tmp_path / "run")))
        measures = cells(table_of(page, "result"))
        assert measures["Dice, at the model's input size"] == ["74.0 %", "29.0 %"]
        assert measures["answered empty, of 1 image with nothing to mark"] == ["100.0 %", "0.0 %"]
        sizes = cells(table_of(page, "sizes", "By size"))
        assert list(sizes) == ["nothing", "small", "large"]
        # a (5 % of the image) and b (1 %) are small: (0.8 + 0.7) / 2 after, (0.2 + 0.4) / 2 before
        assert sizes["small"][:5] == ["0.1–5.0 %", "2", "75.0 %", "30.0 %", "+45.0"]
        assert sizes["large"][1:4] == ["1", "50.0 %", "60.0 %"]
        assert not [
            block for block in page.sections[2].blocks if isinstance(block, Table) and block.title == "By group"
        ]

    def test_groups(self, tmp_path):
        after = [row("a", 0.8, group="x"), row("b", 0.6, group="y"), row("c", 0.4, group="x")]
        before = [row("a", 0.1, group="x"), row("b", 0.2, group="y"), row("c", 0.3, group="x")]
        folder = write_files(tmp_path / "run", before, after, thumbnails=False)
        found = cells(table_of(segment_one.page_of(read_segment_record(folder)), "sizes", "By group"))
        assert found["x"][:4] == ["2", "60.0 %", "20.0 %", "+40.0"]
        assert found["y"][:4] == ["1", "60.0 %", "20.0 %", "+40.0"]

    def test_means_over_seeds(self, tmp_path):
        second = [row("a", 0.6), row("b", 0.5, truth=100), row("c", 0.5, truth=3000), row("d", 1.0, truth=0, found=0)]
        folders = [by_hand(tmp_path / "1", 1), by_hand(tmp_path / "2", 2, after=second)]
        records = [read_segment_record(folder) for folder in folders]
        [found] = groups(name_all(records)[0])
        # 0.75 and 0.65
        assert found["dice"] == pytest.approx(0.7)
        assert found["deviation"] == pytest.approx(0.1 / 2**0.5)
        assert found["gain"] == pytest.approx(0.4)
        assert found["gain_interval"][0] < 0.4 < found["gain_interval"][1]
        assert spread_over_images(records) == pytest.approx([0.7, 0.6, 0.5, 1.0])
        assert spread_over_images(records, zero_shot=True) == pytest.approx([0.2, 0.4, 0.6, 0.0])

    def test_paired_differences(self, tmp_path):
        worse = [row("a", 0.5), row("b", 0.5, truth=100), row("c", 0.5, truth=3000), row("d", 1.0, truth=0, found=0)]
        folders = [by_hand(tmp_path / "lora"), by_hand(tmp_path / "bitfit", method="bitfit", after=worse)]
        page = segment_several.page_of([read_segment_record(folder) for folder in folders])
        # (0.3 + 0.2 + 0 + 0) / 4; better on a and b, equal on c and d
        [[first, second, cells_, difference, *_]] = table_of(page, "pairs", "Mean differences").cells
        assert [first.text, second.text, cells_.text, difference.text] == ["lora", "bitfit", "1", "+12.5"]
        [cell] = table_of(page, "pairs", "Every cell").rows
        assert (cell["fixed"], cell["broken"], cell["p"]) == (2, 0, 0.5)
        assert page.verdict.kind == "even"  # with four images the interval reaches zero
        assert [line["standing"] for line in table_of(page, "means").rows] == ["highest", "tied"]

    def test_csv(self, tmp_path):
        [_, path, *_] = write_report([by_hand(tmp_path / "run")])
        [line] = csv.DictReader(path.open(newline=""))
        assert float(line["dice"]) == pytest.approx(0.75)
        assert float(line["gain"]) == pytest.approx(0.45)
        assert (line["prompt"], line["better"], line["worse"], line["empty_right"]) == ("p1", "3", "1", "1")
        assert float(line["dice_small"]) == pytest.approx(0.75)


class TestOneRun:
    def test_page_holds(self, one):
        folder, written = one
        tags = read_page(written[0])
        assert {path.stem for path in written if path.suffix == ".png"} == {"dice", "loss"}
        for part in ("Below: Dice on the validation images", "Validation Dice at the end: 75.0 %", "p1 ('polyp')"):
            assert part in tags.text
        assert "accuracy" not in tags.text
        assert "None" not in tags.text
        assert "Warning" not in tags.text
        assert "tabular" in (folder / "report.tex").read_text()

    def test_overlays(self, one):
        folder, written = one
        page = segment_one.page_of(read_segment_record(folder))
        shown = [block for each in page.sections for block in each.blocks if isinstance(block, Overlays)]
        assert [block.title for block in shown] == ["Best", "Worst", "Most improved"]
        gallery = json.loads((folder / "run.json").read_text())["gallery"]
        rows = list(csv.DictReader((folder / "predictions.csv").open(newline="")))
        for block, key in zip(shown, ("best", "worst", "improved")):
            expected = [rows[index]["path"].rsplit("/", 1)[1] for index in gallery[key]]
            assert [image.file for image in block.images] == expected
        worst, answer = shown[1].images[0], rows[gallery["worst"][0]]
        assert worst.said.endswith(f"→ {100 * float(answer['dice']):.1f} %")
        share = 100 * int(answer["found"]) / 10_000
        assert f"{share:.1f} % of the image marked" in worst.panels[2].alt
        found = written[0].read_text()
        images = sum(len(block.images) for block in shown)
        assert found.count("<img ") == 3 * images
        assert len(re.findall(r'<img src="data:image/', found)) == 3 * images

    @pytest.mark.parametrize(("kind", "warned"), [("p0", False), ("p1", False), ("p5", True), ("random", True)])
    def test_prompts_that_tell_the_answer(self, tmp_path, kind, warned):
        record = read_segment_record(write_segment_run(tmp_path / "run", kind=kind, thumbnails=False))
        page = segment_one.page_of(record)
        assert any(f"Prompts of the kind {kind} can tell" in said for said in page.verdict.sentences) == warned
        assert (f"Prompts of the kind {kind} can tell" in model_card(record.run)) == warned

    def test_absent_pieces_are_said(self, tmp_path):
        folder = write_segment_run(tmp_path / "run", thumbnails=False, gallery={}, prompt={}, decoder_parameters=None)
        for name in ("metrics.jsonl", "predictions.csv", "zero_shot_predictions.csv"):
            (folder / name).unlink()
        text = read_page(write_report([folder], tmp_path / "page.html")[0]).text
        for piece in (
            "Loss: not measured",
            "Dice by image: not measured; predictions.csv is missing",
            "Images: not measured",
            "Paired test: not measured; predictions.csv is missing",
            "trained in the decoder not measured",
        ):
            assert piece in text
        assert "None" not in text

    def test_bare_record(self, tmp_path):
        (tmp_path / "run.json").write_text('{"status": "finished", "task": "segment"}')
        text = read_page(write_report([tmp_path])[0]).text
        assert "No Dice was measured" in text
        assert "None" not in text

    def test_thumbnails_that_are_not_there(self, tmp_path):
        folder = write_segment_run(tmp_path / "run", thumbnails=False)
        assert "no thumbnail" in read_page(write_report([folder], tmp_path / "page.html")[0]).text

    def test_files_that_disagree_are_noticed(self, tmp_path):
        folder = by_hand(tmp_path / "run")
        run = json.loads((folder / "run.json").read_text())
        run["metrics"]["test"]["dice"] = 0.5
        (folder / "run.json").write_text(json.dumps(run))
        page = segment_one.page_of(read_segment_record(folder))
        assert "predictions.csv holds 4 images with a mean Dice of 75.0 %; run.json says 50.0 % of 4." in str(page)

    def test_names_stay_text(self, tmp_path):
        bad = '<script>alert("x")</script>'
        rows = [row("a", 0.5, group=bad, prompt=bad), row("b", 0.4, group="a|b")]
        folder = write_files(tmp_path / "run", rows, rows, prompt={"kind": "p1", "texts": [bad]})
        written = write_report([folder])
        read_page(written[0])
        assert written[0].read_text().count("<script>") == 1
        assert "<script" not in written[2].read_text()


class TestSeveral:
    def test_page_holds(self, several):
        _, written = several
        text = read_page(written[0]).text
        drawn = {path.stem for path in written if path.suffix == ".png"}
        assert drawn == {"dice-0", "parameters-0", "forest-0", "spread-0", "sizes-0"}
        assert "difference in Dice (points)" in text
        assert "test Dice (%)" in text
        assert "accuracy" not in text
        assert "None" not in text

    def test_a_winner_inside_the_noise_is_no_winner(self, several):
        page = segment_several.page_of([read_segment_record(folder) for folder in several[0]])
        standing = {line["label"]: line["standing"] for line in table_of(page, "means").rows}
        assert standing["linear_probe"] == "lower on these draws"  # two seeds
        assert {standing["lora"], standing["bitfit"]} == {"highest", "tied"}
        means = {line["label"]: line["dice"] for line in table_of(page, "means").rows}
        for label in means:
            files = [folder for folder in several[0] if folder.name.startswith(label)]
            reached = [json.loads((folder / "run.json").read_text())["metrics"]["test"]["dice"] for folder in files]
            assert means[label] == pytest.approx(np.mean(reached))

    def test_sizes_of_every_method(self, several):
        page = segment_several.page_of([read_segment_record(folder) for folder in several[0]])
        rows = table_of(page, "sizes").rows
        assert [line["size"] for line in rows if line["label"] == "lora"] == ["nothing", "small", "medium", "large"]
        assert {line["runs"] for line in rows} == {2}

    def test_other_prompts_are_another_task(self, tmp_path):
        folders = [by_hand(tmp_path / kind, kind=kind) for kind in ("p1", "p6")]
        page = segment_several.page_of([read_segment_record(folder) for folder in folders])
        assert {line["protocol"] for line in table_of(page, "means").rows} == {
            "few-shot (prompts p1)",
            "few-shot (prompts p6)",
        }
        assert not [block for block in page.sections[1].blocks if isinstance(block, Table)]
        assert any("few-shot (prompts p6): one method only" in said for said in page.verdict.sentences)
        assert any("Prompts of the kind p6" in said for said in page.verdict.sentences)

    def test_other_images_are_not_paired(self, tmp_path):
        others = [row("z", 0.5), *AFTER[1:]]
        folders = [by_hand(tmp_path / "lora"), by_hand(tmp_path / "bitfit", method="bitfit", after=others)]
        page = segment_several.page_of([read_segment_record(folder) for folder in folders])
        assert "not about the same images" in str(page.sections[1].blocks)

    def test_all_images_and_nothing_measured(self, tmp_path):
        folders = [
            write_segment_run(tmp_path / "lora", shots=None, thumbnails=False),
            write_segment_run(tmp_path / "bitfit", method="bitfit", shots=None, thumbnails=False, metrics={}),
        ]
        read_page(write_report(folders, tmp_path / "comparison.html")[0])


class TestRefusals:
    def test_tasks_are_not_mixed(self, tmp_path):
        folders = [by_hand(tmp_path / "segments"), write_run(tmp_path / "classifies", steps=1, gallery=False)]
        with pytest.raises(UserError) as refused:
            write_report(folders, tmp_path / "comparison.html")
        assert "different tasks" in refused.value.what
        assert "segments" in refused.value.what
        assert refused.value.fix == "report each task's runs apart"
        assert not (tmp_path / "comparison.html").exists()

    def test_unknown_task(self, tmp_path):
        with pytest.raises(UserError, match="no report knows the task 'detect'"):
            write_report([by_hand(tmp_path / "run", task="detect")])

    def test_a_run_of_another_task(self, tmp_path):
        with pytest.raises(UserError, match="no run that segments"):
            read_segment_record(write_run(tmp_path / "run", steps=1, gallery=False))

    def test_unfinished(self, tmp_path):
        with pytest.raises(UserError, match="not finished"):
            write_report([by_hand(tmp_path / "run", status="running")])

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (None, "no column prompt, group, dice, iou, truth, found, height, width"),
            ("a,polyp,,x,0.5,1,1,9,9", r"line 2: dice 'x' is not a number from 0 to 1"),
            ("a,polyp,,nan,0.5,1,1,9,9", r"line 2: dice 'nan' is not a number from 0 to 1"),
            ("a,polyp,,81.2,0.5,1,1,9,9", r"line 2: dice '81.2' is not a number from 0 to 1"),
            ("a,polyp,,0.5,0.5,1,-1,9,9", r"line 2: found '-1' is not a whole number of pixels"),
            ("a,polyp,,0.5,0.5", r"line 2: truth None is not a whole number of pixels"),
        ],
    )
    def test_broken_predictions(self, tmp_path, line, said):
        folder = by_hand(tmp_path / "run")
        header = "path,prompt,group,dice,iou,truth,found,height,width"
        (folder / "predictions.csv").write_text("path,label\na,b\n" if line is None else f"{header}\n{line}\n")
        with pytest.raises(UserError, match=said) as refused:
            write_report([folder])
        assert refused.value.fix

    def test_no_file_is_no_predictions(self, tmp_path):
        assert read_mask_predictions(tmp_path / "predictions.csv") is None


class TestCard:
    def test_says_what_it_is(self, tmp_path):
        run = json.loads((by_hand(tmp_path / "lora-kvasir-16shot-s1") / "run.json").read_text())
        front, _, body = model_card(run).removeprefix("---\n").partition("---\n")
        assert "pipeline_tag: image-segmentation" in front
        assert "| this adapter | 75.0 % | 72.0–78.0 |" in body
        assert "| zero-shot, the same images | 30.0 % |" in body
        assert "16 training images, seed 1" in body
        assert "- of the trained, in the decoder: 25,000" in body
        assert "p1 ('polyp')" in body
        assert "accuracy" not in body

    def test_names_cannot_break_it(self):
        card = model_card({"task": "segment", "name": "a: b\n---", "data": {"name": '"x"\n- y'}, "method": "<b>"})
        front = card.split("---\n")[1]
        assert all(line.startswith(("library_name:", "pipeline_tag:", "tags:", "- ")) for line in front.splitlines())
        assert "<b>" not in card.split("---\n", 2)[2]

    def test_of_an_empty_record(self):
        assert "not measured" in model_card({"task": "segment"})


def test_comparisons_tell_of_the_training(tmp_path):
    noted = {"remarks": [{"what": "the training loss has hardly fallen: 1.00 → 0.99", "fix": "longer"}]}
    folders = [
        by_hand(tmp_path / method, method=method, learning=noted, training={"steps": steps, "steps_taken": steps})
        for method, steps in (("lora", 100), ("dora", 300))
    ]
    text = " ".join(segment_several.page_of([read_segment_record(folder) for folder in folders]).verdict.sentences)
    assert "Training was not equal: " in text
    assert "lora 100 steps, dora 300 steps." in text
    assert "Note: lora: the training loss has hardly fallen: 1.00 → 0.99." in text
