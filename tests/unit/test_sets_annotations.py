"""The classification sets without CoOp's split file: labels follow ids, names follow CoOp, broken lines are named."""

from collections import Counter
from pathlib import Path

import pytest

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, Item
from cliptune.errors import UserError
from tests.layouts import classification as on_disk
from tests.layouts.classification import cars_annotations, picture, raw, text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the sets lie; not the current folder, in which a set's folder would be taken for images of one's own."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def items(found: ImageSet) -> list[Item]:
    return [*found.train, *found.val, *found.test]


def complaint(name: str, root: Path) -> UserError:
    with pytest.raises(UserError) as error:
        open_set(name, root=str(root))
    assert "\n" not in error.value.what + error.value.fix
    return error.value


def labelled(found: ImageSet) -> dict[str, int]:
    """Label by the folder or the path of each image, whichever names its class."""
    return {item.path.rpartition("/")[0] or item.path: item.label for item in items(found)}


# The authors' own annotations


@pytest.mark.parametrize("name", ["caltech101", "oxford_flowers", "food101", "dtd", "eurosat"])
def test_cut_50_20_30(name, root):
    raw(root, name)
    found = open_set(name, root=str(root))
    assert {(c, n) for c, n in Counter(item.label for item in found.train).items()} == {
        (label, 2) for label in range(len(found.classes))
    }
    assert len(found.val) == len(found.test) == len(found.classes)


@pytest.mark.parametrize("name", ["oxford_pets", "stanford_cars", "sun397", "ucf101"])
def test_a_fifth_of_trainval_is_val_and_test_is_the_official_one(name, root):
    raw(root, name)
    found = open_set(name, root=str(root))
    assert (len(found.train), len(found.val)) == (4 * len(found.classes), len(found.classes))
    if name == "oxford_pets":
        assert {item.path.rpartition("_")[2] for item in found.test} == {"6.jpg", "7.jpg"}
    if name == "stanford_cars":
        assert [item.path for item in found.test] == [f"cars_test/0000{n}.jpg" for n in (1, 2, 3)]


def test_caltech_leaves_two_folders_out_renames_four_and_sorts_capitals_first(root):
    raw(root, "caltech101")
    found = open_set("caltech101", root=str(root))
    assert found.classes == ("face", "leopard", "motorbike", "accordion", "airplane", "yin_yang")
    assert labelled(found) == {
        "Faces": 0,
        "Leopards": 1,
        "Motorbikes": 2,
        "accordion": 3,
        "airplanes": 4,
        "yin_yang": 5,
    }


def test_pets_are_numbered_by_id_not_by_sorted_name(root):
    raw(root, "oxford_pets")
    found = open_set("oxford_pets", root=str(root))
    assert found.classes == ("abyssinian", "american_bulldog", "american_pit_bull_terrier", "bengal")
    assert sorted(on_disk.PETS) != list(on_disk.PETS)
    assert all(found.classes[item.label] == item.path.rpartition("_")[0].lower() for item in items(found))
    # neither the picture that no list names nor the .mat
    assert not {"Abyssinian_34.jpg", "Abyssinian_100.mat"} & {item.path for item in items(found)}


def test_cars_have_the_year_first_and_count_from_one_in_the_file(root):
    raw(root, "stanford_cars")
    found = open_set("stanford_cars", root=str(root))
    assert found.classes == (
        "2000 AM General Hummer SUV",
        "2012 Ram C/V Cargo Van Minivan",
        "2012 smart fortwo Convertible",
    )
    assert labelled(found).keys() == {"cars_train", "cars_test"}
    assert {item.path: item.label for item in items(found)}["cars_train/00001.jpg"] == 2
    assert [item.label for item in found.test] == [1, 0, 2]


def test_cars_need_the_labels_of_the_test_images(root):
    folder = raw(root, "stanford_cars")
    (folder / "cars_test_annos_withlabels.mat").rename(folder / "devkit/cars_test_annos_withlabels.mat")
    assert len(open_set("stanford_cars", root=str(root)).test) == 3
    (folder / "devkit/cars_test_annos_withlabels.mat").unlink()
    assert "cars_test_annos_withlabels.mat" in complaint("stanford_cars", root).what
    (folder / "devkit/cars_test_annos.mat").rename(folder / "cars_test_annos_withlabels.mat")
    assert "has no labels" in complaint("stanford_cars", root).what


def test_flowers_are_numbered_as_numbers(root):
    raw(root, "oxford_flowers")
    found = open_set("oxford_flowers", root=str(root))
    assert found.classes == on_disk.FLOWERS
    assert found.classes[11] == "colt's foot"
    label = {item.path: item.label for item in items(found)}
    assert [label[f"image_{n:05}.jpg"] for n in (1, 5, 9, 13, 45)] == [11, 1, 9, 0, 10]
    assert len(label) == 48


def test_aircraft_follow_variants_txt_and_may_have_slashes(root):
    raw(root, "fgvc_aircraft")
    found = open_set("fgvc_aircraft", root=str(root))
    assert found.classes == on_disk.VARIANTS
    assert {"F-16A/B", "F/A-18"} <= set(found.classes)
    assert found.train[0] == Item("0034309.jpg", found.classes.index("A300B4"))
    assert [len(part) for part in (found.train, found.val, found.test)] == [5, 5, 5]


def test_scenes_are_named_backwards(root):
    raw(root, "sun397")
    found = open_set("sun397", root=str(root))
    assert found.classes == ("abbey", "indoor apse", "indoor ice_skating_rink", "indoor_procenium theater")
    assert labelled(found) == {scene: label for label, scene in enumerate(on_disk.SCENES)}


