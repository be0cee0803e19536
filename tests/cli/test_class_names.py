"""Class names that no prompt can tell apart, that are cut, or that are no text."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.command import QUICK, Cliptune, two_lines


def fill(root: Path, *names: str | bytes) -> None:
    for name in names:
        folder = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(folder)
        for number in range(10):
            Image.new("RGB", (32, 32), (25 * number, 0, 0)).save(Path(os.fsdecode(folder), f"{number}.png"))


@pytest.mark.parametrize("verb", ["train", "check"])
def test_two_names_of_one_prompt(verb: str, cliptune: Cliptune) -> None:
    long = "a very " * 20
    fill(Path("long"), f"{long}long name", f"{long}longer name", "cat")
    first, second = two_lines(cliptune(verb, "lora", "--data", "long", *QUICK))
    assert "have the same prompt for this backbone" in first
    assert "data.names" in second


def test_bytes_that_are_no_text(cliptune: Cliptune) -> None:
    fill(Path("folders"), b"caf\xe9", "dog")
    first, second = two_lines(cliptune("train", "lora", "--data", "folders", *QUICK))
    assert r"the name of class 'caf\xe9' is not UTF-8 text" in first
    assert second == "rename that folder"
    fill(Path("files"), "cat", "dog")
    for number in range(10):
        os.rename(f"files/cat/{number}.png", os.fsencode(f"files/cat/{number}") + b"\xe9.png")
    first, _ = two_lines(cliptune("train", "lora", "--data", "files", *QUICK))
    assert r"\xe9.png' is not UTF-8 text, and" in first


def test_a_recipe_saved_with_a_byte_order_mark(few: None, cliptune: Cliptune) -> None:
    recipe = '[method]\nname = "lora"\n'
    Path("bom.toml").write_bytes(b"\xef\xbb\xbf" + recipe.replace("\n", "\r\n").encode())
    Path("wide.toml").write_bytes(recipe.encode("utf-16"))
    for name in ("bom.toml", "wide.toml"):
        cliptune("train", name, *QUICK, "--out", name.removesuffix(".toml")).done()


def test_a_study_saved_with_a_byte_order_mark(cliptune: Cliptune) -> None:
    text = '[study]\npreset = "small"\n[settings]\n"protocol.shots" = 2\n[[methods]]\nlabel = "a"\nrecipe = "lora"\n'
    Path("study.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    cliptune("study", "study.toml", "--dry-run").done()
