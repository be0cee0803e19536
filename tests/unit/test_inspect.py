"""Looking at an image set: counts beside the published ones, odd files, duplicates, a sheet; nothing stops it."""

import json
import os
import random
import threading
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets import duplicates, inspect, open_set, remarks
from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.duplicates import close_pairs, difference_hash, near_duplicates, small_greys
from cliptune.datasets.folder import load
from cliptune.datasets.images import read_file
from cliptune.datasets.inspect import Place, examine, thumbnails, understood
from cliptune.datasets.published import Facts
from cliptune.errors import UserError

CLASSES = ("cat", "red_fox", "dog")


def photo(number: int, size: tuple[int, int] = (60, 48)) -> Image.Image:
    """Blots of colour, another picture for every number."""
    blots = np.random.default_rng(number).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize(size, Image.Resampling.BICUBIC)


def put(root: Path, path: str, image: Image.Image, kind: str = "PNG", **options) -> str:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    image.save(root / path, kind, **options)
    return path


def files(root: Path, **splits: list[tuple[str, int]]) -> ImageSet:
    items = {split: tuple(Item(path, label) for path, label in rows) for split, rows in splits.items()}
    return ImageSet(
        name="files", classes=CLASSES, read=lambda item: read_file(root / item.path), root=str(root), **items
    )


def drawn(**counts: int) -> ImageSet:
    items = {split: tuple(Item(f"{split}/{n}", n % 3) for n in range(count)) for split, count in counts.items()}

    def read(item: Item) -> Image.Image:
        split, number = item.path.split("/")
        return photo(int(number) + 1000 * inspect.SPLITS.index(split))

    return ImageSet(name="drawn", classes=CLASSES, read=read, **items)


def facts(**fields) -> Facts:
    return Facts(title="Drawn", source="", get="", folders=("drawn",), **fields)


def places(*told: str) -> list[str]:
    return sorted(told)


def test_understood_counts_classes_and_splits():
    found = understood(replace(drawn(train=7, test=2), notes=("a note",), templates=("a {}.", "the {}.")))
    assert found["classes"] == list(CLASSES)
    assert found["class_count"] == 3
    assert found["counts"] == {"train": 7, "val": 0, "test": 2}
    assert found["per_class"] == {
        "train": {"least": 2, "median": 2, "most": 3},
        "val": None,
        "test": {"least": 0, "median": 1, "most": 1},
    }
    assert (found["published"], found["domains"]) == (None, {})
    assert (found["name"], found["root"], found["split"]) == ("drawn", "", "published")
    assert (found["notes"], found["templates"]) == (["a note"], ["a {}.", "the {}."])
    json.dumps(found)


@pytest.mark.parametrize(
    ("known", "matches"),
    [
        ({"classes": 3, "counts": (7, 0, 2)}, True),
        ({"classes": 3}, None),
        ({"classes": 3, "counts": (None, None, 2)}, True),
        ({"classes": 3, "counts": (None, None, 3)}, False),
        ({"counts": (7, 0, 2)}, True),
        ({"classes": 4, "counts": (7, 0, 2)}, False),
        ({"classes": 3, "counts": (7, 0, 3)}, False),
        ({"classes": 3, "counts": (7, 1, 2)}, False),
        ({"classes": 3, "counts": (7, 9, 2), "val_is_test": True}, True),
    ],
)
def test_published_numbers_beside_ours(known, matches):
    told = understood(replace(drawn(train=7, test=2), facts=facts(**known)))["published"]
    assert told["matches"] is matches
    assert told["title"] == "Drawn"
    assert told["classes"] == known.get("classes", 0)
    assert list(told["counts"]) == ["train", "val", "test"]


def test_facts_without_numbers_say_nothing():
    assert understood(replace(drawn(train=3), facts=facts()))["published"] is None


