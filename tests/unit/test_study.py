"""Studies as they are written: axes, cases, labels, keys, and what is refused."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cliptune import published
from cliptune.cli.study import say_ended, say_plan
from cliptune.errors import UserError
from cliptune.studies.conduct import Ahead, Told
from cliptune.studies.estimate import Estimate, estimates, extent, step_operations, steps
from cliptune.studies.pool import Ended, Pool, Setting, told_of
from cliptune.studies.reading import load, read, shipped
from cliptune.studies.study import Study

TABLES = """
[study]
title = "two methods"

[settings]
"data.name" = "digits"
protocol.seed = [1, 2]

[[cases]]
"protocol.shots" = [1, 4]

[[cases]]
"protocol.shots" = 1
rank = [2, 4]

[[methods]]
label = "LoRA"
recipe = "lora"

[[methods]]
label = "DoRA"
recipe = "dora"
settings = { train = { lr = 1e-3 } }
small = { alpha = 2.0 }

[small.settings]
"data.name" = "world/shapes"
"""


def tables(text: str = TABLES, **changes: Any) -> dict[str, Any]:
    return tomllib.loads(text) | changes


def study(small: bool = False, **chosen: Any) -> Study:
    return read("made-up", tables(), small, {key.replace("__", "."): value for key, value in chosen.items()})


def test_the_grid_is_the_union_of_its_cases() -> None:
    found = study()
    # Case 1: 2 shots × 2 seeds; case 2: 2 ranks × 2 seeds; two methods each.
    assert len(found.jobs) == 16
    first = [(job.label, job.recipe.protocol.shots, job.recipe.protocol.seed) for job in found.jobs[:4]]
    assert first == [("LoRA", 1, 1), ("DoRA", 1, 1), ("LoRA", 4, 1), ("DoRA", 4, 1)]
    assert [job.label for job in found.jobs[8:10]] == ["LoRA rank=2", "DoRA rank=2"]


def test_equal_runs_have_equal_keys_whatever_they_are_called() -> None:
    by_label = {(job.label, job.recipe.protocol.shots, job.recipe.protocol.seed): job for job in study().jobs}
    assert by_label["LoRA", 1, 1].key == by_label["LoRA rank=2", 1, 1].key
    assert by_label["LoRA", 1, 1].key != by_label["LoRA rank=4", 1, 1].key
    assert len({job.key for job in study().jobs}) == 12


def test_one_thing_has_one_key_whatever_it_is_called(tmp_path, monkeypatch) -> None:
    (tmp_path / "photos/cat").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for names in (["photos", "photos/", "./photos", str(tmp_path / "photos")], ["oxford_pets", "OxfordPets", "pets"]):
        assert len({study(data__name=name).jobs[0].key for name in names}) == 1, names
    assert study(method__rank=3).jobs[0].key == study(rank=3).jobs[0].key


def test_prompts_and_samplers_are_told_apart() -> None:
    labels = {job.label for job in study(protocol__sampler=["dassl", "cliplora"]).jobs}
    assert {"LoRA protocol.sampler=dassl", "LoRA protocol.sampler=cliplora"} <= labels


def test_where_the_data_lies_is_not_in_the_key() -> None:
    plain, elsewhere = study(), study(data__root="/elsewhere")
    assert [job.key for job in plain.jobs] == [job.key for job in elsewhere.jobs]


def test_a_method_s_settings_win_over_the_study_s_and_what_is_typed_over_both() -> None:
    assert {job.recipe.train.lr for job in study().jobs if job.row.label == "DoRA"} == {1e-3}
    typed = study(train__lr=[1e-4, 3e-4])
    assert {job.recipe.train.lr for job in typed.jobs} == {1e-4, 3e-4}
    assert "DoRA train.lr=0.0003" in {job.label for job in typed.jobs}


def test_typed_axes_take_the_place_of_the_study_s() -> None:
    found = study(protocol__shots=2, protocol__seed=[7])
    assert {(job.recipe.protocol.shots, job.recipe.protocol.seed) for job in found.jobs} == {(2, 7)}
    assert len({job.key for job in found.jobs}) == len({(job.key, job.label) for job in found.jobs}) - 2


def test_the_small_form_replaces_settings_and_cases() -> None:
    found = study(small=True)
    assert [job.recipe.data.name for job in found.jobs] == ["world/shapes"] * 2
    assert {job.recipe.preset for job in found.jobs} == {"small"}
    assert {job.row.label: job.recipe.method.settings()["alpha"] for job in found.jobs} == {"LoRA": 1.0, "DoRA": 2.0}


def test_zero_shot_beside_others_needs_no_runs() -> None:
    rows = [{"label": "zero", "recipe": "zero_shot"}, {"label": "LoRA", "recipe": "lora"}]
    assert {job.label for job in read("x", tables(methods=rows), True, {}).jobs} == {"LoRA"}
    assert [job.label for job in read("x", tables(methods=rows[:1]), False, {}).jobs] == ["zero"], "once"


@pytest.mark.parametrize(
    ("changes", "what", "fix"),
    [
        ({"grid": {}}, "[grid]: no such table", "known: study"),
        ({"study": {"titel": "x"}}, "study.titel: no such setting", "did you mean study.title?"),
        ({"settings": {"train.lrr": 1}}, "train.lrr: no such setting", "did you mean train.lr?"),
        ({"settings": {"train.lr": ["high"]}}, "train.lr = 'high'", "expected a number"),
        ({"methods": [{"label": "x", "recipe": "lorra"}]}, "no method or recipe is called 'lorra'", "'lora'"),
        ({"methods": {"label": "x"}}, "not a list of tables", "[[methods]]"),
        ({"methods": [{"label": "x", "recipe": "lora"}] * 2}, "same label", "label of its own"),
        ({"small": {"seeds": [1]}}, "small.seeds: no such setting", "settings, cases"),
        ({"methods": [{"label": "x"}]}, "methods.recipe is missing", "write recipe"),
        ({"study": {"source": "CLIP-DoRA tabel 1"}}, "study.source", "CLIP-DoRA table 1"),
        ({"methods": [{"label": "x", "recipe": "lora", "published": "LoRA"}]}, "nothing was published", "there:"),
        ({"study": {"shows": ["curve"]}}, "go together", "over"),
        ({"study": {"shows": ["curve"], "over": ["bogus"]}}, "no run sets 'bogus'", "[cases]"),
        ({"methods": [{"label": "x", "recipe": "zero_shot", "settings": {"bogus": 3}}]}, "bogus: no such", "known"),
        ({"methods": [{"label": "x", "recipe": "lora", "small": {"kk": 1}}]}, "kk: no such setting", "known"),
        ({"methods": []}, "no runs", "[[methods]]"),
        ({"settings": {"data.name": "nosuch"}}, "no data set is called 'nosuch'", "known"),
        ({"small": {}}, "there is no [small] form", "leave --small out"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], what: str, fix: str) -> None:
    with pytest.raises(UserError) as problem:
        read("made-up", tables(**changes), "small" in changes, {})
    assert what in problem.value.what
    assert fix in problem.value.fix


def test_every_table_and_figure_of_the_papers_has_a_study() -> None:
    tables = {"lora-xs": (1,), "dora": (1, 2, 3, 4), "ast": (1, 2, 3, 4, 5)}
    figures = {"lora-xs": (1,), "dora": (2,), "ast": (3, 4, 5, 6)}
    wanted = {f"{paper}-table-{number}" for paper, numbers in tables.items() for number in numbers}
    wanted |= {f"{paper}-figure-{number}" for paper, numbers in figures.items() for number in numbers}
    wanted |= {"matched-parameters", "lora-xs-rates", "lora-xs-sigma", "ast-selection", "ast-key-bias"}
    wanted |= {"scl-everywhere", "early-stopping", "tower-ranks", "digits-table", "segment-table", "segment-kvasir"}
    assert set(shipped()) == wanted


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_study_is_whole(name: str, small: bool) -> None:
    found = load(name, small)
    for job in found.jobs:
        assert job.key
    sources = {each.source for each in published.results()}
    assert found.about.source in {"", *sources}
    known = {each.method for each in published.results() if each.source == found.about.source}
    assert {row.published for row in found.rows} <= {"", *known}, "the papers know no such line"
    assert set(found.about.not_reproducible) <= known
    assert all(key in found.jobs[0].options or key in found.jobs[-1].options for key in found.about.over)


def test_every_published_table_has_its_study() -> None:
    tables = [tomllib.loads(path.read_text("utf-8")) for path in shipped().values()]
    sources = {each["study"].get("source") for each in tables}
    assert sources - {None} == {each.source for each in published.results()}


def test_an_unknown_study_and_a_broken_file(tmp_path) -> None:
    with pytest.raises(UserError, match="no study is called 'dora-tabel-1'"):
        load("dora-tabel-1")
    (tmp_path / "mine.toml").write_text("[study\n")
    with pytest.raises(UserError, match="not TOML"):
        load(str(tmp_path / "mine.toml"))


def test_only_some_runs() -> None:
    assert {job.label for job in study().only("dora").jobs} == {"DoRA", "DoRA rank=2", "DoRA rank=4"}
    with pytest.raises(UserError, match="no run of made-up is called so"):
        study().only("CoOp")


def test_what_a_run_goes_through_is_known_without_opening_data() -> None:
    by_name = {job.recipe.data.name: job.recipe for job in load("dora-table-1").jobs if job.recipe.protocol.shots == 16}
    size = extent(by_name["imagenet"], "")
    assert size is not None
    assert (size.classes, size.train, size.tests) == (1000, 16_000, 50_000)
    assert steps(by_name["imagenet"], size.train) == 8000


def test_the_arithmetic_of_a_step() -> None:
    """ViT-B/16, 32 images and 100 prompts: 2 × 12 d² a token and block, attention's 4 l d beside, forward and back."""
    from cliptune.models import zoo

    recipe = load("dora-table-1").jobs[0].recipe
    vision = 32 * 197 * 12 * (24 * 768**2 + 4 * 197 * 768)
    text = 100 * 8 * 12 * (24 * 512**2 + 4 * 8 * 512)
    assert step_operations(recipe, zoo.outline("vit-b-16"), 100, 184_320) == pytest.approx(2 * (vision + text))
    assert step_operations(recipe, zoo.outline("vit-b-16"), 100, 149_620_737) == pytest.approx(3 * (vision + text))


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", ["ast-table-4", "scl-everywhere", "lora-xs-figure-1"])
def test_what_a_study_compares_saw_the_same_images(name: str, small: bool) -> None:
    """CLIP-LoRA's recipes draw as its code does, the others as CoOp does: beside each other they take one sampler."""
    assert len({job.recipe.protocol.sampler for job in load(name, small, {"protocol.seed": 1}).jobs}) == 1


