"""The command line in a test: in process, or in a process of its own that can be limited and killed."""

import contextlib
import dataclasses
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from cliptune.cli.main import main
from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.mask_sets import world as pictures_module
from cliptune.datasets.segmentation import MaskSet
from cliptune.datasets.sets import digits as digits_module

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preloaded"])

LOAD_DIGITS, LOAD_PICTURES = digits_module.load, pictures_module.load

QUICK = ("--device", "cpu", "--shots", "2", "--set", "train.steps=4", "--set", "evaluate.retention=none")
"""a run of a second, once the digits' test split is small"""


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command line answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    def done(self) -> "Said":
        assert self.code == 0, self.out + self.err
        return self


Cliptune = Callable[..., Said]


def two_lines(said: Said) -> tuple[str, str]:
    """What a refusal says: what is wrong, and what to type instead; asserts that there is nothing else."""
    assert said.code == 2, said.out + said.err
    lines = said.err.split("\n")
    assert len(lines) == 3, said.err
    assert lines[2] == "", said.err
    assert lines[0].startswith("cliptune: ")
    assert lines[1].startswith("        ")
    assert lines[1].strip()
    assert "Traceback" not in said.out + said.err
    return lines[0].removeprefix("cliptune: "), lines[1].strip()


@pytest.fixture
def cliptune(capfd: pytest.CaptureFixture[str]) -> Cliptune:
    """Run one command line in this process."""

    def run(*words: object) -> Said:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capfd.readouterr())

    return run


def fewer_digits(test: int) -> Callable[..., ImageSet]:
    """A loader of the digits with a test split of `test` images."""

    def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
        full = LOAD_DIGITS(root, task)
        return dataclasses.replace(full, test=full.test[:test])

    return load


def fewer_pictures(root: str | None = None, missing: Missing = "refuse", task: str = "") -> MaskSet:
    """The drawn pictures with masks: 6 of the validation and 10 of the test split."""
    full = LOAD_PICTURES(root, missing, task)
    return dataclasses.replace(full, val=full.val[:6], test=full.test[:10])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--data digits` has a test split of 100 images; `world/glyphs` is `fewer_pictures`."""
    monkeypatch.setattr(digits_module, "load", fewer_digits(100))
    monkeypatch.setattr(pictures_module, "load", fewer_pictures)


def start_server() -> None:
    """Start what children are forked from, where it can import `tests`; it does not say when a preload fails."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # one worker has it: it takes seconds to start, and 0.5 GB
        assert "@processes" in os.environ["PYTEST_CURRENT_TEST"], 'mark this test xdist_group("processes")'
    with contextlib.chdir(Path(__file__).parents[1]):
        forkserver.ensure_running()


class Process:
    """One command line in its own process, forked from a server that has the heavy imports behind it.

    Args:
        words: the command line. test: images in the digits' test split. file_limit: largest file it may write, bytes.
        launched: what a launcher would say in the environment.
    """

    def __init__(
        self, *words: object, test: int = 100, file_limit: int | None = None, launched: Mapping[str, str] | None = None
    ):
        self.pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
        ends = [write for _, write in self.pipes]
        start_server()
        self.process = CONTEXT.Process(
            target=_child, args=([str(word) for word in words], ends[0], ends[1], test, file_limit, launched or {})
        )
        self.process.start()
        self.texts = ["", ""]
        for end in ends:
            end.close()
        self.readers = [threading.Thread(target=self._read, args=(index,)) for index in range(2)]
        for reader in self.readers:
            reader.start()

    def _read(self, index: int) -> None:
        with os.fdopen(os.dup(self.pipes[index][0].fileno()), encoding="utf-8") as text:
            self.texts[index] = text.read()

    def wait(self, seconds: float = 900) -> Said:
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {seconds} s")
        for reader in self.readers:
            reader.join(10)
        return Said(self.process.exitcode or 0, *self.texts)

    def kill_when(self, ready: Callable[[], bool], seconds: float = 900) -> None:
        """SIGKILL it as soon as `ready()`.

        Raises:
            AssertionError: it ended by itself before.
        """
        until = time.monotonic() + seconds
        while not ready():
            assert self.process.is_alive(), f"ended before it could be killed: {self.wait()}"
            assert time.monotonic() < until, "never came to where it should be killed"
            time.sleep(0.001)
        self.process.kill()
        assert self.wait().code == -signal.SIGKILL


def several(size: int, *words: object) -> list[Process]:
    """One command line in several processes of one run, as torchrun starts them."""
    shared = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "OMP_NUM_THREADS": "1", **meeting_place()}
    return [Process(*words, launched={"RANK": str(rank), "LOCAL_RANK": str(rank), **shared}) for rank in range(size)]


def meeting_place() -> dict[str, str]:
    """An address on this machine where processes may meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def _child(
    words: list[str],
    out: Connection,
    err: Connection,
    test: int,
    file_limit: int | None,
    launched: Mapping[str, str],
) -> None:
    assert "tests.preloaded" in sys.modules
    os.environ.update(launched)
    gc.freeze()
    os.fsync = lambda file: None  # as in conftest
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    import torch

    torch.set_num_threads(1)
    digits_module.load = fewer_digits(test)
    pictures_module.load = fewer_pictures
    if file_limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
    raise SystemExit(main(words))


def tree(folder: Path) -> dict[str, tuple[bytes | None, float]]:
    """Everything below a folder: relative path → contents (None for a folder) and time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime)
        for path in sorted(folder.rglob("*"))
    }


def contents(folder: Path) -> dict[str, bytes | None]:
    """`tree` without times."""
    return {name: content for name, (content, _) in tree(folder).items()}
