"""Decoder only: both towers stay as they are, the segmenter's decoder is trained.

    D ← D − step,   towers frozen

What medvlsm (github.com/naamiinepal/medvlsm) published as fine-tuning CLIPSeg, and CLIP-DoRA's table 4 repeats as
"full" with 150 M parameters: transformers runs both towers under `no_grad`, so only the decoder's 1.13 M ever learned.
For truly full fine-tuning see `full`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import CLIPModel

from cliptune.methods.base import Adapter, Method, Phase, Size, exactly
from cliptune.methods.zero_shot import ZeroShotAdapter
from cliptune.models.backbone import Backbone


@dataclass(frozen=True)
class Decoder(Method):
    """The decoder alone."""

    name: ClassVar[str] = "decoder"
    title: ClassVar[str] = "Decoder only"
    tasks: ClassVar = ("segment",)
    presets: ClassVar[dict[str, Any]] = {
        "segment/paper": {"segment.decoder": "all"},
        "segment/small": {"segment.decoder": "all", "segment.decoder_lr": 0.0},
    }

    def attach(self, backbone: Backbone) -> Adapter:
        return ZeroShotAdapter(backbone, self)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train"),)

    def size(self, model: CLIPModel, classes: int) -> Size:
        return exactly(0)
