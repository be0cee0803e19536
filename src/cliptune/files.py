"""Reading files in words, and writing them whole or not at all."""

import contextlib
import csv
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.errors import FULL, UserError, of_system, shortened

if TYPE_CHECKING:
    from torch import Tensor

HALF = ".half"
"""suffix of a file in the making"""
LARGEST = 1 << 29
"""bytes of a text that is read: what is larger is no record, list or log"""
_written: ContextVar[list[Path] | None] = ContextVar("written", default=None)


@contextlib.contextmanager
def recorded() -> Iterator[list[Path]]:
    """The files that `write_whole` writes inside, as they come."""
    paths: list[Path] = []
    token = _written.set(paths)
    try:
        yield paths
    finally:
        _written.reset(token)


def user_path(name: str | os.PathLike[str]) -> Path:
    """A path as a person writes it: `~` is the home folder, `~name` that of a user.

    Raises:
        UserError: there is no such home folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        home = Path(name).parts[0]
        raise UserError(
            f"{shortened(str(name))} does not exist: there is no home folder {home}", "check that path"
        ) from None


def instead_of_address(address: str) -> str:
    """What to give instead of an address, as advice; of file:// its path."""
    if address.lower().startswith("file:"):
        path = re.sub(r"^file:/*", "", address, flags=re.I)
        return f"leave file:// out: {path if re.match('[A-Za-z]:', path) else f'/{path}'}"
    return "download it (and unpack it), then give the path"


