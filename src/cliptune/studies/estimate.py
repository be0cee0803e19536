"""How long a study takes and how much memory, before it runs: from counts, and from finished runs where there are some.

    seconds = steps × batch and prompts' arithmetic / the rate of this machine's products × SLOWER, + tests' forward

A step takes 1.3 to 1.7 times its arithmetic (docs/performance.md), data sets differ in their prompts, and machines are
shared: take it as right within a factor of two. Nothing is opened but sets that ship and your own folders.
"""

import functools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import CLIPConfig, CLIPModel

from cliptune.datasets import data
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.models import zoo
from cliptune.recipe import Recipe
from cliptune.report.papers import facts_of
from cliptune.studies.pool import Pool
from cliptune.studies.study import Job
from cliptune.studies.work import (
    MANY,
    PROCESS_BYTES,
    PROMPT_TOKENS,
    Work,
    forward_operations,
    mask_work,
    steps,
    trained_numbers,
)
from cliptune.studies.work import outline as segmenter_outline
from cliptune.training.memory import bytes_of, bytes_per_image, image_tokens, standing_bytes

SLOWER = 1.6
OVERHEAD_SECONDS = 0.03
"""of a step, whatever its size"""
STARTING_SECONDS = 3.0
"""of a run: opening, decoding, writing"""


@dataclass(frozen=True)
class Extent:
    """What a run has to go through."""

    classes: int
    train: int
    """images"""
    tests: int
    """images of all tests"""


@dataclass(frozen=True)
class Estimate:
    """What a run will take; None where too little is known."""

    seconds: float | None
    bytes: int | None
    by: Literal["finished runs", "arithmetic", "unknown"]


def estimates(jobs: Sequence[Job], pool: Pool, root: str, device: str) -> list[Estimate]:
    """One a job, in order; rows of the same method, model and data share what finished runs tell of their steps."""
    known = _finished(jobs, pool)
    return [_estimate(job, known, root, device) for job in jobs]


def _estimate(job: Job, known: Mapping[tuple, float], root: str, device: str) -> Estimate:
    recipe = job.recipe
    found = mask_work(recipe, root) if recipe.task == "segment" else class_work(recipe, root)
    if found is None:
        return Estimate(None, None, "unknown")
    if (told := known.get(_kind(job))) is not None:
        return Estimate(STARTING_SECONDS + told * max(1, found.steps), found.bytes, "finished runs")
    each, further = found.step_operations / _rate(device), found.further_operations / _rate(device)
    seconds = STARTING_SECONDS + found.steps * (OVERHEAD_SECONDS + SLOWER * each) + SLOWER * further
    return Estimate(seconds, found.bytes, "arithmetic")


def class_work(recipe: Recipe, root: str) -> Work | None:
    """The work of a run that classifies; None where nothing is known of its data or its model."""
    model, size = outline(recipe.model.name), extent(recipe, root)
    if model is None or size is None:
        return None
    try:
        total = recipe.method.size(model, size.classes)
    except UserError:  # the run itself will say so
        return None
    return Work(
        steps(recipe, size.train),
        step_operations(recipe, model, size.classes, total.most),
        2 * size.tests * forward_operations(model, "vision", image_tokens(model)),
        _bytes(recipe, model, size, total.most),
    )


def _kind(job: Job) -> tuple:
    recipe = job.recipe
    return (recipe.task, recipe.model.name, recipe.data.name, recipe.protocol.name, job.row.recipe, recipe.train.batch)


def _finished(jobs: Sequence[Job], pool: Pool) -> dict[tuple, float]:
    """Seconds a step, evaluation included, of runs that are done."""
    found: dict[tuple, list[float]] = {}
    for job in jobs:
        record = pool.record(job)
        if record is not None and record.get("status") == "finished":
            seconds = sum(record["seconds"].values())
            found.setdefault(_kind(job), []).append(seconds / max(1, steps(job.recipe, record["data"]["train"])))
    return {kind: statistics.median(values) for kind, values in found.items()}


@functools.cache
def outline(name: str) -> CLIPModel | None:
    """The shapes of a backbone, without weights; None for a hub id that is not in the zoo."""
    if name == "mini" or name in zoo.ZOO:
        return zoo.outline(name)
    folder = user_path(name)
    if not (folder / "config.json").is_file():
        return None
    with torch.device("meta"):
        return CLIPModel(CLIPConfig.from_pretrained(folder))


