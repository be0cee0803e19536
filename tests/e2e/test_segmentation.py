"""Segmentation from the command line with the shipped segmenter: your own folder, every verb, wrong input."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

from cliptune import mark
from cliptune.datasets.mask_sets import open_masks
from tests.cli.test_wrong_input import refused  # noqa: F401
from tests.command import Cliptune

QUICK = ("--device", "cpu", "--set", "train.steps=4", "--set", "train.batch=4")
PAIRS = 16
Refused = Callable[..., tuple[str, str]]


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """A folder with images/ and masks/, as somebody has them: photographs as JPEG, masks as PNG."""
    folder, drawn = tmp_path / "things", open_masks("world/objects")
    for number, item in enumerate(drawn.test[:PAIRS]):
        for kind, picture in (
            ("images", drawn.read_image(item).resize((120, 90))),
            ("masks", Image.fromarray(255 * drawn.read_mask(item)).resize((120, 90), Image.Resampling.NEAREST)),
        ):
            place = folder / kind / f"{number:02d}.{'jpg' if kind == 'images' else 'png'}"
            place.parent.mkdir(parents=True, exist_ok=True)
            picture.save(place)
    return folder


def test_your_own_folder_through_every_verb(things: Path, cliptune: Cliptune) -> None:
    words = ("--data", things, "--prompt", "the bright thing")
    assert "the bright thing" in cliptune("check", "dora", *words, *QUICK).done().out
    said = cliptune("train", "dora", *words, *QUICK, "--out", "run", "--json").done().json
    assert said["task"] == "segment"
    assert said["recipe"]["segment"]["prompt"] == "p1"
    assert said["prompt"] == {"kind": "p1", "texts": ["the bright thing"]}
    assert said["decoder_parameters"] == 45_281
    assert said["metrics"]["test"]["n"] == said["data"]["test"]
    again = cliptune("train", "dora", *words, *QUICK, "--out", "run", "--json").done().json
    assert again["finished"] == said["finished"], "an equal finished run is returned as it is"

    told = cliptune("evaluate", "run", "--json").done().json
    assert told["adapted"]["dice"] == pytest.approx(said["metrics"]["test"]["dice"], abs=1e-6)
    assert told["zero_shot"]["dice"] == pytest.approx(said["metrics"]["zero_shot"]["dice"], abs=1e-6)
    other = cliptune("evaluate", "run", "--data", "world/objects", "--json").done().json
    assert other["adapted"]["n"] == 200

    found = cliptune("predict", "run", things / "images", "--out", "marked", "--json").done().json["predictions"]
    assert len(found) == PAIRS
    for row in found:
        mask = np.asarray(Image.open(row["mask"]))
        assert mask.shape == (90, 120)
        assert set(np.unique(mask)) <= {0, 255}
        assert row["share"] == pytest.approx((mask > 0).mean())
        assert Image.open(row["overlay"]).size == (120, 90)

    cliptune("merge", "run", "merged").done()
    model = CLIPSegForImageSegmentation.from_pretrained("merged").eval()
    processor = CLIPSegProcessor.from_pretrained("merged")
    image = Image.open(things / "images" / "00.jpg")
    given = processor(text=["the bright thing"], images=[image], return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model(**given).logits
    large = torch.nn.functional.interpolate(logits[:, None], (90, 120), mode="bilinear", align_corners=False)[0, 0]
    ours = np.asarray(Image.open("marked/masks/00.png")) > 0
    assert ((large > 0).numpy() == ours).mean() > 0.999, "transformers alone marks the same pixels"

    assert "Dice" in cliptune("report", "run").done().out + Path("run/report.md").read_text("utf-8")
    rows = list(csv.DictReader(Path("run/predictions.csv").read_text("utf-8").splitlines()))
    assert len(rows) == said["data"]["test"]
    assert json.loads(Path("run/episode.json").read_text("utf-8"))["sha256"] == said["data"]["episode_sha256"]


def test_a_run_is_repeated_from_its_recipe(things: Path, cliptune: Cliptune) -> None:
    words = ("--data", things, "--prompt", "thing", "--shots", 5)
    first = cliptune("train", "lora", *words, *QUICK, "--out", "first", "--json").done().json
    again = cliptune("train", "first/recipe.toml", "--out", "again", "--device", "cpu", "--json").done().json
    assert first["shots"] == 5
    assert first["data"]["train"] == 5
    assert again["metrics"] == first["metrics"]
    assert Path("again/predictions.csv").read_bytes() == Path("first/predictions.csv").read_bytes()


def test_plateau_and_patience_end_a_run_that_does_not_get_better(few: None, cliptune: Cliptune) -> None:
    words = ("--data", "world/glyphs", "--shots", 12, "--device", "cpu", "--preset", "paper", "--set", "train.batch=6")
    words = (*words, "--set", "train.epochs=9", "--set", "train.patience=3", "--set", "train.plateau_patience=0")
    # At this rate nothing gets better by a hundredth.
    words = (*words, "--set", "train.lr=1e-5", "--set", "train.min_delta=0.01")
    said = cliptune("train", "decoder", *words, "--out", "run", "--json").done().json
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text("utf-8").splitlines()]
    seen = [line for line in lines if line["event"] == "validated"]
    assert [line["step"] for line in seen] == [2, 4, 6, 8], "once an epoch; the first, and three not better by enough"
    assert all(0 <= line["dice"] <= 1 and "accuracy" not in line for line in seen)
    assert said["training"]["stopped_early"]
    assert said["training"]["best"]["dice"] == max(line["dice"] for line in seen), (
        "the best numbers are kept all the same"
    )
    rates = [line["lr"] for line in lines if line["event"] == "step"]
    assert rates == pytest.approx(rates_of_torch([line["loss"] for line in seen], 1e-5, steps=len(rates), every=2))


def rates_of_torch(losses: list[float], lr: float, steps: int, every: int) -> list[float]:
    """The rate of every step under torch's own ReduceLROnPlateau, told a loss after every so many steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, min_lr=1e-6, eps=0)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        if (step + 1) % every == 0:
            plateau.step(losses[(step + 1) // every - 1])
    return rates


def test_nothing_of_yours_is_overwritten(things: Path, cliptune: Cliptune, refused: Refused) -> None:  # noqa: F811
    cliptune("train", "lora", "--data", things, "--prompt", "thing", *QUICK, "--out", "run").done()
    kept = {path: path.read_bytes() for path in things.rglob("*.*")}
    what, fix = refused("predict", "run", things / "images", "--out", things)
    assert "exists and was not written by" in what
    assert "--out" in fix
    assert kept == {path: path.read_bytes() for path in things.rglob("*.*")}, "the true masks lie in masks/ too"
    for _ in range(2):  # its own it may write again
        found = cliptune("predict", "run", things / "images", "--out", "marked", "--json").done().json["predictions"]
    assert len(Path("marked/marked.csv").read_text("utf-8").splitlines()) == len(found) + 1


def test_other_images_of_yours_are_asked_for_what_the_run_finds(things: Path, cliptune: Cliptune) -> None:
    cliptune("train", "lora", "--data", things, "--prompt", "thing", *QUICK, "--out", "run").done()
    told = cliptune("evaluate", "run", "--data", things, "--json").done().json
    assert (told["prompt"], told["texts"]) == ("p1", ["thing"])
    own = cliptune("evaluate", "run", "--json").done().json
    assert told["adapted"]["dice"] == pytest.approx(own["adapted"]["dice"], abs=1e-6)
    for data in (("--data", things), ()):
        other = cliptune("evaluate", "run", *data, "--prompt", "the red star", "--json").done().json
        assert (other["prompt"], other["texts"]) == ("p1", ["the red star"])
    empty = cliptune("evaluate", "run", "--prompt", "p0", "--json").done().json
    assert (empty["prompt"], empty["texts"]) == ("p0", [""])


def test_a_broken_pair_is_left_out_only_where_asked(things: Path, cliptune: Cliptune, refused: Refused) -> None:  # noqa: F811
    broken = things / "images" / "03.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    words = ("train", "lora", "--data", things, "--prompt", "thing", *QUICK)
    assert "03.jpg" in refused(*words)[0]
    said = cliptune(*words, "--set", "data.missing=skip", "--out", "run", "--json").done().json
    assert sum(said["data"][part] for part in ("train", "val", "test")) == PAIRS - 1
    assert any("left out" in note and "03.jpg" in note for note in said["data"]["notes"])


LINES = [
    ("train linear_probe --data world/glyphs", "linear_probe cannot be trained to mark images"),
    ("train decoder --data digits", "decoder cannot be trained to classify"),
    ("train dora --data digits --task segment", "digits"),
    ("train dora --data world/glyphs --task mark", "--task mark"),
    ("train dora --data world/glyphs --set segment.prompt=p7", "p7"),
    ("train dora --data world/glyphs --set segment.side=100", "segment.side = 100 is not a multiple"),
    ("train dora --data world/glyphs --model vit-b-16", "vit-b-16"),
    ("train dora --data world/glyphs --shots 4000", "400 training images"),
    ("train dora --data world/glyphs --set loss.text=25", "compare class scores"),
    ("train dora --data world/glyphs --set data.template='\"a {}\"'", "data.template is for classification"),
    ("train decoder --data world/glyphs --set segment.decoder=none", "trains nothing"),
    ("train dora --data world/glyphs --protocol base-to-novel", "base-to-novel is for classification"),
    ("train dora --data world/glyphs --memory 1KB", "for one image"),
    ("train ast --data world/glyphs --set segment.inert=keep", "ast ranks gradients"),
    ("train dora --data world/glyphs --prompt ''", "--prompt is empty"),
    ("train dora --prompt thing", "which images"),
    ("train dora --data world/glyphs --set train.warmup_steps=9 --set train.steps=9", "train.warmup_steps = 9 of 9"),
    ("train dora --data world/glyphs --set train.text_chunk=2", "train.text_chunk does nothing"),
    ("train dora --data world/glyphs --set evaluate.features=true", "evaluate.features does nothing"),
]


@pytest.mark.parametrize(("line", "told"), LINES)
def test_wrong_requests_are_refused(line: str, told: str, refused: Callable[..., tuple[str, str]]) -> None:  # noqa: F811
    import shlex

    what, _fix = refused(*shlex.split(line))
    assert told in what


def test_verbs_of_the_other_task_are_refused(
    things: Path,
    cliptune: Cliptune,
    refused: Callable[..., tuple[str, str]],  # noqa: F811
) -> None:
    cliptune("train", "lora", "--data", things, "--prompt", "thing", *QUICK, "--out", "run").done()
    assert "--top" in refused("predict", "run", things / "images", "--top", 3)[0]
    assert "--template" in refused("evaluate", "run", "--template", "a {}")[0]
    assert "nothing.png" in refused("predict", "run", "nothing.png")[0]
    assert "--prompt" in refused("predict", "run", things / "images", "--prompt", "")[1]


def test_an_interrupted_prediction_of_masks_can_be_repeated(things: Path, cliptune: Cliptune, monkeypatch) -> None:
    cliptune("train", "lora", "--data", things, "--prompt", "thing", *QUICK, "--out", "run").done()
    command = ("predict", "run", things / "images", "--out", "marked", "--json")
    read, times = mark.attempted, []

    def interrupted(picture):
        times.append(picture)
        if len(times) == 3:
            raise KeyboardInterrupt
        return read(picture)

    monkeypatch.setattr(mark, "attempted", interrupted)
    assert cliptune(*command).code == 130
    monkeypatch.setattr(mark, "attempted", read)
    assert len(list(Path("marked/masks").iterdir())) == 2
    Path("marked/masks/.0.png.abc.half").write_bytes(b"as a killed process leaves it")
    found = cliptune(*command).done().json["predictions"]
    assert len(list(Path("marked/masks").iterdir())) == len(found)
    rows = Path("marked/marked.csv").read_text("utf-8").splitlines()
    assert len(rows) == len(found) + 1
    assert not [row for row in rows if row.endswith(",")]
    alone = ("predict", "run", found[0]["path"], "--out", "marked", "--json")
    cliptune(*alone).done()  # the list still names what the other call wrote
    assert len(Path("marked/marked.csv").read_text("utf-8").splitlines()) == len(found) + 1
    cliptune(*command).done()
    Path("marked/marked.csv").unlink()
    assert cliptune(*command).code == 2


def test_masks_of_classes_are_trained_on_by_value(things: Path, cliptune: Cliptune, refused: Refused) -> None:  # noqa: F811
    """And what was chosen is in the recipe, so that the run is measured again by it."""
    (things / "images").rename(things / "Images")
    (things / "masks").rename(things / "Ground Truth")
    for file in (things / "Ground Truth").iterdir():
        numbers = 2 * (np.asarray(Image.open(file)) > 127).astype(np.uint8)
        numbers[:4, :4] = 1
        Image.fromarray(numbers).save(file)
    words = ("train", "dora", "--data", things, "--prompt", "the bright thing", *QUICK, "--out", "classes")
    told, fix = refused(*words)
    assert "its masks hold 3 values where two are needed: 0 in 16" in told
    assert "--set segment.value=" in fix
    said = cliptune(*words, "--set", "segment.value=2").done()
    assert "images are what lies in Images (16 files)" in said.out, "masks without --task segment"
    record = json.loads(Path("classes/run.json").read_text("utf-8"))
    assert record["recipe"]["segment"]["value"] == 2
    again = cliptune("evaluate", "classes", "--json").done().json
    assert again["adapted"]["dice"] == pytest.approx(record["metrics"]["test"]["dice"], abs=1e-6)
    other = cliptune("evaluate", "classes", "--data", things, "--json").done().json
    assert any("images are what lies in Images" in note for note in other["notes"])
    pixels = (Path("classes") / "predictions.csv").read_text("utf-8")
    truths = [int(row["truth"]) for row in csv.DictReader(pixels.splitlines())]
    assert truths
    assert all(truth != 16 for truth in truths), "class 1 fills 16 pixels and is background"


def test_masks_in_which_nothing_is_marked_are_not_trained_on(things: Path, refused: Refused) -> None:  # noqa: F811
    for file in (things / "masks").iterdir():
        Image.new("L", (120, 90)).save(file)
    words = ("train", "lora", "--data", things, "--prompt", "the bright thing", *QUICK, "--out", "nothing")
    told, _ = refused(*words)
    assert "none of its 16 mask files marks anything, all are 0 everywhere" in told
    assert not Path("nothing").exists()
