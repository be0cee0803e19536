"""Full fine-tuning: every parameter of both towers and the projections; the logit scale stays.

    θ ← θ − step          for all θ but the logit scale

The reference point of every parameter-efficient method. No source fixes a rate; 1e-5 with AdamW is the usual middle of
1e-6 … 3e-5 for CLIP and our stated guess for `paper`.
differs   The logit scale is frozen, as in all methods here.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from transformers import CLIPModel

from cliptune.methods.base import Adapter, Method, Size, exactly
from cliptune.methods.lora import PAPER
from cliptune.methods.tensors import TensorAdapter, count, named_tensors
from cliptune.models.backbone import Backbone


@dataclass(frozen=True)
class Full(Method):
    """Every weight."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full fine-tuning"
    presets: ClassVar = {
        "paper": {**PAPER, "train.lr": 1e-5},
        "small": {"train.lr": 1e-4},
        "segment/paper": {"train.lr": 1e-5, "segment.decoder": "all"},
        "segment/small": {"train.lr": 1e-4, "segment.decoder": "all"},
    }

    towers: Literal["both", "vision", "text"] = "both"
    """which towers are trained, their projection included"""

    def _names(self, model: CLIPModel) -> list[str]:
        starts = {"both": ("vision", "visual", "text"), "vision": ("vision", "visual"), "text": ("text",)}[self.towers]
        return [name for name in named_tensors(model) if name.startswith(starts)]

    def attach(self, backbone: Backbone) -> Adapter:
        return TensorAdapter(backbone, self, self._names(backbone.model))

    def size(self, model: CLIPModel, classes: int) -> Size:
        tensors = named_tensors(model)
        return exactly(count({name: tensors[name] for name in self._names(model)}))
