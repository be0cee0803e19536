"""What a person can mend is told in two lines, with exit code 2, and nothing is left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cliptune.models.backbone import Backbone
from cliptune.registry import nearest
from tests.command import QUICK, Cliptune, Process, contents, tree, two_lines

CLIP_FILES = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture
def refused(cliptune: Cliptune) -> Callable[..., tuple[str, str]]:
    """Run a command line that must be refused and must leave the working folder as it was."""

    def run(*words: object) -> tuple[str, str]:
        before = tree(Path())
        lines = two_lines(cliptune(*words))
        assert tree(Path()) == before
        return lines

    return run


Refused = Callable[..., tuple[str, str]]

LINES = [
    # (command line, words of the first line, words of the second)
    ("train dorra", "no method or recipe is called 'dorra'", "did you mean 'dora'?"),
    ("train few-shot-dorra", "no method or recipe is called 'few-shot-dorra'", "did you mean 'few-shot-dora'?"),
    ("show lorra", "'lorra'", "did you mean 'lora'?"),
    ("trian dora", "no such verb: trian", "did you mean 'cliptune train'?"),
    ("fly", "no such verb: fly", "verbs: demo, list"),
    ("train dora --shot 4", "`cliptune train` has no option --shot", "did you mean --shots 4?"),
    ("list --bogus", "`cliptune list` has no option --bogus", "cliptune list --help"),
    ("--bogus", "no option --bogus before a verb", "cliptune --help"),
    ("train", "`cliptune train` needs a METHOD or RECIPE first", "cliptune train dora --data FOLDER"),
    ("merge run", "`cliptune merge` needs OUT", "like: cliptune merge runs/"),
    ("train dora --seed x", "--seed", "cliptune train --help"),
    ("train dora --seed 1.5", "--seed", "cliptune train --help"),
    ("train dora --shots 0", "protocol.shots = 0", "at least 1"),
    ("train dora --shots -3", "protocol.shots = -3", "at least 1"),
    ("demo --shots 0", "protocol.shots = 0", "at least 1"),
    ("train dora --set rnk=4", "rnk: no such setting", "did you mean rank?"),
    ("train dora --set train.lrr=1", "train.lrr: no such setting", "did you mean train.lr?"),
    ("train dora --set pooled=false", "pooled: no such setting of dora", "did you mean shortcuts.pooled?"),
    ("train dora --set shortcuts=off", "shortcuts: no such setting, a table", "`cliptune show shortcuts` lists them"),
    ("train dora --set shortcuts.pooled=maybe", "shortcuts.pooled = 'maybe'", "expected"),
    ("train dora --memory 1GB --set train.chunk=2", "--memory and train.chunk", "give one of them"),
    ("train dora --set trian.lr=1", "trian.lr: no such setting", "did you mean train.lr?"),
    ("show dora --set train.lrr=1", "train.lrr: no such setting", "did you mean train.lr?"),
    ("train dora --set rank", "--set 'rank': not a setting", "--set rank=4"),
    ("train dora --set rank=0", "rank = 0", "at least 1"),
    ("train dora --set rank=1000", "rank = 1000 is more than", "smaller rank"),
    ("train dora --set rank=big", "rank = 'big'", "a whole number"),
    ("train dora --set rank=2.5", "rank = 2.5", "a whole number"),
    ("train dora --set rank=true", "rank = True", "a whole number"),
    ("train dora --set alpha=nan", "alpha = nan", "finite"),
    ("train dora --set rank=[", "is not a TOML value", "numbers"),
    ("train dora --set dropout=1", "dropout = 1", "less than 1"),
    ("train dora --set scaling=alpha", "scaling = 'alpha'", "'alpha/sqrt(r)', 'alpha/r'"),
    ('train dora --set where=["visual.*.q"]', "'visual.*.q' matches none", "'vision.0.q'"),
    ('train dora --set where=["vision.[5-9].q"]', "'vision.[5-9].q' matches none", "sites look like"),
    ("train ast --set k=99", "k = 99 is more than", "lower k"),
    ("train dora --set train.steps=0", "train.steps = 0", "at least 1"),
    ("train dora --set train.lr=-1", "train.lr = -1", "at least 0"),
    ("train dora --set train.crop=[0.5,0.1]", "train.crop", "low first"),
    ("train dora --set evaluate.retention=worlds", "'worlds'", "did you mean 'world'?"),
    ("train dora --data nowhere", "'nowhere'", "known: "),
    ("train dora --data no/where", "no/where does not exist", "folder"),
    ("train dora --data digit", "'digit'", "did you mean 'digits'?"),
    ("train dora --data digits/odd", "'digits' has no parts", "'digits'"),
    ("train dora --data world/shape", "'shape'", "did you mean 'shapes'?"),
    ("train dora --model vit-b-61", "no backbone 'vit-b-61'", "did you mean 'vit-b-16'?"),
    ("train dora --model ./nowhere", "backbone './nowhere': no such folder", "folder"),
    ("train dora --device tpu", "--device tpu", "auto, cpu, cuda, mps"),
    ("train dora --dtype int8", "train.dtype = 'int8'", "'bfloat16'"),
    ("train dora --dtype float16 --device cpu", "--dtype float16 needs a GPU", "--dtype bfloat16"),
    ("train dora --preset big", "preset = 'big'", "'paper', 'small', 'auto'"),
    ("train dora --task segment", "which images are to be marked?", "--data FOLDER"),
    ("train dora --protocol base-to-new", "protocol.name = 'base-to-new'", "'base-to-novel'"),
    ("train dora --memory 1KB", "--memory 1KB: a step needs", "give at least --memory"),
    ("train dora --memory lots", "--memory 'lots': not a size", "2GB"),
    ("train dora --memory 0GB", "--memory '0GB': not a size", "2GB"),
    ("train dora --resume --fresh", "--resume and --fresh", "one of them"),
    ("train nowhere.toml", "nowhere.toml: no such file", "RUN/recipe.toml"),
    ("train nowhere/recipe.toml", "nowhere/recipe.toml: no such file", "cliptune show"),
    ("predict nowhere image.png", "nowhere is not a run: there is no such folder", "cliptune train"),
    ("evaluate nowhere", "nowhere is not a run", "cliptune train"),
    ("merge nowhere out", "nowhere is not a run", "cliptune train"),
    ("report nowhere", "nowhere: no run there", "runs/*"),
    ("list metods", "'metods'", "did you mean 'methods'?"),
    ("show dora --on vit-b-61", "no backbone 'vit-b-61'", "did you mean 'vit-b-16'?"),
]


@pytest.mark.parametrize(("line", "what", "fix"), LINES, ids=[line for line, _, _ in LINES])
def test_is_refused(line: str, what: str, fix: str, refused: Refused) -> None:
    first, second = refused(*line.split())
    assert what in first
    assert fix in second


@pytest.mark.parametrize("line", ["train dorra", "trian dora", "train dora --seed x", "train dora --set rank=0"])
def test_json_answers_with_one_object(line: str, cliptune: Cliptune) -> None:
    said = cliptune(*line.split(), "--json")
    what, fix = two_lines(said)
    assert said.json == {"error": {"what": what, "fix": fix}}


CHECKED = ["dorra", "dora --shots 0", "dora --set rnk=4", "dora --set rank=1000", "dora --data nowhere"]


@pytest.mark.parametrize("line", [*CHECKED, "dora --model vit-b-61", "dora --memory 1KB", "dora --dtype int8"])
def test_check_refuses_as_train_does(line: str, refused: Refused) -> None:
    assert refused("check", *line.split()) == refused("train", *line.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(refused: Refused) -> None:
    first, second = refused("train", "dora", "--device", "cuda")
    assert first == "--device cuda: no such device here"
    assert "--device cpu" in second


# Recipes


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("[method\nname = 1", "not TOML", "cliptune show"),
        ("[train]\nlr = 1e-3", "no [method] name", 'name = "dora"'),
        ('[method]\nname = "dorra"', "no method is called 'dorra'", "did you mean 'dora'?"),
        ('[method]\nname = "dora"\nrnk = 4', "rnk: no such setting", "did you mean rank?"),
        ('[method]\nname = "dora"\n[train]\nlerning = 1', "train.lerning: no such setting", "known: "),
        ('[method]\nname = "dora"\n[trian]\nlr = 1', "[trian]: no such table", "did you mean [train]?"),
        ('[method]\nname = "dora"\n[train]\nlr = "fast"', "train.lr = 'fast'", "a number"),
        ('[method]\nname = "dora"\n[train]\nbetas = [0.9]', "train.betas", "2 values"),
        ('method = "dora"', "method", "name"),
        ('[method]\nname = "dora"\n[recipe]\npreset = "tiny"', "preset = 'tiny'", "'paper'"),
        ('[method]\nname = "dora"\n[recipe]\nprest = "small"', "prest", "preset"),
        ('train = 3\n[method]\nname = "dora"', "train = 3: not a table", "[train]"),
        ("\udcff", "not UTF-8 text", "save it as UTF-8"),
        ("name = ", "not TOML", "cliptune show"),
    ],
)
def test_recipe_file_is_refused(text: str, what: str, fix: str, tmp_path_factory, refused: Refused) -> None:
    path = tmp_path_factory.mktemp("recipes") / "mine.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    first, second = refused("train", path, *QUICK)
    assert what in first
    assert fix in second


# Data


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_folder_with_one_class(photos: Path, refused: Refused) -> None:
    shutil.rmtree(photos / "dog")
    first, second = refused("train", "dora", "--data", photos)
    assert "has one class, 'cat'" in first
    assert "at least two" in second


def test_folder_with_an_empty_class(photos: Path, refused: Refused) -> None:
    (photos / "elk").mkdir()
    first, _ = refused("train", "dora", "--data", photos)
    assert "class 'elk' is empty" in first


def test_folder_without_classes(tmp_path_factory, refused: Refused) -> None:
    first, _ = refused("train", "dora", "--data", tmp_path_factory.mktemp("hollow"))
    assert "no class folders" in first


@pytest.mark.parametrize("kind", ["text", "cut"])
def test_an_image_that_is_none(kind: str, photos: Path, refused: Refused) -> None:
    """Whichever split the bad file falls into: it is named before anything is written."""
    for name in sorted(path.relative_to(photos) for path in photos.glob("cat/*.jpg")):
        good = (photos / name).read_bytes()
        if kind == "text":
            (photos / name).write_text("I am a letter", "utf-8")
        else:
            cut_short(photos / name)
        first, second = refused("train", "dora", "--data", photos, "--shots", 16, *QUICK[4:])
        assert str(photos / name) in first
        assert "remove or repair" in second
        (photos / name).write_bytes(good)


def test_a_truncated_image_in_the_test_split_alone(photos: Path, tmp_path_factory, refused: Refused) -> None:
    given = tmp_path_factory.mktemp("given")
    for split, images in (("train", range(4)), ("test", range(4, 8))):
        for name in ("cat", "dog"):
            (given / split / name).mkdir(parents=True)
            for image in images:
                shutil.copy(photos / name / f"{image}.jpg", given / split / name)
    cut_short(given / "test" / "dog" / "7.jpg")
    first, _ = refused("train", "lora", "--data", given, *QUICK)
    assert str(given / "test" / "dog" / "7.jpg") in first


# Backbones


@pytest.fixture
def mini_folder(mini: Backbone, tmp_path_factory) -> Path:
    """A copy of the embedded model as a folder."""
    folder = tmp_path_factory.mktemp("models") / "copy"
    folder.mkdir()
    for name in CLIP_FILES:
        shutil.copy(Path(mini.source) / name, folder)
    return folder


def test_a_checkpoint_of_the_vision_tower_alone(mini: Backbone, tmp_path_factory, refused: Refused) -> None:
    from transformers import CLIPVisionModel

    folder = tmp_path_factory.mktemp("models") / "vision"
    CLIPVisionModel(mini.model.config.vision_config).save_pretrained(folder)
    first, second = refused("train", "dora", "--model", folder)
    assert "no text tower" in first
    assert "both towers" in second


@pytest.mark.parametrize(
    ("gone", "what"), [("text_model", "no text tower"), ("vision_model", "no vision tower"), ("visual_proj", "missing")]
)
def test_a_clip_whose_weights_lack_a_part(gone: str, what: str, mini_folder: Path, refused: Refused) -> None:
    weights = load_file(mini_folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(gone)}
    save_file(kept, mini_folder / "model.safetensors", {"format": "pt"})
    first, _ = refused("train", "dora", "--model", mini_folder)
    assert what in first


def test_a_clip_of_another_shape_than_it_says(mini_folder: Path, refused: Refused) -> None:
    weights = load_file(mini_folder / "model.safetensors")
    weights["visual_projection.weight"] = weights["visual_projection.weight"][:, :-1].contiguous()
    save_file(weights, mini_folder / "model.safetensors", {"format": "pt"})
    two = refused("train", "dora", "--model", mini_folder)
    assert "visual_projection.weight" in two[0]


@pytest.mark.parametrize("gone", CLIP_FILES[:4])
def test_a_model_folder_that_lacks_a_file(gone: str, mini_folder: Path, refused: Refused) -> None:
    (mini_folder / gone).unlink()
    first, second = refused("train", "dora", "--model", mini_folder)
    assert str(mini_folder) in first
    assert "folder" in second


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_model_folder_with_a_broken_file(name: str, mini_folder: Path, refused: Refused) -> None:
    (mini_folder / name).write_bytes((mini_folder / name).read_bytes()[:40])
    refused("train", "dora", "--model", mini_folder)


def test_weights_out_of_reach_are_refused_before_any_image_is_decoded(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("an image was decoded before the weights were known to be missing")

    monkeypatch.setattr("cliptune.datasets.pixels.Pixels.plain", decode)
    monkeypatch.setattr("cliptune.datasets.pixels.Pixels.varied", decode)
    first, second = refused("train", "dora", "--model", "vit-b-16")
    assert "openai/clip-vit-base-patch16" in first
    assert "--model FOLDER" in second


# Run folders


def test_an_adapter_for_another_backbone(finished: Path, mini_folder: Path, tmp_path_factory, refused: Refused) -> None:
    """A run whose model folder holds other weights than when it was trained."""
    run = tmp_path_factory.mktemp("runs") / "moved"
    shutil.copytree(finished, run)
    record = json.loads((run / "run.json").read_text("utf-8"))
    record["model"] |= {"name": str(mini_folder), "source": str(mini_folder)}
    (run / "run.json").write_text(json.dumps(record), "utf-8")
    weights = load_file(mini_folder / "model.safetensors")
    weights["visual_projection.weight"][0, 0] += 0.5
    save_file(weights, mini_folder / "model.safetensors", {"format": "pt"})
    image = next(finished.glob("thumbnails/*.png"))
    for words in (("predict", run, image), ("merge", run, "merged"), ("evaluate", run)):
        first, second = refused(*words)
        assert "the adapter was made for backbone 'mini'" in first
        assert "weights" in first
        assert "load 'mini'" in second


@pytest.mark.parametrize("below", ["file", "file/deeper/run"])
def test_an_output_path_below_a_file(below: str, finished: Path, refused: Refused) -> None:
    Path("file").write_text("in the way", "utf-8")
    for words in (("train", "dora", *QUICK, "--out", below), ("merge", finished, below)):
        first, second = refused(*words)
        assert "file" in first
        assert "folder" in second


def test_a_report_below_a_file(finished: Path, refused: Refused) -> None:
    Path("file").write_text("in the way", "utf-8")
    assert "part of that path is a file" in refused("report", finished, "--out", "file/report.html")[0]


@pytest.fixture
def run_here(finished: Path) -> Path:
    """A copy of the finished run in the working folder, where equal commands find it."""
    shutil.copytree(finished, "run")
    return Path("run")


def test_an_existing_run_with_other_settings(run_here: Path, few: None, refused: Refused) -> None:
    for changed in (("--seed", 2), ("--set", "rank=3"), ("--set", "train.lr=0.5"), ("--data", "world/shapes")):
        first, second = refused("train", "dora", *QUICK, "--out", run_here, *changed)
        assert "other settings" in first
        assert "--fresh" in second
        assert "--out" in second


def test_an_unfinished_run_without_resume(run_here: Path, few: None, refused: Refused) -> None:
    unfinish(run_here)
    first, second = refused("train", "dora", *QUICK, "--out", run_here)
    assert "unfinished" in first
    assert "--resume" in second
    assert "--fresh" in second


def unfinish(run: Path) -> None:
    record = json.loads((run / "run.json").read_text("utf-8"))
    (run / "run.json").write_text(json.dumps(record | {"status": "running"}), "utf-8")


def test_a_folder_that_is_no_run_is_never_removed(few: None, refused: Refused) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years of work", "utf-8")
    for more in ((), ("--fresh",), ("--resume",)):
        first, second = refused("train", "dora", *QUICK, "--out", "thesis", *more)
        assert "is not a run" in first
        assert "--out" in second


def test_a_broken_record(run_here: Path, refused: Refused) -> None:
    (run_here / "run.json").write_text('{"status": "fin', "utf-8")
    for words in (("predict", run_here, "x.png"), ("merge", run_here, "out"), ("report", run_here)):
        first, _ = refused(*words)
        assert "run.json" in first


def test_a_run_without_its_adapter(run_here: Path, refused: Refused) -> None:
    image = next(run_here.glob("thumbnails/*.png"))
    (run_here / "adapter" / "adapter.safetensors").write_bytes(b"cut")
    refused("predict", run_here, image)
    shutil.rmtree(run_here / "adapter")
    first, _ = refused("predict", run_here, image)
    assert "holds no adapter" in first


# Predict, merge, report


def test_predict_on_what_is_no_image(finished: Path, run_here: Path, refused: Refused) -> None:
    Path("letter.jpg").write_text("I am a letter", "utf-8")
    Path("hollow").mkdir()
    assert "nothing.png: no such file" in refused("predict", finished, "nothing.png")[0]
    assert "letter.jpg is not an image" in refused("predict", finished, "letter.jpg")[0]
    assert "hollow: no images below" in refused("predict", finished, "hollow")[0]
    image = next(run_here.glob("thumbnails/*.png"))
    assert "top = 0" in refused("predict", finished, image, "--top", 0)[0]
    unfinish(run_here)
    first, second = refused("predict", run_here, image)
    assert "the run is 'running'" in first
    assert "--resume" in second


def test_predict_on_no_paths_at_all(finished: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "no images" in refused("predict", finished, "-")[0]


def test_merge_into_a_folder_with_things_in_it(finished: Path, refused: Refused) -> None:
    Path("full").mkdir()
    Path("full/note.txt").write_text("mine", "utf-8")
    first, second = refused("merge", finished, "full")
    assert "not empty" in first
    assert "new folder" in second


def test_merge_a_linear_probe(probe: Path, refused: Refused) -> None:
    first, second = refused("merge", probe, "merged")
    assert "linear_probe cannot be merged" in first
    assert "cliptune predict" in second


def test_evaluate_on_data_that_is_not_there(finished: Path, probe: Path, refused: Refused) -> None:
    assert "did you mean 'digits'?" in refused("evaluate", finished, "--data", "digit")[1]
    assert "knows only the classes" in refused("evaluate", probe, "--data", "world/shapes")[0]
    assert "{}" in refused("evaluate", finished, "--template", "a photo")[1]


def test_report_on_a_folder_without_runs(finished: Path, run_here: Path, refused: Refused) -> None:
    Path("hollow").mkdir()
    assert "hollow: no run there" in refused("report", "hollow")[0]
    assert "hollow: no run there" in refused("report", finished, "hollow", "--out", "both.html")[0]
    unfinish(run_here)
    refused("report", run_here)


# A disk that is full. Each process may write files up to a limit.

TRAIN = ("--device", "cpu", "--shots", 2, "--set", "evaluate.retention=none", "--out", "runs/full")
TINY = ("--set", "rank=1", "--set", 'where=["vision.0.q"]')


def halves() -> list[Path]:
    return [path for path in Path().rglob("*") if path.name.endswith(".half")]


FULL = {
    # where it fails: (file limit in bytes, test images, method and settings, whether something is kept to go on from)
    "the first file": (300, 100, ("dora", *TINY, "--set", "train.steps=4"), False),
    "the episode": (9_000, 400, ("dora", *TINY, "--set", "train.steps=4"), False),
    "metrics.jsonl": (9_000, 100, ("dora", *TINY, "--set", "train.steps=60"), False),
    "metrics.jsonl with a checkpoint": (
        9_000,
        100,
        ("dora", *TINY, "--set", "train.steps=45", "--set", "train.checkpoint_seconds=0"),
        True,
    ),
    "the first checkpoint": (
        60_000,
        100,
        ("dora", "--set", "train.steps=4", "--set", "train.checkpoint_seconds=0"),
        False,
    ),
    "predictions.csv": (
        19_000,
        400,
        ("dora", *TINY, "--set", "train.steps=4", "--set", "train.checkpoint_seconds=0"),
        True,
    ),
    "the adapter": (
        50_000,
        100,
        ("lora_xs", "--set", "rank=4", "--set", "train.steps=4", "--set", "train.checkpoint_seconds=0"),
        True,
    ),
}


SLOW = ("the episode", "metrics.jsonl")


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("place", [pytest.param(p, marks=[pytest.mark.slow] if p in SLOW else []) for p in FULL])
def test_a_full_disk_while_training(place: str) -> None:
    limit, test, words, kept = FULL[place]
    first, second = two_lines(Process("train", *words, *TRAIN, test=test, file_limit=limit).wait())
    assert "cannot write" in first
    assert "no room" in first
    assert "free some space" in second
    assert halves() == []
    assert Path("runs/full").exists() is kept
    if not kept:
        assert contents(Path()) in ({}, {"runs": None})
        return
    resumed = Process("train", *words, *TRAIN, "--resume", test=test).wait().done()
    assert "going on at step" in resumed.out
    Process("train", *words, *TRAIN[:-1], "runs/roomy", test=test).wait().done()
    for name in ("adapter/adapter.safetensors", "predictions.csv", "recipe.toml", "episode.json"):
        assert Path("runs/full", name).read_bytes() == Path("runs/roomy", name).read_bytes(), name
    assert not Path("runs/full/checkpoint").exists()
    steps = [json.loads(line) for line in Path("runs/full/metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [event["step"] for event in steps if event["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("limit", [1_000, 100_000, 1_000_000])
def test_a_full_disk_while_merging(limit: int, finished: Path) -> None:
    """Full at the configuration, at the tokenizer or the weights: nothing of the folder is left."""
    first, _ = two_lines(Process("merge", finished, "merged", file_limit=limit).wait())
    assert "cannot write" in first
    assert "no room" in first
    assert contents(Path()) == {}


@pytest.mark.xdist_group("processes")
def test_a_full_disk_while_reporting(finished: Path) -> None:
    first, _ = two_lines(Process("report", finished, "--out", "page.html", file_limit=10_000).wait())
    assert "cannot write" in first
    assert contents(Path()) == {}


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("line", ["train dorra", "train dora --model vit-b-16", "train dora --set rank=0 --shots 1"])
def test_a_process_says_no_more_than_that(line: str) -> None:
    """Whatever libraries write to the file descriptors is seen here."""
    two_lines(Process(*line.split()).wait())


def test_nearest_name_helps_only_when_near() -> None:
    assert nearest("dorra", ["dora", "lora"]) == ["dora"]
    assert nearest("zzz", ["dora", "lora"]) == []
