"""Studies whose runs mark images: their task, their table of Dice with the paper's beside, their page, their hours."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets.facts import facts_of
from cliptune.errors import UserError
from cliptune.report import papers
from cliptune.report.segment_read import SegmentRecord, read_segment_record
from cliptune.studies import outcome
from cliptune.studies.estimate import estimates, sizes
from cliptune.studies.pivot import Cell, Field, pivot
from cliptune.studies.pivot_blocks import blocks
from cliptune.studies.pool import Pool, headline
from cliptune.studies.reading import load, read
from cliptune.studies.study import Job, Study
from cliptune.studies.work import mask_counts, mask_work, validations
from tests.unit.segment_runs import write_segment_run

SETS = {"kvasir_polyp": "Kvasir-SEG", "clinicdb_polyp": "ClinicDB", "isic": "ISIC", "busi": "BUSI"}
DECODER, DORA = "decoder only (published as full fine-tuning)", "CLIP-DoRA r=8, q k v o fc1 fc2"


def made_up(methods: Any = ("decoder",), study: dict[str, Any] | None = None, **settings: Any) -> Study:
    rows = [each if isinstance(each, dict) else {"label": each, "recipe": each} for each in methods]
    values = {"data.name": "world/glyphs", "model.name": "mini", **settings}
    return read(
        "made-up", {"study": {"title": "made up", **(study or {})}, "settings": values, "methods": rows}, False, {}
    )


def write(job: Job, folder: Path, after: float, n: int | None = None, split: str = "published") -> Path:
    """A finished run of `job` on a whole copy of its data set."""
    recipe = job.recipe
    name, shots = recipe.data.name, recipe.protocol.shots
    facts = facts_of(name)
    assert facts is not None
    number = shots if isinstance(shots, int) else None
    home = write_segment_run(
        folder,
        n=20,
        method=recipe.method.name,
        shots=number,
        seed=recipe.protocol.seed,
        thumbnails=False,
        data={"name": name, "train": 80, "val": 10, "test": 20, "split": split, "episode_sha256": f"{name}{number}"},
        model={"name": recipe.model.name, "source": recipe.model.name, "sha256": "m", "parameters": 1},
    )
    record = json.loads((home / "run.json").read_text("utf-8"))
    for test, dice in (("test", after), ("zero_shot", 0.25)):
        own_size = {"dice": dice - 0.05, "dice_at_input": dice}
        record["metrics"][test] |= own_size | {"n": n or facts.counts[2]}
    (home / "run.json").write_text(json.dumps(record), "utf-8")
    return home


def records(study: Study, folder: Path, reached: dict[tuple[str, int], float], **how: Any) -> list:
    """Finished runs by data set and seed."""
    keyed = [(job, reached.get((job.recipe.data.name, job.recipe.protocol.seed))) for job in study.jobs]
    return [
        (job, read_segment_record(write(job, folder / job.name, after, **how)))
        for job, after in keyed
        if after is not None
    ]


def table_4(**chosen: Any) -> Study:
    return load("dora-table-4", chosen=chosen).only(DECODER)


class TestTask:
    def test_data_with_masks_make_runs_of_segmentation(self) -> None:
        study = made_up(["dora", "full"])
        assert study.task == "segment"
        assert {job.recipe.task for job in study.jobs} == {"segment"}
        assert all("segment" in job.tables for job in study.jobs), "as it was when the study was read"
        assert load("digits-table").task == "classify"

    def test_so_do_a_recipe_and_a_setting(self) -> None:
        assert made_up(["segment-dora"]).jobs[0].recipe.method.settings()["rank"] == 8
        told = made_up(["dora"], **{"data.name": "kvasir_polyp", "segment.prompt": "p4"}).jobs[0].recipe.segment
        assert told is not None
        assert told.prompt == "p4"

    def test_a_set_has_one_name_and_a_folder_its_whole_path(self, tmp_path: Path, monkeypatch: Any) -> None:
        for part in ("images", "masks"):
            (tmp_path / "mine/train" / part).mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        for names in (["kvasir_polyp", "Kvasir-SEG", "kvasir"], ["mine", "./mine", str(tmp_path / "mine")]):
            assert len({made_up(**{"data.name": name}).jobs[0].key for name in names}) == 1, names
        assert made_up(**{"data.name": "mine"}).task == "segment"

    def test_both_tasks_in_one_study_are_refused(self) -> None:
        with pytest.raises(UserError, match="no measure in common") as problem:
            made_up(["dora"], **{"data.name": ["digits", "world/glyphs"]})
        assert problem.value.fix == "write a study for each of the two"
        for text in (problem.value.what, problem.value.fix):
            assert "\n" not in text
        assert "digits" in problem.value.what
        assert "world/glyphs" in problem.value.what

    @pytest.mark.parametrize(
        ("methods", "settings", "what"),
        [
            (["linear_probe"], {}, "linear_probe cannot be trained to mark images"),
            (["decoder"], {"data.name": "digits"}, "decoder cannot be trained to classify"),
            (["dora"], {"data.name": "kvasir_polip"}, "no set of images with masks is called 'kvasir_polip'"),
            (["dora"], {"data.name": "nosuchthing"}, "no data set is called 'nosuchthing'"),
            (["dora"], {"segment.promt": "p1"}, "segment.promt: no such setting"),
            (["dora"], {"protocol.name": "base-to-novel"}, "base-to-novel is for classification"),
        ],
    )
    def test_what_is_refused(self, methods: list[str], settings: dict[str, Any], what: str) -> None:
        with pytest.raises(UserError, match=what):
            made_up(methods, **settings)

    def test_pictures_of_accuracies_are_refused(self) -> None:
        with pytest.raises(UserError, match="'loss' is drawn of classification"):
            made_up(["dora"], {"shows": ["shots", "loss"]})

    def test_shots_are_images_in_words(self) -> None:
        assert "16 images" in str(made_up(**{"protocol.shots": 16}).jobs[0])

    def test_zero_shot_has_one_run_whatever_is_trained(self) -> None:
        settings = {"protocol.shots": [4, 8], "train.lr": [1e-3, 1e-4], "segment.bce": [0.0, 0.2]}
        assert len(made_up(["zero_shot"], **settings).jobs) == 1
        beside = made_up(["zero_shot", "dora", "full", "decoder"], **settings)
        assert {job.label.partition(" ")[0] for job in beside.jobs} == {"dora", "full", "decoder"}
        prompts = made_up(["zero_shot"], **{"segment.prompt": ["p0", "p1"]})
        assert len(prompts.jobs) == 2, "another prompt is another answer"


class TestTable:
    def test_means_deviations_and_the_paper_s_beside(self, tmp_path: Path) -> None:
        study = table_4()
        dice = {(name, seed): 0.8 + 0.01 * seed + 0.02 * at for at, name in enumerate(SETS) for seed in (1, 2, 3)}
        table = pivot(study, records(study, tmp_path, dice))
        assert [each.title for each in table.fields] == [*SETS.values(), "Average"]
        ours = next(line for line in table.lines if line.label == DECODER)
        cells = {place.dataset: table.cells[ours, place] for place in table.fields}
        kvasir = cells["Kvasir-SEG"]
        assert (kvasir.mean, kvasir.runs, kvasir.missing) == (pytest.approx(0.82), 3, 0)
        assert kvasir.deviation == pytest.approx(0.01)
        assert kvasir.paper == pytest.approx(0.8951)
        assert kvasir.difference == pytest.approx(0.82 - 0.8951)
        assert [cells[name].paper for name in SETS.values()] == pytest.approx([0.8951, 0.8874, 0.9212, 0.6432])
        assert cells["Average"].mean == pytest.approx(0.85)
        assert cells["Average"].paper == pytest.approx(0.8367)
        (zero,) = [line for line in table.lines if line.label == "zero-shot"]
        cell = table.cells[zero, Field("BUSI", "dice")]
        assert (cell.mean, cell.deviation, cell.paper) == (pytest.approx(0.25), None, None)

    def test_dice_beside_a_paper_s_is_at_the_model_s_input_size(self, tmp_path: Path) -> None:
        """medvlsm measures at 352 × 352; a study that is no paper's table has Dice at the images' own size."""
        study = table_4(**{"protocol.seed": 1})
        found = records(study, tmp_path, {("isic", 1): 0.9})
        assert [record.after().dice for _, record in found] == pytest.approx([0.85] * len(found))
        cells = [cell for (line, _), cell in pivot(study, found).cells.items() if line.label == DECODER and cell.runs]
        assert {cell.mean for cell in cells} == {0.9}
        own = dataclasses.replace(study, about=dataclasses.replace(study.about, source=""))
        cells = [cell for (line, _), cell in pivot(own, found).cells.items() if line.label == DECODER and cell.runs]
        assert {cell.mean for cell in cells} == {0.85}

    def test_a_run_without_it_is_not_compared(self, tmp_path: Path) -> None:
        study = table_4(**{"protocol.seed": 1})
        found = records(study, tmp_path, {("isic", 1): 0.9})
        for _, record in found:
            for test in ("test", "zero_shot"):
                del record.run["metrics"][test]["dice_at_input"]
        cells = [cell for (line, _), cell in pivot(study, found).cells.items() if line.label == DECODER and cell.runs]
        assert [(cell.mean, cell.paper) for cell in cells] == [(0.85, None)]
        [(_, record)] = [(job, record) for job, record in found if job.label == DECODER]
        [ours] = papers.measures(record)
        assert papers.unfaithful(record, ours) == [papers.OWN_SIZE]

    def test_each_reading_of_the_paper_has_its_value(self) -> None:
        table = pivot(load("dora-table-4"), [])
        papers = {line.label: table.cells[line, Field("ISIC", "dice")].paper for line in table.lines}
        assert papers.pop(DECODER) == pytest.approx(0.9212)
        assert papers.pop(DORA) == papers.pop("CLIP-DoRA r=8, q k v o") == pytest.approx(0.919)
        assert set(papers.values()) == {None}, "nobody published the controls, nor truly full fine-tuning"

    def test_a_missing_run_is_told_and_takes_the_average_with_it(self, tmp_path: Path) -> None:
        study = table_4(**{"protocol.seed": 1})
        table = pivot(study, records(study, tmp_path, {("isic", 1): 0.9}))
        ours = next(line for line in table.lines if line.label == DECODER)
        assert str(table.cells[ours, Field("ISIC", "dice")]) == "90.0 (paper 92.1, −2.1)"
        assert str(table.cells[ours, Field("BUSI", "dice")]) == "not run (paper 64.3)"
        assert table.cells[ours, Field("Average", "dice")].mean is None

    @pytest.mark.parametrize(
        ("chosen", "how"),
        [
            ({"model.name": "clipseg-rd64"}, {}),
            ({"protocol.shots": 16}, {}),
            ({"train.lr": 1e-3}, {}),
            ({"segment.prompt": "p2"}, {}),
            ({"segment.published": ["driver", "yaml"]}, {}),
            ({}, {"n": 90}),
            ({}, {"split": "made here"}),
        ],
        ids=str,
    )
    def test_nothing_is_compared_but_the_same(self, chosen: dict, how: dict, tmp_path: Path) -> None:
        study = table_4(**{"data.name": "isic", "protocol.seed": 1, **chosen})
        cells = pivot(study, records(study, tmp_path, {("isic", 1): 0.9}, **how)).cells
        assert {cell.mean for (line, _), cell in cells.items() if line.label.startswith(DECODER)} == {0.9}
        assert {cell.paper for cell in cells.values()} == {None}

    def test_the_small_form_is_compared_with_nothing(self) -> None:
        assert {cell.paper for cell in pivot(load("dora-table-4", small=True), []).cells.values()} == {None}

    def test_the_table_says_what_it_holds(self) -> None:
        study = load("segment-table", small=True)
        title = blocks(study, pivot(study, []))[0].title  # type: ignore[union-attr]
        assert title == "mini, 16 training images: Dice, mean ± s.d. over seeds, per cent"
        assert str(Cell(0.5, 0.013, 3)) == "50.0 ± 1.3"


class TestPage:
    def test_its_table_first_and_then_the_sections_of_segmentation(self, tmp_path: Path) -> None:
        study = load("dora-table-4", chosen={"data.name": "isic", "protocol.seed": [1, 2]})
        pool = Pool(tmp_path)
        for job in study.jobs:
            if job.row.label in (DECODER, DORA):
                write(job, pool.folder(job), 0.8 + 0.01 * job.recipe.protocol.seed)
        done = outcome.finished(study, pool)
        assert len(done) == 4
        assert all(isinstance(record, SegmentRecord) for _, record in done)
        page, numbers = outcome.runs_page(study, pool, done)
        anchors = [section.anchor for section in page.sections]
        assert anchors[:2] == ["table", "state"]
        assert {"means", "pairs", "distribution", "sizes", "papers", "cost", "runs"} <= set(anchors)
        beside = {row["label"]: row for row in numbers if row["paper"] is not None}
        assert beside[DECODER]["difference"] == pytest.approx(0.815 - 0.9212)
        (papers,) = [section for section in page.sections if section.anchor == "papers"]
        rows = {row["label"]: row for row in papers.blocks[0].rows}  # type: ignore[union-attr]
        assert rows[DECODER]["told"] == rows[DORA]["told"] == "yes"
        assert rows[DECODER]["paper"] == beside[DECODER]["paper"], "one matcher for both"
        written = outcome.write(study, pool)
        assert "815" in next(path for path in written if path.name == "table.csv").read_text("utf-8")
        assert "81.5" in next(path for path in written if path.name == "report.md").read_text("utf-8")

    def test_one_run_is_too_few_to_compare(self, tmp_path: Path) -> None:
        study = load("segment-table", small=True)
        pool = Pool(tmp_path)
        write(study.jobs[0], pool.folder(study.jobs[0]), 0.5)
        page, _ = outcome.runs_page(study, pool, outcome.finished(study, pool))
        assert [section.anchor for section in page.sections] == ["table", "state"]

    def test_efficiency_is_that_of_runs_that_segment(self, tmp_path: Path) -> None:
        study = made_up(["decoder", "dora"], {"shows": ["efficiency"]})
        pool = Pool(tmp_path)
        for job in study.jobs:
            write(job, pool.folder(job), 0.5)
        page, _ = outcome.runs_page(study, pool, outcome.finished(study, pool))
        (section,) = [section for section in page.sections if section.anchor == "efficiency"]
        assert {row["label"] for row in section.blocks[0].rows} == {"decoder", "dora"}  # type: ignore[union-attr]

    def test_a_run_s_headline_is_its_dice(self) -> None:
        assert headline({"task": "segment", "metrics": {"test": {"dice": 0.7125}}}) == "test Dice 71.2 %"
        assert headline({"metrics": {"test": {"accuracy": 0.7125}}}) == "test 71.2 %"
        halves = {"base": {"accuracy": 0.4}, "novel": {"accuracy": 0.1}, "harmonic_mean": 0.16}
        told = headline({"metrics": halves, "tests": {"base": {}, "novel": {}}})
        assert told == "harmonic mean of base and novel 16.0 %, base 40.0 %, novel 10.0 %"


class TestEstimate:
    def test_steps_are_epochs_times_batches(self) -> None:
        by_label = {job.label: job.recipe for job in load("dora-table-4", chosen={"data.name": "isic"}).jobs}
        work = mask_work(by_label[DORA], "")
        assert work is not None
        assert work.steps == 1000 * 7, "810 images in batches of 128"
        assert validations(by_label[DORA], 810) == 1000
        few = made_up(**{"protocol.shots": 20, "train.epochs": 3, "train.batch": 16}).jobs[0].recipe
        assert mask_work(few, "").steps == 3 * 2  # type: ignore[union-attr]
        assert mask_work(made_up(["zero_shot"]).jobs[0].recipe, "").steps == 0  # type: ignore[union-attr]

    def test_the_arithmetic_of_a_step(self) -> None:
        """ViT-B/16 at 352 pixels up to block 10: 485 tokens; frozen towers cost nothing in a step."""
        jobs = load("dora-table-4", chosen={"data.name": "isic", "protocol.seed": 1}).jobs
        found = {job.label: mask_work(job.recipe, "") for job in jobs}
        decoder = 128 * 3 * 2 * 485 * 1_127_009
        assert found[DECODER].step_operations == pytest.approx(decoder)  # type: ignore[union-attr]
        vision = 485 * 10 * (24 * 768**2 + 4 * 485 * 768)
        text = 8 * 12 * (24 * 512**2 + 4 * 8 * 512)
        for label, passes in ((DORA, 2), ("full, truly", 3)):
            wanted = 128 * passes * (vision + text) + decoder
            assert found[label].step_operations == pytest.approx(wanted)  # type: ignore[union-attr]

    def test_memory_goes_by_the_part_of_a_batch(self) -> None:
        whole, parts = (mask_work(made_up(["dora"], **{"train.chunk": n}).jobs[0].recipe, "") for n in (0, 4))
        assert whole is not None
        assert parts is not None
        assert whole.bytes > parts.bytes > 700_000_000

    def test_every_run_of_a_study_is_estimated(self, tmp_path: Path) -> None:
        for study in (load("dora-table-4", small=True), load("segment-table"), load("dora-table-4")):
            found = estimates(study.jobs, Pool(tmp_path), "", "cpu")
            assert all(each.by == "arithmetic" and each.seconds and each.bytes for each in found)
        unknown = made_up(**{"model.name": "someone/clipseg"})
        assert estimates(unknown.jobs, Pool(tmp_path), "", "cpu")[0].by == "unknown"

    def test_finished_runs_tell_of_the_others(self, tmp_path: Path) -> None:
        study = made_up(**{"protocol.seed": [1, 2], "protocol.shots": 80, "train.epochs": 4, "train.batch": 20})
        pool = Pool(tmp_path)
        write(study.jobs[0], pool.folder(study.jobs[0]), 0.5)  # 70 seconds, 16 steps
        found = estimates(study.jobs, pool, "", "cpu")[1]
        assert (found.by, found.seconds) == ("finished runs", pytest.approx(3 + 70))

    def test_your_own_folder_is_counted(self, tmp_path: Path) -> None:
        for part, n in (("train", 5), ("val", 2), ("test", 3)):
            for kind in ("images", "masks"):
                (tmp_path / "mine" / part / kind).mkdir(parents=True)
                for number in range(n):
                    pixels = np.full((8, 8, 3), 255, np.uint8)
                    pixels[:4] = 0
                    Image.fromarray(pixels).save(tmp_path / "mine" / part / kind / f"{number}.png")
        assert mask_counts(str(tmp_path / "mine"), "", "spot") == (5, 2, 3)
        assert mask_counts(str(tmp_path / "nothing"), "", "") is None

    def test_a_table_of_sizes(self) -> None:
        rows = {row["label"]: row for row in sizes(load("dora-table-4").jobs)}
        assert rows[DORA]["trainable_most"] == 2_115_072 + 70_241
        assert rows[DORA]["trainable_percent"] == pytest.approx(100 * 2_185_313 / 150_747_746)
        assert rows[DECODER]["trainable_least"] == 1_127_009
