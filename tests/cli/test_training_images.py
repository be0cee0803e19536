"""`check` and `train` say what is done to training images, and what decided it."""

import json
from pathlib import Path

import pytest

from cliptune.datasets.base import ImageSet
from tests.cli.conftest import draw_photos
from tests.command import Cliptune

FEW = ("--device", "cpu", "--shots", "2", "--set", "train.steps=2", "--set", "evaluate.retention=none")


@pytest.fixture
def digit_files(digits: ImageSet) -> Path:
    """Handwritten digits as PNG files, a folder a class."""
    for item in digits.val:
        file = Path("scans", str(item.label), item.path.split("/")[1] + ".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        digits.read(item).save(file)
    return Path("scans")


@pytest.mark.parametrize("verb", ["check", "train"])
def test_digits_are_not_mirrored_and_it_is_said(verb: str, digit_files: Path, cliptune: Cliptune) -> None:
    said = cliptune(verb, "lora", "--data", digit_files, *FEW).done()
    [line, why] = [line for line in said.out.splitlines() if "training images" in line or "because" in line]
    assert line == "training images: turned by up to 7°, sized by up to 12 %, shifted by up to 5 % of the width; " + (
        "never mirrored"
    )
    assert "numbers or letters" in why
    assert why.endswith("--set train.augment=photo overrides")


def test_a_run_keeps_what_was_done_and_why(digit_files: Path, cliptune: Cliptune) -> None:
    cliptune("train", "lora", "--data", digit_files, *FEW, "--out", "run").done()
    told = json.loads(Path("run/run.json").read_text("utf-8"))["training_images"]
    assert (told["kind"], told["mirrored"], told["decided"]["by"]) == ("affine", 0.0, "names")
    assert 'augment = "affine"' in Path("run/recipe.toml").read_text("utf-8")
    again = cliptune("train", "run/recipe.toml", "--out", "again").done()
    assert "training images: turned" in again.out
    assert "because" not in again.out  # the recipe says it; nothing was decided
    both = [json.loads(Path(run, "run.json").read_text("utf-8"))["metrics"] for run in ("run", "again")]
    assert both[0] == both[1]


def test_what_is_typed_is_done(cliptune: Cliptune) -> None:
    draw_photos(Path("photos"))
    said = cliptune("train", "lora", "--data", "photos", *FEW, "--set", "train.augment=photo", "--out", "run").done()
    assert "training images: random crops of 8–100 % of the area, half of them mirrored" in said.out
    assert "because" not in said.out
    told = json.loads(Path("run/run.json").read_text("utf-8"))["training_images"]
    assert (told["kind"], told["mirrored"]) == ("photo", 0.5)
    assert "decided" not in told


def test_too_few_photographs_are_cropped_and_not_mirrored(cliptune: Cliptune) -> None:
    draw_photos(Path("photos"), images=4)
    said = cliptune("check", "lora", "--data", "photos", *FEW).done()
    assert "training images: random crops of 8–100 % of the area, never mirrored" in said.out
    assert "too few images" in said.out


def test_without_weights_nothing_is_decided(cliptune: Cliptune) -> None:
    draw_photos(Path("photos"))
    said = cliptune("check", "lora", "--data", "photos", "--model", "vit-b-32", "--preset", "small", *FEW).done()
    assert "no weights" in said.out
    assert "never mirrored" in said.out


@pytest.mark.parametrize("method", ["zero_shot", "linear_probe"])
def test_nothing_is_said_where_images_are_not_varied(method: str, digit_files: Path, cliptune: Cliptune) -> None:
    assert "training images" not in cliptune("check", method, "--data", digit_files, *FEW).done().out


def test_images_with_masks_say_it_too(cliptune: Cliptune) -> None:
    said = cliptune("check", "lora", "--data", "world/glyphs", *FEW).done()
    assert "training images: turned by up to 7°" in said.out


def test_a_recipes_length_for_another_preset_is_said(cliptune: Cliptune) -> None:
    said = cliptune("check", "base-to-novel-ast", "--data", "digits", "--preset", "small").done()
    assert "train.epochs = 20 belongs to the paper preset and is ignored under small" in said.out
    assert cliptune("check", "ast", "--data", "digits", "--preset", "small").done().out.count("is for the") == 0


def test_a_run_that_has_not_learned_says_what_to_type(cliptune: Cliptune, digit_files: Path) -> None:
    data = ("--data", digit_files, "--device", "cpu", "--shots", "4", "--set", "evaluate.retention=none")
    said = cliptune("train", "lora", *data, "--set", "train.steps=10", "--set", "train.lr=0.3").done().out
    assert "note: the training loss has " in said
    assert "ends below the untouched backbone" in said
    assert said.count("lower the learning rate: --set train.lr=0.075") == 1
