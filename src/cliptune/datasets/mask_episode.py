"""The exact images of one segmentation experiment, with a hash, so that methods compare in pairs."""

import hashlib
import json
import random
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from cliptune.datasets.contents import Contents, Located, located
from cliptune.datasets.mask_pixels import read_pair
from cliptune.datasets.segmentation import PARTS, RANDOM, MaskItem, MaskSet
from cliptune.datasets.threads import in_threads
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

    def files(self) -> Located:
        """Where its images are, by part, and under `masks` those of all parts; as far as they are files."""
        items = {part: getattr(self, part) for part in PARTS}
        root = self.maskset.root
        images = {part: located(root, (item.image for item in rows)) for part, rows in items.items()}
        return images | {"masks": located(root, (mask for rows in items.values() for it in rows for mask in it.masks))}

    @cached_property
    def contents(self) -> Contents:
        """Its files by what is in them; every one is hashed."""
        return Contents.of(self.files())

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
        UserError: no training or test images, no such kind of prompt, fewer images than asked for, or nothing is marked
            in the images that were drawn.
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
    if shots is not None and not any(_may_mark(maskset, item) for item in train):
        raise UserError(
            f"nothing is marked in the {shots} training images of '{maskset.name}' that seed {seed} draws",
            "ask for more shots, or draw others: --seed",
        )
    kind = kind_of(maskset, prompt)
    protocol: Literal["few-shot", "full-data"] = "full-data" if shots is None else "few-shot"
    return MaskEpisode(maskset, train, maskset.val, maskset.test, kind, protocol, shots, seed)


def _may_mark(maskset: MaskSet, item: MaskItem) -> bool:
    """Whether an item's mask marks something; one that cannot be read is named when it is trained on."""
    try:
        return bool(maskset.read_mask(item).any())
    except UserError:
        return True


def readable(episode: MaskEpisode) -> MaskEpisode:
    """The episode without pairs that cannot be read or differ in size; every pair is read once to know. A note says so.

    Raises:
        UserError: a part loses all its pairs.
    """
    lost: list[str] = []
    kept: dict[str, tuple[MaskItem, ...]] = {}
    for part in PARTS:
        items = getattr(episode, part)
        problems = in_threads(partial(_problem, episode.maskset), items)
        lost += [problem for problem in problems if problem]
        kept[part] = tuple(item for item, problem in zip(items, problems, strict=True) if not problem)
        if items and not kept[part]:
            raise UserError(f"no {part} pair of '{episode.maskset.name}' can be read, first: {lost[0]}", "repair some")
    if not lost:
        return episode
    many = f"{len(lost):,} pairs cannot be used and are" if len(lost) > 1 else "1 pair cannot be used and is"
    note = f"{many} left out, first: {lost[0]}"
    noted = replace(episode.maskset, notes=(*episode.maskset.notes, note))
    return replace(episode, maskset=noted, train=kept["train"], val=kept["val"], test=kept["test"])


def _problem(maskset: MaskSet, item: MaskItem) -> str:
    try:
        read_pair(maskset, item)
    except UserError as problem:
        return problem.what
    return ""


def kind_of(maskset: MaskSet, prompt: str) -> str:
    """The kind of prompt that is meant.

    Raises:
        UserError: the set has no such kind.
    """
    kinds = maskset.prompt_types
    if prompt == "auto":
        return "p1" if "p1" in kinds else kinds[0]
    known = [*kinds, *([RANDOM] if len(kinds) > 2 else [])]  # the first is the empty one
    if prompt not in known and maskset.source and kinds == ("p0",):
        raise UserError(f"'{maskset.name}' has no prompt {prompt}", '--prompt "skin lesion" says what its masks mark')
    return find(prompt, known, f"kind of prompt of '{maskset.name}'")
