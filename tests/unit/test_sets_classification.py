"""The ten classification sets: what is known of each, folders of both dialects, nothing written or unpickled."""

import builtins
import io
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cliptune.datasets import find_set, open_set
from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.published import NO_SPLIT_FILE, PHOTO, is_present
from cliptune.datasets.sets import (
    caltech101,
    dtd,
    eurosat,
    fgvc_aircraft,
    food101,
    oxford_flowers,
    oxford_pets,
    stanford_cars,
    sun397,
    ucf101,
)
from cliptune.errors import UserError
from tests.layouts.classification import LAYOUTS, RAW, raw, rows_of, with_split_file

MODULES = {
    "caltech101": caltech101,
    "oxford_pets": oxford_pets,
    "stanford_cars": stanford_cars,
    "oxford_flowers": oxford_flowers,
    "food101": food101,
    "fgvc_aircraft": fgvc_aircraft,
    "sun397": sun397,
    "dtd": dtd,
    "eurosat": eurosat,
    "ucf101": ucf101,
}
every_set = pytest.mark.parametrize("name", MODULES)
every_split_file = pytest.mark.parametrize("name", LAYOUTS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the sets lie; not the current folder, in which a set's folder would be taken for images of one's own."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def items(found: ImageSet) -> list[Item]:
    return [*found.train, *found.val, *found.test]


def complaint(name: str, root: Path | None, **options: Any) -> UserError:
    with pytest.raises(UserError) as error:
        open_set(name, root=root and str(root), **options)
    assert "\n" not in error.value.what + error.value.fix
    return error.value


# What is known of each set


@pytest.mark.parametrize(
    ("name", "classes", "counts", "template", "column"),
    [
        ("caltech101", 100, (4128, 1649, 2465), "a photo of a {}.", "Caltech101"),
        ("oxford_pets", 37, (2944, 736, 3669), "a photo of a {}, a type of pet.", "OxfordPets"),
        ("stanford_cars", 196, (6509, 1635, 8041), "a photo of a {}.", "StanfordCars"),
        ("oxford_flowers", 102, (4093, 1633, 2463), "a photo of a {}, a type of flower.", "Flowers102"),
        ("food101", 101, (50500, 20200, 30300), "a photo of {}, a type of food.", "Food101"),
        ("fgvc_aircraft", 100, (3334, 3333, 3333), "a photo of a {}, a type of aircraft.", "FGVCAircraft"),
        ("sun397", 397, (15880, 3970, 19850), "a photo of a {}.", "SUN397"),
        ("dtd", 47, (2820, 1128, 1692), "{} texture.", "DTD"),
        ("eurosat", 10, (13500, 5400, 8100), "a centered satellite photo of {}.", "EuroSAT"),
        ("ucf101", 101, (7639, 1898, 3783), "a photo of a person doing {}.", "UCF101"),
    ],
)
def test_facts(name, classes, counts, template, column):
    facts = MODULES[name].FACTS
    assert (facts.classes, facts.counts, facts.templates[0], facts.column) == (classes, counts, template, column)
    assert facts.templates[-1] == PHOTO
    assert facts.split_file == (LAYOUTS[name].split_file if name in LAYOUTS else "")
    assert all((facts.title, facts.source, facts.get))
    assert "\n" not in facts.source + facts.get


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Caltech101", "caltech101"),
        ("OxfordPets", "oxford_pets"),
        ("pets", "oxford_pets"),
        ("StanfordCars", "stanford_cars"),
        ("OxfordFlowers", "oxford_flowers"),
        ("flowers102", "oxford_flowers"),
        ("Flower102", "oxford_flowers"),
        ("Food101", "food101"),
        ("food-101", "food101"),
        ("FGVCAircraft", "fgvc_aircraft"),
        ("fgvc", "fgvc_aircraft"),
        ("aircraft", "fgvc_aircraft"),
        ("SUN397", "sun397"),
        ("DescribableTextures", "dtd"),
        ("describable textures", "dtd"),
        ("EuroSAT", "eurosat"),
        ("UCF101", "ucf101"),
    ],
)
def test_called_as_in_the_papers_and_in_both_codes(said, name):
    assert find_set(said) == name


def test_no_two_sets_share_a_name():
    spoken = Counter(
        find_set(each)
        for module in MODULES.values()
        for each in {*module.FACTS.folders, *module.FACTS.aliases, module.FACTS.column}
    )
    for name, module in MODULES.items():
        assert spoken[name] == len({*module.FACTS.folders, *module.FACTS.aliases, module.FACTS.column})


# With CoOp's split file


@pytest.mark.parametrize("dialect", ["coop", "cliplora"])
@every_split_file
def test_split_file_in_both_dialects(name, dialect, root):
    folder = with_split_file(root, name, dialect)
    found = open_set(name, root=str(root))
    layout = LAYOUTS[name]
    assert found.name == name
    assert found.classes == tuple(called for _, called in layout.kinds)
    assert [(item.path, item.label) for item in found.train] == [row[:2] for row in rows_of(name)["train"]]
    assert (len(found.train), len(found.val), len(found.test)) == tuple(n * len(layout.kinds) for n in (3, 1, 2))
    assert found.split == "published"
    assert Path(found.root) == folder / layout.images
    assert found.facts is MODULES[name].FACTS
    assert found.about == found.facts.source
    assert found.read(found.test[-1]).size == (8, 8)
    assert any(f"{len(layout.kinds)} classes where {found.facts.classes}" in note for note in found.notes)


