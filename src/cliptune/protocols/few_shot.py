"""Few-shot: train on a few images per class, measure on the whole test split. Zhou et al. (CoOp), IJCV 2022."""

from cliptune.datasets.base import ImageSet
from cliptune.datasets.episodes import Episode, Sampler, draw_few_shot
from cliptune.errors import UserError


def few_shot(
    imageset: ImageSet,
    shots: int,
    seed: int,
    sampler: Sampler = "dassl",
    repeat: bool = False,
    template: str | None = None,
) -> Episode:
    """An Episode of `shots` images per class with one test, 'test': the image set's whole test split.

    Args:
        sampler, repeat: see `draw_few_shot`.
        template: overrides the image set's first; one '{}' stands for the class name.

    Raises:
        UserError: shots below 1, no train or test images, a template without '{}'.
    """
    for split in ("train", "test"):
        if not getattr(imageset, split):
            raise UserError(f"'{imageset.name}' has no {split} images", f"few-shot needs them: add images to {split}")
    template = imageset.templates[0] if template is None else template
    if "{}" not in template:
        raise UserError(f"template = '{template}'", "write {} where the class name goes: 'a photo of a {}.'")
    train, val = draw_few_shot(imageset.train, imageset.val, shots, seed, sampler, repeat)
    return Episode(
        imageset=imageset,
        classes=imageset.classes,
        template=template,
        train=train,
        val=val,
        tests={"test": imageset.test},
        protocol="few-shot",
        shots=shots,
        seed=seed,
    )
