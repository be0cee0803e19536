"""What a person can correct about a path or a file is two lines: an unknown home, a name too long, no permission."""

import builtins
import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cliptune.errors import UserError
from cliptune.pipeline import prepare
from cliptune.training.checkpoint import Checkpoint
from tests.cli.conftest import draw_photos
from tests.command import QUICK, Cliptune, Process, two_lines

NOBODY = "~nobodyhere/x"
LONG = "a" * 300


PLACES = {
    "check data": ("check", "--data", "PATH"),
    "check method": ("check", "lora", "--data", "PATH"),
    "train": ("train", "lora", "--data", "PATH"),
    "train root": ("train", "lora", "--data", "dtd", "--root", "PATH"),
    "train model": ("train", "lora", "--model", "PATH"),
    "train out": ("train", "lora", *QUICK, "--out", "PATH"),
    "train names": ("train", "lora", "--data", "photos", "--set", 'data.names="PATH"'),
    "masks": ("train", "lora", "--task", "segment", "--data", "PATH"),
    "recipe": ("train", "PATH.toml"),
    "study": ("study", "PATH.toml"),
    "study out": ("study", "dora-table-1", "--small", "--dry-run", "--out", "PATH"),
    "study root": ("study", "dora-table-1", "--small", "--dry-run", "--root", "PATH"),
    "list": ("list", "data", "--root", "PATH"),
    "report": ("report", "PATH"),
    "evaluate": ("evaluate", "PATH"),
    "evaluate data": ("evaluate", "RUN", "--data", "PATH"),
    "predict": ("predict", "PATH", "photos"),
    "predict images": ("predict", "RUN", "PATH"),
    "merge": ("merge", "PATH", "out"),
    "merge out": ("merge", "RUN", "PATH"),
    "report out": ("report", "RUN", "--out", "PATH/page.html"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", [NOBODY, LONG, f"{LONG}/x"], ids=["nobody", "long", "long folder"])
def test_a_path_that_cannot_be(
    path: str, place: str, probe: Path, few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_photos(Path("photos"))
    before = sorted(os.listdir())
    words = (word.replace("PATH", path).replace("RUN", str(probe)) for word in PLACES[place])
    assert len("".join(two_lines(cliptune(*words)))) < 1000
    assert sorted(os.listdir()) == before


def test_home_in_inputs_and_outputs(
    finished: Path, few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    draw_photos(home / "photos")
    cliptune("train", "linear_probe", *QUICK, "--data", "~/photos", "--out", "~/run").done()
    cliptune("report", "~/run", "--out", "~/page.html", "--plots", "~/plots").done()
    cliptune("merge", finished, "~/merged").done()
    assert {"photos", "run", "page.html", "plots", "merged"} <= set(os.listdir(home))
    assert not Path("~").exists()


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Files of that name may not be opened, as if they were somebody else's."""

    def deny(name: str) -> None:
        opens = io.open

        def refusing(file, *args, **options):
            if isinstance(file, str | os.PathLike) and Path(file).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
            return opens(file, *args, **options)

        monkeypatch.setattr(io, "open", refusing)
        monkeypatch.setattr(builtins, "open", refusing)

    return deny


READS = {
    "run.json": ("report", "evaluate", "predict", "merge", "resume"),
    "adapter.json": ("evaluate", "predict"),
    "adapter.safetensors": ("evaluate", "predict"),
    "episode.json": ("evaluate",),
    "predictions.csv": ("report",),
    "metrics.jsonl": ("report",),
    "recipe.toml": ("resume",),
}


def words_of(verb: str, run: Path) -> tuple[object, ...]:
    more = {"predict": (next(run.glob("thumbnails/*.png")),), "merge": ("merged",)}
    if verb == "resume":
        return ("train", run / "recipe.toml", "--device", "cpu", "--out", run, "--resume")
    return (verb, run, *more.get(verb, ()))


@pytest.mark.parametrize(("name", "verb"), [(name, verb) for name, verbs in READS.items() for verb in verbs])
def test_a_file_of_a_run_that_may_not_be_read(
    name: str, verb: str, finished: Path, few: None, cliptune: Cliptune, denied: Callable[[str], None]
) -> None:
    words = words_of(verb, finished)
    denied(name)
    said = "\n".join(two_lines(cliptune(*words)))
    assert name in said
    assert "permission denied" in said.lower()
    assert "--fresh" not in said


@pytest.mark.parametrize("name", ["study.toml", "recipe.toml", "labels.csv"])
def test_a_file_of_yours_that_may_not_be_read(name: str, cliptune: Cliptune, denied: Callable[[str], None]) -> None:
    Path(name).write_text("path,label\n")
    denied(name)
    verb = {"study.toml": ("study",), "recipe.toml": ("train",), "labels.csv": ("check", "--data")}[name]
    assert "permission denied" in two_lines(cliptune(*verb, name))[0].lower()


BROKEN = {
    "episode.json": [b"", b"[1]", b"{}", b"\xe9", b"[" * 100_000, b'{"data": 1, "tests": 5}'],
    "run.json": [b"", b"[1]", b"{}", b"\xe9", b"[" * 100_000, b'{"status": "finished", "model": 1, "data": 2}'],
    "adapter/adapter.json": [b"", b"[1]", b"{}", b"\xe9", b"[" * 100_000, b'{"backbone": 3}'],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_of_a_run(name: str, probe: Path, few: None, cliptune: Cliptune) -> None:
    run = Path(shutil.copytree(probe, "run"))
    for content in BROKEN[name]:
        (run / name).write_bytes(content)
        assert Path(name).name in two_lines(cliptune("evaluate", run))[0], content


@pytest.mark.parametrize("kind", ["pipe", "gigabytes"])
def test_what_is_no_file_of_a_run_is_not_read(kind: str, probe: Path, few: None, cliptune: Cliptune) -> None:
    """A pipe would never end, and gigabytes would fill the memory."""
    for name, verb in {
        "run.json": "evaluate",
        "episode.json": "evaluate",
        "adapter/adapter.json": "evaluate",
        "metrics.jsonl": "report",
        "predictions.csv": "report",
        "recipe.toml": "train",
    }.items():
        run = Path(shutil.copytree(probe, f"{name.replace('/', '-')}-run"))
        (run / name).unlink()
        if kind == "pipe":
            os.mkfifo(run / name)
        else:
            with (run / name).open("wb") as file:
                file.truncate(1 << 33)
        said = cliptune(verb, run / name if verb == "train" else run)
        assert said.code == (0 if verb == "report" and kind == "pipe" else 2), name
        assert "memory" not in said.err


@pytest.mark.parametrize(
    "content", [b"\xe9\n", b"path,label\n\x00" + b"x" * 200_000, b"path,label,prediction,score\n\xff"]
)
def test_broken_predictions(content: bytes, probe: Path, cliptune: Cliptune) -> None:
    run = Path(shutil.copytree(probe, "run"))
    (run / "predictions.csv").write_bytes(content)
    assert "predictions.csv" in two_lines(cliptune("report", run))[0]


TOML = [b"\xe9", b"[method\n", b"a = " + b"1" * 5000, b"a = " + b"[" * 5000, b"[method]\nname = 3\n"]
TOML += [b'[method]\nname = "lora"\n[train]\nlr = ' + b"1" * 400, b'[method]\nname = "' + b"x" * 1_000_000 + b'"\n']


@pytest.mark.parametrize("verb", ["check", "study"])
@pytest.mark.parametrize("content", TOML, ids=range(len(TOML)))
def test_broken_toml(verb: str, content: bytes, cliptune: Cliptune) -> None:
    Path("x.toml").write_bytes(content)
    assert len("".join(two_lines(cliptune(verb, "x.toml")))) < 5000


@pytest.mark.parametrize(
    "value", ["1" * 5000, "[" * 5000, "1" * 400, "x" * 1_000_000], ids=["int", "deep", "big", "long"]
)
def test_a_setting_that_is_no_value(value: str, cliptune: Cliptune) -> None:
    assert len("".join(two_lines(cliptune("check", "lora", "--set", f"train.lr={value}")))) < 5000


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_one_of_several_processes_without_a_launcher(
    name: str, few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers of a cluster set it for every program in them."""
    monkeypatch.setenv("RANK", "1")
    assert "lora" in cliptune("list", "methods").done().out
    monkeypatch.setenv(name, "2")
    assert f"unset {name}" in two_lines(cliptune("train", "lora", *QUICK))[1]


@pytest.mark.parametrize(
    ("name", "value"), [("WORLD_SIZE", "x"), ("WORLD_SIZE", "-1"), ("WORLD_SIZE", ""), ("LOCAL_WORLD_SIZE", "x")]
)
@pytest.mark.parametrize("words", [("list", "data"), ("train", "lora", *QUICK)], ids=lambda words: words[0])
def test_a_launcher_s_environment_that_is_no_number(
    words: tuple[str, ...], name: str, value: str, few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv(name, value)
    assert name in two_lines(cliptune(*words))[0]


def test_the_folder_one_is_in_was_removed(few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path("../gone").rmdir()
    for words in (("train", "lora", *QUICK, "--out", "run"), ("check", "--data", "photos"), ("study", "x.toml")):
        two_lines(cliptune(*words))


STATES = [
    b"",
    b"{}",
    b"[]",
    b"\xe9",
    b'{"phase": "a", "step": 1, "seconds": 0}',
    b'{"phase": 0, "step": 1, "seconds": 0}',
]
LINES = [b"{}\n", b"[1]\n", b'{"phase": 7}\n', b'{"phase": "train", "step": "x"}\n', b"[" * 100_000 + b"\n"]


@pytest.mark.parametrize("content", STATES)
def test_a_broken_state_is_refused(content: bytes, tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path)
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(UserError, match=r"state\.json") as refused:
        saved.progress()
    assert "--fresh" in refused.value.fix


@pytest.mark.xdist_group("processes")
def test_a_run_that_was_killed_with_a_broken_state(few: None, cliptune: Cliptune) -> None:
    steps = ("--set", "train.steps=12", "--set", "train.checkpoint_seconds=0")
    command = ("train", "lora", *QUICK, "--out", "run", *steps)
    saved = Checkpoint(Path("run/checkpoint"))
    Process(*command).kill_when(lambda: saved.exists() and Path("run/metrics.jsonl").read_bytes().count(b"\n") > 4)
    state, log = Path("run/checkpoint/state.json"), Path("run/metrics.jsonl")
    whole = state.read_bytes()
    state.write_bytes(STATES[-1])
    assert "state.json" in two_lines(cliptune(*command, "--resume"))[0]
    state.write_bytes(whole)
    lines = log.read_bytes()
    log.write_bytes(b"".join(LINES[:1]) + lines + b"".join(LINES[1:]))
    cliptune(*command, "--resume").done()
    kinds = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert kinds.count("phaseended") == 1


def test_prepare_tells_python_the_same(mini) -> None:
    with pytest.raises(UserError, match="there is no home folder ~nobodyhere"):
        prepare({"method": {"name": "lora"}}, {"data.name": NOBODY}, backbone=mini)
