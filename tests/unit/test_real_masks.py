"""Real images with masks, and the published annotation files, where they lie beside the checkout."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cliptune.datasets.mask_sets import busi, clinicdb_polyp, isic, kvasir_polyp, open_masks
from cliptune.datasets.mask_sets._published import stem
from cliptune.datasets.mask_sets.busi import _group
from cliptune.datasets.medvlsm import Parts, read_parts, repeats
from cliptune.datasets.segmentation import PARTS
from cliptune.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MEDICAL = SHARED / "splits" / "medical"
TEN, SEVEN = tuple(f"p{n}" for n in range(10)), tuple(f"p{n}" for n in range(7))

annotations = pytest.mark.skipif(not MEDICAL.is_dir(), reason="the real annotation files are not there")
polyps = pytest.mark.skipif(not (SHARED / "kvasir_polyp").is_dir(), reason="the polyp images are not there")
frames = pytest.mark.skipif(not (SHARED / "cvc-clinicdb-tif").is_dir(), reason="the frames are not there")


@polyps
def test_kvasir_images_and_masks():
    found = open_masks("kvasir_polyp", SHARED)
    assert [len(getattr(found, part)) for part in PARTS] == [160, 40, 60]
    items = [item for part in PARTS for item in getattr(found, part)]
    assert len({item.image for item in items}) == 260
    assert (items[0].image, items[-1].image) == ("images/train_776.jpg", "images/test_10.jpg")
    assert found.prompt_types == ("p0", "p1")
    assert {item.prompts for item in items} == {(("p0", ("",)), ("p1", ("polyp",)))}
    for item in items:
        mask = found.read_mask(item)
        assert found.read_image(item).size == mask.shape[::-1] == (352, 352)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}, item.image  # neither empty nor full
        assert 0.005 < mask.mean() < 0.66


@frames
def test_clinicdb_frames_pair_with_their_masks():
    found = open_masks("clinicdb_polyp", SHARED / "cvc-clinicdb-tif")
    items = sorted((item for part in PARTS for item in getattr(found, part)), key=lambda item: int(stem(item)))
    assert [stem(item) for item in items] == ["1", "100", "274", "400", "612"]
    for item, share in zip(items, (0.1535, 0.0652, 0.2940, 0.0615, 0.0193), strict=True):
        assert item.masks == (f"Ground Truth/{stem(item)}.tif",)
        assert found.read_image(item).size == (384, 288)
        mask = found.read_mask(item)
        assert mask.shape == (288, 384)
        assert mask.mean() == pytest.approx(share, abs=1e-4)


@pytest.fixture(scope="module")
def real() -> dict[str, Parts]:
    return {name: read_parts(MEDICAL / name) for name in ("kvasir_polyp", "clinicdb_polyp", "isic", "busi")}


@annotations
@pytest.mark.parametrize(
    ("module", "ends"),
    [
        (kvasir_polyp, ("cju2r11x7sdgx0988o8ule0wl", "cju5x7iskmad90818frchyfwd", "cju8bh8surexp0987o5pzklk1")),
        (clinicdb_polyp, ("274", "577", "523")),
        (isic, ("ISIC_0000324", "ISIC_0010091", "ISIC_0010444")),
        (busi, ("100_benign", "9_normal", "96_malignant")),
    ],
)
def test_counts_and_ends(module, ends, real):
    rows = real[module.__name__.rpartition(".")[2]]
    assert tuple(len(rows[part]) for part in PARTS) == module.FACTS.counts
    assert (stem(rows["train"][0]), stem(rows["train"][-1]), stem(rows["test"][-1])) == ends


@annotations
@pytest.mark.parametrize(
    ("name", "kinds", "word"),
    [
        ("kvasir_polyp", TEN, kvasir_polyp.WORD),
        ("clinicdb_polyp", TEN, clinicdb_polyp.WORD),
        ("isic", TEN, isic.WORD),
        ("busi", SEVEN, busi.WORD),
    ],
)
def test_prompts(name, kinds, word, real):
    items = [item for part in PARTS for item in real[name][part]]
    assert {tuple(kind for kind, _ in item.prompts) for item in items} == {kinds}
    assert {dict(item.prompts)["p0"] for item in items} == {("",)}
    said = Counter(dict(item.prompts)["p1"] for item in items)
    if name == "busi":
        assert said == {(word,): 647, (f"No t{word[1:]}",): 133}
        texts = {tuple(len(each) for _, each in item.prompts) for item in items if _group(item.image) != "normal"}
        assert texts == {(1, 1, 2, 2, 2, 2, 2)}
    else:
        assert set(said) == {(word,)}
        assert {tuple(len(each) for _, each in item.prompts) for item in items} == {(1,) * 7 + (5, 5, 5)}


@annotations
def test_repeats(real):
    assert {name: repeats(rows) for name, rows in real.items()} == {
        "kvasir_polyp": [],
        "clinicdb_polyp": [],
        "busi": [],
        "isic": [
            "train lists 1 image more than once: ISIC_0001742.jpg",
            "train and test share 3 images: ISIC_0000279.jpg, ISIC_0001184.jpg, ISIC_0001385.jpg",
        ],
    }
    images = {name: [item.image for part in PARTS for item in rows[part]] for name, rows in real.items()}
    assert {name: (len(listed), len(set(listed))) for name, listed in images.items()} == {
        "kvasir_polyp": (1000, 1000),
        "clinicdb_polyp": (612, 612),
        "isic": (1279, 1275),
        "busi": (780, 780),
    }
    assert set(images["clinicdb_polyp"]) == {f"images/{n}.png" for n in range(1, 613)}


@annotations
def test_the_second_test_of_kvasir_is_the_first(real):
    assert real["kvasir_polyp"]["testB"] == real["kvasir_polyp"]["test"]
    assert [name for name, rows in real.items() if "testB" in rows] == ["kvasir_polyp"]


@annotations
def test_masks_are_called_as_their_images_but_for_isic(real):
    for name, rows in real.items():
        for item in (item for part in PARTS for item in rows[part]):
            ending = "_Segmentation" if name == "isic" else ""
            assert Path(item.masks[0]).stem == stem(item) + ending


@annotations
def test_kinds_of_busi(real):
    counted = [Counter(_group(item.image) for item in real["busi"][part]) for part in PARTS]
    assert [[count[kind] for kind in busi.KINDS] for count in counted] == [[349, 168, 107], [44, 21, 13], [44, 21, 13]]


@annotations
def test_annotations_without_images_are_refused_with_the_way_to_them():
    with pytest.raises(UserError, match="2,000 of 2,000 listed files are not there") as error:
        open_masks("kvasir_polyp", MEDICAL)
    assert "datasets.simula.no" in error.value.fix


@annotations
def test_the_published_split_of_clinicdb_tests_on_neighbours_of_training_frames(real):
    train = {int(stem(item)) for item in real["clinicdb_polyp"]["train"]}
    beside = [item for item in real["clinicdb_polyp"]["test"] if {int(stem(item)) - 1, int(stem(item)) + 1} & train]
    assert len(beside) == 57
