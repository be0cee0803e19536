"""Every verb once for real, on the embedded model and the digits."""

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from cliptune.cli.main import VERBS
from cliptune.datasets import open_set
from cliptune.models.backbone import Backbone
from cliptune.runs import Run
from tests.cli.conftest import draw_photos
from tests.command import QUICK, Cliptune, Process, contents, tree

RECORD = {
    *("status", "method", "settings", "model", "data", "protocol", "shots", "seed", "trainable_parameters"),
    *("trainable_percent", "sites", "inert", "metrics", "seconds", "images_per_second", "peak_memory_bytes"),
    *("merge_gap", "environment"),
}
"""keys of run.json that other tools rely on"""


def train(cliptune: Cliptune, method: str, out: str, *more: object):
    return cliptune("train", method, *QUICK, "--out", out, *more).done()


@pytest.fixture
def pictures(few_digits) -> list[Path]:
    """Three test digits as files, one of them in a folder."""
    paths = [Path("one.png"), Path("two.jpg"), Path("more/three.bmp")]
    Path("more").mkdir()
    for path, item in zip(paths, few_digits.test):
        few_digits.read(item).save(path)
    return paths


# list, show, doctor


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("methods", "dora: CLIP-DoRA"),
        ("models", "vit-l-14 openai/clip-vit-large-patch14"),
        ("data", "world/shapes"),
        ("recipes", "few-shot-lora-xs CLIP-LoRA-XS"),
        ("studies", "dora-table-3: domain generalization"),
    ],
)
def test_list(kind: str, named: str, cliptune: Cliptune) -> None:
    said = cliptune("list", kind).done()
    assert named.split(":")[0].split()[0] in said.out
    assert all(word in said.out for word in named.replace(":", "").split())
    rows = cliptune("list", kind, "--json").done().json
    assert list(rows) == [kind]
    assert all(row["name"] and row["about"] for row in rows[kind])


def test_list_everything(cliptune: Cliptune) -> None:
    assert set(cliptune("list", "--json").done().json) == {"methods", "models", "data", "recipes", "studies"}


SIZES = [
    # (method and settings, backbone, trainable, per cent of the backbone)
    ("lora", "vit-b-16", 184_320, 0.12),
    ("lora_xs --set rank=32", "vit-b-16", 73_728, 0.05),
    ("lora_xs --set rank=45", "vit-b-16", 145_800, 0.10),
    ("dora", "vit-b-16", 307_200, 0.21),
    ("dora --set rank=1", "vit-b-16", 184_320, 0.12),
    ("bitfit", "vit-b-16", 168_960, 0.11),
    ("lora", "vit-l-14", 405_504, 0.09),
    ("dora", "vit-l-14", 675_840, 0.16),
    ("zero_shot", "vit-b-16", 0, 0.0),
    ("full", "vit-b-16", 149_620_736, 100.0),
    ("linear_probe --classes 10", "vit-b-16", 5_130, 0.0),
]


@pytest.mark.parametrize(("line", "on", "count", "percent"), SIZES, ids=[f"{line} on {on}" for line, on, _, _ in SIZES])
def test_show_counts_before_any_training(line: str, on: str, count: int, percent: float, cliptune: Cliptune) -> None:
    said = cliptune("show", *line.split(), "--on", on, "--json").done()
    assert said.json["trainable_parameters"] == count
    assert round(said.json["trainable_percent"], 2) == percent
    assert f"{count:,}" in said.err


def test_show_ast_counts_candidates(cliptune: Cliptune) -> None:
    facts = cliptune("show", "ast", "--on", "vit-b-16", "--json").done().json
    assert (facts["candidates"], facts["inert"], facts["chosen"]) == (384, 24, 144)
    assert (facts["trainable_least"], facts["trainable_most"]) == (92_160, 122_683_392)
    assert facts["trainable_parameters"] is None


