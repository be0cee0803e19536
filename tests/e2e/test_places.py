"""Runs outlive a change of directory, images that are replaced, data that grow, and folders that move."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cliptune
from cliptune.datasets import contents, open_set
from cliptune.errors import UserError
from cliptune.models import zoo
from cliptune.reevaluate import measure_again
from cliptune.runs import Run
from tests.command import Cliptune

QUICK = {"train.steps": 2, "evaluate.retention": "none"}
WORDS = ("--device", "cpu", "--shots", 2, "--set", "train.steps=2", "--set", "evaluate.retention=none")


def draw(folder: Path, classes: Sequence[str] = ("ant", "bee", "fly"), numbers: Sequence[int] = range(8)) -> Path:
    """A folder per class with small PNG files; no two are alike."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            noise = np.random.default_rng(100 * label + number).integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")
    return folder


def draw_masks(folder: Path, numbers: Sequence[int] = range(3)) -> Path:
    """Three parts of small images with a box to mark; no two images are alike."""
    for label, part in enumerate(("train", "val", "test")):
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            noise = np.random.default_rng(100 * label + number).integers(0, 256, (32, 32, 3), np.uint8)
            mask = np.zeros((32, 32), np.uint8)
            mask[8:20, 4 : 16 + number] = 255
            Image.fromarray(noise).save(folder / part / "images" / f"{number}.png")
            Image.fromarray(mask).save(folder / part / "masks" / f"{number}.png")
    return folder


def train(data: object, **more: object) -> cliptune.Run:
    chosen = {"model": "mini", "method": "lora", "shots": 2, "settings": QUICK, "device": "cpu", **more}
    return cliptune.train(data=data, **chosen)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def own_model(folder: Path) -> Path:
    """The embedded model as a folder of the user's."""
    folder.mkdir()
    for file in zoo.MINI.iterdir():
        if file.suffix in (".json", ".safetensors") and file.is_file():
            shutil.copy(file, folder)
    return folder


# A change of directory


def test_data_a_model_and_a_run_survive_a_change_of_directory(elsewhere: Path) -> None:
    draw(Path("photos"))
    own_model(Path("mymodel"))
    data, model = cliptune.data("photos"), cliptune.load("mymodel")
    os.chdir(elsewhere)
    run = train(data, model=model, out="run")
    assert run.record["recipe"]["data"]["name"] == str(elsewhere.parent / "photos")
    assert run.record["recipe"]["model"]["name"] == str(elsewhere.parent / "mymodel")
    opened = cliptune.Run.open("run")
    os.chdir(elsewhere.parent)
    for one in (run, opened):
        assert one.predict("photos/ant/0.png")[0]["prediction"] in data.classes
    assert measure_again(opened, None, None, None, "cpu")["adapted"]["n"] == run.metrics["test"]["n"]
    assert opened.report() == elsewhere / "run" / "report.html"
    assert opened.merge("merged") < 1e-5
    again = cliptune.train("mymodel", "photos", "elsewhere/run/recipe.toml", out="again", device="cpu")
    assert again.metrics["test"] == run.metrics["test"]


def test_a_list_of_images_survives_a_change_of_directory(elsewhere: Path) -> None:
    draw(Path("photos"))
    rows = [f"photos/{name}/{number}.png,{name}" for name in ("ant", "bee", "fly") for number in range(8)]
    Path("list.csv").write_text("\n".join(["image,label", *rows]), "utf-8")
    data = cliptune.data("list.csv")
    os.chdir(elsewhere)
    assert train(data).metrics["test"]["n"] == 6


def test_images_with_masks_survive_a_change_of_directory(elsewhere: Path) -> None:
    draw_masks(Path("lesions"))
    data = cliptune.masks("lesions", prompt="a box")
    os.chdir(elsewhere)
    settings = {"train.steps": 2, "train.batch": 2, "train.epochs": 0}
    run = cliptune.train("mini", data, "decoder", settings=settings, device="cpu", out="run")
    os.chdir(elsewhere.parent)
    [row] = run.mark("lesions/test/images/0.png", "marked")
    assert Path(row["mask"]).is_file()


def test_a_named_set_survives_a_change_of_directory(elsewhere: Path) -> None:
    from tests.layouts import classification

    classification.with_split_file(Path("data"), "dtd")
    data = cliptune.data("dtd", root="data")
    os.chdir(elsewhere)
    assert data.read(data.train[0]).mode == "RGB"


# Replaced images


