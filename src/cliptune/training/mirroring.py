"""Whether training images may be mirrored, decided from the images themselves before training.

A mirrored photograph of a dog is a dog; a mirrored digit, letter or sign is another one, or none. So the images of a
set that declares `Augment(kind="auto")`, your own folder or CSV, are put to three questions:

    names    is every class called by a number, a number word or a letter ('7', 'seven', 'digit seven'), or one by left
             or right?
    colour   have most images none? Scans, drawings, x-rays
    answers  does a linear classifier on the untouched backbone's image features, which knows the classes and has not
             seen the image in question, lose accuracy when that image is mirrored?

    yes to names or colour, or the answers surely change,      light geometry, never mirrored    (affine)
    those of all classes together or of a single one
    the answers surely stay                                    random crops, half mirrored       (photo)
    not sure: too few images, or a backbone that cannot tell the classes apart    crops, never mirrored    (crop)

The classifier is a ridge regression onto the classes. Leaving an image out has a closed form: with A the inverse of the
regularised second moments, h = xᵀAx and e = (y − Wᵀx) / (1 − h), the image's own scores are y − e, and those of its
mirror image z, without the image, are Wᵀz − (zᵀAx) e.

The images are those of the train and validation splits, the same for every seed and number of shots; the test split is
not opened. docs/decisions/0019-mirroring.md has what was measured.
"""

import math
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cliptune.datasets.base import Augment, ImageSet, Item
from cliptune.datasets.contents import located
from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.models.backbone import Backbone
from cliptune.statistics import LEVEL, sign_test

CLASSES, IMAGES = 24, 192
"""most classes and, but for 9 a class where there are 24, images that are put to the question; a class gives the same
number as any other"""
KNOWS = 0.2
"""least part of the way from guessing to perfect that the classifier has to come before its answers count"""
KEPT, CHANGED = 0.25, 0.10
"""parts of the accuracy: mirroring is harmless where it surely costs less than the first, and harms where it surely
costs more than the second. Photographs lose 0 to 11 % of it, digits and letters 51 to 74 %"""
SURE = 1.645
"""standard errors: one side of 95 %"""
UNSEEN = 3.3
"""changes added to those seen: where n images show none, the rule of three leaves up to 3/n possible"""
GREY = 0.02
"""mean difference of the colour channels, of 1, below which an image has no colour; JPEG leaves less than this"""
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""strengths tried, as parts of the features' spread times the number of images"""
BATCH = 64

_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_SIDES = {"left", "right"}
_SORTS = {"digit", "number", "numeral", "letter", "character", "char", "symbol", "class", "label", "capital"}
_SORTS |= {"lowercase", "uppercase", "lower", "upper", "case", "small", "large"}
"""what may stand before the number or letter that a class is called by"""


@dataclass(frozen=True)
class Mirroring:
    """What was decided about the training images, and why."""

    augment: Literal["photo", "affine", "crop"]
    """the value `train.augment` takes"""
    by: Literal["names", "colour", "answers", "unsure"]
    """which question decided"""
    why: str
    """a sentence for people"""
    images: int = 0
    accuracy: float | None = None
    """of the classifier on the images as they are, each left out in turn"""
    mirrored_accuracy: float | None = None
    """on their mirror images"""
    lost: tuple[float, float] | None = None
    """90 % interval of the part of the accuracy that mirroring costs"""

    def told(self) -> dict[str, Any]:
        """Plain values for run.json; what was not measured is left out."""
        return {key: value for key, value in asdict(self).items() if value not in (None, 0)}


UNKNOWN = Mirroring("crop", "unsure", "no weights are at hand that could tell whether mirroring changes the images")
"""where a backbone is stood in for by random numbers"""


def decide(imageset: ImageSet, backbone: Backbone) -> Mirroring:
    """Whether an image set's training images may be mirrored, for this backbone.

    Images that cannot be read are passed over: what is trained on is read, and named, later.
    """
    if why := named_like_writing(imageset.classes):
        return Mirroring("affine", "names", why)
    items, pixels = _readable(imageset, backbone)
    if not items:
        return Mirroring("crop", "unsure", "too few images to tell whether mirroring changes what they show")
    colourless = (pixels.amax(dim=1) - pixels.amin(dim=1)).mean(dim=(1, 2)) < GREY
    if float(colourless.float().mean()) > 0.5:
        why = (
            f"{int(colourless.sum())} of {len(items)} images have no colour, so they may be writing, drawings or scans"
        )
        return Mirroring("affine", "colour", why, len(items))
    labels = torch.tensor([item.label for item in items])
    kept, mirrored = answers(_features(backbone, pixels), _features(backbone, pixels.flip(-1)), labels)
    return judge(kept, mirrored, [imageset.classes[item.label] for item in items])