@every_split_file
def test_the_sets_own_folder_as_root(name, root):
    folder = with_split_file(root, name, "cliplora")
    found = open_set(name, root=str(folder))
    assert found.split == "published"
    assert found.read(found.train[0]).mode == "RGB"


def test_a_leftover_folder_does_not_hide_the_other_dialect(root):
    (root / "caltech-101/split_fewshot").mkdir(parents=True)
    with_split_file(root, "caltech101", "cliplora")
    assert open_set("caltech101", root=str(root)).train
    (root / "UCF-101").mkdir()  # the videos
    with_split_file(root, "ucf101", "cliplora")
    assert open_set("ucf101", root=str(root)).train


def test_repacked_copies(root):
    with_split_file(root, "dtd", "coop")
    (root / "dtd").rename(root / "inner")
    (root / "dtd").mkdir()
    (root / "inner").rename(root / "dtd/dtd")
    assert open_set("dtd", root=str(root)).split == "published"
    folder = with_split_file(root, "stanford_cars")
    for part in ("cars_train", "cars_test"):
        (folder / part).rename(folder / "inner")
        (folder / part).mkdir()
        (folder / "inner").rename(folder / part / part)
    found = open_set("stanford_cars", root=str(root))
    # the paths, and with them the episode's hash, stay those of the split file
    assert found.train[0].path == "cars_train/00001.jpg"
    assert found.read(found.train[0]).size == (8, 8)
    aircraft = raw(root, "fgvc_aircraft")
    (root / "fgvc-aircraft-2013b").mkdir()
    aircraft.rename(root / "fgvc-aircraft-2013b/data")
    assert open_set("fgvc_aircraft", root=str(root)).split == "published"


def test_images_straight_below_the_folder(root):
    folder = raw(root, "sun397")
    (folder / "SUN397").rename(root / "images")
    for annotation in folder.iterdir():
        annotation.rename(root / "images" / annotation.name)
    folder.rmdir()
    (root / "images").rename(root / "SUN397")
    assert open_set("sun397", root=str(root)).classes[1] == "indoor apse"


def test_no_root(root):
    error = complaint("dtd", None)
    assert "dtd" in error.fix
    assert "--root" in error.fix


@every_set
def test_no_folder_names_what_was_tried(name, root):
    error = complaint(name, root)
    assert str(root) in error.what
    assert all(folder in error.what for folder in MODULES[name].FACTS.folders)
    assert "DATASETS.md" in error.fix
    assert not is_present(MODULES[name].FACTS, root)


def test_no_images_names_what_was_tried(root):
    (root / "Flower102").mkdir()
    assert "Flower102/jpg" in complaint("oxford_flowers", root).what


# The user's folder


def listing(root: Path) -> list[tuple[str, int, int]]:
    found = sorted(root.rglob("*"))
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_size if path.is_file() else 0) for path in found]


@pytest.mark.parametrize(
    ("build", "name"), [*((raw, name) for name in RAW), *((with_split_file, name) for name in LAYOUTS)]
)
def test_nothing_is_written_below_the_root(build, name, root):
    build(root, name)
    before = listing(root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        found = open_set(name, root=str(root))
        found.read(found.train[0])
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert listing(root) == before


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def test_pickles_of_other_programs_are_never_opened(root, monkeypatch):
    folder = with_split_file(root, "dtd")
    (folder / "split_fewshot").mkdir()
    for file in (folder / "split_fewshot/shot_1-seed_1.pkl", folder / "preprocessed.pkl"):
        file.write_bytes(pickle.dumps({"train": [Trap()], "val": []}))
    opened: list[str] = []
    plain_open = io.open

    def watched(file: Any, *rest: Any, **named: Any) -> Any:
        opened.append(str(file))
        return plain_open(file, *rest, **named)

    monkeypatch.setattr(io, "open", watched)
    monkeypatch.setattr(builtins, "open", watched)
    found = open_set("dtd", root=str(root))
    found.read(found.train[0])
    assert any(path.endswith(".json") for path in opened)
    assert not any(path.endswith(".pkl") for path in opened)
    assert not Path("sprung").exists()


# Without it


@every_set
def test_without_the_split_file(name, root):
    raw(root, name)
    found = open_set(name, root=str(root))
    assert [len({item.label for item in part}) for part in (found.train, found.val, found.test)] == [
        len(found.classes)
    ] * 3
    assert len({item.path for item in items(found)}) == len(items(found))
    assert found.read(found.val[0]).size == (8, 8)
    if name == "fgvc_aircraft":
        assert found.split == "published"
    else:
        assert found.split == NO_SPLIT_FILE
        assert any("not the published one" in note for note in found.notes)
    assert open_set(name, root=str(root)) == found


def test_every_set_has_a_layout():
    assert list(RAW) == list(MODULES)
