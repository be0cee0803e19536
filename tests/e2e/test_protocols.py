"""Every protocol from the command line: what is recorded, what the report says of it, what is refused."""

import csv
import json
from pathlib import Path

import pytest

from cliptune.api import train
from cliptune.datasets import open_set
from cliptune.models.backbone import Backbone
from cliptune.reevaluate import measure_again
from cliptune.runs import Run
from cliptune.statistics import harmonic
from tests.cli.conftest import draw_photos
from tests.command import Cliptune
from tests.layouts import domains

SHORT = ("--device", "cpu", "--set", "train.steps=3", "--set", "evaluate.retention=none", "--out", "run")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def accuracy(path: Path) -> float:
    found = rows(path)
    return sum(row["label"] == row["prediction"] for row in found) / len(found)


def test_base_to_novel(few: None, cliptune: Cliptune) -> None:
    said = cliptune("train", "base-to-novel-lora", "--preset", "small", "--shots", "2", *SHORT).done()
    assert "tests: base (" in said.out
    assert "harmonic mean of base and novel: zero-shot" in said.out
    last = said.out[said.out.index("harmonic mean of") :]
    assert last.index("\n  base: zero-shot") < last.index("\n  novel: zero-shot"), "both halves follow what leads"
    run = Run("run")
    metrics, before = run.metrics, run.metrics["zero_shot"]
    assert run.classes == ("zero", "one", "two", "three", "four")
    assert run.tests == ("base", "novel")
    assert metrics["base"]["n"] + metrics["novel"]["n"] == 100
    for found in (metrics, before):
        assert found["harmonic_mean"] == pytest.approx(harmonic(found["base"]["accuracy"], found["novel"]["accuracy"]))
    assert accuracy(Path("run/predictions.csv")) == pytest.approx(metrics["base"]["accuracy"])
    assert accuracy(Path("run/predictions/novel.csv")) == pytest.approx(metrics["novel"]["accuracy"])
    assert accuracy(Path("run/zero_shot_predictions/novel.csv")) == pytest.approx(before["novel"]["accuracy"])
    novel = {row["prediction"] for row in rows(Path("run/predictions/novel.csv"))}
    assert novel <= {"five", "six", "seven", "eight", "nine"}
    page = run.report().read_text("utf-8")
    assert "harmonic mean of base and novel" in page
    card = Path("run/adapter/README.md").read_text("utf-8")
    assert "this adapter, novel" in card
    again = cliptune("evaluate", "run", "--json").done().json
    assert again["adapted"]["accuracy"] == metrics["base"]["accuracy"]
    assert {name: told["adapted"]["accuracy"] for name, told in again["tests"].items()} == {
        name: metrics[name]["accuracy"] for name in ("base", "novel")
    }
    again = cliptune("evaluate", "run").done().out
    assert "digits, novel: zero-shot" in again
    assert "harmonic mean of base and novel: zero-shot" in again


def test_two_base_to_novel_runs_are_compared_by_both_harmonic_means(few: None, cliptune: Cliptune) -> None:
    for seed in (1, 2):
        words = ("--shots", "2", "--seed", seed, *SHORT[:-1], f"run{seed}")
        cliptune("train", "lora", "--protocol", "base-to-novel", *words).done()
    cliptune("report", "run1", "run2", "--out", "both.html").done()
    page = Path("both.html").read_text("utf-8")
    assert "harmonic mean, mean of the runs" in page
    assert "harmonic mean, of the mean accuracies" in page


def test_variants_of_a_protocol_are_not_mixed(few: None, cliptune: Cliptune) -> None:
    for half in ("base", "novel"):
        words = ("--shots", "1", "--set", f"protocol.half={half}", *SHORT[:-1], half)
        cliptune("train", "lora", "--protocol", "base-to-novel", *words).done()
    cliptune("report", "base", "novel", "--out", "both.html").done()
    assert "base-to-novel (trained on novel)" in Path("both.html").read_text("utf-8")


def test_out_of_distribution(few: None, cliptune: Cliptune) -> None:
    tests = 'protocol.tests=["world/digits", "world/counts"]'
    cliptune("train", "lora", "--protocol", "out-of-distribution", "--shots", "1", "--set", tests, *SHORT).done()
    run = Run("run")
    assert run.tests == ("test", "world/digits", "world/counts")
    assert (run.metrics["world/counts"]["n"], len(run.metrics["world/counts"]["per_class"])) == (800, 4)
    assert run.metrics["zero_shot"]["world/digits"]["n"] == 1000
    assert accuracy(Path("run/predictions/world-counts.csv")) == run.metrics["world/counts"]["accuracy"]
    assert run.record["recipe"]["protocol"]["tests"] == ["world/digits", "world/counts"]


def test_leave_one_domain_out(cliptune: Cliptune) -> None:
    words = ("--data", "world/styles", "--protocol", "domain-generalization", "--shots", "1")
    cliptune("train", "lora", *words, "--set", "protocol.target=Sketch", *SHORT).done()
    run = Run("run")
    assert (run.record["target"], run.record["shots"]) == ("sketch", 1)
    episode = json.loads(Path("run/episode.json").read_text("utf-8"))
    assert len(episode["train"]) == 3 * 24
    assert run.metrics["test"]["n"] == run.metrics["zero_shot"]["n"] == 24 * 10
    assert "sketch" in run.report().read_text("utf-8")


