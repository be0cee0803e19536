"""Which files of a folder are images, what is left out and counted, and which folders are parts."""

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

from cliptune.datasets.class_names import remarks_on
from cliptune.datasets.folder import load
from cliptune.datasets.places import LeftOut, images_below, is_image, part_of, same_names, spelled_on_disk
from cliptune.errors import UserError
from cliptune.protocols.few_shot import few_shot


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), "red").save(path, "PNG")


def fill(root: Path, *classes: str, count: int = 5) -> Path:
    for name in classes:
        for number in range(count):
            put(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *[(word, "train") for word in ("train", "Training", "TRAIN", "seg_train", "trainset", "TrainData")],
        *[(word, "val") for word in ("val", "Valid", "validation", "dev", "val_images", "Validation set")],
        *[(word, "test") for word in ("test", "Testing", "seg_test", "test-data", "TestImages")],
        *[(word, None) for word in ("trains", "cat", "contest", "train_test", "pred", "testa rossa", "")],
    ],
)  # fmt: skip
def test_words_for_parts(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    "names",
    [("Training", "Testing"), ("seg_train", "seg_test"), ("TRAIN", "Test", "Validation"), ("train_set", "dev", "test")],
)
def test_parts_under_other_names(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        fill(tmp_path / name, "cat", "dog")
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(data.test) == 10
    assert any(f"'{names[0]}' was taken for the train images" in note for note in data.notes) == (names[0] != "TRAIN")


def test_parts_one_folder_deeper_and_folders_beside_them(tmp_path: Path) -> None:
    for name in ("seg_train", "seg_test"):
        fill(tmp_path / name / name, "forest", "sea")
    fill(tmp_path, "seg_pred", count=3)
    data = load(tmp_path)
    assert data.classes == ("forest", "sea")
    assert "left out beside the parts: 'seg_pred' (3 images)" in data.notes


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert load(fill(tmp_path, "bus", "car", "train")).classes == ("bus", "car", "train")
    assert load(fill(tmp_path / "both", "bus", "test", "train")).classes == ("bus", "test", "train")


@pytest.mark.parametrize("folders", [("fold1", "fold2"), ("a", "b", "c")])
def test_folders_of_the_same_classes_are_no_classes(folders: tuple[str, ...], tmp_path: Path) -> None:
    for name in folders:
        fill(tmp_path / name, "cat", "dog")
    with pytest.raises(UserError, match=f"'{folders[0]}' and '{folders[1]}' hold folders of the same names"):
        load(tmp_path)


def test_one_folder_around_everything(tmp_path: Path) -> None:
    fill(tmp_path / "dataset", "cat", "dog")
    with pytest.raises(UserError) as refused:
        load(tmp_path)
    assert refused.value.fix == f"give {tmp_path / 'dataset'}"


def test_what_systems_leave_behind_is_no_image(tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog")
    for stray in ("@eaDir/0.png", ".ipynb_checkpoints/0.png", "__MACOSX/0.png", "cat/@eaDir/0.png", "cat/._0.png"):
        put(tmp_path / stray)
    (tmp_path / "cat" / "Thumbs.db").touch()
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(data.train + data.val + data.test) == 10
    assert data.notes == ()
    assert not is_image("._a.jpg")


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog")
    for number in range(60):
        (tmp_path / "cat" / f"{number}.HEIC").touch()
    put(tmp_path / "cat" / ".hidden.png")
    put(tmp_path / "cat" / "thumbnails" / "0.png")
    put(tmp_path / "loose.png")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    notes = "\n".join(load(tmp_path).notes)
    for words in (
        "60 .heic",
        "1 hidden image",
        "1 smaller copy in folders called 'thumbnails'",
        f"1 image in {tmp_path.name} itself",
        "1 link leads to what is not there, first 'gone.png'",
    ):
        assert words in notes


def test_images_under_odd_names_and_what_is_no_file_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog")
    for name in ("cat/photo", "cat/photo.jpg.bak", "dog/deep/er/1.png"):
        put(tmp_path / name)
    (tmp_path / "cat" / "notes").write_text("no image")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    (tmp_path / "dog" / "linked.png").symlink_to(tmp_path / "dog" / "pipe.png")
    assert load(tmp_path).notes == (
        "1 image lies deeper than a class folder: 'dog/deep/er/1.png' counts as 'dog', and so on",
        "left out: 2 pipes and devices, which are no files",
        "left out: 2 images whose names do not end as an image's, first "
        f"'{tmp_path / 'cat' / 'photo'}'; add .jpg or .png",
    )


@pytest.mark.parametrize(("flat", "fix"), [(("test",), "give only .*train"), (("train", "test"), "a folder per class")])
def test_parts_without_labels_are_no_classes(flat: tuple[str, ...], fix: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path, part) if part in flat else fill(tmp_path / part, "cat", "dog")
    with pytest.raises(UserError, match=f"'{flat[-1] if len(flat) == 1 else 'test'}' means a part"):
        load(tmp_path)
    with pytest.raises(UserError, match=fix):
        load(tmp_path)
    (tmp_path / "train.csv").touch()
    with pytest.raises(UserError, match=r"train\.csv may become"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("below", "suffix", "fix"),
    [("labels/train", ".txt", "boxes around objects"), ("labels/train", ".heic", "convert its pictures")],
)
def test_a_class_folder_without_images_says_what_it_holds(below: str, suffix: str, fix: str, tmp_path: Path) -> None:
    fill(tmp_path / "images", "train", "val")
    for name in (below, "labels/val"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"0{suffix}").touch()
    with pytest.raises(UserError) as refused:
        load(tmp_path)
    assert f"labels has no images that are read (2 {suffix})" in refused.value.what
    assert fix in refused.value.fix


@pytest.mark.parametrize("runs", ["runs/lora-photos", "my-run"])
def test_runs_beside_the_classes_are_no_class(runs: str, tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog", f"{runs}/thumbnails", f"{runs}/x")
    (tmp_path / runs / "run.json").touch()
    assert load(tmp_path).classes == ("cat", "dog")


def test_parts_below_classes_are_told_which_way_round(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        fill(tmp_path / name, "train", "test")
    with pytest.raises(UserError, match="put parts above classes: train/cat/, test/cat/"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("given", "what", "fix"),
    [
        ("data/cat/0.png", "is one image", "data"),
        ("data/cat", "has images but no class folders", "if it is one class, give .*data"),
        ("data.zip", "neither a folder nor a CSV file", "unpack it"),
        ("labels.xlsx", "is a spreadsheet", "save it as CSV"),
        ("https://x.org/data.zip", "is an address", "download it"),
    ],
)
def test_what_is_given_in_place_of_a_folder(
    given: str, what: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "data", "cat", "dog")
    for name in ("data.zip", "labels.xlsx"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=what):
        load(Path(given))
    with pytest.raises(UserError, match=fix):
        load(Path(given))


def listed(tmp_path: Path, head: str, row: str, count: int = 6, name: str = "list.csv") -> Path:
    """A list of images 0 to 5 in img/; in a row {n} is the number and {c} its class."""
    for number in range(count):
        put(tmp_path / "img" / f"{number}.png")
    rows = [
        row.format(n=number, c="ab"[number % 2], part=("train", "val", "test")[number // 2]) for number in range(count)
    ]
    (tmp_path / name).write_text("\n".join([head, *rows]), "utf-8")
    return tmp_path / name


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        ("https://x.org/img/{n}.png,{c}", "download the images"),
        ("C:\\Users\\me\\{n}.png,{c}", "there is 'img/0.png'"),
        ("{n}.png,{c}", "there is 'img/0.png'"),
        ("img/{n},{c}", "the disk has 'img/0.png'"),
        ("img/{n}.PNG,{c}", "the disk has 'img/0.png'"),
        ("img,{c}", "that is a folder"),
        ("img/9{n}.png,{c}", "paths are read relative to"),
    ],
)
def test_where_listed_images_may_be_instead(row: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not exist|listed twice") as refused:
        load(listed(tmp_path, "image,label", row, count=1 if row.startswith("img,") else 6))
    assert fix in refused.value.fix


def test_a_split_under_another_name_is_taken_or_told(tmp_path: Path) -> None:
    data = load(listed(tmp_path, "image\tlabel\tSubset", "img/{n}.png\t{c}\t{part}", name="list.tsv"))
    assert (data.split, len(data.val)) == ("given", 2)
    assert data.notes == ("column 'subset' is taken for the split",)
    notes = load(listed(tmp_path, "image,label,fold", "img/{n}.png,{c},{n}")).notes
    assert "column 'fold' is not read, and the split is made here" in notes[0]


def test_an_image_under_two_labels(tmp_path: Path) -> None:
    path = listed(tmp_path, "image,label", "img/{n}.png,{c}")
    path.write_text(path.read_text("utf-8") + "\nimg/0.png,b\n", "utf-8")
    with pytest.raises(UserError, match=r"'img/0\.png' is listed twice, first on line 2, as 'a' and as 'b'"):
        load(path)


@pytest.mark.parametrize(
    ("classes", "note"),
    [
        (("cat", "cat (1)"), "classes 'cat' and 'cat (1)' have nearly the same name"),
        (("dog", "Copy of dog"), "nearly the same name"),
        (("t-shirt", "t shirts"), "nearly the same name"),
        (("cat", "dog", "cat|dog"), "class 'cat|dog' joins others"),
        (("cat", "nan"), "class 'nan' is what tools write where a label is missing"),
        (("bus", "bass", "class 1", "class 2"), ""),
        (("C", "C++", "C#"), ""),
        (("1.5", "15"), ""),
        (("photo", "photocopy"), ""),
        (("कि", "का"), ""),
    ],
)
def test_class_names_that_may_not_be_meant(classes: tuple[str, ...], note: str) -> None:
    notes = remarks_on(sorted(classes))
    assert len(notes) == bool(note)
    assert note in "".join(notes)


def test_a_name_that_is_given_twice() -> None:
    name = "cat"
    assert same_names([name, "dog", name]) == (name, name)


def test_names_without_anything_to_say_or_to_see(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="class '_' leaves nothing"):
        load(fill(tmp_path / "blank", "_", "cat"))
    with pytest.raises(UserError, match=r"'cat' and 'cat\\u200b' would have the same prompt"):
        load(fill(tmp_path / "unseen", "cat", "cat\u200b"))


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "more", count=7)
    fill(tmp_path / "data", "cat", "dog")
    (tmp_path / "data" / "cat" / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "data" / "cat" / "round").symlink_to(tmp_path / "data" / "cat")
    counts = LeftOut()
    assert len(images_below(tmp_path / "data" / "cat", counts)) == 12
    assert counts.linked == 1
    assert "read once: 1 folder that links lead to again" in load(tmp_path / "data").notes


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "cat", "dog")
    real = os.scandir
    locked = tmp_path / "cat" / "below"
    locked.mkdir()

    def scandir(path: Path) -> object:
        if Path(path) == locked:  # root may read everything, so the refusal is the system's in words only
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match="below cannot be read: permission denied"):
        load(tmp_path)


def test_paths_as_editors_and_other_systems_spell_them(tmp_path: Path) -> None:
    put(tmp_path / "img" / "a" / "0.png")
    put(tmp_path / "cafe\u0301.png")
    assert spelled_on_disk(tmp_path, r"img\a\0.png") == "img/a/0.png"
    assert spelled_on_disk(tmp_path, "caf\u00e9.png") == "cafe\u0301.png"
    assert spelled_on_disk(tmp_path, "gone.png") is None
    assert spelled_on_disk(tmp_path, "x" * 5000) is None
    (tmp_path / "list.csv").write_text(
        "image;label;split\nimg\\a\\0.png;a;Training\ncaf\u00e9.png;b;train\n"
        + "".join(f"{n}.png;{c};TEST\n" for n, c in enumerate("ab")),
        "utf-8",
    )
    for number in range(2):
        put(tmp_path / f"{number}.png")
    data = load(tmp_path / "list.csv")
    assert len(data.test) == 2
    assert "2 paths are spelled otherwise on the disk (back-slashes, or the form of accents)" in data.notes
    assert "split: 'Training' for train, 'TEST' for test" in data.notes


@pytest.mark.parametrize("pair", [("Cat", "cat"), ("hot_dog", "hot dog"), ("caf\u00e9", "cafe\u0301"), ("a  b", "A_b")])
def test_two_classes_of_one_prompt(pair: tuple[str, str], tmp_path: Path) -> None:
    assert same_names(pair) == pair
    with pytest.raises(UserError, match="would have the same prompt"):
        load(fill(tmp_path, *pair, "owl"))


def test_names_may_spell_accents_otherwise(tmp_path: Path) -> None:
    fill(tmp_path / "data", "cafe\u0301", "dog")
    (tmp_path / "names.json").write_bytes(b"\xef\xbb\xbf" + '{"caf\u00e9": "a bar", "dog": "a dog"}'.encode())
    assert load(tmp_path / "data", names=tmp_path / "names.json").classes == ("a bar", "a dog")


@pytest.mark.parametrize(
    "names",
    [("label_0", "label_1", "label_2"), ("target_1", "target_2"), ("photo_1", "photo_2"), ("photo", "mask", "video")],
)
def test_classes_that_are_called_like_folders_of_images_or_masks(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        fill(tmp_path, name)
        for file in list((tmp_path / name).iterdir()):
            file.rename(file.with_stem(hashlib.sha1(f"{name}/{file.stem}".encode()).hexdigest()[:8]))
    assert load(tmp_path).classes == tuple(sorted(names))


def test_images_beside_their_masks_and_overlays_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path, "images", "masks", "overlays")
    with pytest.raises(UserError, match="seems to hold images and their masks"):
        load(tmp_path)


def test_advice_about_an_absent_file_never_hides_which_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "a" * 300
    path = listed(tmp_path, "image,label", "img/{n}.png,{c}")
    path.write_text(path.read_text("utf-8") + f"\n{long}.png,b\n", "utf-8")
    with pytest.raises(UserError, match=r"1 listed file does not exist, first 'a{300}\.png' \(line \d+\)"):
        load(path)
    assert any("left out" in note for note in load(path, missing="skip").notes)

    def refuse(folder: Path) -> None:
        raise UserError(f"{folder} cannot be read: permission denied", "chmod")

    monkeypatch.setattr("cliptune.datasets.listed.images_below", refuse)
    path.write_text(path.read_text("utf-8").replace(long, "gone"), "utf-8")
    with pytest.raises(UserError, match="1 listed file does not exist, first 'gone"):
        load(path)
    assert any("left out" in note for note in load(path, missing="skip").notes)


def test_a_loose_image_beside_class_folders_of_a_part_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "train", "cat", "dog")
    fill(tmp_path / "test", "cat", "dog")
    put(tmp_path / "train" / "preview.png")
    with pytest.raises(UserError, match="1 image is directly in 'train', not in one of its class folders") as refused:
        load(tmp_path)
    assert refused.value.fix == "move each into a class folder, or out of train"


# Nothing is lost or counted twice without a word


def test_classes_called_like_waste_bins_and_what_is_hidden(tmp_path: Path) -> None:
    fill(tmp_path, "organic", "recycled", ".net", "organic/.backup", count=2)
    (tmp_path / "fox").symlink_to(tmp_path / "unmounted")
    (tmp_path / "recycled" / "more").symlink_to(tmp_path / "unmounted")
    (tmp_path / "organic" / "run.json").write_text("{}")
    data = load(tmp_path)
    assert data.classes == ("organic", "recycled")
    assert data.notes == (
        "left out: 2 images in the hidden folder '.net'",
        "left out: 2 images in the hidden folder '.backup'",
        "left out: 2 links lead to what is not there, first 'fox'",
    )


def test_what_lies_beside_class_folders_and_parts_is_counted(tmp_path: Path) -> None:
    for place in ("flat", "parts/train", "parts/test"):
        fill(tmp_path / place, "cat", "dog", count=2)
    for stray in ("flat/0.heic", "flat/1.heic", "flat/more.zip", "parts/fox.zip", "parts/train/fox.zip"):
        (tmp_path / stray).touch()
    put(tmp_path / "parts" / "cover.png")
    assert "2 .heic, 1 .zip" in load(tmp_path / "flat").notes[0]
    unread, loose = load(tmp_path / "parts").notes
    assert "2 .zip" in unread
    assert loose == "left out: 1 image in parts itself, beside the class folders"


def test_links_to_folders_above_and_to_other_classes_are_not_followed(tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "cat" / "all").symlink_to("/")
    (tmp_path / "cat" / "dogs").symlink_to(tmp_path / "dog")
    data = load(tmp_path)
    assert len(data.train + data.val + data.test) == 10
    assert data.notes == ("read once: 3 folders that links lead to again",)


@pytest.mark.parametrize("name", ["test", "Validation", "test_images"])
def test_a_part_beside_class_folders_is_told_of(name: str, tmp_path: Path) -> None:
    data = load(fill(tmp_path / "flat", "cat", "dog", name))
    assert f"'{name}': taken for a class; if it is a part" in data.notes[0]
    fill(tmp_path / "nested" / name, "cat", "dog")
    with pytest.raises(UserError, match=f"'{name}' holds folders called as the classes beside it") as refused:
        load(fill(tmp_path / "nested", "cat", "dog"))
    assert "into train/" in refused.value.fix


def test_images_without_labels_are_told_of(tmp_path: Path) -> None:
    assert "'un-labeled': taken for a class" in load(fill(tmp_path, "cat", "dog", "un-labeled")).notes[0]


@pytest.mark.parametrize(
    ("layout", "refused"),
    [
        ({"train": "cat dog fox", "holdout": "cat dog"}, True),
        ({"train": "cat", "holdout": "cat dog"}, True),
        ({"entrenamiento": "cat dog fox", "prueba": "cat dog"}, True),
        ({"user1": "cat dog", "user2": "cat dog fox"}, True),
        ({"cat": "train test", "fox": "train"}, True),
        ({"cat": "2019 2020", "dog": "2020 2021"}, False),
        ({"cat": "front side", "dog": "indoors"}, False),
    ],
)
def test_parts_are_seen_where_one_lacks_a_class(layout: dict[str, str], refused: bool, tmp_path: Path) -> None:
    for name, inner in layout.items():
        fill(tmp_path / name, *inner.split())
    if refused:
        with pytest.raises(UserError, match="hold folders of the same names"):
            load(tmp_path)
    else:
        assert load(tmp_path).classes == tuple(sorted(layout))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("stage", ["train", "train", "valid"]),
        ("train_test", ["train", "test", ""]),
        ("data_split", ["train", "holdout"]),
        ("training", ["True", "False"]),
        ("group", ["train", "test", "unused"]),
    ],
)
def test_a_split_that_is_not_read_is_told_of(column: str, values: list[str], tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog")
    rows = [f"{name}/{n}.png,{name},{values[n % len(values)]}" for name in ("cat", "dog") for n in range(5)]
    (tmp_path / "list.csv").write_text("\n".join([f"image,label,{column}", *rows]))
    assert f"column '{column}' is not read, and the split is made here" in load(tmp_path / "list.csv").notes[0]


@pytest.mark.parametrize(
    ("image", "fix"),
    [
        ("/home/bob/data/dog/0.png", "there is 'dog/0.png'"),
        ("C:\\Users\\me\\Dog\\0.png", "there is 'dog/0.png'"),
        ("my%20cats/0.png", "there is 'my cats/0.png'"),
        ("photos/0.png", "there are 'cat/0.png' and 'dog/0.png'"),
    ],
)
def test_an_absent_image_is_looked_for_by_its_folders_too(image: str, fix: str, tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog", "my cats", count=1)
    (tmp_path / "list.csv").write_text(f"image,label\n{image},dog\n")
    with pytest.raises(UserError) as refused:
        load(tmp_path / "list.csv")
    assert fix in refused.value.fix


def test_a_list_beside_images_without_folders_is_named(tmp_path: Path) -> None:
    put(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("image,label\n0.png,cat\n")
    with pytest.raises(UserError, match="no class folders") as refused:
        load(tmp_path)
    assert f"give the list {tmp_path / 'labels.csv'}" in refused.value.fix


def test_labels_that_differ_in_what_nobody_sees(tmp_path: Path) -> None:
    assert same_names(["❤", "❤\ufe0f"]) is not None
    assert same_names(["é", "ê"]) is None
    assert "'1' and '1.0'" in remarks_on(["1", "1.0"])[0]
    assert remarks_on(["1.5", "15", "10", "1"]) == []


def test_classes_of_one_image_each_need_more(tmp_path: Path) -> None:
    data = load(fill(tmp_path, "cat", "dog", count=1))
    with pytest.raises(UserError, match="no test images") as refused:
        few_shot(data, 1, 1)
    assert "give every class 2 images or more" in refused.value.fix
    few_shot(load(fill(tmp_path, "cat", "dog", count=2)), 1, 1)
