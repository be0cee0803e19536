"""A Python file named in somebody else's run folder, recipe or study is never run; one that is typed is."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cliptune.settings import to_toml
from tests.command import QUICK, Cliptune

EVIL = """
from pathlib import Path

from cliptune import data

Path({mark!r}).write_text("the code was run")


def load(root=None, task="", missing="refuse"):
    return data({photos!r})
"""


class Planted:
    """A Python file that leaves a mark when it is run."""

    def __init__(self, folder: Path, photos: Path):
        self.mark = folder / "mark"
        self.path = folder / "planted.py"
        self.path.write_text(EVIL.format(mark=str(self.mark), photos=str(photos)), "utf-8")

    def ran(self) -> bool:
        was = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return was


@pytest.fixture
def planted(tmp_path: Path, photos: Path) -> Planted:
    return Planted(tmp_path, photos)


def change(path: Path, places: tuple[str, ...], value: Any) -> None:
    """Set a value deep in a JSON file."""
    content = json.loads(path.read_text("utf-8"))
    table = content
    for place in places[:-1]:
        table = table[place]
    table[places[-1]] = value
    path.write_text(json.dumps(content), "utf-8")


def hostile(finished: Path, code: Path) -> Path:
    """A copy of a finished run in which every field that can name data names `code`."""
    run = Path(shutil.copytree(finished, "hostile"))
    change(run / "run.json", ("recipe", "data", "name"), str(code))
    change(run / "run.json", ("recipe", "evaluate", "retention"), str(code))
    change(run / "run.json", ("recipe", "protocol", "tests"), [str(code)])
    change(run / "run.json", ("data", "name"), str(code))
    change(run / "run.json", ("data", "root"), str(code))
    change(run / "episode.json", ("data",), str(code))
    change(run / "episode.json", ("tested", "test", "data"), str(code))
    recipe = (run / "recipe.toml").read_text("utf-8")
    (run / "recipe.toml").write_text(recipe.replace('name = "digits"', f'name = "{code}"'), "utf-8")
    return run


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "hostile"),
        ("check", "hostile/recipe.toml"),
        ("check", "hostile"),
        ("train", "hostile/recipe.toml", "--out", "new"),
        ("train", "hostile/recipe.toml", "--out", "hostile", "--resume"),
        ("train", "hostile/recipe.toml", "--out", "hostile", "--fresh"),
    ],
    ids=" ".join,
)
def test_a_run_folder_names_code(
    command: tuple[str, ...], probe: Path, planted: Planted, few: None, cliptune: Cliptune
) -> None:
    before = hostile(probe, planted.path) / "run.json"
    record = before.read_bytes()
    said = cliptune(*command)
    assert not planted.ran()
    assert said.code == 2, said
    assert len(said.err.splitlines()) == 2
    assert f"{planted.path} is Python code" in said.err
    assert "--data" in said.err
    assert before.read_bytes() == record
    assert not Path("new").exists()


def test_only_a_test_in_the_episode_names_code(probe: Path, planted: Planted, few: None, cliptune: Cliptune) -> None:
    run = Path(shutil.copytree(probe, "hostile"))
    change(run / "episode.json", ("tested", "test", "data"), str(planted.path))
    said = cliptune("evaluate", run)
    assert (said.code, planted.ran()) == (2, False)
    assert "is Python code" in said.err


@pytest.mark.parametrize(
    "command",
    [
        ("report", "hostile"),
        ("predict", "hostile", "{photos}"),
        ("merge", "hostile", "merged"),
        ("show", "hostile"),
    ],
    ids=lambda words: words[0],
)
def test_verbs_that_open_no_data(
    command: tuple[str, ...], finished: Path, planted: Planted, photos: Path, cliptune: Cliptune
) -> None:
    hostile(finished, planted.path)
    cliptune(*(word.format(photos=photos) for word in command))
    assert not planted.ran()


RECIPES = {
    "data.name": {"data": {"name": "CODE"}},
    "evaluate.retention": {"evaluate": {"retention": "CODE"}, "data": {"name": "digits"}},
    "protocol.tests": {"protocol": {"name": "cross-dataset", "tests": ["digits", "CODE"]}},
}


def filled(tables: Any, code: Path) -> Any:
    """The same tables with CODE replaced by a path."""
    if isinstance(tables, dict):
        return {key: filled(value, code) for key, value in tables.items()}
    if isinstance(tables, list):
        return [filled(value, code) for value in tables]
    return str(code) if tables == "CODE" else tables


@pytest.mark.parametrize("verb", ["train", "check"])
@pytest.mark.parametrize("field", RECIPES)
def test_a_recipe_names_code(field: str, verb: str, planted: Planted, few: None, cliptune: Cliptune) -> None:
    tables = {"method": {"name": "linear_probe"}, **filled(RECIPES[field], planted.path)}
    Path("recipe.toml").write_text(to_toml(tables), "utf-8")
    options = QUICK[:4] if field == "evaluate.retention" else QUICK
    said = cliptune(verb, "recipe.toml", *options, *(("--out", "run") if verb == "train" else ()))
    assert not planted.ran()
    if verb == "check" and field == "evaluate.retention":  # it measures no forgetting, so it opens no such data
        assert said.code == 0
        return
    assert said.code == 2, said
    assert f"{planted.path} is Python code" in said.err
    assert not Path("run").exists()


STUDIES = {
    "settings": {"settings": {"data.name": "CODE"}},
    "an axis": {"settings": {"data.name": ["digits", "CODE"]}},
    "a case": {"settings": {}, "cases": [{"data.name": "CODE"}]},
    "a row": {"settings": {}, "methods": [{"label": "a", "recipe": "lora", "settings": {"data.name": "CODE"}}]},
    "retention": {"settings": {"evaluate.retention": "CODE"}},
    "tests": {"settings": {"protocol.name": "cross-dataset", "protocol.tests": [["digits", "CODE"]]}},
    "a recipe": {"settings": {}, "methods": [{"label": "a", "recipe": "planted.toml"}]},
}


def study_toml(tables: dict) -> str:
    """A study's file: quoted dotted keys, [[cases]] and [[methods]]."""
    lines = []
    for name, table in tables.items():
        for one in table if isinstance(table, list) else [table]:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            for key, value in one.items():
                inner = ", ".join(f'"{k}" = {json.dumps(v)}' for k, v in value.items()) if key == "settings" else None
                lines.append(f'"{key}" = ' + (f"{{{inner}}}" if inner is not None else json.dumps(value)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("dry", [True, False], ids=["--dry-run", "run"])
@pytest.mark.parametrize("where", STUDIES)
def test_a_study_names_code(where: str, dry: bool, planted: Planted, cliptune: Cliptune) -> None:
    recipe = {"method": {"name": "lora"}, "data": {"name": str(planted.path)}}
    Path("planted.toml").write_text(to_toml(recipe), "utf-8")
    tables = {"study": {"preset": "small"}, "methods": [{"label": "a", "recipe": "lora"}]}
    Path("study.toml").write_text(study_toml(tables | filled(STUDIES[where], planted.path)), "utf-8")
    said = cliptune("study", "study.toml", "--out", "studies", *(("--dry-run",) if dry else ()))
    assert not planted.ran()
    assert said.code == 2, said
    assert f"{planted.path} is Python code" in said.err
    assert not Path("studies").exists()


def test_code_that_is_typed_is_run(planted: Planted, cliptune: Cliptune, photos: Path) -> None:
    import cliptune as package

    assert cliptune("check", "--data", planted.path).done()
    assert planted.ran()
    made = cliptune("train", "linear_probe", "--data", planted.path.name, *QUICK, "--out", "run").done()
    assert planted.ran(), made
    assert cliptune("evaluate", "run").code == 2
    assert not planted.ran()
    again = cliptune("evaluate", "run", "--data", planted.path, "--json").done().json
    assert planted.ran()
    record = json.loads(Path("run/run.json").read_text("utf-8"))
    assert again["adapted"]["accuracy"] == record["metrics"]["test"]["accuracy"]
    assert again["adapted"]["n"] == record["metrics"]["test"]["n"]
    Path("own.toml").write_text(to_toml({"method": {"name": "linear_probe"}, "data": {"name": str(planted.path)}}))
    assert cliptune("check", "own.toml", "--shots", 2).code == 2
    assert not planted.ran()
    cliptune("check", "own.toml", "--shots", 2, "--data", planted.path).done()
    assert planted.ran()
    Path("study.toml").write_text(study_toml({"study": {}, "methods": [{"label": "a", "recipe": "linear_probe"}]}))
    cliptune("study", "study.toml", "--dry-run", "--set", f"data.name={planted.path}").done()
    assert planted.ran()
    assert package.data(str(planted.path)).classes == ("cat", "dog")
    assert planted.ran()
