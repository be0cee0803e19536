"""A method's adapter in both towers of a segmenter, and own copies of decoder tensors that are trained beside it.

    logits = D'(h; t)        h, t from the adapted towers · D' the decoder, its last convolutions or all of it retrained

What of the decoder is trained is the recipe's choice (`segment.decoder`), the same for every method: methods know
nothing of decoders. Its tensors are called 'decoder.<path>' beside the method's own.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import CLIPSegForImageSegmentation

from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Method, Phase, fill
from cliptune.models import towers
from cliptune.models.segmenter import Marker, Segmenter, SegmenterTowers

Trained = Literal["transposed", "all", "none"]
PREFIX = "decoder."
TRANSPOSED = "transposed_convolution."


def decoder_names(segmenter: Segmenter, trained: Trained) -> list[str]:
    """Paths of the decoder's tensors that are trained."""
    named = dict(segmenter.whole.decoder.named_parameters())
    return [name for name in named if trained == "all" or (trained == "transposed" and name.startswith(TRANSPOSED))]


def decoder_size(segmenter: Segmenter, trained: Trained) -> int:
    """How many numbers of the decoder are trained."""
    named = dict(segmenter.whole.decoder.named_parameters())
    return sum(named[name].numel() for name in decoder_names(segmenter, trained))


class WithDecoder(Adapter):
    """An adapter of the towers (`inner`) with the decoder behind it.

    Args:
        decoder_rate: the decoder's own learning rate; None is the recipe's.
    """

    backbone: Segmenter
    towers: SegmenterTowers

    def __init__(self, segmenter: Segmenter, inner: Adapter, trained: Trained, decoder_rate: float | None = None):
        # Not Adapter.__init__: the tree and the forward are the inner adapter's.
        self.backbone, self.method, self.trained = segmenter, inner.method, trained
        self.inner, self.model = inner, inner.model
        self.towers = inner.towers  # type: ignore[assignment]
        self.decoder = segmenter.decoder()
        self.marker = Marker(self.towers, self.decoder)
        self.decoder_rate = decoder_rate
        self.owned: dict[str, nn.Parameter] = {}
        for name in decoder_names(segmenter, trained):
            path, _, kind = name.rpartition(".")
            module = self.decoder.get_submodule(path)
            parameter = nn.Parameter(getattr(module, kind).detach().clone())
            setattr(module, kind, parameter)
            self.owned[PREFIX + name] = parameter

    def trainable(self) -> dict[str, nn.Parameter]:
        return {**self.inner.trainable(), **self.owned}

    def state(self) -> dict[str, Tensor]:
        return {**self.inner.state(), **self._own()}

    def tensors(self) -> dict[str, Tensor]:
        return {**self.inner.tensors(), **self._own()}

    def _own(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.owned.items()}

    def facts(self) -> dict[str, Any]:
        return self.inner.facts()

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        mine, rest = divided(tensors)
        self.inner.restore(rest, facts)
        fill(self._own(), mine)

    def begin(self, phase: Phase) -> None:
        self.inner.begin(phase)

    def finish(self, phase: Phase, optimizer: torch.optim.Optimizer | None, seed: int) -> None:
        self.inner.finish(phase, optimizer, seed)
        if self.inner.starts_over(phase):
            original = dict(self.backbone.whole.decoder.named_parameters())
            fill(self._own(), {name: original[name.removeprefix(PREFIX)] for name in self.owned})

    def decays(self, name: str) -> bool:
        return name in self.owned or self.inner.decays(name)

    def rate(self, name: str) -> float | None:
        return self.decoder_rate if name in self.owned else self.inner.rate(name)

    def inert(self) -> list[str]:
        dead = [name for name in self.inner.trainable() if not self.backbone.reads(name)]
        return list(dict.fromkeys([*self.inner.inert(), *dead]))

    def adapted_sites(self) -> list[str]:
        return self.inner.adapted_sites()

    def adapted_towers(self) -> set[str]:
        return {"vision" if name.startswith("vi") else "text" for name in self.inner.trainable()}

    def train(self, mode: bool = True) -> "WithDecoder":
        self.inner.train(mode)
        self.decoder.train(mode)
        return self

    def logits(self, image: Tensor, text: Tensor) -> Tensor:
        raise AssertionError("a segmenter's adapter has no class scores")

    @torch.no_grad()
    def merged_whole(self) -> CLIPSegForImageSegmentation:
        """An ordinary CLIPSegForImageSegmentation in float32 with all that was trained in its weights.

        Raises:
            UserError: the method cannot be merged.
        """
        if not self.method.mergeable:
            raise UserError(f"{self.method.name} cannot be merged into a CLIPSeg's weights", "use `cliptune predict`")
        whole = towers.own_copy(self.backbone.whole)
        target = dict(whole.named_parameters())
        for name, parameter in self.inner.merged().named_parameters():
            target[f"clip.{name}"].copy_(parameter)
        for name, parameter in self.owned.items():
            target[name].copy_(parameter)
        return whole


def divided(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The decoder's tensors and the method's, of an adapter file."""
    mine = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    return mine, {name: tensor for name, tensor in tensors.items() if name not in mine}


def attach(segmenter: Segmenter, method: Method, trained: Trained, decoder_rate: float | None = None) -> WithDecoder:
    """`method` attached to a segmenter with the decoder behind it, ready to train.

    Raises:
        UserError: a setting does not fit this segmenter.
    """
    return WithDecoder(segmenter, method.attach(segmenter), trained, decoder_rate)


def reopen(
    segmenter: Segmenter, method: Method, trained: Trained, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> WithDecoder:
    """The same with the numbers of an adapter file, ready to predict."""
    mine, rest = divided(tensors)
    adapter = WithDecoder(segmenter, method.reopen(segmenter, rest, facts), trained)
    fill(adapter._own(), mine)
    adapter.eval()
    return adapter