_DECIDED: dict[tuple, Mirroring] = {}
"""what was decided in this process: neither seed nor shots change it"""


def decided(imageset: ImageSet, backbone: Backbone, say: Callable[[str], None] = lambda text: None) -> Mirroring:
    """`decide`, once a process for the same images and backbone.

    Args:
        say: told what goes on before the backbone looks at images, which takes minutes with a large one.
    """
    items = (*imageset.train, *imageset.val)
    key = (imageset.root, imageset.classes, items, _stamps(imageset, items), backbone.identity.sha256)
    if key not in _DECIDED:
        if not named_like_writing(imageset.classes):
            images = min(IMAGES, len(items))
            say(f"testing on {images} of your images whether mirroring changes what they show …")
        _DECIDED[key] = decide(imageset, backbone)
    return _DECIDED[key]


def _stamps(imageset: ImageSet, items: Sequence[Item]) -> tuple[tuple[int, int], ...]:
    """Size and time of every file, so that a replaced image is looked at anew."""
    files = located(imageset.root, (item.path for item in items)).values()
    return tuple((found.st_size, found.st_mtime_ns) for found in map(os.stat, files))


def named_like_writing(classes: Sequence[str]) -> str:
    """Why class names say that the images are digits, letters or signs with a direction; '' if they do not.

    >>> named_like_writing(("digit zero", "digit one"))
    "its classes are called by numbers or letters ('digit zero')"
    >>> named_like_writing(("cat", "turn_left"))
    "a class is called by left or right ('turn_left')"
    >>> named_like_writing(("Boeing 737", "Boeing 747")), named_like_writing(("hepatitis A", "hepatitis B"))
    ('', '')
    """
    words = [re.findall(r"[^\W_]+", name.casefold()) for name in classes]
    if all(_is_sign(parts) for parts in words):
        return f"its classes are called by numbers or letters ({classes[0]!r})"
    for name, parts in zip(classes, words, strict=True):
        if _SIDES & set(parts):
            return f"a class is called by left or right ({name!r})"
    return ""


def _is_sign(words: Sequence[str]) -> bool:
    """Whether a name is a number, a number word or a letter and no more, but for the sort of sign before it."""
    *before, last = words or [""]
    return (_is_letter(last) or last.isdigit() or last in _WORDS) and _SORTS.issuperset(before)


def _is_letter(word: str) -> bool:
    """Whether it is a letter of an alphabet: one ideograph or one syllable may be a word, as 猫 (cat)."""
    return len(word) == 1 and not unicodedata.name(word, "").startswith(("CJK", "HANGUL SYLLABLE"))


