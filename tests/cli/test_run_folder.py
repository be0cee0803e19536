"""A run folder while a run is made: locked, replaced only by a whole run, removed only where it is ours."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cliptune import environment, files
from cliptune.errors import UserError
from cliptune.pipeline import execute
from cliptune.run_folder import HIDDEN, RunFolder, foreign
from cliptune.training.compute import compute
from tests.command import QUICK, Cliptune, Process, contents, two_lines
from tests.conftest import plan_for, small_method

TRAIN = ("train", "lora", *QUICK, "--out", "run")
OTHER = (*TRAIN, "--seed", "2", "--fresh")


def record(folder: str | Path = "run") -> dict:
    return json.loads(Path(folder, "run.json").read_text("utf-8"))


def reached(run: Path, step: int) -> Callable[[], bool]:
    log = run / "metrics.jsonl"
    return lambda: log.is_file() and f'"event": "step", "phase": "train", "step": {step},' in log.read_text("utf-8")


# --fresh


def test_the_new_run_takes_the_place_of_the_old_one(few: None, cliptune: Cliptune) -> None:
    cliptune(*TRAIN).done()
    cliptune("report", "run").done()
    cliptune(*OTHER).done()
    assert record()["seed"] == 2
    assert not Path("run/report.html").exists()
    assert [path.name for path in Path().iterdir()] == ["run"]


@pytest.mark.parametrize(
    "broken",
    [("--set", "train.lr=1e30"), ("--set", "where=nowhere"), ("--data", "nowhere")],
    ids=lambda words: words[1],
)
def test_a_new_run_that_fails_leaves_the_old_one(broken: tuple[str, str], few: None, cliptune: Cliptune) -> None:
    cliptune(*TRAIN).done()
    before = contents(Path("run"))
    two_lines(cliptune(*OTHER, *broken))
    assert contents(Path("run")) == before
    assert [path.name for path in Path().iterdir()] == ["run"]


@pytest.mark.xdist_group("processes")
def test_a_new_run_that_is_killed_leaves_the_old_one_and_can_be_resumed(few: None, cliptune: Cliptune) -> None:
    cliptune(*TRAIN).done()
    before = contents(Path("run"))
    longer = ("--set", "train.steps=12", "--set", "train.checkpoint_seconds=0")
    Process(*OTHER, *longer).kill_when(reached(Path(HIDDEN, "run"), 5))
    assert contents(Path("run")) == before
    said = cliptune(*OTHER[:-1], *longer, "--resume").done()
    assert "going on at step" in said.out
    assert (record()["seed"], record()["status"]) == (2, "finished")
    assert [path.name for path in Path().iterdir()] == ["run"]
    assert cliptune(*TRAIN, "--resume").code == 2  # the old one is gone


@pytest.mark.parametrize("exchanged", [0, 1])
def test_killed_in_the_moment_of_the_exchange(exchanged: int, few: None, cliptune: Cliptune) -> None:
    """Between the two renames no folder has the run's name; after both the old one is still there."""
    cliptune(*TRAIN).done()
    Path(HIDDEN).mkdir()
    shutil.copytree("run", Path(HIDDEN, ".run.old"))
    if not exchanged:
        Path("run").rename(Path(HIDDEN, "run"))
    cliptune(*TRAIN).done()
    assert [path.name for path in Path().iterdir()] == ["run"]
    assert record()["status"] == "finished"


def test_files_of_yours_that_come_while_the_new_run_is_made(few_digits, mini) -> None:
    plan = plan_for(mini, few_digits, small_method("lora"))
    execute(plan, Path("run"))
    notes = Path("run/notes.txt")
    other = plan_for(mini, few_digits, small_method("lora"), protocol__seed=2)
    with pytest.raises(UserError, match=r"did not write: notes.txt.*\n.*--resume instead of --fresh"):
        execute(other, Path("run"), fresh=True, listeners=[lambda event: notes.write_text("mine")])
    assert (record()["seed"], notes.read_text()) == (1, "mine")
    notes.unlink()
    execute(other, Path("run"), resume=True)
    assert (record()["seed"], record()["status"]) == (2, "finished")
    assert [path.name for path in Path().iterdir()] == ["run"]


RECORDS = {"empty": "{}", "a list": "[1]", "no JSON": "my notes", "another tool's": '{"status": "finished", "id": 7}'}
RECORDS["nearly ours"] = json.dumps({"status": "failed", "model": {}, "data": {}, "recipe": {}})


@pytest.mark.parametrize("kind", RECORDS)
def test_a_folder_of_yours_with_a_run_json(kind: str, few: None, cliptune: Cliptune) -> None:
    Path("run/photos").mkdir(parents=True)
    Path("run/photos/me.jpg").write_text("a picture")
    Path("run/thesis.txt").write_text("years of work")
    Path("run/run.json").write_text(RECORDS[kind])
    before = contents(Path("run"))
    for option in ((), ("--fresh",), ("--resume",)):
        assert "--fresh" not in two_lines(cliptune(*TRAIN, *option))[1]
        assert contents(Path("run")) == before