def test_domains_are_counted():
    items = tuple(Item(f"train/{n}", 0, "sketch" if n < 2 else "photo") for n in range(5))
    found = understood(replace(drawn(test=1), train=items, test=items[:3], domains=("photo", "sketch")))
    assert found["domains"] == {
        "photo": {"train": 3, "val": 0, "test": 1},
        "sketch": {"train": 2, "val": 0, "test": 2},
    }
    assert list(found["domains"]) == ["photo", "sketch"]


def test_embedded_digits_are_understood_and_sound():
    digits = open_set("digits")
    assert understood(digits)["counts"] == {"train": 597, "val": 200, "test": 1000}
    found = examine(digits, most=60)
    assert (found.looked_at, found.images, found.modes) == (60, 1797, {"RGB": 60})
    assert (found.unreadable, found.odd, found.duplicates, found.listed_twice) == ({}, {}, [], {})


def test_drawn_sets_are_read_once_and_in_threads():
    reads, threads = [], set()
    imageset = drawn(train=30, val=5, test=10)

    def read(item: Item) -> Image.Image:
        reads.append(item.path)
        threads.add(threading.get_ident())
        return imageset.read(item)

    found = examine(replace(imageset, read=read))
    assert sorted(reads) == sorted(
        item.path for split in (imageset.train, imageset.val, imageset.test) for item in split
    )
    assert threading.get_ident() not in threads
    assert (found.looked_at, found.images, found.modes) == (45, 45, {"RGB": 45})
    assert (found.duplicates, found.near_duplicates, found.odd, found.unreadable) == ([], [], {}, {})


def test_progress_and_stride(monkeypatch):
    monkeypatch.setattr(inspect, "_CHUNK", 4)
    told, reads = [], []
    imageset = drawn(train=6, test=14)

    def read(item: Item) -> Image.Image:
        reads.append(item.path)
        return imageset.read(item)

    found = examine(replace(imageset, read=read), most=5, progress=lambda done, of: told.append((done, of)))
    assert (found.looked_at, found.images) == (5, 20)
    assert sorted(reads) == places("train/0", "train/4", "test/2", "test/6", "test/10")
    assert told == [(4, 5), (5, 5)]
    assert examine(imageset, most=20).looked_at == examine(imageset, most=99).looked_at == 20


def test_empty_set():
    found = examine(drawn())
    assert (found.looked_at, found.images, found.modes, found.duplicates) == (0, 0, {}, [])


