"""Domain generalization: train on all domains but one, measure on that one. Zhou et al. (Dassl); CLIP-DoRA table 3.

Closed set: every domain shows every class. Open set (ODG-CLIP): every source shows some classes, and the target holds
classes that no source has; the model has to tell them from the known ones.
"""

import random
from collections.abc import Callable, Sequence
from typing import Literal

from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.episodes import Episode, Test, draw_few_shot
from cliptune.datasets.published import OpenSet
from cliptune.errors import UserError
from cliptune.protocols.base_to_novel import of_classes
from cliptune.protocols.few_shot import need, usable
from cliptune.registry import find

TargetSplit = Literal["all", "val"]


def domain_generalization(
    imageset: ImageSet,
    target: str,
    seed: int,
    *,
    shots: int | None = None,
    target_split: TargetSplit = "all",
    open_set: bool = False,
    template: str | None = None,
) -> Episode:
    """An Episode that trains on every domain but `target` and has one test, 'test': the target's images.

    Args:
        target: the held-out domain.
        seed: draws the shots, if any.
        shots: images per class of every source domain; None takes all, as the papers do.
        target_split: 'all' tests on what Dassl tests on; 'val' on the target's validation images, as ODG-CLIP does for
            Office-Home and Digits-DG.
        open_set: ODG-CLIP's classes. 'test' then holds the target's images of known classes, 'unknown' the others.

    Raises:
        UserError: no domains, no such domain, or nothing of it in the split asked for.
    """
    target = find_target(imageset, target)
    need(imageset, "domain-generalization", "train")
    template = usable(template, imageset)
    tested = imageset.test if target_split == "all" else imageset.val
    there = [item for item in tested if item.domain == target]
    if not there:
        raise UserError(f"'{imageset.name}' has no {target_split} images of '{target}'", "protocol.target_split=all")
    sources = [domain for domain in imageset.domains if domain != target]
    seen = known_classes(imageset, sources) if open_set else None
    train = _of_sources(imageset.train, sources, seen)
    val = _of_sources(imageset.val, sources, seen)
    if missing := [domain for domain in sources if not any(item.domain == domain for item in train)]:
        raise UserError(f"'{imageset.name}' has no train images of '{missing[0]}'", "complete the copy")
    if shots is not None:
        train, val = _few_of_each(train, val, shots, seed, sources)
    if seen is None:
        classes, tests = imageset.classes, {"test": tuple(there)}
    else:
        classes, train, val, tests = _apart(imageset, published_open_set(imageset), train, val, there)
    if empty := [name for name, items in tests.items() if not items]:
        what = "images of unknown classes" if empty[0] == "unknown" else "images of known classes"
        raise UserError(f"'{imageset.name}': {target} has no {what}", "complete the copy, or leave open_set out")
    return Episode(
        imageset=imageset,
        classes=classes,
        template=template,
        train=train,
        val=val,
        tests={
            name: Test(imageset, items, classes, template, known=name != "unknown") for name, items in tests.items()
        },
        protocol="domain-generalization",
        shots=shots,
        seed=seed,
        target=target,
    )


def find_target(imageset: ImageSet, name: str) -> str:
    """A domain as the image set spells it.

    Raises:
        UserError: no domains, none named, or no such domain.
    """
    if len(imageset.domains) < 2:
        raise UserError(f"'{imageset.name}' has no domains", "domain-generalization wants a set such as pacs")
    if not name:
        raise UserError(
            f"which domain of '{imageset.name}' is held out?",
            f"--set protocol.target={imageset.domains[-1]} (of {', '.join(imageset.domains)})",
        )
    return find(name, imageset.domains, f"domain of '{imageset.name}'")


def known_classes(imageset: ImageSet, sources: Sequence[str]) -> dict[str, frozenset[int]]:
    """Which classes each source shows under ODG-CLIP's open set, the sources in the set's order of domains.

    Raises:
        UserError: nothing was published for this set, or for another number of domains.
    """
    published = published_open_set(imageset)
    if len(published.sources) != len(sources):
        raise UserError(
            f"open-set classes of '{imageset.name}' are for {len(published.sources)} sources, here are {len(sources)}",
            "complete the copy, or leave protocol.open_set out",
        )
    return dict(zip(sources, published.sources, strict=True))


def published_open_set(imageset: ImageSet) -> OpenSet:
    """Raises UserError where nothing was published."""
    published = imageset.facts.open_set if imageset.facts else None
    if published is not None and imageset.facts and len(imageset.classes) != imageset.facts.classes:
        raise UserError(
            f"open-set classes of '{imageset.name}' are numbers among {imageset.facts.classes}, "
            f"this copy has {len(imageset.classes)}",
            "complete the copy, or leave protocol.open_set out",
        )
    if published is None:
        raise UserError(f"no open-set classes are known for '{imageset.name}'", "leave protocol.open_set out")
    return published


def _of_sources(
    items: Sequence[Item], sources: Sequence[str], seen: dict[str, frozenset[int]] | None
) -> tuple[Item, ...]:
    keep: Callable[[Item], bool] = (
        (lambda item: item.domain in sources)
        if seen is None
        else (lambda item: item.domain in seen and item.label in seen[item.domain])
    )
    return tuple(item for item in items if keep(item))


def _few_of_each(
    train: Sequence[Item], val: Sequence[Item], shots: int, seed: int, sources: Sequence[str]
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Shots per class of every domain, each domain from a seed of its own."""
    stream = random.Random(seed)
    drawn_train: list[Item] = []
    drawn_val: list[Item] = []
    for domain in sources:
        own = [[item for item in items if item.domain == domain] for items in (train, val)]
        few, few_val = draw_few_shot(own[0], own[1], shots, stream.getrandbits(48))
        drawn_train += few
        drawn_val += few_val
    return tuple(drawn_train), tuple(drawn_val)


def _apart(
    imageset: ImageSet, published: OpenSet, train: Sequence[Item], val: Sequence[Item], there: Sequence[Item]
) -> tuple[tuple[str, ...], tuple[Item, ...], tuple[Item, ...], dict[str, tuple[Item, ...]]]:
    """Classes some source has, numbered from 0; the target's images of them, and those of unknown classes (−1)."""
    labels = sorted(frozenset().union(*published.sources))
    tested = [item for item in there if item.label in (published.known or labels)]
    unknown = tuple(Item(item.path, -1, item.domain) for item in there if item.label in published.unknown)
    classes = tuple(imageset.classes[label] for label in labels)
    tests = {"test": of_classes(tested, labels), "unknown": unknown}
    return classes, of_classes(train, labels), of_classes(val, labels), tests
