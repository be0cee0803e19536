"""Products with adapted linears: one autograd function for W' = g ∘ (W + L R), and for W itself where it is trained.

    merged   y = x W'ᵀ + b                           W' formed once per step
    beside   y = x (g ∘ W)ᵀ + (x R ᵀ)(g ∘ L)ᵀ + b    with dropout on the x of the second product, or in 16 bits

    dx = dy W'         dL = g ∘ (dyᵀ (x Rᵀ))         dR = (dy (g ∘ L))ᵀ x         dg = Σₜ dy (y − b) / g

The gradient of L and R never needs the dense dyᵀ x: both are products with r columns. LoRA has L = scale·B, R = A;
LoRA-XS L = scale·L R, R = P; DoRA g = m/‖V‖ besides. x [t i], y [t o], L [o r], R [r i], g [o].
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from cliptune.models.masks import Mask, draw
from cliptune.models.shortcuts import Shortcuts

PER_TENSOR = 5
"""differentiable inputs of one term: W, b, L, R, g"""
SMALL_GAIN = 0.05
"""below it, (y − b) / g would blow up the rounding of y"""
ROWS = 256
"""rows summed at a time for the gradient of g: they stay in the processor's cache"""


@dataclass(frozen=True)
class Factors:
    """A linear's re-written weight W' = gain ∘ (W + left · right)."""

    left: Tensor
    """[o r], the scale inside"""
    right: Tensor
    """[r i]"""
    gain: Tensor | None = None
    """[o]"""
    dropout: float = 0.0
    """chance that an input of `right` is zeroed; 0 outside training"""


_still: ContextVar["list[Kept] | None"] = ContextVar("still", default=None)


