"""The family of selected tensors: chosen weights and biases of the backbone are tuned themselves."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from cliptune.methods.base import Adapter, Method
from cliptune.models import sites, towers
from cliptune.models.backbone import Backbone


def named_tensors(model: CLIPModel) -> dict[str, nn.Parameter]:
    """Every parameter by name: inside the blocks 'site.weight'/'site.bias', elsewhere its module path."""
    inside = sites.block_tensors(model)
    known = {id(tensor) for tensor in inside.values()}
    outside = {name: tensor for name, tensor in model.named_parameters() if id(tensor) not in known}
    return {**inside, **outside}


def path_of(name: str) -> tuple[str, str]:
    """Module path and attribute of a tensor's name: 'vision.3.q.bias' → ('vision_model…q_proj', 'bias')."""
    owner, _, kind = name.rpartition(".")
    inside = owner.count(".") == 2 and owner.split(".")[0] in sites.TOWERS
    return (sites.module_path(owner) if inside else owner), kind


class TensorAdapter(Adapter):
    """Own copies of chosen tensors, put in the place of the backbone's.

    `owned` may differ from the backbone; a subset of it is trainable in the present phase.
    """

    def __init__(self, backbone: Backbone, method: Method, names: Iterable[str]):
        super().__init__(backbone, method)
        self.originals = named_tensors(backbone.model)
        self.owned: dict[str, nn.Parameter] = {}
        self.own(names)

    def own(self, names: Iterable[str]) -> None:
        """Own fresh copies of exactly these tensors, all trainable; give back every other."""
        wanted = list(names)
        for name in self.owned.keys() - set(wanted):
            self._put(name, self.originals[name])
        self.owned = {name: nn.Parameter(self.originals[name].detach().clone()) for name in wanted}
        for name, parameter in self.owned.items():
            self._put(name, parameter)

    def _put(self, name: str, parameter: nn.Parameter) -> None:
        path, kind = path_of(name)
        setattr(self.model.get_submodule(path), kind, parameter)

    def trainable(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.owned.items() if parameter.requires_grad}

    def state(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.owned.items()}

    def inert(self) -> list[str]:
        return [name for name in self.trainable() if sites.is_inert(name)]

    @torch.no_grad()
    def merged(self) -> CLIPModel:
        model = towers.own_copy(self.backbone.model)
        target = named_tensors(model)
        for name, parameter in self.owned.items():
            target[name].copy_(parameter)
        return model


def count(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())
