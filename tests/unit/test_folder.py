"""Your own images: what each layout is understood to be, and what is said about the others."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.folder import load
from cliptune.errors import UserError


def put(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), colour).save(path, "PNG")
    return path


def fill(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        for number in range(count):
            put(root / name / f"{number}.png")
    return root


def every(imageset: ImageSet) -> list[Item]:
    return [*imageset.train, *imageset.val, *imageset.test]


def complaint(path: Path) -> UserError:
    with pytest.raises(UserError) as error:
        load(path)
    assert "\n" not in error.value.what
    assert "\n" not in error.value.fix
    return error.value


def paths(items: tuple[Item, ...]) -> list[str]:
    return [item.path for item in items]


def test_folder_per_class(tmp_path):
    root = fill(tmp_path / "photos", dog=10, cat=20, Zebra=3)
    put(root / "cat" / "near" / "far" / "UPPER.JPG")
    put(root / "cat" / "colt's foot (1).png")
    put(root / "cat" / ".hidden.png")
    put(root / "cat" / ".thumbs" / "1.png")
    put(root / ".git" / "1.png")
    put(root / "__MACOSX" / "1.png")
    put(root / "loose.png")
    (root / "cat" / "Thumbs.db").write_text("x")
    (root / "cat" / "notes.mat").write_text("x")
    found = load(root)
    assert found.name == "photos"
    assert found.classes == ("Zebra", "cat", "dog")
    assert found.templates == ("a photo of a {}.",)
    assert found.augment.kind == "auto"  # decided from the images
    assert found.split == "made here, seed 0"
    assert Counter(item.label for item in every(found)) == {0: 3, 1: 22, 2: 10}
    assert {"cat/near/far/UPPER.JPG", "cat/colt's foot (1).png"} <= {item.path for item in every(found)}
    assert all(found.classes[item.label] == item.path.split("/")[0] for item in every(found))
    assert found.read(found.train[0]).size == (6, 4)


@pytest.mark.parametrize(
    ("n", "shares"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (10, (5, 2, 3)), (120, (60, 24, 36))],
)
def test_shares_of_a_class(n, shares, tmp_path):
    found = load(fill(tmp_path / "photos", small=n, other=5))
    label = found.classes.index("small")
    assert tuple(sum(item.label == label for item in s) for s in (found.train, found.val, found.test)) == shares


def test_every_image_is_in_one_split_and_every_class_in_train(tmp_path):
    found = load(fill(tmp_path / "photos", **{f"c{n}": n for n in range(1, 30)}))
    everything = [item.path for item in every(found)]
    assert len(everything) == len(set(everything)) == sum(range(1, 30))
    assert {item.label for item in found.train} == set(range(29))


def test_split_depends_on_seed_and_paths_alone(tmp_path, monkeypatch):
    one = load(fill(tmp_path / "one", cat=20, dog=20), seed=3)
    real_walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: ((w, d, sorted(f, reverse=True)) for w, d, f in real_walk(top)))
    two = load(fill(tmp_path / "two", dog=20, cat=20), seed=3)
    other = load(tmp_path / "one", seed=4)
    assert (one.train, one.val, one.test) == (two.train, two.val, two.test)
    assert set(one.test) != set(other.test)
    assert other.split == "made here, seed 4"


def test_split_is_this_one_for_ever(tmp_path):
    """Golden: sorted by sha256 of 'seed NUL path', the first 30 % are test, then 20 % val. Re-derived with stdlib."""
    found = load(fill(tmp_path / "photos", cat=10, dog=10), seed=5)
    ranked = sorted((f"cat/{n}.png" for n in range(10)), key=lambda p: hashlib.sha256(f"5\0{p}".encode()).hexdigest())
    cats = [sorted(item.path for item in split if item.label == 0) for split in (found.test, found.val, found.train)]
    assert cats == [sorted(ranked[:3]), sorted(ranked[3:5]), sorted(ranked[5:])]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_given_splits(val, tmp_path):
    fill(tmp_path / "train", cat=4, dog=5, emu=2)
    fill(tmp_path / val, dog=2)
    fill(tmp_path / "test", dog=3, emu=1)
    found = load(tmp_path)
    assert found.split == "given"
    assert found.classes == ("cat", "dog", "emu")
    assert [len(split) for split in (found.train, found.val, found.test)] == [11, 2, 4]
    assert {item.label for item in found.test} == {1, 2}  # by name: dog is 1 though test/ has no cat
    assert set(paths(found.val)) == {f"{val}/dog/0.png", f"{val}/dog/1.png"}


def test_missing_val_is_cut_off_train(tmp_path):
    fill(tmp_path / "train", cat=10, dog=1)
    fill(tmp_path / "test", cat=3, dog=3)
    found = load(tmp_path, seed=7)
    assert [len(split) for split in (found.train, found.val, found.test)] == [9, 2, 6]
    assert {item.label for item in found.train} == {0, 1}
    assert all(path.startswith("train/cat/") for path in paths(found.val))
    assert not set(found.val) & set(found.train)
    assert "20 %" in found.split
    assert "seed 7" in found.split


def test_a_class_called_train(tmp_path):
    found = load(fill(tmp_path, train=3, bus=3, car=3))
    assert found.classes == ("bus", "car", "train")


def test_class_only_in_test_is_refused(tmp_path):
    fill(tmp_path / "train", cat=4, dog=4)
    fill(tmp_path / "test", cat=4, emu=4)
    assert "class 'emu' has no train images" in complaint(tmp_path).what


def test_train_without_test(tmp_path):
    fill(tmp_path / "train", cat=4, dog=4)
    fill(tmp_path / "val", cat=4, dog=4)
    error = complaint(tmp_path)
    assert "no test folder" in error.what
    assert "rename" in error.fix


def test_two_validation_folders(tmp_path):
    for split in ("train", "val", "valid", "test"):
        fill(tmp_path / split, cat=2, dog=2)
    assert "both 'val' and 'valid'" in complaint(tmp_path).what


def test_missing_folder_offers_the_nearest(tmp_path):
    fill(tmp_path / "photos", cat=1, dog=1)
    error = complaint(tmp_path / "fotos")
    assert "does not exist" in error.what
    assert error.fix == f"did you mean '{tmp_path / 'photos'}'?"
    assert "does not exist" in complaint(tmp_path / "nowhere" / "at all").what


def test_one_class_no_class_empty_class_no_images(tmp_path):
    assert "has one class, 'cat'" in complaint(fill(tmp_path / "one", cat=3)).what
    (tmp_path / "none").mkdir()
    assert "has no class folders" in complaint(tmp_path / "none").what
    put(tmp_path / "none" / "loose.png")
    assert "has images but no class folders" in complaint(tmp_path / "none").what
    fill(tmp_path / "empty", cat=3)
    (tmp_path / "empty" / "dog").mkdir()
    (tmp_path / "empty" / "dog" / "readme.txt").write_text("soon")
    assert "class 'dog' is empty" in complaint(tmp_path / "empty").what


def test_a_file_that_is_no_csv(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    error = complaint(tmp_path / "photos.zip")
    assert "neither a folder nor a CSV" in error.what
    assert "unpack" in error.fix


def test_text_named_jpg_is_found_when_read(tmp_path):
    root = fill(tmp_path, cat=1, dog=1)
    (root / "cat" / "a.jpg").write_text("hello")
    found = load(root)
    bad = next(item for item in every(found) if item.path == "cat/a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg is not an image"):
        found.read(bad)


def listing(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "photos.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_without_splits(encoding, newline, tmp_path):
    lines = ["image,label,note"]
    for number in range(10):
        put(tmp_path / "all" / f"{number}, ä.png")
        lines.append(f'"all/{number}, ä.png",{"käse" if number % 2 else "cat"},x')
    found = load(listing(tmp_path, newline.join(lines), encoding))
    assert found.name == "photos"
    assert found.classes == ("cat", "käse")
    assert found.split == "made here, seed 0"
    assert [len(split) for split in (found.train, found.val, found.test)] == [4, 2, 4]
    assert all(found.read(item).size == (6, 4) for item in every(found))


def test_csv_with_splits_and_other_folders(tmp_path):
    (tmp_path / "lists").mkdir()
    fill(tmp_path, a=4, b=4)
    absolute = tmp_path / "b" / "3.png"
    rows = ["split,Label,image"]
    rows += [f"train,{c},../{c}/{n}.png" for c in "ab" for n in (0, 1)]
    rows += [f"val,{c},../{c}/2.png" for c in "ab"]
    rows += ["test,a,.././a/3.png", f"test,b,{absolute}"]
    found = load(listing(tmp_path / "lists", "\n".join(rows)))
    assert found.split == "given"
    assert [len(split) for split in (found.train, found.val, found.test)] == [4, 2, 2]
    assert paths(found.test) == ["../a/3.png", absolute.as_posix()]
    assert all(found.read(item).size == (6, 4) for item in every(found))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "photos.csv is empty"),
        ("file,label\na,b\n", "no column 'image'"),
        ("image:label\n1.png:a\n", "no column 'image'"),
        ("image,class\n1.png,a\n", "no column 'label'"),
        ("image,label\n", "lists no images"),
        ("image,label\n1.png,a\n2.png,\n", "photos.csv:3: label is empty"),
        ("image,label\n1.png,a\n2.png\n", "photos.csv:3 has 1 field, the first line 2: 2.png"),
        ("image,label\n1.png,bear, brown\n2.png,b\n", "photos.csv:2 has 3 fields, the first line 2"),
        ("image,label\n1.png,a\n,b\n", "photos.csv:3: image is empty"),
        ("image,label\n1.png,a\n2.png,a\n", "has one class, 'a'"),
        ("image,label\n1.png,a\n2.png,b\nx/../1.png,a\n", "photos.csv:4: '1.png' is listed twice, first on line 2"),
        ("image,label\n1.png,a\nx.png,b\ny.png,b\n", "2 listed files do not exist, first 'x.png' (line 3)"),
        ("image,label,split\n1.png,a,train\n2.png,b,fold 1\n", "photos.csv:3: split = 'fold 1'"),
        ("image,label,split\n1.png,a,train\n2.png,b,\n", "photos.csv:3: split is empty"),
        ("image,label,split\n1.png,a,train\n2.png,b,train\n", "has no test images"),
        ("image,label,split\n1.png,a,train\n2.png,b,test\n", "class 'b' has no train images"),
    ],
)
def test_csv_complaints(text, words, tmp_path):
    for number in (1, 2):
        put(tmp_path / f"{number}.png")
    error = complaint(listing(tmp_path, text))
    assert words in error.what
    assert error.fix


def test_csv_in_another_encoding(tmp_path):
    error = complaint(listing(tmp_path, "image,label\n1.png,käse\n", "latin-1"))
    assert "not UTF-8" in error.what


def test_open_set_prefers_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "digits", cat=2, dog=2)
    assert open_set("digits").classes == ("cat", "dog")
    assert open_set("./digits", seed=9).split == "made here, seed 9"
    monkeypatch.chdir(tmp_path / "digits")
    assert open_set(".").name == "digits"
    assert open_set(".").classes == ("cat", "dog")


TREES = {"n02": "red fox", "n10": "Grey_wolf", "n9": "colt's foot (1)"}


@pytest.fixture
def trees(tmp_path) -> Path:
    return fill(tmp_path / "trees", n10=10, n02=10, n9=10)


def named(tmp_path: Path, text: str, name: str = "names.txt") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", ["names.json", "names.txt"])
def test_names_as_json(name, trees, tmp_path):
    found = load(trees, names=named(tmp_path, "\ufeff " + json.dumps(TREES), name))
    assert found.classes == ("red fox", "Grey_wolf", "colt's foot (1)")


@pytest.mark.parametrize(
    "text",
    ["n9 colt's foot (1)\nn02 red fox\n\nn10\tGrey_wolf", "n10 Grey_wolf\r\nn9  colt's   foot (1) \r\nn02 red fox\r\n"],
)
def test_names_as_lines(text, trees, tmp_path):
    assert load(trees, names=str(named(tmp_path, text))).classes == ("red fox", "Grey_wolf", "colt's foot (1)")


@pytest.mark.parametrize("mark", [",", ";", ": ", " = ", ",\t"])
def test_names_as_lines_with_other_separators(mark, trees, tmp_path):
    text = f'n9{mark}"colt\'s foot, (1)"\nn02{mark}red fox\nn10{mark}Grey_wolf'
    assert load(trees, names=named(tmp_path, text)).classes == ("red fox", "Grey_wolf", "colt's foot, (1)")


def test_names_change_nothing_but_names(trees, tmp_path):
    plain, called = load(trees, seed=3), load(trees, seed=3, names=named(tmp_path, json.dumps(TREES)))
    assert plain.classes == ("n02", "n10", "n9")
    assert (plain.train, plain.val, plain.test) == (called.train, called.val, called.test)
    assert all(list(TREES)[item.label] == item.path.split("/")[0] for item in every(called))


def test_names_of_given_splits_and_csv_labels(tmp_path):
    fill(tmp_path / "train", a=2, b=2)
    fill(tmp_path / "test", a=1, b=1)
    names = named(tmp_path, "b bee\na ant\n")
    assert load(tmp_path, names=names).classes == ("ant", "bee")
    csv = listing(tmp_path, "image,label\ntrain/a/0.png,a\ntest/a/0.png,a\ntrain/b/0.png,b\n")
    assert load(csv, names=names).classes == ("ant", "bee")


def test_folders_with_blanks_are_named_in_json(tmp_path):
    root = fill(tmp_path / "photos", **{"my cat": 2, "größe": 2})
    text = json.dumps({"my cat": "猫", "größe": "size\n of it"})
    assert load(root, names=named(tmp_path, text)).classes == ("size of it", "猫")
    with pytest.raises(UserError) as error:
        load(root, names=named(tmp_path, "my cat\ngröße size"))
    assert "in JSON" in error.value.fix


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("n02 fox\nn10 wolf", "names.txt: class folder 'n9' has no name", "add a name"),
        ("", "class folder 'n02' has no name, nor have 2 others", "add a name"),
        ("n02 fox\nn10\nn9 foot", "class folder 'n10' has no name", "add a name"),
        ("n02 fox\nn10 _\nn9 foot", "class folder 'n10' has no name", "add a name"),
        ("n02 fox\nn10 wolf\nn9 foot\nn11 lynx", "'n11' is no class folder", "remove it"),
        ("n02 fox\nN_10 wolf\nn9 foot", "'N_10' is no class folder", "did you mean 'n10'?"),
        ("a x\nb y\nc z", "'a' is no class folder, nor are 2 others", "remove it"),
        ("n02 fox\nn10 wolf\nn02 lynx", "names.txt:3: 'n02' is named twice", "keep one"),
        ("n02 red fox\nn10 wolf\nn9 Red_Fox", "'n02' and 'n9' are both 'Red_Fox'", "different names"),
        ('{"n02": "fox", ', "is not JSON", "write {"),
        ('{"n02": "fox", "n02": "wolf"}', "names 'n02' twice", "keep one"),
        ('{"n02": 7}', "the name of 'n02' is not text", "write {"),
        ('{"n02": {"n10": "wolf"}}', "the name of 'n02' is not text", "write {"),
        ('{"n02": "fox", "n10": " ", "n9": "foot"}', "class folder 'n10' has no name", "add a name"),
    ],
)
def test_names_complaints(text, what, fix, trees, tmp_path):
    with pytest.raises(UserError) as error:
        load(trees, names=named(tmp_path, text))
    assert what in error.value.what
    assert fix in error.value.fix
    assert str(error.value).count("\n") == 1


@pytest.mark.parametrize("text", ['["fox"]', "7", '"fox"', "null", "[" * 100_000])
def test_names_that_are_no_json_object(text, trees, tmp_path):
    with pytest.raises(UserError, match=r"is not JSON|is not a JSON object"):
        load(trees, names=named(tmp_path, text, "names.json"))


def test_names_that_cannot_be_read(trees, tmp_path):
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(UserError, match="cannot be opened"):
            load(trees, names=path)
    (tmp_path / "latin.txt").write_bytes("n02 Füchse".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load(trees, names=tmp_path / "latin.txt")


def test_listed_files_that_are_not_there_are_left_out_on_request(tmp_path):
    for name in ("a", "b"):
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / f"{name}{number}.png")
    rows = [f"{name}{number}.png,{name}" for name in ("a", "b") for number in range(5)]
    path = tmp_path / "list.csv"
    path.write_text("image,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(UserError, match="2 listed files do not exist") as refused:
        load(path)
    assert "data.missing=skip" in refused.value.fix
    found = load(path, missing="skip")
    assert len(found.train + found.val + found.test) == 8
    assert found.notes == (f"{path}: 2 listed files do not exist, first 'a4.png' (line 6); left out",)
