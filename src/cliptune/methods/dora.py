"""DoRA: tune a weight's direction with a low-rank update and its length with one number per output.

    W' = m · V / ‖V‖,   V = W + scale · B A          ‖·‖: length of each row (one output unit)

Liu et al., 2024, arXiv:2402.09353; for CLIP (CLIP-DoRA): Rodríguez-de-Vera et al., 2025.
letters   A (r, in), B (out, r) as in LoRA · m (out) = ‖W‖ at the start, float32 · g = m / ‖V‖
differs   The papers write W as (in, out) with norms over columns; torch stores (out, in), so ours are over rows, as in
          peft and the official code; `axis = "in"` is CLIP-DoRA's m ∈ R^{1×k} taken literally.
          Eq. 2 of the CLIP paper divides by the norm twice: a slip (its merge formula divides once).
          ‖V‖ is a constant in the backward pass (`detach_norm`), as both papers do.
          Dropout: `natural` h = g · (W x + scale · B A drop(x)) + b is CLIP-LoRA's and our default;
          `official` h = W x + b + (g − 1) · W drop(x) + g · scale · B A drop(x) is NVlabs' and peft's.
          docs/decisions/0004
norm      ‖V‖² = ‖W‖² + 2·scale·rowsum(B ∘ W Aᵀ) + scale²·rowsum(B A Aᵀ ∘ B): no dense update is formed.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from cliptune.methods.base import Adapter, Size, exactly
from cliptune.methods.linears import LinearAdapter, LowRank, LowRankLinear, Scaling, Where
from cliptune.methods.lora import PAPER
from cliptune.models.backbone import Backbone
from cliptune.models.products import Factors, Kept, without_autocast

TINY = 1e-12
"""a dead row's length is taken as this, squared, instead of zero"""


@dataclass(frozen=True)
class DoRA(LowRank):
    """Direction by a low-rank update, length by one number per output (CLIP-DoRA)."""

    name: ClassVar[str] = "dora"
    title: ClassVar[str] = "CLIP-DoRA"
    starts_within: ClassVar[float] = 1e-6
    presets: ClassVar = {
        "paper": PAPER,
        "small": {"train.lr": 1e-2},
        "segment/paper": {"rank": 8},
        "segment/small": {"train.lr": 1e-2},
    }

    scaling: Scaling = "alpha/sqrt(r)"
    """CLIP-DoRA keeps CLIP-LoRA's settings, hence the root"""
    where: Where = ("*.q", "*.k", "*.v", "*.o")
    """patterns over sites; CLIP-DoRA adapts q, k, v, o of every block in both towers"""
    dropout_form: Literal["natural", "official"] = "natural"
    """natural: dropout on the low-rank branch alone; official: also inside the (g − 1) W x term, as peft does"""
    detach_norm: bool = True
    """treat the norm as a constant in the backward pass"""
    axis: Literal["out", "in"] = "out"
    """one magnitude per output (official code), or per input (the CLIP paper's letters taken literally)"""
    decay_magnitude: bool = True
    """whether weight decay acts on the magnitudes too"""

    def attach(self, backbone: Backbone) -> Adapter:
        chosen = list(self.chosen(backbone.model))
        return DoRAAdapter(backbone, self, chosen, lambda site, base: DoRALinear(base, self.at(site)))

    def fast(self) -> bool:
        return self.axis == "out" and not (self.dropout_form == "official" and self.dropout)

    def size(self, model: CLIPModel, classes: int) -> Size:
        total = 0
        for site, linear in self.chosen(model).items():
            magnitudes = linear.out_features if self.axis == "out" else linear.in_features
            total += self.at(site).rank * (linear.in_features + linear.out_features) + magnitudes
        return exactly(total)


class DoRAAdapter(LinearAdapter):
    method: DoRA

    def decays(self, name: str) -> bool:
        return self.method.decay_magnitude or not name.endswith(".m")


class DoRALinear(LowRankLinear):
    """W' = m · V / ‖V‖ with V = W + scale · B A."""

    base_squares: Tensor

    def __init__(self, base: nn.Linear, method: DoRA):
        super().__init__(base, method.rank, method.scale, method.dropout)
        self.axis = 1 if method.axis == "out" else 0
        self.detach_norm = method.detach_norm
        self.official = method.dropout_form == "official"
        weight = base.weight.detach().float()
        self.m = nn.Parameter(weight.norm(dim=self.axis))
        self.measured = Kept()
        self.register_buffer("base_squares", weight.square().sum(dim=self.axis), persistent=False)

    def norm(self) -> Tensor:
        """‖V‖ per row (axis out) or column (axis in) in float32, by the low-rank expansion."""
        W, A, B = self.base.weight.float(), self.A.float(), self.B.float()
        if self.axis == 1:
            cross, square = B * (W @ A.T), B @ (A @ A.T) * B
        else:
            cross, square = (A * (B.T @ W)).T, A.T @ (B.T @ B) * A.T
        squares = self.base_squares + 2 * self.scale * cross.sum(1) + self.scale**2 * square.sum(1)
        return squares.clamp_min(TINY).sqrt()

    def stretch(self) -> Tensor:
        """g = m / ‖V‖, float32 also under autocast."""
        with without_autocast(self.m.device):
            if not self.detach_norm:
                return self.m / self.norm()
            with torch.no_grad():
                norm = self.measured.get(None, self.norm)
            return self.m / norm

    def factors(self) -> Factors | None:
        if self.axis == 0 or (self.official and self.dropout.chance):
            return None
        return Factors(self.scale * self.B, self.A, self.stretch(), self.dropout.chance)

    def weight(self) -> Tensor:
        V = super().weight()
        norm = V.norm(dim=self.axis).clamp_min(TINY**0.5)
        g = self.m / (norm.detach() if self.detach_norm else norm)
        return g[:, None] * V if self.axis == 1 else V * g

    def forward(self, x: Tensor) -> Tensor:
        g, dropped = self.stretch(), self.dropout(x)
        if self.axis == 0:
            h = self._by_input(x, dropped, g)
        elif self.official and self.training:
            W = self.base.weight
            h = F.linear(x, W) + (g - 1) * F.linear(dropped, W) + g * self.update(dropped)
        else:
            h = g * (F.linear(x, self.base.weight) + self.update(dropped))
        return (h if self.base.bias is None else h + self.base.bias).to(x.dtype)

    def _by_input(self, x: Tensor, dropped: Tensor, g: Tensor) -> Tensor:
        W = self.base.weight
        if self.official and self.training:
            return F.linear(x, W) + F.linear((g - 1) * dropped, W) + self.update(g * dropped)
        return F.linear(g * x, W) + self.update(g * dropped)
