"""The nouns of data: an item, an image set, how its training images may be varied.

An ImageSet lists items and knows how to read one. It says nothing about shots or protocols:
`protocols/` turns an ImageSet into an Episode by a pure function.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    from cliptune.datasets.published import Facts

Missing = Literal["refuse", "skip"]
"""what to do about listed files that are not there, or that cannot be read"""


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image."""

    path: str
    """file path relative to the set's root ('/' between parts), or a name such as 'digits/0017' for drawn images"""
    label: int
    """index into the set's classes"""
    domain: str = ""
    """where the set has domains: 'sketch', 'photo' …"""


@dataclass(frozen=True)
class Augment:
    """How training images are varied. A data set declares its own; a recipe may override the crop."""

    kind: Literal["photo", "affine", "none", "auto"] = "photo"
    """photo: random resized crop + flip; affine: light rotation, scale, shift (no flip); none: the test transform;
    auto: decided from the images before training (`training.mirroring`)"""
    crop: tuple[float, float] = (0.08, 1.0)
    """photo only: area range of the crop, fractions of the image (CLIP-LoRA 0.08–1, CLIP-AST and Tip-Adapter 0.5–1)"""
    flip: float = 0.5
    """photo only: chance of a horizontal flip"""
    rotate: float = 0.12
    """affine only: largest rotation, radians"""
    scale: float = 0.12
    """affine only: largest relative change of size"""
    shift: float = 0.1
    """affine only: largest shift, in half image widths"""

    def chosen(self, setting: str, crop: tuple[float, float]) -> "Augment":
        """What a recipe's `train.augment` and `train.crop` make of what the data set declares."""
        changed = dataclasses.replace(self, crop=crop)
        if setting == "data":
            return changed
        if setting == "crop":
            return dataclasses.replace(changed, kind="photo", flip=0.0)
        return dataclasses.replace(changed, kind=setting)  # type: ignore[arg-type]

    def told(self) -> str:
        """
        >>> Augment().told()
        'random crops of 8–100 % of the area, half of them mirrored'
        >>> Augment(kind="affine").told()
        'turned by up to 7°, sized by up to 12 %, shifted by up to 5 % of the width; never mirrored'
        """
        if self.kind == "photo":
            mirrored = {0.0: "never mirrored", 0.5: "half of them mirrored"}
            share = mirrored.get(self.flip, f"{100 * self.flip:g} % of them mirrored")
            return f"random crops of {100 * self.crop[0]:g}–{100 * self.crop[1]:g} % of the area, {share}"
        if self.kind == "affine":
            turned, sized, shifted = math.degrees(self.rotate), 100 * self.scale, 50 * self.shift
            sized_shifted = f"sized by up to {sized:g} %, shifted by up to {shifted:g} % of the width"
            return f"turned by up to {turned:.0f}°, {sized_shifted}; never mirrored"
        return "as they are, not varied" if self.kind == "none" else "decided before training"


@dataclass(frozen=True)
class ImageSet:
    """A labelled collection with its official splits; empty tuples where a split does not exist."""

    name: str
    classes: tuple[str, ...]
    """class names as they go into a prompt, by label; '_' is read as a blank"""
    read: Callable[[Item], Image.Image] = field(repr=False, compare=False)
    """decode one item to an RGB PIL image; raises UserError naming the file when it cannot"""
    templates: tuple[str, ...] = ("a photo of a {}.",)
    """prompt templates with one '{}'; the first is the default"""
    train: tuple[Item, ...] = ()
    val: tuple[Item, ...] = ()
    test: tuple[Item, ...] = ()
    augment: Augment = Augment()
    root: str = ""
    """the folder the items' paths are relative to; empty for drawn or embedded images"""
    split: str = "published"
    """where the splits come from: 'published', 'given' (by the user's folders or CSV) or 'made here, seed N'"""
    about: str = ""
    """one line: source, licence"""
    source: str = ""
    """what opens it again where its name does not: the path of your own images"""
    split_seed: int = 0
    """of the split made for your own images"""
    domains: tuple[str, ...] = ()
    """in the order of the papers; `test` then holds what the literature tests a held-out domain on"""
    facts: "Facts | None" = field(default=None, repr=False, compare=False)
    """what was published about it"""
    opened: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """how it was opened, as settings of the table [data]: root, missing, names"""
    notes: tuple[str, ...] = ()
    """what somebody should know about this copy: rows left out, a split that is not the published one"""

    def __repr__(self) -> str:
        sizes = f"{len(self.train):,} train, {len(self.val):,} val, {len(self.test):,} test images"
        return f"ImageSet({self.name!r}, {len(self.classes):,} classes, {sizes})"

    def _repr_html_(self) -> str:
        from cliptune.notebook import of_images

        return of_images(self)


def distinct(classes: Sequence[str]) -> list[str]:
    """Class names that tell classes apart: a name that several labels share is followed by the label.

    >>> distinct(("missile", "dog", "missile"))
    ['missile (0)', 'dog', 'missile (2)']
    """
    times = Counter(classes)
    return [f"{name} ({label})" if times[name] > 1 else name for label, name in enumerate(classes)]


def prompts(classes: tuple[str, ...], template: str) -> list[str]:
    """`template` filled with each class name; underscores in names become blanks.

    >>> prompts(("red_fox",), "a photo of a {}.")
    ['a photo of a red fox.']
    """
    return [template.replace("{}", name.replace("_", " ")) for name in classes]
