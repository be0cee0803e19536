"""Images with masks in the layouts their authors gave, and the names of the sets."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from cliptune.datasets.mask_sets import aliases, find_masks, names, open_masks
from cliptune.datasets.mask_sets._published import cut_items
from cliptune.datasets.mask_sets.clinicdb_polyp import _stretch
from cliptune.datasets.segmentation import PARTS, MaskItem, word_prompts
from tests.layouts import segmentation as on_disk
from tests.layouts.segmentation import (
    BOX,
    SIZE,
    complaint,
    grey_header,
    items,
    listing,
    mask,
    own,
    picture,
    sizes,
    truth,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the sets lie; not the current folder, in which a set's folder would be one of the user's own."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_kvasir_as_published(root):
    on_disk.kvasir(root / "Kvasir-SEG", 20)
    before = listing(root)
    found = open_masks("kvasir", root)
    assert sizes(found) == (16, 2, 2)
    assert found.split == "made here (not the published split)"
    assert found.prompt_types == ("p0", "p1")
    assert found.train[0].prompts == word_prompts("polyp")
    assert (found.read_mask(found.test[0]) == truth(BOX)).all()
    assert any("800/100/100" in note for note in found.notes)
    assert listing(root) == before
    assert open_masks("kvasir", root) == found


def test_kaggles_folder_in_a_folder(root):
    on_disk.kvasir(root / "Kvasir-SEG" / "Kvasir-SEG")
    found = open_masks("kvasir_polyp", root)
    assert found.train[0].image.startswith("Kvasir-SEG/images/")
    assert found.read_mask(found.train[0]).any()


def test_annotations_are_taken_before_the_authors_layout(root):
    on_disk.kvasir(root / "Kvasir-SEG")
    on_disk.three_parts(root / "kvasir_polyp")
    assert sizes(open_masks("kvasir_polyp", root)) == (2, 1, 1)
    assert open_masks("kvasir_polyp", root / "Kvasir-SEG").split == "made here (not the published split)"


@pytest.mark.parametrize(
    ("inside", "suffix", "masks"),
    [("", ".tif", "Ground Truth"), ("PNG", ".png", "Ground Truth"), ("TIF", ".tif", "GroundTruth")],
)
def test_clinicdb_as_published(inside, suffix, masks, root):
    folder = on_disk.clinicdb(root / "CVC-ClinicDB", inside=inside, suffix=suffix)
    (folder / inside / "Ground Truth").rename(folder / inside / masks)
    found = open_masks("cvc-clinicdb", root)
    head = f"{inside}/" if inside else ""
    assert [(item.image, item.masks) for item in sorted(items(found), key=lambda item: item.image)] == [
        (f"{head}Original/{n}{suffix}", (f"{head}{masks}/{n}{suffix}",)) for n in ("1", "100", "2", "25")
    ]
    for item in items(found):
        color = (255, 165, 0) if suffix == ".tif" else (0, 128, 128)
        assert found.read_image(item).getpixel((0, 0)) == color
        assert (found.read_mask(item) == truth(BOX)).all()
    assert any("look alike" in note for note in found.notes)


def test_pillow_still_refuses_the_grey_header(tmp_path):
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(grey_header(tmp_path / "1.tif"))


def test_the_root_itself_may_be_clinicdb_or_isic_whatever_it_is_called(root):
    on_disk.clinicdb(root / "frames")
    on_disk.isic(root / "skin")
    assert sum(sizes(open_masks("clinicdb_polyp", root / "frames"))) == 4
    assert sum(sizes(open_masks("isic", root / "skin"))) == 13
    assert "no folder for 'isic'" in complaint("isic", root / "frames").what


def test_clinicdb_is_cut_by_stretches_of_frames():
    frames = [MaskItem(f"Original/{n}.tif") for n in range(1, 613)]
    parts = cut_items(frames, unit=_stretch)
    assert [len(parts[part]) for part in PARTS] == [492, 60, 60]
    for part in PARTS:
        for item in parts[part]:
            first = (int(Path(item.image).stem) - 1) // 20 * 20 + 1
            assert sum(other in parts[part] for other in frames[first - 1 : first + 19]) == len(
                frames[first - 1 : first + 19]
            )
    assert cut_items([MaskItem(f"PNG/Original/{n}.png") for n in range(1, 613)], unit=_stretch)["test"][0].image == (
        parts["test"][0].image.replace("Original", "PNG/Original").replace(".tif", ".png")
    )


def test_clinicdb_keeps_videos_whole_where_the_copy_tells_them(root):
    folder = on_disk.clinicdb(root / "CVC-ClinicDB", range(1, 41), "PNG", ".png")
    lines = [f"{n},{(n - 1) // 4 + 1},PNG/Original/{n}.png" for n in range(1, 41)]
    (folder / "metadata.csv").write_text("\n".join(["frame_id,sequence_id,png_image_path", *lines]))
    found = open_masks("clinicdb_polyp", root)
    assert sizes(found) == (32, 4, 4)
    assert len({item.group for item in found.test}) == 1
    assert found.test[0].group.startswith("sequence ")
    assert not any("look alike" in note for note in found.notes)
    (folder / "metadata.csv").write_text("\n".join(["frame_id,sequence_id", *lines[:-1]]))
    assert "does not say which sequence PNG/Original/40.png" in complaint("clinicdb_polyp", root).what
    for broken in ("frame,sequence\n1,1\n", "frame_id,sequence_id\n1\n"):
        (folder / "metadata.csv").write_text(broken)
        assert "has no frame_id and sequence_id" in complaint("clinicdb_polyp", root).what


def test_isic_as_published(root):
    on_disk.isic(root / "isic")
    found = open_masks("ISIC-2016", root)
    assert sizes(found) == (8, 2, 3)
    assert found.split == "official test; val is 20 % of train, cut off here"
    assert found.test[0].image == "ISBI2016_ISIC_Part1_Test_Data/ISIC_0001000.jpg"
    assert found.test[0].masks == ("ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0001000_Segmentation.png",)
    assert found.test[0].prompts == word_prompts("skin melanoma")
    assert (found.read_mask(found.test[0]) == truth(BOX)).all()
    shutil.rmtree(root / "isic" / "ISBI2016_ISIC_Part1_Test_Data")
    assert "has no ISBI2016_ISIC_Part1_Test_Data/" in complaint("isic", root).what


def test_busi_as_published(root):
    on_disk.busi(root / "Dataset_BUSI_with_GT")
    found = open_masks("busi", root)
    assert sizes(found) == (24, 3, 3)
    for part in PARTS:
        assert len({(group, count) for group, count in Counter(it.group for it in getattr(found, part)).items()}) == 3
    known = {item.image: item for item in items(found)}
    assert known["benign/benign (1).png"].masks == (
        "benign/benign (1)_mask.png",
        "benign/benign (1)_mask_1.png",
        "benign/benign (1)_mask_2.png",
    )
    joined = truth(BOX, (0, 0, 2, 2), (14, 10, 16, 12))
    assert (found.read_mask(known["benign/benign (1).png"]) == joined).all()
    assert known["normal/normal (2).png"].masks == ()
    for item in items(found):
        assert found.read_mask(item).shape == SIZE[::-1]
        assert found.read_mask(item).any() == (item.group != "normal")
        assert item.prompts == word_prompts("Tumor in the breast ultrasound image.")


def test_the_two_equal_pictures_of_busi_are_remarked_on(root):
    folder = on_disk.busi(root / "Dataset_BUSI_with_GT", 1)
    for name in ("benign/benign (433)", "malignant/malignant (145)"):
        picture(folder / f"{name}.png")
        mask(folder / f"{name}_mask.png", BOX)
    told = [note for note in open_masks("busi", root).notes if "byte for byte" in note]
    assert len(told) == 1
    assert told[0].startswith("benign (433) (")


@pytest.mark.parametrize(
    ("gone", "named", "left"),
    [
        ("benign/benign (3)_mask.png", "benign/benign (3)_mask.png", 29),
        ("malignant/malignant (4).png", "malignant/malignant (4).png", 29),
        ("normal/normal (5)_mask.png", "", 30),
        ("benign/benign (1)_mask_1.png", "", 30),
    ],
)
def test_unpaired_files_of_busi(gone, named, left, root):
    folder = on_disk.busi(root / "Dataset_BUSI_with_GT")
    (folder / gone).unlink()
    if named:
        assert complaint("busi", root).what.endswith(f"first {folder / named}")
    assert sum(sizes(open_masks("busi", root, missing="skip"))) == left


@pytest.mark.parametrize("gone", ["images/cju003.jpg", "masks/cju007.jpg"])
def test_unpaired_files_of_kvasir(gone, root):
    folder = on_disk.kvasir(root / "Kvasir-SEG")
    (folder / gone).unlink()
    assert complaint("kvasir_polyp", root).what == f"1 of 20 listed files are not there, first {folder / gone}"
    found = open_masks("kvasir_polyp", root, missing="skip")
    assert sum(sizes(found)) == 9
    assert found.notes[-1].endswith("1 image left out")


def test_strays_are_no_images(root):
    folder = on_disk.kvasir(root / "Kvasir-SEG")
    for stray in ("._cju000.jpg", ".DS_Store", "Thumbs.db", "list.txt"):
        (folder / "images" / stray).write_bytes(b"stray")
    assert sum(sizes(open_masks("kvasir_polyp", root))) == 10


def test_empty_folders_are_refused(root):
    (root / "Kvasir-SEG" / "images").mkdir(parents=True)
    assert "has no masks/" in complaint("kvasir_polyp", root).what
    (root / "Kvasir-SEG" / "masks").mkdir()
    assert "has no images" in complaint("kvasir_polyp", root).what


# Names


def test_names_and_aliases():
    assert names() == ["busi", "clinicdb_polyp", "isic", "kvasir_polyp", "world/glyphs", "world/objects"]
    for called in ("Kvasir-SEG", "KVASIR", "kvasir polyp", "kvasir-polyp", "kvasirseg"):
        assert find_masks(called) == "kvasir_polyp"
    for called in ("CVC-ClinicDB", "clinicdb", "CVC_612"):
        assert find_masks(called) == "clinicdb_polyp"
    assert find_masks("ISIC-2016") == "isic"
    assert find_masks("Dataset_BUSI_with_GT") == "busi"
    assert set(aliases().values()) == {name for name in names() if not name.startswith("world/")}


def test_unknown_names(root):
    error = complaint("kvasir_polip", root)
    assert "did you mean 'kvasir_polyp'?" in error.fix
    assert "images/ and masks/" in complaint(" ", root).fix
    assert "no such folder" in complaint("busi", root / "nowhere").what
    assert "no such folder" in complaint(root / "nowhere").what
    own(root / "lesions", ["a.jpg"])
    assert complaint(root / "lesion").fix == f"did you mean '{root / 'lesions'}'?"
    assert "is no folder" in complaint(picture(root / "a.png")).what
    assert "--root" in complaint("busi").fix
    assert "get it" in complaint("busi", root).fix
    assert "leave it out" in complaint("busi", root, prompt="tumor").fix


def test_an_existing_path_is_the_users_own_unless_the_root_holds_the_set(root, monkeypatch):
    on_disk.three_parts(root / "kvasir_polyp")
    monkeypatch.chdir(root)
    assert open_masks("kvasir_polyp").about == "your own images"
    assert open_masks("kvasir_polyp", ".").facts is not None
    assert open_masks("kvasir_polyp").split == "given"
    assert open_masks("kvasir_polyp").source == str(root / "kvasir_polyp")


def test_the_path_of_a_named_set_is_understood(root):
    on_disk.busi(root / "Dataset_BUSI_with_GT", 1)
    assert "say 'busi' with --root" in complaint(root / "Dataset_BUSI_with_GT").fix
