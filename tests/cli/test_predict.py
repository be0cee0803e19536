"""Prediction: one bad image costs only its own answer, images come in many forms, probabilities are calibrated."""

import csv
import io
import json
import os
import shutil
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.models.backbone import Backbone
from cliptune.runs import Run
from tests.command import Cliptune, Said


@pytest.fixture
def run(finished: Path, mini: Backbone) -> Run:
    return Run(finished, mini)


@pytest.fixture
def images(few_digits) -> list[Path]:
    """Eleven sound digits in a folder."""
    Path("new").mkdir()
    paths = [Path(f"new/{number:02}.png") for number in range(11)]
    for path, item in zip(paths, few_digits.test):
        few_digits.read(item).save(path)
    return paths


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


# One bad image


def spoil(kind: str) -> list[str]:
    """Make or name something among `new/` that cannot be read; what to type, in the middle of the good ones."""
    if kind == "cut":
        cut_short(Path(shutil.copy("new/04.png", "bad.png")))
    elif kind == "empty":
        Path("bad.png").touch()
    elif kind == "text":
        Path("bad.png").write_text("not an image", "utf-8")
    elif kind == "hollow":
        Path("bad.png").mkdir()
    elif kind == "device":
        os.mkfifo("bad.png")
    elif kind == "gigabytes":
        with open("bad.png", "wb") as file:
            file.truncate(1 << 33)
    return ["new/00.png", "bad.png", *(f"new/{n:02}.png" for n in range(1, 11))]


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "hollow", "missing", "device", "gigabytes"])
def test_one_bad_image_costs_one_answer(kind: str, finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    words = spoil(kind)
    said = cliptune("predict", finished, *words)
    assert said.code == 3
    answers = [line.split()[0] for line in said.out.splitlines()]
    assert answers == [word for word in words if word != "bad.png"]
    assert "1 of 12 images could not be read:" in said.err
    assert said.err.count("bad.png") == 1
    rows = cliptune("predict", finished, *words, "--skip-bad", "--json")
    assert rows.code == 0
    assert len(rows.json["predictions"]) == 11
    [unread] = rows.json["unread"]
    assert unread["path"] == "bad.png"
    assert "bad.png" in unread["reason"]


def test_a_bad_image_in_a_folder(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    for number in (3, 7):
        cut_short(images[number])
    said = cliptune("predict", finished, "new", "--json")
    assert said.code == 3
    assert [row["path"] for row in said.json["unread"]] == ["new/03.png", "new/07.png"]
    assert [row["path"] for row in said.json["predictions"]] == [
        str(p) for n, p in enumerate(images) if n not in (3, 7)
    ]
    assert "2 of 11 images could not be read:" in said.err


def test_answers_do_not_depend_on_their_neighbours(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    whole = {row["path"]: row for row in cliptune("predict", finished, "new", "--json").done().json["predictions"]}
    cut_short(images[0])
    rest = cliptune("predict", finished, "new", "--json", "--skip-bad").done().json["predictions"]
    assert len(rest) == 10
    for row in rest:
        assert row["prediction"] == whole[row["path"]]["prediction"]
        # sums over another number of rows may be ordered differently: float32 rounding, 1e-7 each
        assert row["probabilities"] == pytest.approx(whole[row["path"]]["probabilities"], abs=1e-5)


def test_where_nothing_can_be_read_it_is_refused(finished: Path, cliptune: Cliptune) -> None:
    for name in ("a.jpg", "b.jpg"):
        Path(name).write_text("not an image", "utf-8")
    said = cliptune("predict", finished, "a.jpg", "b.jpg", "--csv", "answers.csv", "--skip-bad")
    assert said.code == 2
    assert "none of 2 images can be read, first: a.jpg is not an image" in said.err
    assert not Path("answers.csv").exists()


def test_folders_are_read_as_in_training(
    finished: Path, run: Run, images: list[Path], few_digits: ImageSet, cliptune: Cliptune
) -> None:
    """What systems leave behind is skipped, links are followed, and unread kinds are counted."""
    for left in ("new/.hidden.png", "new/._00.png", "new/@eaDir/00.png", "new/thumbs/00.png", "new/a.heic"):
        Path(left).parent.mkdir(exist_ok=True)
        Path(left).write_bytes(b"no image")
    Path("elsewhere").mkdir()
    few_digits.read(few_digits.test[20]).save("elsewhere/linked.png")
    Path("new/link").symlink_to(Path("elsewhere").absolute())
    said = cliptune("predict", finished, "new", "--json").done()
    paths = [row["path"] for row in said.json["predictions"]]
    assert paths == [*(str(path) for path in images), "new/link/linked.png"]
    assert "1 .heic" in said.err
    with pytest.warns(UserWarning, match=r"1 \.heic") as seen:
        assert len(run.predict("new")) == 12
    assert {warning.filename for warning in seen} == {__file__}


def test_a_listed_path_in_another_spelling(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    """Back-slashes, and accents that an editor composed."""
    Path("nfd").mkdir()
    decomposed = unicodedata.normalize("NFD", "nfd/café.png")
    shutil.copy(images[0], decomposed)
    said = cliptune("predict", finished, r"new\01.png", "nfd/caf\u00e9.png", "--json").done()
    assert [row["path"] for row in said.json["predictions"]] == ["new/01.png", decomposed]


def test_in_python_a_bad_image_keeps_its_row(run: Run, images: list[Path]) -> None:
    cut_short(images[1])
    with pytest.warns(UserWarning, match=r"1 of 11 images cannot be read: new/01\.png cannot be decoded") as seen:
        rows = run.predict(images)
    assert seen[0].filename == __file__
    assert [row["path"] for row in rows] == [str(path) for path in images]
    assert rows[1]["prediction"] is None
    assert "cannot be decoded" in rows[1]["error"]
    assert all("error" not in row and row["prediction"] for row in rows[:1] + rows[2:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(run.predict(images, skip_bad=True)) == 10
    with pytest.raises(UserError, match=r"01\.png cannot be decoded"):
        run.predict(images[1])


# The list on standard input


@pytest.mark.parametrize(
    "text", ["\ufeffnew/00.png\r\nnew/01.png\r\n\r\n", "new/00.png\0new/01.png\0", "new/00.png\nnew/01.png"]
)
def test_the_list_on_standard_input(
    text: str, finished: Path, images: list[Path], cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (text.encode(), text.removeprefix("\ufeff").encode("utf-16")) if "\0" not in text else (text.encode(),):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        rows = cliptune("predict", finished, "-", "--json").done().json["predictions"]
        assert [row["path"] for row in rows] == ["new/00.png", "new/01.png"]


def test_a_listed_name_that_is_not_utf_8(
    finished: Path, images: list[Path], cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = b"caf\xe9.png"
    shutil.copy(images[0], os.fsdecode(name))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(name + b"\n")))
    [row] = cliptune("predict", finished, "-", "--json", "--csv", "a.csv").done().json["predictions"]
    assert row["path"] == r"caf\xe9.png"
    assert table("a.csv")[0]["path"] == row["path"]


# Tables, probabilities, thresholds


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_of_all_probabilities(finished: Path, run: Run, images: list[Path], cliptune: Cliptune) -> None:
    cut_short(images[5])
    said = cliptune("predict", finished, "new", "--csv", "out/answers.csv")
    assert said.code == 3
    assert "out/answers.csv: 10 of 11 images, 10 classes" in said.out
    rows = table("out/answers.csv")
    assert list(rows[0]) == ["path", "prediction", "score", *run.classes]
    assert [row["path"] for row in rows] == [str(path) for n, path in enumerate(images) if n != 5]
    for row in rows:
        shares = {name: float(row[name]) for name in run.classes}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)  # six decimals, ten classes
        assert row["prediction"] == max(shares, key=shares.__getitem__)
        assert float(row["score"]) == max(shares.values())
    assert os.listdir("out") == ["answers.csv"]


def test_a_class_called_like_a_column(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    cliptune("predict", finished, "new", "--classes", "score,path", "--csv", "a.csv").done()
    assert list(table("a.csv")[0]) == ["path", "prediction", "score", "score (class)", "path (class)"]


@pytest.mark.parametrize("place", ["folder", "file/answers.csv", "-"])
def test_a_table_that_cannot_be_written_is_refused_first(
    place: str, finished: Path, images: list[Path], cliptune: Cliptune
) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    said = cliptune("predict", finished, "new", "--csv", place)
    assert said.code == 2
    assert not said.out


@pytest.mark.parametrize("place", ["RUN/run.json", "RUN/predictions.csv", "new/01.png", "new/99.jpg", "mine.csv"])
def test_a_table_takes_no_other_file_s_place(
    place: str, finished: Path, images: list[Path], cliptune: Cliptune
) -> None:
    Path("mine.csv").write_text("name,age\nx,3\n", "utf-8")
    path = Path(place.replace("RUN", str(finished)))
    before = path.read_bytes() if path.exists() else None
    said = cliptune("predict", finished, images[0], "--csv", path)
    assert said.code == 2
    assert len(said.err.splitlines()) == 2
    assert (path.read_bytes() if path.exists() else None) == before
    for _ in range(2):  # its own is replaced
        cliptune("predict", finished, images[0], "--csv", "answers.csv").done()


@pytest.mark.parametrize(
    ("run", "fix"),
    [("RUN/run.json", "give the run's folder: "), ("RUN/adapter", "give the run's folder: "), ("new", "…")]
    + [("above", "give one of the runs in it: above/run"), ("merged", "it is a model")],
)
def test_what_is_near_a_run_is_answered_with_it(
    run: str, fix: str, finished: Path, images: list[Path], cliptune: Cliptune
) -> None:
    Path("above/run").mkdir(parents=True)
    Path("above/run/run.json").touch()
    Path("merged").mkdir()
    Path("merged/config.json").touch()
    said = cliptune("predict", run.replace("RUN", str(finished)), images[0])
    assert said.code == 2
    assert fix in said.err.splitlines()[1]


def test_a_run_behind_its_images(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    said = cliptune("predict", images[0], finished)
    assert said.code == 2
    assert f"the run comes first: cliptune predict {finished} {images[0]}" in said.err


def test_an_interrupted_prediction_keeps_its_rows(
    finished: Path, images: list[Path], cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cliptune import predict

    real = predict.Classifier._probabilities

    def interrupted(self: Any, pixels: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(pixels))
        return real(self, pixels)

    seen: list[int] = []
    monkeypatch.setattr(predict, "BATCH", 4)
    monkeypatch.setattr(predict.Classifier, "_probabilities", interrupted)
    said = cliptune("predict", finished, "new", "--csv", "answers.csv")
    assert said.code == 130
    assert "answers.csv: 8 of 11 images" in said.out
    assert [row["path"] for row in table("answers.csv")] == [str(path) for path in images[:8]]


def with_temperature(finished: Path, value: float | None) -> Path:
    """A copy of the run whose record has that temperature."""
    copy = Path(f"run-{value}")
    shutil.copytree(finished, copy)
    record = json.loads((copy / "run.json").read_text("utf-8"))
    record["metrics"]["test"].pop("calibrated", None)
    if value is not None:
        record["metrics"]["test"]["calibrated"] = {"temperature": value, "n": 20, "nll": 1.0, "ece": 0.1}
    (copy / "run.json").write_text(json.dumps(record), "utf-8")
    return copy


def shares(said: Said) -> list[list[float]]:
    return [list(row["probabilities"].values()) for row in said.json["predictions"]]


def test_probabilities_are_calibrated(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    run = with_temperature(finished, 2.0)
    warm = cliptune("predict", run, "new", "--json").done()
    cold = cliptune("predict", run, "new", "--json", "--no-calibrate").done()
    assert warm.json["calibration"]["temperature"] == 2.0
    assert cold.json["calibration"]["temperature"] is None
    assert "calibrated by the run's temperature, 2" in warm.err
    assert "not calibrated" in cold.err
    for row, raw in zip(shares(warm), shares(cold), strict=True):
        expected = np.sqrt(raw) / np.sqrt(raw).sum()  # softmax(z / 2)
        assert row == pytest.approx(expected, abs=1e-9)
        assert sum(row) == pytest.approx(1)
    without = cliptune("predict", with_temperature(finished, None), "new", "--json").done()
    assert shares(without) == shares(cold)
    assert "has no fitted temperature" in without.err


def test_the_temperature_is_the_record_s(run: Run) -> None:
    assert run.temperature == run.metrics["test"]["calibrated"]["temperature"]


def test_unknown_below_the_threshold(finished: Path, run: Run, images: list[Path], cliptune: Cliptune) -> None:
    scores = sorted(row["score"] for row in run.predict(images))
    middle = scores[5]
    rows = run.predict(images, threshold=middle)
    assert [row["prediction"] == "unknown" for row in rows] == [row["score"] < middle for row in rows]
    assert sum(row["prediction"] == "unknown" for row in rows) == 5
    assert all(row["top"][0][1] == row["score"] for row in rows)
    said = cliptune("predict", finished, "new", "--threshold", middle).done()
    assert said.out.count("  unknown: ") == 5
    cliptune("predict", finished, "new", "--threshold", middle, "--csv", "a.csv").done()
    assert [row["prediction"] for row in table("a.csv")] == [row["prediction"] for row in rows]


@pytest.mark.parametrize("value", ["50", "-0.1", "nan"])
def test_a_threshold_that_is_no_probability(value: str, finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    said = cliptune("predict", finished, "new", f"--threshold={value}")
    assert said.code == 2
    assert "between 0 and 1" in said.err


def test_python_and_the_command_line_answer_alike(
    finished: Path, run: Run, images: list[Path], cliptune: Cliptune
) -> None:
    theirs = cliptune("predict", finished, "new", "--json").done().json["predictions"]
    ours = run.predict("new")
    assert json.loads(json.dumps(ours)) == theirs
    assert len(ours[0]["top"]) == 5
    assert list(ours[0]["probabilities"]) == list(run.classes)


# Other classes


def test_other_classes_on_the_command_line(
    finished: Path, probe: Path, run: Run, images: list[Path], cliptune: Cliptune
) -> None:
    words = ("--classes", "red fox, blue_star", "--classes", "snow")
    said = cliptune("predict", finished, "new", *words, "--json").done()
    assert list(said.json["predictions"][0]["probabilities"]) == ["red fox", "blue_star", "snow"]
    assert said.json["predictions"] == json.loads(
        json.dumps(run.predict("new", classes=["red fox", "blue_star", "snow"]))
    )
    assert said.json["calibration"]["temperature"] is None
    assert "fitted to its own classes" in said.err
    assert "knows only the classes" in cliptune("predict", probe, "new", *words).err


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("ant", "not a list of class names"),
        (b"ant", "not a list of class names"),
        (7, "not a list of class names"),
        ([], "at least 2"),
        (["ant"], "at least 2"),
        (["ant", ""], "'' is no class name"),
        (["ant", 7], "7 is no class name"),
        (["hot_dog", "Hot dog"], "make the same prompt"),
    ],
)
def test_classes_that_are_no_list_of_names(classes: Any, words: str, run: Run, images: list[Path]) -> None:
    with pytest.raises(UserError, match=words):
        run.predict(images, classes=classes)


# Merging


def test_merge_says_how_to_load_it(finished: Path, images: list[Path], cliptune: Cliptune) -> None:
    """What is printed runs as it stands, and transformers then answers as the run does."""
    import ast
    import re

    from transformers import pipeline

    said = cliptune("merge", finished, "merged").done()
    task, model = re.search(r'pipeline\("([^"]+)", model="([^"]+)"\)', said.out).groups()
    template = ast.literal_eval(re.search(r"hypothesis_template=('[^']*')", said.out)[1])
    labels = ast.literal_eval(re.search(r"candidate_labels=(\[.*\])", said.out)[1])
    answers = pipeline(task, model=model)(Image.open(images[0]), candidate_labels=labels, hypothesis_template=template)
    [row] = cliptune("predict", finished, images[0], "--no-calibrate", "--json").done().json["predictions"]
    shares = {answer["label"]: answer["score"] for answer in answers}
    # the pipeline pads prompts to the longest allowed: other sums, float32
    assert shares == pytest.approx({name.replace("_", " "): p for name, p in row["probabilities"].items()}, abs=1e-3)
