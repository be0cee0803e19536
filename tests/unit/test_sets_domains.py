"""The sets with domains: spellings, lists, label orders, and what each is tested on."""

import os
from collections import Counter
from pathlib import Path

import pytest

from cliptune.datasets import find_set, open_set
from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.sets import digits_dg, mini_domainnet, office_home, pacs, vlcs
from cliptune.errors import UserError
from tests.layouts import domains as layouts
from tests.layouts.imagenet import picture

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LIST = "splits/photo_train_kfold.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Not the current folder: a folder there would be taken for a set's name."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def complaint(name: str, root: Path) -> UserError:
    with pytest.raises(UserError) as error:
        open_set(name, str(root))
    assert "\n" not in error.value.what + error.value.fix
    return error.value


def of(items: tuple[Item, ...], domain: str) -> list[Item]:
    return [item for item in items if item.domain == domain]


def paths(items: tuple[Item, ...]) -> list[str]:
    return [item.path for item in items]


def test_pacs_lists_count_from_one(root: Path):
    layouts.pacs_dassl(root)
    found = open_set("pacs", str(root))
    assert found.classes == ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
    assert all(item.path.split("/")[1] == found.classes[item.label] for item in found.test)
    assert all(item.path.split("/")[0] == item.domain for item in found.test)
    assert found.domains == ("art_painting", "cartoon", "photo", "sketch")
    assert (len(found.train), len(found.val), len(found.test)) == (28, 28, 56)
    assert found.split == "published"


def test_pacs_tests_on_train_and_crossval(root: Path):
    layouts.pacs_dassl(root)
    found = open_set("pacs", str(root))
    for domain in found.domains:
        assert of(found.test, domain) == of(found.train, domain) + of(found.val, domain)


def test_pacs_sketches_are_png(root: Path):
    layouts.pacs_dassl(root)
    found = open_set("pacs", str(root))
    ends = {domain: {Path(item.path).suffix for item in of(found.test, domain)} for domain in found.domains}
    assert ends == {"art_painting": {".jpg"}, "cartoon": {".jpg"}, "photo": {".jpg"}, "sketch": {".png"}}
    assert found.read(of(found.test, "sketch")[0]).mode == "RGB"


def test_pacs_leaves_the_faulty_sketch_out_of_its_lists_only(root: Path):
    folder = layouts.pacs_dassl(root)
    found = open_set("pacs", str(root))
    assert pacs.LEFT_OUT not in paths(found.test)
    assert [note for note in found.notes if pacs.LEFT_OUT in note] == [f"{pacs.LEFT_OUT} is left out, as Dassl does"]
    (folder / "splits").rename(folder / "no-lists")
    assert pacs.LEFT_OUT in paths(open_set("pacs", str(root)).test)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("photo/dog/pic_009.jpg 0", "'dog' has the label 0; PACS's lists count from 1"),
        ("photo/elephant/pic_009.jpg 1", "'elephant' has the label 1"),
        ("photo/dog/pic_009.jpg 8", "'dog' has the label 8"),
        ("/home/somebody/pacs/photo/dog/pic_000.jpg 1", "'/home/somebody/pacs/photo/dog/pic_000.jpg' leaves the image"),
        ("photo/../dog/pic_000.jpg 1", "leaves the image folder"),
        ("photo/dog/pic_000.jpg", "is not a path and a label"),
        ("photo/dog/pic_000.jpg one", "is not a path and a label"),
        ("photo/dog/pic_000.jpg -1", "is not a path and a label"),
        ("7", "is not a path and a label"),
        ("cartoon/dog/pic_000.jpg 1", "is not photo/<class>/<file>"),
        ("photo/pic_000.jpg 1", "is not photo/<class>/<file>"),
        ("photo/elephant/pic_000.jpg 2", "is listed twice, first on line 2"),
    ],
)
def test_pacs_rows_that_are_not_as_published_are_refused(root: Path, row: str, what: str):
    path = layouts.pacs_dassl(root) / LIST
    path.write_text(path.read_text() + "\n" + row + "\n")
    error = complaint("pacs", root)
    assert f"{path}:9: " in error.what
    assert what in error.what


def test_pacs_lists_are_all_needed(root: Path):
    path = layouts.pacs_dassl(root) / LIST
    path.unlink()
    assert str(path) in complaint("pacs", root).what
    path.write_bytes(b"\xfe\xff\0")
    assert f"{path}:1: not UTF-8 text" in complaint("pacs", root).what
    for empty in (b"", b"\xff\xfe", b"\n\n"):
        path.write_bytes(empty)
        assert f"{path} lists no image" in complaint("pacs", root).what