def test_unreadable_files_stop_nothing(tmp_path):
    rows = [(put(tmp_path, f"{n}.png", photo(n)), n) for n in range(3)]
    (tmp_path / "note.jpg").write_text("not an image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:-300])
    found = examine(files(tmp_path, train=rows, test=[("note.jpg", 0), ("cut.png", 1), ("gone.png", 2)]))
    assert found.looked_at == 6
    assert list(found.unreadable) == ["note.jpg", "cut.png", "gone.png"]
    assert found.unreadable["note.jpg"] == "note.jpg is not an image but text: 'not an image'"
    assert "truncated" in found.unreadable["cut.png"]
    assert "cannot be opened" in found.unreadable["gone.png"]
    assert found.modes == {"RGB": 3}


@pytest.mark.parametrize("error", [UserError("x is bad", "mend x"), ValueError("bad"), MemoryError(), KeyError("k")])
def test_whatever_a_reader_raises_is_noted(error):
    imageset = drawn(train=4)

    def read(item: Item) -> Image.Image:
        if item.path == "train/2":
            raise error
        return imageset.read(item)

    found = examine(replace(imageset, read=read))
    assert list(found.unreadable) == ["train/2"]
    assert found.unreadable["train/2"]
    assert found.modes == {"RGB": 3}


def test_odd_files_are_remarked_on(tmp_path, monkeypatch):
    monkeypatch.setattr(remarks, "LARGE", 10_000)
    six, zero = Image.Exif(), Image.Exif()
    six[0x0112], zero[0x0112] = 6, 0
    one = Image.Exif()
    one[0x0112] = 1
    rows = [
        put(tmp_path, "plain.JPEG", photo(1), "JPEG", exif=one),
        put(tmp_path, "gif.jpg", photo(2), "GIF"),
        put(tmp_path, "alpha.png", photo(3).convert("RGBA")),
        put(tmp_path, "grey.png", photo(4).convert("L")),
        put(tmp_path, "turned.jpg", photo(5), "JPEG", exif=six),
        put(tmp_path, "zero.jpg", photo(6), "JPEG", exif=zero),
        put(tmp_path, "tiny.png", photo(7, (80, 31))),
        put(tmp_path, "edge.png", photo(8, (32, 32))),
        put(tmp_path, "big.png", photo(9, (200, 100))),
        put(tmp_path, "without", photo(10)),
        put(tmp_path, "several.jpg", photo(11, (20, 20)), "PNG"),
    ]
    found = examine(files(tmp_path, train=[(path, 0) for path in rows]))
    assert found.odd == {
        "gif.jpg": "GIF named .jpg",
        "turned.jpg": "EXIF orientation 6",
        "zero.jpg": "invalid EXIF orientation 0",
        "tiny.png": "small: 80 × 31 pixels",
        "big.png": "large: 200 × 100 pixels, 0 megapixels",
        "without": "PNG without an ending",
        "several.jpg": "PNG named .jpg; small: 20 × 20 pixels",
    }
    assert found.modes == {"RGB": 8, "P": 1, "RGBA": 1, "L": 1}
    assert next(iter(found.modes)) == "RGB"
    assert found.unreadable == {}


def told(groups: list[list[Place]]) -> list[list[str]]:
    return [[str(place) for place in group] for group in groups]


def test_equal_files_across_splits(tmp_path):
    names = ["a.png", "b.png", "c.png", "d.png", "e.png"]
    for name, number in zip(names, (1, 1, 2, 3, 3), strict=True):
        put(tmp_path, name, photo(number))
    found = examine(
        files(tmp_path, train=[("a.png", 0), ("c.png", 1)], test=[("b.png", 0), ("d.png", 2), ("e.png", 2)])
    )
    assert told(found.duplicates) == [["a.png (train, cat)", "b.png (test, cat)"]]
    assert found.near_duplicates == []


def test_equal_files_of_different_classes(tmp_path):
    for name, number in {"a.png": 1, "b.png": 1, "c.png": 2, "d.png": 2}.items():
        put(tmp_path, name, photo(number))
    found = examine(files(tmp_path, train=[("a.png", 0), ("b.png", 1), ("c.png", 2), ("d.png", 2)]))
    assert told(found.duplicates) == [["a.png (train, cat)", "b.png (train, red_fox)"]]


def test_drawn_images_are_equal_by_their_pixels():
    imageset = drawn(train=3, test=3)
    found = examine(replace(imageset, read=lambda item: photo(int(item.path.split("/")[1]))))
    assert len(found.duplicates) == 3
    assert told(found.duplicates)[1] == ["train/1 (train, red_fox)", "test/1 (test, red_fox)"]


def test_files_listed_in_two_splits_are_counted_not_called_duplicates(tmp_path):
    rows = [(put(tmp_path, f"{n}.png", photo(n)), n % 3) for n in range(4)]
    found = examine(files(tmp_path, train=rows[:1], val=rows, test=rows))
    assert found.images == 4
    assert found.listed_twice == {"train and val and test": 1, "val and test": 3}
    assert (found.duplicates, found.near_duplicates) == ([], [])


def test_a_file_listed_under_two_classes(tmp_path):
    put(tmp_path, "a.png", photo(1))
    found = examine(files(tmp_path, train=[("a.png", 0), ("a.png", 2)]))
    assert told(found.duplicates) == [["a.png (train, cat)", "a.png (train, dog)"]]
    assert found.listed_twice == {}


def test_equal_files_across_domains_and_within_one(tmp_path):
    """The test of a set with domains lists what its other splits do; that alone is no duplicate."""
    for name, number in {"p/a.png": 1, "p/b.png": 1, "s/c.png": 2, "p/d.png": 2, "p/e.png": 3, "p/f.png": 3}.items():
        put(tmp_path, name, photo(number))
    names = ("p/a.png", "p/e.png", "p/f.png", "p/b.png", "s/c.png", "p/d.png")
    items = tuple(Item(path, 0, path[0]) for path in names)
    imageset = replace(files(tmp_path), train=items[:3], val=items[3:], test=items, domains=("p", "s"))
    found = examine(imageset)
    assert told(found.duplicates) == [
        ["p/a.png (train, cat)", "p/b.png (val, cat)"],
        ["s/c.png (val, cat)", "p/d.png (val, cat)"],
    ]
    assert found.listed_twice == {"train and test": 3, "val and test": 3}


def saved(image: Image.Image, size: tuple[int, int], quality: int) -> Image.Image:
    file = BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    return Image.open(file)


def test_near_duplicates_across_splits(tmp_path):
    train = [(put(tmp_path, f"t{n}.png", photo(n, (120, 96))), n % 3) for n in range(20)]
    test = [(put(tmp_path, f"x{n}.png", photo(n + 100, (120, 96))), n % 3) for n in range(20)]
    small = put(tmp_path, "small.jpg", saved(photo(4, (120, 96)), (80, 64), 40), "JPEG")
    light = put(tmp_path, "light.png", photo(7, (120, 96)).point(lambda value: value * 0.6 + 80))
    beside = put(tmp_path, "beside.jpg", saved(photo(9, (120, 96)), (80, 64), 60), "JPEG")
    found = examine(files(tmp_path, train=[*train, (beside, 0)], test=[*test, (small, 1), (light, 2)]))
    assert told(found.near_duplicates) == [
        ["small.jpg (test, red_fox)", "t4.png (train, red_fox)"],
        ["light.png (test, dog)", "t7.png (train, red_fox)"],
    ]
    assert found.duplicates == []


def test_flat_images_are_near_nothing():
    flat = [Image.new("RGB", (40, 40), grey) for grey in ("white", "#eeeeee", "black")]
    ramp = Image.linear_gradient("L").rotate(90).convert("RGB")
    dot = Image.new("RGB", (40, 40), "white")
    dot.putpixel((20, 20), (0, 0, 0))
    pictures = [*flat, ramp, ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT), dot]
    assert [difference_hash(small_greys(image)) for image in pictures] == [None] * 6
    imageset = drawn(train=6, test=6)
    lighter = [image.point(lambda value: value * 0.9) for image in pictures]
    found = examine(
        replace(
            imageset,
            read=lambda item: (pictures if item in imageset.train else lighter)[int(item.path.split("/")[1])],
        )
    )
    assert (found.near_duplicates, found.flat) == ([], 12)