def test_textures_and_food_are_their_folders(root):
    raw(root, "dtd")
    raw(root, "food101")
    assert open_set("dtd", root=str(root)).classes == ("banded", "polka-dotted", "zigzagged")
    assert open_set("food101", root=str(root)).classes == ("apple_pie", "baklava", "waffles")


@pytest.mark.parametrize("spell", [str, str.lower, lambda name: name.replace("Crop", " Crop").replace("Lake", " Lake")])
def test_eurosat_has_longer_names_than_folders_however_spelt(spell, root):
    folder = raw(root, "eurosat")
    (folder / "2750").rename(root / "EuroSAT_RGB")
    folder.rmdir()
    for name in on_disk.LAND:
        (root / "EuroSAT_RGB" / name).rename(root / "EuroSAT_RGB" / spell(name))
    found = open_set("eurosat", root=str(root))
    assert found.classes[0] == "Annual Crop Land"
    assert found.classes[3:5] == ("Highway or Road", "Industrial Buildings")
    assert found.classes[9] == "Sea or Lake"
    assert labelled(found) == {spell(name): label for label, name in enumerate(on_disk.LAND)}


def test_eurosat_without_one_of_its_folders(root):
    folder = raw(root, "eurosat")
    (folder / "2750/Highway").rename(folder / "2750/Roads")
    assert "has no folder Highway" in complaint("eurosat", root).what


def test_actions_follow_class_ind_where_sorted_folders_would_swap_four(root):
    raw(root, "ucf101")
    found = open_set("ucf101", root=str(root))
    assert found.classes == (
        "Apply_Eye_Makeup",
        "Hammering",
        "Hammer_Throw",
        "Handstand_Pushups",
        "Jumping_Jack",
        "Jump_Rope",
        "Yo_Yo",
    )
    swapped = [name for name, other in zip(found.classes, sorted(found.classes)) if name != other]
    assert swapped == ["Hammering", "Hammer_Throw", "Jumping_Jack", "Jump_Rope"]
    assert labelled(found) == {name: label for label, name in enumerate(found.classes)}
    assert {item.path for item in found.test if item.label == 3} == {
        f"Handstand_Pushups/v_HandStandPushups_g01_c0{clip}.jpg" for clip in (6, 7)
    }


# Broken annotations


@pytest.mark.parametrize(
    ("name", "file", "line"),
    [
        ("oxford_pets", "annotations/trainval.txt", "Abyssinian_100 1 1"),
        ("oxford_pets", "annotations/trainval.txt", "Abyssinian_100 0 1 1"),
        ("oxford_pets", "annotations/test.txt", "Abyssinian_100 one 1 1"),
        ("oxford_pets", "annotations/test.txt", "Abyssinian 1 1 1"),
        ("oxford_pets", "annotations/test.txt", "../Abyssinian_100 1 1 1"),
        ("fgvc_aircraft", "images_variant_val.txt", "1025794"),
        ("fgvc_aircraft", "images_variant_val.txt", "1025794 Concorde"),
        ("fgvc_aircraft", "images_variant_train.txt", "/etc/1 707-320"),
        ("sun397", "ClassName.txt", "/abbey"),
        ("sun397", "Training_01.txt", "/a/airfield/sun_a.jpg"),
        ("sun397", "Testing_01.txt", "/a/../abbey/sun_a.jpg"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "ApplyEyeMakeup"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "0 ApplyEyeMakeup"),
        ("ucf101", "ucfTrainTestlist/trainlist01.txt", "Juggling/v_Juggling_g01_c01.avi 1"),
        ("ucf101", "ucfTrainTestlist/trainlist01.txt", "YoYo/v_YoYo_g08_c01.avi 3"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt", "YoYo"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt", "YoYo/../../x.avi"),
    ],
)
def test_broken_lines_are_named(name, file, line, root):
    path = raw(root, name) / file
    lines = path.read_text("utf-8").splitlines()
    text(path, [*lines, "", "# a remark", line])
    assert f"{path}:{len(lines) + 3}: " in complaint(name, root).what


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("oxford_pets", "annotations/test.txt"),
        ("stanford_cars", "devkit/cars_meta.mat"),
        ("oxford_flowers", "imagelabels.mat"),
        ("oxford_flowers", "cat_to_name.json"),
        ("fgvc_aircraft", "variants.txt"),
        ("sun397", "ClassName.txt"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt"),
    ],
)
def test_missing_and_unreadable_annotations_are_named(name, file, root):
    path = raw(root, name) / file
    path.write_bytes(b"\xff\xfe\x00 no such file")
    assert file in complaint(name, root).what
    path.unlink()
    error = complaint(name, root)
    assert file in error.what
    assert "DATASETS.md" in error.fix
    assert ("split_zhou_" in error.what) == (name != "fgvc_aircraft")


def test_labels_out_of_range(root):
    folder = raw(root, "stanford_cars")
    cars_annotations(folder / "devkit/cars_train_annos.mat", [1, 4])
    assert "annotation 2: class 4" in complaint("stanford_cars", root).what
    folder = raw(root, "oxford_flowers")
    (folder / "cat_to_name.json").write_text('{"1": "pink primrose"}', "utf-8")
    assert "image 1 has label 12" in complaint("oxford_flowers", root).what
    (folder / "cat_to_name.json").write_text("[1]", "utf-8")
    assert "cat_to_name.json" in complaint("oxford_flowers", root).what


def test_an_empty_class_folder(root):
    folder = raw(root, "dtd")
    (folder / "images/striped").mkdir()
    (folder / "images/striped/.DS_Store").write_bytes(b"")
    assert "striped has no images" in complaint("dtd", root).what


def test_suffixes_in_any_case(root):
    folder = raw(root, "food101")
    picture(folder / "images/waffles/UPPER.JPEG")
    found = open_set("food101", root=str(root))
    assert "waffles/UPPER.JPEG" in {item.path for item in items(found)}