def test_show_a_method_is_its_page(cliptune: Cliptune) -> None:
    said = cliptune("show", "dora").done()
    for words in ("W' = m · V / ‖V‖", "arXiv:2402.09353", "rank = 2", "columns of B", "307,200", "paper preset"):
        assert words in said.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("few-shot-dora", ("[method]", 'name = "dora"', "expected:")),
        ("digits", ("classes: zero, one", "597", "CC BY 4.0")),
        ("world/shapes", ("test: 960",)),
        ("world", ("world/shapes", "world/counts")),
        ("mini", ("ships with cliptune", "quick_gelu")),
        ("vit-b-16", ("149620737", "openai/clip-vit-base-patch16", "12 blocks × 768")),
        ("ViT_B-16", ("149620737",)),
    ],
)
def test_show_other_things(name: str, words: tuple[str, ...], cliptune: Cliptune) -> None:
    said = cliptune("show", name).done()
    assert all(word in said.out for word in words)
    assert isinstance(cliptune("show", name, "--json").done().json, dict)


def test_doctor_finds_the_embedded_model_well(cliptune: Cliptune) -> None:
    said = cliptune("doctor", "--json").done()
    assert said.json["digits_zero_shot"] >= 0.55
    assert said.json["torch"] == torch.__version__.split("+")[0] or torch.__version__.startswith(said.json["torch"])
    assert "all well" in said.err


# check


def test_check_says_what_train_would_do_and_writes_nothing(few: None, cliptune: Cliptune) -> None:
    said = cliptune("check", "dora", *QUICK, "--json").done()
    assert contents(Path()) == {}
    facts = said.json
    assert (facts["train"], facts["val"], facts["test"]) == (20, 20, 100)
    assert (facts["trainable_parameters"], facts["steps"], len(facts["sites"])) == (16_000, 4, 28)
    assert facts["prompts"][0] == "a photo of the digit zero"
    assert facts["step_seconds"] > 0
    assert facts["estimated_seconds"] >= 4 * facts["step_seconds"] > 0
    trained = train(cliptune, "dora", "run", "--json").json
    assert facts["episode_sha256"] == trained["data"]["episode_sha256"]
    assert facts["recipe"] == trained["recipe"]


def test_check_on_photographs_takes_the_split_it_names(photos: Path, cliptune: Cliptune) -> None:
    facts = cliptune("check", "lora", "--data", photos, *QUICK, "--json").done().json
    assert facts["split"] == "made here, seed 0"
    assert facts["prompts"] == ["a photo of a cat.", "a photo of a dog."]


@pytest.mark.slow
def test_check_a_named_backbone_without_its_weights(few: None, cliptune: Cliptune) -> None:
    said = cliptune("check", "dora", *QUICK, "--model", "vit-b-16", "--set", "train.batch=2", "--json").done()
    assert said.json["trainable_parameters"] == 307_200
    assert len(said.json["sites"]) == 96
    assert "no weights at hand" in said.err
    assert contents(Path()) == {}


# train


def test_train_writes_the_run_folder(few: None, cliptune: Cliptune) -> None:
    said = cliptune("train", "dora", *QUICK).done()
    folder = Path("runs/dora-digits-2shot-s1")
    assert str(folder) in said.out
    assert said.err == ""
    files = {name for name, content in contents(folder).items() if content is not None and "thumbnails" not in name}
    assert files == {
        *("recipe.toml", "run.json", "metrics.jsonl", "episode.json", "files.json"),
        *("predictions.csv", "zero_shot_predictions.csv"),
        *("adapter/adapter.safetensors", "adapter/adapter.json", "adapter/README.md"),
    }
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert record.keys() >= RECORD
    assert record["status"] == "finished"
    assert record["protocol"] == "few-shot"
    assert record["model"].keys() >= {"name", "source", "sha256", "parameters"}
    assert record["data"].keys() >= {"name", "classes", "train", "val", "test", "episode_sha256"}
    assert record["environment"].keys() >= {"torch", "transformers", "commit", "dirty", "machine"}
    assert record["seconds"].keys() >= {"train", "evaluate"}
    for name in ("test", "zero_shot"):
        assert 0 <= record["metrics"][name]["accuracy"] <= 1
        assert record["metrics"][name]["n"] == 100
    assert record["trainable_parameters"] == 16_000
    assert record["trainable_percent"] == pytest.approx(100 * 16_000 / record["model"]["parameters"])
    assert record["merge_gap"] <= 1e-5
    assert len(record["sites"]) == 28