def test_difference_hash_by_hand():
    greys = np.random.default_rng(3).integers(0, 256, (8, 9), dtype=np.uint8)
    image = Image.fromarray(greys).convert("RGB")
    bits = "".join(
        "1" if greys[row, column + 1] > greys[row, column] else "0" for row in range(8) for column in range(8)
    )
    assert small_greys(image) == greys.tobytes()
    assert difference_hash(small_greys(image)) == int(bits, 2)
    assert difference_hash(small_greys(image.resize((90, 80), Image.Resampling.NEAREST))) == int(bits, 2)


def test_close_pairs_are_all_pairs_within_two_bits():
    rng = random.Random(0)
    hashes = {rng.getrandbits(64) for _ in range(120)}
    for value in list(hashes)[:60]:
        for bits in (1, 1, 2, 2, 3, 4):
            hashes.add(value ^ sum(1 << bit for bit in rng.sample(range(64), bits)))
    hashes |= {1 << bit for bit in range(64)} | {0, 2**64 - 1}  # each two of the first 65 are close
    wanted = {tuple(sorted(pair)) for pair in combinations(hashes, 2) if (pair[0] ^ pair[1]).bit_count() <= 2}
    found = list(close_pairs(list(hashes)))
    assert len(found) == len(set(found))
    assert {tuple(sorted(pair)) for pair in found} == wanted
    assert len(wanted) > 2000
    assert list(close_pairs([])) == list(close_pairs([5])) == []


