"""A finished run, a folder of photographs, and the command line as a fixture."""

import random
from pathlib import Path

import pytest
from PIL import Image

from cliptune.pipeline import execute
from tests.command import cliptune, few  # noqa: F401
from tests.conftest import plan_for, small_method


@pytest.fixture(scope="session")
def finished(mini, few_digits, tmp_path_factory) -> Path:
    """The folder of a short DoRA run on the digits; tests must not change it."""
    folder = tmp_path_factory.mktemp("finished") / "dora"
    execute(plan_for(mini, few_digits, small_method("dora"), train__steps=4), folder)
    return folder


@pytest.fixture(scope="session")
def probe(mini, few_digits, tmp_path_factory) -> Path:
    """The folder of a linear probe on the digits."""
    folder = tmp_path_factory.mktemp("finished") / "probe"
    execute(plan_for(mini, few_digits, small_method("linear_probe")), folder)
    return folder


def draw_photos(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), images: int = 8) -> Path:
    """A folder per class with small JPEG files of noise around a colour."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(images):
            draw = random.Random(100 * number + image)
            pixels = bytes((60 + 90 * number + draw.randrange(60)) % 256 for _ in range(40 * 36 * 3))
            Image.frombytes("RGB", (40, 36), pixels).save(folder / name / f"{image}.jpg")
    return folder


@pytest.fixture
def photos(tmp_path_factory) -> Path:
    """A fresh folder of photographs, two classes of eight."""
    return draw_photos(tmp_path_factory.mktemp("data") / "photos")