def test_predictions_are_the_accuracy(finished: Path) -> None:
    import csv

    record = json.loads((finished / "run.json").read_text("utf-8"))
    for file, name in (("predictions.csv", "test"), ("zero_shot_predictions.csv", "zero_shot")):
        with (finished / file).open(newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        assert list(rows[0]) == ["path", "label", "prediction", "score", "top5"]
        right = sum(row["label"] == row["prediction"] for row in rows)
        assert right / len(rows) == pytest.approx(record["metrics"][name]["accuracy"])
        assert all(row["top5"].split("|")[0] == row["prediction"] for row in rows)


def test_train_again_with_equal_settings_returns_at_once(few: None, cliptune: Cliptune) -> None:
    first = train(cliptune, "dora", "run", "--json").json
    before = tree(Path("run"))
    again = train(cliptune, "dora", "run", "--json")
    assert tree(Path("run")) == before
    assert again.json == first
    assert "train 1/" not in again.err
    assert train(cliptune, "dora", "run", "--resume", "--json").json == first
    assert tree(Path("run")) == before


def test_fresh_starts_over(few: None, cliptune: Cliptune) -> None:
    first = train(cliptune, "dora", "run", "--json").json
    Path("run/report.html").write_text("old", "utf-8")
    other = train(cliptune, "dora", "run", "--seed", 2, "--fresh", "--json").json
    assert other["seed"] == 2
    assert other["data"]["episode_sha256"] != first["data"]["episode_sha256"]
    assert not Path("run/report.html").exists()


@pytest.mark.parametrize("method", ["dora", "ast", "lora_xs", "linear_probe"])
def test_the_saved_recipe_repeats_the_run_to_the_byte(method: str, few: None, cliptune: Cliptune) -> None:
    more = ("--set", "rank=8") if method == "lora_xs" else ()
    train(cliptune, method, "run", *more)
    cliptune("train", "run/recipe.toml", "--out", "again", "--device", "cpu").done()
    for name in ("adapter/adapter.safetensors", "recipe.toml", "predictions.csv", "episode.json"):
        assert Path("run", name).read_bytes() == Path("again", name).read_bytes(), name


def test_a_run_folder_stands_for_its_recipe(few: None, cliptune: Cliptune) -> None:
    train(cliptune, "linear_probe", "run")
    cliptune("train", "run", "--out", "again", "--device", "cpu").done()
    assert Path("run/recipe.toml").read_bytes() == Path("again/recipe.toml").read_bytes()


@pytest.mark.xdist_group("processes")
def test_another_process_gives_the_same_bytes(few: None, cliptune: Cliptune) -> None:
    train(cliptune, "dora", "here")
    Process("train", "dora", *QUICK, "--out", "there").wait().done()
    name = "adapter/adapter.safetensors"
    assert Path("here", name).read_bytes() == Path("there", name).read_bytes()


def test_train_on_photographs(photos: Path, cliptune: Cliptune) -> None:
    record = train(cliptune, "lora", "run", "--data", photos, "--json").json
    assert record["data"]["classes"] == ["cat", "dog"]
    assert record["data"]["name"] == "photos"
    again = cliptune("evaluate", "run", "--json").done().json["adapted"]
    assert again["per_class"] == record["metrics"]["test"]["per_class"]
    assert again["nll"] == pytest.approx(record["metrics"]["test"]["nll"], rel=1e-4)


def test_photographs_may_move_between_runs(photos: Path, cliptune: Cliptune) -> None:
    """The test split can be measured again where the images lie now."""
    record = train(cliptune, "lora", "run", "--data", photos, "--json").json
    moved = photos.with_name("elsewhere")
    photos.rename(moved)
    said = cliptune("evaluate", "run", "--data", moved, "--template", "a photo of a {}.", "--json").done()
    assert said.json["adapted"]["accuracy"] == record["metrics"]["test"]["accuracy"]


def test_memory_sets_the_chunk(few: None, cliptune: Cliptune) -> None:
    plain = train(cliptune, "lora", "plain", "--set", "dropout=0", "--json").json
    tight = train(cliptune, "lora", "tight", "--set", "dropout=0", "--memory", "10MB", "--json").json
    assert plain["recipe"]["train"]["chunk"] == 0
    assert 1 <= tight["recipe"]["train"]["chunk"] < 20
    assert tight["recipe"]["train"]["text_chunk"] == plain["recipe"]["train"]["text_chunk"] == 0
    losses = [
        [json.loads(line).get("loss") for line in Path(run, "metrics.jsonl").read_text("utf-8").splitlines()]
        for run in ("plain", "tight")
    ]
    assert [loss for loss in losses[0] if loss] == pytest.approx([loss for loss in losses[1] if loss], rel=1e-4)


# evaluate, predict, merge, report


def test_evaluate_on_its_own_split_is_the_record(finished: Path, few: None, cliptune: Cliptune) -> None:
    record = json.loads((finished / "run.json").read_text("utf-8"))
    found = cliptune("evaluate", finished, "--device", "cpu", "--json").done().json
    assert found["adapted"]["accuracy"] == record["metrics"]["test"]["accuracy"]
    assert found["zero_shot"]["accuracy"] == record["metrics"]["zero_shot"]["accuracy"]
    assert found["adapted"]["per_class"] == record["metrics"]["test"]["per_class"]


def test_evaluate_on_other_data(finished: Path, cliptune: Cliptune) -> None:
    said = cliptune("evaluate", finished, "--data", "world/digits", "--device", "cpu", "--json").done()
    assert said.json["data"] == "world/digits"
    assert said.json["adapted"]["n"] == len(open_set("world/digits").test)
    assert said.json["template"] == open_set("world/digits").templates[0]
    assert "world/digits: zero-shot" in said.err


def test_predict_files_folders_and_standard_input(
    finished: Path, pictures: list[Path], cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("two.jpg\n\n"))
    said = cliptune("predict", finished, "one.png", "more", "-", "--top", 3, "--json").done()
    rows = said.json["predictions"]
    assert [row["path"] for row in rows] == ["one.png", "more/three.bmp", "two.jpg"]
    for row in rows:
        assert len(row["top"]) == 3
        assert row["prediction"] == row["top"][0][0]
        assert row["score"] == row["top"][0][1] == max(score for _, score in row["top"])
    assert said.err.count("%") == 9


def test_predict_says_what_the_test_split_says(finished: Path, few_digits, cliptune: Cliptune) -> None:
    import csv

    with (finished / "predictions.csv").open(newline="", encoding="utf-8") as text:
        expected = [row["prediction"] for row in csv.DictReader(text)][:10]
    Path("png").mkdir()
    for number, item in enumerate(few_digits.test[:10]):
        few_digits.read(item).save(f"png/{number}.png")
    rows = cliptune("predict", finished, "png", "--json").done().json["predictions"]
    assert [row["prediction"] for row in rows] == expected


@pytest.mark.parametrize("out", ["merged", "deep/er/merged", "empty"])
def test_merge_is_an_ordinary_clip(
    out: str, finished: Path, mini: Backbone, pictures: list[Path], cliptune: Cliptune
) -> None:
    Path("empty").mkdir()
    said = cliptune("merge", finished, out, "--json").done()
    assert said.json["merge_gap"] <= 1e-5
    model, report = CLIPModel.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    processor = CLIPProcessor.from_pretrained(out)
    run = Run(finished, mini)
    images = [Image.open(path).convert("RGB") for path in pictures]
    inputs = processor(text=run.prompts(), images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        theirs = model.eval()(**inputs).logits_per_image
        pixels = inputs["pixel_values"]
        ours = run.adapter.logits(
            run.adapter.image_features(pixels), run.adapter.text_features(mini.tokens(run.prompts()))
        )
    assert float((ours - theirs).abs().max() / ours.abs().max()) <= 1e-5
    rows = run.predict(pictures, top=10, calibrate=False)
    mine = [[dict(row["top"])[name] for name in run.classes] for row in rows]
    assert torch.tensor(mine) == pytest.approx(theirs.softmax(-1), abs=2e-4)


def test_a_merged_model_is_a_backbone_again(finished: Path, few: None, cliptune: Cliptune) -> None:
    cliptune("merge", finished, "merged").done()
    record = json.loads((finished / "run.json").read_text("utf-8"))
    again = cliptune("train", "zero_shot", *QUICK, "--model", "merged", "--json").done().json
    assert again["metrics"]["zero_shot"]["accuracy"] == record["metrics"]["test"]["accuracy"]


def test_report_on_one_run_and_on_several(finished: Path, probe: Path, cliptune: Cliptune) -> None:
    shutil.copytree(finished, "runs/a")
    shutil.copytree(probe, "runs/b")
    one = cliptune("report", "runs/a", "runs/../runs/a", "--json").done().json
    assert one["files"][0] == "runs/a/report.html"
    both = cliptune("report", "runs", "--out", "both.html", "--json").done().json
    assert both["runs"] == ["runs/a", "runs/b"]
    for path in one["files"] + both["files"]:
        assert Path(path).stat().st_size > 100, path
    page = Path("both.html").read_text("utf-8")
    assert "dora" in page
    assert "linear_probe" in page
    assert 'src="http' not in page


def test_report_gives_figures_and_tables_away(finished: Path, cliptune: Cliptune) -> None:
    words = ("report", finished, "--out", "one.html", "--plots", "figures", "--latex", "--json")
    files = {Path(path) for path in cliptune(*words).done().json["files"]}
    assert {Path("one.tex"), Path("figures/confusion.png"), Path("figures/confusion.svg")} <= files
    assert r"\begin{tabular}" in Path("one.tex").read_text("utf-8")


# --json


def test_every_verb_takes_json(finished: Path, few: None, pictures: list[Path], cliptune: Cliptune) -> None:
    """Standard output is one JSON object, the text goes to standard error."""
    lines = {
        "demo": None,
        "list": ("list",),
        "show": ("show", "lora"),
        "check": ("check", "lora", *QUICK),
        "train": ("train", "lora", *QUICK),
        "evaluate": ("evaluate", finished),
        "predict": ("predict", finished, "one.png"),
        "merge": ("merge", finished, "merged"),
        "study": ("study", "dora-table-1", "--small", "--dry-run"),
        "report": ("report", finished, "--out", "page.html"),
        "doctor": ("doctor",),
    }
    assert lines.keys() == VERBS.keys()
    for words in filter(None, lines.values()):
        said = cliptune(*words, "--json").done()
        assert isinstance(said.json, dict), words
        assert said.out.count("\n") == 1
        assert said.err.strip(), words


@pytest.mark.slow
def test_demo_ends_with_a_report(few: None, cliptune: Cliptune) -> None:
    said = cliptune("demo", "--shots", 1, "--json").done()
    assert Path("demo-run/report.html").stat().st_size > 10_000
    assert [run["method"] for run in said.json["runs"]] == ["zero_shot", "lora", "lora_xs", "dora", "ast"]
    again = cliptune("demo", "--shots", 1, "--json").done()
    assert again.json["runs"] == said.json["runs"]


def test_photographs_of_the_tests_are_images(tmp_path: Path) -> None:
    folder = draw_photos(tmp_path / "photos", images=1)
    assert Image.open(folder / "cat" / "0.jpg").size == (40, 36)