def test_pacs_without_lists_is_cut_here(root: Path):
    layouts.pacs_folders(root)
    found = open_set("pacs", str(root))
    assert found.split == "made here (not the published split)"
    assert any("no lists" in note for note in found.notes)
    assert set(Counter((item.domain, item.label) for item in found.train).values()) == {9}
    assert set(Counter((item.domain, item.label) for item in found.val).values()) == {1}
    assert sorted(paths(found.train) + paths(found.val)) == sorted(paths(found.test))
    assert len(found.test) == 280
    assert open_set("pacs", str(root)) == found


def test_a_domain_may_be_spelled_otherwise(root: Path):
    folder = layouts.pacs_folders(root)
    plain = open_set("pacs", str(root))
    (folder / "art_painting").rename(folder / "Art Painting")
    (folder / "sketch").rename(folder / "Sketch")
    other = open_set("pacs", str(root))
    assert other.domains == plain.domains
    tails = [[(path.split("/", 1)[1], item.domain) for path, item in zip(paths(s.val), s.val)] for s in (plain, other)]
    assert tails[0] == tails[1]
    assert other.read(other.train[0]).size == (8, 8)


def test_an_absent_domain_is_refused_or_left_out(root: Path):
    folder = layouts.pacs_folders(root)
    (folder / "photo").rename(root / "photo")
    assert "no folder for the domain photo" in complaint("pacs", root).what
    found = open_set("pacs", str(root), missing="skip")
    assert found.domains == ("art_painting", "cartoon", "sketch")
    assert any("photo" in note for note in found.notes)


def test_a_folder_that_is_no_class_is_refused(root: Path):
    folder = layouts.pacs_folders(root)
    picture(folder / "photo" / "cat" / "1.jpg")
    error = complaint("pacs", root)
    assert "photo/cat is no class of 'pacs'" in error.what
    assert "dog, elephant" in error.fix


def test_missing_files_are_refused_or_left_out(root: Path):
    folder = layouts.pacs_dassl(root)
    (folder / "images" / "photo" / "dog" / "pic_001.jpg").unlink()
    error = complaint("pacs", root)
    assert "1 of 56 listed files are not there" in error.what
    assert "photo/dog/pic_001.jpg" in error.what
    found = open_set("pacs", str(root), missing="skip")
    assert (len(found.train), len(found.val), len(found.test)) == (28, 27, 55)
    assert any("left out" in note and "pic_001" in note for note in found.notes)


def test_strays_among_the_images_are_passed_over(root: Path):
    folder = layouts.pacs_folders(root, per_class=1)
    for name in (".DS_Store", "._pic_000.jpg", "Thumbs.db", "notes.txt"):
        (folder / "photo" / "dog" / name).write_bytes(b"\0")
    (folder / "photo" / "__MACOSX").mkdir()
    assert len(open_set("pacs", str(root)).test) == 28


@pytest.mark.parametrize("real", ["real_world", "realworld", "Real World", "RealWorld", "Real"])
@pytest.mark.parametrize("folder", ["office_home_dg", "office_home", "officehome", "OfficeHomeDataset_10072016"])
def test_office_home_parts_under_any_spelling(root: Path, folder: str, real: str):
    layouts.office_home_parts(root, folder, real)
    found = open_set("office_home", str(root))
    assert found.domains == ("art", "clipart", "product", "real_world")
    assert {item.path.split("/")[0] for item in of(found.train, "real_world")} == {real}
    assert found.split == "published"


def test_office_home_puts_tv_before_table(root: Path):
    layouts.office_home_parts(root)
    found = open_set("office_home", str(root))
    assert found.classes == ("alarm_clock", "postit_notes", "tv", "table", "toothbrush")
    assert {(item.path.split("/")[2], item.label) for item in found.test} == {
        (name, label) for label, name in enumerate(layouts.LETTER_ORDER)
    }


def test_office_home_classes_are_those_of_all_domains(root: Path):
    """clipart has no Table, and neither has art's val: the labels after it stay."""
    layouts.office_home_parts(root)
    found = open_set("office_home", str(root))
    assert {item.label for item in of(found.train, "clipart")} == {0, 1, 2, 4}
    assert {item.label for item in of(found.val, "art")} == {0, 1, 2, 4}
    assert any("5 classes, not the 65" in note for note in found.notes)


