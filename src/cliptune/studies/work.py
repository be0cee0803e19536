"""What a run has to do, counted before it runs: steps, operations, bytes. Here of a run that marks images.

    operations of a step = b · (k · V + V_d · 3) + k · c · T        k = 0 for frozen towers, 2 adapted, 3 trained whole

letters   V, V_d, T  forward of one image through the blocks that the decoder reads, through the decoder, of one
          prompt · b images and c prompts of a step
taken     Every image has a prompt of its own, which is too many for most sets and costs next to nothing. Frozen towers
          see each training image once and are kept. Training is as long as its epochs: it may end earlier.
"""

import functools
from dataclasses import dataclass

import torch
from transformers import CLIPModel, CLIPSegConfig, CLIPSegForImageSegmentation

from cliptune.datasets.facts import facts_of
from cliptune.datasets.mask_meaning import Wanted
from cliptune.datasets.mask_sets import open_masks
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.methods.with_decoder import decoder_size
from cliptune.models import segmenter as segmenters
from cliptune.models import zoo
from cliptune.models.preprocess import Preprocess
from cliptune.models.segmenter import Inert, Segmenter
from cliptune.recipe import Recipe
from cliptune.segmentation import TEST_CACHE_BYTES
from cliptune.training.early_stopping import period
from cliptune.training.loop import phase_steps
from cliptune.training.memory import mask_bytes, standing_bytes

PROMPT_TOKENS = 8
"""of a prompt; of classes their share of the common start included"""
PROCESS_BYTES = 700_000_000
"""of a process that has done nothing yet but import torch"""
MANY = 0.02
"""of a model's numbers: where more are trained, gradients of the weights cost as much as those of the activations"""


@dataclass(frozen=True)
class Work:
    """What a run has to do."""

    steps: int
    step_operations: float
    """additions and multiplications of one step"""
    further_operations: float
    """those of tests, validations and fits to features"""
    bytes: int


def steps(recipe: Recipe, images: int) -> int:
    """Optimiser steps of all phases on so many training images."""
    phases = [phase for phase in recipe.method.phases() if phase.kind == "gradient"]
    return sum(phase_steps(phase, recipe, images) for phase in phases)


def forward_operations(model: CLIPModel, tower: str, tokens: int) -> float:
    """Of one sequence: 12 d² products a token and block, and attention's 2 · tokens · d."""
    config = model.config.vision_config if tower == "vision" else model.config.text_config
    width = config.hidden_size
    return 2.0 * tokens * config.num_hidden_layers * (12 * width**2 + 2 * tokens * width)


def mask_work(recipe: Recipe, root: str) -> Work | None:
    """The work of a run that marks images; None where nothing is known of its data or its model."""
    settings = recipe.segment
    assert settings is not None
    backbone = outline(recipe.model.name, settings.inert)
    counts = mask_counts(recipe.data.name, root, settings.words, settings.value)
    if backbone is None or counts is None:
        return None
    shots, (train, val, test) = recipe.protocol.shots, counts
    train = min(shots, train) if isinstance(shots, int) else train
    try:
        towers, numbers = recipe.method.size(backbone.model, 1).most, trained_numbers(recipe, backbone)
    except UserError:  # the run itself will say so
        return None
    length = steps(recipe, train)
    whole = sum(tensor.numel() for tensor in backbone.model.parameters())
    passes = 0 if not towers else 3 if towers > MANY * whole else 2
    side = settings.side or backbone.preprocess.crop
    tokens = (side // backbone.model.config.vision_config.patch_size) ** 2 + 1
    vision = forward_operations(backbone.model, "vision", tokens)
    text = forward_operations(backbone.model, "text", PROMPT_TOKENS)
    decoder = 2.0 * tokens * sum(tensor.numel() for tensor in backbone.whole.decoder.parameters())
    batch = min(recipe.train.batch, train)
    # Before and after, and whenever it is validated; kept outputs of frozen towers are one forward more.
    seen = 2 * (test + val) + validations(recipe, train) * val + (train if not passes and length else 0)
    chunk = min(recipe.train.chunk or batch, batch)
    activations = chunk * mask_bytes(backbone.whole.config, side, towers=bool(passes)) if length else 0
    weights = 8 * sum(tensor.numel() for tensor in backbone.whole.parameters())
    standing = standing_bytes(numbers, recipe.method.formed(backbone.model))
    kept = sum(min(TEST_CACHE_BYTES, images * 4 * side**2) for images in (train, val, test))  # image and mask, uint8
    return Work(
        length,
        batch * (passes * (vision + text) + 3 * decoder),
        seen * (vision + text + decoder),
        PROCESS_BYTES + weights + standing + activations + kept,
    )


def trained_numbers(recipe: Recipe, backbone: Segmenter) -> int:
    """How many numbers a run trains at most, the decoder's among them."""
    assert recipe.segment is not None
    own = decoder_size(backbone, recipe.segment.decoder) if recipe.method.phases() else 0
    return recipe.method.size(backbone.model, 1).most + own


def validations(recipe: Recipe, images: int) -> int:
    """How often a run is validated while it trains on so many images."""
    lengths = [(phase, phase_steps(phase, recipe, images)) for phase in recipe.method.phases()]
    every = [(length, period(recipe, phase, length, images)) for phase, length in lengths]
    return sum(-(-length // step) for length, step in every if step)


@functools.cache
def outline(name: str, inert: Inert) -> Segmenter | None:
    """The shapes of a CLIP with a decoder, without weights; None for a hub id that is not in the zoo."""
    if name in zoo.SEGMENTERS:
        return segmenters.outline(name, inert)
    folder = zoo.MINI / "segmenter" if name == "mini" else user_path(name)
    if not (folder / "config.json").is_file():
        return None
    config = CLIPSegConfig.from_pretrained(folder)
    with torch.device("meta"):
        whole = CLIPSegForImageSegmentation(config)
    return Segmenter(whole, None, Preprocess.read(folder), name, "", inert)


@functools.cache
def mask_counts(name: str, root: str, words: str, value: Wanted = ()) -> tuple[int, int, int] | None:
    """Train, validation and test images of a set with masks: the published ones, else those of your folder."""
    facts = facts_of(name)
    if facts is not None and all(facts.counts):
        train, val, test = (count or 0 for count in facts.counts)
        return train, val, test
    try:
        found = open_masks(name, root or None, prompt=words or None, value=value)
    except UserError:
        return None
    return len(found.train), len(found.val), len(found.test)
