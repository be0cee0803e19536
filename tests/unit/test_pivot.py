"""A study's table by hand-worked numbers."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cliptune import published
from cliptune.published.matching import Asked, average
from cliptune.report.blocks import Table
from cliptune.report.read import Record, read_record
from cliptune.studies.pivot import Cell, Field, Line, asked_of, pivot, unequal_sets
from cliptune.studies.pivot_blocks import blocks, means_over
from cliptune.studies.reading import load, read
from cliptune.studies.study import Job, Study
from tests.unit.report_runs import write_run


def made_up(**settings: Any) -> Study:
    tables = {
        "study": {"title": "made up", "source": "CLIP-DoRA table 1"},
        "settings": {"data.name": ["dtd", "eurosat"], "model.name": "vit-b-16", "protocol.shots": 4, **settings},
        "methods": [
            {
                "label": "zero-shot",
                "recipe": "zero_shot",
                "published": "CLIP (Zero-shot)",
                "settings": {"data.template": "a photo of a {}."},
            },
            {"label": "ours", "recipe": "few-shot-dora", "published": "CLIP-DoRA"},
        ],
    }
    return read("made-up", tables, False, {})


TESTED = {"dtd": 1692, "eurosat": 8100, "pacs": 9991}


def record_of(job: Job, folder: Path, after: float, before: float, n: int | None = None, **over: Any) -> Record:
    """A finished run of `job` on a whole copy of its data set."""
    name, protocol = job.recipe.data.name, job.recipe.protocol
    n = n or TESTED[name]
    metrics = {"test": {"accuracy": after, "n": n}, "zero_shot": {"accuracy": before, "n": n}}
    told = {
        "metrics": metrics,
        "data": {"name": name, "classes": ["a", "b"], "episode_sha256": "e", "split": "published"},
        "tests": {"test": {"data": name, "classes": 2, "images": n}},
        "model": {"name": job.recipe.model.name, "source": job.recipe.model.name, "sha256": "m", "parameters": 1},
        "protocol": protocol.name,
        **({"target": protocol.target} if protocol.target else {}),
    }
    return read_record(write_run(folder / job.name, seed=protocol.seed, gallery=False, **told | over))


def done(study: Study, folder: Path, accuracy: dict[tuple[str, int], tuple[float, float]], **over: Any) -> list:
    keyed = [(job, accuracy.get((job.recipe.data.name, job.recipe.protocol.seed))) for job in study.jobs]
    return [(job, record_of(job, folder, *found, **over)) for job, found in keyed if found]


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
    assert str(half.cells[ours, Field("DTD", "top1")]) == "60.0, 1 run missing"
    assert half.cells[ours, Field("DTD", "top1")].difference is None


def test_held_out_domains_are_averaged_within_a_seed(tmp_path: Path) -> None:
    study = load("dora-table-3", chosen={"data.name": "pacs", "protocol.target": ["photo", "sketch"]})
    study = dataclasses.replace(study, jobs=tuple(job for job in study.jobs if job.row.label == "CLIP-DoRA"))
    found = []
    for job in study.jobs:
        target, seed = job.recipe.protocol.target, job.recipe.protocol.seed
        value = {"photo": 0.9, "sketch": 0.5}[target] + 0.02 * seed
        found.append((job, record_of(job, tmp_path, value, 0.5)))
    table = pivot(study, found)
    cell = table.cells[Line("vit-b-32", "", "CLIP-DoRA"), Field("PACS", "top1")]
    assert (cell.mean, cell.deviation, cell.runs) == (pytest.approx(0.74), pytest.approx(0.02), 3)


def test_a_data_set_s_own_split_is_a_place_and_no_variant(tmp_path: Path) -> None:
    """Table 3 tests Office-Home and Digits-DG on other lists than the rest: one line has all four, and their mean."""
    study = load("dora-table-3", chosen={"protocol.seed": 1})
    assert {job.label for job in study.jobs} == {
        label + form for label in ("CLIP-LoRA", "CLIP-DoRA") for form in ("", ", open set")
    }
    assert {job.recipe.protocol.target_split for job in study.jobs} == {"all", "val"}
    assert all(job.faithful for job in study.jobs)
    closed = [job for job in study.jobs if job.label == "CLIP-DoRA"]
    assert len(closed) == 16
    assert not any(job.recipe.protocol.open_set for job in closed)
    assert all(job.recipe.protocol.open_set for job in study.jobs if "open set" in job.label)
    sets = ("pacs", "office_home", "digits_dg", "mini_domainnet")
    found = [
        (job, record_of(job, tmp_path, 0.8 + 0.01 * sets.index(job.recipe.data.name), 0.5, n=90)) for job in closed
    ]
    table = pivot(study, found)
    line = Line("vit-b-32", "", "CLIP-DoRA")
    cells = {column.dataset: table.cells[line, column] for column in table.fields}
    assert list(cells) == ["PACS", "OfficeHome", "Digits-DG", "Mini-DomainNet", "Average"]
    assert cells["Average"].mean == pytest.approx(0.815)
    # Whether the paper's are closed or open set it does not say: they stand below, without a difference.
    assert {cell.paper for cell in table.cells.values()} == {None}
    states = {row["label"]: row["here"] for row in paper_s(study, found)}
    assert (states["CLIP-DoRA"], states["CLIP-LoRA"]) == ("above, not compared", "not run")


def test_a_setting_that_differs_within_a_data_set_is_a_variant() -> None:
    study = made_up(**{"protocol.repeat": [True, False]})
    assert {job.label for job in study.jobs if job.row.label == "ours"} == {
        "ours protocol.repeat=True",
        "ours protocol.repeat=False",
    }


def paper_s(study: Study, found: list) -> list[dict]:
    """The rows of the paper's own table below ours."""
    tables = [block for block in blocks(study, pivot(study, found)) if isinstance(block, Table)]
    return [dict(row) for block in tables if "The paper's values" in block.title for row in block.rows]