def test_office_home_tests_on_train_and_val(root: Path):
    layouts.office_home_parts(root)
    found = open_set("office_home", str(root))
    assert {path.split("/")[1] for path in paths(found.train)} == {"train"}
    assert {path.split("/")[1] for path in paths(found.val)} == {"val"}
    assert sorted(paths(found.test)) == sorted(paths(found.train) + paths(found.val))


def test_office_home_needs_both_parts(root: Path):
    folder = layouts.office_home_parts(root)
    (folder / "product" / "val").rename(root / "val")
    assert "office_home_dg/product/val is missing" in complaint("office_home", root).what


def test_office_home_as_released_is_cut_here(root: Path):
    layouts.office_home_raw(root)
    found = open_set("office_home", str(root))
    assert found.split == "made here (not the published split)"
    assert (len(found.train), len(found.val), len(found.test)) == (180, 20, 200)
    assert found.domains == office_home.FACTS.domains
    assert of(found.test, "real_world")[0].path == "Real World/Alarm_Clock/00001.jpg"
    assert found.read(of(found.test, "real_world")[0]).size == (8, 8)
    assert found.classes[2] == "tv"


def test_the_cut_does_not_depend_on_spelling(root: Path):
    layouts.office_home_raw(root / "a")
    layouts.office_home_raw(root / "b", "office_home", "RealWorld")
    vals = [paths(open_set("office_home", str(root / which)).val) for which in "ab"]
    assert [path.split("/", 1)[1] for path in vals[0]] == [path.split("/", 1)[1] for path in vals[1]]


def test_digits_test_on_train_and_val_and_are_called_by_numerals(root: Path):
    layouts.digits(root)
    found = open_set("digits_dg", str(root))
    assert found.name == "digits_dg"
    assert found.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert found.templates == ("a photo of a {}.", "a photo of the number {}.")
    assert (len(found.train), len(found.val), len(found.test)) == (40, 40, 80)
    assert all(item.path.split("/")[2] == str(item.label) for item in found.test)
    assert found.domains == ("mnist", "mnist_m", "svhn", "syn")
    assert Counter(item.domain for item in found.val) == dict.fromkeys(found.domains, 10)


def test_digits_in_words(root: Path):
    layouts.digits(root, "Digits-DG")
    words, numerals = (open_set(f"digits_dg/{task}", str(root)) for task in ("words", "numerals"))
    assert words.name == "digits_dg/words"
    assert words.classes[:3] == ("zero", "one", "two")
    assert words.test == numerals.test == open_set("digits_dg", str(root)).test
    with pytest.raises(UserError, match="choose one of: numerals, words"):
        digits_dg.load(str(root), "roman")


def test_a_lacking_digit_does_not_move_the_others(root: Path):
    folder = layouts.digits(root)
    for domain in digits_dg.FACTS.domains:
        for part in ("train", "val"):
            for image in (folder / domain / part / "3").iterdir():
                image.unlink()
    found = open_set("digits_dg", str(root))
    assert len(found.classes) == 10
    assert {item.label for item in found.test} == {0, 1, 2, 4, 5, 6, 7, 8, 9}
    assert any("9 classes, not the 10" in note for note in found.notes)


def test_mini_domainnet_takes_the_mini_lists(root: Path):
    layouts.mini(root)
    found = open_set("mini_domainnet", str(root))
    assert found.classes == ("The_Eiffel_Tower", "aircraft_carrier", "teddy-bear")
    assert found.domains == ("clipart", "painting", "real", "sketch")
    assert (len(found.train), len(found.val), len(found.test)) == (11, 0, 12)
    assert not set(paths(found.train)) & set(paths(found.test))
    assert {item.label for item in of(found.train, "painting")} == {0, 1}
    assert any("3 classes, not the 126" in note for note in found.notes)


def test_mini_domainnet_without_its_lists_is_refused(root: Path):
    folder = layouts.mini(root)
    (folder / "splits_mini" / "real_test.txt").unlink()
    assert "real_test.txt cannot be opened" in complaint("mini_domainnet", root).what
    for path in (folder / "splits_mini").iterdir():
        path.unlink()
    (folder / "splits_mini").rmdir()
    assert "splits_mini is missing: DomainNet's own lists" in complaint("mini_domainnet", root).what


