"""The real annotation files, where they lie beside the checkout: counts, names, labels, and the few-shot draws.

The golden files hold places in lists, so that the draws can be checked without shipping anybody's annotations.
"""

import csv
import json
import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets import open_set
from cliptune.datasets.images import read_file
from cliptune.datasets.published import Copy, Facts, Row, class_names, open_published
from cliptune.datasets.sets import caltech101, dtd, eurosat, oxford_flowers, oxford_pets, stanford_cars, ucf101
from cliptune.datasets.splits import read_mat, read_split_file
from cliptune.errors import UserError
from tests.golden import make
from tests.golden.make import SHARED

pytestmark = pytest.mark.skipif(not make.SPLITS.is_dir(), reason="the real annotation files are not there")

FACTS: dict[str, Facts] = {
    "caltech101": caltech101.FACTS,
    "oxford_pets": oxford_pets.FACTS,
    "stanford_cars": stanford_cars.FACTS,
    "oxford_flowers": oxford_flowers.FACTS,
    "dtd": dtd.FACTS,
    "eurosat": eurosat.FACTS,
    "ucf101": ucf101.FACTS,
}
PARTS = ("train", "val", "test")
every_split = pytest.mark.parametrize("name", FACTS)


@pytest.fixture(scope="module")
def real() -> dict[str, dict[str, list[Row]]]:
    return {name: read_split_file(make.SPLITS / facts.split_file) for name, facts in FACTS.items()}


def copy_of(name: str) -> Copy:
    """Where the set's own annotations lie."""
    folder = make.SPLITS / name
    return Copy(FACTS[name], name, folder, folder)


@every_split
def test_counts_and_classes(name, real):
    facts, rows = FACTS[name], real[name]
    assert make.FILES[name] == facts.split_file
    assert tuple(len(rows[part]) for part in PARTS) == facts.counts
    names = class_names(rows, name)
    assert len(names) == len(set(names)) == facts.classes
    for part in PARTS:
        assert {label for _, label, _ in rows[part]} == set(range(facts.classes))
    assert all(path.endswith(".jpg") for part in PARTS for path, _, _ in rows[part])


@pytest.mark.parametrize(
    ("name", "train", "val"),
    [
        ("caltech101", 16, 6),
        ("oxford_pets", 74, None),
        ("stanford_cars", 19, 5),
        ("oxford_flowers", 20, 8),
        ("dtd", 60, 24),
        ("eurosat", 1000, None),
        ("ucf101", 58, None),
    ],
)
def test_the_smallest_class_has_sixteen_and_four(name, train, val, real):
    least = [min(Counter(label for _, label, _ in real[name][part]).values()) for part in ("train", "val")]
    assert least[0] == train
    assert val in (None, least[1])
    assert least[1] >= 4