def papers_of(study: Study, found: list) -> set[float | None]:
    return {cell.paper for cell in pivot(study, found).cells.values()}


def test_nothing_is_compared_with_a_paper_but_the_same(tmp_path: Path) -> None:
    one = {("dtd", 1): (0.6, 0.4), ("eurosat", 1): (0.7, 0.5)}
    assert papers_of(made_up(), done(made_up(), tmp_path / "whole", one)) == {0.64, 0.861, 0.436, 0.475, None}
    assert papers_of(made_up(), done(made_up(), tmp_path / "cut", one, n=90)) == {None}, "a part of the test images"
    other = made_up(**{"model.name": "vit-l-14"})
    assert papers_of(other, done(other, tmp_path / "other", one)) == {None}, "another backbone"
    small = dataclasses.replace(made_up(), small=True)
    assert papers_of(small, done(small, tmp_path / "small", one)) == {None}


def asked(study: Study, label: str, metric: str = "top1", **where: Any) -> Asked:
    """What a paper's average has to be about to stand in a line."""
    jobs = [job for job in (*study.jobs, *study.untouched) if job.row.label == label]
    job = next(job for job in jobs if all(getattr(job.recipe.protocol, key) == value for key, value in where.items()))
    found = asked_of(study, job, Field("Average", metric))
    assert found is not None
    return found


def test_the_average_is_compared_over_the_paper_s_data_sets_only() -> None:
    study = load("dora-table-1")
    eleven = {each.dataset for each in published.results() if each.source == study.about.source} - {"Average"}
    assert len(eleven) == 11
    found = average(asked(study, "CLIP-DoRA", shots=4), eleven)
    assert found is not None
    assert found.value == 77.63
    assert average(asked(study, "CLIP-DoRA", shots=4), eleven - {"DTD"}) is None


@pytest.mark.parametrize(
    ("name", "only", "chosen"),
    [
        ("ast-table-1", "AST", {"protocol.name": "full-data"}),
        ("ast-table-4", "AST", {"protocol.name": "full-data"}),
    ],
)
def test_another_protocol_or_number_of_shots_is_another_table(name: str, only: str, chosen: dict[str, Any]) -> None:
    """Both may be typed and the other settings are still the paper's."""

    def papers(**typed: Any) -> set[float | None]:
        cells = pivot(load(name, chosen=typed).only(only), []).cells
        return {cell.paper for (line, _), cell in cells.items() if only in line.label} - {None}

    assert papers()
    assert not papers(**chosen)


def test_methods_without_runs_stand_with_the_paper_s_value(tmp_path: Path) -> None:
    study = load("dora-table-3", chosen={"protocol.seed": 1, "data.name": "pacs"})
    by_name = {row["label"]: row for row in paper_s(study, [])}
    assert by_name["MaPLe + SD"]["here"] == "not reproducible"
    assert by_name["CLIPN"]["here"] == "not run"
    assert by_name["CLIP-DoRA"]["here"] == "not run", "no run has finished"
    assert by_name["CLIPN"]["PACS"] == 96.24