def test_mini_domainnet_labels_have_one_name_and_no_gap(root: Path):
    path = layouts.mini(root) / "splits_mini" / "real_train.txt"
    good = path.read_text()
    path.write_text(good + "real/zebra/real_001_000001.jpg 1\n")
    assert "label 1 is 'aircraft_carrier'" in complaint("mini_domainnet", root).what
    path.write_text(good + "real/zebra/real_001_000001.jpg 5\n")
    assert "labels run to 5 without 3" in complaint("mini_domainnet", root).what
    path.write_text(good + "../real/zebra/real_001_000001.jpg 3\n")
    assert "real_train.txt:4: the path '../real" in complaint("mini_domainnet", root).what


def test_vlcs_folders_are_numbers_and_its_test_is_its_own(root: Path):
    layouts.vlcs_numbers(root)
    found = open_set("vlcs", str(root))
    assert found.classes == ("bird", "car", "chair", "dog", "person")
    assert found.domains == ("caltech", "labelme", "pascal", "sun")
    assert [len(part) for part in (found.train, found.val, found.test)] == [20, 20, 20]
    assert paths(found.test)[:2] == ["CALTECH/test/0/2.jpg", "CALTECH/test/1/2.jpg"]
    assert {path.split("/")[1] for path in paths(found.val)} == {"crossval"}
    assert all(item.path.split("/")[2] == str(item.label) for item in found.test)


def test_vlcs_folders_called_by_name(root: Path):
    folder = layouts.vlcs_numbers(root)
    plain = [item.label for item in open_set("vlcs", str(root)).test]
    for path in sorted(folder.glob("*/*/*")):
        path.rename(path.with_name(vlcs.CLASSES[int(path.name)]))
    assert [item.label for item in open_set("vlcs", str(root)).test] == plain


def test_no_images_at_all_is_refused(root: Path):
    for domain in ("CALTECH", "LABELME", "PASCAL", "SUN"):
        for part in ("train", "crossval", "test"):
            (root / "VLCS" / domain / part).mkdir(parents=True)
    assert "has no images of 'vlcs'" in complaint("vlcs", root).what
    assert "has no folder for 'pacs' (tried pacs)" in complaint("pacs", root).what


def test_nothing_is_written_below_the_root(root: Path):
    layouts.pacs_dassl(root)
    layouts.office_home_raw(root)
    layouts.digits(root)
    layouts.mini(root)
    layouts.vlcs_numbers(root)
    before = _below(root)
    for name in ("pacs", "office_home", "digits_dg", "mini_domainnet", "vlcs"):
        open_set(name, str(root))
    assert _below(root) == before


def _below(root: Path) -> list[tuple[str, int]]:
    return sorted((where, Path(where).stat().st_mtime_ns) for where, _, _ in os.walk(root))


@pytest.mark.parametrize("module", [pacs, office_home, digits_dg, mini_domainnet, vlcs])
def test_facts(module):
    name = module.__name__.rpartition(".")[2]
    facts = module.FACTS
    assert facts.templates[0] == "a photo of a {}."
    assert len(facts.domains) == 4
    for other in (*facts.folders, *facts.aliases, facts.column):
        assert find_set(other) == name
    opened = facts.open_set
    seen = frozenset().union(*opened.sources)
    assert len(opened.sources) == 3
    assert not seen & opened.unknown
    assert opened.known <= seen
    assert seen | opened.unknown == frozenset(range(facts.classes))


def test_sizes_of_the_open_sets():
    sizes = {
        module.__name__.rpartition(".")[2]: (
            [len(source) for source in module.FACTS.open_set.sources],
            len(module.FACTS.open_set.unknown),
        )
        for module in (pacs, office_home, digits_dg, mini_domainnet, vlcs)
    }
    assert sizes == {
        "pacs": ([3, 3, 3], 1),
        "office_home": ([26, 26, 26], 11),
        "digits_dg": ([3, 3, 3], 3),
        "mini_domainnet": ([40, 40, 40], 36),
        "vlcs": ([2, 2, 2], 1),
    }


@pytest.mark.skipif(not (SHARED / "pacs").is_dir(), reason="real images are not beside this checkout")
def test_a_real_cut_of_pacs():
    found: ImageSet = open_set("pacs", str(SHARED))
    assert len(found.test) == len(found.train) + len(found.val) == 882
    assert found.classes == pacs.CLASSES
    assert found.domains == pacs.FACTS.domains
    assert Counter(item.domain for item in found.test) == {
        "art_painting": 176,
        "cartoon": 202,
        "photo": 159,
        "sketch": 345,
    }
    for domain in found.domains:
        assert found.read(of(found.test, domain)[0]).size == (227, 227)
