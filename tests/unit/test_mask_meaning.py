"""What a mask's stored values mean, decided from all masks of a set: every channel, depth, palette, alpha and noise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cliptune.datasets.mask_meaning import checked
from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import MaskItem, MaskSet
from tests.layouts.segmentation import complaint, items, picture

WIDTH, HEIGHT = 128, 96
COUNT = 8
Draw = Callable[[np.ndarray], Image.Image]


def shape(number: int) -> np.ndarray:
    """bool [h w]: a disc, another for each number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - 40 - 4 * number) ** 2 + (y - 36 - 2 * number) ** 2 < 24**2


def classes(marked: np.ndarray) -> np.ndarray:
    """uint8 [h w]: 1 in the disc, 2 in a box beside it."""
    numbers = marked.astype(np.uint8)
    numbers[70:90, 4:30] = 2
    return numbers


def grey(most: float, dtype: type = np.uint8, least: float = 0) -> Draw:
    return lambda marked: Image.fromarray(np.where(marked, most, least).astype(dtype))


def coloured(*over: int, under: tuple[int, ...] = (0, 0, 0)) -> Draw:
    return lambda marked: Image.fromarray(np.where(marked[..., None], over, under).astype(np.uint8))


def palette(*colours: tuple[int, int, int]) -> Draw:
    def draw(marked: np.ndarray) -> Image.Image:
        image = Image.fromarray(marked.astype(np.uint8), "P")
        image.putpalette([part for colour in colours for part in colour])
        return image

    return draw


def soft(radius: float, most: int = 255) -> Draw:
    return lambda marked: grey(most)(marked).filter(ImageFilter.GaussianBlur(radius))


def cut_out(marked: np.ndarray) -> Image.Image:
    """A photo with transparency around what is marked."""
    stream = np.random.default_rng(int(marked.argmax()))
    pixels = stream.integers(0, 256, (*marked.shape, 4), dtype=np.uint8)
    pixels[..., 3] = 255 * marked
    return Image.fromarray(pixels)


def set_of(root: Path, draw: Draw, suffix: str = ".png") -> Path:
    """A folder of images with masks as `draw` makes them of the discs."""
    for number in range(COUNT):
        picture(root / "images" / f"{number}.png", (WIDTH, HEIGHT))
        file = root / "masks" / f"{number}{suffix}"
        file.parent.mkdir(exist_ok=True)
        draw(shape(number)).save(file)
    return root


def true(item: MaskItem) -> np.ndarray:
    return shape(int(Path(item.image).stem))


def wrong_pixels(opened: MaskSet, truth: Callable[[MaskItem], np.ndarray] = true) -> int:
    """The most pixels that differ from the truth in any mask."""
    return max(int((opened.read_mask(item) != truth(item)).sum()) for item in items(opened))


TWO_VALUES: dict[str, tuple[Draw, str]] = {
    "1 bit": (lambda marked: Image.fromarray(marked), ""),
    "0 and 255": (grey(255), ""),
    "0 and 1": (grey(1), "masks hold 0 and 1: 1 is marked"),
    "0 and 128": (grey(128), "masks hold 0 and 128: 128 is marked"),
    "16 bits": (grey(65535, np.uint16), ""),
    "16 bits, 0 and 1": (grey(1, np.uint16), "1 is marked"),
    "16 bits, 0 and 255": (grey(255, np.uint16), ""),
    "red": (coloured(255, 0, 0), "(255, 0, 0) is marked"),
    "green": (coloured(0, 255, 0), "(0, 255, 0) is marked"),
    "blue": (coloured(0, 0, 255), "(0, 0, 255) is marked"),
    "cyan": (coloured(0, 255, 255), "(0, 255, 255) is marked"),
    "dark": (coloured(30, 0, 0), "(30, 0, 0) is marked"),
    "a palette's green": (palette((0, 0, 0), (0, 128, 0)), "(0, 128, 0) is marked"),
    "a palette that is black": (palette((0, 0, 0), (0, 0, 0)), "1 is marked"),
    "a palette upside down": (lambda marked: palette((255, 255, 255), (0, 0, 0))(~marked), ""),
    "opaque": (coloured(255, 255, 255, 255, under=(0, 0, 0, 255)), ""),
    "black on nothing": (coloured(0, 0, 0, 255, under=(0, 0, 0, 0)), "alpha channel of 8 files"),
    "white on white nothing": (coloured(255, 255, 255, 255, under=(255, 255, 255, 0)), ""),
    "green on nothing": (coloured(0, 255, 0, 255, under=(0, 0, 0, 0)), "(0, 255, 0) is marked"),
    "grey and alpha": (lambda m: coloured(0, 0, 0, 255, under=(0, 0, 0, 0))(m).convert("LA"), "alpha channel"),
    "a photo cut out": (cut_out, "alpha channel of 8 files"),
}


