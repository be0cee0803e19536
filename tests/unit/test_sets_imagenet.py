"""ImageNet and its test sets: labels by wnid, names by CLIP's list, and what lies in people's folders."""

import os
import stat
from pathlib import Path

import pytest

from cliptune.datasets import find_set, open_set
from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.imagenet import published_names, wnids_of
from cliptune.datasets.sets import imagenet, imagenet_a, imagenet_r, imagenet_sketch, imagenet_v2
from cliptune.errors import UserError
from cliptune.protocols.few_shot import few_shot
from tests.layouts import imagenet as layouts

NAMES = tuple(published_names().values())
LABELS = [0, 657, 744, 836, 837, 999]
"""of layouts.WNIDS, as published"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Not the current folder: a folder there would be taken for a set's name."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def complaint(root: Path, name: str = "imagenet") -> UserError:
    with pytest.raises(UserError) as error:
        open_set(name, str(root))
    assert "\n" not in error.value.what + error.value.fix
    return error.value


def labels(items: tuple[Item, ...]) -> list[int]:
    return sorted({item.label for item in items})


def below(root: Path) -> list[tuple[str, int, int]]:
    found = [Path(where, name) for where, folders, files in os.walk(root) for name in (*folders, *files)]
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found)


def test_the_list_has_1000_classes_and_998_names():
    assert len(NAMES) == 1000
    assert len(set(NAMES)) == 998
    assert [label for label, name in enumerate(NAMES) if name == "missile"] == [657, 744]
    assert [label for label, name in enumerate(NAMES) if name == "sunglasses"] == [836, 837]
    assert (NAMES[0], NAMES[2], NAMES[999]) == ("tench", "great white shark", "toilet paper")
    assert list(published_names()) == sorted(published_names())


@pytest.mark.parametrize("inner", ["images", ""])
def test_both_dialects_give_the_same_set(root: Path, inner: str):
    layouts.imagenet(root, inner)
    found = open_set("imagenet", str(root))
    assert found.classes == NAMES
    assert labels(found.train) == labels(found.test) == LABELS
    assert found.train[:3] == (
        Item("train/n01440764/n01440764_10026.JPEG", 0),
        Item("train/n01440764/n01440764_9.JPEG", 0),
        Item("train/n03773504/n03773504_10026.JPEG", 657),
    )
    assert found.test[0] == Item("val/n01440764/ILSVRC2012_val_00000000.JPEG", 0)
    assert found.root == str(root / "imagenet" / inner)
    assert found.read(found.test[0]).mode == "RGB"
    assert found.split == "published"


def test_images_folder_without_the_parts_does_not_hide_them(root: Path):
    layouts.picture(layouts.imagenet(root, "") / "images" / "logo.jpg")
    assert len(open_set("imagenet", str(root)).test) == 6


def test_classes_of_one_name_stay_two_classes(root: Path):
    layouts.imagenet(root)
    found = open_set("imagenet", str(root))
    missiles = {item.label: item.path.split("/")[1] for item in found.train if found.classes[item.label] == "missile"}
    assert missiles == {657: "n03773504", 744: "n04008634"}


def test_val_is_the_test_and_the_facts_say_so(root: Path):
    layouts.imagenet(root)
    found = open_set("imagenet", str(root))
    assert found.val is found.test
    assert found.facts is not None
    assert found.facts.val_is_test
    assert few_shot(found, 1, 1).val == (), "so nothing is chosen on it"


def test_part_of_the_set_is_noted(root: Path):
    layouts.imagenet(root)
    notes = open_set("imagenet", str(root)).notes
    assert any("val has 6 images in 6 of 1,000 classes; published are 50,000" in note for note in notes)
    assert any("train has 12 images in 6 of 1,000 classes; published are 1,281,167" in note for note in notes)


def test_flat_val_is_told_what_to_do(root: Path):
    layouts.flat_validation(root)
    error = complaint(root)
    assert "val has 6 images and no class folders" in error.what
    assert "one folder per class (n01440764 …)" in error.fix


def test_without_train_it_can_be_tested_on(root: Path):
    folder = layouts.imagenet(root)
    (folder / "images" / "train").rename(folder / "elsewhere")
    found = open_set("imagenet", str(root))
    assert found.train == ()
    assert len(found.test) == 6
    assert any("no train folder" in note for note in found.notes)


def test_without_val_it_is_refused(root: Path):
    folder = layouts.imagenet(root)
    (folder / "images" / "val").rename(folder / "elsewhere")
    assert "has no val folder" in complaint(root).what


def test_strays_are_left_out(root: Path):
    folder = layouts.imagenet(root)
    layouts.picture(folder / "images" / "train" / "n00000001" / "x.JPEG")
    layouts.picture(folder / "images" / "train" / ".cache" / "x.JPEG")
    (folder / "images" / "train" / "n01440764" / "Thumbs.db").write_bytes(b"\0")
    (folder / "images" / "train" / "n01440764.tar").write_bytes(b"\0")
    (folder / "preprocessed.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    found = open_set("imagenet", str(root))
    assert len(found.train) == 12
    assert any("1 folders of" in note and "n00000001" in note for note in found.notes)


def test_own_names_are_taken_and_noted(root: Path):
    layouts.classnames(layouts.imagenet(root), {"n01440764": "Tinca tinca", "n15075141": "toilet tissue"})
    found = open_set("imagenet", str(root))
    assert found.classes[0] == "Tinca tinca"
    assert found.classes[1:999] == NAMES[1:999]
    assert any(
        "2 of 1,000 classes another name" in note and "'Tinca tinca' for 'tench'" in note for note in found.notes
    )


def test_order_of_classnames_does_not_move_labels(root: Path):
    layouts.classnames(layouts.imagenet(root), backwards=True)
    found = open_set("imagenet", str(root))
    assert found.classes == NAMES
    assert not any("another name" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda text: text.replace("n01440764 tench\n", ""),
            "has 999 wnids: n01440764, which ImageNet has, is not in it",
        ),
        (lambda text: text + "n00000001 thing\n", "has 1,001 wnids: n00000001, which is not one of ImageNet's 1,000"),
        (lambda text: "tench\n" + text, "classnames.txt:1: 'tench' is not 'n01440764 tench'"),
        (lambda text: text + "n01440764 tench\n", "classnames.txt:1001: 'n01440764 tench' repeats a wnid"),
        (lambda text: text.replace("n01443537 goldfish", "n01443537 "), "classnames.txt:2: 'n01443537' is not"),
    ],
)
def test_foreign_classnames_are_refused(root: Path, change, what: str):
    path = layouts.classnames(layouts.imagenet(root))
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    error = complaint(root)
    assert what in error.what
    assert "the names come with cliptune" in error.fix


def test_v2_folders_are_label_numbers(root: Path):
    layouts.v2(root)
    found = open_set("imagenet_v2", str(root))
    assert [(item.path.split("/")[0], item.label) for item in found.test] == [
        ("0", 0),
        ("1", 1),
        ("2", 2),
        ("10", 10),
        ("100", 100),
        ("999", 999),
    ]
    assert found.classes == NAMES
    assert found.train == found.val == ()


def test_v2_called_by_wnid_is_refused(root: Path):
    layouts.picture(root / "imagenetv2" / "n01440764" / "x.jpeg")
    assert "one folder per class (0 …), but there is n01440764" in complaint(root, "imagenet_v2").what


@pytest.mark.parametrize("inner", ["images", "sketch", ""])
def test_sketch_under_any_of_its_folder_names(root: Path, inner: str):
    layouts.sketch(root, inner)
    found = open_set("imagenet_sketch", str(root))
    assert [item.label for item in found.test] == LABELS
    assert found.classes == NAMES
    assert found.train == found.val == ()


def check_200(found: ImageSet, wnids: tuple[str, ...]) -> None:
    assert [item.label for item in found.test] == list(range(200))
    assert [item.path.split("/")[0] for item in found.test] == list(wnids)
    assert found.classes == tuple(published_names()[wnid] for wnid in wnids)
    assert found.train == found.val == ()
    assert found.read(found.test[0]).size == (8, 8)


def test_adversarial_has_200_classes_of_its_own(root: Path):
    layouts.adversarial(root)
    found = open_set("imagenet_a", str(root))
    check_200(found, wnids_of("imagenet_a"))
    assert found.classes[:2] == ("stingray", "goldfinch")
    assert "/0.000116_digital clock _ digital clock_0.865662.jpg" in found.test[0].path


def test_renditions_have_200_other_classes(root: Path):
    layouts.renditions(root)
    check_200(open_set("imagenet_r", str(root)), wnids_of("imagenet_r"))
    shared = set(wnids_of("imagenet_a")) & set(wnids_of("imagenet_r"))
    assert 0 < len(shared) < 200
    for name in ("imagenet_a", "imagenet_r"):
        assert list(wnids_of(name)) == sorted(set(wnids_of(name)) & set(published_names()))
        assert len(wnids_of(name)) == 200


def test_part_of_the_200_keeps_their_labels(root: Path):
    wnid = wnids_of("imagenet_r")[150]
    layouts.picture(root / "imagenet-r" / wnid / "art_0.jpg")
    found = open_set("imagenet_r", str(root))
    assert found.test == (Item(f"{wnid}/art_0.jpg", 150),)
    assert len(found.classes) == 200


def test_variant_takes_the_classnames_beside_it(root: Path):
    folder = layouts.v2(root)
    assert open_set("imagenet_v2", str(root)).classes == NAMES
    layouts.classnames(folder, {"n01440764": "Tinca tinca"})
    found = open_set("imagenet_v2", str(root))
    assert found.classes[0] == "Tinca tinca"
    assert any("1 of 1,000 classes another name" in note for note in found.notes)


def test_root_may_be_the_set_itself(root: Path):
    assert len(open_set("imagenet", str(layouts.imagenet(root))).test) == 6
    layouts.v2(root)
    inner = root / "imagenetv2" / "imagenetv2-matched-frequency-format-val"
    assert len(open_set("imagenet_v2", str(inner)).test) == 6


def test_absent_names_what_was_tried(root: Path):
    for name, tried in (("imagenet", "imagenet, ILSVRC2012"), ("imagenet_a", "imagenet-adversarial, imagenet-a")):
        error = complaint(root, name)
        assert f"(tried {tried})" in error.what
        assert "https://" in error.fix
    (root / "imagenet" / "val" / "n01440764").mkdir(parents=True)
    assert open_set("imagenet", str(root)).test == ()
    (root / "imagenet" / "val" / "n01440764").rmdir()
    assert "but there is none" in complaint(root).what


def test_nothing_is_written_below_the_root(root: Path):
    layouts.imagenet(root)
    layouts.adversarial(root)
    layouts.v2(root)
    before = below(root)
    os.chmod(root / "imagenet", stat.S_IRUSR | stat.S_IXUSR)
    for name in ("imagenet", "imagenet_a", "imagenet_v2"):
        open_set(name, str(root))
    os.chmod(root / "imagenet", stat.S_IRWXU)
    assert below(root) == before


@pytest.mark.parametrize("module", [imagenet, imagenet_v2, imagenet_sketch, imagenet_a, imagenet_r])
def test_facts(module):
    name = module.__name__.rpartition(".")[2]
    facts = module.FACTS
    assert facts.templates[0] == "a photo of a {}."
    assert len(facts.templates) == 8
    assert all(template.count("{}") == 1 and template.endswith(".") for template in facts.templates)
    for other in (*facts.folders, *facts.aliases, facts.column):
        assert find_set(other) == name
    first = module.__doc__.split("\n")[0]
    assert facts.title in first
    assert "1,000" in first or "200" in first
