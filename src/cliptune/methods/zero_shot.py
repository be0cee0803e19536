"""Zero-shot: the untouched backbone, classifying by the cosine between image and class prompts.

    p(c | x) = softmax_c(scale · cos(f(x), t_c))

Radford et al., 2021, arXiv:2103.00020. Nothing is trained; a run of it is the 'before' of every other run.
"""

from dataclasses import dataclass
from typing import ClassVar

from transformers import CLIPModel

from cliptune.methods.base import Adapter, Method, Phase, Size, exactly
from cliptune.models import towers
from cliptune.models.backbone import Backbone


@dataclass(frozen=True)
class ZeroShot(Method):
    """The untouched backbone."""

    name: ClassVar[str] = "zero_shot"
    title: ClassVar[str] = "Zero-shot CLIP"

    def attach(self, backbone: Backbone) -> Adapter:
        return ZeroShotAdapter(backbone, self)

    def phases(self) -> tuple[Phase, ...]:
        return ()

    def size(self, model: CLIPModel, classes: int) -> Size:
        return exactly(0)


class ZeroShotAdapter(Adapter):
    def merged(self) -> CLIPModel:
        return towers.own_copy(self.backbone.model)