@pytest.mark.parametrize("name", TWO_VALUES)
def test_two_values_mean_background_and_marked(name, tmp_path):
    draw, note = TWO_VALUES[name]
    opened = open_masks(str(set_of(tmp_path, draw)), prompt="disc")
    assert wrong_pixels(opened) == 0
    assert len(opened.notes) == bool(note), opened.notes
    assert note in "".join(opened.notes)


@pytest.mark.parametrize(
    ("draw", "suffix"),
    [
        (grey(1, np.float32), ".tif"),
        (grey(255, np.float32), ".tif"),
        (grey(1, np.int32), ".tif"),
        (lambda marked: coloured(255, 255, 255)(marked).convert("CMYK"), ".tif"),
        (grey(255), ".gif"),
        (grey(255), ".bmp"),
        (coloured(0, 255, 0), ".webp"),
    ],
)
def test_two_values_in_other_formats(draw, suffix, tmp_path):
    lossless = draw if suffix != ".webp" else lambda marked: _lossless(draw(marked), tmp_path / "lossless.webp")
    assert wrong_pixels(open_masks(str(set_of(tmp_path / "set", lossless, suffix)), prompt="disc")) == 0


def _lossless(image: Image.Image, path: Path) -> Image.Image:
    image.save(path, lossless=True)
    return Image.open(path)


@pytest.mark.parametrize("quality", [50, 75, 100])
@pytest.mark.parametrize(
    "draw", [grey(255), coloured(255, 255, 255), grey(128), coloured(0, 255, 0), coloured(0, 128, 0)]
)
def test_jpeg_noise_is_no_value_of_its_own(draw, quality, tmp_path):
    root = set_of(tmp_path, draw)
    for file in sorted((root / "masks").iterdir()):
        with Image.open(file) as image:
            image.save(file.with_suffix(".jpg"), quality=quality)
        file.unlink()
    opened = open_masks(str(root), prompt="disc")
    # JPEG halves the resolution of colours, so a coloured disc's rim may be off by a pixel: 2 π 24 of them.
    assert wrong_pixels(opened) <= 2 * np.pi * 24
    assert "have values beside" in opened.notes[-1]


def test_soft_edges_and_probabilities_are_cut_half_way(tmp_path):
    for name, draw in {
        "edges": soft(1),
        "wide": soft(4),
        "16 bits": lambda marked: Image.fromarray(np.asarray(soft(2)(marked)).astype(np.uint16) * 257),
    }.items():
        opened = open_masks(str(set_of(tmp_path / name, draw)), prompt="disc")
        with Image.open(tmp_path / name / "masks" / "3.png") as image:
            half = np.asarray(image) > (32767 if name == "16 bits" else 127)
        item = next(item for item in items(opened) if item.image == "images/3.png")
        assert (opened.read_mask(item) == half).all(), name
        assert opened.notes[-1].startswith("8 of 8 mask files have values beside 0 or "), name


def test_files_of_several_depths_share_white(tmp_path):
    root = set_of(tmp_path, grey(255))
    grey(65535, np.uint16)(shape(3)).save(root / "masks" / "3.png")
    assert wrong_pixels(open_masks(str(root), prompt="disc")) == 0


def labels(colours: list, dtype: type = np.uint8) -> Draw:
    return lambda marked: Image.fromarray(np.array(colours, dtype)[classes(marked)])