def test_a_run_with_files_of_yours_among_its_own(finished: Path, cliptune: Cliptune, few: None) -> None:
    run = Path(shutil.copytree(finished, "run"))
    for name in ("thesis.txt", "thumbnails/me.jpg", "photos/me.png", "adapter/notes.md", "my.csv"):
        path = run / name
        new = not path.parent.exists()
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        before = contents(run)
        told = name.split("/")[0] if new else name
        assert f"did not write: {told}" in two_lines(cliptune(*OTHER))[0]
        assert contents(run) == before
        shutil.rmtree(path.parent) if new else path.unlink()


def test_links_and_the_folder_one_stands_in(few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch) -> None:
    cliptune(*TRAIN).done()
    before = contents(Path("run"))
    Path("link").symlink_to("run")
    words = ("train", "lora", *QUICK, "--seed", "2", "--fresh")
    assert "is a link" in two_lines(cliptune(*words, "--out", "link"))[0]
    monkeypatch.chdir("run")
    for out in (".", "../run", Path.cwd()):
        assert "the folder you are in" in two_lines(cliptune(*words, "--out", out))[0]
    Path("thumbnails").mkdir(exist_ok=True)
    monkeypatch.chdir("thumbnails")
    assert "the folder you are in or one above it" in two_lines(cliptune(*words, "--out", ".."))[0]
    assert contents(Path("..")) == before


def test_what_a_run_writes_is_known_as_ours(few: None, cliptune: Cliptune) -> None:
    features = ("--set", "evaluate.features=true", "--set", "train.checkpoint_seconds=0")
    cliptune(*TRAIN, *features, "--protocol", "base-to-novel").done()
    cliptune("report", "run", "--latex").done()
    assert foreign(Path("run")) == []
    marks = ("--data", "world/glyphs", "--shots", "6", "--device", "cpu", "--set", "train.steps=2", "--out", "marks")
    cliptune("train", "lora", *marks).done()
    cliptune("report", "marks").done()
    assert foreign(Path("marks")) == []


# One process at a time


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("option", [(), ("--resume",), ("--fresh",)], ids=str)
def test_a_folder_in_work_is_refused(option: tuple[str, ...], few: None, cliptune: Cliptune) -> None:
    steps = ("--set", "train.steps=12", "--set", "train.checkpoint_seconds=0")
    first = Process(*TRAIN, *steps)
    until = reached(Path("run"), 3)
    while not until():
        assert first.process.is_alive()
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        said, _ = two_lines(cliptune(*TRAIN, *steps, *option))
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    assert f"process {first.process.pid} on " in said
    assert "is working on run" in said
    assert first.wait().code == 0
    assert record()["status"] == "finished"
    taken = [json.loads(line) for line in Path("run/metrics.jsonl").read_text("utf-8").splitlines()]
    assert [event["step"] for event in taken if event["event"] == "step"] == list(range(1, 13))
    assert [path.name for path in Path().iterdir()] == ["run"]


@pytest.mark.xdist_group("processes")
def test_the_lock_of_a_killed_process_is_free(few: None, cliptune: Cliptune) -> None:
    Process(*TRAIN, "--set", "train.steps=40").kill_when(reached(Path("run"), 3))
    assert Path(HIDDEN, "run.lock").exists()
    cliptune(*TRAIN, "--set", "train.steps=40", "--resume").done()
    assert [path.name for path in Path().iterdir()] == ["run"]


def test_other_names_of_the_same_folder_share_its_lock(tmp_path: Path) -> None:
    Path("runs/a").mkdir(parents=True)
    Path("link").symlink_to("runs/a")
    with RunFolder(Path("runs/a")).lock():
        for name in ("link", "runs/../runs/a", tmp_path / "runs" / "a"):
            with pytest.raises(UserError, match=f"process {os.getpid()} on"), RunFolder(Path(name)).lock():
                pass
        with RunFolder(Path("runs/b")).lock():
            pass
    assert not Path("runs", HIDDEN).exists()


def test_a_lock_leaves_no_folders_behind() -> None:
    with RunFolder(Path("new/deep/run")).lock():
        assert Path("new/deep", HIDDEN).is_dir()
    assert list(Path().iterdir()) == []


# Whole, or not finished


@pytest.mark.parametrize("what", ["all", "recipe.toml", "metrics.jsonl", "renamed"])
@pytest.mark.parametrize("when", ["step", "measured"])
def test_a_folder_that_is_changed_meanwhile_is_not_finished(
    what: str, when: str, mini, few_digits, monkeypatch
) -> None:
    def harm(*_: object) -> None:
        if what == "all":
            shutil.rmtree("run", ignore_errors=True)
        elif what == "renamed":
            if Path("run").exists() and not Path("away").exists():
                Path("run").rename("away")
        else:
            Path("run", what).unlink(missing_ok=True)

    plan = plan_for(mini, few_digits, small_method("lora"), train__steps=3)
    if when == "measured":
        import cliptune.pipeline as pipeline

        monkeypatch.setattr(pipeline, "model_card", lambda record: harm() or "card")
    listeners = [harm] if when == "step" else []
    with pytest.raises(UserError, match="was changed while the run was made"):
        execute(plan, Path("run"), listeners=listeners)
    assert not Path("run/run.json").exists() or record()["status"] != "finished"


