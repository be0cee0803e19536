"""An episode: the exact images and class names of one experiment, with a hash, so that methods compare in pairs."""

import hashlib
import json
import os
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.contents import Contents, Located, located
from cliptune.errors import UserError
from cliptune.files import write_text

Sampler = Literal["dassl", "cliplora"]

_MOST_VAL_SHOTS = 4
OWN_PARTS = ("train", "val")
"""what an episode learns and selects by"""


@dataclass(frozen=True)
class Test:
    """Images that an adapted model is measured on, and the class names it chooses among."""

    __test__: ClassVar[bool] = False  # no test of pytest's

    imageset: ImageSet
    """reads the images"""
    items: tuple[Item, ...]
    """labelled by index into `classes`; −1 where none of them is right (open set)"""
    classes: tuple[str, ...]
    template: str
    known: bool = True
    """whether its images show one of `classes`"""


@dataclass(frozen=True)
class Episode:
    """What a run trains, selects and is measured on."""

    imageset: ImageSet
    classes: tuple[str, ...]
    """class names by label; may be fewer than the image set's"""
    template: str
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    tests: Mapping[str, Test]
    """by name, as 'test' or 'base' and 'novel'; the first is what a report speaks of first"""
    protocol: str
    shots: int | None
    """training images per class; None is all there are"""
    seed: int
    target: str = ""
    """the held-out domain, under domain generalization"""

    @property
    def notes(self) -> tuple[str, ...]:
        """What somebody should know about the copies: of the image set, and of others that are tested."""
        others = {test.imageset.name: test.imageset.notes for test in self.tests.values()}
        others.pop(self.imageset.name, None)
        return self.imageset.notes + tuple(f"{name}: {note}" for name, notes in others.items() for note in notes)

    @cached_property
    def sha256(self) -> str:
        """Over the class names and every split's paths and labels, in order; the template does not count.

        Class names of a test count where they are not the episode's.
        """
        others = {name: test.classes for name, test in self.tests.items() if test.classes != self.classes}
        values = {"classes": self.classes, **self._splits()} | ({"test_classes": others} if others else {})
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def files(self) -> Located:
        """Where its images are, as far as they are files: train, val, and each test by its name."""
        tests = {
            name: located(test.imageset.root, (item.path for item in test.items)) for name, test in self.tests.items()
        }
        own = {part: located(self.imageset.root, (item.path for item in getattr(self, part))) for part in OWN_PARTS}
        return own | tests

    @cached_property
    def contents(self) -> Contents:
        """Its files by what is in them; every one is hashed."""
        return Contents.of(self.files())

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
            "tested": {
                name: {"data": test.imageset.name, "template": test.template, "classes": test.classes}
                for name, test in self.tests.items()
            },
        }
        if self.target:
            values["target"] = self.target
        write_text(path, json.dumps(values, indent=1) + "\n")

    def _splits(self) -> dict[str, Any]:
        return {
            "train": _rows(self.train),
            "val": _rows(self.val),
            "tests": {name: _rows(test.items) for name, test in self.tests.items()},
        }


def readable(episode: Episode) -> Episode:
    """The episode without images that cannot be read; every image is read once to know. A note says which.

    The shots are drawn before, so that all who have the same lists train on the same images but for the lost ones.

    Raises:
        UserError: a split, or a class in training, loses all its images.
    """
    lost: list[str] = []

    def kept(imageset: ImageSet, items: tuple[Item, ...], what: str) -> tuple[Item, ...]:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            problems = list(pool.map(partial(_problem, imageset), items))
        lost.extend(problem for problem in problems if problem)
        good = tuple(item for item, problem in zip(items, problems, strict=True) if not problem)
        if items and not good:
            raise UserError(f"no {what} image of '{imageset.name}' can be read, first: {lost[0]}", "get the data again")
        return good

    train, val = (kept(episode.imageset, getattr(episode, part), part) for part in ("train", "val"))
    if gone := {item.label for item in episode.train} - {item.label for item in train}:
        name = episode.classes[min(gone)]
        raise UserError(f"no training image of '{name}' can be read", "repair some, or draw more with --shots")
    tests = {name: replace(test, items=kept(test.imageset, test.items, name)) for name, test in episode.tests.items()}
    if not lost:
        return episode
    many = f"{len(lost):,} images cannot be read and are" if len(lost) > 1 else "1 image cannot be read and is"
    note = f"{many} left out, first: {lost[0]}"
    noted = replace(episode.imageset, notes=(*episode.imageset.notes, note))
    return replace(episode, imageset=noted, train=train, val=val, tests=tests)


def _problem(imageset: ImageSet, item: Item) -> str:
    try:
        imageset.read(item)
    except UserError as problem:
        return problem.what
    return ""


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
            list, cliplora the val list. The same seed therefore gives different images. Tip-Adapter draws the train
            list alone, so its training images are dassl's.
        repeat: a class with fewer images than shots is drawn with replacement, as CLIP-LoRA and Tip-Adapter do;
            otherwise it gives each image once.

    Returns:
        (train, val); classes in order of first appearance in each list, images in the order drawn.

    Raises:
        UserError: shots below 1, or an unknown sampler.
    """
    _check_shots(shots)
    stream = random.Random(seed)
    val_shots = min(shots, _MOST_VAL_SHOTS)
    if sampler == "dassl":
        drawn = _per_class(train, shots, stream, repeat)
        return drawn, _per_class(val, val_shots, stream, repeat)
    if sampler == "cliplora":
        drawn_val = _per_class(val, val_shots, stream, repeat)
        return _per_class(train, shots, stream, repeat), drawn_val
    raise UserError(f"sampler = '{sampler}'", "one of: dassl, cliplora")


def draw_from_train(
    train: Sequence[Item], shots: int, seed: int, repeat: bool = False
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Both parts from the train list, where the official validation images are the test: CLIP-LoRA's ImageNet.

    Per class shots + min(shots, 4) images; the first `shots` of them train, the rest validate.

    Raises:
        UserError: shots below 1.
    """
    _check_shots(shots)
    val_shots = min(shots, _MOST_VAL_SHOTS)
    stream = random.Random(seed)
    drawn: tuple[list[Item], list[Item]] = [], []
    for group in _by_label(train).values():
        both = _some(group, shots + val_shots, stream, repeat)
        drawn[0].extend(both[:shots])
        drawn[1].extend(both[shots:])
    return tuple(drawn[0]), tuple(drawn[1])


def _check_shots(shots: int) -> None:
    if shots < 1:
        raise UserError(f"shots = {shots}", "a whole number from 1; the papers use 1, 2, 4, 8, 16")


def _per_class(items: Sequence[Item], count: int, stream: random.Random, repeat: bool) -> tuple[Item, ...]:
    return tuple(item for group in _by_label(items).values() for item in _some(group, count, stream, repeat))


def _by_label(items: Sequence[Item]) -> dict[int, list[Item]]:
    """Items of each label; labels in order of first appearance."""
    by_label: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.label].append(item)
    return by_label


def _some(group: list[Item], count: int, stream: random.Random, repeat: bool) -> list[Item]:
    if len(group) >= count:
        return stream.sample(group, count)
    return stream.choices(group, k=count) if repeat else group