def answers(features: Tensor, mirrored: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whether images, and their mirror images, are classified rightly by the others' features: two bool [n].

    Args:
        features, mirrored: unit-length image features [n d] of the images and of their mirror images.
        labels: long [n]. The ridge that tells the images as they are apart best is taken.
    """
    features, mirrored = features.double(), mirrored.double()
    middle = features.mean(dim=0)
    one = features.new_ones(len(features), 1)
    x, z = torch.cat([features - middle, one], dim=1), torch.cat([mirrored - middle, one], dim=1)
    classes, labels = labels.unique(return_inverse=True)
    wanted = functional.one_hot(labels, len(classes)).to(x.dtype)
    spread = len(x) * float((features - middle).square().sum(dim=1).mean())
    best: tuple[Tensor, Tensor] | None = None
    for ridge in RIDGES:
        inverse = torch.linalg.inv(x.T @ x + max(ridge * spread, 1e-12) * torch.eye(x.shape[1], dtype=x.dtype))
        weights = inverse @ x.T @ wanted
        leverage = ((x @ inverse) * x).sum(dim=1, keepdim=True)
        error = (wanted - x @ weights) / (1 - leverage).clamp_min(1e-9)
        crossed = ((z @ inverse) * x).sum(dim=1, keepdim=True)
        right = (wanted - error).argmax(dim=1) == labels
        right_mirrored = (z @ weights - crossed * error).argmax(dim=1) == labels
        if best is None or int(right.sum()) > int(best[0].sum()):
            best = right, right_mirrored
    assert best is not None
    return best[0].numpy(), best[1].numpy()


def judge(kept: np.ndarray, mirrored: np.ndarray, names: Sequence[str]) -> Mirroring:
    """The decision from the right answers, bool [n], on images and on their mirror images.

    Args:
        names: of each image's class.
    """
    n, accuracy, after = len(kept), float(kept.mean()), float(mirrored.mean())
    classes = len(set(names))
    told = f"{100 * accuracy:.0f} % as they are, {100 * after:.0f} % mirrored, of {n} images"
    if classes < 2 or (accuracy - 1 / classes) / (1 - 1 / classes) < KNOWS:
        why = f"the backbone tells the classes apart too poorly to say whether mirroring changes them ({told})"
        return Mirroring("crop", "unsure", why, n, accuracy, after)
    error = SURE * math.sqrt(int((kept != mirrored).sum()) + UNSEEN) / n
    low, high = (accuracy - after - error) / accuracy, (accuracy - after + error) / accuracy
    if low >= CHANGED:
        why, augment = f"the backbone classifies mirrored copies much worse ({told})", "affine"
    elif (turned := turning_class(kept, mirrored, names)) is not None:
        why, augment = f"the backbone does not know images of {turned!r} when they are mirrored", "affine"
    elif high <= KEPT:
        why, augment = f"the backbone classifies mirrored copies as well ({told})", "photo"
    else:
        why = f"too few images to say whether mirroring changes what they show ({told})"
        return Mirroring("crop", "unsure", why, n, accuracy, after, (low, high))
    return Mirroring(augment, "answers", why, n, accuracy, after, (low, high))  # type: ignore[arg-type]


def turning_class(kept: np.ndarray, mirrored: np.ndarray, names: Sequence[str]) -> str | None:
    """The first class whose images are surely told worse when mirrored, where the mean over all classes hides it.

    By an exact one-sided sign test over the images that only one of the two tells rightly, at 5 % divided by the number
    of classes: 8 of 8 for ten classes, 9 of 9 for 24.
    """
    rows = np.asarray(names)
    for name in sorted(set(names)):
        lost = int((kept & ~mirrored)[rows == name].sum())
        won = int((mirrored & ~kept)[rows == name].sum())
        if sign_test(lost, won) < LEVEL / len(set(names)):
            return name
    return None


def asked_of_each(classes: int) -> int:
    """Images of every class that are put to the question: so many that `turning_class` is sure if all are worse."""
    return max(2, IMAGES // max(classes, 1), math.ceil(math.log2(max(classes, 1) / LEVEL)))


def _readable(imageset: ImageSet, backbone: Backbone) -> tuple[list[Item], Tensor]:
    """As many images of every class of the train and validation splits, at least two, and their pixels [n 3 s s]."""
    groups: dict[int, list[Item]] = {}
    for item in (*imageset.train, *imageset.val):
        groups.setdefault(item.label, []).append(item)
    several = [groups[label] for label in sorted(groups) if len(groups[label]) > 1]
    several = (
        [several[place * len(several) // CLASSES] for place in range(CLASSES)] if len(several) > CLASSES else several
    )
    items: list[Item] = []
    cuts: list[Tensor] = []
    served = Pixels(imageset, [item for group in several for item in group], backbone.preprocess, Augment(kind="none"))
    place = 0
    per_class = asked_of_each(len(several))
    for group in several:
        taken = 0
        for item in group:
            if taken < per_class:
                try:
                    cuts.append(served.plain([place]))
                    items.append(item)
                    taken += 1
                except UserError:
                    pass  # left to whoever trains on it
            place += 1
    return items, torch.cat(cuts) if cuts else torch.empty(0, 3, backbone.preprocess.crop, backbone.preprocess.crop)


@torch.no_grad()
def _features(backbone: Backbone, pixels: Tensor) -> Tensor:
    """Unit-length image features [n d], float32 on the CPU."""
    rows = [
        backbone.image_features(backbone.preprocess.normalise(part.to(backbone.device))).float().cpu()
        for part in pixels.split(BATCH)
    ]
    return functional.normalize(torch.cat(rows), dim=-1)
