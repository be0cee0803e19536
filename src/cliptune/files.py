"""Writing files whole or not at all."""

import contextlib
import csv
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cliptune.errors import UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def short(path: Path) -> str:
    """A path for a message: relative where it lies below the working directory."""
    with contextlib.suppress(ValueError, FileNotFoundError):  # elsewhere; a working directory that was removed
        return str(path.relative_to(Path.cwd()))
    return str(path)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a neighbouring name, flush it to disk, then rename: a reader never sees half a file.

    Raises:
        UserError: no room, or no permission.
    """
    half = path.with_name(f".{path.name}.half")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(half)
        with half.open("rb+") as file:
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as problem:
        raise cannot_write(path, problem) from problem
    except Exception as problem:
        if "File too large" in str(problem) or "No space left" in str(problem):
            raise cannot_write(path, OSError(errno.ENOSPC, str(problem))) from problem
        raise
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda half: half.write_text(text, "utf-8"))


@contextlib.contextmanager
def csv_rows(path: Path, head: Sequence[str]) -> Iterator[Callable[[Sequence[object]], None]]:
    """A function that adds a row to a CSV file.

    The file takes its name when the block ends, however it ends: an interruption or a full disk keeps the whole rows
    that were added. Without any row nothing is written.

    Raises:
        UserError: no room, or no permission.
    """
    half, good, rows = path.with_name(f".{path.name}.half"), 0, 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(head)

            def add(row: Sequence[object]) -> None:
                nonlocal good, rows
                table.writerow(row)
                file.flush()
                good, rows = half.stat().st_size, rows + 1

            yield add
    except OSError as problem:
        raise cannot_write(path, problem) from problem
    finally:
        with contextlib.suppress(OSError):
            if rows:
                os.truncate(half, good)
                half.replace(path)
            half.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file, the same bytes for the same tensors.

    Its one metadata key is what other readers expect; safetensors writes several in random order.
    """
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_whole(path, lambda half: save_file(ready, half, metadata={"format": "pt"}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        UserError: the file cannot be read or is not whole.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as problem:
        raise UserError(f"{path} is broken: {problem}", "train again with --fresh") from None


def cannot_write(path: Path, problem: OSError) -> UserError:
    """The two lines for a write that failed."""
    if problem.errno in FULL or "too large" in str(problem).lower():
        return UserError(
            f"cannot write {path}: no room ({problem.strerror or problem})",
            "free some space, or give --out another disk",
        )
    if problem.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(f"cannot write {path}: part of that path is a file", "give --out a folder")
    if problem.errno == errno.EISDIR:
        return UserError(f"cannot write {path}: it is a folder", "give a file name in it")
    return UserError(f"cannot write {path}: {problem.strerror or problem}", "give --out a folder you may write to")


def writable_file(path: Path) -> Path:
    """The path, '~' resolved, of a file that can be made there.

    Raises:
        UserError: it is a folder, or cannot be written.
    """
    path = Path(os.path.expanduser(path))
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder", "give a file name in it")
    if str(path) == "-":
        raise UserError("'-' is no file to write", "give a file name, like answers.csv")
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"cannot write {path}: permission denied", "give another file name")
    writable_folder(path.parent)
    return path


def writable_folder(path: Path) -> None:
    """Refuse a folder that could not be made or written, without making it.

    Raises:
        UserError: the path or a part of it is a file, or permission is missing.
    """
    for place in (path, *path.parents):
        if place.is_dir():
            if not os.access(place, os.W_OK):
                raise UserError(
                    f"cannot write below {place}: permission denied", "give --out a folder you may write to"
                )
            return
        if place.exists():
            raise UserError(f"cannot make {path}: {place} is a file", "give --out a folder")


def room_for(path: Path, size: int) -> None:
    """Refuse to start when the disk cannot hold `size` bytes."""
    place = next(place for place in (path, *path.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(place).free
    if free < size:
        raise UserError(
            f"{place} has {free / 1e6:.0f} MB free, the run needs about {size / 1e6:.0f} MB",
            "free some space, or give --out another disk",
        )
