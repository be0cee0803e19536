"""Sets in medvlsm's layout: rows, prompts, repeats, missing files and broken annotations."""

import json
import pickle
import random
import shutil
from pathlib import Path

import pytest

from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.medvlsm import read_parts, read_rows, repeats
from cliptune.datasets.segmentation import PARTS, MaskItem, prompt_of
from cliptune.errors import UserError
from tests.layouts import segmentation as on_disk
from tests.layouts.segmentation import (
    BOX,
    SENTENCES,
    SIZE,
    complaint,
    items,
    listing,
    medvlsm,
    row,
    sizes,
    truth,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the sets lie; not the current folder, in which a set's folder would be one of the user's own."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_items_can_be_hashed_and_pickled(root):
    on_disk.three_parts(root / "kvasir_polyp")
    found = open_masks("kvasir_polyp", root)
    assert len(set(items(found))) == 4
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert (again.read_mask(again.test[0]) == found.read_mask(found.test[0])).all()


def test_medvlsm(root):
    on_disk.three_parts(root / "kvasir_polyp")
    before = listing(root)
    found = open_masks("kvasir_polyp", root)
    assert found.name == "kvasir_polyp"
    assert sizes(found) == (2, 1, 1)
    assert found.prompt_types == ("p0", "p1", "p2", "p7")
    assert found.train[0] == MaskItem(
        "images/cju0a.jpg",
        ("masks/cju0a.jpg",),
        (("p0", ("",)), ("p1", ("polyp",)), ("p2", ("circle polyp",)), ("p7", SENTENCES)),
    )
    assert found.root == str(root / "kvasir_polyp")
    assert "not the published split" in found.split
    assert found.notes == ("this copy lists 2/1/1 images where 800/100/100 were published",)
    for item in items(found):
        assert found.read_image(item).mode == "RGB"
        assert found.read_image(item).size == SIZE
        assert (found.read_mask(item) == truth(BOX)).all()
    assert listing(root) == before


def test_rows_need_no_images(root):
    on_disk.three_parts(root / "kvasir_polyp", files=False)
    assert {part: len(rows) for part, rows in read_parts(root / "kvasir_polyp").items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    assert "8 of 8 listed files are not there" in complaint("kvasir_polyp", root).what
    assert "no image is there with its mask" in complaint("kvasir_polyp", root, "skip").fix


def test_repeated_rows_are_kept_and_remarked_on(root):
    lesion = [row(f"ISIC_{n:07}.jpg", f"ISIC_{n:07}_Segmentation.png") for n in range(6)]
    folder = medvlsm(
        root / "isic",
        train=[lesion[0], lesion[1], lesion[2], lesion[1]],
        val=[lesion[3]],
        test=[lesion[4], lesion[2], lesion[0]],
    )
    found = open_masks("isic", root)
    assert sizes(found) == (4, 1, 3)
    assert found.notes[:2] == (
        "train lists 1 image more than once: ISIC_0000001.jpg",
        "train and test share 2 images: ISIC_0000000.jpg, ISIC_0000002.jpg",
    )
    many = medvlsm(folder, False, **{part: [row(f"{n}.jpg") for n in range(9)] for part in PARTS})
    assert (
        repeats(read_parts(many))[0]
        == "train and val share 9 images: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg and 3 more"
    )


def test_a_second_test_is_remarked_on(root):
    folder = on_disk.three_parts(root / "kvasir_polyp")
    shutil.copy(folder / "anns" / "test.json", folder / "anns" / "testB.json")
    assert open_masks("kvasir_polyp", root).notes[-1] == "testB.json lists the test images again; it is not used"
    medvlsm(folder, False, testB=[row("cju0a.jpg")])
    assert "other images" in open_masks("kvasir_polyp", root).notes[-1]


def test_busi_in_medvlsms_layout(root):
    rows = {
        "train": [row("100_benign.png", None, on_disk.BUSI), row("103_normal.png", None, on_disk.NORMAL)],
        "val": [row("5_malignant.png", None, on_disk.BUSI)],
        "test": [row("7_other.png", None, on_disk.BUSI)],
    }
    medvlsm(root / "busi", **rows)
    found = open_masks("busi", root)
    assert [item.group for item in items(found)] == ["benign", "normal", "malignant", ""]
    assert found.prompt_types == tuple(f"p{n}" for n in range(7))
    assert [found.read_mask(item).any() for item in items(found)] == [True, False, True, True]
    assert any("p1 says of normal images" in note for note in found.notes)
    assert any("from p2 on" in note for note in found.notes)
    with pytest.raises(UserError, match="p7"):
        prompt_of(found.train[0], "p7", random.Random(0))


def test_prompts_that_tell_the_answer_are_remarked_on(root):
    prompts = {f"p{n}": "" if n == 0 else "polyp" for n in range(10)}
    medvlsm(root / "kvasir_polyp", **{part: [row(f"{part}.jpg", None, prompts)] for part in PARTS})
    assert "p4 to p9" in open_masks("kvasir_polyp", root).notes[-1]


def test_missing_files_are_counted_refused_or_left_out(root):
    folder = on_disk.three_parts(root / "kvasir_polyp")
    (folder / "images" / "cju0a.jpg").unlink()
    (folder / "masks" / "cju0c.jpg").unlink()
    error = complaint("kvasir_polyp", root)
    assert error.what == f"2 of 8 listed files are not there, first {folder}/images/cju0a.jpg"
    assert "data.missing=skip" in error.fix
    found = open_masks("kvasir_polyp", root, missing="skip")
    assert sizes(found) == (1, 0, 1)
    assert found.notes[-1].endswith("; 2 images left out")


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_refused(part, root):
    folder = on_disk.three_parts(root / "kvasir_polyp")
    (folder / "anns" / f"{part}.json").unlink()
    assert f"{part}.json cannot be opened" in complaint("kvasir_polyp", root).what


BROKEN = {
    "no JSON": ("[{", "cannot be read"),
    "cut short": ('[{"img_name": "a.jpg"', "cannot be read"),
    "no UTF-8": (b'["\xff"]', "not UTF-8 text"),
    "endless": ("[" * 100_000, "cannot be read"),
    "no list": ('{"train": []}', "is no list but dict"),
    "empty": ("[]", "lists no image"),
    "no object": ('["a.jpg"]', r"train\.json\[0\] is no object but str"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(case, root):
    content, told = BROKEN[case]
    path = on_disk.three_parts(root / "kvasir_polyp") / "anns" / "train.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=told) as error:
        open_masks("kvasir_polyp", root)
    assert "train.json" in error.value.what


WRONG = {
    "no image": ({"img_name": None}, "img_name has to be text"),
    "a number": ({"mask_name": 7}, "mask_name has to be text"),
    "above": ({"img_name": "../b.jpg"}, "leaves the image folder"),
    "above, deep": ({"mask_name": "a/../../b.jpg"}, "leaves the image folder"),
    "absolute": ({"img_name": "/etc/passwd"}, "leaves the image folder"),
    "Windows": ({"img_name": "C:\\b.jpg"}, "leaves the image folder"),
    "backslash": ({"img_name": "..\\b.jpg"}, "leaves the image folder"),
    "nothing": ({"mask_name": ""}, "leaves the image folder"),
    "zero byte": ({"img_name": "b.jpg\0"}, "leaves the image folder"),
    "prompts a text": ({"prompts": "polyp"}, "prompts is no object"),
    "prompts empty": ({"prompts": {}}, "prompts is no object"),
    "a strange kind": ({"prompts": {"random": "polyp"}}, "is not called p0"),
    "a prompt a number": ({"prompts": {"p0": 0}}, "p0 has to be a text or a list"),
    "a prompt nothing": ({"prompts": {"p0": None}}, "p0 has to be a text or a list"),
    "no texts": ({"prompts": {"p0": []}}, "p0 has to be a text or a list"),
    "a list in a list": ({"prompts": {"p0": [["polyp"]]}}, "p0 has to be a text or a list"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_rows_are_named(case, tmp_path):
    change, told = WRONG[case]
    path = tmp_path / "train.json"
    path.write_text(json.dumps([row("a.jpg"), {**row("b.jpg"), **change}]))
    with pytest.raises(UserError, match=told) as error:
        read_rows(path)
    assert error.value.what.startswith(f"{path}[1]")


@pytest.mark.parametrize("key", ["img_name", "mask_name", "prompts"])
def test_absent_keys_are_named_and_others_not_needed(key, tmp_path):
    path = tmp_path / "train.json"
    needed = {"img_name": "a.jpg", "mask_name": "a.png", "prompts": {"p0": ""}}
    path.write_text(json.dumps([needed]), "utf-8-sig")
    assert read_rows(path)[0] == MaskItem("images/a.jpg", ("masks/a.png",), (("p0", ("",)),))
    path.write_text(json.dumps([{name: value for name, value in needed.items() if name != key}]))
    with pytest.raises(UserError, match=rf"train\.json\[0\] has no '{key}'"):
        read_rows(path)


def test_names_with_half_a_character_are_reported_not_stumbled_over(root):
    folder = on_disk.three_parts(root / "kvasir_polyp")
    (folder / "anns" / "val.json").write_text(json.dumps([row("\ud800.jpg")]))
    complaint("kvasir_polyp", root).what.encode()
    assert sizes(open_masks("kvasir_polyp", root, missing="skip")) == (2, 0, 1)


@pytest.mark.parametrize("part", ["train", "test"])
def test_rows_with_other_kinds_of_prompts_are_refused(part, root):
    folder = on_disk.three_parts(root / "kvasir_polyp")
    medvlsm(folder, False, **{part: [row("cju0a.jpg"), row("cju0b.jpg", None, {"p0": "", "p1": "polyp"})]})
    error = complaint("kvasir_polyp", root)
    assert f"{part}.json[1] has the prompts p0, p1 where others have p0, p1, p2, p7" in error.what
