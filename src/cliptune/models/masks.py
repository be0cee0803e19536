"""Dropout masks that cost little: sixteen random bits of an element decide, sixty-four elements at a time.

A mask is kept as one bit per element and written out when it is used. The chance is taken to the nearest 1/65536 (0.25
and 0.1 to 1e-5 of themselves or better), and the scale 1/(1 − p) uses the chance that was taken.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

STEPS = 1 << 16
BYTES = 0x0101010101010101
"""the lowest bit of each of eight bytes"""


@dataclass(frozen=True)
class Mask:
    """Which elements of a tensor stay."""

    bits: Tensor
    """int64 [⌈n/64⌉], one bit per element, in an order of its own"""
    shape: tuple[int, ...]
    scale: float
    """what the kept elements are multiplied by, so that the expectation stays"""

    def of(self, dtype: torch.dtype) -> Tensor:
        """Zeros and ones in `dtype`, without the scale."""
        shifts = torch.arange(8, device=self.bits.device)[:, None]
        flat = ((self.bits >> shifts) & BYTES).view(-1).view(torch.int8)
        return flat[: prod(self.shape)].view(self.shape).to(dtype)


def draw(shape: tuple[int, ...], chance: float, device: torch.device) -> Mask:
    """A mask that drops each element with `chance`, from torch's generator of that device."""
    kept = round((1 - chance) * STEPS)
    words = -(-prod(shape) // 64)
    # P(bit) = 0.b15…b0 in binary: from the lowest digit on, `or` with a fair bit for a one, `and` for a zero.
    digits = [(kept >> place) & 1 for place in range(16)] if kept < STEPS else []
    while digits and not digits[0]:
        digits = digits[1:]
    bits = torch.full((words,), -1 if kept >= STEPS else 0, dtype=torch.int64, device=device)
    for digit in digits:
        fair = _fair(bits)
        bits = bits | fair if digit else bits & fair
    return Mask(bits, tuple(shape), STEPS / max(1, kept))


def _fair(like: Tensor) -> Tensor:
    """Independent fair bits; drawn on the CPU for devices whose generator makes no whole 64-bit words."""
    if like.device.type in ("cpu", "cuda"):
        return torch.empty_like(like).random_(-(2**63), None)
    return torch.empty(like.shape, dtype=torch.int64).random_(-(2**63), None).to(like.device)


class Dropout(nn.Module):
    """Zeroes elements with chance `p` while training, and multiplies the others by 1/(1 − p)."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    @property
    def chance(self) -> float:
        """What applies now: 0 outside training."""
        return self.p if self.training else 0.0

    def forward(self, x: Tensor) -> Tensor:
        if not self.chance:
            return x
        mask = draw(tuple(x.shape), self.p, x.device)
        return x * (mask.of(x.dtype) * mask.scale)