def test_above_is_what_has_been_run_and_compared(tmp_path: Path) -> None:
    study = made_up()
    one = done(study, tmp_path / "whole", {("dtd", 1): (0.6, 0.4)})
    states = {(row["label"], row["shots"]): row["here"] for row in paper_s(study, one)}
    assert states["CLIP-DoRA", "4"] == "above"
    assert states["CLIP-DoRA", "16"] == "not run", "another number of shots"
    cut = done(study, tmp_path / "cut", {("dtd", 1): (0.6, 0.4)}, n=90)
    states = {(row["label"], row["shots"]): row["here"] for row in paper_s(study, cut)}
    # EuroSAT, which has not run, could still be compared; a part of DTD's test images is not.
    assert states["CLIP-DoRA", "4"] == "above, not compared"


def test_cells_in_words() -> None:
    assert str(Cell()) == "not run"
    assert str(Cell(0.5, None, 1)) == "50.0"
    assert str(Cell(0.5, 0.013, 3)) == "50.0 ± 1.3"


def test_zero_shot_is_read_from_any_run_with_its_prompts_and_no_other(tmp_path: Path) -> None:
    rows = [
        {"label": "zero-shot", "recipe": "zero_shot"},
        {"label": "own prompt", "recipe": "few-shot-ast"},
        {"label": "plain prompt", "recipe": "few-shot-dora"},
    ]
    settings = {"data.name": "dtd", "model.name": "vit-b-16", "protocol.shots": [1, 4], "protocol.seed": [1, 2]}
    study = read("x", {"settings": settings, "methods": rows}, False, {})
    assert {job.label for job in study.jobs} == {"own prompt", "plain prompt"}, "no runs for zero-shot itself"
    before = {"own prompt": 0.6, "plain prompt": 0.5}
    first = {label: next(job for job in study.jobs if job.label == label) for label in before}
    found = [(job, record_of(job, tmp_path, 0.9, before[label])) for label, job in first.items()]
    zero = {line: cell for (line, _), cell in pivot(study, found).cells.items() if line.label == "zero-shot"}
    assert {(line.shots, cell.mean, cell.missing) for line, cell in zero.items()} == {("1", 0.6, 0), ("4", 0.6, 0)}
    (none,) = {cell.mean for line, cell in pivot(study, found[1:]).cells.items() if line[0].label == "zero-shot"} or {
        None
    }
    assert none is None
    alone = read("x", {"settings": settings, "methods": [rows[0], rows[2]]}, False, {})
    assert [job.label for job in alone.jobs].count("zero-shot") == 1, "measured once, whatever the shots and the seed"


def test_no_difference_once_a_setting_was_typed_or_varied(tmp_path: Path) -> None:
    for chosen, same in (({"train.steps": 1}, False), ({"protocol.seed": 1, "evaluate.retention": "none"}, True)):
        study = load("dora-table-1", chosen={"data.name": "dtd", "protocol.shots": 4, **chosen})
        job = next(job for job in study.jobs if job.label == "CLIP-DoRA" and job.recipe.protocol.seed == 1)
        cells = pivot(study, [(job, record_of(job, tmp_path, 0.6, 0.4))]).cells
        papers = {cell.paper for (line, _), cell in cells.items() if line.label == "CLIP-DoRA"}
        assert papers == ({0.64} if same else {None})


def test_harmonic_means_of_averages_are_not_compared_with_means_of_harmonic_means() -> None:
    study = load("ast-table-2")
    labels = {row.published: row.label for row in study.rows if row.published}
    for method, value in (("CLIP", None), ("CLIP-AST", 81.06)):
        found = average(asked(study, labels[method], "harmonic mean"), published.eleven())
        assert (found.value if found else None) == value


def test_a_table_of_averages_alone_means_the_eleven() -> None:
    study = load("ast-table-5")
    (label,) = [row.label for row in study.rows if row.published == "both encoders, layer granularity"]
    found = average(asked(study, label), published.eleven())
    assert found is not None
    assert found.value == 85.05
    assert average(asked(study, label), {"DTD"}) is None


def own_study(data: str, **settings: Any) -> Study:
    """A study of zero-shot, without a template, and of DoRA with the usual one."""
    tables = {
        "study": {"title": "made up"},
        "settings": {"data.name": data, "model.name": "vit-b-16", **settings},
        "methods": [
            {"label": "zero-shot", "recipe": "zero_shot"},
            {"label": "ours", "recipe": "dora", "settings": {"data.template": "a photo of a {}."}},
        ],
    }
    return read("made-up", tables, False, {})


