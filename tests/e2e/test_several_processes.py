"""One run in two processes from the command line: one folder, the result of one process, resume, refusals."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import QUICK, Cliptune, several, tree

pytestmark = pytest.mark.xdist_group("processes")

PLAIN = ("train", "lora", *QUICK, "--set", "dropout=0.0")
"""without dropout, whose masks differ"""


def answers(run: Path) -> list[str]:
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        return [row["prediction"] for row in csv.DictReader(file)]


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text("utf-8"))


def test_two_processes_write_one_run(few: None, cliptune: Cliptune) -> None:
    first, second = (process.wait().done() for process in several(2, *PLAIN, "--out", "two"))
    assert [path.name for path in Path().iterdir()] == ["two"]
    assert second.out == ""
    assert first.out.count(" s training, ") == 1
    cliptune(*PLAIN, "--out", "one").done()
    one, two = record(Path("one")), record(Path("two"))
    assert (one["environment"]["processes"], two["environment"]["processes"]) == (1, 2)
    assert two["metrics"]["test"]["accuracy"] == one["metrics"]["test"]["accuracy"]
    assert answers(Path("two")) == answers(Path("one"))
    before = tree(Path("two"))
    again = [process.wait().done() for process in several(2, *PLAIN, "--out", "two")]
    assert tree(Path("two")) == before, "an equal finished run is returned as it is"
    assert "after" in again[0].out


def test_killed_and_resumed_is_uninterrupted(few: None) -> None:
    command = ("train", "ast", *QUICK, "--set", "probe_steps=3", "--set", "train.checkpoint_seconds=0")
    run, log = Path("killed"), Path("killed/metrics.jsonl")
    words = '"event": "step", "phase": "tune", "step": 3,'
    both = several(2, *command, "--out", run)
    both[0].kill_when(lambda: log.is_file() and words in log.read_text("utf-8"))
    assert both[1].wait().code != 0, "the other notices and ends"
    resumed = [process.wait().done() for process in several(2, *command, "--out", run, "--resume")]
    assert "tune: going on at step" in resumed[0].out
    for process in several(2, *command, "--out", "uninterrupted"):
        process.wait().done()
    for name in ("adapter/adapter.safetensors", "adapter/adapter.json", "predictions.csv"):
        assert (run / name).read_bytes() == (Path("uninterrupted") / name).read_bytes(), name


def test_what_cannot_be_split_is_done_by_one(few: None) -> None:
    _, second = (process.wait().done() for process in several(2, "train", "linear_probe", *QUICK, "--out", "run"))
    assert second.out == ""
    assert record(Path("run"))["status"] == "finished"


def test_a_refusal_ends_all_processes(few: None) -> None:
    Path("file").write_text("")
    found = [process.wait() for process in several(2, *PLAIN, "--out", "file/run")]
    assert [said.code for said in found] == [2, 2]
    assert "file is a file" in found[0].err
    assert found[0].err.count("\n") == 2


def test_only_train_is_shared() -> None:
    found = [process.wait() for process in several(2, "report", "run")]
    assert [said.code for said in found] == [2, 2]
    assert "`cliptune report` is work for one process" in found[0].err


@pytest.mark.slow
def test_through_torchrun(few: None, cliptune: Cliptune) -> None:
    words = ("train", "dora", "--device", "cpu", "--shots", "2", "--set", "train.steps=6", "--set", "dropout=0.0")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "cliptune"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *words, "--out", "two"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in Path().iterdir()] == ["two"]
    one = subprocess.run([sys.executable, "-m", "cliptune", *words, "--out", "one"], capture_output=True, text=True)
    assert one.returncode == 0, one.stderr
    assert answers(Path("two")) == answers(Path("one"))
    refused = subprocess.run([*launcher, *words, "--set", "bogus=1"], capture_output=True, text=True, env=environment)
    assert refused.returncode == 1, "torchrun's own"
    assert refused.stderr.count("cliptune: bogus: no such setting") == 1
