"""Plain values to dataclasses, strictly, and back."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from cliptune import settings
from cliptune.errors import UserError


@dataclasses.dataclass(frozen=True)
class Inner:
    depth: int = 1
    """how deep"""


@dataclasses.dataclass(frozen=True)
class Things:
    rank: int = 2
    """columns,
    over two lines"""
    rate: float = 0.1
    name: str = "x"
    """what it is called"""
    on: bool = False
    side: Literal["in", "out"] = "out"
    steps: int | Literal["auto"] = "auto"
    pair: tuple[float, float] = (0.0, 1.0)
    where: tuple[str, ...] = ("*",)
    inner: Inner = Inner()


GOOD = [
    ("rank", 3, 3),
    ("rate", 1, 1.0),
    ("rate", 1e-3, 1e-3),
    ("name", "", ""),
    ("on", True, True),
    ("side", "in", "in"),
    ("steps", 7, 7),
    ("steps", "auto", "auto"),
    ("pair", [1, 0.5], (1.0, 0.5)),
    ("where", [], ()),
    ("where", ["*.q"], ("*.q",)),
    ("inner", {"depth": 4}, Inner(4)),
]


@pytest.mark.parametrize(("key", "value", "expected"), GOOD)
def test_values_that_fit(key: str, value: Any, expected: Any) -> None:
    found = getattr(settings.build(Things, {key: value}), key)
    assert found == expected
    assert type(found) is type(expected)


BAD = [
    ("rank", 3.0, "a whole number"),
    ("rank", True, "a whole number"),
    ("rank", "3", "a whole number"),
    ("rate", True, "a number"),
    ("rate", "2e-4", "a number"),
    ("rate", float("nan"), "a finite number"),
    ("rate", float("inf"), "a finite number"),
    ("name", 3, "text in quotes"),
    ("on", 1, "true or false"),
    ("side", "up", "one of: 'in', 'out'"),
    ("side", 1, "one of: 'in', 'out'"),
    ("steps", "some", "a whole number or 'auto'"),
    ("steps", 1.5, "a whole number or 'auto'"),
    ("pair", [1.0], "2 values"),
    ("pair", 1.0, "a list"),
    ("where", "*.q", "a list"),
    ("where", [1], "text in quotes"),
    ("inner", 3, "a table"),
    ("inner", {"dept": 3}, "did you mean inner.depth?"),
    ("rnak", 3, "did you mean rank?"),
    ("zzzzz", 3, "known: rank, rate"),
]


@pytest.mark.parametrize(("key", "value", "fix"), BAD)
def test_values_that_do_not_fit(key: str, value: Any, fix: str) -> None:
    with pytest.raises(UserError) as problem:
        settings.build(Things, {key: value}, "section" if key != "inner" and "mean" not in fix else "")
    assert key in problem.value.what
    assert fix in problem.value.fix


def test_the_place_of_a_bad_value_is_told() -> None:
    with pytest.raises(UserError, match=r"^train\.where\[1\] = 7"):
        settings.build(Things, {"where": ["*", 7]}, "train")
    with pytest.raises(UserError, match=r"train\.rnak"):
        settings.build(Things, {"rnak": 7}, "train")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("rank=4", "rank", 4),
        (" rank = 4 ", "rank", 4),
        ("train.lr=1e-3", "train.lr", 1e-3),
        ("detach_norm=false", "detach_norm", False),
        ("scaling=alpha/r", "scaling", "alpha/r"),
        ('scaling="alpha/sqrt(r)"', "scaling", "alpha/sqrt(r)"),
        ("evaluate.retention=world/shapes", "evaluate.retention", "world/shapes"),
        ('where=["*.q", "vision.[8-11].v"]', "where", ["*.q", "vision.[8-11].v"]),
        ("train.crop=[0.5, 1]", "train.crop", [0.5, 1]),
        ('data.template="a = {}"', "data.template", "a = {}"),
        ("name=*.q", "name", "*.q"),
        ("model.name=/models/clip-b_16", "model.name", "/models/clip-b_16"),
        ("data.name=../photos", "data.name", "../photos"),
        ("data.name=~/photos", "data.name", "~/photos"),
    ],
)
def test_assignments(text: str, key: str, value: Any) -> None:
    assert settings.parse_assignment(text) == (key, value)


@pytest.mark.parametrize("text", ["rank", "=4", "4=rank", "rank=", "rank=[", "rank=4 5", "ra nk=4", "rank='x"])
def test_what_is_no_assignment(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        settings.parse_assignment(text)


TEXT = st.text(st.characters(blacklist_categories=("Cs",), max_codepoint=0xFFFF))
SCALARS = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), TEXT)
KEYS = st.sampled_from(["name", "lr", "min_lr", "a", "b2", "_c"])


@checks(derandomize=True, database=None)
@given(st.dictionaries(KEYS, st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(SCALARS))), max_size=4))
def test_toml_reads_back_what_was_written(tables: dict[str, dict[str, Any]]) -> None:
    assert tomllib.loads(settings.to_toml(tables)) == tables


def test_characters_beyond_the_basic_plane_survive_toml() -> None:
    tables = {"data": {"template": "a photo of a {} \U0001f98a \U000e0041", "name": 'C:\\photos "mine"\t\x7f'}}
    assert tomllib.loads(settings.to_toml(tables)) == tables


def test_plain_is_json_like() -> None:
    found = settings.plain(Things(where=("a", "b")))
    assert found["where"] == ["a", "b"]
    assert found["inner"] == {"depth": 1}
    assert settings.build(Things, found) == Things(where=("a", "b"))


def test_help_is_the_string_under_a_field() -> None:
    found = settings.field_help(Things)
    assert list(found) == [field.name for field in dataclasses.fields(Things)]
    assert found["rank"] == "columns, over two lines"
    assert found["rate"] == ""
    assert found["name"] == "what it is called"


def test_values_of_other_libraries() -> None:
    for value, expected in (
        (np.int64(4), 4),
        (np.float32(0.5), 0.5),
        (torch.tensor(2), 2),
        (Path("names.json"), "names.json"),
    ):
        assert settings.native(value) == expected
        assert type(settings.native(value)) is type(expected)
    for value in (None, True, "4", [1], np.zeros(3)):
        assert settings.native(value) is value
