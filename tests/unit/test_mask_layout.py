"""Folders of images and masks by many names, and file names that differ as people and tools let them."""

import unicodedata
from pathlib import Path

import pytest

from cliptune.datasets.folder import load
from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.mask_sets._layout import role_of
from cliptune.datasets.mask_sets._pairing import pair
from cliptune.errors import UserError
from cliptune.tasks import has_masks
from tests.layouts.segmentation import BOX, complaint, items, mask, picture, sizes

BOTH = "the same ending or beginning of all images and of all masks"
NAMES = [f"{number:02}" for number in range(8)]


def write(root: Path, images: str, masks: str, stems: list[str] = NAMES, mask_name: str = "{}.png") -> Path:
    """Pairs in two folders below a root."""
    for stem in stems:
        picture(root / images / f"{stem}.jpg")
        mask(root / masks / mask_name.format(stem), BOX)
    return root


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("Images", "Masks"),
        ("IMAGES", "masks"),
        ("image", "mask"),
        ("imgs", "labels"),
        ("images", "annotations"),
        ("Original", "Ground Truth"),
        ("images", "ground_truth"),
        ("photos", "GT"),
        ("JPEGImages", "SegmentationClass"),
        ("frames", "Segmentations"),
        ("img_dir", "ann_dir"),
        ("images_png", "masks_png"),
        ("JPEGImages", "SegmentationClassPNG"),
        ("1-images", "2-manualMasks"),
    ],
)
def test_folders_by_other_names_are_read_and_named(images, masks, tmp_path):
    write(tmp_path, images, masks)
    assert has_masks(str(tmp_path)), "without --task segment"
    opened = open_masks(str(tmp_path), prompt="box")
    assert sum(sizes(opened)) == 8
    notes = "\n".join(opened.notes)
    assert (f"images are what lies in {images} (8 files)" in notes) == (images != "images")
    assert (f"masks are what lies in {masks} (8 files)" in notes) == (masks != "masks")


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{}/images", "{}/masks"),
        ("images/{}", "masks/{}"),
        ("data/{}/Images", "data/{}/Labels"),
        ("{}_images", "{}_masks"),
        ("images_{}", "masks_{}"),
    ],
)
@pytest.mark.parametrize("parts", [("train", "val", "test"), ("Training", "Validation", "Testing")])
def test_parts_above_below_and_in_the_names(images, masks, parts, tmp_path):
    for part, count in zip(parts, (8, 2, 3), strict=True):
        write(tmp_path, images.format(part), masks.format(part), NAMES[:count])
    assert has_masks(str(tmp_path))
    opened = open_masks(str(tmp_path), prompt="box")
    assert (sizes(opened), opened.split) == ((8, 2, 3), "given")


def test_a_mask_s_part_may_be_called_otherwise(tmp_path):
    for image, part in (("Train", "training"), ("Test", "testing")):
        write(tmp_path, f"images/{image}", f"masks/{part}")
    opened = open_masks(str(tmp_path), prompt="box")
    assert (len(opened.train) + len(opened.val), len(opened.test)) == (8, 8)


def test_masks_of_all_parts_in_one_folder(tmp_path):
    for part, stems in (("train", NAMES[:6]), ("test", NAMES[6:])):
        for stem in stems:
            picture(tmp_path / "images" / part / f"{stem}.jpg")
    for stem in NAMES:
        mask(tmp_path / "masks" / f"{stem}_mask.png", BOX)
    opened = open_masks(str(tmp_path), prompt="box")
    assert sorted(Path(item.image).stem for item in opened.test) == NAMES[6:]
    assert all(Path(item.masks[0]).stem == f"{Path(item.image).stem}_mask" for item in items(opened))
    assert "the masks of all parts lie in one folder (8 files)" in opened.notes
    mask(tmp_path / "masks" / "extra_mask.png", BOX)
    assert "masks: 1 file has no image, first extra_mask.png" in complaint(tmp_path, prompt="box").what


def test_files_beside_the_parts_are_counted(tmp_path):
    for part in ("train", "test"):
        write(tmp_path, f"images/{part}", f"masks/{part}")
    write(tmp_path, "images", "masks", ["loose"])
    opened = open_masks(str(tmp_path), prompt="box")
    assert "2 image files beside the folders of the parts are left out" in opened.notes


def test_a_folder_for_each_image(tmp_path):
    """As the nuclei of the Data Science Bowl 2018 lie."""
    for name in NAMES:
        picture(tmp_path / name / "images" / f"{name}.png")
        mask(tmp_path / name / "masks" / "a0.png", (0, 0, 4, 4))
        mask(tmp_path / name / "masks" / "b1.png", (8, 8, 12, 12))
    opened = open_masks(str(tmp_path), prompt="nucleus")
    assert sum(sizes(opened)) == 8
    assert {int(opened.read_mask(item).sum()) for item in items(opened)} == {32}
    assert "16 masks are paired by a folder of masks for each image" in "\n".join(opened.notes)


