"""A study's table by hand-worked numbers."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cliptune.report.read import read_record
from cliptune.studies.pivot import Cell, Field, Line, blocks, comparable, pivot
from cliptune.studies.study import Study, load, read
from tests.unit.report_runs import write_run


def made_up(**settings: Any) -> Study:
    tables = {
        "study": {"title": "made up", "source": "CLIP-DoRA table 1"},
        "settings": {"data.name": ["dtd", "eurosat"], "model.name": "vit-b-16", "protocol.shots": 4, **settings},
        "methods": [
            {"label": "zero-shot", "recipe": "zero_shot", "published": "CLIP (Zero-shot)"},
            {"label": "ours", "recipe": "few-shot-dora", "published": "CLIP-DoRA"},
        ],
    }
    return read("made-up", tables, False, {})


def done(study: Study, folder: Path, accuracy: dict[tuple[str, int], tuple[float, float]]) -> list:
    found = []
    for job in study.jobs:
        key = (job.recipe.data.name, job.recipe.protocol.seed)
        if key in accuracy:
            after, before = accuracy[key]
            metrics = {"test": {"accuracy": after, "n": 100}, "zero_shot": {"accuracy": before, "n": 100}}
            run = write_run(folder / job.name, seed=key[1], metrics=metrics, gallery=False)
            found.append((job, read_record(run)))
    return found


def test_means_deviations_and_the_paper_s_beside(tmp_path: Path) -> None:
    study = made_up(**{"protocol.seed": [1, 2]})
    numbers = {("dtd", 1): (0.6, 0.4), ("dtd", 2): (0.7, 0.4), ("eurosat", 1): (0.8, 0.5), ("eurosat", 2): (0.9, 0.5)}
    table = pivot(study, done(study, tmp_path, numbers))
    assert [line.label for line in table.lines] == ["zero-shot", "ours"]
    assert [each.title for each in table.fields] == ["DTD", "EuroSAT", "Average"]
    zero, ours = table.lines
    cells = {(line, each.dataset): cell for (line, each), cell in table.cells.items()}
    dtd = cells[ours, "DTD"]
    assert (dtd.mean, dtd.runs, dtd.missing) == (pytest.approx(0.65), 2, 0)
    assert dtd.deviation == pytest.approx(0.05 * 2**0.5)
    assert dtd.paper == pytest.approx(0.640), "CLIP-DoRA, 4 shots"
    assert dtd.difference == pytest.approx(0.01)
    # The average is that of each seed's mean over data sets: 0.7 and 0.8.
    assert cells[ours, "Average"].mean == pytest.approx(0.75)
    assert cells[ours, "Average"].deviation == pytest.approx(0.05 * 2**0.5)
    assert (cells[zero, "DTD"].mean, cells[zero, "DTD"].deviation) == (pytest.approx(0.4), None)
    assert cells[zero, "EuroSAT"].paper == pytest.approx(0.475)
    assert str(dtd) == "65.0 ± 7.1 (paper 64.0, +1.0)"


def test_a_missing_run_is_told_and_takes_the_average_with_it(tmp_path: Path) -> None:
    study = made_up(**{"protocol.seed": [1, 2]})
    table = pivot(study, done(study, tmp_path, {("dtd", 1): (0.6, 0.4), ("dtd", 2): (0.7, 0.4)}))
    ours = table.lines[1]
    assert str(table.cells[ours, Field("EuroSAT", "top1")]) == "not run (paper 86.1)"
    assert table.cells[ours, Field("Average", "top1")].mean is None
    half = pivot(study, done(study, tmp_path, {("dtd", 1): (0.6, 0.4)}))
    assert str(half.cells[ours, Field("DTD", "top1")]) == "60.0, 1 runs missing"
    assert half.cells[ours, Field("DTD", "top1")].difference is None


def test_held_out_domains_are_averaged_within_a_seed(tmp_path: Path) -> None:
    study = load("dora-table-3", chosen={"data.name": "pacs", "protocol.target": ["photo", "sketch"]})
    study = dataclasses.replace(study, jobs=tuple(job for job in study.jobs if job.row.label == "CLIP-DoRA"))
    found = []
    for job in study.jobs:
        target, seed = job.recipe.protocol.target, job.recipe.protocol.seed
        value = {"photo": 0.9, "sketch": 0.5}[target] + 0.02 * seed
        metrics = {"test": {"accuracy": value, "n": 9}, "zero_shot": {"accuracy": 0.5, "n": 9}}
        found.append((job, read_record(write_run(tmp_path / job.name, metrics=metrics, gallery=False))))
    table = pivot(study, found)
    cell = table.cells[Line("vit-b-32", "", "CLIP-DoRA"), Field("PACS", "top1")]
    assert (cell.mean, cell.deviation, cell.runs) == (pytest.approx(0.74), pytest.approx(0.02), 3)
    assert cell.paper == pytest.approx(0.9535)


def test_nothing_is_compared_with_a_paper_in_the_small_form_or_on_another_backbone() -> None:
    small, full = load("dora-table-1", small=True), load("dora-table-1")
    assert comparable(small, Line("mini", "4", "CLIP-DoRA"), "CLIP-DoRA") == {}
    assert comparable(full, Line("vit-b-32", "4", "CLIP-DoRA"), "CLIP-DoRA") == {}
    assert comparable(full, Line("vit-b-16", "4", "CLIP-DoRA"), "CLIP-DoRA")[Field("DTD", "top1")] == pytest.approx(
        0.64
    )


def test_methods_without_runs_stand_with_the_paper_s_value() -> None:
    study = load("dora-table-3")
    (theirs,) = [block for block in blocks(study, pivot(study, [])) if "What the paper prints" in block.title]
    by_name = {row["label"]: row for row in theirs.rows}
    assert by_name["MaPLe + SD"]["here"] == "not reproducible"
    assert by_name["CLIPN"]["here"] == "not run"
    assert by_name["CLIP-DoRA"]["here"] == "above"
    assert by_name["CLIPN"]["PACS"] == 96.24


def test_cells_in_words() -> None:
    assert str(Cell()) == "not run"
    assert str(Cell(0.5, None, 1)) == "50.0"
    assert str(Cell(0.5, 0.013, 3)) == "50.0 ± 1.3"