def test_an_ended_run_says_that_it_has_hardly_learned(capsys) -> None:
    job = study().jobs[0]
    ended = Ended(job, 3.0, told="test 8.0 %", notes=("the training loss has hardly fallen: 4.62 → 4.50",))
    say_ended(Told(ended, 1, 1, 0.0))
    first, second = capsys.readouterr().out.splitlines()
    assert "test 8.0 %" in first
    assert second == "      note: the training loss has hardly fallen: 4.62 → 4.50"


def test_what_an_ended_run_says_is_what_it_wrote() -> None:
    remarks = [{"what": "the loss stayed", "fix": "longer"}, {"what": ""}]
    record = {"metrics": {"test": {"accuracy": 0.08}}, "learning": {"remarks": remarks}}
    assert told_of(study().jobs[0], 1.0, record).notes == ("the loss stayed",)
    assert told_of(study().jobs[0], 1.0, {}).notes == ()


def test_what_nobody_can_estimate_is_said_in_plain_words(capsys) -> None:
    found = study()
    job = found.jobs[0]
    say_plan(found, Ahead({job.key: "absent"}, (job,), {job.key: Estimate(None, None, "")}), Setting(), 2, "local")
    assert "  duration unknown, 2 at a time, 1 thread each, memory unknown\n" in capsys.readouterr().out


def test_a_finished_run_of_few_shots_tells_of_one_of_many(tmp_path: Path) -> None:
    """Its measuring is not multiplied by the other's steps."""
    settings = {"data.name": "digits", "protocol.shots": [1, 16], "evaluate.retention": "none"}
    rows = [{"label": "LoRA", "recipe": "lora"}]
    tables = {"study": {"preset": "small"}, "settings": settings, "methods": rows}
    study, pool = read("s", tables, False, {}), Pool(tmp_path)
    few, many = study.jobs
    folder = pool.folder(few)
    folder.mkdir(parents=True)
    record = {"status": "finished", "data": {"train": 10}, "seconds": {"train": 6.0, "evaluate": 40.0}}
    (folder / "run.json").write_text(json.dumps(record))
    found = estimates([few, many], pool, "", "cpu")[1]
    assert found.by == "finished runs"
    assert found.seconds == pytest.approx(3 + steps(many.recipe, 160) * 6 / 60 + 40)