@pytest.mark.parametrize(
    ("data", "same"), [("pacs", True), ("caltech101", True), ("dtd", False), ("oxford_pets", False)]
)
def test_prompts_are_compared_as_they_are_asked(data: str, same: bool) -> None:
    study = own_study(data)
    jobs = [*study.untouched, *study.jobs]
    named = {job.row.label: job.untouched for job in jobs}
    assert (named["zero-shot"] == named["ours"]) is same
    assert ("zero-shot" in {job.row.label for job in study.jobs}) is not same, "it has runs of its own only if needed"


def test_zero_shot_stands_with_the_methods(tmp_path: Path) -> None:
    study = made_up()
    tables = [each for each in blocks(study, pivot(study, [])) if isinstance(each, Table) and not each.folded]
    assert [[row["label"] for row in table.rows] for table in tables] == [["zero-shot", "ours"]]
    assert tables[0].title.startswith("vit-b-16, 4 shots: ")


def test_what_a_mean_is_over_is_named() -> None:
    study = own_study("pacs", **{"protocol.name": "domain-generalization", "protocol.target": ["sketch", "photo"]})
    table = pivot(study, [])
    assert means_over(study, table.fields) == ["PACS: the mean over the held-out domains sketch, photo."]
    study = own_study("pacs", **{"protocol.name": "domain-generalization", "protocol.target": "sketch"})
    assert means_over(study, pivot(study, []).fields) == ["PACS: the held-out domain sketch alone."]
    assert means_over(made_up(), pivot(made_up(), []).fields) == ["Average: the mean over DTD, EuroSAT."]


def test_the_harmonic_mean_is_the_first_of_three() -> None:
    study = made_up(**{"protocol.name": "base-to-novel", "data.name": "dtd"})
    assert [each.metric for each in pivot(study, []).fields] == ["harmonic mean", "base top1", "novel top1"]


def test_one_missing_run_is_one() -> None:
    assert str(Cell(0.5, None, 1, 1)) == "50.0, 1 run missing"


def unequal(study: Study, folder: Path, means: dict[int, float]) -> list:
    """Runs of seeds on a test whose classes are unequal: the mean over classes of each."""
    per_class = {"a": {"accuracy": 1.0, "n": 90}, "b": {"accuracy": 0.0, "n": 10}}
    more = {"n": 100, "per_class": per_class}
    found = []
    for job in study.jobs:
        if (mean := means.get(job.recipe.protocol.seed)) is not None and job.row.label == "ours":
            metrics = {
                "test": {"accuracy": 0.9, "macro_accuracy": mean, **more},
                "zero_shot": {"accuracy": 0.8, "macro_accuracy": 0.4, **more},
            }
            found.append((job, record_of(job, folder, 0.9, 0.8, metrics=metrics)))
    return found


def test_the_mean_over_unequal_classes_stands_before_the_accuracy(tmp_path: Path) -> None:
    study = made_up(**{"data.name": "eurosat", "protocol.seed": [1, 2, 3]})
    own = dataclasses.replace(study, about=dataclasses.replace(study.about, source=""))
    table = pivot(own, unequal(own, tmp_path, {1: 0.5, 2: 0.7}))
    assert [each.title for each in table.fields] == ["EuroSAT, mean over classes", "EuroSAT"]
    zero, ours = table.lines
    by_class = table.cells[ours, table.fields[0]]
    assert (by_class.mean, by_class.runs, by_class.missing, by_class.paper) == (pytest.approx(0.6), 2, 1, None)
    assert table.cells[zero, table.fields[0]].mean == pytest.approx(0.4)
    assert table.cells[ours, table.fields[1]].mean == pytest.approx(0.9)


def test_a_paper_s_table_has_the_paper_s_measure_and_says_so(tmp_path: Path) -> None:
    study = made_up(**{"data.name": "eurosat", "protocol.seed": [1, 2]})
    found = unequal(study, tmp_path, {1: 0.5, 2: 0.7})
    table = pivot(study, found)
    assert [each.title for each in table.fields] == ["EuroSAT"]
    assert unequal_sets(found) == ["EuroSAT"]
    said = " ".join(block.text for block in blocks(study, table, unequal_sets(found)) if hasattr(block, "text"))
    assert "Accuracy, as the paper has it. The test classes of EuroSAT are unequal" in said
