"""A method's page: made from the method, with what a hand wrote kept. That the pages are up to date: tests/contract."""

import json
import sys
from pathlib import Path

import pytest

from cliptune import method_page, published
from cliptune.method_page import KEPT, main, page, written
from tests.command import Cliptune, cliptune  # noqa: F401


def test_what_a_hand_wrote_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lora.md").write_text(f"# Old title\n\n{KEPT}\n\n## Open questions\n\nWhy?\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["method_page", str(tmp_path)])
    monkeypatch.setattr(method_page, "METHODS", ("lora", "dora"))
    for _ in range(2):
        main()
        text = (tmp_path / "lora.md").read_text("utf-8")
        assert text == page("lora") + f"\n{KEPT}\n\n## Open questions\n\nWhy?\n"
    assert {path.stem for path in tmp_path.iterdir()} == {"lora", "dora"}
    assert KEPT not in (tmp_path / "dora.md").read_text("utf-8")


def test_our_numbers_come_from_a_file_if_there_is_one(tmp_path: Path) -> None:
    rows = [
        {"method": "lora", "what": "rank 2", "shots": {"16": "92.7 ± 1.7", "1": 80.4}},
        {"method": "dora", "what": "rank 1", "shots": {"4": "88.7"}},
    ]
    (tmp_path / "numbers.json").write_text(json.dumps({"note": "digits, mini.", "rows": rows}), "utf-8")
    text = written("lora", tmp_path)
    assert "Ours: digits, mini." in text
    assert "| what | 1 shot | 16 shots |" in text
    assert "| rank 2 | 80.4 | 92.7 ± 1.7 |" in text
    assert "rank 1" not in text
    assert "Ours: " not in written("ast", tmp_path)


def test_settings_by_preset_and_sizes() -> None:
    text = page("ast")
    assert "| `train.lr` | `0.0002` | `1e-05` | `0.0006` |" in text
    assert "| `k` | `6` |  |  |" in text
    assert "weight of \\|image features − the backbone's\\|" in text, "a bar would end the cell"
    assert "train.batch" not in text, "both presets leave it as it is"
    assert "| ViT-B/16 | 92,160 to 122,683,392 | 0.06 to 82.00 % |" in text
    assert "For 100 classes." in page("linear_probe")
    assert "For 100 classes." not in text


def test_published_means_by_shots() -> None:
    lines = published.of_method("dora", "CLIP-DoRA")
    told = {(line.what, line.backbone): line for line in lines}
    assert len(told) == len(lines), "table 1 repeats three cells of table 2"
    assert told["few-shot, mean accuracy", "ViT-B/16"].cells == {
        "1": 72.63, "2": 75.44, "4": 77.63, "8": 80.08, "16": 83.23
    }  # fmt: skip
    zero = published.of_method("zero_shot", "Zero-shot CLIP")
    assert {shots for line in zero for shots in line.cells} == {"0"}
    assert not any(line.what.startswith("domain-generalization") for line in zero)
    assert published.of_method("full", "Full fine-tuning") == []


def test_show_prints_it(cliptune: Cliptune) -> None:  # noqa: F811
    assert cliptune("show", "dora", "--markdown").done().out == page("dora")
    for words, what in ((("vit-b-16",), "is no method"), (("dora", "--set", "rank=4"), "page of the defaults")):
        said = cliptune("show", *words, "--markdown")
        assert said.code == 2
        assert what in said.err
