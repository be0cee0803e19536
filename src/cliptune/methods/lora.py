"""LoRA: a low-rank update beside a frozen weight, in both towers.

    W' = W + scale · B A          h = W x + b + scale · B A drop(x)

Hu et al., 2022, arXiv:2106.09685; for CLIP (CLIP-LoRA): Zanella and Ben Ayed, 2024, arXiv:2405.18541.
letters   A (r, in) uniform in ±1/√in · B (out, r) zeros, so training starts at the backbone · r rank
scale     alpha/√r, as CLIP-LoRA's code has it (the LoRA paper: alpha/r): a switch
differs   Nothing is added and subtracted in place: evaluation uses B A unmerged, or a merged copy. Logits and loss are
          float32 (CLIP-LoRA: float16). The logit scale is the checkpoint's (CLIP-LoRA writes 100, which is what the
          released models hold).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn
from transformers import CLIPModel

from cliptune.methods.base import Adapter, Size, exactly
from cliptune.methods.linears import LinearAdapter, LowRank, LowRankLinear, Scaling, Where
from cliptune.models.backbone import Backbone

PAPER: dict[str, Any] = {
    "train.lr": 2e-4,
    "train.steps_per_shot": 500,
    "train.batch": 32,
    "train.weight_decay": 1e-2,
    "train.crop": (0.08, 1.0),
}
"""CLIP-LoRA's recipe, shared by LoRA-XS and DoRA: one setting for every data set"""


@dataclass(frozen=True)
class LoRA(LowRank):
    """Low-rank update of chosen linears (CLIP-LoRA)."""

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "CLIP-LoRA"
    presets: ClassVar = {
        "paper": PAPER,
        "small": {"train.lr": 1e-2},
        "segment/paper": {"rank": 8},
        "segment/small": {"train.lr": 1e-2},
    }

    scaling: Scaling = "alpha/sqrt(r)"
    """CLIP-LoRA's code uses the root; the LoRA paper alpha/r"""
    where: Where = ("*.q", "*.k", "*.v")
    """patterns over sites; CLIP-LoRA adapts q, k, v of every block in both towers"""

    def attach(self, backbone: Backbone) -> Adapter:
        def make(site: str, base: nn.Linear) -> LowRankLinear:
            here = self.at(site)
            return LowRankLinear(base, here.rank, here.scale, here.dropout)

        return LinearAdapter(backbone, self, list(self.chosen(backbone.model)), make)

    def size(self, model: CLIPModel, classes: int) -> Size:
        chosen = self.chosen(model).items()
        return exactly(sum(self.at(site).rank * (base.in_features + base.out_features) for site, base in chosen))