def test_a_checkpoint_left_in_a_finished_run_is_removed(few: None, cliptune: Cliptune) -> None:
    cliptune(*TRAIN).done()
    Path("run/checkpoint").mkdir()
    Path("run/checkpoint/state.json").write_text("{}")
    cliptune(*TRAIN, "--resume").done()
    assert not Path("run/checkpoint").exists()


def test_a_merge_that_is_interrupted_leaves_nothing(finished: Path, cliptune: Cliptune, monkeypatch) -> None:
    from cliptune.models.preprocess import Preprocess

    write = Preprocess.write

    def interrupt(self: Preprocess, folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Preprocess, "write", interrupt)
    assert cliptune("merge", finished, "merged").code == 130
    assert list(Path().iterdir()) == []
    Path(HIDDEN, "merged").mkdir(parents=True)  # as a killed one leaves it
    Path(HIDDEN, "merged", "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(Preprocess, "write", write)
    cliptune("merge", finished, "merged").done()
    assert [path.name for path in Path().iterdir()] == ["merged"]


# Permissions


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_files_have_the_permissions_of_any_new_file(mask: int, few: None, cliptune: Cliptune) -> None:
    before = os.umask(mask)
    try:
        cliptune(*TRAIN).done()
        cliptune("merge", "run", "merged").done()
    finally:
        os.umask(before)
    for path in (*Path("run").rglob("*"), *Path("merged").rglob("*"), Path("merged")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~mask, path


# Links that somebody planted


@pytest.fixture
def outside() -> Path:
    Path("outside").mkdir()
    Path("outside/victim").write_text("untouched")
    return Path("outside")


FOLDERS = ("plots", "thumbnails", "adapter", "predictions", "checkpoint", "tracking")
FILES = ("run.json", "recipe.toml", "metrics.jsonl", "report.html", ".report.html.half", ".run.json.half")
FILES = (*FILES, "predictions.csv", "adapter/adapter.safetensors", "plots/loss.svg", "checkpoint/state.json")


@pytest.mark.parametrize("verb", ["report", "resume", "fresh"])
@pytest.mark.parametrize("names", [*((name,) for name in FOLDERS), FILES], ids=lambda names: names[0])
def test_nothing_is_written_through_a_link(
    verb: str, names: tuple[str, ...], probe: Path, outside: Path, few: None, cliptune: Cliptune
) -> None:
    """`names` of a run folder are links to a folder, or each of them to a file of its own."""
    run = Path(shutil.copytree(probe, "run"))
    if verb == "resume":
        (run / "run.json").write_text(json.dumps(record() | {"status": "running"}))
    for number, name in enumerate(names):
        path, target = run / name, outside if len(names) == 1 else outside / str(number)
        if len(names) > 1:
            target.write_bytes(path.read_bytes() if path.is_file() else b"")
        path.parent.mkdir(exist_ok=True)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(target.absolute())
    before = contents(outside)
    recipe = ("train", run / "recipe.toml", "--device", "cpu", "--out", run)
    words = {"report": ("report", run), "resume": (*recipe, "--resume"), "fresh": (*recipe, "--fresh", "--seed", "2")}
    said = cliptune(*words[verb])
    assert contents(outside) == before
    if len(names) == 1 and (verb, names[0]) != ("fresh", "tracking"):
        assert said.code == 2
        assert "link" in said.err or "did not write" in said.err


def test_a_planted_folder_of_locks(outside: Path) -> None:
    Path("runs").mkdir()
    Path("runs", HIDDEN).symlink_to(outside.absolute())
    with pytest.raises(UserError, match="is a link"), RunFolder(Path("runs/a")).lock():
        pass
    assert contents(outside) == {"victim": b"untouched"}


def test_a_file_in_the_making_has_a_name_nobody_can_plant(outside: Path) -> None:
    seen: list[Path] = []
    for _ in range(2):
        files.write_whole(Path("file"), lambda half: (seen.append(half), half.write_text("x")))
    assert seen[0].name != seen[1].name


def test_git_is_asked_without_a_lock_that_a_killed_run_would_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "abc", "")

    monkeypatch.setattr(environment.subprocess, "run", run)
    monkeypatch.setattr(environment.Path, "exists", lambda path: True)
    assert environment.describe(compute("cpu"))["commit"] == "abc"
    asked = [command for command in commands if command[0] == "git"]
    assert asked
    assert all(command[1] == "--no-optional-locks" for command in asked)
