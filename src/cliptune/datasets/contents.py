"""The files of a run by what is in them, so that replaced, renamed, copied and moved images are recognised.

files.json    {"format": 1, "files": {part: {path: [size, modified, changed, sha256]}}}
part          train, val, each test by its name; masks, where images have masks
path          as in episode.json

A file whose size and times are still the recorded ones is taken for the same; only another one is read and hashed.
Images that are drawn or embedded are no files, and are not listed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from cliptune.datasets.images import printable
from cliptune.errors import UserError
from cliptune.files import refuse_odd, write_text

FILE = "files.json"

Result = TypeVar("Result")

Located = Mapping[str, Mapping[str, Path]]
"""part → path as it is listed → where the file is now"""


class Stamp(NamedTuple):
    """What tells a file from others."""

    size: int
    """bytes"""
    modified: int
    """nanoseconds"""
    changed: int
    """nanoseconds; a copy that keeps the time of modification has another one"""
    sha256: str


@dataclass(frozen=True)
class Contents:
    """Stamps of a run's files by part and listed path."""

    parts: Mapping[str, Mapping[str, Stamp]]

    @classmethod
    def of(cls, located: Located) -> "Contents":
        """Hash every file.

        Raises:
            UserError: one cannot be read.
        """
        files = list(dict.fromkeys(file for part in located.values() for file in part.values()))
        stamps = dict(zip(files, _in_threads(_stamp, files), strict=True))
        return cls({name: {path: stamps[file] for path, file in part.items()} for name, part in located.items()})

    @cached_property
    def sha256(self) -> str:
        """Over all parts' paths and contents; where the files are and when they were written do not count."""
        values = {
            name: sorted((path, stamp.sha256) for path, stamp in part.items()) for name, part in self.parts.items()
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> None:
        write_text(path, json.dumps({"format": 1, "files": self.parts}) + "\n")

    def differing(self, located: Located) -> list[str]:
        """The listed paths of files whose content is no longer the recorded one.

        Raises:
            UserError: a file cannot be read.
        """
        doubtful: dict[str, tuple[Path, Stamp]] = {}
        for name, part in located.items():
            known = self.parts.get(name, {})
            for path, file in part.items():
                stamp = known.get(path)
                if stamp is not None and _times(file) != stamp[:3]:
                    doubtful[path] = (file, stamp)
        digests = _in_threads(_sha256, [file for file, _ in doubtful.values()])
        return [path for (path, (_, stamp)), digest in zip(doubtful.items(), digests) if digest != stamp.sha256]

    def among(self, names: Iterable[str], files: Mapping[str, Path]) -> set[str]:
        """The listed paths of those `files` that are a file of the parts `names`, under whatever name.

        Raises:
            UserError: a file cannot be read.
        """
        stamps = [stamp for name in names for stamp in self.parts.get(name, {}).values()]
        sizes, digests = {stamp.size for stamp in stamps}, {stamp.sha256 for stamp in stamps}
        alike = [(path, file) for path, file in files.items() if _times(file)[0] in sizes]
        hashed = _in_threads(_sha256, [file for _, file in alike])
        return {path for (path, _), digest in zip(alike, hashed) if digest in digests}


def read(folder: Path) -> Contents | None:
    """What a run folder says of its files; None where it is older than files.json.

    Raises:
        UserError: the file is broken.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    refuse_odd(path)
    try:
        files = json.loads(path.read_text("utf-8"))["files"]
        return Contents({name: {key: Stamp(*stamp) for key, stamp in part.items()} for name, part in files.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UserError(f"{path} is broken: {problem!r}", "train again with --fresh") from None


def located(root: str, paths: Iterable[str]) -> dict[str, Path]:
    """Listed path → file below `root`, for those that are files; a folder may lie in one of its own name."""
    if not root:
        return {}
    files = {}
    for path in paths:
        for file in (Path(root, path), Path(root, path.partition("/")[0], path)):
            if file.is_file():
                files[path] = file
                break
    return files


def _stamp(file: Path) -> Stamp:
    return Stamp(*_times(file), _sha256(file))


def _times(file: Path) -> tuple[int, int, int]:
    """Size in bytes, times of modification and of change in nanoseconds."""
    try:
        status = file.stat()
    except OSError as problem:
        raise _unreadable(file, problem) from problem
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as problem:
        raise _unreadable(file, problem) from problem


def _unreadable(file: Path, problem: OSError) -> UserError:
    return UserError(f"{printable(file)} cannot be read: {problem.strerror or problem}", "remove or repair it")


def _in_threads(work: Callable[[Path], Result], files: Sequence[Path]) -> list[Result]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, files))
