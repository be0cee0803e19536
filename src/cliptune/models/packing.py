"""Class prompts as one packed sequence: cut at their end tokens, the longest common start stored once.

Exact for a causal tower that is pooled at the end token: nothing after that token has any influence, and tokens that
are the same from the beginning of the prompt on have the same hidden states in every prompt.

For attention the packed rows are dealt into groups of about `GROUP` rows: a row sees the common start and the rows of
its own prompt up to itself. A few middling matrices with a mask beat one tiny matrix per prompt.

c prompts · p length of the common start · t packed rows: p + all the rests · n groups · g most rows of a group
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

GROUP = 32
"""rows of a group, unless a single prompt is longer"""


@dataclass(frozen=True)
class Grid:
    """Rows laid out group by group, groups filled up with repeats that nothing looks at."""

    groups: int
    index: Tensor
    """[n·w]: which row lies in each place"""
    places: Tensor
    """[rows]: where each row lies"""
    shared: int = 0
    """places at the beginning of every group that hold the common start"""


@dataclass(frozen=True)
class Packing:
    """Where every token of every prompt lies in the packed sequence, and what it attends to."""

    start: int
    """p; 0 if the start is not shared"""
    ids: Tensor
    """[t]"""
    positions: Tensor
    """[t]: place in its prompt"""
    ends: Tensor
    """[c]: rows of the end tokens"""
    queries: Grid
    """the t rows in n groups of g"""
    keys: Grid
    """the same with the common start before each group"""
    seen: Tensor
    """bool [n 1 g p+g]: which keys a row attends to"""
    end_queries: Grid
    """the c end tokens by group"""
    seen_by_ends: Tensor
    """bool [n 1 · p+g]"""


def end_places(tokens: Tensor, end: int) -> Tensor:
    """Index of each prompt's end token [c] in tokens [c t].

    The end token is `end`, or where the checkpoint says the legacy value 2, each row's largest id, as transformers
    pools it.
    """
    return tokens.argmax(dim=1) if end == 2 else (tokens == end).int().argmax(dim=1)


def trim(tokens: Tensor, end: int) -> Tensor:
    """Cut the columns after the last end token of the longest prompt: [c T] → [c t]. Exact for causal towers."""
    return tokens[:, : int(end_places(tokens, end).max()) + 1]


def widen(tokens: Tensor, end: int, width: int) -> Tensor:
    """Fill prompts [c t] up to `width` columns with what no tower looks at."""
    return F.pad(tokens, (0, max(0, width - tokens.shape[1])), value=0 if end == 2 else end)


def pack(tokens: Tensor, end: int, *, ragged: bool = True, share: bool = True, width: int = 0) -> Packing:
    """Plan the packed sequence of prompts [c T].

    Args:
        ragged: leave padding out; otherwise every rest has the longest one's length.
        share: compute the longest common start once.
        width: least length of a row, where rows are filled up.
    """
    device, tokens = tokens.device, widen(trim(tokens, end).cpu(), end, width)
    lengths = end_places(tokens, end) + 1
    start = _common(tokens, lengths) if share else 0
    rests = lengths - start if ragged else torch.full_like(lengths, tokens.shape[1] - start)
    filled = torch.arange(tokens.shape[1] - start) < rests[:, None]
    ids = torch.cat([tokens[0, :start], tokens[:, start:][filled]])
    places = torch.arange(start, tokens.shape[1]).expand(len(tokens), -1)[filled]
    positions = torch.cat([torch.arange(start), places])
    # The common start counts as a prompt of its own, −1.
    owners = torch.arange(-1 if start else 0, len(tokens))
    spans = torch.cat([torch.tensor([start]), rests]) if start else rests
    prompts = owners.repeat_interleave(spans)
    ends = start + rests.cumsum(0) - rests + lengths - start - 1

    groups = _deal(spans.tolist())
    queries = _grid([list(group) for group in groups])
    keys = _grid([[*range(start), *group] for group in groups], start)
    of_ends = [[place for place, row in enumerate(ends.tolist()) if row in group] for group in groups]
    end_queries = _grid(of_ends)
    return Packing(
        start=start,
        ids=ids.to(device),
        positions=positions.to(device),
        ends=ends.to(device),
        queries=_to(queries, device),
        keys=_to(keys, device),
        seen=_seen(queries.index, keys, prompts, positions).to(device),
        end_queries=_to(end_queries, device),
        seen_by_ends=_seen(ends[end_queries.index], keys, prompts, positions).to(device),
    )


def _common(tokens: Tensor, lengths: Tensor) -> int:
    """Length of the longest start all prompts share; every prompt keeps a rest of at least its end token."""
    same = (tokens == tokens[:1]).all(dim=0)
    differing = (~same).nonzero()
    shared = int(differing[0]) if len(differing) else tokens.shape[1]
    return min(shared, int(lengths.min()) - 1)


def _deal(spans: list[int]) -> list[range]:
    """Consecutive rows in groups of whole prompts, each of at most `GROUP` rows or one prompt."""
    groups, first, row = [], 0, 0
    for span in spans:
        if row > first and row + span - first > GROUP:
            groups.append(range(first, row))
            first = row
        row += span
    return [*groups, range(first, row)]


def _grid(members: list[list[int]], shared: int = 0) -> Grid:
    """Lay out rows group by group; `shared` places of every group hold rows that have their own place elsewhere."""
    width = max(map(len, members))
    index = torch.tensor([rows + [rows[-1] if rows else 0] * (width - len(rows)) for rows in members])
    places = [group * width + place for group, rows in enumerate(members) for place in range(shared, len(rows))]
    return Grid(len(members), index.flatten(), torch.tensor(places), shared)


def _to(grid: Grid, device: torch.device) -> Grid:
    return Grid(grid.groups, grid.index.to(device), grid.places.to(device), grid.shared)


def _seen(rows: Tensor, keys: Grid, prompts: Tensor, positions: Tensor) -> Tensor:
    """bool [n 1 · p+g]: a row sees what comes up to it in the common start and in its own prompt."""
    query, key = rows.view(keys.groups, -1, 1), keys.index.view(keys.groups, 1, -1)
    real = torch.zeros_like(keys.index, dtype=torch.bool)
    real[keys.places] = True
    common = torch.arange(key.shape[-1]) < keys.shared
    own = real.view(key.shape) & (prompts[query] == prompts[key]) & (prompts[query] >= 0)
    return ((common | own) & (positions[key] <= positions[query]))[:, None]
