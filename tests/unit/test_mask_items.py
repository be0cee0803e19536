"""One image with its mask and prompts: noise, modes, several masks and none; which prompt is drawn."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets.segmentation import MaskItem, prompt_of, read_mask_below
from cliptune.errors import UserError
from tests.layouts.segmentation import BOX, SENTENCES, SIZE, mask, noisy, picture, truth


def masked(root: Path, *files: str) -> np.ndarray:
    return read_mask_below(root, MaskItem("images/a.png", files))


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P", "LA"])
def test_a_mask_is_zeros_and_ones_whatever_its_mode(mode, tmp_path):
    mask(tmp_path / "a.png", BOX, mode=mode)
    found = masked(tmp_path, "a.png")
    assert found.dtype == np.uint8
    assert found.shape == SIZE[::-1]
    assert (found == truth(BOX)).all()


@pytest.mark.parametrize(("file", "most"), [("a.jpg", 8), ("a.png", 112), ("a.tif", 127)])
def test_noise_near_black_and_white_does_not_count(file, most, tmp_path):
    noisy(tmp_path / file, BOX, most=most)
    with Image.open(tmp_path / file) as image:
        assert len(np.unique(np.asarray(image))) > 8
    assert (masked(tmp_path, file) == truth(BOX)).all()


def test_the_threshold_is_above_127(tmp_path):
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "a.png")
    assert masked(tmp_path, "a.png").tolist() == [[0, 0, 1, 1]]


def test_the_first_channel_counts(tmp_path):
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0], colours[0, 1], colours[0, 2] = (255, 0, 0), (0, 255, 0), (255, 255, 255)
    Image.fromarray(colours).save(tmp_path / "a.png")
    assert masked(tmp_path, "a.png").tolist() == [[1, 0, 1], [0, 0, 0]]


def test_deep_masks(tmp_path):
    Image.fromarray(truth(BOX).astype(np.uint16) * 65535).save(tmp_path / "a.png")
    assert (masked(tmp_path, "a.png") == truth(BOX)).all()


def test_several_masks_are_joined(tmp_path):
    boxes = [(0, 0, 3, 3), (2, 2, 5, 5), (15, 11, 16, 12)]
    for number, box in enumerate(boxes):
        mask(tmp_path / f"{number}.png", box)
    assert (masked(tmp_path, "0.png", "1.png", "2.png") == truth(*boxes)).all()


def test_several_masks_of_different_sizes_are_refused(tmp_path):
    mask(tmp_path / "0.png", BOX)
    mask(tmp_path / "1.png", BOX, size=(12, 16))
    with pytest.raises(UserError, match=r"1\.png .* 16 × 12 and 12 × 16"):
        masked(tmp_path, "0.png", "1.png")


def test_black_masks_and_no_masks_are_empty(tmp_path):
    picture(tmp_path / "images" / "a.png", (20, 10))
    mask(tmp_path / "black.jpg", size=(7, 5))
    assert masked(tmp_path, "black.jpg").shape == (5, 7)
    assert masked(tmp_path).shape == (10, 20)
    assert masked(tmp_path).dtype == np.uint8
    assert masked(tmp_path).sum() + masked(tmp_path, "black.jpg").sum() == 0


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2, 3), (0, 127)])
def test_masks_of_class_numbers_are_not_taken_for_empty_ones(values, tmp_path):
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png is nowhere brighter than") as error:
        masked(tmp_path, "a.png")
    assert "0 and 255" in error.value.fix


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_masks_are_named(data, tmp_path):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.png"):
        masked(tmp_path, "bad.png")
    with pytest.raises(UserError, match=r"gone\.png"):
        masked(tmp_path, "gone.png")


# Prompts


def test_the_prompt_of_a_kind():
    item = MaskItem("a.png", (), (("p0", ("",)), ("p1", ("polyp",)), ("p7", SENTENCES)))
    stream = random.Random(0)
    state = stream.getstate()
    assert prompt_of(item, "p0", stream) == ""
    assert prompt_of(item, "P1", stream) == "polyp"
    assert stream.getstate() == state  # nothing was drawn, so nothing was taken from the stream
    drawn = Counter(prompt_of(item, "p7", stream) for _ in range(3000))
    assert set(drawn) == set(SENTENCES)
    assert all(abs(count - 1000) < 150 for count in drawn.values())


def test_random_draws_every_kind_but_the_first_as_often():
    item = MaskItem("a.png", (), (("p0", ("",)), ("p1", ("polyp",)), ("p2", ("round",)), ("p7", SENTENCES)))
    stream = random.Random(1)
    drawn = Counter(prompt_of(item, "random", stream) for _ in range(6000))
    assert abs(drawn["polyp"] - 2000) < 200
    assert abs(drawn["round"] - 2000) < 200
    assert abs(sum(drawn[text] for text in SENTENCES) - 2000) < 200
    assert "" not in drawn
    assert len({prompt_of(item, "random", random.Random(1)) for _ in range(5)}) == 1


def test_unknown_kinds_are_refused_with_those_there_are():
    item = MaskItem("images/a.png", (), (("p0", ("",)), ("p1", ("polyp",))))
    with pytest.raises(UserError, match=r"images/a\.png") as error:
        prompt_of(item, "p9", random.Random(0))
    assert error.value.fix.endswith("known: p0, p1, random")
    with pytest.raises(UserError, match=r"known: p0$"):
        prompt_of(MaskItem("a.png", (), (("p0", ("",)),)), "random", random.Random(0))
