"""What somebody in a notebook writes: paths, classes, one image; what they see: a bar, short texts, types, help."""

import ast
import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cliptune
from cliptune import notes
from cliptune.cli.main import main
from cliptune.errors import UserError
from cliptune.training import learned
from tests.e2e.test_places import draw, draw_masks

QUICK: dict[str, Any] = {"shots": 2, "settings": {"train.steps": 3, "evaluate.retention": "none"}, "device": "cpu"}


# What is taken


def test_paths_are_taken_everywhere() -> None:
    draw(Path("photos"))
    by_path = cliptune.train("mini", Path("photos"), "lora", out=Path("one"), **QUICK)
    by_text = cliptune.train("mini", cliptune.data("photos"), "lora", out="two", **QUICK)
    assert by_path.metrics == by_text.metrics
    assert repr(cliptune.data(Path("photos"))) == repr(cliptune.data("photos"))
    again = cliptune.train("mini", Path("photos"), Path("one/recipe.toml"), out="three", device="cpu")
    assert again.metrics["test"] == by_path.metrics["test"]
    assert cliptune.Run.open(Path("one")).predict(Path("photos/ant"))[0]["path"] == "photos/ant/0.png"
    draw_masks(Path("lesions"))
    assert cliptune.masks(Path("lesions")).name == "lesions"


def test_a_model_s_folder_as_a_path() -> None:
    from tests.e2e.test_places import own_model

    assert cliptune.load(own_model(Path("mymodel"))).name == "mymodel"