def test_masks_beside_their_images(tmp_path):
    """As BUSI has them, when its folder is opened as one's own."""
    for kind in ("benign", "malignant"):
        for number in range(5):
            picture(tmp_path / "set" / kind / f"{kind} ({number}).png")
            mask(tmp_path / "set" / kind / f"{kind} ({number})_mask.png", (0, 0, 4, 4))
        mask(tmp_path / "set" / kind / f"{kind} (0)_mask_1.png", (8, 8, 12, 12))
    opened = open_masks(str(tmp_path / "set"), prompt="tumour")
    assert sum(sizes(opened)) == 10
    marked = {item.image: int(opened.read_mask(item).sum()) for item in items(opened)}
    assert (marked["benign/benign (0).png"], marked["benign/benign (1).png"]) == (32, 16)
    assert "12 masks lie beside their images" in opened.notes[0]


@pytest.mark.parametrize("others", ["labels", "gt"])
def test_two_folders_that_may_be_the_masks(others, tmp_path):
    write(tmp_path, "images", "masks")
    write(tmp_path, "images", others)
    assert sum(sizes(open_masks(str(tmp_path), prompt="box"))) == 8, "the one called masks"
    (tmp_path / "masks").rename(tmp_path / "annotations")
    error = complaint(tmp_path, prompt="box")
    assert f"has 2 folders of masks: annotations, {others}" in error.what
    assert "call the one that counts masks/" in error.fix


def test_folders_of_classes_are_no_masks(tmp_path):
    for name in ("Images", "dogs"):
        picture(tmp_path / "classes" / name / "a.png")
    assert not has_masks(str(tmp_path / "classes"))
    picture(tmp_path / "boxes" / "images" / "a.png")
    (tmp_path / "boxes" / "labels").mkdir()
    (tmp_path / "boxes" / "labels" / "a.txt").write_text("0 0.5 0.5 1 1")
    assert not has_masks(str(tmp_path / "boxes")), "lists of boxes are no masks"


def test_images_and_masks_are_no_classes(tmp_path):
    write(tmp_path, "images", "masks")
    with pytest.raises(UserError, match="not classes"):
        load(tmp_path)
    assert complaint(tmp_path / "masks").fix == f"give the folder above: {tmp_path}"


def test_validation_in_place_of_a_test(tmp_path):
    for part in ("train", "val"):
        write(tmp_path, f"images/{part}", f"masks/{part}")
    assert "rename the validation folder to test" in complaint(tmp_path).fix


def test_words_for_folders():
    assert role_of("Ground Truth") == ("masks", "")
    assert role_of("train_images") == ("images", "train")
    assert role_of("Masks-Test") == ("masks", "test")
    assert role_of("labelsTr") == ("masks", "tr")
    assert [role_of(name) for name in ("polyps", "train", "masked birds", "")] == [None] * 4


@pytest.mark.parametrize(
    ("form", "image", "how"),
    [
        ("{}_lesion.png", "{}_t1.jpg", BOTH),
        ("aachen_{}_gtFine_labelIds.png", "aachen_{}_leftImg8bit.png", BOTH),
        ("case_{}.png", "case_{}_0000.png", BOTH),
        ("{}_mask.png", "{}.jpg", "a word for a mask"),
        ("{}-mask.png", "{}.jpg", "a word for a mask"),
        ("mask_{}.png", "{}.jpg", "a word for a mask"),
        ("{}_seg.png", "{}.jpg", "a word for a mask"),
        ("{}_label.png", "{}.jpg", "a word for a mask"),
        ("{}_GT.png", "{}.jpg", "a word for a mask"),
        ("{}_Segmentation.png", "{}.jpg", "a word for a mask"),
        ("{}.mask.png", "{}.jpg", "a word for a mask"),
        ("{} (mask).png", "{}.jpg", "a word for a mask"),
        ("{}_mask.png", "{}_image.jpg", "words for image and mask"),
        ("mask_{}.png", "img_{}.jpg", "words for image and mask"),
        ("{}_manual1.gif", "{}_training.tif", "words for image and mask"),
        ("{}_mask.png", "{}_sat.jpg", "words for image and mask"),
        ("{}.PNG", "{}.jpg", ""),
        ("A{}.png", "a{}.JPG", "another case"),
        ("{}_lesion.png", "{}.jpg", "the same ending"),
        ("truth-{}.png", "{}.jpg", "the same ending or beginning"),
        ("0{}.png", "{}.jpg", "numbers filled up otherwise"),
        ("{}_mask.png", "000{}.jpg", "numbers filled up otherwise"),
        ("deep/{}.png", "{}.jpg", "another folder"),
    ],
)
def test_names_that_differ_are_paired_and_told(form, image, how, tmp_path):
    for name in NAMES:
        picture(tmp_path / "images" / image.format(name))
        mask(tmp_path / "masks" / form.format(name), BOX)
    opened = open_masks(str(tmp_path), prompt="box")
    assert sum(sizes(opened)) == 8
    for item in items(opened):
        stem = Path(item.image).name
        number = next(name for name in NAMES if name in stem.replace("000", ""))
        assert number in Path(item.masks[0]).name
    assert len(opened.notes) == bool(how), opened.notes
    assert not how or opened.notes[0].startswith(f"8 masks are paired by {how}"), opened.notes


