"""What a segmentation run trains on, and the forward and backward of one of its steps.

Images go through in parts of `train.chunk`; every prompt of a batch goes through the text tower once, however many
images it is asked of. What is frozen is computed once: text features of a frozen text tower, and, where no augmentation
touches the images, the hidden states of a frozen image tower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cliptune.datasets.mask_pixels import Batch, MaskPixels
from cliptune.methods.base import Phase
from cliptune.methods.with_decoder import WithDecoder
from cliptune.models.products import still
from cliptune.models.segmenter import Marker, Segmenter
from cliptune.recipe import Recipe, SegmentSettings
from cliptune.tasks.segment import Segment, bce_losses, dice_losses, dice_of, enlarged, losses, marked
from cliptune.training.compute import Compute
from cliptune.training.distributed import Sum
from cliptune.training.student import KEPT_BATCH, KEPT_BYTES

VALIDATED = 16
"""images validated together: always the same, so that a resumed run decides alike"""


@dataclass(frozen=True)
class SegmentLesson:
    """Training and validation images with masks; never a test image."""

    recipe: Recipe
    train: MaskPixels
    val: MaskPixels
    score: ClassVar[str] = "dice"

    @property
    def settings(self) -> SegmentSettings:
        assert self.recipe.segment is not None
        return self.recipe.segment

    def student(self, adapter: WithDecoder, compute: Compute, phase: Phase) -> "SegmentStudent":
        return SegmentStudent(adapter, self.recipe, self.settings, self.train, compute)

    def validate(self, adapter: WithDecoder, compute: Compute, part: slice) -> tuple[float, float]:
        """Sums of Dice and of the loss over a part of the validation images, at the size the model is given.

        Not at each image's own size, as tests are: masks of large photographs would be decoded again every time.
        """
        segment = segmenting(adapter.marker, adapter.backbone, compute)
        dice = loss = 0.0
        with torch.no_grad(), still():
            for batch in self.val.some(part).batches(VALIDATED):
                side = (batch.masks.shape[1], batch.masks.shape[2])
                logits = enlarged(segment(batch).cpu(), side)
                each = dice_losses(logits, batch.masks) + self.settings.bce * bce_losses(logits, batch.masks)
                loss += float(each.sum())
                found = marked(logits, side, self.settings.threshold)
                dice += sum(dice_of(one, truth) for one, truth in zip(found, batch.masks.numpy(), strict=True))
        return dice, loss


def segmenting(marker: Marker, backbone: Segmenter, compute: Compute) -> Segment:
    """What answers batches of images with prompts: logits [b h w] at the decoder's size. Prompts are encoded once."""
    known: dict[str, Tensor] = {}

    @torch.no_grad()
    def segment(batch: Batch) -> Tensor:
        if new := [text for text in dict.fromkeys(batch.prompts) if text not in known]:
            known.update(zip(new, marker.conditions(backbone.tokens(new))))
        conditions = torch.stack([known[text] for text in batch.prompts])
        normalised = backbone.preprocess.normalise(batch.pixels.to(compute.device))
        with compute.autocast():
            activations = marker.activations(normalised)
        return marker.mask_logits(activations, conditions)

    return segment


