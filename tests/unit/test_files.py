"""Files are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from cliptune import files
from cliptune.errors import UserError


def fails_with(problem: Exception):
    def write(half: Path) -> None:
        half.write_text("the first ha", "utf-8")
        raise problem

    return write


def test_written_whole_and_into_a_new_folder() -> None:
    files.write_text(Path("new/deep/file.txt"), "é\n")
    assert Path("new/deep/file.txt").read_bytes() == "é\n".encode()
    assert [path.name for path in Path("new/deep").iterdir()] == ["file.txt"]


@pytest.mark.parametrize("kind", ["pipe", "/dev/null", "/dev/stdout", "/proc/self/fd/1"])
def test_nothing_takes_the_place_of_a_device(kind: str) -> None:
    """As root it could: every later program would write into the file."""
    path = Path(kind)
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(UserError, match="no place for a file"):
        files.refuse_device(path)
    if kind == "pipe":
        for write in (lambda: files.write_text(path, "x"), lambda: files.writable_file(path)):
            with pytest.raises(UserError, match="no place for a file"):
                write()
        assert path.is_fifo()


def test_a_table_in_the_making_has_a_name_nobody_can_plant() -> None:
    Path("mine.txt").write_text("mine", "utf-8")
    Path(".a.csv.half").symlink_to("mine.txt")
    with files.csv_rows(Path("a.csv"), ["x"]) as write:
        write([1])
    assert Path("mine.txt").read_text("utf-8") == "mine"
    assert Path("a.csv").read_text("utf-8") == "x\n1\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_what_was_there(number: int) -> None:
    Path("file.txt").write_text("old", "utf-8")
    with pytest.raises(UserError, match=r"cannot write file\.txt: no room.*\n.*free some space"):
        files.write_whole(Path("file.txt"), fails_with(OSError(number, os.strerror(number))))
    assert Path("file.txt").read_text("utf-8") == "old"
    assert [path.name for path in Path().iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("problem", "what"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (RuntimeError("I/O error: File too large (os error 27)"), "no room"),
        (RuntimeError("No space left on device"), "no room"),
    ],
)
def test_what_failed_is_told(problem: Exception, what: str) -> None:
    with pytest.raises(UserError, match=what):
        files.write_whole(Path("file.txt"), fails_with(problem))
    assert list(Path().iterdir()) == []


def test_other_errors_are_not_disguised() -> None:
    with pytest.raises(ZeroDivisionError):
        files.write_whole(Path("file.txt"), fails_with(ZeroDivisionError()))
    assert list(Path().iterdir()) == []


def test_a_path_below_a_file() -> None:
    Path("file").write_text("in the way", "utf-8")
    for path in (Path("file/run"), Path("file/deep/run")):
        with pytest.raises(UserError, match=r"file is a file\n.*folder"):
            files.writable_folder(path)
        with pytest.raises(UserError, match="part of that path is a file"):
            files.write_text(path / "x.txt", "x")
    files.writable_folder(Path("other/deep/run"))
    assert not Path("other").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_one_may_not_write_to() -> None:
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="permission denied"):
        files.writable_folder(Path("closed/run"))


def test_room_is_looked_at_before_starting() -> None:
    files.room_for(Path("not/there/yet"), 1)
    with pytest.raises(UserError, match=r"MB free, the run needs about 10{15} MB"):
        files.room_for(Path("not/there/yet"), 10**21)
    assert not Path("not").exists()


def test_tensors_come_back_and_equal_tensors_are_equal_bytes() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": base.T, "b": base[1], "c": base[1], "d": torch.nn.Parameter(torch.ones(2).bfloat16())}
    files.write_tensors(Path("one"), tensors)
    files.write_tensors(Path("two"), dict(tensors))
    assert Path("one").read_bytes() == Path("two").read_bytes()
    found = files.read_tensors(Path("one"))
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )
    with safe_open("one", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("content", [b"", b"cut", b"\xff" * 40])
def test_a_broken_tensor_file_is_told(content: bytes) -> None:
    Path("broken").write_bytes(content)
    with pytest.raises(UserError, match="broken is broken"):
        files.read_tensors(Path("broken"))
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        files.read_tensors(Path("nowhere"))
