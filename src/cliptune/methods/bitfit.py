"""BitFit: train the biases of the blocks, layer norms' included, and nothing else.

    θ_bias ← θ_bias − step,   every weight stays

Ben Zaken et al., 2022, arXiv:2106.10199; CLIP-AST's "fixed bias" control (its table 5).
differs   The sources give no learning rate for CLIP; 1e-4 with AdamW is our stated guess for `paper`.
inert     A key bias has no effect (softmax ignores a constant added to all keys): it is trained and counted as in the
          published control, and listed as inert.
"""

from dataclasses import dataclass
from typing import ClassVar

from transformers import CLIPModel

from cliptune.methods.base import Adapter, Method, Size, exactly
from cliptune.methods.linears import Where
from cliptune.methods.lora import PAPER
from cliptune.methods.tensors import TensorAdapter, count
from cliptune.models import sites
from cliptune.models.backbone import Backbone


@dataclass(frozen=True)
class BitFit(Method):
    """Biases only."""

    name: ClassVar[str] = "bitfit"
    title: ClassVar[str] = "BitFit"
    presets: ClassVar = {
        "paper": {**PAPER, "train.lr": 1e-4},
        "small": {"train.lr": 1e-2},
        "segment/paper": {"train.lr": 1e-4},
        "segment/small": {"train.lr": 3e-3},
    }

    where: Where = ("*",)
    """patterns over sites whose biases are trained"""

    def _names(self, model: CLIPModel) -> list[str]:
        chosen = set(sites.match(self.where, sites.walk(model)))
        return [
            name
            for name in sites.block_tensors(model)
            if name.endswith(".bias") and name.removesuffix(".bias") in chosen
        ]

    def attach(self, backbone: Backbone) -> Adapter:
        return TensorAdapter(backbone, self, self._names(backbone.model))

    def size(self, model: CLIPModel, classes: int) -> Size:
        tensors = sites.block_tensors(model)
        return exactly(count({name: tensors[name] for name in self._names(model)}))
