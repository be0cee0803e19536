"""Help is instant: it imports nothing heavy."""

import subprocess
import sys

import pytest

from cliptune.cli.main import VERBS

HEAVY = ("torch", "transformers", "numpy", "PIL", "sklearn", "accelerate", "safetensors", "matplotlib", "jinja2")


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, cliptune, cliptune.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_itself_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "cliptune", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "cliptune" in imported
    assert imported.isdisjoint(HEAVY)
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_explains_itself(verb: str, cliptune) -> None:
    said = cliptune(verb, "--help").done()
    assert f"cliptune {verb}" in said.out
    assert VERBS[verb].__doc__.strip().splitlines()[0].split(":")[0] in " ".join(said.out.split())
    assert said.err == ""
    assert said.out == cliptune(verb, "-h").done().out


def test_the_list_of_verbs_fits_eighty_columns_and_nothing_is_cut(cliptune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = cliptune().done().out
    assert "..." not in said.partition("Commands:")[2]
    assert max(len(line) for line in said.splitlines()) <= 80
    for verb, function in VERBS.items():
        assert f"  {verb}  " in said
        assert function.__doc__.strip().splitlines()[0] in said


def test_without_a_verb_there_is_help(cliptune) -> None:
    said = cliptune()
    assert "train" in said.out + said.err
    assert "Traceback" not in said.err
