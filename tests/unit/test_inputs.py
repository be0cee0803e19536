"""Images in every form a person has them in give the same pixels; what is no image is refused in words."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cliptune.datasets.sets.digits import load as digits
from cliptune.errors import UserError
from cliptune.inputs import pictures, share, whole_number


@pytest.fixture
def values() -> np.ndarray:
    """uint8 [6 9 3]"""
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


@pytest.fixture
def file(values: np.ndarray) -> Path:
    Image.fromarray(values).save("one.png")
    return Path("one.png")


FORMS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "str": lambda file, values: str(file),
    "Path": lambda file, values: file,
    "PIL": lambda file, values: Image.fromarray(values),
    "PIL of a file": lambda file, values: Image.open(file),
    "array": lambda file, values: values,
    "bytes": lambda file, values: file.read_bytes(),
    "bytearray": lambda file, values: bytearray(file.read_bytes()),
    "memoryview": lambda file, values: memoryview(file.read_bytes()),
    "BytesIO": lambda file, values: io.BytesIO(file.read_bytes()),
    "RGBA array": lambda file, values: np.concatenate([values, np.full((6, 9, 1), 255, np.uint8)], axis=2),
    "strided array": lambda file, values: np.repeat(values, 2, axis=0)[::2],
}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_alone_and_in_a_list(form: str, file: Path, values: np.ndarray) -> None:
    [alone] = pictures(FORMS[form](file, values))
    assert np.array_equal(np.asarray(alone.read()), values)
    assert alone.name == (str(file) if form in ("str", "Path") else "image 1")
    both = pictures([str(file), FORMS[form](file, values)])
    assert [picture.name for picture in both] == ["one.png", "one.png" if form in ("str", "Path") else "image 2"]
    assert np.array_equal(np.asarray(both[1].read()), values)


def test_iterables(file: Path, values: np.ndarray) -> None:
    name = str(file)
    for listed in ((name, name), iter([name, name]), {name: 1, "one.png ": 2}.keys(), np.array([name, name])):
        assert len(pictures(listed)) == 2
    batch = pictures(np.stack([values, values[::-1]]))
    assert [np.asarray(picture.read())[0, 0].tolist() for picture in batch] == [
        values[0, 0].tolist(),
        values[-1, 0].tolist(),
    ]


def test_grey_arrays() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for values in (grey, grey[..., None]):
        [picture] = pictures(values)
        assert np.array_equal(np.asarray(picture.read()), np.repeat(grey[..., None], 3, axis=2))


def test_images_in_memory_are_upright_and_over_white_and_stay_as_they_are() -> None:
    stored = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    Image.new("RGB", (4, 2)).save(stored, "JPEG", exif=exif)
    turned = Image.open(stored)
    assert pictures(turned)[0].read().size == (2, 4)
    assert turned.size == (4, 2)
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert np.asarray(pictures(clear)[0].read()).min() == 255
    assert clear.mode == "RGBA"


def test_a_folder_is_the_images_below_it(values: np.ndarray) -> None:
    for name in ("b/2.png", "b/10.png", "a.jpg", ".hidden.png", ".git/c.png", "notes.txt"):
        Path("new", name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(Path("new", name), "PNG")
    for given in ("new", Path("new"), ["new"], "new/"):
        assert [picture.name for picture in pictures(given)] == ["new/a.jpg", "new/b/10.png", "new/b/2.png"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (7, "int is no image"),
        (None, "NoneType is no image"),
        ([None], "image 1 is NoneType"),
        (["one.png", 7], "image 2 is int"),
        ([["one.png"]], "image 1 is list"),
        (torch.zeros(1, 3, 4, 4), "image 1 is torch.Tensor"),
        ([], "no images"),
        (io.StringIO("text"), "opened as text"),
        (digits(), "ImageSet is no image"),
    ],
)
def test_what_is_no_image_is_refused(given: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        pictures(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((3, 4, 3), np.float32), r"array of float32 \[3 4 3\]"),
        (np.zeros((3, 40, 50), np.uint8), r"\[3 40 50\], and its last axis is no colour"),
        (np.zeros(4, np.uint8), r"array of uint8 \[4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"array of uint8 \[0 4 3\]"),
        (b"not an image", "image 1 is not an image"),
        (b"", "image 1 is empty\\ngive a path"),
        ("nothing.png", r"nothing\.png: no such file"),
        ("~nobody-of-that-name/a.png", "~nobody-of-that-name/a.png: no such file"),
        ("", "is no file name"),
        (" ", "is no file name"),
        ("a\0b", "is no file name"),
        ("https://x.org/a.jpg", "no such file or folder\\ndownload it"),
        ("/dev/null", "is not a file"),
    ],
)
def test_what_cannot_be_read_fails_at_its_turn(given: Any, words: str) -> None:
    """Alone it is refused; among others it fails when it is read."""
    with pytest.raises(UserError, match=words):
        pictures(given)[0].read()
    picture, _ = pictures([given, Image.new("RGB", (2, 2))])
    with pytest.raises(UserError, match=words):
        picture.read()


def test_a_pattern_is_not_expanded() -> None:
    with pytest.raises(UserError, match=r"glob\.glob"):
        pictures("new/*.jpg")


def test_where_nothing_exists_nothing_is_loaded() -> None:
    with pytest.raises(UserError, match=r"none of 2 images can be read, first: a\.png: no such file"):
        pictures(["a.png", "b.png"])


def test_a_closed_file() -> None:
    Image.new("RGB", (4, 4)).save("a.png")
    image = Image.open("a.png")
    image.close()
    with pytest.raises(UserError, match="image 1 cannot be decoded"):
        pictures(image)[0].read()


REFUSED: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "tensor, colours first": (lambda v: torch.tensor(v).permute(2, 0, 1), r"tensor\.permute\(1, 2, 0\)\.byte"),
    "list of tensors": (lambda v: [torch.tensor(v).permute(2, 0, 1) / 255], r"\(255 \* tensor\)\.permute\(1, 2, 0\)"),
    "batch of tensors": (lambda v: torch.tensor(v).permute(2, 0, 1)[None], r"permute\(0, 2, 3, 1\)"),
    "array, colours first": (lambda v: v.transpose(2, 0, 1), r"array\.transpose\(1, 2, 0\)"),
    "array of shares": (lambda v: v / 255, r"\(255 \* array\)\.astype\('uint8'\)"),
    "array of floats": (lambda v: v.astype("float32"), r": array\.astype\('uint8'\)"),
    "dictionary": (lambda v: {"a": v}, r"list\(images\.values\(\)\)"),
    "data frame": (lambda v: type("DataFrame", (), {"columns": ["path"], "iloc": None})(), "frame"),
    "file opened as text": (lambda v: open("one.png", encoding="utf-8"), "mode 'rb'"),  # noqa: SIM115
    "closed file": (lambda v: closed("one.png"), "file that is closed"),
    "address": (lambda v: "https://example.org/a.png", "download it"),
}


def closed(name: str) -> Any:
    with open(name, "rb") as file:
        return file


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("form", list(REFUSED))
def test_what_is_refused_says_what_makes_images_of_it(form: str, file: Path, values: np.ndarray) -> None:
    give, said = REFUSED[form]
    with pytest.raises(UserError, match=said):
        [picture.read() for picture in pictures(give(values))]


@pytest.mark.parametrize("text", ['"one.png"', "'one.png'", " one.png ", "one.png\t"])
def test_quotes_and_blanks_round_a_listed_path(text: str, file: Path) -> None:
    [picture] = pictures([text])
    assert picture.name == "one.png"
    Path(text).write_bytes(b"")  # a file that is really called so is meant
    with pytest.raises(UserError, match="is empty"):
        pictures([text])[0].read()


@pytest.mark.parametrize("value", [2.0, "2", True, None, 0, -1])
def test_a_number_of_classes_that_is_none(value: Any) -> None:
    with pytest.raises(UserError, match="top = "):
        whole_number(value, "top")
    assert whole_number(np.int64(2), "top") == 2


@pytest.mark.parametrize("value", ["0.5", True, 50, -0.1, float("nan"), [0.5]])
def test_a_threshold_that_is_none(value: Any) -> None:
    with pytest.raises(UserError, match="threshold = "):
        share(value, closed=True)
    assert share(np.float32(0.5)) == 0.5