@contextmanager
def still() -> Iterator[None]:
    """Inside, no parameter changes: what is formed from parameters is formed once (the parts of one step, a
    measurement). Said by the caller, because fused optimisers change parameters without a trace."""
    kept: list[Kept] = []
    token = _still.set(kept)
    try:
        yield
    finally:
        _still.reset(token)
        for each in kept:
            each.drop()


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Inside, operators compute in the precision of their arguments."""
    if not torch.amp.is_autocast_available(device.type):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield


class Kept:
    """A value computed from parameters, kept while they stand `still`."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """The value for `key`, made if nothing stands still or it is not there."""
        kept = _still.get()
        if kept is None:
            return make()
        if not self._values:
            kept.append(self)
        if key not in self._values:
            self._values[key] = make()
        return self._values[key]

    def drop(self) -> None:
        """Forget everything."""
        self._values.clear()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Kept, ()


class Factored(nn.Module):
    """A frozen linear in the place of which a module stands that can say its factors."""

    base: nn.Linear

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base = base
        self.formed = Kept()

    def factors(self) -> Factors | None:
        """The weight as gain ∘ (W + left · right); None where it has no such form, and the module is called."""
        return None


_casts = WeakTensorKeyDictionary()


def cast(tensor: Tensor, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    """scale · `tensor` in `dtype`; of a frozen tensor the copy is kept as long as the tensor lives and is the same."""
    if tensor.dtype == dtype and scale == 1:
        return tensor
    scaled = tensor if scale == 1 else tensor * scale
    if tensor.requires_grad:
        _casts.pop(tensor, None)
    if tensor.requires_grad or tensor.is_inference() or torch.is_inference_mode_enabled():
        return scaled.to(dtype)
    state = (tensor._version, tensor.device)
    known = _casts.get(tensor)
    if known is None or known[0] != state:
        known = (state, {})
        _casts[tensor] = known
    copies = known[1]
    if (dtype, scale) not in copies:
        copies[dtype, scale] = scaled.detach().to(dtype)
    return copies[dtype, scale]


def _onednn_linear() -> Any:
    """oneDNN's linear, where this torch and this processor have it for bfloat16."""
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_fused = _onednn_linear()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b without a graph. On a CPU in bfloat16 by oneDNN's own linear, which adds the bias while it writes."""
    if _fused is not None and x.dtype == torch.bfloat16 and x.device.type == "cpu":
        return _fused(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


@dataclass(frozen=True)
class Term:
    """What one linear multiplies with: constants of the function below."""

    weight: Tensor
    """[o i] in the dtype of the product: g ∘ (W + L R), g ∘ W or W"""
    bias: Tensor | None
    beside: bool
    mask: Mask | None


class Products(torch.autograd.Function):
    """Several linears on the same input; see the module's docstring for the equations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, terms: tuple[Term, ...], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        outputs, inner = [], []
        for place, term in enumerate(terms):
            _, _, left, right, gain = tensors[PER_TENSOR * place : PER_TENSOR * (place + 1)]
            y = linear(x, term.weight, term.bias)
            h = None
            if left is not None and right is not None and term.beside:
                h = F.linear(_masked(x, term.mask), right.to(x.dtype))
                y.addmm_(h, _stretched(left, gain, term).to(x.dtype).T)
            outputs.append(y)
            inner.append(h)
        saved = [None if gain is None else y for y, gain in zip(outputs, tensors[4::PER_TENSOR], strict=True)]
        ctx.terms = [(term.beside, term.mask) for term in terms]
        # x is of use to the gradients of W, L, R and g alone.
        wanted = any(ctx.needs_input_grad[2 + place] for place in range(len(tensors)) if place % PER_TENSOR != 1)
        ctx.save_for_backward(
            x if wanted else None, *[t.weight for t in terms], *[t.bias for t in terms], *inner, *saved, *tensors
        )
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, *rest = ctx.saved_tensors
        n = len(ctx.terms)
        weights, biases, inner, saved, tensors = (
            rest[:n],
            rest[n : 2 * n],
            rest[2 * n : 3 * n],
            rest[3 * n : 4 * n],
            rest[4 * n :],
        )
        dx: Tensor | None = None
        found: list[Tensor | None] = []
        for place, (beside, mask) in enumerate(ctx.terms):
            term = Term(weights[place], biases[place], beside, mask)
            own = tensors[PER_TENSOR * place : PER_TENSOR * (place + 1)]
            needs = ctx.needs_input_grad[2 + PER_TENSOR * place : 2 + PER_TENSOR * (place + 1)]
            dy = grads[place].contiguous()
            if ctx.needs_input_grad[0]:
                dx = dy @ term.weight if dx is None else dx.addmm_(dy, term.weight)
            found += _tensor_gradients(x, dy, dx, term, own, needs, inner[place], saved[place])
        return dx, None, *found


def _tensor_gradients(
    x: Tensor,
    dy: Tensor,
    dx: Tensor | None,
    term: Term,
    tensors: Sequence[Tensor | None],
    needs: Sequence[bool],
    h: Tensor | None,
    y: Tensor | None,
) -> list[Tensor | None]:
    """Gradients of W, b, L, R, g of one term; what goes past the weight to the input is added to `dx`."""
    W, b, left, right, gain = tensors
    dW = None
    if needs[0] and W is not None:
        dW = (dy.T @ x).to(W.dtype)
        dW = dW if gain is None else gain[:, None] * dW
    db = dy.sum(0, dtype=b.dtype) if needs[1] and b is not None else None
    dL = dR = dg = None
    if left is not None and right is not None:
        scale = term.mask.scale if term.mask else 1.0
        kept = term.mask.of(x.dtype) if term.mask else None
        around = x if kept is None or x is None else x * kept
        if needs[2]:
            h = F.linear(around, right.to(x.dtype)) if h is None else h
            dL = (h.T @ dy).T.to(left.dtype) * scale
            dL = dL if gain is None else gain[:, None] * dL
        if needs[3] or (dx is not None and term.beside):
            z = F.linear(dy, _stretched(left, gain, term).T.contiguous().to(dy.dtype))
            dR = (z.T @ around).to(right.dtype) if needs[3] else None
            if dx is not None and term.beside:
                if kept is None:
                    dx.addmm_(z, right.to(dx.dtype))
                else:
                    dx.addcmul_(z @ right.to(dx.dtype), kept)
    if gain is not None and y is not None and needs[4]:
        dg = _gain_gradient(x, dy, y, term, W, left, right, gain)
    return [dW, db, dL, dR, dg]


def _masked(x: Tensor, mask: Mask | None) -> Tensor:
    return x if mask is None else x * mask.of(x.dtype)


def _stretched(left: Tensor, gain: Tensor | None, term: Term) -> Tensor:
    """g ∘ L, with dropout's scale."""
    stretched = left if gain is None else gain[:, None] * left
    return stretched if term.mask is None else stretched * term.mask.scale


def _gain_gradient(x: Tensor, dy: Tensor, y: Tensor, term: Term, W: Any, left: Any, right: Any, gain: Tensor) -> Tensor:
    """Σₜ dy (y − b) / g; where g is small, y says little of the direction and it is multiplied out."""
    total = torch.zeros_like(gain)
    rows = ROWS if dy.device.type == "cpu" else len(dy)
    for start in range(0, len(dy), rows):
        here, out = dy[start : start + rows], y[start : start + rows]
        if dy.dtype == torch.float16:  # scaled losses would overflow it
            here, out = here.float(), out.float()
        total += (here * out).sum(0, dtype=gain.dtype)
    if term.bias is not None:
        total -= term.bias.to(gain.dtype) * dy.sum(0, dtype=gain.dtype)
    small = gain.abs() < SMALL_GAIN
    if not bool(small.any()):
        return total / gain
    few = small.nonzero()[:, 0]
    scale = term.mask.scale if term.mask else 1.0
    z = F.linear(x, W[few].to(x.dtype))
    z += F.linear(F.linear(_masked(x, term.mask), right.to(x.dtype)), (scale * left[few]).to(x.dtype))
    total = total / torch.where(small, 1.0, gain)
    total[few] = (dy[:, few] * z).sum(0, dtype=gain.dtype)
    return total


def project(x: Tensor, layers: Sequence[nn.Module], how: Shortcuts) -> tuple[Tensor, ...]:
    """Each linear of `layers` on x [t i] → [t o], in the dtype of x."""
    terms, tensors = [], []
    for layer in layers:
        made = None if how.products == "plain" else _term(x, layer, how)
        if made is None:
            return tuple(_plainly(x, layer) for layer in layers)
        terms.append(made[0])
        tensors += made[1]
    return Products.apply(x, tuple(terms), *tensors)


def _plainly(x: Tensor, layer: nn.Module) -> Tensor:
    """The layer as a module; in 16 bits under autocast, as its weights are float32."""
    if x.dtype not in (torch.bfloat16, torch.float16):
        return layer(x)
    with torch.autocast(x.device.type, x.dtype):
        return layer(x)


def _term(x: Tensor, layer: nn.Module, how: Shortcuts) -> tuple[Term, list[Tensor | None]] | None:
    """The constants and the differentiable tensors of a layer; None if it has to be called as a module."""
    if type(layer) is nn.Linear:
        term = Term(cast(layer.weight, x.dtype).detach(), _bias(layer, x.dtype), False, None)
        return term, [layer.weight, layer.bias, None, None, None]
    if not isinstance(layer, Factored):
        return None
    base, factors = layer.base, layer.factors()
    if factors is None:
        return None
    short = x.dtype in (torch.bfloat16, torch.float16)
    beside = factors.dropout > 0 or how.update == "beside" or (how.update == "auto" and short)
    mask = draw(tuple(x.shape), factors.dropout, x.device) if factors.dropout else None
    term = Term(_formed(layer, factors, x.dtype, beside), _bias(base, x.dtype), beside, mask)
    return term, [base.weight, base.bias, factors.left, factors.right, factors.gain]


def _bias(layer: nn.Linear, dtype: torch.dtype) -> Tensor | None:
    bias: Tensor | None = layer.bias
    return None if bias is None else cast(bias, dtype).detach()


@torch.no_grad()
def _formed(layer: Factored, factors: Factors, dtype: torch.dtype, beside: bool) -> Tensor:
    """The weight that is multiplied with, formed once while parameters stand still."""
    W = layer.base.weight
    if beside and factors.gain is None:
        return cast(W, dtype)

    def form() -> Tensor:
        V = W if beside else torch.addmm(W, factors.left, factors.right)
        V = V if factors.gain is None else V * factors.gain[:, None]
        return V.to(dtype)

    return layer.formed.get((dtype, beside), form)