def test_several_masks_of_an_image_by_their_names(tmp_path):
    for name in NAMES:
        picture(tmp_path / "images" / f"{name}.jpg")
        for number, box in enumerate([(0, 0, 4, 4), (8, 8, 12, 12)]):
            mask(tmp_path / "masks" / f"{name}_mask_{number}.png", box)
    opened = open_masks(str(tmp_path), prompt="box")
    assert {(len(item.masks), int(opened.read_mask(item).sum())) for item in items(opened)} == {(2, 32)}
    assert "16 masks are paired by a word for a mask in the name: 00_mask_0.png with 00.jpg" in opened.notes


def test_unicode_forms_are_one_name():
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert pair([composed], [apart]).masks == {composed: [apart]}


def test_what_could_be_two_is_not_guessed():
    assert pair(["1", "01"], ["001"]).lone_masks == ["001"]
    assert pair(["7"], ["07", "007"]).lone_images == ["7"], "not two masks of one image"
    assert pair(["a/x", "b/x"], ["x"]).lone_masks == ["x"]
    assert pair(["cat", "dog"], ["bird_1", "fish_1"]).lone_masks == ["bird_1", "fish_1"]
    pairing = pair(["1", "2"], ["1", "2_mask", "3_mask"])
    assert (pairing.masks, pairing.lone_masks) == ({"1": ["1"], "2": ["2_mask"]}, ["3_mask"])


def test_images_without_a_mask_and_masks_without_an_image_are_counted(tmp_path):
    write(tmp_path, "images", "masks", NAMES, "{}_mask.png")
    picture(tmp_path / "images" / "extra.jpg")
    mask(tmp_path / "masks" / "other_mask.png", BOX)
    error = complaint(tmp_path, prompt="box")
    assert "images: 1 file has no mask, first extra.jpg and" in error.what
    assert "masks: 1 file has no image, first other_mask.png" in error.what
    assert "--set data.missing=skip" in error.fix
    opened = open_masks(str(tmp_path), prompt="box", missing="skip")
    assert sum(sizes(opened)) == 8
    assert sum(note.endswith("left out") for note in opened.notes) == 2


@pytest.mark.parametrize("parts", [("val", "test"), ("Test",), ("validation",)])
@pytest.mark.parametrize(("images", "masks"), [("{}/images", "{}/masks"), ("images/{}", "masks/{}")])
def test_parts_without_a_train_folder_are_not_cut_anew(images, masks, parts, tmp_path):
    for part in parts:
        write(tmp_path, images.format(part), masks.format(part))
    error = complaint(tmp_path, prompt="box")
    named = " and ".join(f"'{part}'" for part in sorted(parts))
    assert f"has {named} but no train folder" in error.what
    assert "add train/" in error.fix


@pytest.mark.parametrize(("images", "masks"), [("{}/images", "{}/masks"), ("images/{}", "masks/{}")])
def test_folders_that_are_taken_together_are_counted(images, masks, tmp_path):
    for part, count in (("apprentissage", 8), ("essai", 4)):
        write(tmp_path, images.format(part), masks.format(part), NAMES[:count])
    opened = open_masks(str(tmp_path), prompt="box")
    assert opened.notes == (
        "the images of 2 folders are taken together and cut into parts here, as none is called train or test: "
        "apprentissage (8), essai (4)",
    )


def test_files_beside_the_parts_are_counted_where_masks_lie_together(tmp_path):
    write(tmp_path, "images/train", "masks", [f"a{name}" for name in NAMES])
    write(tmp_path, "images/test", "masks", [f"b{name}" for name in NAMES])
    for name in ("loose", "extra/c0", "extra/c1", "extra/c2", "extra/c3"):
        picture(tmp_path / "images" / f"{name}.jpg")
    opened = open_masks(str(tmp_path), prompt="box")
    assert len(items(opened)) == 16
    assert "5 image files beside the folders of the parts are left out" in opened.notes
    mask(tmp_path / "masks" / "loose.png", BOX)
    opened = open_masks(str(tmp_path), prompt="box")
    assert "6 image files beside the folders of the parts are left out" in opened.notes
