"""`cliptune study` from the command line: the grid of every shipped study, and the small form of each to its end."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cliptune.studies.reading import load, shipped
from tests.command import Cliptune
from tests.e2e.test_engines import ENVIRONMENT, forked  # noqa: F401

MINE = """
[study]
preset = "small"
[settings]
"data.name" = "digits"
"protocol.shots" = 1
"train.steps" = 3
"evaluate.retention" = "none"
[[methods]]
label = "LoRA"
recipe = "lora"
[[methods]]
label = "the same under another name"
recipe = "lora"
settings = { "loss.teacher_templates" = "ensemble" }
"""
"""the teacher's prompts without a loss that asks for the teacher: another run, and nothing differs"""


@pytest.mark.parametrize("form", [(), ("--small",)], ids=["full", "small"])
@pytest.mark.parametrize("name", list(shipped()))
def test_every_grid_is_told_without_running(name: str, form: tuple[str, ...], cliptune: Cliptune) -> None:
    said = cliptune("study", name, *form, "--dry-run", "--device", "cpu", "--json").done()
    found = said.json
    assert len(found.get("runs", [])) == len(load(name, bool(form)).jobs) or not load(name).about.runs
    for run in found["runs"]:
        assert run["state"] == "absent"
        assert run["seconds"] > 0
        assert run["bytes"] > 0
    assert not Path("studies").exists()


def test_lists_name_every_study(cliptune: Cliptune) -> None:
    listed = {row["name"] for row in cliptune("list", "studies", "--json").done().json["studies"]}
    assert listed == set(shipped())
    assert "CLIP-DoRA table 3" in cliptune("show", "dora-table-3").done().out


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        (("dora-tabel-1",), "no study is called 'dora-tabel-1'", "did you mean 'dora-table-1'?"),
        (("digits-table", "--set", "train.lrr=1"), "train.lrr: no such setting", "did you mean train.lr?"),
        (("digits-table", "--engine", "slurm"), "--engine slurm", "one of: local, ray"),
        (("digits-table", "--workers", "0"), "--workers 0", "give 1 or more"),
        (("digits-table", "--threads", "0"), "--threads 0", "give 1 or more"),
        (("digits-table", "--root", "nowhere"), "--root nowhere: no such folder", "holds the named data sets"),
        (("digits-table", "--memory", "much"), "--memory 'much': not a size", "--memory 2GB"),
        (("digits-table", "--engine", "ray", "--workers", "2"), "--workers with --engine ray", "leave it out"),
        (("digits-table", "--set", "data.name=nosuch"), "no data set is called 'nosuch'", "known"),
        (("nofile.toml",), "nofile.toml: no such file", "list studies"),
        (("digits-table", "--only", "CoOp"), "no run of digits-table is called so", "--dry-run"),
        (("digits-table", "--device", "tpu"), "--device tpu", "one of: auto"),
        (("digits-table", "--out", "file"), "file is a file", "--out"),
    ],
)
def test_mistakes_are_two_lines(words: tuple[str, ...], what: str, fix: str, cliptune: Cliptune) -> None:
    Path("file").write_text("x")
    said = cliptune("study", *words)
    assert said.code == 2
    assert what in said.err
    assert fix in said.err
    assert len(said.err.strip().splitlines()) == 2
    assert not Path("studies").exists()


def study(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cliptune", "study", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.mark.xdist_group("processes")
@pytest.mark.usefixtures("forked")
def test_two_names_of_one_method_do_not_differ(tmp_path: Path, cliptune: Cliptune) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    found = cliptune("study", tmp_path / "mine.toml", "--workers", 1, "--threads", 1, "--json").done().json
    assert len(found["runs"]) == 2
    assert len({run["run"] for run in found["runs"]}) == 2, "two runs"
    text = (tmp_path / "studies/mine/report.md").read_text()
    assert "have the same mean" in text
    assert " 0.0 points (95 % 0.0 to 0.0; p = 1.00) over 1 shared cell" in text
    assert "2 done" in cliptune("study", tmp_path / "mine.toml", "--dry-run").done().out


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_the_small_form_of_every_study_ends_in_its_table_or_figure(tmp_path: Path) -> None:
    """In one pool: what studies share runs once."""
    wanted = {
        "loss": "losses",
        "selection": "picks",
        "features": "features",
        "efficiency": "efficiency",
        "shots": "means",
    }
    for name in shipped():
        found = load(name, small=True)
        done = study(name, "--small", "--workers", 2, "--threads", 1, "--json")
        assert done.returncode == 0, (name, done.stderr[-2000:])
        told = json.loads(done.stdout)
        page = next(Path(path) for path in told["files"] if path.endswith("report.html"))
        text = page.read_text("utf-8")
        assert page.stat().st_size < 3_000_000, name
        anchors = [wanted[kind] for kind in found.about.shows if kind in wanted] if found.about.runs else []
        anchors += [f"curve-{key.replace('.', '-')}" for key in found.about.over]
        for anchor in ("table", *anchors):
            section = re.search(rf'<section id="{anchor}".*?</section>', text, re.DOTALL)
            assert section, (name, anchor)
            assert "<svg" in section[0] or anchor in ("table", "efficiency"), (name, anchor, "nothing is drawn")
            assert "<table" in section[0] or anchor == "means", (name, anchor)
        assert all(run["state"] == "finished" for run in told["runs"]), name
