"""Switches of the fast forward, for debugging and comparison.

Every shortcut but `noise = "shared"` is exact: the same function and the same gradient, sums in another order.
`using` sets them for a stretch of code, as the runs do with their recipe's table [shortcuts].
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Layout = Literal["prefix", "packed", "padded", "whole"]
RAGGED = ("prefix", "packed")
"""layouts of prompts without padding"""


@dataclass(frozen=True)
class Shortcuts:
    forward: Literal["cliptune", "transformers"] = "cliptune"
    """whose forward runs the towers: ours over the same weights, or transformers' own"""
    products: Literal["fast", "plain"] = "fast"
    """adapted linears by one function with a backward pass of its own, or as their equation under autograd"""
    update: Literal["auto", "merged", "beside"] = "auto"
    """where the low-rank update is added: merged into the weight once per step, or beside the frozen product; auto:
    merged in float32, beside where the weight would be rounded to 16 bits. Dropout always needs it beside"""
    prompts: Layout = "prefix"
    """class prompts: packed without padding and their common start computed once; packed; rows as long as the longest
    prompt; rows of the whole context"""
    noise: Literal["own", "shared"] = "own"
    """dropout on the common start of the prompts: every class draws its own, so the start is not shared while dropout
    is on; shared: computed once, so all classes see the same noise there (faster, another distribution)"""
    pooled: bool = True
    """the last block's queries and feed-forward for the pooled token alone"""
    attention: Literal["auto", "sdpa", "products"] = "auto"
    """of images: torch's fused attention, or two batched products and a softmax; auto: products for 16 bits on a CPU"""
    cache: bool = True
    """outputs of frozen towers and frozen lower blocks are computed once, where no augmentation touches them"""


DEFAULT = Shortcuts()
_present: ContextVar[Shortcuts] = ContextVar("shortcuts", default=DEFAULT)


def present() -> Shortcuts:
    """The switches that apply here."""
    return _present.get()


@contextmanager
def using(shortcuts: Shortcuts) -> Iterator[None]:
    """Inside, all towers take these shortcuts, but those that were told their own."""
    token = _present.set(shortcuts)
    try:
        yield
    finally:
        _present.reset(token)
