"""The embedded digits, and finding a set by name."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cliptune.datasets import names, open_set
from cliptune.errors import UserError


def test_split_is_fixed_and_covers_everything():
    digits = open_set("digits")
    assert [len(split) for split in (digits.train, digits.val, digits.test)] == [597, 200, 1000]
    items = [*digits.train, *digits.val, *digits.test]
    assert sorted(item.path for item in items) == [f"digits/{index:04d}" for index in range(1797)]
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(7)).tolist()
    assert [int(item.path[-4:]) for item in items] == order
    assert all({item.label for item in split} == set(range(10)) for split in (digits.train, digits.val, digits.test))


def test_first_images_of_each_split_are_these_for_ever():
    digits = open_set("digits")
    first = [(split[0].path, split[0].label) for split in (digits.train, digits.val, digits.test)]
    assert first == [("digits/1161", 4), ("digits/0981", 0), ("digits/0320", 4)]


def test_labels_are_scikit_learns():
    digits, target = open_set("digits"), load_digits().target
    assert all(item.label == target[int(item.path[-4:])] for item in digits.train + digits.test)


def test_image_is_the_padded_bilinear_enlargement():
    """Against the definition of bilinear sampling at pixel centres, written out in numpy."""
    digits = open_set("digits")
    item = digits.train[3]
    image = digits.read(item)
    assert (image.mode, image.size) == ("RGB", (32, 32))
    source = np.pad(load_digits().images[int(item.path[-4:])] / 16, 1)
    at = ((np.arange(32) + 0.5) * 10 / 32 - 0.5).clip(0)
    low = np.floor(at).astype(int)
    high, part = np.minimum(low + 1, 9), at - np.floor(at)
    rows = source[low] * (1 - part)[:, None] + source[high] * part[:, None]
    wanted = rows[:, low] * (1 - part) + rows[:, high] * part
    got = np.asarray(image)
    assert abs(got[..., 0] - wanted * 255).max() <= 0.51
    assert (got[..., 0] == got[..., 2]).all()
    assert got[0].max() < got.max() / 3  # white on black: the border is dark


def test_words_and_augmentation():
    digits = open_set("digits")
    assert digits.classes[:3] == ("zero", "one", "two")
    assert len(digits.classes) == 10
    assert digits.templates == ("a photo of the digit {}",)
    assert digits.augment.kind == "affine"


@pytest.mark.parametrize("name", ["digits", "Digits", "DIGITS", "dig-its"])
def test_spelling_of_a_name_does_not_matter(name):
    assert open_set(name).name == "digits"


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("digit", "no data set is called 'digit'", "did you mean 'digits'?"),
        ("digits/odd", "'digits' has no parts", "say 'digits'"),
        ("photos/cats", "photos/cats does not exist", "a folder"),
        ("./digits", "digits does not exist", "a folder"),
        ("/no/such/place", "/no/such/place does not exist", "a folder"),
        ("list.csv", "list.csv does not exist", "CSV"),
    ],
)
def test_unknown_names_and_paths(name, what, fix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        open_set(name)
    assert what in error.value.what
    assert fix in error.value.fix


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        open_set("~/photos")
    assert str(tmp_path) in error.value.what


def test_names_come_from_the_modules():
    assert "digits" in names()
    assert list(names()) == sorted(names())
    assert not any(name.startswith("_") for name in names())


def test_listing_imports_no_torch():
    code = "import sys, cliptune.datasets as d; d.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