SEVERAL: dict[str, tuple[Draw, int | tuple[int, int, int]]] = {
    "0, 1, 2": (labels([0, 1, 2]), 2),
    "0, 127, 255": (labels([0, 127, 255]), 255),
    "void": (labels([0, 1, 255]), 255),
    "16 bits": (labels([0, 1, 2], np.uint16), 2),
    "colours": (labels([(0, 0, 0), (255, 0, 0), (0, 0, 255)]), (0, 0, 255)),
    "a palette": (lambda m: palette((0, 0, 0), (128, 0, 0), (0, 128, 0))(classes(m)), (0, 128, 0)),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_classes_are_refused_with_what_to_type_and_chosen_by_value(name, tmp_path):
    draw, second = SEVERAL[name]
    root = set_of(tmp_path, draw)
    error = complaint(root, prompt="disc")
    assert "its masks hold 3 values where two are needed: 0 in 8, 81.2 %" in error.what
    assert "--set" in error.fix
    assert "segment.value=nonzero" in error.fix
    box = open_masks(str(root), prompt="box", value=second)
    assert wrong_pixels(box, lambda item: classes(true(item)) == 2) == 0
    assert box.opened["segment.value"] == second
    both = open_masks(str(root), prompt="thing", value="nonzero")
    assert wrong_pixels(both, lambda item: classes(true(item)) > 0) == 0
    assert "hold 0 in 8" in complaint(root, prompt="disc", value=77).what


def test_one_file_of_another_convention_is_named(tmp_path):
    root = set_of(tmp_path, grey(255))
    grey(1)(shape(5)).save(root / "masks" / "5.png")
    assert "1 in 1 (masks/5.png)" in complaint(root, prompt="disc").what
    assert wrong_pixels(open_masks(str(root), prompt="disc", value="nonzero")) == 0


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (coloured(0, 128, 0, under=(255, 255, 255)), ("255 in 8", "(0, 128, 0) in 8", "'segment.value=[0, 128, 0]'")),
        (grey(2, least=1), ("1 in 8", "2 in 8", "segment.value=2")),
        (coloured(255, 0, 0, under=(100, 0, 0)), ("(100, 0, 0) in 8", "'segment.value=[255, 0, 0]'")),
    ],
)
def test_two_values_without_black_are_refused(draw, told, tmp_path):
    error = complaint(set_of(tmp_path, draw), prompt="disc")
    assert "none is black" in error.what
    assert all(text in error.what + error.fix for text in told)


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda marked: Image.new("L", (WIDTH, HEIGHT)), "none of its 8 mask files marks anything, all are 0"),
        (lambda marked: Image.new("RGB", (WIDTH, HEIGHT), "white"), "tells anything apart, all are 255"),
        (lambda marked: Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 255)), "marks anything"),
        (lambda marked: cut_out(marked).convert("RGB"), "are pictures of many colours"),
        (lambda marked: cut_out(marked).convert("L"), "are pictures of many colours"),
    ],
)
def test_what_are_no_masks_is_refused(draw, told, tmp_path):
    assert told in complaint(set_of(tmp_path, draw), prompt="disc").what


def test_masks_that_seem_inverted_are_noted_and_can_be_turned_round(tmp_path):
    root = set_of(tmp_path, lambda marked: grey(255)(~marked))
    opened = open_masks(str(root), prompt="disc")
    assert opened.notes == (
        "in 8 of 8 mask files 255, which is marked, surrounds 0: if they are inverted, --set segment.value=0",
    )
    black = open_masks(str(root), prompt="disc", value=0)
    assert (wrong_pixels(black), black.notes) == (0, ())


def test_a_part_in_which_nothing_is_marked_is_told(tmp_path):
    for part in ("train", "test"):
        set_of(tmp_path / part, grey(255))
    for file in (tmp_path / "test" / "masks").iterdir():
        Image.new("L", (WIDTH, HEIGHT)).save(file)
    opened = open_masks(str(tmp_path), prompt="disc")
    assert "nothing is marked in any test mask (8)" in opened.notes
    for file in (tmp_path / "train" / "masks").iterdir():
        file.write_bytes((tmp_path / "test" / "masks" / file.name).read_bytes())
    for file in (tmp_path / "test" / "masks").iterdir():
        grey(255)(shape(1)).save(file)
    assert "nothing is marked in any train mask" in complaint(tmp_path, prompt="disc").what


