"""Shells complete verbs, options and methods; nothing heavy is imported for it."""

import os
import subprocess
import sys

import pytest


def completed(line: str) -> list[str]:
    """What bash is offered behind `line`."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from cliptune.cli.main import run\n"
        "sys.argv = ['cliptune']\n"
        "run()\n"
    )
    shell = {"_CLIPTUNE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | shell, capture_output=True, text=True)
    assert done.stderr.strip() == "False", done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cliptune tr", ["train"]),
        ("cliptune train dor", ["dora"]),
        ("cliptune train dora --see", ["--seed", "--seeds"]),
    ],
)
def test_bash_is_offered(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_installing_is_offered() -> None:
    done = subprocess.run([sys.executable, "-m", "cliptune", "--help"], capture_output=True, text=True, check=True)
    assert "--install-completion" in done.stdout
    assert "--show-completion" in done.stdout
