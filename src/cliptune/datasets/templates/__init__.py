"""Prompt ensembles by name: one text file each, a template with one '{}' per line, in its source's order.

imagenet-7   what Tip-Adapter uses on ImageNet, chosen from the 80
imagenet-60  PromptSRC's teacher, on every data set: the first 60 of the 80, 'a photo of a {}.' moved to the front
imagenet-80  CLIP's own for ImageNet (Radford et al., 2021)
"""

from importlib.resources import files

from cliptune.registry import find


def names() -> list[str]:
    """Every ensemble there is, the smallest first."""
    found = [entry.name.removesuffix(".txt") for entry in files(__name__).iterdir() if entry.name.endswith(".txt")]
    return sorted(found, key=lambda name: (len(name), name))


def ensemble(name: str) -> tuple[str, ...]:
    """The templates of an ensemble, in their order; case, '-' and '_' do not matter.

    Raises:
        UserError: no ensemble is called that; offers the nearest.
    """
    text = (files(__name__) / f"{find(name, names(), 'prompt ensemble')}.txt").read_text("utf-8")
    return tuple(text.splitlines())
