"""Class prompts as one packed sequence: cut at their end tokens, the longest common start stored once.

Exact for a causal tower that is pooled at the end token: nothing after that token has any influence, and tokens that
are the same from the beginning of the prompt on have the same hidden states in every prompt.
c prompts · p length of the common start · s longest rest · t packed tokens: p + all the rests
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where every token of every prompt lies in the packed sequence."""

    classes: int
    start: int
    """p; 0 if the start is not shared"""
    ids: Tensor
    """[t]"""
    positions: Tensor
    """[t]: place in its prompt"""
    ends: Tensor
    """[c]: rows of the end tokens"""
    even: bool
    """all rests are equally long, so no gathering is needed"""
    index: Tensor
    """[c·s]: rows of the rests, padded with each one's last"""
    valid: Tensor
    """[t − p]: places in [c·s] that are no padding"""
    causal: Tensor
    """bool [s p+s]: which keys a token of a rest attends to"""
    seen_by_ends: Tensor
    """bool [c 1 1 p+s]: which keys an end token attends to"""


def end_places(tokens: Tensor, end: int) -> Tensor:
    """Index of each prompt's end token [c] in tokens [c t].

    The end token is `end`, or where the checkpoint says the legacy value 2, each row's largest id, as transformers
    pools it.
    """
    return tokens.argmax(dim=1) if end == 2 else (tokens == end).int().argmax(dim=1)


def trim(tokens: Tensor, end: int) -> Tensor:
    """Cut the columns after the last end token of the longest prompt: [c T] → [c t]. Exact for causal towers."""
    return tokens[:, : int(end_places(tokens, end).max()) + 1]


def pack(tokens: Tensor, end: int, *, ragged: bool = True, share: bool = True) -> Packing:
    """Plan the packed sequence of prompts [c T].

    Args:
        ragged: leave padding out; otherwise every rest has the longest one's length.
        share: compute the longest common start once.
    """
    tokens = trim(tokens, end)
    lengths = end_places(tokens, end) + 1
    device, longest = tokens.device, tokens.shape[1]
    start = _common(tokens, lengths) if share else 0
    rests = lengths - start if ragged else torch.full_like(lengths, longest - start)
    width = int(rests.max())
    places = torch.arange(start, start + width, device=device)
    filled = places - start < rests[:, None]
    index = start + filled.flatten().cumsum(0) - 1
    last = index.view(len(tokens), width).gather(1, (lengths - start - 1)[:, None])[:, 0]
    common = torch.arange(start, device=device)
    keys = torch.arange(start + width, device=device)
    return Packing(
        classes=len(tokens),
        start=start,
        ids=torch.cat([tokens[0, :start], tokens[:, start:][filled]]),
        positions=torch.cat([common, places.expand(len(tokens), -1)[filled]]),
        ends=last,
        even=bool(filled.all()),
        index=index,
        valid=filled.flatten().nonzero()[:, 0],
        causal=keys <= places[:, None],
        seen_by_ends=(keys < lengths[:, None])[:, None, None],
    )


def _common(tokens: Tensor, lengths: Tensor) -> int:
    """Length of the longest start all prompts share; every prompt keeps a rest of at least its end token."""
    same = (tokens == tokens[:1]).all(dim=0)
    differing = (~same).nonzero()
    shared = int(differing[0]) if len(differing) else tokens.shape[1]
    return min(shared, int(lengths.min()) - 1)
