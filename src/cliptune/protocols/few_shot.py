"""Few-shot: train on a few images per class, measure on the whole test split. Zhou et al. (CoOp), IJCV 2022.

With all images instead of a few it is the protocol `full-data`.
"""

from cliptune.datasets.base import ImageSet
from cliptune.datasets.episodes import Episode, Sampler, Test, draw_few_shot, draw_from_train
from cliptune.errors import UserError


def few_shot(
    imageset: ImageSet,
    shots: int | None,
    seed: int,
    sampler: Sampler = "dassl",
    repeat: bool = False,
    template: str | None = None,
    protocol: str = "few-shot",
) -> Episode:
    """An Episode of `shots` images per class with one test, 'test': the image set's whole test split.

    Args:
        shots: None takes every training and validation image.
        sampler, repeat: see `draw_few_shot`.
        template: overrides the image set's first; one '{}' stands for the class name.
        protocol: what the record calls it.

    Raises:
        UserError: shots below 1, no train or test images, a template without '{}'.
    """
    need(imageset, protocol, "train", "test")
    template = usable(template, imageset)
    # Where the official validation images are the test, nothing may be chosen on them.
    val_is_test = imageset.facts is not None and imageset.facts.val_is_test
    official_val = () if val_is_test else imageset.val
    if shots is None:
        train, val = imageset.train, official_val
    elif val_is_test and sampler == "cliplora":
        train, val = draw_from_train(imageset.train, shots, seed, repeat)
    else:
        train, val = draw_few_shot(imageset.train, official_val, shots, seed, sampler, repeat)
    return Episode(
        imageset=imageset,
        classes=imageset.classes,
        template=template,
        train=train,
        val=val,
        tests={"test": Test(imageset, imageset.test, imageset.classes, template)},
        protocol=protocol,
        shots=shots,
        seed=seed,
    )


def need(imageset: ImageSet, protocol: str, *splits: str) -> None:
    """Raise UserError unless the image set has images in all these splits."""
    for split in splits:
        if not getattr(imageset, split):
            made_here = imageset.source and imageset.split.startswith("made here")
            fix = "give every class 2 images or more, better 10" if made_here else f"add images to {split}"
            raise UserError(f"'{imageset.name}' has no {split} images", f"{protocol} needs them: {fix}")


def usable(template: str | None, imageset: ImageSet) -> str:
    """The template that is asked for, or the image set's first.

    Raises:
        UserError: no '{}' in it.
    """
    template = imageset.templates[0] if template is None else template
    if "{}" not in template:
        raise UserError(f"template = '{template}'", "write {} where the class name goes: 'a photo of a {}.'")
    return template