def short(path: Path) -> str:
    """A path for a message: relative where it lies below the working directory."""
    with contextlib.suppress(ValueError, FileNotFoundError):  # elsewhere; a working directory that was removed
        return str(path.relative_to(Path.cwd()))
    return str(path)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a neighbouring name, flush it to disk, then rename: a reader never sees half a file.

    The neighbouring name cannot be foreseen and is new, so that nothing planted there is written through. The file
    gets the permissions of any new file, whatever the library behind `write` gives its own.

    Raises:
        UserError: no room, or no permission.
    """
    refuse_device(path)
    half = _half(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        usual = os.fstat(descriptor).st_mode
        os.close(descriptor)
        write(half)
        with half.open("rb+") as file:
            if os.fstat(file.fileno()).st_mode != usual:
                half.chmod(usual & 0o777)
            os.fsync(file.fileno())
        half.replace(path)
        if (paths := _written.get()) is not None:
            paths.append(path)
    except OSError as problem:
        raise cannot_write(path, problem) from problem
    except Exception as problem:
        if (cause := system_error(problem)) is not None:
            raise cannot_write(path, cause) from problem
        raise
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)


def _half(path: Path) -> Path:
    """A neighbouring name that cannot be foreseen."""
    return path.with_name(f".{path.name[:60]}.{secrets.token_hex(6)}{HALF}")


def refuse_device(path: Path) -> None:
    """Refuse to put a file in the place of a device, a pipe or a socket, as /dev/stdout and /dev/null are.

    Raises:
        UserError: it is one, or lies where the system keeps its own.
    """
    try:
        special = not (path.is_file() or path.is_dir()) and path.exists()
    except OSError:
        special = False
    system = path.absolute().parts[1:2] in (("dev",), ("proc",), ("sys",)) and path.absolute().parts[2:3] != ("shm",)
    if special or system:
        raise UserError(
            f"cannot write {path}: that is no place for a file", "give the name of a file in a folder of yours"
        )


def system_error(problem: Exception) -> OSError | None:
    """What the system said, where a library tells it in the text of an error of its own, as safetensors does."""
    if code := re.search(r"os error (\d+)", str(problem)):
        return OSError(int(code[1]), os.strerror(int(code[1])))
    full = "File too large" in str(problem) or "No space left" in str(problem)
    return OSError(errno.ENOSPC, str(problem)) if full else None


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
    half, good, rows = _half(path), 0, 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("x", encoding="utf-8", newline="", errors="backslashreplace") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(head)

            def add(row: Sequence[object]) -> None:
                nonlocal good, rows
                table.writerow(row)
                file.flush()
                good, rows = half.stat().st_size, rows + 1

            yield add
    except OSError as problem:
        refused = cannot_write(path, problem)
        raise UserError(refused.what, refused.fix.replace("--out a folder", "a file in a folder")) from problem
    finally:
        with contextlib.suppress(OSError):
            if rows:
                os.truncate(half, good)
                half.replace(path)
            half.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    """A safetensors file, the same bytes for the same tensors.

    Its one metadata key is what other readers expect; safetensors writes several in random order.
    """
    from safetensors.torch import save_file

    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_whole(path, lambda half: save_file(ready, half, metadata={"format": "pt"}))


def refuse_odd(path: Path, most: int | None = LARGEST) -> None:
    """Refuse what would never end or fill the memory if it were read: a pipe, a device, a file of gigabytes.

    Args:
        most: bytes; None for any size.

    Raises:
        UserError: it is one of them, or cannot be looked at.
    """
    try:
        found = path.stat()
    except OSError as problem:
        raise cannot_read(path, problem) from None
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f"{path} is a folder, and should be a file", "put back the file that belongs there")
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is a pipe or a device and not a file", "put back the file that belongs there")
    if most is not None and found.st_size > most:
        raise UserError(
            f"{path} has {found.st_size / 1e9:.1f} GB, more than such a file can have",
            "put back the file that belongs there",
        )


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        UserError: the file cannot be read or is not whole.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        refuse_odd(path, None)
        path.open("rb").close()  # safetensors says "No such file" of one that may not be read
        return load_file(path)
    except OSError as problem:
        raise cannot_read(path, problem) from None
    except SafetensorError as problem:
        raise UserError(f"{path} is broken: {problem}", "train again with --fresh") from None


def read_json(path: Path, fix: str) -> Any:
    """The content of a JSON file.

    Args:
        fix: what to do where it is broken.

    Raises:
        UserError: it cannot be read, or is not JSON.
    """
    refuse_odd(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise cannot_read(path, problem) from None
    except (ValueError, RecursionError) as problem:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UserError(f"{path} is broken: {str(problem)[:200]}", fix) from None


def cannot_read(path: Path, problem: OSError) -> UserError:
    """The two lines for something that could not be read."""
    return of_system(problem, path) or UserError(f"{path}: {problem.strerror or problem}", "check that path")


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
    why = problem.strerror or problem
    return UserError(f"cannot write {shortened(str(path))}: {why}", "give --out a folder you may write to")


def writable_file(path: Path) -> Path:
    """The path, '~' resolved, of a file that can be made there.

    Raises:
        UserError: it is a folder, or cannot be written.
    """
    path = user_path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder", "give a file name in it")
    if str(path) == "-":
        raise UserError("'-' is no file to write", "give a file name, like answers.csv")
    refuse_device(path)
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


def is_leftover(path: Path) -> bool:
    """Whether `write_whole` left that file where its process was killed."""
    return path.name.startswith(".") and path.name.endswith(HALF)


def give_usual_permissions(folder: Path) -> None:
    """Let the files of a new folder be read by whoever may read the folder: safetensors keeps its own to the owner."""
    usual = folder.stat().st_mode & 0o666
    for path in folder.iterdir():
        if path.is_file():
            path.chmod(usual)


def sweep(folder: Path) -> None:
    """Remove what `write_whole` left in a folder and in its folders."""
    for path in (*folder.glob(f".*{HALF}"), *folder.glob(f"*/.*{HALF}")):
        with contextlib.suppress(OSError):
            path.unlink()


def refuse_linked_folders(folder: Path) -> None:
    """Refuse a folder of ours that has links to folders where its own folders should be: they lead out of it.

    Raises:
        UserError: one of its folders, or one in them, is a link.
    """
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        if path.is_symlink() and path.is_dir():
            raise UserError(f"{path} is a link and leads out of {folder}", "remove the link, or put the folder there")
