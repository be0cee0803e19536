"""Forward and backward of one training step: what is frozen is computed once, the rest in parts if memory is short.

Images go through in parts of `train.chunk`, class prompts in parts of `train.text_chunk`; both give the gradient of the
undivided step (dropout's masks apart) with the memory of a part. Of several processes each goes through its slice of
the images and through all prompts, and their gradients are added up at the end (`training.distributed`):

    T = text features, without a graph if in parts → a leaf
    for each part of the images: features, logits, loss; backward to the image tower and to the leaf
    for each part of the prompts: features once more, now with a graph; the leaf's gradient is carried back
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptune.datasets.pixels import Pixels
from cliptune.methods.base import Adapter
from cliptune.models.products import still
from cliptune.recipe import Recipe
from cliptune.training.compute import Compute, seeded
from cliptune.training.distributed import Sum
from cliptune.training.losses import SelfConsistency
from cliptune.training.memory import image_tokens

KEPT_BYTES = 2 << 30
"""most that is kept of frozen parts' outputs"""
KEPT_BATCH = 32
"""images computed together when outputs are kept: always the same, so that a resumed run has the same bits"""

Forward = Callable[[Tensor], Tensor]


class TextSide:
    """Text features of the class prompts, and the way back through the text tower."""

    def __init__(self, adapter: Adapter, tokens: Tensor, chunk: int):
        self.adapter = adapter
        self.chunk = chunk if 0 < chunk < len(tokens) else 0
        self.tuned = "text" in adapter.adapted_towers()
        self.blocks = frozen_blocks(adapter, "text") if self.tuned else 0
        self.parts: list[tuple[Tensor, Tensor | None]] = []
        """token ids and, where the lower blocks are frozen, their output"""
        for part in tokens.split(self.chunk or len(tokens)):
            with torch.no_grad():
                self.parts.append((part, adapter.towers.text_stem(part, self.blocks) if self.blocks else None))
        self.frozen = self._frozen() if not self.tuned and adapter.towers.how.cache else None
        self.graph: Tensor | None = None
        self.seeds: list[int] = []

    def forward(self) -> Tensor:
        """Text features [c d]; a leaf if they are tuned. In one part its graph is kept for `backward`."""
        if not self.tuned:
            return self._frozen() if self.frozen is None else self.frozen
        if not self.chunk:
            self.graph = self._features(0)
            return self.graph.detach().requires_grad_()
        # Each part draws its dropout masks from a seed of its own, so that the second pass can repeat them.
        self.seeds = torch.randint(2**62, (len(self.parts),)).tolist()
        with torch.no_grad():
            return torch.cat([self._repeatably(place) for place in range(len(self.parts))]).requires_grad_()

    def backward(self, leaf: Tensor) -> None:
        """Carry the leaf's gradient back to the text tower's numbers."""
        if leaf.grad is None:
            return
        if self.graph is not None:
            self.graph.backward(leaf.grad)
            self.graph = None
            return
        for place, grad in enumerate(leaf.grad.split(self.chunk)):
            self._repeatably(place).backward(grad)

    @torch.no_grad()
    def _frozen(self) -> Tensor:
        return torch.cat([self._features(place) for place in range(len(self.parts))])

    def _repeatably(self, place: int) -> Tensor:
        with seeded(self.seeds[place]):
            return self._features(place)

    def _features(self, place: int) -> Tensor:
        tokens, hidden = self.parts[place]
        if hidden is None:
            return self.adapter.text_features(tokens)
        return F.normalize(self.adapter.towers.text_rest(hidden, tokens, self.blocks), dim=-1)


