"""The package from Python, as the readme has it."""

import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, CLIPProcessor

import cliptune
from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError


def quick() -> dict:
    return {"train.steps": 4, "evaluate.retention": "none"}


def test_the_example(few: None) -> None:
    model = cliptune.load("mini")
    data = cliptune.data("digits")
    data.read(data.test[0]).save("seven.png")
    run = cliptune.train(model, data, cliptune.DoRA(rank=2), shots=2, seed=1, settings=quick(), device="cpu")
    assert run.folder == Path("runs/dora-digits-2shot-s1").absolute()
    [found] = run.predict(["seven.png"])
    assert found["path"] == "seven.png"
    assert found["prediction"] in data.classes
    assert len(found["top"]) == 5
    assert run.merge("merged/") <= 1e-5
    CLIPProcessor.from_pretrained("merged")
    merged = CLIPModel.from_pretrained("merged", dtype=torch.float32)
    assert not torch.equal(merged.visual_projection.weight.new_zeros(1), merged.logit_scale)
    assert run.report("report.html") == Path("report.html")
    assert "<html" in Path("report.html").read_text("utf-8")
    assert repr(run).startswith("Run('runs/dora-digits-2shot-s1', mean over classes 0."), "these digits are unequal"
    assert ", test accuracy 0." in repr(run)


def test_python_and_the_command_line_make_the_same_run(few: None) -> None:
    from cliptune.cli.main import main

    run = cliptune.train("mini", "digits", "dora", shots=2, out="python", settings=quick(), device="cpu")
    words = "train dora --shots 2 --device cpu --set train.steps=4 --set evaluate.retention=none --out command"
    assert main(words.split()) == 0
    for name in ("adapter/adapter.safetensors", "recipe.toml", "predictions.csv"):
        assert (run.folder / name).read_bytes() == Path("command", name).read_bytes()
    opened = cliptune.Run("command")
    assert opened.metrics == run.metrics


def test_an_equal_finished_run_is_returned(few: None) -> None:
    def train(**more):
        return cliptune.train("mini", "digits", cliptune.LoRA(), shots=2, settings=quick(), device="cpu", **more)

    first = train()
    changed = (first.folder / "run.json").stat().st_mtime_ns
    assert train().record == first.record
    assert (first.folder / "run.json").stat().st_mtime_ns == changed
    with pytest.raises(UserError, match="other settings"):
        train(seed=2, out=first.folder)


def test_other_class_names_at_prediction(few: None) -> None:
    data = cliptune.data("digits")
    data.read(data.test[0]).save("digit.png")
    run = cliptune.train("mini", data, "zero_shot", shots=2, settings=quick(), device="cpu")
    [found] = run.predict(["digit.png"], top=2, classes=["red_fox", "blue star"])
    assert {name for name, _ in found["top"]} == {"red_fox", "blue star"}
    probe = cliptune.train("mini", data, cliptune.LinearProbe(), shots=2, settings=quick(), device="cpu")
    with pytest.raises(UserError, match="knows only the classes"):
        probe.predict(["digit.png"], classes=["red_fox", "blue star"])


def test_images_of_your_own_making(few_digits: ImageSet) -> None:
    import dataclasses

    mine = dataclasses.replace(few_digits, name="my digits", classes=few_digits.classes)
    run = cliptune.train("mini", mine, cliptune.BitFit(), shots=1, settings=quick(), device="cpu")
    record = json.loads((run.folder / "run.json").read_text("utf-8"))
    assert record["data"]["name"] == "my digits"
    assert run.folder.name == "bitfit-my_digits-1shot-s1"


def test_public_names_are_all_there() -> None:
    assert set(cliptune.__all__) <= set(dir(cliptune))
    for name in cliptune.__all__:
        assert getattr(cliptune, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = cliptune.nothing


def test_own_images_keep_their_source_and_split_seed(tmp_path: Path) -> None:
    """A set opened in Python is found again by `evaluate` and by the saved recipe, with the same split."""
    from PIL import Image

    for name, tone in (("dark", 40), ("light", 210)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(12):
            Image.new("RGB", (40, 40), (tone + index, tone, tone)).save(tmp_path / "photos" / name / f"{index}.png")
    rows = [f"photos/{n}/{i}.png,{n}" for n in ("dark", "light") for i in range(12)]
    (tmp_path / "list.csv").write_text("\n".join(["image,label", *rows]))
    for source in ("photos", "list.csv"):
        data = cliptune.data(source, seed=5)
        run = cliptune.train(
            "mini", data, cliptune.LoRA(), shots=2, settings=quick(), device="cpu", out=f"run-{source}"
        )
        assert run.record["recipe"]["data"]["name"] == str(Path(source).resolve())
        assert run.record["recipe"]["data"]["split_seed"] == 5
        from cliptune.reevaluate import measure_again

        again = measure_again(run, None, None, None, "cpu")
        assert again["adapted"]["accuracy"] == pytest.approx(run.metrics["test"]["accuracy"])
        assert again["adapted"]["n"] == run.metrics["test"]["n"]


def test_changed_images_are_another_run_but_its_own_test_split_stays(tmp_path: Path) -> None:
    from PIL import Image

    from cliptune.reevaluate import measure_again

    def draw(name: str, indices: range) -> None:
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        for index in indices:
            Image.new("RGB", (40, 40), (index * 5, 90, 90)).save(tmp_path / "photos" / name / f"{index}.png")

    for name in ("a", "b"):
        draw(name, range(10))
    run = cliptune.train("mini", "photos", cliptune.LoRA(), shots=2, settings=quick(), device="cpu", out="run")
    for name in ("a", "b"):
        draw(name, range(10, 40))
    assert measure_again(run, None, None, None, "cpu")["adapted"]["n"] == run.metrics["test"]["n"] == 6
    with pytest.raises(UserError, match="a run on other images"):
        cliptune.train("mini", "photos", cliptune.LoRA(), shots=2, settings=quick(), device="cpu", out="run")


def test_a_recipe_file_keeps_its_shots_and_seed(few: None) -> None:
    first = cliptune.train("mini", "digits", "lora", shots=2, seed=3, settings=quick(), device="cpu", out="one")
    again = cliptune.train("mini", "digits", "one/recipe.toml", device="cpu", out="two")
    assert (again.record["shots"], again.record["seed"]) == (2, 3)
    assert again.metrics["test"] == first.metrics["test"]


def test_a_run_that_ends_in_nan_is_refused(few: None) -> None:
    settings = {**quick(), "train.steps": 1, "train.lr": 1e30}
    with pytest.raises(UserError, match="not numbers"):
        cliptune.train("mini", "digits", cliptune.LoRA(), shots=1, settings=settings, device="cpu", out="run")
    assert not Path("run").exists()
