"""Looking at images with masks: what was understood, masks that do not fit, greys, duplicates; nothing stops it."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets.inspect_masks import examine, thumbnails, understood
from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.mask_sets.busi import TELLS
from cliptune.datasets.medvlsm import open_layout
from cliptune.datasets.segmentation import MaskItem, MaskSet, of_files, word_prompts
from cliptune.errors import UserError
from tests.layouts import segmentation
from tests.layouts.segmentation import BOX, BUSI, NORMAL, POLYP, SIZE, mask, row
from tests.unit.test_inspect import photo, put

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
annotations = pytest.mark.skipif(not (SHARED / "splits/medical").is_dir(), reason="the annotations are not there")
polyps = pytest.mark.skipif(not (SHARED / "kvasir_polyp").is_dir(), reason="the polyp images are not there")


def pair(root: Path, name: str, number: int, *boxes: tuple[int, int, int, int]) -> MaskItem:
    """A photo of 60 × 48 pixels and its mask, in which the boxes are marked."""
    put(root, f"images/{name}", photo(number))
    mask(root / "masks" / name, *boxes, size=(60, 48))
    return MaskItem(f"images/{name}", (f"masks/{name}",), word_prompts("box"))


def files(root: Path, **parts: list[MaskItem]) -> MaskSet:
    return of_files("files", root, parts, "given")


def drawn(train: int = 0, test: int = 0) -> MaskSet:
    """Nothing on disk; every third image has nothing to mark."""

    def number(item: MaskItem) -> int:
        return int(item.image.split("/")[1]) + 1000 * item.image.startswith("test")

    def read_mask(item: MaskItem) -> np.ndarray:
        found = np.zeros((48, 60), np.uint8)
        found[:12, :30] = number(item) % 3 > 0
        return found

    parts = {
        part: tuple(MaskItem(f"{part}/{n}", (), word_prompts("blot"), "ab"[n % 2]) for n in range(count))
        for part, count in (("train", train), ("test", test))
    }
    return MaskSet("drawn", lambda item: photo(number(item)), read_mask, ("p0", "p1"), **parts)


def test_understood_parts_prompts_and_groups():
    found = understood(replace(drawn(train=5, test=2), notes=("a note",)))
    assert found["counts"] == {"train": 5, "val": 0, "test": 2}
    assert found["groups"] == {"a": {"train": 3, "val": 0, "test": 1}, "b": {"train": 2, "val": 0, "test": 1}}
    assert found["prompts"] == [
        {"kind": "p0", "example": "", "most_texts": 1, "different": 1, "tells": False},
        {"kind": "p1", "example": "blot", "most_texts": 1, "different": 1, "tells": False},
    ]
    assert (found["published"], found["notes"], found["masks"]) == (None, ["a note"], True)
    json.dumps(found)


def test_a_drawn_set_is_not_held_against_a_publication():
    assert understood(open_masks("world/objects"))["published"] is None


def test_prompts_that_tell_are_named_only_where_they_differ_from_image_to_image(tmp_path):
    later = {f"p{n}": f"{n} polyps" for n in range(4, 10)}
    other = {kind: f"{text} and more" for kind, text in later.items()}
    rows = [row("a.jpg", prompts={**POLYP, **later}), row("b.jpg", prompts={**POLYP, **other})]
    segmentation.medvlsm(tmp_path / "kvasir_polyp", train=rows, val=rows[:1], test=rows[:1])
    found = open_masks("kvasir_polyp", tmp_path)
    assert found.telling == ("p4", "p5", "p6", "p8", "p9")
    assert [each["kind"] for each in understood(found)["prompts"] if each["tells"]] == list(found.telling)
    segmentation.kvasir(tmp_path / "raw" / "Kvasir-SEG")
    assert open_masks("kvasir_polyp", tmp_path / "raw").telling == ()


def test_busi_s_first_prompt_tells_which_images_are_normal(tmp_path):
    tumors = [row(f"{n}_benign.png", prompts=BUSI) for n in range(3)]
    normal = [row("9_normal.png", prompts=NORMAL)]
    segmentation.medvlsm(tmp_path / "busi", train=tumors + normal, val=tumors[:1], test=normal)
    assert open_masks("busi", tmp_path).telling == TELLS
    segmentation.busi(tmp_path / "raw" / "Dataset_BUSI_with_GT")
    assert open_masks("busi", tmp_path / "raw").telling == ()


@annotations
@pytest.mark.parametrize(
    ("name", "kinds"), [("kvasir_polyp", "p4 p5 p6 p8 p9"), ("isic", "p4 p5 p6 p8 p9"), ("busi", "p1 p2 p3 p4 p5 p6")]
)
def test_telling_kinds_of_the_real_annotations(tmp_path, name, kinds):
    """With files of the listed names, which nobody reads."""
    source, folder = SHARED / "splits/medical" / name, tmp_path / name
    (folder / "anns").mkdir(parents=True)
    for part in ("train", "val", "test"):
        (folder / "anns" / f"{part}.json").write_bytes((source / "anns" / f"{part}.json").read_bytes())
        for each in json.loads((source / "anns" / f"{part}.json").read_text("utf-8")):
            for kind in ("img_name", "mask_name"):
                path = folder / ("images" if kind == "img_name" else "masks") / each[kind]
                path.parent.mkdir(exist_ok=True)
                path.touch()
    found = understood(open_masks(name, tmp_path))
    assert found["published"]["matches"] is True
    assert [each["kind"] for each in found["prompts"] if each["tells"]] == kinds.split()
    looked = examine(open_masks(name, tmp_path), most=4)
    assert len(looked.unreadable) == 8, "images and masks are empty files"


def test_faults_stop_nothing_and_are_named(tmp_path):
    items = [pair(tmp_path, f"{n}.png", n, BOX) for n in range(7)]
    (tmp_path / "images/0.png").write_text("no image")
    (tmp_path / "masks/1.png").write_bytes((tmp_path / "masks/1.png").read_bytes()[:-40])
    mask(tmp_path / "masks/2.png", BOX, size=(48, 60))
    Image.fromarray(segmentation.truth(BOX) * 127).save(tmp_path / "masks/3.png")
    mask(tmp_path / "masks/4.png", size=(60, 48))
    (tmp_path / "images/5.png").write_text("no image")
    (tmp_path / "masks/5.png").write_text("no mask")
    found = examine(files(tmp_path, train=items[:4], test=items[4:]))
    assert list(found.unreadable) == ["images/0.png", "masks/1.png", "images/5.png", "masks/5.png"]
    assert all(found.unreadable.values())
    assert found.sizes_differ == {"images/2.png": "60 × 48, its mask 48 × 60 pixels (masks/2.png)"}
    assert found.dim == {"masks/3.png": "nowhere brighter than 127 of 255"}
    assert found.empty == {"test": 1}
    assert {image for image, _ in found.spoilt} == {f"images/{n}.png" for n in (0, 1, 2, 3, 5)}
    assert (found.looked_at, found.images, found.modes) == (7, 7, {"RGB": 5})
    json.dumps(found.facts())


def test_greys_are_counted_and_harmless(tmp_path):
    items = [pair(tmp_path, f"{n}.png", n, BOX) for n in range(4)]
    segmentation.noisy(tmp_path / "masks/0.png", BOX, most=112, size=(60, 48))
    Image.fromarray(segmentation.truth(BOX, size=(60, 48)) * 128).save(tmp_path / "masks/1.png")
    mask(tmp_path / "masks/2.png", BOX, size=(60, 48), mode="1")
    found = examine(files(tmp_path, train=items))
    assert found.grey == 2
    assert (found.dim, found.unreadable, found.mask_modes) == ({}, {}, {"L": 3, "1": 1})
    area = (BOX[2] - BOX[0]) * (BOX[3] - BOX[1]) / (60 * 48)
    assert set(found.share.values()) == {area}


def test_shares_of_masks_that_mark_something(tmp_path):
    boxes = [(0, 0, 60, 12 * n) for n in range(5)]
    items = [pair(tmp_path, f"{n}.png", n, *([boxes[n]] if n else [])) for n in range(5)]
    found = examine(files(tmp_path, train=items))
    assert found.share == {"least": 0.25, "lower": 0.4375, "median": 0.625, "upper": 0.8125, "most": 1.0}
    assert found.empty == {"train": 1}


def test_several_masks_of_an_image_and_none(tmp_path):
    item = pair(tmp_path, "a.png", 1, (0, 0, 30, 48))
    mask(tmp_path / "masks/b.png", (30, 0, 60, 24), size=(60, 48))
    mask(tmp_path / "masks/small.png", size=SIZE)
    put(tmp_path, "images/b.png", photo(2))
    put(tmp_path, "images/c.png", photo(3))
    both = replace(item, masks=("masks/a.png", "masks/b.png"))
    none, wrong = MaskItem("images/b.png"), MaskItem("images/c.png", ("masks/a.png", "masks/small.png"))
    found = examine(files(tmp_path, train=[both, none, wrong]))
    assert found.share["most"] == 0.75
    assert found.empty == {"train": 1}
    assert "differ in size: 60 × 48 and 16 × 12" in found.unreadable["masks/a.png"]


def test_duplicates_across_parts_or_marked_differently(tmp_path):
    train = [pair(tmp_path, f"t{n}.png", n, BOX) for n in (1, 2, 3, 3)]
    test = [pair(tmp_path, "x1.png", 1, BOX), pair(tmp_path, "x9.png", 9, BOX)]
    other = pair(tmp_path, "t2-again.png", 2, (0, 0, 9, 9))
    equal = pair(tmp_path, "t3-again.png", 3, BOX)
    near = put(tmp_path, "images/near.png", photo(3, (90, 72)))
    mask(tmp_path / "masks/near.png", BOX, size=(90, 72))
    found = examine(
        files(
            tmp_path,
            train=[*train, other, equal],
            test=[*test, train[0], MaskItem(near, ("masks/near.png",), word_prompts("box"))],
        )
    )
    assert [[str(place) for place in group] for group in found.duplicates] == [
        ["images/t1.png (train)", "images/x1.png (test)"],
        ["images/t2.png (train)", "images/t2-again.png (train)"],
    ]
    assert [[str(place) for place in each] for each in found.near_duplicates] == [
        ["images/near.png (test)", "images/t3.png (train)"]
    ]
    assert found.listed_twice == {"train and test": 1}


def test_a_stride_and_progress_over_drawn_images():
    told, threads = [], set()
    maskset = drawn(train=6, test=14)

    def read(item: MaskItem) -> Image.Image:
        threads.add(threading.get_ident())
        return maskset.read_image(item)

    found = examine(replace(maskset, read_image=read), most=5, progress=lambda done, of: told.append((done, of)))
    assert (found.looked_at, found.images, told) == (5, 20, [(5, 5)])
    assert threading.get_ident() not in threads
    whole = examine(maskset)
    assert (whole.looked_at, whole.empty, whole.mask_modes) == (20, {"train": 2, "test": 4}, {})
    assert (whole.share["median"], whole.duplicates) == (0.125, [])


@pytest.mark.parametrize("error", [UserError("x is bad", "mend x"), ValueError("bad"), MemoryError(), KeyError("k")])
@pytest.mark.parametrize("reader", ["read_image", "read_mask"])
def test_whatever_a_reader_raises_is_noted(error, reader):
    maskset = drawn(train=4)

    def read(item: MaskItem):
        if item.image == "train/2":
            raise error
        return getattr(maskset, reader)(item)

    found = examine(replace(maskset, **{reader: read}))
    assert list(found.unreadable) == ["train/2"]
    assert found.unreadable["train/2"]


def test_nothing_to_look_at():
    found = examine(drawn())
    assert (found.looked_at, found.images, found.share, found.empty) == (0, 0, None, {})
    with pytest.raises(UserError, match="no readable image"):
        thumbnails(drawn(), Path("sheet.png"))


def test_thumbnails_outline_what_is_to_be_marked(tmp_path):
    items = [pair(tmp_path, f"{n}.png", n, (10, 8, 50, 40)) for n in range(12)]
    (tmp_path / "images/0.png").write_text("no image")
    mask(tmp_path / "masks/4.png", size=SIZE)
    maskset = files(tmp_path, train=items)
    thumbnails(maskset, tmp_path / "sheet.png")
    thumbnails(maskset, tmp_path / "again.png")
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    rim = (abs(sheet - (20, 20, 20)).sum(-1) < 90).astype(int)
    assert sheet.shape == (8 + 3 * 156, 8 + 3 * 136, 3)
    cells = [rim[8 + 156 * r : 136 + 156 * r, 8 + 136 * c : 136 + 136 * c].sum() for r in range(3) for c in range(3)]
    assert min(cells) > 150, "every place is filled, though two cannot be shown"


def test_thumbnails_are_called_by_prompts_that_differ(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "cliptune.datasets.inspect_masks.write_sheet",
        lambda chosen, path, count: written.append([t for _, t in chosen]),
    )
    items = [pair(tmp_path, f"{n}.png", n, BOX) for n in range(3)]
    thumbnails(files(tmp_path, train=items), Path("sheet.png"))
    other = [replace(item, prompts=word_prompts(f"box {n}")) for n, item in enumerate(items)]
    thumbnails(files(tmp_path, test=other), Path("sheet.png"))
    assert written == [["0.png", "1.png", "2.png"], ["box 0", "box 1", "box 2"]]


@polyps
def test_real_polyps_are_sound():
    found = examine(open_masks("kvasir_polyp", SHARED), most=60)
    assert (found.looked_at, found.images, found.modes) == (60, 260, {"RGB": 60})
    assert (found.unreadable, found.sizes_differ, found.dim, found.empty) == ({}, {}, {}, {})
    assert (found.duplicates, found.near_duplicates, found.odd, found.grey) == ([], [], {}, 60)
    assert 0.08 < found.share["median"] < 0.15


def test_own_copies_in_the_published_layout_tell_nothing(tmp_path):
    found = open_layout("mine", segmentation.three_parts(tmp_path / "mine"))
    assert (found.telling, understood(found)["published"]) == ((), None)


def test_depths_of_pictures_are_told_as_of_images_with_classes(tmp_path):
    items = [pair(tmp_path, f"{number}.tif", number, (5, 5, 20, 20)) for number in range(2)]
    blots = np.asarray(photo(0).convert("L"))
    Image.fromarray((blots.astype(np.uint16) * 16).clip(0, 4095)).save(tmp_path / "images" / "0.tif")
    Image.fromarray(blots.astype(np.float32) / 200 - 0.1).save(tmp_path / "images" / "1.tif")
    found = examine(files(tmp_path, train=items))
    assert "12 of 16 bits used: scaled by 4,095" in found.odd["images/0.tif"]
    first, second, third = found.scaled
    assert first == "1 image of whole numbers, 368 to 3,920, read as 0 to 4,095"
    assert second.startswith("1 image of floats, ")
    assert "different ranges" in third
