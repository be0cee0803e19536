"""`check` without a method: what a copy of a data set holds, and how the untouched backbone fares on it."""

from pathlib import Path

import pytest
from PIL import Image

from cliptune import published
from cliptune.cli.check_data import _say_zero_shot, beside_guessing, published_name
from cliptune.models import zoo
from tests.command import Cliptune, contents
from tests.layouts import classification


def test_a_published_set_is_held_against_what_was_published(tmp_path: Path, cliptune: Cliptune) -> None:
    root = tmp_path / "data"
    classification.raw(root, "oxford_pets")
    before = contents(root)
    words = ("check", "--data", "pets", "--root", root, "--thumbnails", "nine.png")
    said = cliptune(*words).done()
    assert "published: 37 classes, 2,944 train, 736 val, 3,669 test" in said.out
    assert "note: split_zhou_OxfordPets.json is not there" in said.out
    assert "a photo of a {}, a type of pet." in said.out
    facts = cliptune(*words, "--json").done().json
    assert facts["published"]["matches"] is False
    assert facts["examined"]["looked_at"] == facts["examined"]["images"]
    with Image.open("nine.png") as picture:
        assert picture.format == "PNG"
    assert contents(root) == before, "nothing is written below the root"


def test_faults_are_named(tmp_path: Path, cliptune: Cliptune) -> None:
    for split, shades in (("train", (10, 90, 200)), ("test", (10, 60, 130))):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            for shade in shades:
                image = Image.linear_gradient("L").rotate(shade + 13 * label).resize((64, 64)).convert("RGB")
                image.save(tmp_path / "pets" / split / name / f"{shade}.png")
    (tmp_path / "pets/train/cat/broken.jpg").write_bytes(b"\xff\xd8\xff")
    facts = cliptune("check", "--data", tmp_path / "pets", "--json").done().json["examined"]
    assert [path for path in facts["unreadable"] if path.endswith("broken.jpg")]
    assert (
        sorted(sorted(Path(place[0]).name for place in group) for group in facts["duplicates"]) == [["10.png"] * 2] * 2
    )
    said = cliptune("check", "--data", tmp_path / "pets").done()
    assert "cannot be read: 1" in said.out
    assert "looked at 13 of 13 images: 12 RGB" in said.out
    assert "train images of a class: 2 to 3, median 2.5" in said.out
    assert "broken.jpg" in said.out


