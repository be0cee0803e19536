"""`check` and `train` point out folders whose names are codes, with a names file that works as it is printed."""

import json
from pathlib import Path

from PIL import Image

from tests.command import Cliptune


def folders(root: Path, *names: str) -> Path:
    for place, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(8):
            colour = (40 + 60 * place, 8 * number, 100)
            Image.new("RGB", (40, 40), colour).save(root / name / f"{number}.png")
    return root


def test_check_and_the_printed_file(tmp_path: Path, cliptune: Cliptune) -> None:
    photos = folders(tmp_path / "photos", "aGrass", "bRiverLake")
    said = cliptune("check", "--data", photos).done().out
    assert "2 of 2 class names are codes" in said
    assert "'a photo of a aGrass.'" in said
    text = said[said.index("names.json: {") + len("names.json: ") : said.index("} and give it") + 1]
    assert json.loads(text) == {"aGrass": "grass", "bRiverLake": "river lake"}
    Path("names.json").write_text(text, "utf-8")
    found = cliptune("check", "--data", photos, "--set", "data.names=names.json", "--json").done().json
    assert found["classes"] == ["grass", "river lake"]
    assert found["codes"] == []


def test_words_are_left_alone(tmp_path: Path, cliptune: Cliptune) -> None:
    said = cliptune("check", "--data", folders(tmp_path / "photos", "grass", "red fox")).done().out
    assert "codes" not in said


def test_before_training(tmp_path: Path, cliptune: Cliptune) -> None:
    photos = folders(tmp_path / "photos", "0", "1")
    said = cliptune("check", "lora", "--data", photos, "--shots", "1", "--set", "train.steps=1").done().out
    assert "2 of 2 class names are codes" in said
    assert '{"0": "what 0 shows", "1": "what 1 shows"}' in said