class ImageSide:
    """Image features of training images, from pixels or from what is kept of the frozen part of a tower."""

    def __init__(self, adapter: Adapter, pixels: Pixels, compute: Compute, consistency: SelfConsistency | None):
        self.adapter, self.pixels, self.compute, self.consistency = adapter, pixels, compute, consistency
        self.tuned = "vision" in adapter.adapted_towers()
        self.blocks = frozen_blocks(adapter, "vision") if self.tuned else 0
        self.kept: Tensor | None = None
        """[n d] features of a frozen tower, or [n l w] hidden states after the frozen blocks"""
        self.teacher: Tensor | None = None

    def keep(self, steps: int, batch: int, room: int = KEPT_BYTES) -> None:
        """Compute what is frozen once, if no augmentation touches it, the run sees it again, and it fits in `room`."""
        adapter = self.adapter
        if not adapter.towers.how.cache or not adapter.towers.ours:
            return
        if self.pixels.augment.kind != "none" or steps * batch < 2 * len(self.pixels):
            return
        if not self.tuned:
            self.kept = self._all(adapter.image_features)
        elif self.blocks and self._hidden_bytes() <= room:
            self.kept = self._all(lambda pixels: adapter.towers.image_stem(pixels, self.blocks))
        if self.consistency is not None and self.consistency.looks_at_images:
            self.teacher = self._all(self.consistency.teacher.image_features)

    def batch(self, indices: Sequence[int], generator: torch.Generator, mine: slice) -> Tensor | None:
        """Pixels of `mine` of a batch, not normalised; None if all that is needed of them is kept."""
        watched = self.consistency is not None and self.consistency.looks_at_images
        if self.kept is not None and (not watched or self.teacher is not None):
            return None
        return self.pixels.varied(indices, generator, mine).to(self.compute.device)

    def features(self, indices: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Unit-length features [b d] of the student and, if it is asked, of the teacher."""
        seen = None if pixels is None else self.adapter.backbone.preprocess.normalise(pixels)
        with self.compute.autocast(), torch.set_grad_enabled(self.tuned):
            if self.kept is None:
                assert seen is not None
                image = self.adapter.image_features(seen)
            elif not self.tuned:
                image = self.kept[indices]
            else:
                image = F.normalize(self.adapter.towers.image_rest(self.kept[indices], self.blocks), dim=-1)
        if self.consistency is None or not self.consistency.looks_at_images:
            return image, None
        if self.teacher is not None:
            return image, self.teacher[indices]
        assert seen is not None
        with self.compute.autocast():
            return image, self.consistency.teacher.image_features(seen)

    @torch.no_grad()
    def _all(self, forward: Forward) -> Tensor:
        rows = []
        for images, _ in self.pixels.batches(KEPT_BATCH):
            with self.compute.autocast():
                rows.append(forward(self.adapter.backbone.preprocess.normalise(images.to(self.compute.device))))
        return torch.cat(rows)

    def _hidden_bytes(self) -> int:
        model = self.adapter.model
        return 4 * len(self.pixels) * image_tokens(model) * model.config.vision_config.hidden_size


class Student:
    """Forward and backward of the steps of one phase."""

    def __init__(
        self,
        adapter: Adapter,
        recipe: Recipe,
        train: Pixels,
        tokens: Tensor,
        compute: Compute,
        consistency: SelfConsistency | None = None,
    ):
        self.adapter, self.compute, self.consistency = adapter, compute, consistency
        self.recipe = recipe
        self.labels = train.labels.to(compute.device)
        self.text = TextSide(adapter, tokens, recipe.train.text_chunk)
        self.images = ImageSide(adapter, train, compute, consistency)
        self.sum = Sum(compute.group, adapter.trainable().values())

    def prepare(self, steps: int) -> None:
        """Compute what can be kept for `steps` steps. Where memory is short, hidden states are not kept."""
        train = self.recipe.train
        self.images.keep(steps, train.batch, 0 if train.chunk or train.text_chunk else KEPT_BYTES)

    @still()
    def backward(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, float]:
        """Accumulate the gradients of one batch; the weighted loss terms by name, their sum is the loss.

        Of several processes all are given the whole batch, and all end with its gradients and its loss.
        """
        mine = self.compute.group.part(len(indices))
        pixels = self.images.batch(indices, generator, mine)
        chosen = torch.as_tensor(indices[mine], dtype=torch.long, device=self.compute.device)
        leaf = self.text.forward()
        values: dict[str, float] = {}
        size = self.recipe.train.chunk or max(1, len(chosen))
        for start in range(0, len(chosen), size):
            places = slice(start, start + size)
            part = None if pixels is None else pixels[places]
            terms = self._image_terms(chosen[places], part, leaf)
            self._back(terms, len(chosen[places]) / len(indices), values)
        if self.consistency is not None and self.compute.group.main:
            self._back(self.consistency.of_text(leaf), 1.0, values)
        self.text.backward(leaf)
        return self.sum(values)

    def _image_terms(self, indices: Tensor, pixels: Tensor | None, text: Tensor) -> dict[str, Tensor]:
        image, teacher = self.images.features(indices, pixels)
        logits = self.adapter.logits(image, text)
        terms = {"ce": F.cross_entropy(logits, self.labels[indices])}
        if self.consistency is not None and teacher is not None:
            terms |= self.consistency.of_images(image, teacher, logits)
        return terms

    def _back(self, terms: dict[str, Tensor], share: float, values: dict[str, float]) -> None:
        for name, term in terms.items():
            values[name] = values.get(name, 0.0) + share * float(term.detach())
        live = [term for term in terms.values() if term.requires_grad]
        if live:
            self.compute.accelerator.backward(share * torch.stack(live).sum())


def frozen_blocks(adapter: Adapter, tower: str) -> int:
    """How many of a tower's first blocks no trainable number touches, short of its last block."""
    towers = adapter.towers
    depth = len(towers.model.get_submodule(f"{tower}_model.encoder.layers"))
    if not towers.how.cache or not towers.ours:
        return 0
    first = depth - 1
    for name in adapter.trainable():
        owner, _, rest = name.partition(".")
        if owner == tower:
            first = min(first, int(rest.partition(".")[0]))
        elif owner == f"{tower}_model" and rest.startswith(("embeddings", "pre_layrnorm")):
            return 0
    return first
