"""Marking images from Python: a segmenter, images with masks, a run that marks and merges."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPSegForImageSegmentation

import cliptune
from cliptune.errors import UserError
from tests.layouts import segmentation

QUICK = {"train.steps": 2, "train.batch": 2, "train.epochs": 0}


def quick(**more: Any) -> dict[str, Any]:
    return {"settings": {**QUICK, **more.pop("settings", {})}, "device": "cpu", **more}


def lesions(folder: Path, train: int = 4) -> Path:
    for part, count in (("train", train), ("val", 2), ("test", 2)):
        segmentation.own(folder, [f"{n}.png" for n in range(count)], part=part)
    return folder


def test_train_mark_and_merge(tmp_path: Path) -> None:
    data = cliptune.masks(str(lesions(tmp_path / "lesions")), prompt="a box")
    run = cliptune.train(cliptune.load_segmenter("mini"), data, cliptune.DoRA(rank=2), **quick())
    assert (run.task, run.record["data"]["train"], run.record["shots"]) == ("segment", 4, None)
    assert run.folder == Path("runs/segment-dora-lesions-all-s1").absolute()
    assert 0 <= run.metrics["test"]["dice"] <= 1
    [found] = run.mark([tmp_path / "lesions/test/images/0.png"], "marked")
    assert found["prompt"] == "a box"
    with Image.open(found["mask"]) as mask:
        assert mask.size == segmentation.SIZE
    assert run.merge("merged") <= 1e-5
    whole = CLIPSegForImageSegmentation.from_pretrained("merged", dtype=torch.float32)
    assert whole.config.model_type == "clipseg"


def test_names_and_objects_make_the_same_run(tmp_path: Path) -> None:
    folder = lesions(tmp_path / "lesions")
    words = {"settings": {"segment.words": "a box"}}
    first = cliptune.train("mini", str(folder), "lora", **quick(shots=3, out="names", **words))
    data, model = cliptune.masks(folder, prompt="a box"), cliptune.load_segmenter("mini")
    second = cliptune.train(model, data, cliptune.LoRA(), **quick(shots=3, out="objects"))
    for name in ("adapter/adapter.safetensors", "recipe.toml", "predictions.csv"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert (second.record["shots"], second.record["data"]["train"]) == (3, 3)


def test_how_a_set_was_opened_is_in_the_recipe(tmp_path: Path) -> None:
    segmentation.three_parts(tmp_path / "data" / "kvasir_polyp")
    (tmp_path / "data/kvasir_polyp/images/cju0b.jpg").unlink()
    data = cliptune.masks("Kvasir-SEG", root="data", missing="skip")
    run = cliptune.train("mini", data, "decoder", **quick(out="run"))
    recipe = tomllib.loads((run.folder / "recipe.toml").read_text("utf-8"))
    assert recipe["data"]["name"] == "kvasir_polyp"
    assert (recipe["data"]["root"], recipe["data"]["missing"]) == (str(tmp_path / "data"), "skip")
    again = cliptune.train("mini", "kvasir_polyp", "run/recipe.toml", device="cpu", out="again")
    assert again.metrics["test"] == run.metrics["test"]


def test_a_segmenter_that_keeps_what_its_decoder_does_not_read(tmp_path: Path) -> None:
    data = cliptune.masks(lesions(tmp_path / "lesions"), prompt="a box")
    model = cliptune.load_segmenter("mini", inert="keep")
    run = cliptune.train(model, data, cliptune.BitFit(), **quick())
    assert run.record["recipe"]["segment"]["inert"] == "keep"
    with pytest.raises(UserError, match="loaded otherwise"):
        cliptune.train(model, data, cliptune.BitFit(), **quick(settings={"segment.inert": "skip"}, out="other"))


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    data = cliptune.masks(lesions(tmp_path / "lesions"), prompt="a box")
    with pytest.raises(UserError, match="has no decoder that marks images"):
        cliptune.train(cliptune.load("mini"), data, cliptune.LoRA(), **quick())
    with pytest.raises(UserError, match="loaded to mark images"):
        cliptune.train(cliptune.load_segmenter("mini"), "digits", cliptune.LoRA(), shots=1, device="cpu")
    with pytest.raises(UserError, match="cannot be trained to mark images"):
        cliptune.train("mini", data, cliptune.LinearProbe(), device="cpu")
    assert not Path("runs").exists()
