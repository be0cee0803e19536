"""Names of places and the patterns that choose among them."""

import pytest

from cliptune.errors import UserError
from cliptune.methods.base import sorted_sites
from cliptune.methods.full import Full
from cliptune.models import sites, zoo

MODEL = zoo.outline("vit-b-16")
NAMES = list(sites.walk(MODEL))


def test_names_are_tower_block_part_in_order() -> None:
    assert len(NAMES) == 24 * 8
    assert NAMES[:8] == [f"vision.0.{part}" for part in ("q", "k", "v", "o", "fc1", "fc2", "ln1", "ln2")]
    assert NAMES[-1] == "text.11.ln2"
    for name in NAMES:
        assert MODEL.get_submodule(sites.module_path(name)) is sites.walk(MODEL)[name]


@pytest.mark.parametrize(
    ("patterns", "count"),
    [
        (["*.q"], 24),
        (["vision.*.q"], 12),
        (["vision.[8-11].q"], 4),
        (["text.[0-0].*"], 8),
        (["*"], 192),
        (["vision.3.q"], 1),
        (["*.q", "*.v", "vision.*.q"], 48),
        (["vision.1.*"], 8),
    ],
)
def test_patterns(patterns: list[str], count: int) -> None:
    found = sites.match(patterns, NAMES)
    assert len(found) == count
    assert found == [name for name in NAMES if name in set(found)], "in order, none twice"


@pytest.mark.parametrize("wrong", ["visual.*.q", "*.qq", "vision.[12-14].q", "vision.[11-8].q", "", "vision.3", "q"])
def test_every_pattern_has_to_match(wrong: str) -> None:
    with pytest.raises(UserError, match="matches none of the 192 sites") as caught:
        sites.match(["*.v", wrong], NAMES)
    assert "try 'vision.*.q'" in caught.value.fix


def test_a_dot_is_a_dot() -> None:
    with pytest.raises(UserError):
        sites.match(["vision?3.q"], NAMES)


def test_key_biases_are_inert() -> None:
    inert = [name for name in sites.block_tensors(MODEL) if sites.is_inert(name)]
    assert len(inert) == 24
    assert all(name.endswith(".k.bias") for name in inert)


def test_the_order_of_sites_does_not_depend_on_the_order_of_a_set(mini) -> None:
    """The order of a set of strings is another one in every process."""
    names = list(Full().attach(mini).trainable())
    places = [name.rpartition(".")[0] for name in names]
    orders = [sorted_sites(dict.fromkeys(order)) for order in (places, places[::-1], sorted(places))]  # type: ignore[arg-type]
    assert orders[0] == orders[1] == orders[2]
