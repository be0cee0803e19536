"""Switches of the fast forward. Every one is exact to rounding; turning one off is for debugging and comparison."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Shortcuts:
    forward: Literal["cliptune", "transformers"] = "cliptune"
    """whose forward runs the towers: ours over the same weights, or transformers' own"""
    products: Literal["fast", "plain"] = "fast"
    """adapted linears by one function with a backward pass of its own, or as their equation under autograd"""
    update: Literal["auto", "merged", "beside"] = "auto"
    """where the low-rank update is added: merged into the weight once per step, or beside the frozen product; auto:
    merged in float32, beside where the weight would be rounded to 16 bits. Dropout always needs it beside"""
    prompts: Literal["prefix", "packed", "padded"] = "prefix"
    """class prompts: packed without padding and their common start computed once; packed; rows of equal length"""
    noise: Literal["own", "shared"] = "own"
    """dropout on the common start of the prompts: every class draws its own, so the start is not shared while dropout
    is on; shared: computed once, so all classes see the same noise there (faster, another distribution)"""
    pooled: bool = True
    """the last block's queries and feed-forward for the pooled token alone"""
    attention: Literal["auto", "sdpa", "products"] = "auto"
    """torch's fused attention, or two batched products and a softmax; auto: products for 16 bits on a CPU"""
    cache: bool = True
    """what is frozen and not augmented is computed once and kept: image features or the frozen lower blocks' output"""


DEFAULT = Shortcuts()
