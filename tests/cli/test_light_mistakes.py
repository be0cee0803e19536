"""A mistake that needs no model is answered without torch and transformers, as the modules of a process show."""

import json
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cliptune.cli.main import main
from tests.command import CONTEXT, QUICK, start_server

HEAVY = ("torch", "transformers", "accelerate")
ANSWER = f"""
import contextlib, io, json, sys
from cliptune.cli.main import main
for line in sys.stdin.read().splitlines():
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(line.split())
    heavy = [name for name in {HEAVY} if name in sys.modules]
    print(json.dumps([line, code, len(said.getvalue().splitlines()), heavy]), flush=True)
"""

SETTINGS = [
    "train",
    "train dorra",
    "train dora x",
    "train dora --lr 1e-3",
    "train dora --shot 4",
    "train dora --set rnk=4",
    "train dora --set rank=big",
    "train dora --set axis=up",
    "train dora --set train.lrr=1",
    "train dora --set lr=1",
    "train dora --set train.lr=-1",
    "train dora --set trian.lr=1",
    "train dora --set train.batch=many",
    "train dora --shots none",
    "train dora --memory plenty",
    "train dora --task classify --prompt polyp",
    "train few-shot-dorra",
    "train nowhere.toml",
    "train dora --resume --fresh",
    "check dora --set rnk=4",
    "check",
    "fit dora",
    "fly",
    "show lorra",
    "list metods",
    "doctor now",
]
NAMES = [
    "train dora --data nowhere",
    "train dora --data ./nowhere",
    "train dora --data oxford_pets --root nowhere",
    "train dora --data oxford_pets",
    "train dora --data world",
    "train dora --data world/nothing",
    "train dora --model ViT-B/16",
    "train dora --model vit-b-61",
    "train dora --model ./nowhere",
    "train dora --model vit-b-16",
    "train dora --protocol cross",
    "train dora --protocol domain-generalization",
    "train dora --data flat",
    "train dora --data unsplit.csv",
    "train dora --data gone.csv",
    "train dora --data images-alone --task segment --prompt polyp",
    "train dora --data wordless",
    "check dora --data nowhere",
    "check --data nowhere",
    "study nothing",
    "study broken.toml",
    "study dora-table-1 --root nowhere",
    "train dora --out unfinished",
    "train dora --out photos",
    "train lora --out finished",
    "train dora --out finished --seed 2",
    "train dora --out finished --set train.lr=1",
    "train dora --out gone.csv",
    "train dora --out gone.csv/run",
    "report nowhere",
    "merge nowhere merged",
    "merge unfinished merged",
    "predict nowhere a.jpg",
    "predict unfinished a.jpg",
    "evaluate nowhere",
    "evaluate unfinished",
]


def answers(lines: list[str]) -> list[list[Any]]:
    """Line, exit code, number of lines said and heavy modules of one command line after another, in one process."""
    command = [sys.executable, "-c", ANSWER]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (200, 10, 10)).save(path)


@pytest.fixture
def mistakes() -> None:
    """Folders and files with one fault each, in the current folder."""
    for number in range(3):
        picture(Path(f"flat/{number}.png"))
        picture(Path(f"photos/cat/{number}.png"))
        picture(Path(f"images-alone/images/{number}.png"))
        picture(Path(f"wordless/images/{number}.png"))
        Path("wordless/masks").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 255 * (number % 2)).save(f"wordless/masks/{number}.png")
    Path("unsplit.csv").write_text("path,class\na.png,cat\n")
    Path("gone.csv").write_text("image,label\na.png,cat\nb.png,dog\n")
    Path("broken.toml").write_text("[study\n")
    Path("unfinished").mkdir()
    recipe = {"method": {"name": "dora"}, "train": {"lr": 0.01}, "protocol": {"seed": 1, "shots": 16}}
    record = {"status": "running", "model": {}, "data": {}, "recipe": recipe}
    Path("unfinished/run.json").write_text(json.dumps(record))
    Path("finished").mkdir()
    done = {"status": "finished", "metrics": {}, "environment": {}}
    Path("finished/run.json").write_text(json.dumps(record | done))


def test_of_settings_and_verbs() -> None:
    assert answers(SETTINGS) == [[line, 2, 2, []] for line in SETTINGS]


def test_of_names_data_and_folders(mistakes: None) -> None:
    assert answers(NAMES) == [[line, 2, 2, []] for line in NAMES]


def test_answers_that_need_no_model() -> None:
    lines = ["list data", "list models", "list recipes", "list studies", "train --help", "--help"]
    assert [[line, code, heavy] for line, code, _, heavy in answers(lines)] == [[line, 0, []] for line in lines]


def _loaded_by(words: list[str], answer: Connection) -> None:
    assert main(words) == 0
    answer.send([name for name in ("matplotlib",) if name in sys.modules])


@pytest.mark.xdist_group("processes")
def test_training_does_not_load_what_only_reports_draw_with() -> None:
    start_server()
    answer, end = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_loaded_by, args=(["train", "lora", *QUICK, "--out", "run"], end))
    child.start()
    end.close()
    assert answer.recv() == []
    child.join()
