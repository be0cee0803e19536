"""LoRA-XS: only an r × r matrix is trained, between frozen factors of the weight's own SVD.

    W' = W + scale · L R P,   W = U Σ Vᵀ,   L = U_r Σ_r,  P = V_rᵀ          (sigma_side = "out")

Bałazy et al., 2024, arXiv:2405.17604; for CLIP (CLIP-LoRA-XS): Prasniewski, 2025.
letters   L (out, r) and P (r, in) frozen · R (r, r) normal with σ = 1e-5, so training starts almost at the backbone
differs   Σ stands on the input side in the readme and in the official code, on the output side in CLIP-LoRA-XS's code:
          `sigma_side`. The SVD is float64 on the CPU with canonical signs (the largest entry of each column of U is
          positive), because singular vectors have free signs and R means nothing in another basis.
          The published saver wrote q's R under k's key; ours does not.
file      `factors` (default): plain A = P and B = scale · L R per site, exact, no SVD at load.
          `r_only`: R and a probe of the update, checked at load. docs/decisions/0005
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Size, at_least, exactly
from cliptune.methods.linears import AdaptedLinear, LinearAdapter, LowRank, LowRankLinear, Scaling, Where
from cliptune.methods.lora import PAPER
from cliptune.models.backbone import Backbone
from cliptune.models.masks import Dropout
from cliptune.models.products import Factors

SigmaSide = Literal["out", "in", "both", "none"]
PROBE_TOLERANCE = 5e-3
"""relative error of the probe above which an R-only file is refused; a flipped sign gives about 1, another
machine's float64 SVD under 1e-3"""