class SegmentStudent:
    """Forward and backward of the steps of one phase."""

    def __init__(
        self, adapter: WithDecoder, recipe: Recipe, settings: SegmentSettings, train: MaskPixels, compute: Compute
    ):
        self.adapter, self.recipe, self.settings = adapter, recipe, settings
        self.train, self.compute, self.marker = train, compute, adapter.marker
        tuned = adapter.adapted_towers()
        self.sees, self.reads = "vision" in tuned, "text" in tuned
        self.sum = Sum(compute.group, adapter.trainable().values())
        self.kept: list[Tensor] | None = None
        """hidden states [n l d] of all training images, one tensor for each block read"""
        self.known: dict[str, Tensor] = {}
        """text features of a frozen text tower"""
        self.tokens: dict[tuple[str, ...], Tensor] = {}

    def prepare(self, steps: int) -> None:
        """Keep hidden states for `steps` steps, if nothing changes them, they are seen again, and they fit."""
        recipe, again = self.recipe.train, steps * self.recipe.train.batch >= 2 * len(self.train)
        if self.sees or not self.recipe.shortcuts.cache or self.train.augment.kind != "none" or recipe.chunk:
            return
        if not again or not len(self.train):
            return
        first = self._activations(self.train.plain([0]).pixels)
        if sum(each.nbytes for each in first) * len(self.train) > KEPT_BYTES:
            return
        parts = [self._activations(batch.pixels) for batch in self.train.batches(KEPT_BATCH)]
        self.kept = [torch.cat(layers) for layers in zip(*parts)]

    @still()
    def backward(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, float]:
        """Accumulate the gradients of one batch; the weighted loss terms by name, their sum is the loss.

        Of several processes all are given the whole batch, and all end with its gradients and its loss.
        """
        mine = self.compute.group.part(len(indices))
        batch = self.train.varied(indices, generator, mine)
        masks = batch.masks.to(self.compute.device)
        graph, leaf, rows = self._conditions(batch.prompts)
        values: dict[str, float] = {}
        chosen = list(indices[mine])
        size = self.recipe.train.chunk or max(1, len(chosen))
        for start in range(0, len(chosen), size):
            places = slice(start, start + size)
            activations = self._hidden(chosen[places], batch.pixels[places])
            logits = self.marker.mask_logits(activations, leaf[rows[places]])
            terms = losses(logits, masks[places], self.settings.bce)
            share = len(chosen[places]) / len(indices)
            for name, term in terms.items():
                values[name] = values.get(name, 0.0) + share * float(term.detach())
            total = torch.stack(list(terms.values())).sum()
            if total.requires_grad:
                self.compute.accelerator.backward(share * total)
        if graph is not None and leaf.grad is not None:
            graph.backward(leaf.grad)
        return self.sum(values)

    def _hidden(self, indices: Sequence[int], pixels: Tensor) -> list[Tensor]:
        if self.kept is not None:
            where = torch.as_tensor(indices, device=self.compute.device)
            return [each[where] for each in self.kept]
        return self._activations(pixels)

    def _activations(self, pixels: Tensor) -> list[Tensor]:
        normalised = self.adapter.backbone.preprocess.normalise(pixels.to(self.compute.device))
        with self.compute.autocast(), torch.set_grad_enabled(self.sees):
            return self.marker.activations(normalised)

    def _conditions(self, prompts: list[str]) -> tuple[Tensor | None, Tensor, Tensor]:
        """(text features with their graph where they are tuned, the same as a leaf [u d], row of each prompt [b])."""
        unique = tuple(dict.fromkeys(prompts))
        place = {text: row for row, text in enumerate(unique)}
        rows = torch.tensor([place[text] for text in prompts], device=self.compute.device, dtype=torch.long)
        if not unique:  # this process has no image of the batch
            return None, torch.zeros(0, device=self.compute.device), rows
        if self.reads:
            graph = self.marker.conditions(self._tokens(unique))
            return graph, graph.detach().requires_grad_(), rows
        if new := [text for text in unique if text not in self.known]:
            with torch.no_grad():
                self.known.update(zip(new, self.marker.conditions(self.adapter.backbone.tokens(new))))
        return None, torch.stack([self.known[text] for text in unique]), rows

    def _tokens(self, prompts: tuple[str, ...]) -> Tensor:
        """Token ids; of the same prompts the same tensor, for which the towers keep a plan."""
        if prompts not in self.tokens:
            if len(self.tokens) > 64:
                self.tokens.clear()
            self.tokens[prompts] = self.adapter.backbone.tokens(list(prompts))
        return self.tokens[prompts]
