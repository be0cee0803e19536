"""An episode: the exact images and class names of one experiment, with a hash, so that methods compare in pairs."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cliptune.datasets.base import ImageSet, Item
from cliptune.errors import UserError
from cliptune.files import write_text

Sampler = Literal["dassl", "cliplora"]

_MOST_VAL_SHOTS = 4


@dataclass(frozen=True)
class Episode:
    """What a run trains, selects and is measured on."""

    imageset: ImageSet
    classes: tuple[str, ...]
    """class names by label; may be fewer than the image set's"""
    template: str
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    tests: Mapping[str, tuple[Item, ...]]
    """by name, as 'test' or 'base' and 'novel'"""
    protocol: str
    shots: int
    seed: int

    @cached_property
    def sha256(self) -> str:
        """Over the class names and every split's paths and labels, in order; the template does not count."""
        text = json.dumps({"classes": self.classes, **self._splits()}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the episode as JSON: relative paths and labels of every split, class names, hash."""
        values = {
            "data": self.imageset.name,
            "protocol": self.protocol,
            "shots": self.shots,
            "seed": self.seed,
            "template": self.template,
            "sha256": self.sha256,
            "classes": self.classes,
            **self._splits(),
        }
        write_text(path, json.dumps(values, indent=1) + "\n")

    def _splits(self) -> dict[str, Any]:
        return {
            "train": _rows(self.train),
            "val": _rows(self.val),
            "tests": {name: _rows(items) for name, items in self.tests.items()},
        }


def _rows(items: Sequence[Item]) -> list[tuple[str, int]]:
    return [(item.path, item.label) for item in items]


def draw_few_shot(
    train: Sequence[Item],
    val: Sequence[Item],
    shots: int,
    seed: int,
    sampler: Sampler = "dassl",
    repeat: bool = False,
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """`shots` training and min(shots, 4) validation images per class, the ones the field's code draws with `seed`.

    Args:
        sampler: which list is drawn first from the one stream of random numbers: dassl (CoOp and its kin) the train
            list, cliplora (and Tip-Adapter) the val list. The same seed therefore gives different images.
        repeat: a class with fewer images than shots is drawn with replacement, as CLIP-LoRA and Tip-Adapter do;
            otherwise it gives each image once.

    Returns:
        (train, val); classes in order of first appearance in each list, images in the order drawn.

    Raises:
        UserError: shots below 1, or an unknown sampler.
    """
    if shots < 1:
        raise UserError(f"shots = {shots}", "a whole number from 1; the papers use 1, 2, 4, 8, 16")
    stream = random.Random(seed)
    val_shots = min(shots, _MOST_VAL_SHOTS)
    if sampler == "dassl":
        drawn = _per_class(train, shots, stream, repeat)
        return drawn, _per_class(val, val_shots, stream, repeat)
    if sampler == "cliplora":
        drawn_val = _per_class(val, val_shots, stream, repeat)
        return _per_class(train, shots, stream, repeat), drawn_val
    raise UserError(f"sampler = '{sampler}'", "one of: dassl, cliplora")


def _per_class(items: Sequence[Item], count: int, stream: random.Random, repeat: bool) -> tuple[Item, ...]:
    by_label: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.label].append(item)
    drawn: list[Item] = []
    for group in by_label.values():
        if len(group) >= count:
            drawn += stream.sample(group, count)
        else:
            drawn += stream.choices(group, k=count) if repeat else group
    return tuple(drawn)
