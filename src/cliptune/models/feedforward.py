"""The feed-forward part of a block: fc1, activation, fc2, keeping one wide tensor for the backward pass instead of two.

    u = κ (x W₁ᵀ + b₁)      a = f(u)      y = a W₂ᵀ / κ + b₂

QuickGELU z·σ(1.702 z) is f = SiLU with κ = 1.702: the constant goes into the products, where it is free.
GELU is f = GELU with κ = 1. Only u [t 4d] is kept; a is computed again where W₂ is trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cliptune.models.products import cast, linear, project
from cliptune.models.shortcuts import Shortcuts


@dataclass(frozen=True)
class Activation:
    """z ↦ f(κ z) / κ."""

    kappa: float
    f: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    """(gradient of f(u), u) → gradient of u"""


ACTIVATIONS = {
    "quick_gelu": Activation(1.702, F.silu, torch.ops.aten.silu_backward),
    "gelu": Activation(1.0, F.gelu, torch.ops.aten.gelu_backward),
}


class Activated(torch.autograd.Function):
    """The activation alone; keeps its input."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, activation: Activation) -> Tensor:
        ctx.activation = activation
        ctx.save_for_backward(z)
        return activation.f(activation.kappa * z) / activation.kappa

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return ctx.activation.backward(grads[0], ctx.activation.kappa * z), None


class FeedForward(torch.autograd.Function):
    """Both products and the activation between them, for plain linears, frozen or trained."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Activation, *tensors: Tensor) -> Tensor:
        W1, b1, W2, b2 = tensors
        kappa = activation.kappa
        if x.dtype == W1.dtype:
            u = torch.addmm(b1, x, W1.T, beta=kappa, alpha=kappa)
            y = torch.addmm(b2, activation.f(u), W2.T, alpha=1 / kappa)
            inside = 1.0
        else:  # the copy that is made anyway holds κ
            W1, W2 = cast(W1, x.dtype, kappa), cast(W2, x.dtype, 1 / kappa)
            u = linear(x, W1, cast(b1, x.dtype, kappa))
            y = linear(activation.f(u), W2, cast(b2, x.dtype))
            inside = kappa
        ctx.activation, ctx.inside = activation, inside
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        ctx.save_for_backward(x if any(ctx.needs_input_grad[2:4]) else None, u, W1, W2)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, u, W1, W2 = ctx.saved_tensors
        (dy,) = grads
        f, needs, dtypes = ctx.activation, ctx.needs_input_grad, ctx.dtypes
        dW2 = (dy.T @ f.f(u)).to(dtypes[2]) / f.kappa if needs[4] else None
        db2 = dy.sum(0, dtype=dtypes[3]) if needs[5] else None
        if not any(needs[:4]):
            return None, None, None, None, dW2, db2
        dz = f.backward(dy @ W2, u)  # κ from u's product and 1/κ from y's cancel
        dx = dz @ W1 if needs[0] else None
        dW1 = (dz.T @ x).to(dtypes[0]) * ctx.inside if needs[2] else None
        db1 = dz.sum(0, dtype=dtypes[1]) * ctx.inside if needs[3] else None
        return dx, None, dW1, db1, dW2, db2


def feed_forward(x: Tensor, mlp: Any, activation: Activation, how: Shortcuts) -> Tensor:
    """fc2(activation(fc1(x))) of a block's feed-forward module, x [t d]."""
    fc1, fc2 = mlp.fc1, mlp.fc2
    if how.products == "fast" and type(fc1) is nn.Linear and type(fc2) is nn.Linear:
        return FeedForward.apply(x, activation, fc1.weight, fc1.bias, fc2.weight, fc2.bias)
    (z,) = project(x, [fc1], how)
    (y,) = project(Activated.apply(z, activation), [fc2], how)
    return y
