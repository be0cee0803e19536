"""`train --seeds`: several runs one after another, their mean and deviation, and one comparison."""

from pathlib import Path
from statistics import mean, stdev

import pytest

from cliptune import recipe
from cliptune.cli.seeds import named, parse_seeds, report_of
from cliptune.errors import UserError
from tests.command import QUICK, Cliptune, two_lines


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1-3", (1, 2, 3)), ("1,2,3", (1, 2, 3)), ("1, 5,7", (1, 5, 7)), ("0-1,4", (0, 1, 4)), ("3", (1, 2, 3))]
    + [("1 2 3", (1, 2, 3)), ("1..3", (1, 2, 3)), ("1:3", (1, 2, 3)), ("1–3 7", (1, 2, 3, 7)), ("1 - 2", (1, 2))],
)
def test_seeds_are_ranges_and_lists(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", "x", "3-1", "1,1", "1-3,2", "-1", "1.5,2", "1", "1-", "5-5", "0", "1001", "0-99999999999", "1-" + 30 * "9"],
)
def test_what_is_no_set_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("seeds", "name"),
    [((1, 2), "1-2"), ((1, 2, 3, 7), "1-3_7"), ((5, 1), "1_5"), ((2, 4, 6), "2_4_6"), (tuple(range(1, 91)), "1-90")],
)
def test_a_page_is_named_after_ranges(seeds: tuple[int, ...], name: str) -> None:
    assert named(seeds) == name


def test_the_page_of_many_scattered_seeds_has_a_name_that_fits() -> None:
    many, others = tuple(range(1, 2000, 2)), tuple(range(1, 2001, 2))
    assert len(named(many)) < 100
    assert len({named(many), named(others[:-2]), named((*many[:-2], 1996, 1999))}) == 3


def test_the_report_of_many_seeds_has_a_file_s_name() -> None:
    draft = recipe.draft(recipe.load_tables("lora"), {"data.name": "digits"})
    assert report_of(draft, (1, 5), None).name.endswith("-seeds-1_5.html")
    assert report_of(draft, range(1000), None).name.endswith("-seeds-0-999.html")


@pytest.mark.parametrize("further", [("--seed", "1"), ("--set", "protocol.seed=1")])
def test_a_single_seed_beside_them_is_refused(further: tuple[str, str], cliptune: Cliptune) -> None:
    assert two_lines(cliptune("train", "lora", "--seeds", "1-2", *further))[1] == "give one of them"


@pytest.mark.usefixtures("few")
def test_runs_of_several_seeds_end_in_mean_deviation_and_one_page(cliptune: Cliptune) -> None:
    said = cliptune("train", "lora", "--seeds", "1-2", *QUICK, "--json").done()
    runs, (first, test) = said.json["runs"], said.json["tests"]
    assert first["test"] == "mean over classes", "these few digits are unequal"
    assert first["values"] == [run["metrics"]["test"]["macro_accuracy"] for run in runs]
    assert said.err.index("mean over classes: ") < said.err.index("test accuracy: ")
    scores = [run["metrics"]["test"]["accuracy"] for run in runs]
    assert [run["seed"] for run in runs] == [1, 2] == said.json["seeds"]
    assert [run["run"] for run in runs] == ["runs/lora-digits-2shot-s1", "runs/lora-digits-2shot-s2"]
    assert test["values"] == scores
    assert (test["mean"], test["deviation"]) == (pytest.approx(mean(scores)), pytest.approx(stdev(scores)))
    assert f"{100 * mean(scores):.1f} ± {100 * stdev(scores):.1f} % (mean ± s.d. of 2 seeds)" in said.err
    page = Path("lora-digits-2shot-seeds-1-2.html")
    assert said.json["report"] == str(page)
    assert page.is_file()
    again = cliptune("train", "lora", "--seeds", "1-2", *QUICK, "--json").done()
    assert [run["finished"] for run in again.json["runs"]] == [run["finished"] for run in runs], "trained once"


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_trained(few: None, cliptune: Cliptune) -> None:
    Path("exp").mkdir()
    Path("exp/report.md").write_text("mine")
    first, second = two_lines(cliptune("train", "lora", *QUICK, "--seeds", "1-2", "--out", "exp"))
    assert "report.md exists, and no report.html of `report` lies beside it" in first
    assert "another name" in second
    assert [path.name for path in Path("exp").iterdir()] == ["report.md"]