@pytest.mark.parametrize(
    ("name", "first", "last", "first_test"),
    [
        ("caltech101", "Faces/image_0274.jpg 0", "yin_yang/image_0031.jpg 99", "Faces/image_0426.jpg 0"),
        ("oxford_pets", "Abyssinian_122.jpg 0", "yorkshire_terrier_150.jpg 36", "Abyssinian_201.jpg 0"),
        ("stanford_cars", "cars_train/05266.jpg 13", "cars_train/01816.jpg 77", "cars_test/00001.jpg 180"),
        ("oxford_flowers", "image_00190.jpg 76", "image_08032.jpg 101", "image_00172.jpg 76"),
        ("dtd", "banded/banded_0133.jpg 0", "zigzagged/zigzagged_0062.jpg 46", "banded/banded_0060.jpg 0"),
        ("eurosat", "AnnualCrop/AnnualCrop_1381.jpg 0", "SeaLake/SeaLake_46.jpg 9", "AnnualCrop/AnnualCrop_1048.jpg 0"),
        (
            "ucf101",
            "Apply_Eye_Makeup/v_ApplyEyeMakeup_g12_c03.jpg 0",
            "Yo_Yo/v_YoYo_g19_c04.jpg 100",
            "Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg 0",
        ),
    ],
)
def test_rows_come_in_the_order_of_the_file(name, first, last, first_test, real):
    rows = real[name]
    told = [f"{path} {label}" for path, label, _ in (rows["train"][0], rows["train"][-1], rows["test"][0])]
    assert told == [first, last, first_test]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("caltech101", {0: "face", 1: "leopard", 2: "motorbike", 3: "accordion", 4: "airplane", 99: "yin_yang"}),
        ("oxford_pets", {0: "abyssinian", 1: "american_bulldog", 2: "american_pit_bull_terrier"}),
        ("stanford_cars", {0: "2000 AM General Hummer SUV", 195: "2012 smart fortwo Convertible"}),
        ("oxford_flowers", {0: "pink primrose", 1: "hard-leaved pocket orchid", 11: "colt's foot"}),
        ("dtd", {0: "banded", 46: "zigzagged"}),
        ("eurosat", dict(enumerate(eurosat.NAMES.values()))),
        ("ucf101", {34: "Hammering", 35: "Hammer_Throw", 46: "Jumping_Jack", 47: "Jump_Rope", 100: "Yo_Yo"}),
    ],
)
def test_names_by_label(name, known, real):
    names = class_names(real[name], name)
    assert {label: names[label] for label in known} == known


def test_odd_names_stay_as_they_are(real):
    assert "water_lilly" in class_names(real["caltech101"], "")
    assert "2012 Ram C/V Cargo Van Minivan" in class_names(real["stanford_cars"], "")
    assert "polka-dotted" in class_names(real["dtd"], "")
    handstands = {path for path, _, name in real["ucf101"]["test"] if name == "Handstand_Pushups"}
    assert handstands
    assert all(path.startswith("Handstand_Pushups/v_HandStandPushups_") for path in handstands)


def test_sorted_names_would_swap_four_actions_and_every_breed_after_the_cats(real):
    actions = class_names(real["ucf101"], "")
    assert [label for label, name in enumerate(sorted(actions)) if name != actions[label]] == [34, 35, 46, 47]
    files = {path.rpartition("_")[0]: label for path, label, _ in real["oxford_pets"]["train"]}
    assert [files[name] for name in sorted(files)] != list(range(37))


def test_folders_give_the_names_and_labels_of_the_split_files(real):
    """The rules used without a split file, held against it."""
    folders = {path.partition("/")[0]: (label, name) for path, label, name in real["caltech101"]["train"]}
    assert folders == {
        folder: (label, caltech101.RENAMED.get(folder, folder)) for label, folder in enumerate(sorted(folders))
    }
    land = {path.partition("/")[0]: (label, name) for path, label, name in real["eurosat"]["train"]}
    assert land == {folder: (label, name) for label, (folder, name) in enumerate(eurosat.NAMES.items())}
    for path, _, name in real["oxford_pets"]["test"]:
        assert path.rpartition("_")[0].lower() == name
    for path, _, name in real["dtd"]["test"]:
        assert path.partition("/")[0] == name


def test_flowers_agree_with_their_labels_and_names(real):
    names = json.loads((make.SPLITS / "cat_to_name.json").read_text("utf-8"))
    labels = read_mat(copy_of("oxford_flowers"), "imagelabels.mat", "labels")[1]
    assert len(labels) == sum(FACTS["oxford_flowers"].counts)
    for part in PARTS:
        for path, label, name in real["oxford_flowers"][part]:
            number = int(path.removeprefix("image_").removesuffix(".jpg"))
            assert (label, name) == (labels[number - 1] - 1, names[str(label + 1)])


def test_cars_agree_with_the_devkit(real):
    copy = copy_of("stanford_cars")
    names = [stanford_cars._year_first(name) for name in read_mat(copy, "devkit/cars_meta.mat", "class_names")[1]]
    assert tuple(names) == class_names(real["stanford_cars"], "")
    listed = stanford_cars._listed(copy, "devkit/cars_train_annos.mat", "cars_train", names)
    assert sorted(listed) == sorted(real["stanford_cars"]["train"] + real["stanford_cars"]["val"])
    with pytest.raises(UserError, match="has no labels"):
        stanford_cars._listed(copy, "devkit/cars_test_annos.mat", "cars_test", names)


