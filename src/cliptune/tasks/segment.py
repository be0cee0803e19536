"""Segmentation by a prompt: the loss, the masks that are answered, and what is measured on them.

    L = Dice + λ · BCE        Dice = 1 − mean_b (2 Σ p g + ε) / (Σ p + Σ g + ε)        BCE on logits, mean over pixels

letters   p = σ(logits) · g the true mask, 0 or 1 · sums over the pixels of one image · ε = 10⁻⁵
λ         0.2 as medvlsm meant it; 0 as its published models were trained (MONAI 1.1 computed a softmax over one
          channel, which is constant, so its cross-entropy was zero)
measured  Each image's mask is answered at its own size: logits enlarged bilinearly, then the threshold. Dice and IoU of
          an image are 1 where nothing is to be marked and nothing is, 0 where only one of them is empty; means over
          images.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cliptune.datasets.mask_pixels import Batch, MaskPixels
from cliptune.errors import UserError
from cliptune.statistics import paired_bootstrap

EPSILON = 1e-5
SIZES = {"nothing": (0.0, 0.0), "small": (0.0, 0.05), "medium": (0.05, 0.2), "large": (0.2, 1.0)}
"""how much of an image is to be marked: above the first, up to the second; two equal bounds mean exactly that"""

Colour = tuple[int, int, int]
FILLS: tuple[Colour, Colour] = ((0, 200, 255), (255, 160, 0))
"""cyan and orange: their difference in blue against yellow is seen with every common colour blindness"""
_WHITE: Colour = (255, 255, 255)
_DARK: Colour = (20, 20, 20)
_SAMPLE = 400
"""pixels of an image whose colours are compared"""

Segment = Callable[[Batch], Tensor]
"""answers for a batch: logits [b h w] at the decoder's size"""


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits [b h w] bilinearly at another size (height, width)."""
    if logits.shape[1:] == size:
        return logits
    return F.interpolate(logits[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]


def dice_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """1 − soft Dice of each image [b], from logits and masks [b h w] of the same size."""
    probabilities = logits.sigmoid().flatten(1)
    truth = masks.flatten(1)
    both = (probabilities * truth).sum(1)
    return 1 - (2 * both + EPSILON) / (probabilities.sum(1) + truth.sum(1) + EPSILON)


def bce_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy of each image [b], mean over its pixels."""
    return F.binary_cross_entropy_with_logits(logits, masks, reduction="none").flatten(1).mean(1)


def losses(logits: Tensor, masks: Tensor, bce: float) -> dict[str, Tensor]:
    """The weighted loss terms by name, each a mean over images; logits are enlarged to the masks' size.

    Args:
        logits: [b h w]. masks: [b s s], 0 and 1. bce: the weight λ.
    """
    logits = enlarged(logits, (masks.shape[1], masks.shape[2]))
    terms = {"dice": dice_losses(logits, masks).mean()}
    if bce:
        terms["bce"] = bce * bce_losses(logits, masks).mean()
    return terms