def test_the_open_set_of_pacs(tmp_path: Path, cliptune: Cliptune) -> None:
    domains.pacs_dassl(tmp_path / "data")
    open_set = ("--set", "protocol.target=sketch", "--set", "protocol.open_set=true")
    said = cliptune("train", "dg-lora", "--data", "pacs", "--root", tmp_path / "data", *open_set, *SHORT).done()
    assert "known against unknown, AUROC" in said.out
    run = Run("run")
    assert "person" not in run.classes
    for found in (run.metrics["open_set"], run.metrics["zero_shot"]["open_set"]):
        assert 0 <= found["auroc"] <= 1
        assert found["h_score"] == pytest.approx(harmonic(found["known_accuracy"], found["unknown_accuracy"]))
    assert {row["label"] for row in rows(Path("run/predictions/unknown.csv"))} == {""}
    assert "Known and unknown classes" in run.report().read_text("utf-8")


def test_full_data_takes_everything_and_ten_epochs(few: None, cliptune: Cliptune) -> None:
    facts = cliptune("check", "lora", "--protocol", "full-data", "--device", "cpu", "--json").done().json
    assert (facts["train"], facts["val"]) == (597, 200)
    assert facts["steps"] == 10 * 19


def test_a_repeated_run_is_known_again(few: None, cliptune: Cliptune) -> None:
    words = ("train", "lora", "--protocol", "base-to-novel", "--shots", "1", *SHORT)
    cliptune(*words).done()
    before = Path("run/run.json").read_bytes()
    cliptune(*words).done()
    assert Path("run/run.json").read_bytes() == before
    said = cliptune(*words, "--set", "protocol.half=novel")
    assert said.code == 2
    assert "protocol.half: 'base' there, 'novel' now" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("linear_probe", "--protocol", "base-to-novel"), "knows only the classes it is fitted on"),
        (("lora", "--protocol", "domain-generalization"), "'digits' has no domains"),
        (("lora", "--protocol", "out-of-distribution"), "on which image sets"),
        (("lora", "--protocol", "base-to-new"), "protocol.name = 'base-to-new'"),
        (("lora", "--shots", "many"), "protocol.shots = 'many'"),
        (("lora", "--shots", "0"), "protocol.shots = 0"),
        (("lora", "--protocol", "full-data", "--shots", "4"), "full-data with 4 shots"),
        (("lora", "--set", "protocol.target=photo"), "protocol.target has no meaning under few-shot"),
    ],
)
def test_refused(words: tuple[str, ...], told: str, cliptune: Cliptune) -> None:
    said = cliptune("train", *words, *SHORT)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert len(said.err.strip().split("\n")) == 2
    assert not Path("run").exists()


def test_what_cannot_be_read_is_left_out_only_on_request(tmp_path: Path, cliptune: Cliptune) -> None:
    folder = draw_photos(tmp_path / "photos")
    broken = folder / "cat" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    words = ("train", "lora", "--data", folder, "--protocol", "full-data", *SHORT)
    refused = cliptune(*words)
    assert refused.code == 2
    assert "3.jpg" in refused.err
    assert not Path("run").exists()
    said = cliptune(*words, "--set", "data.missing=skip").done()
    assert "note: 1 image cannot be read and is left out" in said.out
    record = json.loads(Path("run/run.json").read_text("utf-8"))
    assert sum(record["data"][part] for part in ("train", "val", "test")) == 15
    assert "3.jpg" in record["data"]["notes"][0]
    assert "3.jpg" in Path("run/adapter/README.md").read_text("utf-8")
    assert cliptune("evaluate", "run").done()


def test_a_copy_with_missing_files_is_evaluated_again_from_anywhere(
    tmp_path: Path, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains.pacs_dassl(tmp_path / "data")
    next((tmp_path / "data").rglob("cartoon/dog/*.jpg")).unlink()
    monkeypatch.chdir(tmp_path)
    words = ("train", "dg-lora", "--data", "pacs", "--root", "data", "--set", "protocol.target=photo", *SHORT)
    assert "listed files are not there" in cliptune(*words).err
    cliptune(*words, "--set", "data.missing=skip").done()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = cliptune("evaluate", tmp_path / "run", "--json").done().json
    assert found["adapted"]["accuracy"] == Run(tmp_path / "run").metrics["test"]["accuracy"]


def test_an_image_set_from_python_brings_its_root(tmp_path: Path, mini: Backbone) -> None:
    domains.pacs_dassl(tmp_path / "data")
    pacs = open_set("pacs", str(tmp_path / "data"))
    chosen = {"protocol.name": "domain-generalization", "protocol.target": "photo", "train.steps": 2}
    run = train(mini, pacs, "lora", settings={**chosen, "evaluate.retention": "none"}, out="run", device="cpu")
    assert run.record["recipe"]["data"]["root"] == str((tmp_path / "data").resolve())
    assert measure_again(run, None, None, None, "cpu")["adapted"]["n"] == run.metrics["test"]["n"]
