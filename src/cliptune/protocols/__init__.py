"""Protocols: pure functions from image sets to an episode. Which one a run takes, its recipe says ([protocol])."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cliptune.counted import these
from cliptune.datasets.base import ImageSet
from cliptune.datasets.episodes import Episode, Sampler
from cliptune.errors import UserError
from cliptune.protocols.base_to_novel import base_to_novel
from cliptune.protocols.domain_generalization import domain_generalization, find_target
from cliptune.protocols.few_shot import few_shot
from cliptune.protocols.out_of_distribution import out_of_distribution

if TYPE_CHECKING:
    from cliptune.recipe import ProtocolSettings

SHOTS = 16
WHOLE = ("full-data", "domain-generalization")
"""protocols that train on all images unless shots are asked for"""
ELSEWHERE = ("out-of-distribution", "cross-dataset")
"""protocols that test on other image sets too"""


def make_episode(
    chosen: "ProtocolSettings", imageset: ImageSet, template: str, open_other: Callable[[str], ImageSet]
) -> Episode:
    """The episode that `chosen`, which `resolved` has completed, describes.

    Args:
        template: of every test and of training; empty takes each image set's own.
        open_other: opens a further image set by name, for protocols that test on several.

    Raises:
        UserError: the image set does not suit the protocol, or a setting belongs to another one.
    """
    shots = shots_of(chosen)
    if chosen.name == "domain-generalization":
        return domain_generalization(
            imageset,
            chosen.target,
            chosen.seed,
            shots=shots,
            target_split=chosen.target_split,
            open_set=chosen.open_set,
            template=template or None,
        )
    sampler: Sampler = chosen.sampler
    repeat = sampler == "cliplora" if chosen.repeat == "auto" else chosen.repeat
    few = few_shot(imageset, shots, chosen.seed, sampler, repeat, template or None, protocol=chosen.name)
    if chosen.name == "base-to-novel":
        return base_to_novel(few, chosen.half)
    if chosen.name in ELSEWHERE:
        return out_of_distribution(few, [open_other(name) for name in chosen.tests], template or None)
    return few


def resolved(chosen: "ProtocolSettings", imageset: ImageSet) -> "ProtocolSettings":
    """The same with nothing left open: the number of shots, the further tests, the domain's own spelling.

    Raises:
        UserError: a setting belongs to another protocol; no such domain; the papers name no tests.
    """
    _refuse_foreign(chosen)
    shots = shots_of(chosen)
    changes: dict[str, Any] = {"shots": "all" if shots is None else shots}
    if chosen.name == "few-shot" and shots is None:
        changes["name"] = "full-data"
    if chosen.name == "domain-generalization":
        changes["target"] = find_target(imageset, chosen.target)
    if chosen.name in ELSEWHERE and not chosen.tests:
        changes["tests"] = tuple(usual_tests(imageset, chosen.name))
    return replace(chosen, **changes)


def shots_of(chosen: "ProtocolSettings") -> int | None:
    """Training images per class; None is all."""
    if chosen.shots == "auto":
        return None if chosen.name in WHOLE else SHOTS
    return None if chosen.shots == "all" else int(chosen.shots)


def usual_tests(imageset: ImageSet, protocol: str) -> Sequence[str]:
    """What the papers test on after training on this set.

    Raises:
        UserError: they say nothing about it.
    """
    usual = imageset.facts.tests.get(protocol, ()) if imageset.facts else ()
    if not usual:
        raise UserError(
            f"{protocol} from '{imageset.name}': on which image sets is it to be tested?",
            'name them: --set \'protocol.tests=["imagenet_v2", "imagenet_sketch"]\'',
        )
    return usual


def _refuse_foreign(chosen: "ProtocolSettings") -> None:
    """A setting that another protocol reads would be silently without effect."""
    owners = {
        "half": ("base-to-novel",),
        "tests": ELSEWHERE,
        **dict.fromkeys(("target", "target_split", "open_set"), ("domain-generalization",)),
    }
    unset = type(chosen)()
    for setting, names in owners.items():
        if getattr(chosen, setting) != getattr(unset, setting) and chosen.name not in names:
            raise UserError(
                f"protocol.{setting} has no meaning under {chosen.name}", f"it belongs to {' and '.join(names)}"
            )
    if chosen.name == "full-data" and (shots := shots_of(chosen)) is not None:
        raise UserError(f"full-data with {these(shots, 'shot')}", "leave the shots out, or use --protocol few-shot")