def marked(logits: Tensor, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Masks, bool [b h w], of logits [b · ·] at `size`: where σ(logit) is above `threshold`."""
    return (enlarged(logits, size) > math.log(threshold / (1 - threshold))).cpu().numpy()


def dice_of(found: np.ndarray, truth: np.ndarray) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two masks; 1 if both are empty.

    >>> dice_of(np.array([[1, 1, 0]]), np.array([[0, 1, 0]]))
    0.6666666666666666
    """
    both, total = int(np.count_nonzero((found > 0) & (truth > 0))), np.count_nonzero(found) + np.count_nonzero(truth)
    return 2 * both / int(total) if total else 1.0


def iou_of(found: np.ndarray, truth: np.ndarray) -> float:
    """|A ∩ B| / |A ∪ B| of two masks; 1 if both are empty.

    >>> iou_of(np.array([[1, 1, 0]]), np.array([[0, 1, 0]]))
    0.5
    """
    either = int(np.count_nonzero((found > 0) | (truth > 0)))
    return int(np.count_nonzero((found > 0) & (truth > 0))) / either if either else 1.0


@dataclass(frozen=True)
class Answers:
    """What was answered for n images; a row an image."""

    dice: np.ndarray
    """float [n], at the image's own size"""
    iou: np.ndarray
    """float [n]"""
    dice_at_input: np.ndarray
    """float [n], at the size the model is given"""
    truth: np.ndarray
    """int [n]: pixels to mark"""
    found: np.ndarray
    """int [n]: pixels marked"""
    sizes: np.ndarray
    """int [n 2]: height and width"""
    prompts: tuple[str, ...]


@torch.no_grad()
def answer(segment: Segment, pixels: MaskPixels, batch: int, threshold: float) -> Answers:
    """Answers for every image, batch by batch; no mask is kept.

    Raises:
        UserError: a score is not a number.
    """
    rows: list[tuple[float, float, float, int, int, int, int]] = []
    prompts: list[str] = []
    for start in range(0, len(pixels), batch):
        indices = range(start, min(start + batch, len(pixels)))
        given = pixels.plain(indices)
        logits = segment(given).float()
        if not bool(logits.isfinite().all()):
            raise UserError("the model's scores are not numbers", "lower train.lr, or the decoder's segment.decoder_lr")
        side = (given.masks.shape[1], given.masks.shape[2])
        coarse = marked(logits, side, threshold)
        prompts += given.prompts
        for place, index in enumerate(indices):
            truth = pixels.truth(index)
            height, width = truth.shape
            found = marked(logits[place : place + 1], (height, width), threshold)[0]
            at_input = dice_of(coarse[place], given.masks[place].numpy())
            counts = (int(truth.sum()), int(found.sum()), height, width)
            rows.append((dice_of(found, truth), iou_of(found, truth), at_input, *counts))
    table = np.array(rows, dtype=float).reshape(len(rows), 7)
    whole = table[:, 3:].astype(np.int64)
    return Answers(
        table[:, 0], table[:, 1], table[:, 2], whole[:, 0], whole[:, 1], whole[:, 2:], prompts=tuple(prompts)
    )


def measure(answers: Answers, groups: Sequence[str], threshold: float) -> dict[str, Any]:
    """Mean Dice and IoU (fractions), the mean Dice's 95 % bootstrap interval, and what stands behind them.

    Args:
        groups: what each image is looked at apart by; '' for none.
    """
    shares = answers.truth / answers.sizes.prod(1)
    empty = answers.truth == 0
    per_size = {}
    for name, (low, high) in SIZES.items():
        mine = empty if low == high else (shares > low) & (shares <= high)
        if mine.any():
            per_size[name] = {**_means(answers, mine), "share": [low, high]}
    groups_of = np.array(groups)
    return {
        "dice": float(answers.dice.mean()),
        "iou": float(answers.iou.mean()),
        "n": len(answers.dice),
        "interval": list(paired_bootstrap([answers.dice])),
        "dice_at_input": float(answers.dice_at_input.mean()),
        "threshold": threshold,
        "empty": {"n": int(empty.sum()), "right": int((empty & (answers.found == 0)).sum())},
        "per_size": per_size,
        "per_group": {name: _means(answers, groups_of == name) for name in dict.fromkeys(groups) if name},
    }


def _means(answers: Answers, mine: np.ndarray) -> dict[str, Any]:
    return {"n": int(mine.sum()), "dice": float(answers.dice[mine].mean()), "iou": float(answers.iou[mine].mean())}


def to_csv(answers: Answers, paths: Sequence[str], groups: Sequence[str]) -> str:
    """path,prompt,group,dice,iou,truth,found,height,width: one line an image."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "prompt", "group", "dice", "iou", "truth", "found", "height", "width"])
    for index, path in enumerate(paths):
        scores = (f"{answers.dice[index]:.6f}", f"{answers.iou[index]:.6f}")
        counts = (answers.truth[index], answers.found[index], *answers.sizes[index])
        rows.writerow([path, answers.prompts[index], groups[index], *scores, *counts])
    return text.getvalue()


def gallery(before: Answers, after: Answers, most: int = 6) -> dict[str, list[int]]:
    """Rows worth a look: best and worst, most improved and most worsened."""

    def top(order: np.ndarray, mask: np.ndarray) -> list[int]:
        return [int(row) for row in order if mask[row]][:most]

    change = after.dice - before.dice
    everything = np.ones(len(change), dtype=bool)
    ascending = np.argsort(after.dice, kind="stable")
    return {
        # An empty mask answered by nothing is right, and nothing to see.
        "best": top(np.argsort(-after.dice, kind="stable"), after.truth > 0),
        "worst": top(ascending, everything),
        "improved": top(np.argsort(-change, kind="stable"), change > 0),
        "worsened": top(np.argsort(change, kind="stable"), change < 0),
    }


def overlay(image: np.ndarray, found: np.ndarray, truth: np.ndarray | None, width: int = 0) -> np.ndarray:
    """An image, uint8 [h w 3], with what was found filled in colour and edged, and the truth as a white line.

    The fill is whichever of `FILLS` the image has less of; both lines have a dark rim outside, so that they are seen on
    bright and on dark ground.

    Args:
        found, truth: masks [h w] at the image's size; no line without a truth.
        width: of the lines, pixels; 0 is a 400th of the longer side, and 2 at least.
    """
    width = width or max(2, round(max(image.shape[:2]) / 400))
    mask = found > 0
    shown = image.copy()
    if mask.any():
        fill = contrasting(image)
        shown[mask] = (shown[mask] / 2 + np.array(fill) / 2).round().astype(np.uint8)
        _draw_line(shown, mask, fill, width)
    if truth is not None:
        _draw_line(shown, truth > 0, _WHITE, width)
    return shown


def contrasting(image: np.ndarray) -> Colour:
    """The one of `FILLS` that, laid half over an image, uint8 [h w 3], stays farthest from the image's own colours.

    Measured by the fifth percentile of distances in red, green and blue, so that a few pixels do not count.
    """
    pixels = image.reshape(-1, 3)
    own = pixels[:: 1 + len(pixels) // _SAMPLE].astype(float)
    over = {fill: own / 2 + np.array(fill) / 2 for fill in FILLS}
    apart = {fill: np.linalg.norm(tinted[:, None] - own[None], axis=2).min(1) for fill, tinted in over.items()}
    return max(FILLS, key=lambda fill: float(np.quantile(apart[fill], 0.05)))


def _draw_line(shown: np.ndarray, mask: np.ndarray, colour: Colour, width: int) -> None:
    """A line just inside a mask's edge, with a dark rim just outside."""
    shown[_border(~mask, width, edge=True)] = _DARK
    shown[_border(mask, width, edge=False)] = colour


def _border(mask: np.ndarray, width: int, edge: bool) -> np.ndarray:
    """The outermost pixels inside a mask, `width` deep; `edge` says whether what lies beyond the image is inside."""
    inner = mask
    for _ in range(width):
        wide = np.pad(inner, 1, constant_values=edge)
        inner = inner & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask & ~inner