def test_files_that_cannot_be_read_decide_nothing(tmp_path):
    root = set_of(tmp_path, coloured(0, 255, 0))
    (root / "masks" / "2.png").write_bytes(b"no image")
    opened = open_masks(str(root), prompt="disc")
    assert opened.notes == ("masks hold 0 and (0, 255, 0): (0, 255, 0) is marked",)


def test_a_value_is_for_your_own_images(tmp_path):
    assert "leave it out" in complaint("world/objects", value=1).fix
    error = complaint(set_of(tmp_path, grey(255)), prompt="disc", value=[1, 2])
    assert "a colour like [0, 128, 0]" in error.fix


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("alpha", [0, 128])
def test_an_alpha_that_is_the_same_everywhere_tells_nothing(mode: str, alpha: int, tmp_path: Path) -> None:
    def draw(marked: np.ndarray) -> Image.Image:
        image = grey(255)(marked).convert(mode)
        image.putalpha(alpha)
        return image

    opened = open_masks(str(set_of(tmp_path, draw)), prompt="disc")
    assert wrong_pixels(opened) == 0
    assert opened.notes == ()


def test_an_empty_shape_in_alpha_stays_empty(tmp_path: Path) -> None:
    root = set_of(tmp_path, cut_out)
    clear = Image.open(root / "masks" / "3.png")
    clear.putalpha(0)
    clear.save(root / "masks" / "3.png")
    opened = open_masks(str(root), prompt="disc")
    assert not next(opened.read_mask(item) for item in items(opened) if item.image.endswith("/3.png")).any()


def test_a_picture_among_the_masks_is_named_or_left_out(tmp_path: Path) -> None:
    root = set_of(tmp_path, grey(255))
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "masks" / "3.png")
    told = complaint(root, prompt="disc")
    assert "masks/3.png is a picture and no mask: most of it is far from 0 and 255" in told.what
    assert "data.missing=skip" in told.fix
    opened = open_masks(str(root), prompt="disc", missing="skip")
    assert len(items(opened)) == COUNT - 1
    assert wrong_pixels(opened) == 0
    assert any("1 mask file is left out with its image, first masks/3.png" in note for note in opened.notes)


def test_a_mask_with_a_value_of_its_own_can_be_left_out(tmp_path: Path) -> None:
    root = set_of(tmp_path, grey(255))
    grey(1)(shape(3)).save(root / "masks" / "3.png")
    assert "1 in 1 (masks/3.png)" in complaint(root, prompt="disc").what
    opened = open_masks(str(root), prompt="disc", missing="skip")
    assert len(items(opened)) == COUNT - 1
    assert any("it holds a third value" in note for note in opened.notes)


def test_label_maps_of_floats_are_chosen_by_value(tmp_path: Path) -> None:
    def draw(marked: np.ndarray) -> Image.Image:
        return Image.fromarray(classes(marked).astype(np.float32) / 2)

    root = set_of(tmp_path, draw, ".tif")
    assert "0.5 in 8" in complaint(root, prompt="disc").what
    assert wrong_pixels(open_masks(str(root), prompt="disc", value=0.5)) == 0


@pytest.mark.parametrize("value", ["255", "white", ("a",), True, (1, 2), float("nan"), None])
def test_a_value_that_cannot_be_meant(value: object, tmp_path: Path) -> None:
    root = set_of(tmp_path, grey(255))
    told = complaint(root, prompt="disc", value=value)
    assert told.fix == "a number, a colour like [0, 128, 0], or 'nonzero'"


def test_a_prompt_that_is_a_list(tmp_path: Path) -> None:
    told = complaint(tmp_path, prompt=["disc"])
    assert told.what == "the prompt is given as list"


def test_masks_of_several_pages_are_told(tmp_path: Path) -> None:
    root = set_of(tmp_path, grey(255), ".tif")
    page = grey(255)(shape(3))
    page.save(root / "masks" / "3.tif", save_all=True, append_images=[page])
    opened = open_masks(str(root), prompt="disc")
    assert wrong_pixels(opened) == 0
    assert "1 of 8 mask files has several pages or frames: the first is read" in opened.notes


@pytest.mark.parametrize(
    ("value", "meant"), [(np.int64(255), 255), (np.array([0, 128, 0]), (0, 128, 0)), (np.float32(0.5), 0.5)]
)
def test_values_of_numpy_are_numbers(value: object, meant: object) -> None:
    assert checked(value) == meant
