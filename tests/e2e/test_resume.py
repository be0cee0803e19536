"""A run killed with SIGKILL and resumed ends byte for byte where an uninterrupted one ends."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import QUICK, Cliptune, Process

pytestmark = pytest.mark.xdist_group("processes")

EVERY_STEP = ("--set", "train.checkpoint_seconds=0")

CASES = {
    # name: (command line, phases with their steps, in which phases it is killed, one after the other)
    "dora with dropout": (("dora", "--set", "dropout=0.5", "--set", "train.steps=9"), {"train": 9}, ("train", "train")),
    "ast": (
        ("ast", "--set", "probe_steps=6", "--set", "train.steps=6"),
        {"probe": 6, "tune": 6},
        ("probe", "tune"),
    ),
    "ast that goes on from stage 1": (
        ("ast", "--set", "probe_steps=4", "--set", "train.steps=5", "--set", "restart=continue"),
        {"probe": 4, "tune": 5},
        ("tune",),
    ),
    "full": (("full", "--set", "train.steps=5"), {"train": 5}, ("train",)),
    "marking, with its validations": (
        ("dora", "--data", "world/glyphs", "--shots", "3", "--set", "train.steps=7", "--set", "train.validate_every=2")
        + ("--set", "train.schedule=plateau", "--set", "train.plateau_patience=0", "--set", "train.patience=9"),
        {"train": 7},
        ("train",),
    ),
}


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def steps(run: Path) -> list[tuple[str, int]]:
    return [(event["phase"], event["step"]) for event in events(run) if event["event"] == "step"]


def reached(run: Path, phase: str, step: int) -> Callable[[], bool]:
    """Whether that step's line is in the log, whole or not."""
    words = f'"event": "step", "phase": "{phase}", "step": {step},'
    path = run / "metrics.jsonl"
    return lambda: path.is_file() and words in path.read_text("utf-8")


SLOW = ("ast that goes on from stage 1",)


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] if c in SLOW else []) for c in CASES])
def test_killed_and_resumed_is_uninterrupted(case: str, few: None, cliptune: Cliptune) -> None:
    words, phases, kills = CASES[case]
    command = ("train", words[0], *QUICK, *words[1:])
    draw = random.Random(case)
    run, other = Path("killed"), Path("uninterrupted")
    least = dict.fromkeys(phases, 2)  # the state after step 1 is then on the disk
    for number, phase in enumerate(kills):
        step = draw.randint(least[phase], phases[phase] - 1)
        again = ("--resume",) if number else ()
        Process(*command, *EVERY_STEP, "--out", run, *again).kill_when(reached(run, phase, step))
        assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "running"
        assert not (run / "adapter").exists()
        least[phase] = min(step + 1, phases[phase] - 1)
    said = cliptune(*command, *EVERY_STEP, "--out", run, "--resume").done()
    assert f"  {next(iter(phases))} 1/" not in said.out
    cliptune(*command, "--out", other).done()
    assert steps(run) == steps(other) == [(name, step + 1) for name, count in phases.items() for step in range(count)]
    for name in ("adapter/adapter.safetensors", "adapter/adapter.json", "predictions.csv", "episode.json"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    losses = [[event["loss"] for event in events(folder) if event["event"] == "step"] for folder in (run, other)]
    assert losses[0] == losses[1]
    assert not (run / "checkpoint").exists()
    assert not [path for path in run.rglob("*") if path.name.endswith(".half")]


def test_killed_before_anything_was_saved_starts_over(few: None, cliptune: Cliptune) -> None:
    command = ("train", "lora", *QUICK, "--set", "train.steps=12")
    run, other = Path("killed"), Path("uninterrupted")
    Process(*command, "--out", run).kill_when(reached(run, "train", 2))
    assert not (run / "checkpoint").exists()
    cliptune(*command, "--out", run, "--resume").done()
    cliptune(*command, "--out", other).done()
    assert steps(run) == steps(other)
    name = "adapter/adapter.safetensors"
    assert (run / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.slow
def test_a_killed_run_may_be_started_over(few: None, cliptune: Cliptune) -> None:
    command = ("train", "lora", *QUICK, *EVERY_STEP, "--out", "run")
    Process(*command).kill_when(reached(Path("run"), "train", 2))
    assert "going on" not in cliptune(*command, "--fresh").done().out
    assert steps(Path("run")) == [("train", step) for step in (1, 2, 3, 4)]


def test_a_log_cut_in_the_middle_of_a_line_is_mended(few: None, cliptune: Cliptune) -> None:
    command = ("train", "lora", *QUICK, *EVERY_STEP, "--out", "run")
    Process(*command).kill_when(reached(Path("run"), "train", 3))
    log = Path("run/metrics.jsonl")
    log.write_bytes(log.read_bytes() + b'{"event": "step", "pha')
    cliptune(*command, "--resume").done()
    assert steps(Path("run")) == [("train", step) for step in (1, 2, 3, 4)]