def test_a_method_s_class_is_the_method_by_name(few: None) -> None:
    by_class = cliptune.train("mini", "digits", cliptune.LoRA, out="class", **QUICK)
    by_name = cliptune.train("mini", "digits", "lora", out="name", **QUICK)
    assert (by_class.folder / "recipe.toml").read_bytes() == (by_name.folder / "recipe.toml").read_bytes()
    assert by_class.metrics == by_name.metrics


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cliptune.train(7, "digits", "lora"), "the model is given as int"),
        (lambda: cliptune.train("mini", ["photos"], "lora"), "the data is given as list"),
        (lambda: cliptune.train("mini", "digits", 7), "the method is given as int"),
        (lambda: cliptune.train("mini", "digits", dict), "the method is given as dict"),
        (lambda: cliptune.train("mini", "digits", "lora", settings="train.lr=1"), "settings = 'train.lr=1'"),
        (lambda: cliptune.data(["photos"]), "the data is given as list"),
        (lambda: cliptune.data(None), "the data is given as NoneType"),
        (lambda: cliptune.masks(7), "the data is given as int"),
        (lambda: cliptune.data("digits", missing="ignore"), "missing = 'ignore'\none of"),
        (lambda: cliptune.masks("world/objects", missing="ignore"), "missing = 'ignore'\none of"),
        (lambda: cliptune.data("digits", seed="1"), "seed = '1'"),
        (lambda: cliptune.train("mini", "digits", "lora", out=7), "the folder is given as int"),
        (lambda: cliptune.Run.open(None), "the run is given as NoneType"),
        (lambda: cliptune.load(cliptune.load("mini")), "the model is given as Backbone"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
    assert not Path("runs").exists()


def test_images_in_memory_are_predicted_and_marked() -> None:
    draw(Path("photos"))
    run = cliptune.train("mini", "photos", cliptune.LoRA(), **QUICK)
    path = Path("photos/ant/0.png")
    image = Image.open(path).convert("RGB")
    [expected] = run.predict(str(path))
    with pytest.raises(UserError, match=r"top = 1\.5"):
        run.predict(path, top=1.5)
    for given in (image, np.asarray(image), path.read_bytes(), [image], path):
        [answer] = run.predict(given)
        assert answer["probabilities"] == expected["probabilities"]
    draw_masks(Path("lesions"))
    settings = {"train.steps": 2, "train.batch": 2, "train.epochs": 0}
    marking = cliptune.train("mini", cliptune.masks("lesions", prompt="a box"), "decoder", settings=settings)
    path = Path("lesions/test/images/0.png")
    [expected] = marking.mark(path, "by-path")
    rows = marking.mark([Image.open(path), np.asarray(Image.open(path)), path.read_bytes()], Path("in-memory"))
    assert [Path(row["mask"]).name for row in rows] == ["image 1.png", "image 2.png", "image 3.png"]
    for row in rows:
        assert row["share"] == expected["share"]
        assert Path(row["mask"]).read_bytes() == Path(expected["mask"]).read_bytes()


def test_one_bad_image_costs_one_mask() -> None:
    draw_masks(Path("lesions"))
    settings = {"train.steps": 2, "train.batch": 2, "train.epochs": 0}
    run = cliptune.train("mini", cliptune.masks("lesions", prompt="a box"), "decoder", settings=settings)
    bad = Path("lesions/test/images/1.png")
    bad.write_bytes(bad.read_bytes()[:50])
    with pytest.warns(UserWarning, match="1 of 3 images cannot be read"):
        rows = run.mark("lesions/test/images", "marked")
    assert [row["share"] is None for row in rows] == [False, True, False]
    assert sorted(path.name for path in Path("marked/masks").iterdir()) == ["0.png", "2.png"]
    assert len(Path("marked/marked.csv").read_text("utf-8").splitlines()) == 3


def test_a_threshold_for_pixels() -> None:
    draw_masks(Path("lesions"))
    settings = {"train.steps": 2, "train.batch": 2, "train.epochs": 0}
    run = cliptune.train("mini", cliptune.masks("lesions", prompt="a box"), "decoder", settings=settings)
    path = "lesions/test/images/0.png"
    low, own, high = (run.mark(path, "m", threshold=level)[0]["share"] for level in (1e-6, None, 1 - 1e-6))
    assert low >= own >= high
    assert low > high
    for threshold in (50, 0, 1, float("nan")):
        with pytest.raises(UserError, match="between 0 and 1"):
            run.mark(path, "m", threshold=threshold)


# What is seen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **more: Any) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    cliptune.train("mini", "digits", "lora", fresh=True, **QUICK, **more)
    return stream.getvalue()


def test_a_bar_on_a_terminal_only(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "train 3/3" in shown(monkeypatch, Terminal())
    assert shown(monkeypatch, Terminal(), progress=False) == ""
    assert shown(monkeypatch, io.StringIO()) == ""


def test_many_images_have_a_bar(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = cliptune.train("mini", "digits", "lora", **QUICK)
    draw(Path("photos"), numbers=range(30))
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    run.predict("photos")
    assert "images 90/90" in sys.stderr.getvalue()
    monkeypatch.setattr("sys.stderr", Terminal())
    run.predict("photos", progress=False)
    assert sys.stderr.getvalue() == ""


def test_events_are_heard(few: None) -> None:
    heard: list[Any] = []
    cliptune.train("mini", "digits", "lora", on_event=heard.append, **QUICK)
    names = [type(event).__name__ for event in heard]
    assert names[0] == "Started"
    assert names.count("Step") == 3
    assert names[-1] == "Measured"


def test_short_texts(few: None) -> None:
    draw(Path("photos"))
    data = cliptune.data("photos")
    assert repr(data) == "ImageSet('photos', 3 classes, 12 train, 6 val, 6 test images)"
    run = cliptune.train("mini", data, "lora", **QUICK)
    assert repr(run).startswith("Run('runs/lora-photos-2shot-s1', test accuracy 0.")
    assert len(repr(cliptune.masks(draw_masks(Path("lesions"))))) < 100
    for thing, words in ((data, "all classes"), (run, "zero-shot"), (cliptune.masks("lesions"), "images with masks")):
        html = thing._repr_html_()
        assert html.startswith("<table>")
        assert words in html


def test_names_are_escaped_in_a_notebook() -> None:
    draw(Path("photos"), classes=("<b>ant", "bee & fly"))
    html = cliptune.data("photos")._repr_html_()
    assert "&lt;b&gt;ant" in html
    assert "<b>" not in html
    assert "bee &amp; fly" in html


# What an editor and help() know


def test_types_are_declared_for_every_public_name() -> None:
    package = Path(cliptune.__file__).parent
    assert (package / "py.typed").is_file()
    body = ast.parse((package / "__init__.py").read_text("utf-8")).body
    block = next(node for node in body if isinstance(node, ast.If))
    declared = {
        alias.asname: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == cliptune._PUBLIC
    assert set(cliptune.__all__) == set(declared)


def test_importing_is_still_light() -> None:
    code = "import sys, cliptune; cliptune.UserError; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize("thing", [cliptune.train, cliptune.data, cliptune.masks, cliptune.load, cliptune.Run.predict])
def test_help_has_an_example(thing: Any) -> None:
    assert ">>> " in thing.__doc__


def test_both_sides_name_as_many_classes() -> None:
    import inspect

    from cliptune.predict import Classifier
    from cliptune.runs import TOP

    for function in (cliptune.Run.predict, Classifier.__init__):
        assert inspect.signature(function).parameters["top"].default == TOP


# What is said of a run


def told(**more: Any) -> list[str]:
    """The warnings of one training, each said where `train` was called."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cliptune.train("mini", "photos", "lora", fresh=True, **QUICK, **more)
    assert {Path(each.filename).name for each in caught} <= {"test_notebook.py"}
    assert {each.category for each in caught} <= {UserWarning}
    return [str(each.message) for each in caught]


def test_python_warns_of_what_the_command_line_notes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same sentences, once each; studies and the command line do not warn."""
    draw(Path("photos"), classes=("aGrass", "bField"))
    (Path("photos") / "aGrass" / "notes.heic").write_bytes(b"")
    monkeypatch.setattr(notes, "LONG", 0)
    monkeypatch.setattr(learned, "remarks", lambda *_: [{"what": "the loss stayed", "fix": "train longer"}])
    found = told()
    starts = (
        "left out",
        "2 of 2 class names are codes",
        "training images: ",
        "this will take about",
        "the loss stayed",
    )
    assert [sum(text.startswith(start) for text in found) for start in starts] == [1] * len(starts), found
    assert found[-1] == "the loss stayed\n  train longer"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        words = ("train", "lora", "--data", "photos", "--model", "mini", "--shots", "2", "--device", "cpu", "--fresh")
        assert main([*words, "--set", "train.steps=3", "--set", "evaluate.retention=none"]) == 0
    assert [each for each in caught if each.category is UserWarning] == []
    printed = "\n".join(line.strip().removeprefix("note: ") for line in capsys.readouterr().out.splitlines())
    estimate = "this will take about"
    lines = [line.strip() for text in found for line in text.splitlines() if not line.startswith(estimate)]
    assert [line for line in lines if line not in printed] == []
    html = cliptune.Run.open("runs/lora-photos-2shot-s1")._repr_html_()
    assert html.endswith("<p>Note: the loss stayed<br>train longer</p>")


def test_nothing_is_said_where_there_is_nothing_to_say(few: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cliptune.train("mini", "digits", "zero_shot", device="cpu", settings={"evaluate.retention": "none"})