def replace_content(path: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


@pytest.mark.parametrize("part", ["train", "val", "tests"])
def test_a_replaced_image_is_another_run(part: str) -> None:
    draw(Path("photos"))
    run = train("photos")
    assert train("photos").record == run.record
    episode = json.loads((run.folder / "episode.json").read_text("utf-8"))
    rows = episode[part]["test"] if part == "tests" else episode[part]
    replace_content(Path("photos", rows[0][0]))
    for resume in (False, True):
        with pytest.raises(UserError, match=f"1 file has changed under the same name, first {rows[0][0]}"):
            train("photos", resume=resume)
    again = train("photos", fresh=True)
    assert again.record["data"]["episode_sha256"] == run.record["data"]["episode_sha256"]
    assert again.record["data"]["files_sha256"] != run.record["data"]["files_sha256"]


def test_a_replaced_image_of_the_same_size_and_time_is_noticed() -> None:
    """As `cp -p` and archives leave it."""
    draw(Path("photos"))
    train("photos")
    path = Path("photos/ant/0.png")
    status, content = path.stat(), bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    run = cliptune.Run.open("runs/lora-photos-2shot-s1")
    recorded = contents.read(run.folder)
    assert recorded is not None
    listed = {part: contents.located("photos", stamps) for part, stamps in recorded.parts.items()}
    assert recorded.differing(listed) == ["ant/0.png"]


def test_a_touched_or_copied_image_is_the_same() -> None:
    draw(Path("photos"))
    run = train("photos")
    os.utime("photos/ant/0.png")
    shutil.copy("photos/ant/1.png", "copy.png")
    os.replace("copy.png", "photos/ant/1.png")
    assert train("photos").record == run.record


def test_a_replaced_mask_is_another_run() -> None:
    draw_masks(Path("lesions"))
    words = {"train.steps": 2, "train.batch": 2, "train.epochs": 0, "segment.words": "a box"}
    first = cliptune.train("mini", "lesions", "decoder", settings=words, device="cpu")
    mask = next(Path("lesions/train/masks").iterdir())
    Image.eval(Image.open(mask), lambda value: 255 - value).save(mask)
    with pytest.raises(UserError, match="1 file has changed under the same name"):
        cliptune.train("mini", "lesions", "decoder", settings=words, device="cpu")
    assert first.folder.is_dir()


def test_replaced_test_images_are_told_by_evaluate(cliptune: Cliptune) -> None:
    draw(Path("photos"))
    cliptune("train", "lora", "--data", "photos", *WORDS, "--out", "run").done()
    assert "note" not in cliptune("evaluate", "run").done().out
    episode = json.loads(Path("run/episode.json").read_text("utf-8"))
    for path, _ in episode["tests"]["test"][:2]:
        replace_content(Path("photos", path))
    assert "note: 2 of 6 test images have changed under the same name" in cliptune("evaluate", "run").done().out


# Data that grew


def seen_by(run: Path) -> set[bytes]:
    episode = json.loads((run / "episode.json").read_text("utf-8"))
    return {Path("photos", path).read_bytes() for part in ("train", "val") for path, _ in episode[part]}


def test_images_that_were_trained_on_are_left_out_of_grown_data(cliptune: Cliptune) -> None:
    draw(Path("photos"), numbers=range(8))
    cliptune("train", "lora", "--data", "photos", *WORDS, "--out", "run").done()
    draw(Path("grown"), numbers=range(8, 20))
    for name in ("ant", "bee", "fly"):
        for number in range(8):  # under other names, so that some fall into the test part
            shutil.copy(f"photos/{name}/{number}.png", f"grown/{name}/old-{number}.png")
    test = [Path("grown", item.path).read_bytes() for item in open_set("grown").test]
    known = sum(content in seen_by(Path("run")) for content in test)
    assert 0 < known < len(test), "the case is there"
    said = cliptune("evaluate", "run", "--data", "grown", "--json").done()
    assert said.json["left_out"] == known
    assert said.json["adapted"]["n"] == said.json["zero_shot"]["n"] == len(test) - known
    assert f"{known} of {len(test)} test images of 'grown' are left out" in said.err


def test_where_every_test_image_was_trained_on_it_is_refused(cliptune: Cliptune) -> None:
    draw(Path("photos"))
    cliptune("train", "lora", "--data", "photos", *WORDS, "--out", "run").done()
    episode = json.loads(Path("run/episode.json").read_text("utf-8"))
    for part, rows in (("train", range(6)), ("test", None)):
        for index, (path, _) in enumerate(episode["train"]):
            target = Path("given", part, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if rows is None:
                shutil.copy(Path("photos", path), target)
            else:
                replace = np.full((9, 9, 3), index, np.uint8)
                Image.fromarray(replace).save(target)
    said = cliptune("evaluate", "run", "--data", "given")
    assert said.code == 2
    assert "trained or validated on every test image" in said.err


def test_masks_that_were_trained_on_are_left_out(cliptune: Cliptune) -> None:
    draw_masks(Path("lesions"))
    words = ("--set", "train.steps=2", "--set", "train.batch=2", "--set", "train.epochs=0", "--device", "cpu")
    cliptune("train", "decoder", "--data", "lesions", "--prompt", "a box", *words, "--out", "run").done()
    shutil.copytree("lesions", "grown")
    for kind in ("images", "masks"):
        shutil.copy(f"grown/train/{kind}/0.png", f"grown/test/{kind}/new.png")
    said = cliptune("evaluate", "run", "--data", "grown", "--json").done()
    assert (said.json["left_out"], said.json["adapted"]["n"]) == (1, 3)


# Things that moved


def test_a_backbone_that_moved_is_named_and_checked(cliptune: Cliptune) -> None:
    draw(Path("photos"))
    own_model(Path("mymodel"))
    cliptune("train", "lora", "--data", "photos", "--model", "mymodel", *WORDS, "--out", "run").done()
    Path("mymodel").rename("moved")
    lines = {"predict": ("photos",), "evaluate": (), "merge": ("merged",)}
    for verb, more in lines.items():
        said = cliptune(verb, "run", *more)
        assert said.code == 2
        assert "backbone 'mymodel' was in" in said.err
        assert "--model FOLDER" in said.err
        cliptune(verb, "run", *more, "--model", "moved").done()
    other = own_model(Path("other"))
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    weights["visual_projection.weight"][0, 0] += 0.5
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    for verb, more in {**lines, "merge": ("merged-too",)}.items():
        said = cliptune(verb, "run", *more, "--model", "other")
        assert said.code == 2
        assert "other weights" in said.err
    assert not Path("merged-too").exists()
    run = Run.open("run", model=Path("moved"))
    assert len(run.predict("photos")) == 24


def test_training_goes_on_where_data_and_backbone_have_moved(cliptune: Cliptune) -> None:
    """They are compared by their hashes, not by where they lay."""
    draw(Path("photos"))
    own_model(Path("mymodel"))
    words = (*WORDS, "--out", "run", "--resume")
    cliptune("train", "lora", "--data", "photos", "--model", "mymodel", *words).done()
    Path("photos").rename("moved")
    Path("mymodel").rename("moved-model")
    said = cliptune("train", "run/recipe.toml", "--out", "run", "--resume")
    assert said.code == 2
    assert "--model FOLDER" in said.err
    cliptune("train", "lora", "--data", "moved", "--model", "moved-model", *words).done()
    test = json.loads(Path("run/episode.json").read_text("utf-8"))["tests"]["test"]
    replace_content(Path("moved", test[0][0]))
    said = cliptune("train", "lora", "--data", "moved", "--model", "moved-model", *words)
    assert said.code == 2
    assert "1 file has changed" in said.err
    draw(Path("photos"))  # where its own are there again, others are others
    said = cliptune("train", "lora", "--data", "moved", "--model", "moved-model", *words)
    assert said.code == 2
    assert "data.name" in said.err


def test_data_that_moved_are_recognised_by_content(cliptune: Cliptune) -> None:
    draw(Path("photos"))
    words = ("--data", "photos", *WORDS, "--set", "data.template='one {}'")
    record = cliptune("train", "lora", *words, "--out", "run", "--json").done().json
    Path("photos").rename("moved")
    said = cliptune("evaluate", "run")
    assert said.code == 2
    assert "--data PATH" in said.err
    found = cliptune("evaluate", "run", "--data", "moved", "--json").done()
    assert found.json["template"] == "one {}"
    assert "has the run's own test images" in found.err
    assert found.json["adapted"]["per_class"] == record["metrics"]["test"]["per_class"]
    test = json.loads(Path("run/episode.json").read_text("utf-8"))["tests"]["test"]
    replace_content(Path("moved", test[0][0]))
    other = cliptune("evaluate", "run", "--data", "moved", "--json").done()
    assert other.json["template"] == "a photo of a {}."
    assert not other.json["notes"]


def test_moved_data_of_which_some_were_missing_are_measured_as_the_run_did(cliptune: Cliptune) -> None:
    draw(Path("photos"))
    images = sorted(Path("photos").rglob("*.png"))
    lines = [f"{path.relative_to('photos')},{path.parent.name}" for path in images]
    Path("photos/list.csv").write_text("\n".join(["image,label", *lines, "ant/gone.png,ant"]))
    cliptune("train", "lora", "--data", "photos/list.csv", *WORDS, "--set", "data.missing=skip", "--out", "run").done()
    os.rename("photos", "moved")
    said = cliptune("evaluate", "run", "--data", "moved/list.csv").done()
    assert "the run's own test images, by content" in said.out


def test_masks_of_which_some_are_missing_are_measured_as_the_run_was_trained(cliptune: Cliptune) -> None:
    for folder, numbers in (("things", range(3)), ("others", range(3, 6))):
        draw_masks(Path(folder), numbers)
        Path(folder, f"train/masks/{numbers[1]}.png").unlink()
        Path(folder, f"test/masks/{numbers[1]}.png").unlink()
    words = ("--data", "things", "--prompt", "thing", *WORDS, "--set", "data.missing=skip")
    cliptune("train", "lora", *words, "--out", "run").done()
    assert "n = 2" in cliptune("evaluate", "run", "--data", "others").done().out
