"""The exact images of one segmentation experiment, with a hash, so that methods compare in pairs."""

import hashlib
import json
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cliptune.datasets.segmentation import PARTS, RANDOM, MaskItem, MaskSet
from cliptune.errors import UserError
from cliptune.files import write_text
from cliptune.registry import find


@dataclass(frozen=True)
class MaskEpisode:
    """What a run trains, selects and is measured on."""

    maskset: MaskSet
    train: tuple[MaskItem, ...]
    val: tuple[MaskItem, ...]
    test: tuple[MaskItem, ...]
    prompt: str
    """kind of prompt, 'p1' or 'random'"""
    protocol: Literal["few-shot", "full-data"]
    shots: int | None
    """training images in all; None is all there are"""
    seed: int

    @property
    def notes(self) -> tuple[str, ...]:
        return self.maskset.notes

    @cached_property
    def sha256(self) -> str:
        """Over every part's images, masks and prompts of the kind asked for, in order."""
        values = {part: [self._row(item) for item in getattr(self, part)] for part in PARTS}
        text = json.dumps({"prompt": self.prompt, **values}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the episode as JSON: relative paths, prompts and groups of every part, hash."""
        values: dict[str, Any] = {
            "data": self.maskset.name,
            "protocol": self.protocol,
            "shots": self.shots,
            "seed": self.seed,
            "prompt": self.prompt,
            "sha256": self.sha256,
            **{part: [self._row(item) for item in getattr(self, part)] for part in PARTS},
        }
        write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")

    def _row(self, item: MaskItem) -> list[Any]:
        kinds = [(kind, texts) for kind, texts in item.prompts if self.prompt in (kind, RANDOM)]
        return [item.image, list(item.masks), [[kind, list(texts)] for kind, texts in kinds], item.group]


def items_of(rows: list[Any]) -> tuple[MaskItem, ...]:
    """The items that `MaskEpisode.save` wrote."""
    return tuple(
        MaskItem(image, tuple(masks), tuple((kind, tuple(texts)) for kind, texts in prompts), group)
        for image, masks, prompts, group in rows
    )


def mask_episode(maskset: MaskSet, prompt: str, shots: int | None, seed: int) -> MaskEpisode:
    """All training images, or `shots` of them drawn with `seed`; validation and test images are all there are.

    Args:
        prompt: kind of prompt; 'auto' is p1, or the only one there is.

    Raises:
        UserError: no training or test images, no such kind of prompt, fewer images than asked for.
    """
    for part in ("train", "test"):
        if not getattr(maskset, part):
            raise UserError(f"'{maskset.name}' has no {part} images", "give data with images to train and to test on")
    if shots is not None and shots > len(maskset.train):
        raise UserError(
            f"shots = {shots}, and '{maskset.name}' has {len(maskset.train)} training images",
            "ask for fewer: in segmentation shots are images in all",
        )
    train = maskset.train if shots is None else tuple(random.Random(seed).sample(maskset.train, shots))
    kind = kind_of(maskset, prompt)
    protocol: Literal["few-shot", "full-data"] = "full-data" if shots is None else "few-shot"
    return MaskEpisode(maskset, train, maskset.val, maskset.test, kind, protocol, shots, seed)


def kind_of(maskset: MaskSet, prompt: str) -> str:
    """The kind of prompt that is meant.

    Raises:
        UserError: the set has no such kind.
    """
    kinds = maskset.prompt_types
    if prompt == "auto":
        return "p1" if "p1" in kinds else kinds[0]
    if prompt == RANDOM and len(kinds) > 1:
        return RANDOM
    return find(prompt, [*kinds, *([RANDOM] if len(kinds) > 1 else [])], f"kind of prompt of '{maskset.name}'")
