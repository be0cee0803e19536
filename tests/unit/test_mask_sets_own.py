"""Images with masks of the user's own: how they pair, their parts, their prompts."""

import os
import shutil
import unicodedata
from collections import Counter

import pytest
from PIL import Image

from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import word_prompts
from tests.layouts import segmentation as on_disk
from tests.layouts.segmentation import BOX, SIZE, complaint, items, listing, own, sizes, truth

TEN = [f"{n}.jpg" for n in range(10)]


def test_own_folder(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    before = listing(folder)
    found = open_masks(str(folder), prompt="mole")
    assert (found.name, found.split, found.source) == ("lesions", "made here, 80/10/10", str(folder))
    assert sizes(found) == (8, 1, 1)
    assert found.train[0].prompts == word_prompts("mole")
    assert found.notes == ()
    assert (found.read_mask(found.test[0]) == truth(BOX)).all()
    assert listing(folder) == before


def test_own_folder_without_a_prompt_has_the_empty_one(tmp_path):
    found = open_masks(str(own(tmp_path / "lesions", TEN)))
    assert found.prompt_types == ("p0",)
    assert "no prompts.csv and no prompt" in found.notes[0]
    assert "empty" in complaint(tmp_path / "lesions", prompt=" ").what


def test_own_images_may_lie_deeper_and_have_any_suffix(tmp_path):
    images = [f"patient {n}/{name}" for n in (1, 2) for name in ("a.JPG", "b.v2.png", "c.tiff")]
    masks = [f"patient {n}/{name}" for n in (1, 2) for name in ("a.png", "b.v2.bmp", "c.gif")]
    found = open_masks(str(own(tmp_path / "lesions", images, masks)), prompt="mole")
    assert sorted((item.image, *item.masks) for item in items(found)) == sorted(
        (f"images/{image}", f"masks/{mask}") for image, mask in zip(images, masks, strict=True)
    )
    assert all((found.read_mask(item) == truth(BOX)).all() for item in items(found))


@pytest.mark.parametrize("outside", [True, False])
def test_own_parts(outside, tmp_path):
    folder = tmp_path / "lesions"
    for part, count in (("train", 10), ("valid", 2), ("test", 3)):
        names = [f"{n}.png" for n in range(count)]
        own(folder, names, part=part)
    if not outside:
        for kind in ("images", "masks"):
            for part in ("train", "valid", "test"):
                (folder / kind).mkdir(exist_ok=True)
                (folder / part / kind).rename(folder / kind / part)
        for part in ("train", "valid", "test"):
            (folder / part).rmdir()
    where = "train/images" if outside else "images/train"
    found = open_masks(str(folder))
    assert (sizes(found), found.split) == ((10, 2, 3), "given")
    assert found.train[0].image == f"{where}/0.png"
    shutil.rmtree(folder / ("valid" if outside else "images/valid"))
    found = open_masks(str(folder))
    assert (sizes(found), found.split) == ((9, 1, 3), "given; val is 10 % of train, cut off here")
    shutil.rmtree(folder / ("test" if outside else "images/test"))
    assert "no test folder" in complaint(folder).what


def test_own_files_that_do_not_pair(tmp_path):
    folder = own(tmp_path / "lesions", TEN, [f"{n}.png" for n in range(8)])
    error = complaint(folder)
    assert error.what == f"{folder}/images: 2 files have no mask, first 8.jpg"
    assert "masks/8.png (all black where there is nothing to mark)" in error.fix
    found = open_masks(str(folder), missing="skip")
    assert sum(sizes(found)) == 8
    assert found.notes[0].endswith("first 8.jpg; left out")
    other = own(tmp_path / "others", TEN[:9], [f"{n}.png" for n in range(10)])
    assert complaint(other).what == f"{other}/masks: 1 file has no image, first 9.png"
    own(tmp_path / "third", TEN, [f"sheet{n}of10.png" for n in range(10)])
    error = complaint(tmp_path / "third")
    assert "images: 10 files have no mask, first 0.jpg and " in error.what
    assert "masks: 10 files have no image, first sheet0of10.png" in error.what
    assert "the same file name" in error.fix
    assert "has no image with a mask" in complaint(tmp_path / "third", missing="skip").what


def test_own_folders_with_no_such_layout(tmp_path):
    folder = tmp_path / "lesions"
    folder.mkdir()
    assert "no folders images/ and masks/" in complaint(folder).what
    (folder / "images").mkdir()
    assert "has no masks/" in complaint(folder).what
    (folder / "masks").mkdir()
    assert "no image with a mask" in complaint(folder).what
    own(folder, ["a.jpg", "a.png"], ["a.png"])
    assert "both a.jpg and a.png" in complaint(folder).what
    assert "too few" in complaint(own(tmp_path / "few", TEN[:5])).what
    own(tmp_path / "both", ["a.png"], part="train")
    for part in ("test", "val", "valid"):
        own(tmp_path / "both", ["a.png"], part=part)
    assert "both 'val' and 'valid', which mean val" in complaint(tmp_path / "both").what


def test_prompts_csv(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    lines = [f'{name},"a mole, {name[0]}"' for name in TEN]
    (folder / "prompts.csv").write_text("\n".join(["Image,Prompt", *lines, "0.jpg,  another   one "]), "utf-8-sig")
    found = open_masks(str(folder))
    texts = {item.image: dict(item.prompts)["p1"] for item in items(found)}
    assert texts["images/0.jpg"] == ("a mole, 0", "another one")
    assert texts["images/7.jpg"] == ("a mole, 7",)
    assert found.prompt_types == ("p0", "p1")


@pytest.mark.parametrize("form", ["{}", "{}.JPG", "{}.png", "./{}.jpg"])
def test_prompts_csv_without_endings_or_in_another_case(form, tmp_path):
    root = own(tmp_path / "lesions", TEN)
    rows = "".join(f"{form.format(number)},a mole\n" for number in range(10))
    (root / "Prompts.CSV").write_text(f"image,prompt\n{rows}", "utf-8")
    assert open_masks(str(root)).prompt_types == ("p0", "p1")


def test_a_table_under_another_name_is_told(tmp_path):
    root = own(tmp_path / "lesions", TEN)
    (root / "captions.csv").write_text("image,prompt\n", "utf-8")
    assert any("captions.csv is not read" in note for note in open_masks(str(root), prompt="mole").notes)


@pytest.mark.parametrize(
    ("text", "told", "fix"),
    [
        ("image,word\n0.jpg,a\n", "no column 'prompt'", "image,prompt"),
        ("image,prompt\n0.jpg,a\n00.jpg,b\n", "prompts.csv:3: no image with a mask is called '00.jpg'", "did you mean"),
        ("image,prompt\n../0.jpg,a\n", "no image with a mask is called '../0.jpg'", "0.jpg"),
        ("image,prompt\n0.jpg,\n", "prompts.csv:2: the prompt is empty", "fill it in"),
        ("image,prompt\n0.jpg\n", "prompts.csv:2 has 1 field, the first line 2", "2 fields, separated by commas"),
        (
            "image,prompt\n0.jpg,a small mole, dark, left\n",
            "prompts.csv:2 has 4 fields, the first line 2: 0.jpg,a small mole, dark, left",
            "in double quotes",
        ),
        ("image,prompt\n0.jpg,a\n", "no prompt for 1.jpg and 8 more", "give a prompt"),
        (b"image,prompt\n0.jpg,\xff\n", "not UTF-8", "UTF-8"),
    ],
)
def test_broken_prompts_csv(text, told, fix, tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    (folder / "prompts.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    error = complaint(folder)
    assert told in error.what
    assert fix in error.fix


def test_prompts_csv_names_images_however_paths_are_written(tmp_path):
    names = ["café/0.jpg", "b/1.jpg", "b/2.jpg", *TEN[3:6]]
    folder = own(tmp_path / "lesions", names)
    written = [unicodedata.normalize("NFD", names[0]), "b\\1.jpg", "images/b/2.jpg", "./3.jpg", "4.jpg", "5.jpg"]
    text = "\n".join(f"{name};{number}" for number, name in enumerate(written))
    (folder / "prompts.csv").write_text(f"image;prompt\n{text}\n", "utf-16")
    texts = {item.image: dict(item.prompts)["p1"] for item in items(open_masks(str(folder)))}
    assert texts == {f"images/{name}": (str(number),) for number, name in enumerate(names)}


def test_lines_of_prompts_csv_that_are_left_out_are_counted(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    lines = [f"{name},mole" for name in [*TEN, "gone.jpg", "lost.jpg"]]
    (folder / "prompts.csv").write_text("\n".join(["image,prompt", *lines]))
    assert (
        "prompts.csv: left out: 2 lines that name no image with a mask" in open_masks(str(folder), missing="skip").notes
    )


def test_own_files_that_are_left_out_are_counted(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    own(folder, ["9.jpg"], part="images/thumbs")
    (folder / "images" / "phone.HEIC").touch()
    (folder / "images" / "._0.jpg").touch()
    (folder / "images" / ".hidden.jpg").touch()
    notes = "\n".join(open_masks(str(folder), prompt="mole").notes)
    assert "1 .heic" in notes
    assert "1 hidden image" in notes
    assert "2 smaller copies in folders called 'thumbs'" in notes
    other = own(tmp_path / "arrays", TEN, [])
    (other / "masks").mkdir()
    for name in TEN:
        (other / "masks" / f"{name[0]}.npy").touch()
    error = complaint(other, prompt="mole")
    assert "10 files have no mask" in error.what
    assert "files that are not read: 10 .npy" in error.what


def test_a_prompt_fills_what_prompts_csv_leaves_open(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    (folder / "prompts.csv").write_text("image,prompt\n0.jpg,a mole\n")
    texts = Counter(dict(item.prompts)["p1"] for item in items(open_masks(str(folder), prompt="skin")))
    assert texts == {("skin",): 9, ("a mole",): 1}


def test_prompts_csv_names_parts(tmp_path):
    for part in ("train", "test"):
        own(tmp_path / "lesions", ["a.png", "b.png"], part=part)
    lines = [f"{part}/{name}.png,{part} {name}" for part in ("train", "test") for name in "ab"]
    (tmp_path / "lesions" / "prompts.csv").write_text("\n".join(["image,prompt", *lines]))
    found = open_masks(str(tmp_path / "lesions"))
    assert [dict(item.prompts)["p1"] for item in found.test] == [("test a",), ("test b",)]


def test_own_images_are_read_upright_and_over_white(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE, "red").save(folder / "images" / "0.jpg", exif=exif)
    Image.new("RGBA", SIZE, (0, 0, 0, 0)).save(folder / "images" / "1.jpg", "PNG")
    found = open_masks(str(folder))
    known = {item.image: item for item in items(found)}
    assert found.read_image(known["images/0.jpg"]).size == SIZE[::-1]
    assert found.read_image(known["images/1.jpg"]).getpixel((0, 0)) == (255, 255, 255)


def test_own_folder_in_medvlsms_layout(tmp_path):
    folder = on_disk.three_parts(tmp_path / "bkai_polyp")
    found = open_masks(str(folder))
    assert (found.name, sizes(found), found.facts) == ("bkai_polyp", (2, 1, 1), None)
    assert "leave it out" in complaint(folder, prompt="polyp").fix


@pytest.mark.skipif(os.name == "nt", reason="file names that are no text")
def test_own_file_names_that_are_no_text(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    for kind in ("images", "masks"):
        os.rename(
            os.fsencode(folder / kind / ("3.jpg" if kind == "images" else "3.png")),
            os.fsencode(folder / kind) + b"/\xff.png",
        )
    found = open_masks(str(folder))
    assert sum(found.read_mask(item).sum() > 0 for item in items(found)) == 10


@pytest.mark.parametrize("missing", ["refuse", "skip"])
@pytest.mark.parametrize("dogs", [4, 12])
@pytest.mark.parametrize(("image", "mask"), [("p{}", "p{}"), ("p{}", "p{}_mask"), ("{0}/a", "{0}/a")])
def test_a_folder_of_masks_for_each_class_is_refused(image, mask, dogs, missing, tmp_path):
    for number in range(12):
        on_disk.picture(tmp_path / "images" / f"{image.format(number)}.jpg")
        for kind in ("cat", "dog") if number < dogs else ("cat",):
            on_disk.mask(tmp_path / "masks" / kind / f"{mask.format(number)}.png", BOX)
    error = complaint(tmp_path, prompt="cat", missing=missing)
    assert f"masks: {dogs} images have 2 masks, first " in error.what
    assert "one in each of cat, dog" in error.what
    assert "move what is in masks/cat to masks, the other folders out" in error.fix
    (tmp_path / "masks").rename(tmp_path / "classes")
    (tmp_path / "classes" / "cat").rename(tmp_path / "masks")
    assert len(items(open_masks(str(tmp_path), prompt="cat"))) == 12


def test_several_masks_of_an_image_are_told(tmp_path):
    own(tmp_path, TEN, [f"{number}_{word}.png" for number in range(8) for word in ("mask", "gt")] + ["8.png", "9.png"])
    notes = open_masks(str(tmp_path), prompt="mole").notes
    told = "8 images have several masks, of which any marks a pixel: 0_gt.png and 0_mask.png of images/0.jpg"
    assert told in notes


@pytest.mark.parametrize("kind", [".npy", ".json", ".txt", ".mat"])
@pytest.mark.parametrize("folder", ["labels", "masks", "train/labels"])
def test_masks_that_are_no_images_are_named(folder, kind, tmp_path):
    images = "train/images" if "/" in folder else "images"
    (tmp_path / folder).mkdir(parents=True)
    for number in range(12):
        on_disk.picture(tmp_path / images / f"{number}.jpg")
        (tmp_path / folder / f"{number}{kind}").write_text("{}")
    (tmp_path / folder / ".DS_Store").touch()
    error = complaint(tmp_path, prompt="mole")
    assert f"12 {kind}" in error.what
    assert folder.rpartition("/")[2] in error.what or "no mask" in error.what
    assert "convert those to .png" in error.fix


def test_a_text_beside_the_masks_is_no_mask(tmp_path):
    folder = own(tmp_path / "lesions", TEN, [f"{n}.png" for n in range(8)])
    (folder / "masks" / "readme.txt").write_text("drawn by hand")
    assert "masks/8.png" in complaint(folder).fix
    (folder / "masks" / "9.json").write_text("{}")
    assert "files that are not read: 1 .json" in complaint(folder).what


def test_images_that_are_not_read_are_named(tmp_path):
    for number in range(12):
        on_disk.mask(tmp_path / "masks" / f"{number}.png", BOX)
        (tmp_path / "scans").mkdir(exist_ok=True)
        (tmp_path / "scans" / f"{number}.dcm").touch()
    assert "scans holds 12 .dcm and no images that can be read" in complaint(tmp_path, prompt="mole").what


def test_masks_of_another_size_than_their_image_are_told_or_left_out(tmp_path):
    folder = own(tmp_path / "lesions", TEN)
    for number in (2, 5):
        on_disk.mask(folder / "masks" / f"{number}.png", (1, 1, 3, 3), size=(8, 6))
    (note,) = open_masks(str(folder), prompt="mole").notes
    assert note.startswith("2 mask files have other sizes than their images, first masks/2.png: 8 × 6, its image 16 × ")
    assert "--set data.missing=skip" in note
    opened = open_masks(str(folder), prompt="mole", missing="skip")
    assert len(items(opened)) == 8
    assert opened.notes[0].startswith("2 mask files are left out with their images, first masks/2.png, which is 8 × 6")
    for number in range(10):
        on_disk.mask(folder / "masks" / f"{number}.png", (1, 1, 3, 3), size=(8, 6))
    error = complaint(folder, prompt="mole", missing="skip")
    assert "no training mask has the size of its image, first masks/0.png: 8 × 6" in error.what
    assert error.fix == "make images and masks the same size"
