"""Train on one image set, measure on others too: variants of it (out-of-distribution), other tasks (cross-dataset).

Radford et al. (CLIP), 2021; Zhou et al. (CoOp, CoCoOp), 2022. The adapted towers are used unchanged; every other set
brings its own class names, which are encoded anew. ImageNet-A and -R choose among their 200 classes.
"""

from collections.abc import Sequence
from dataclasses import replace

from cliptune.datasets.base import ImageSet
from cliptune.datasets.episodes import Episode, Test
from cliptune.errors import UserError
from cliptune.protocols.few_shot import need, usable

RESERVED = ("base", "novel", "unknown", "validation", "zero_shot", "harmonic_mean", "open_set")
"""names that mean something else in a run's metrics"""


def out_of_distribution(few: Episode, others: Sequence[ImageSet], template: str | None = None) -> Episode:
    """A few-shot episode with a further test for every image set in `others`, called by its name.

    Args:
        template: for all; None takes each image set's first.

    Raises:
        UserError: an image set without test images, or named twice.
    """
    tests = dict(few.tests)
    for other in others:
        need(other, few.protocol, "test")
        if other.name in RESERVED:
            raise UserError(
                f"a tested set cannot be called '{other.name}'", "rename its folder: the record uses that name"
            )
        if other.name in tests or other.name == few.imageset.name:
            raise UserError(f"protocol.tests names '{other.name}' more than once", "the source is tested anyway")
        tests[other.name] = Test(other, other.test, other.classes, usable(template, other))
    return replace(few, tests=tests)