def test_many_near_images_stay_linear(monkeypatch):
    monkeypatch.setattr(duplicates, "_COMPARED", 7)
    base = np.random.default_rng(1).integers(20, 230, 72, dtype=np.uint8)
    greys = {f"{n:03d}": (base + n % 3).astype(np.uint8).tobytes() for n in range(300)}
    found = near_duplicates(greys, {path: int(path) % 2 for path in greys})
    assert sorted(found) == [path for path in greys if int(path) % 2]
    assert all(int(like) % 2 == 0 for like in found.values())


def test_alike_in_hash_only_is_not_near():
    greys = np.random.default_rng(2).integers(0, 256, (8, 9)).astype(np.float64)
    steps = np.sign(np.diff(greys, axis=1))
    weak = np.concatenate([np.full((8, 1), 128.0), 128 + np.cumsum(steps * 3, axis=1)], axis=1)
    first, second = (values.astype(np.uint8).tobytes() for values in (greys, weak))
    assert difference_hash(first) == difference_hash(second)
    assert near_duplicates({"a": first, "b": second}, {"a": 0, "b": 1}) == {}
    assert near_duplicates({"a": first, "b": first}, {"a": 0, "b": 1}) == {"b": "a"}
    assert near_duplicates({"a": first, "b": first}, {"a": 1, "b": 0}) == {"a": "b"}
    assert near_duplicates({"a": first, "b": first}, {"a": 1, "b": 1}) == {}


def test_what_was_found_is_json(tmp_path):
    for name, number in {"a.png": 1, "b.png": 1, "c.png": 2}.items():
        put(tmp_path, name, photo(number))
    put(tmp_path, "d.jpg", saved(photo(2), (50, 40), 70), "JPEG")
    (tmp_path / "e.png").write_text("x")
    found = examine(
        files(tmp_path, train=[("a.png", 0), ("c.png", 1)], test=[("b.png", 0), ("d.jpg", 1), ("e.png", 2)])
    )
    back = json.loads(json.dumps(found.facts()))
    assert back["duplicates"] == [[["a.png", "train", "cat"], ["b.png", "test", "cat"]]]
    assert back["near_duplicates"] == [[["d.jpg", "test", "red_fox"], ["c.png", "train", "red_fox"]]]
    assert (back["looked_at"], back["images"], list(back["unreadable"])) == (5, 5, ["e.png"])


def test_names_that_are_no_unicode_are_told_as_text(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (tmp_path / name).write_text("x")
    except OSError:
        pytest.skip("this file system takes no such name")
    found = examine(files(tmp_path, train=[(name, 0)]))
    assert list(found.unreadable) == [r"caf\xe9.png"]
    json.dumps(found.facts(), ensure_ascii=False).encode("utf-8")


def cells(path: Path) -> list[tuple[int, int, int]]:
    """The colour in the middle of each cell of a 3 × 3 sheet."""
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode, sheet.size) == ("PNG", "RGB", (416, 476))
        return [sheet.getpixel((8 + 136 * column + 64, 8 + 156 * row + 64)) for row in range(3) for column in range(3)]


def coloured(classes: int, per_class: int = 2) -> ImageSet:
    """Red tells the class, blue the image."""
    items = tuple(Item(f"{n}/{k}", n) for n in range(classes) for k in range(per_class))

    def read(item: Item) -> Image.Image:
        number, image = map(int, item.path.split("/"))
        return Image.new("RGB", (50, 40), (number, 0, image * 50))

    return ImageSet(name="coloured", classes=tuple(f"class_{n}" for n in range(classes)), read=read, train=items)


