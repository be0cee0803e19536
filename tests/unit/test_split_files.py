"""CoOp's split files: hostile paths, rows that are none, and copies that lack some of the listed images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, Item
from cliptune.errors import UserError
from tests.layouts.classification import LAYOUTS, raw, with_split_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the sets lie; not the current folder, in which a set's folder would be taken for images of one's own."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def items(found: ImageSet) -> list[Item]:
    return [*found.train, *found.val, *found.test]


def complaint(name: str, root: Path, **options: Any) -> UserError:
    with pytest.raises(UserError) as error:
        open_set(name, root=str(root), **options)
    assert "\n" not in error.value.what + error.value.fix
    return error.value


# Broken and hostile split files


def broken(root: Path, change: Callable[[dict[str, Any]], Any]) -> UserError:
    """What is said when the split file of a small DTD has been changed."""
    folder = with_split_file(root, "dtd")
    tables = json.loads((folder / LAYOUTS["dtd"].split_file).read_text("utf-8"))
    changed = change(tables)
    (folder / LAYOUTS["dtd"].split_file).write_text(json.dumps(tables if changed is None else changed), "utf-8")
    return complaint("dtd", root)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../secret.jpg", "banded/../../secret.jpg", "banded\\x.jpg", "C:/x.jpg", "C:x.jpg", "", "a\0.jpg"],
)
def test_paths_that_leave_the_folder(path, root):
    error = broken(root, lambda tables: tables["val"].__setitem__(1, [path, 0, "banded"]))
    assert "val[1]" in error.what
    assert "leaves the image folder" in error.what


@pytest.mark.parametrize(
    "row",
    [
        ["banded/x.jpg", 0],
        ["banded/x.jpg", 0, "banded", 1],
        ["banded/x.jpg", "0", "banded"],
        ["banded/x.jpg", 0.0, "banded"],
        ["banded/x.jpg", True, "banded"],
        ["banded/x.jpg", -1, "banded"],
        [7, 0, "banded"],
        ["banded/x.jpg", 0, None],
        ["banded/x.jpg", 0, " "],
        "banded/x.jpg",
        None,
    ],
)
def test_rows_that_are_none(row, root):
    assert "test[0]" in broken(root, lambda tables: tables["test"].__setitem__(0, row)).what


@pytest.mark.parametrize(
    "change",
    [
        lambda tables: tables.pop("val") and None,
        lambda tables: tables.__setitem__("extra", []),
        lambda tables: [tables],
        lambda tables: {**tables, "val": {}},
        lambda tables: {part: [] for part in tables},
    ],
)
def test_tables_that_are_none(change, root):
    broken(root, change)


def test_labels_have_no_gaps(root):
    def change(tables: dict[str, Any]) -> None:
        for rows in tables.values():
            rows[:] = [[path, label * 2, name] for path, label, name in rows]

    assert "labels run to 2 without 1" in broken(root, change).what


def test_a_label_has_one_name(root):
    error = broken(root, lambda tables: tables["test"][0].__setitem__(2, "striped"))
    assert "'banded'" in error.what
    assert "'striped'" in error.what


def test_an_image_is_listed_once(root):
    error = broken(root, lambda tables: tables["test"].append(tables["train"][0]))
    assert "banded/banded_0001.jpg is listed twice" in error.what


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000])
def test_no_json_at_all(data, root):
    (with_split_file(root, "dtd") / LAYOUTS["dtd"].split_file).write_bytes(data)
    assert "split_zhou_DescribableTextures.json" in complaint("dtd", root).what


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_split_file_that_an_editor_saved(encoding, root):
    file = with_split_file(root, "dtd") / LAYOUTS["dtd"].split_file
    expected = items(open_set("dtd", root=str(root)))
    file.write_bytes(file.read_text("utf-8").encode(encoding))
    assert items(open_set("dtd", root=str(root))) == expected


# Partial copies


def test_missing_files_are_counted_and_refused(root):
    folder = with_split_file(root, "caltech101")
    for number in (1, 2, 6):
        (folder / f"101_ObjectCategories/Leopards/image_000{number}.jpg").unlink()
    error = complaint("caltech101", root)
    assert "3 of 24 listed files are not there" in error.what
    assert "Leopards/image_0001.jpg" in error.what
    assert "data.missing=skip" in error.fix
    found = open_set("caltech101", root=str(root), missing="skip")
    assert len(items(found)) == 21
    assert any("3 of 24" in note for note in found.notes)


@pytest.mark.parametrize("build", [with_split_file, raw])
def test_a_class_without_files_keeps_its_label(build, root):
    folder = build(root, "oxford_pets")
    for image in (folder / "images").glob("american_bulldog_*"):
        image.unlink()
    found = open_set("oxford_pets", root=str(root), missing="skip")
    assert found.classes[1] == "american_bulldog"
    assert {item.label for item in items(found)} == set(range(len(found.classes))) - {1}


def test_no_listed_file_at_all(root):
    folder = with_split_file(root, "dtd")
    for image in (folder / "images").rglob("*.jpg"):
        image.unlink()
    assert "none of the listed files" in complaint("dtd", root, missing="skip").fix
