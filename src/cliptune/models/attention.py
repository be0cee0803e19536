"""Attention of the two towers over flat tokens [t d]: equal rows for images, packed prompts for texts."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptune.models.packing import Grid, Packing
from cliptune.models.shortcuts import Shortcuts


class TwoProducts(torch.autograd.Function):
    """softmax(q kᵀ / √d) v by two batched products; forward and backward in 16 bits on a CPU faster than torch's own.

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
        ds = torch._softmax_backward_data(dw, weights, -1, weights.dtype)
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
            mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        return mixed.transpose(1, 2).reshape(q.shape)


class Laid(torch.autograd.Function):
    """Rows of x [t d] laid out in a grid [n·w d]; on the way back every row is read from its own place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid) -> Tensor:
        ctx.grid = grid
        return x.index_select(0, grid.index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grid: Grid = ctx.grid
        (grad,) = grads
        dx = grad.index_select(0, grid.places)
        if grid.shared:
            dx[: grid.shared] += grad.view(grid.groups, -1, grad.shape[-1])[:, : grid.shared].sum(0)
        return dx, None


class Collected(torch.autograd.Function):
    """The inverse: rows of a grid [n·w d] back in order [t d]; what fills the groups up gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.shape = x.shape
        ctx.save_for_backward(places)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.shape).index_copy_(0, places, grads[0]), None


class Prompts:
    """Causal attention of packed prompts."""

    def __init__(self, packing: Packing, heads: int):
        self.packing, self.heads = packing, heads

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [t d] → [t d]; or q [c d] of the end tokens alone → [c d]."""
        plan = self.packing
        whole = len(q) == len(k)
        grid, seen = (plan.queries, plan.seen) if whole else (plan.end_queries, plan.seen_by_ends)
        keys, values = self._lay(k, plan.keys), self._lay(v, plan.keys)
        mixed = F.scaled_dot_product_attention(self._lay(q, grid), keys, values, attn_mask=seen)
        return Collected.apply(mixed.transpose(1, 2).reshape(-1, q.shape[-1]), grid.places)

    def _lay(self, x: Tensor, grid: Grid) -> Tensor:
        """[t d] → [n h w d/h]."""
        return _heads(Laid.apply(x, grid).view(grid.groups, -1, x.shape[-1]), self.heads)


def _heads(x: Tensor, heads: int) -> Tensor:
    """[b l d] → [b h l d/h]."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)
