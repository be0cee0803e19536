"""Real data and models beside the checkout (`../shared`): present on some machines, never part of the repository."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
DATA = SHARED / "data"
MODELS = SHARED / "models"
BESIDE = "is not beside this checkout"


def needs(*places: str) -> pytest.MarkDecorator:
    """Skips a test where one of these folders or files of `../shared` is missing; `data/pacs`, `models/photo`."""
    missing = [f"../shared/{place}" for place in places if not (SHARED / place).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} {BESIDE}")
