"""What a mini CLIP knows, zero-shot: real handwritten digits, the drawn tasks, colours on shapes never so coloured."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, PreTrainedTokenizerFast

from cliptune.datasets.base import prompts
from cliptune.datasets.sets import world
from cliptune.datasets.world import COLOURS, DIGITS, HELD_OUT_PAIRS, SHAPES, SIDE, render, scene_of
from cliptune.datasets.world.captions import with_article

from .model import embed_images, embed_texts

TASKS = ("digits", "capitals", "shapes", "colours", "counts")
"""the tasks of the drawn world that are asked; held-out pairs are asked below, with more pictures"""
_REPEATS = 16
"""pictures of each held-out pair"""


@dataclass(frozen=True)
class Question:
    """Images, their labels and one prompt a class."""

    images: Tensor
    """(n, 3, 32, 32) in 0..1"""
    labels: Tensor
    """(n,)"""
    prompts: list[str]


def questions() -> dict[str, Question]:
    """The whole exam; the images are the same on every call."""
    return {
        "real digits": _real_digits(),
        **{task: _world(task) for task in TASKS},
        "held-out pairs": _held_out_pairs(),
    }


@torch.no_grad()
def grade(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, exam: Mapping[str, Question]) -> dict[str, float]:
    """Accuracy in per cent, one prompt a class."""
    return {name: round(_accuracy(model, tokenizer, question), 1) for name, question in exam.items()}


def _accuracy(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, question: Question) -> float:
    texts = embed_texts(model, tokenizer, question.prompts)
    images = torch.cat([embed_images(model, chunk) for chunk in question.images.split(500)])
    return 100 * ((images @ texts.T).argmax(dim=1) == question.labels).float().mean().item()


def _real_digits() -> Question:
    """scikit-learn's 1,797 handwritten digits: 8×8, one pixel of margin, enlarged to 32×32, white on black."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    large = F.interpolate(F.pad(small, (1, 1, 1, 1)), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    images = large.clamp(0, 1).expand(-1, 3, -1, -1)
    return Question(images, torch.tensor(bunch.target), prompts(DIGITS, "a photo of the digit {}"))


def _world(task: str) -> Question:
    image_set = world.load(task=task)
    images = torch.stack([_pixels(image_set.read(item)) for item in image_set.test])
    labels = torch.tensor([item.label for item in image_set.test])
    return Question(images, labels, prompts(image_set.classes, image_set.templates[0]))


def _pixels(image: Image.Image) -> Tensor:
    """(3, 32, 32) in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def _held_out_pairs() -> Question:
    """Which of 288 colour-shape pairs; only pairs that pretraining never shows are asked for."""
    rng, noise = Random("held-out pairs"), torch.Generator().manual_seed(0)
    names = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    asked = sorted(HELD_OUT_PAIRS) * _REPEATS
    images = render([scene_of(rng, "shape", SHAPES.index(shape), colour) for colour, shape in asked], noise)
    labels = torch.tensor([names.index(pair) for pair in asked])
    return Question(images, labels, [f"a photo of {with_article(f'{colour} {shape}')}" for colour, shape in names])