def test_sheet_shows_evenly_spaced_classes(tmp_path):
    path = tmp_path / "new folder" / "sheet.png"
    thumbnails(coloured(90), path)
    assert cells(path) == [(n, 0, 0) for n in range(0, 90, 10)]
    first = path.read_bytes()
    thumbnails(coloured(90), path)
    assert path.read_bytes() == first
    assert os.listdir(path.parent) == ["sheet.png"]


def test_sheet_of_few_classes_shows_several_of_each(tmp_path):
    thumbnails(coloured(4), tmp_path / "sheet.png")
    white = (255, 255, 255)
    assert cells(tmp_path / "sheet.png") == [(n, 0, k * 50) for k in range(2) for n in range(4)] + [white]


def test_sheet_passes_over_what_cannot_be_read(tmp_path):
    imageset = coloured(3)

    def read(item: Item) -> Image.Image:
        if item.path == "1/0":
            raise UserError("1/0 is not an image", "remove it")
        return imageset.read(item)

    thumbnails(replace(imageset, read=read, train=(), test=imageset.train), tmp_path / "sheet.png", count=9)
    assert cells(tmp_path / "sheet.png")[:5] == [(0, 0, 0), (2, 0, 0), (0, 0, 50), (1, 0, 50), (2, 0, 50)]


def test_sheet_without_any_readable_image(tmp_path):
    for imageset in (coloured(0), replace(coloured(3), read=lambda item: read_file(tmp_path / item.path))):
        with pytest.raises(UserError, match="'coloured' has no readable image"):
            thumbnails(imageset, tmp_path / "sheet.png")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["a very long class name that fits in no cell", "größe", "猫", "a\nb\0c", "\udce9", ""]
)
def test_sheet_takes_any_class_name(name, tmp_path):
    imageset = replace(coloured(2), classes=(name, "dog"))
    thumbnails(imageset, tmp_path / "sheet.png")
    font = inspect._font()
    assert font.getlength(inspect._fitting(name, font)) <= 128


def test_own_images_from_a_folder(tmp_path):
    for number in range(8):
        put(tmp_path, f"{'cat' if number % 2 else 'dog'}/{number}.png", photo(number))
    imageset = load(tmp_path)
    assert understood(imageset)["counts"] == {"train": 4, "val": 2, "test": 2}
    assert examine(imageset).modes == {"RGB": 8}
    thumbnails(imageset, tmp_path / "sheet.png")


def test_a_file_of_sixteen_bits_that_uses_twelve_is_remarked_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64) + number % 2
            Image.fromarray(np.minimum(ramp, 4095)).save(tmp_path / name / f"{number}.tif")
    remarks = examine(load(tmp_path)).odd.values()
    assert set(remarks) == {"12 of 16 bits used: scaled by 4,095"}
    assert len(remarks) == 8


def test_odd_pixels_and_pages_are_remarked_on(tmp_path: Path) -> None:
    pages = [Image.effect_noise((64, 64), sigma) for sigma in (30, 60)]
    clear = Image.merge("LA", (pages[0], Image.new("L", (64, 64))))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pages[0].save(tmp_path / name / f"{number}.png")
    pages[0].save(tmp_path / "a" / "film.gif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "a" / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].convert("RGB").save(tmp_path / "a" / "phone.mpo", save_all=True, append_images=[pages[1].convert("RGB")])
    clear.save(tmp_path / "b" / "clear.png")
    first = "several pages or frames: the first is read"
    assert examine(load(tmp_path)).odd == {
        "a/film.gif": first,
        "a/pages.tif": first,
        "b/clear.png": "nothing in it is opaque: its colours are read without their alpha",
    }