@functools.cache
def _counts(name: str, root: str) -> tuple[int, int, int] | None:
    """Classes, train and test images of a data set."""
    facts = facts_of(name)
    if facts is not None:
        train, _, test = facts.counts
        return facts.classes, train or 9 * (test or 0) // 10, test or 0
    try:
        imageset = data(name, root or None)  # `reading` has refused code that nobody typed
    except UserError:
        return None
    return len(imageset.classes), len(imageset.train), len(imageset.test)


def extent(recipe: Recipe, root: str) -> Extent | None:
    """How much a run goes through, from what was published of its data set; None if nothing is known."""
    found = _counts(recipe.data.name, root)
    if found is None:
        return None
    classes, train, test = found
    protocol, share = recipe.protocol, 1.0
    if protocol.name == "base-to-novel":
        classes, share = -(-classes // 2), 0.5
    elif protocol.name == "domain-generalization":
        share = 0.75
        test //= 4
    shots = recipe.shots
    images = int(train * share) if shots is None else min(shots * classes, train or shots * classes)
    others = [_counts(name, root) for name in protocol.tests]
    return Extent(classes, images, test + sum(each[2] for each in others if each))


def step_operations(recipe: Recipe, model: CLIPModel, classes: int, trainable: int) -> float:
    """Additions and multiplications of one step: forward, back to the activations, and to weights where many learn."""
    vision = recipe.train.batch * forward_operations(model, "vision", image_tokens(model))
    text = classes * forward_operations(model, "text", PROMPT_TOKENS)
    many = trainable > MANY * sum(tensor.numel() for tensor in model.parameters())
    return (3 if many else 2) * (vision + text)


def _bytes(recipe: Recipe, model: CLIPModel, size: Extent, trainable: int) -> int:
    """Weights twice (the backbone and what is merged), a step's activations, gradients and moments."""
    weights = 8 * sum(tensor.numel() for tensor in model.parameters())
    chunk = recipe.train.chunk or recipe.train.batch
    prompts = recipe.train.text_chunk or size.classes
    plain = not recipe.method.fast()
    activations = chunk * bytes_per_image(model, plain) + bytes_of(model, "text", prompts * PROMPT_TOKENS, plain)
    standing = standing_bytes(trainable, recipe.method.formed(model))
    return PROCESS_BYTES + weights + standing + (activations if steps(recipe, size.train) else 0)


@functools.cache
def _rate(device: str) -> float:
    """Operations a second of float32 products here, measured for a fifth of a second with this process's threads."""
    place = "cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"
    left, right = torch.randn(1024, 768, device=place), torch.randn(768, 3072, device=place)
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < 0.2:
        product = left @ right
        if place == "cuda":
            product.sum().item()
        done += 1
    return done * 2 * left.numel() * right.shape[1] / spent


def sizes(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Trainable numbers of every row on its backbone; nothing is loaded.

    Raises:
        UserError: a backbone whose shape is not known here.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for job in jobs:
        recipe = job.recipe
        least, most, whole = _numbers(recipe)
        found[job.label, recipe.model.name] = {
            "label": job.label,
            "published": job.row.published,
            "model": recipe.model.name,
            "trainable_least": least,
            "trainable_most": most,
            "trainable_percent": 100 * most / whole,
        }
    return list(found.values())


def _numbers(recipe: Recipe) -> tuple[int, int, int]:
    """The least and the most that a recipe trains, and all numbers of its backbone."""
    name = recipe.model.name
    if recipe.segment is not None:
        backbone = segmenter_outline(name, recipe.segment.inert)
        if backbone is None:
            raise UserError(f"model '{name}' has no known shape", f"one of: mini, {', '.join(zoo.SEGMENTERS)}")
        most, own = trained_numbers(recipe, backbone), recipe.method.size(backbone.model, 1)
        return most - own.most + own.least, most, backbone.parameters
    model = outline(name)
    if model is None:
        raise UserError(f"model '{name}' has no known shape", f"one of: {', '.join(zoo.names())}")
    counts = _counts(recipe.data.name, "")
    size = recipe.method.size(model, counts[0] if counts else 1)
    return size.least, size.most, sum(tensor.numel() for tensor in model.parameters())