@dataclass(frozen=True)
class LoRAXS(LowRank):
    """An r × r matrix between frozen singular vectors (CLIP-LoRA-XS)."""

    name: ClassVar[str] = "lora_xs"
    title: ClassVar[str] = "CLIP-LoRA-XS"
    starts_within: ClassVar[float] = 1e-3
    presets: ClassVar = {
        "paper": PAPER,
        "small": {"train.lr": 1e-2},
        "segment/small": {"train.lr": 1e-2},
    }

    rank: int = 32
    """side of R; the readme's table has 32 and 45"""
    scaling: Scaling = "alpha/sqrt(r)"
    """CLIP-LoRA-XS inherits CLIP-LoRA's root"""
    where: Where = ("*.q", "*.k", "*.v")
    """patterns over sites; CLIP-LoRA-XS adapts q, k, v of every block in both towers"""
    sigma_side: SigmaSide = "out"
    """where Σ stands: out (CLIP-LoRA-XS's code), in (its readme, the official code), both (√Σ each), none"""
    init_std: float = 1e-5
    """standard deviation of R at the start"""
    file: Literal["factors", "r_only"] = "factors"
    """factors: exact, reads anywhere; r_only: r² numbers a site, needs the same SVD at load (checked)"""

    def attach(self, backbone: Backbone) -> Adapter:
        at_least(self.init_std, 0, "init_std")
        chosen = list(self.chosen(backbone.model))
        return LoRAXSAdapter(backbone, self, chosen, lambda site, base: LoRAXSLinear(base, self.at(site)))

    def reopen(self, backbone: Backbone, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Adapter:
        if any(name.endswith((".R", ".probe")) for name in tensors):
            return self._reopen_r_only(backbone, tensors)
        adapter = LinearAdapter(
            backbone,
            self,
            list(self.chosen(backbone.model)),
            lambda site, base: LowRankLinear(base, self.at(site).rank, scale=1.0, dropout=self.dropout),
        )
        adapter.restore(tensors, facts)
        return adapter.eval()

    def _reopen_r_only(self, backbone: Backbone, tensors: Mapping[str, Tensor]) -> Adapter:
        adapter = self.attach(backbone)
        assert isinstance(adapter, LoRAXSAdapter)
        adapter.restore({name: tensor for name, tensor in tensors.items() if not name.endswith(".probe")}, {})
        adapter.check_probes({name: tensor for name, tensor in tensors.items() if name.endswith(".probe")})
        return adapter.eval()

    def size(self, model: CLIPModel, classes: int) -> Size:
        return exactly(sum(self.at(site).rank ** 2 for site in self.chosen(model)))


class LoRAXSAdapter(LinearAdapter):
    method: LoRAXS
    linears: dict[str, "LoRAXSLinear"]  # type: ignore[assignment]

    def tensors(self) -> dict[str, Tensor]:
        if self.method.file == "r_only":
            probes = {f"{site}.probe": linear.probe() for site, linear in self.linears.items()}
            return {**self.state(), **probes}
        plain = {}
        for site, linear in self.linears.items():
            plain[f"{site}.A"] = linear.P.detach()
            plain[f"{site}.B"] = (linear.scale * linear.L @ linear.R).detach()
        return plain

    def check_probes(self, probes: Mapping[str, Tensor]) -> None:
        """Refuse R matrices whose basis is not the one they were trained in."""
        for site, linear in self.linears.items():
            if f"{site}.probe" not in probes:
                raise UserError(f"the R-only file has no probe for {site}", "save it again with file = 'factors'")
            saved = probes[f"{site}.probe"].to(linear.R.device)
            error = float((linear.probe() - saved).norm() / saved.norm().clamp_min(1e-30))
            if error > PROBE_TOLERANCE:
                raise UserError(
                    f"the R-only file does not fit this machine's SVD at {site}: its update is {100 * error:.0f} % off",
                    "use a file saved with file = 'factors', which needs no SVD",
                )


class LoRAXSLinear(AdaptedLinear):
    """W + scale · L R P."""

    L: Tensor
    P: Tensor

    def __init__(self, base: nn.Linear, method: LoRAXS):
        super().__init__(base)
        self.scale = method.scale
        self.dropout = Dropout(method.dropout)
        L, P = frozen_factors(base.weight, method.rank, method.sigma_side)
        self.register_buffer("L", L.to(base.weight), persistent=False)
        self.register_buffer("P", P.to(base.weight), persistent=False)
        self.R = nn.Parameter(torch.randn(method.rank, method.rank).to(base.weight) * method.init_std)

    def weight(self) -> Tensor:
        return self.base.weight + self.scale * self.L @ self.R @ self.P

    def factors(self) -> Factors | None:
        return Factors(self.scale * self.L @ self.R, self.P, dropout=self.dropout.chance)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.linear(F.linear(self.dropout(x), self.P), self.scale * self.R)
        return self.base(x) + F.linear(inner, self.L)

    @torch.no_grad()
    def probe(self) -> Tensor:
        """Eight numbers that change if any singular pair is flipped or turned: fixed mixtures of the update's rows."""
        x = torch.cos(1.7 * torch.arange(self.P.shape[1], device=self.R.device)).to(self.R.dtype)
        y = self.L @ (self.R @ (self.P @ x))
        rows = torch.arange(len(y), device=self.R.device).to(self.R.dtype)
        mix = torch.stack([torch.cos((0.3 + 0.4 * k) * rows + k) for k in range(8)])
        return mix @ y


def frozen_factors(weight: Tensor, rank: int, sigma_side: SigmaSide) -> tuple[Tensor, Tensor]:
    """L (out, r) and P (r, in) in float64 from the truncated SVD of `weight` [out in], with canonical signs."""
    U, S, Vh = torch.linalg.svd(weight.detach().to("cpu", torch.float64), full_matrices=False)
    U, S, Vh = U[:, :rank], S[:rank], Vh[:rank]
    largest = U.abs().argmax(dim=0)
    signs = torch.sign(U[largest, torch.arange(U.shape[1])])
    U, Vh = U * signs, Vh * signs[:, None]
    left = {"out": S, "in": torch.ones_like(S), "both": S.sqrt(), "none": torch.ones_like(S)}[sigma_side]
    right = {"out": torch.ones_like(S), "in": S, "both": S.sqrt(), "none": torch.ones_like(S)}[sigma_side]
    return U * left, right[:, None] * Vh