def test_flowers_without_their_split_file(tmp_path):
    """All 8,189 real labels; the pictures are empty files, for only their names are looked at."""
    folder = tmp_path / "oxford_flowers"
    (folder / "jpg").mkdir(parents=True)
    for number in range(1, 8190):
        (folder / f"jpg/image_{number:05d}.jpg").touch()
    (folder / "imagelabels.mat").write_bytes((make.SPLITS / "oxford_flowers/imagelabels.mat").read_bytes())
    (folder / "cat_to_name.json").write_bytes((make.SPLITS / "cat_to_name.json").read_bytes())
    found = open_published("oxford_flowers", oxford_flowers.FACTS, tmp_path, "refuse", oxford_flowers._from_labels)
    assert len(found.classes) == 102
    counts = oxford_flowers.FACTS.counts
    assert all(abs(len(getattr(found, part)) - n) <= 51 for part, n in zip(PARTS, counts))


def test_the_cut_of_caltech_opens():
    if not (SHARED / "data/caltech-101").is_dir():
        pytest.skip("the cut of Caltech-101 is not there")
    found = open_set("caltech101", root=str(SHARED / "data"))
    assert len(found.classes) == 24
    assert len(found.train) + len(found.val) + len(found.test) == 1410
    assert found.split == "published"
    assert found.read(found.test[0]).mode == "RGB"
    assert any("24 classes where 100" in note for note in found.notes)


def test_odd_files_of_the_pets_decode():
    folder = SHARED / "data/odd-files/oxford_pets"
    if not folder.is_dir():
        pytest.skip("the odd files are not there")
    files = sorted(folder.glob("*.jpg"))
    assert len(files) == 7
    for file in files:
        assert read_file(file, as_published=True).mode == "RGB"
    with Image.open(folder / "Abyssinian_5.jpg") as odd:
        assert (odd.format, odd.mode) == ("PNG", "RGBA")
        as_papers_do = np.asarray(odd.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(read_file(folder / "Abyssinian_5.jpg", as_published=True)), as_papers_do)
    with pytest.raises(UserError, match="not an image"):
        read_file(folder / "Abyssinian_100.mat")


def test_columns_are_those_of_the_published_tables():
    table = SHARED / "published/results.csv"
    if not table.is_file():
        pytest.skip("the published results are not there")
    with table.open(encoding="utf-8", newline="") as file:
        columns = {row["dataset"] for row in csv.DictReader(file)}
    assert {facts.column for facts in FACTS.values()} <= columns


# Few-shot draws


@every_split
def test_draws_are_the_golden_ones(name, real):
    assert dict(make.draws(real[name])) == make.read(name)


@every_split
def test_draws_as_the_papers_code_makes_them(name, real):
    """From the description of CoOp's sampler alone: one seed, train before val, classes as they first appear."""
    golden = make.read(name)
    assert list(golden) == [f"{seed}/{shots}" for seed in (1, 2, 3) for shots in (1, 2, 4, 8, 16)]
    state = random.getstate()
    try:
        for key, drawn in golden.items():
            seed, shots = map(int, key.split("/"))
            random.seed(seed)
            assert sampled(real[name]["train"], shots) == drawn[0]
            assert sampled(real[name]["val"], min(shots, 4)) == drawn[1]
    finally:
        random.setstate(state)


def sampled(rows: list[Row], count: int) -> list[int]:
    groups: dict[int, list[int]] = {}
    for index, (_, label, _) in enumerate(rows):
        groups.setdefault(label, []).append(index)
    found: list[int] = []
    for group in groups.values():
        found.extend(random.sample(group, count) if len(group) >= count else group)
    return found


def test_golden_files_are_small():
    assert sum(file.stat().st_size for file in make.FEW_SHOT.glob("*.json")) < 600_000
