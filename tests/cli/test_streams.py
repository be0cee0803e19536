"""No terminal ends a run: other encodings, closed and full outputs, a reader that leaves."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cliptune.cli.main import main
from cliptune.pipeline import execute
from tests.command import QUICK, Cliptune
from tests.conftest import plan_for, small_method

TRAIN = ("train", "linear_probe", *QUICK, "--out", "run")


class Fails(io.RawIOBase):
    """A raw stream that takes some writes and then fails as the system would."""

    def __init__(self, code: int, after: int = 0):
        self.code, self.left = code, after

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if self.left <= 0:
            raise OSError(self.code, os.strerror(self.code))
        self.left -= 1
        return len(data)


def text(raw: io.RawIOBase, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw, 1), encoding=encoding, write_through=True)


def finished(folder: str = "run") -> bool:
    return json.loads(Path(folder, "run.json").read_text("utf-8"))["status"] == "finished"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
@pytest.mark.parametrize("words", [("list", "data"), ("show", "dora"), TRAIN], ids=lambda words: words[0])
def test_an_encoding_without_our_letters(
    words: tuple[str, ...], encoding: str, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert main(words) == 0
    said = {name: stream.buffer.getvalue().decode(encoding) for name, stream in streams.items()}
    assert "Traceback" not in said["stderr"]
    assert len(said["stdout"].splitlines()) > 2
    assert streams["stdout"].errors == "strict"  # as it was given
    if words is TRAIN:
        assert "zero-shot" in said["stdout"]
        assert finished()


def test_json_for_a_terminal_without_our_letters(monkeypatch: pytest.MonkeyPatch, cliptune: Cliptune) -> None:
    whole = cliptune("show", "dora", "--json").done().json
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["show", "dora", "--json"]) == 0
    assert json.loads(stream.buffer.getvalue()) == whole


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("code", [errno.EPIPE, errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("words", [("list", "data"), ("--help",), TRAIN], ids=lambda words: words[0])
def test_an_output_that_cannot_be_written(
    words: tuple[str, ...], code: int, after: int, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text(Fails(code, after)))
    monkeypatch.setattr(sys, "stderr", error)
    assert main(words) == 0
    told = [line for line in error.getvalue().splitlines() if "could not be written" in line]
    failed = after == 0 or words != ("--help",)  # help is one piece
    assert len(told) == (failed and code != errno.EPIPE)
    assert "Traceback" not in error.getvalue()
    if words is TRAIN:
        assert finished()


@pytest.mark.parametrize(("code", "ends"), [(errno.EPIPE, 0), (errno.ENOSPC, 2), (errno.EIO, 2)])
@pytest.mark.parametrize("more", [(), ("--json",), ("--csv", "a.csv")], ids=["lines", "json", "csv"])
def test_answers_that_stand_nowhere_else(
    code: int, ends: int, more: tuple[str, ...], finished: Path, few_digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_digits.read(few_digits.test[0]).save("one.png")
    error = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text(Fails(code, 0)))
    monkeypatch.setattr(sys, "stderr", error)
    assert main(("predict", str(finished), "one.png", *more)) == (0 if "--csv" in more else ends)
    assert ("not all answers are written" in error.getvalue()) == (ends == 2 and "--csv" not in more)


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "none"])
def test_closed_streams(stream: str, closed: bool, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr") if stream == "both" else (stream,):
        end = io.StringIO()
        end.close()
        monkeypatch.setattr(sys, name, end if closed else None)
    assert main(TRAIN) == 0
    assert finished()
    assert main(("predict", "nothing")) == 2


def test_a_reader_that_leaves_costs_no_finished_run(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --fresh over a finished run, and not a checkpoint yet."""
    command = ("train", "lora", *QUICK, "--set", "train.validate_every=1", "--out", "run")
    assert main(command) == 0
    first = json.loads(Path("run/run.json").read_text("utf-8"))
    monkeypatch.setattr(sys, "stdout", text(Fails(errno.EPIPE, 5)))
    assert main((*command, "--seed", "2", "--fresh")) == 0
    second = json.loads(Path("run/run.json").read_text("utf-8"))
    assert (first["seed"], second["seed"], second["status"]) == (1, 2, "finished")


def test_a_listener_that_fails_is_left_out(mini, few_digits) -> None:
    heard = []

    def broken(event: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    plan = plan_for(mini, few_digits, small_method("lora"), train__steps=3)
    with pytest.warns(UserWarning, match="a listener failed.*Broken pipe") as warned:
        run = execute(plan, Path("run"), listeners=[broken, heard.append])
    assert len(warned) == 1
    assert run.record["status"] == "finished"
    assert len(heard) > 3


def test_a_pipe_to_head() -> None:
    """The real thing: what Python flushes when it ends must not fail either."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cliptune", "list", "data"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate(timeout=900)
    assert (process.returncode, error) == (0, b"")
