"""Attention of the two towers over flat tokens [t d]: equal rows for images, packed prompts for texts."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptune.models.packing import Packing
from cliptune.models.shortcuts import Shortcuts


class TwoProducts(torch.autograd.Function):
    """softmax(q kᵀ / √d) v by two batched products; on a CPU in 16 bits 1.3 to 2.5 times as fast as torch's own.

    q [n l d], k and v [n m d]; keeps the probabilities [n l m].
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        scaled = torch.mul(q, scale)
        weights = torch.softmax(torch.bmm(scaled, k.transpose(1, 2)), dim=-1)
        ctx.save_for_backward(scaled, k, v, weights)
        return torch.bmm(weights, v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scaled, k, v, weights = ctx.saved_tensors
        (do,) = grads
        dv = torch.bmm(weights.transpose(1, 2), do)
        dw = torch.bmm(do, v.transpose(1, 2))
        ds = torch._softmax_backward_data(dw, weights, -1, weights.dtype)  # type: ignore[attr-defined]
        dq = torch.bmm(ds, k).mul_(scaled.shape[-1] ** -0.5)
        return dq, torch.bmm(ds.transpose(1, 2), scaled), dv


class Rows:
    """Attention of b rows of equal length, every token to every other."""

    def __init__(self, rows: int, heads: int, how: Shortcuts):
        self.rows, self.heads, self.how = rows, heads, how

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [b·l d], k and v [b·m d] → [b·l d]."""
        parts = [_heads(x.view(self.rows, -1, x.shape[-1]), self.heads) for x in (q, k, v)]
        by_products = self.how.attention == "products" or (
            self.how.attention == "auto" and q.device.type == "cpu" and q.dtype == torch.bfloat16
        )
        if by_products:
            flat = [x.reshape(-1, *x.shape[2:]) for x in parts]
            mixed = TwoProducts.apply(*flat).view(parts[0].shape)
        else:
            mixed = F.scaled_dot_product_attention(*parts)
        return mixed.transpose(1, 2).reshape(q.shape)


class Prompts:
    """Causal attention of packed prompts: the common start to itself, once; each rest to the start and to itself."""

    def __init__(self, packing: Packing, heads: int):
        self.packing, self.heads = packing, heads

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [t d] → [t d]; or q [c d] of the end tokens alone → [c d]."""
        plan, start = self.packing, self.packing.start
        keys, values = self._rests(k), self._rests(v)
        if start:
            first = [_heads(x[None, :start], self.heads) for x in (k, v)]
            keys, values = (
                torch.cat([own.expand(plan.classes, -1, -1, -1), rest], dim=2)
                for own, rest in zip(first, (keys, values), strict=True)
            )
        if len(q) != len(k):
            mixed = F.scaled_dot_product_attention(_heads(q[:, None], self.heads), keys, values, plan.seen_by_ends)
            return mixed.transpose(1, 2).reshape(q.shape)
        mixed = F.scaled_dot_product_attention(self._rests(q), keys, values, plan.causal)
        rests = mixed.transpose(1, 2).reshape(-1, q.shape[-1])
        if not plan.even:
            rests = rests.index_select(0, plan.valid)
        if not start:
            return rests
        common = F.scaled_dot_product_attention(_heads(q[None, :start], self.heads), *first, is_causal=True)
        return torch.cat([common.transpose(1, 2).reshape(start, -1), rests])

    def _rests(self, x: Tensor) -> Tensor:
        """[t d] → [c h s d/h]: what follows the common start, by class, padded with repeats nobody looks at."""
        plan = self.packing
        rest = x[plan.start :] if plan.even else x.index_select(0, plan.index)
        return _heads(rest.view(plan.classes, -1, x.shape[-1]), self.heads)


def _heads(x: Tensor, heads: int) -> Tensor:
    """[b l d] → [b h l d/h]."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)