@pytest.mark.parametrize(
    ("accuracy", "mean", "said"), [(0.75, 0.5, "at chance"), (0.75, 0.2, "below chance"), (0.75, 0.74, None)]
)
def test_of_unequal_classes_the_mean_over_them_is_held_against_chance(
    accuracy: float, mean: float, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """An accuracy of 75 % is no knowledge where one class is most of the test."""
    per_class = {"plain": {"accuracy": 1.0, "n": 180}, "rare": {"accuracy": 0.0, "n": 20}}
    measured = {
        "accuracy": accuracy,
        "interval": (0.69, 0.81),
        "n": 200,
        "macro_accuracy": mean,
        "per_class": per_class,
    }
    found = beside_guessing(measured, 2)
    assert found == {"measure": "mean over classes", "chance": 0.5, "beside_chance": said or ""}
    about = {"model": "mini", "template": "a photo of a {}.", "published": []}
    _say_zero_shot({**measured, **found, **about})
    text = capsys.readouterr().out
    assert f"mean over classes {100 * mean:.1f} %, accuracy 75.0 % (95 % 69.0–81.0, n = 200); guessing 50.0 %" in text
    assert ("the backbone does not know these images" in text) == (said is not None)
    assert said is None or f"note: that is {said}" in text


def test_zero_shot_on_the_digits(few: None, cliptune: Cliptune) -> None:
    words = ("check", "--data", "digits", "--zero-shot", "--device", "cpu")
    said = cliptune(*words).done()
    assert "zero-shot, mini" in said.out
    assert "no zero-shot accuracy was published" in said.out
    found = cliptune(*words, "--json").done().json["zero_shot"]
    assert found["n"] == 100
    assert 0.5 < found["accuracy"] < 1
    assert found["published"] == []


def test_zero_shot_beside_a_published_accuracy(
    tmp_path: Path, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    classification.raw(tmp_path / "data", "oxford_pets")
    monkeypatch.setattr("cliptune.cli.check_data.published_name", lambda model: "ViT-B/16")
    words = ("check", "--data", "oxford_pets", "--root", tmp_path / "data", "--zero-shot", "--device", "cpu")
    said = cliptune(*words).done()
    assert "published: 89.1 % (CLIP-DoRA table 1)" in said.out
    assert "they differ: look at the counts" in said.out
    said = cliptune(*words, "--set", 'data.template="a photo of a {}."').done()
    assert "leave data.template out" in said.out


def test_backbones_the_papers_name() -> None:
    assert {name: published_name(zoo.outline(name)) for name in ("vit-b-16", "vit-l-14", "mini")} == {
        "vit-b-16": "ViT-B/16",
        "vit-l-14": "ViT-L/14",
        "mini": "",
    }
    assert published_name(zoo.outline("vit-b-16-laion2b")) == "", "another activation"


def test_published_numbers() -> None:
    assert [(each.value, each.source) for each in published.zero_shot("ImageNet", "ViT-B/16")] == [
        (66.7, "CLIP-DoRA table 1"),
        (66.92, "CLIP-AST table 1"),
        (66.73, "CLIP-AST table 3"),
    ]
    assert published.zero_shot("ImageNet", "ViT-L/14") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to check"),
        (("--data", "digits", "--shots", "4"), "belong to a method"),
        (("lora", "--zero-shot"), "look at data, not at lora"),
        (("--data", "oxford_pets"), "is read from disk"),
        (("--data", "oxford_pets", "--root", "."), "has no folder for 'oxford_pets' (tried oxford_pets"),
        (("--data", "world/shapes", "--set", "data.names=names.json"), "data.names with data set 'world'"),
    ],
)
def test_refused(words: tuple[str, ...], told: str, cliptune: Cliptune) -> None:
    said = cliptune("check", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert len(said.err.strip().split("\n")) == 2


def test_list_data_marks_what_is_there(tmp_path: Path, cliptune: Cliptune) -> None:
    classification.raw(tmp_path, "dtd")
    said = cliptune("list", "data", "--root", tmp_path).done()
    marks = {line.split()[1]: line[0] for line in said.out.split("\n") if line[:1] in "✓·" and line.strip()}
    assert (marks["dtd"], marks["digits"], marks["sun397"]) == ("✓", "✓", "·")
    rows = {
        row["name"]: row.get("present")
        for row in cliptune("list", "data", "--root", tmp_path, "--json").done().json["data"]
    }
    assert (rows["dtd"], rows["sun397"]) == (True, False)


def test_show_a_published_set(cliptune: Cliptune) -> None:
    said = cliptune("show", "flowers102").done()
    assert "102" in said.out
    assert "split_zhou_OxfordFlowers.json" in said.out
    assert cliptune("show", "flowers102", "--json").done().json["classes"] == 102


def test_a_set_below_the_root_wins_over_a_folder_of_that_name(tmp_path: Path, cliptune: Cliptune, monkeypatch) -> None:
    classification.raw(tmp_path / "data", "oxford_pets")
    monkeypatch.chdir(tmp_path / "data")
    words = ("check", "--data", "oxford_pets", "--thumbnails", tmp_path / "nine.png", "--json")
    assert cliptune(*words, "--root", ".").done().json["published"]["classes"] == 37
    assert "class 'annotations' is empty" in cliptune(*words).err, "without a root a path means the path"


def test_a_remark_on_every_image_is_one_line(tmp_path: Path, cliptune: Cliptune) -> None:
    for number in range(20):
        folder = tmp_path / "tiny" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise = bytes((37 * number + 91 * place) % 256 for place in range(28 * 28))
        Image.frombytes("L", (28, 28), noise).save(folder / f"{number}.png")
    lines = cliptune("check", "--data", tmp_path / "tiny").done().out.splitlines()
    assert sum(line.startswith("    small: 28 × 28 pixels: 20 images, first ") for line in lines) == 1
    assert sum("28 × 28" in line for line in lines) == 1
