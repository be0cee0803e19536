"""Packed prompts: every token of every prompt is somewhere, with its place, and nothing else is."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cliptune.models.packing import GROUP, Packing, pack, trim

END = 99


def prompts(rests: list[list[int]], common: int) -> Tensor:
    rows = [[*range(1, common + 1), *rest, END] for rest in rests]
    width = max(map(len, rows)) + 2
    return torch.tensor([row + [END] * (width - len(row)) for row in rows])


def read_back(packing: Packing, place: int) -> list[int]:
    """The tokens that the end token of one prompt sees, in order, out of the packed sequence."""
    grid = packing.end_queries
    group, column = divmod(int(grid.places[place]), len(grid.index) // grid.groups)
    assert int(grid.index[grid.places[place]]) == place
    seen = packing.seen_by_ends[group, 0, column]
    rows = packing.keys.index.view(packing.keys.groups, -1)[group][seen]
    assert packing.positions[rows].tolist() == list(range(len(rows)))
    return packing.ids[rows].tolist()


@given(
    st.lists(st.lists(st.integers(10, 20), max_size=6), min_size=1, max_size=6),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
)
def test_every_prompt_can_be_read_back(rests: list[list[int]], common: int, ragged: bool, share: bool) -> None:
    tokens = prompts(rests, common)
    packing = pack(tokens, END, ragged=ragged, share=share)
    for place, rest in enumerate(rests):
        assert read_back(packing, place) == [*range(1, common + 1), *rest, END]
        assert int(packing.ids[packing.ends[place]]) == END
    longest = max(map(len, rests)) + common + 1
    assert packing.start <= longest - 1
    if ragged:
        assert len(packing.ids) == packing.start + sum(len(r) + common + 1 - packing.start for r in rests)
    else:
        assert len(packing.ids) == packing.start + len(rests) * (longest - packing.start)


def test_the_common_start_is_stored_once() -> None:
    packing = pack(prompts([[11, 12], [13], [14, 15, 16]], 4), END)
    assert packing.start == 4
    assert packing.ids.tolist() == [1, 2, 3, 4, 11, 12, END, 13, END, 14, 15, 16, END]
    assert packing.positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 4, 5, 4, 5, 6, 7]
    assert packing.ends.tolist() == [6, 8, 12]
    assert packing.seen_by_ends[0, 0].sum(1).tolist() == [7, 6, 8]


@pytest.mark.parametrize("rests", [[[]], [[11]], [[11], [11]], [[], [11, 12]]])
def test_every_prompt_keeps_its_end_token(rests: list[list[int]]) -> None:
    """One class, duplicates, and a prompt that is the start of another."""
    packing = pack(prompts(rests, 3), END)
    assert len(set(packing.ends.tolist())) == len(rests)
    assert all(int(packing.ids[row]) == END for row in packing.ends)


def test_the_legacy_end_token_is_the_largest_id() -> None:
    tokens = torch.tensor([[5, 6, 9, 0, 0, 0], [5, 9, 0, 0, 0, 0]])
    assert trim(tokens, end=2).shape == (2, 3)
    assert pack(tokens, 2).ids.tolist() == pack(tokens, 9).ids.tolist() == [5, 6, 9, 9]


def test_long_lists_are_dealt_into_groups_of_whole_prompts() -> None:
    packing = pack(prompts([[11 + i % 5] * (i % 9) for i in range(200)], 5), END)
    width = len(packing.queries.index) // packing.queries.groups
    assert packing.queries.groups > 10
    assert width <= GROUP
    assert sorted(packing.queries.places.tolist()) == packing.queries.places.tolist()
    assert packing.queries.index[packing.queries.places].tolist() == list(range(len(packing.ids)))
    assert bool(packing.seen.any(-1).all()), "no row sees nothing: softmax would not be a number"


def test_a_prompt_longer_than_a_group_has_one_of_its_own() -> None:
    packing = pack(prompts([[11] * (GROUP + 10), [12]], 2), END)
    assert packing.queries.groups == 3
    assert len(packing.queries.index) // 3 == GROUP + 11
