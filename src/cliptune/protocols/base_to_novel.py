"""Base to novel: train on one half of the classes, measure on both. Zhou et al. (CoCoOp), CVPR 2022.

base = the first ⌈n/2⌉ labels, novel = the rest; each half is numbered from 0 and classified among its own class names.
The shots are drawn from all classes before halving, so the base images are those of the few-shot run with this seed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from cliptune.datasets.base import Item
from cliptune.datasets.episodes import Episode, Test
from cliptune.errors import UserError

Half = Literal["base", "novel"]


def base_to_novel(few: Episode, half: Half = "base") -> Episode:
    """Keep one half of a few-shot episode's classes to train on; tests 'base' and 'novel'.

    Args:
        half: which half is trained on; the papers train on base.

    Raises:
        UserError: fewer than two classes have training images.
    """
    labels = sorted({item.label for item in few.imageset.train})
    if len(labels) < 2:
        raise UserError(f"'{few.imageset.name}' has {len(labels)} class", "base-to-novel needs at least two")
    middle = -(-len(labels) // 2)
    halves = {"base": labels[:middle], "novel": labels[middle:]}
    test = few.tests["test"]
    tests = {
        name: Test(test.imageset, of_classes(test.items, own), tuple(few.classes[each] for each in own), test.template)
        for name, own in halves.items()
    }
    if empty := [name for name, part in tests.items() if not part.items]:
        raise UserError(f"'{few.imageset.name}' has no test images of the {empty[0]} classes", "add some")
    trained = halves[half]
    return replace(
        few,
        classes=tests[half].classes,
        train=of_classes(few.train, trained),
        val=of_classes(few.val, trained),
        tests=tests,
        protocol="base-to-novel",
    )


def of_classes(items: Sequence[Item], labels: Sequence[int]) -> tuple[Item, ...]:
    """The items of these classes, numbered from 0 in the order of `labels`."""
    renumbered = {label: place for place, label in enumerate(labels)}
    return tuple(replace(item, label=renumbered[item.label]) for item in items if item.label in renumbered)
