"""How long a study takes and how much memory, before it runs: from counts, and from finished runs where there are some.

    seconds = steps × batch and prompts' arithmetic / the rate of this machine's products × SLOWER, + tests' forward

A step takes 1.3 to 1.7 times its arithmetic (docs/performance.md), data sets differ in their prompts, and machines are
shared: take it as right within a factor of two. What a run goes through is told by `extent`.

    bytes = process + weights twice + what is trained + the larger of a step's and an evaluation's activations
            + decoded images that are kept
"""

import functools
import statistics
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from transformers import CLIPConfig, CLIPModel

from cliptune.datasets.pixels import CACHE_BYTES
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.methods.base import Method, Size
from cliptune.models import zoo
from cliptune.planning import AnyPlan, Plan
from cliptune.recipe import Recipe
from cliptune.studies.extent import Extent, extent, extent_of, kept_bytes
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
from cliptune.training.memory import (
    bytes_of,
    bytes_per_image,
    forward_bytes,
    image_tokens,
    standing_bytes,
)

SLOWER = 1.6
OVERHEAD_SECONDS = 0.03
"""of a step, whatever its size"""
STARTING_SECONDS = 3.0
"""of a run: opening, decoding, writing"""


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


def _estimate(job: Job, known: Mapping[tuple, tuple[float, float]], root: str, device: str) -> Estimate:
    recipe = job.recipe
    found = mask_work(recipe, root) if recipe.task == "segment" else class_work(recipe, root)
    if found is None:
        return Estimate(None, None, "unknown")
    if (told := known.get(_kind(job))) is not None:
        a_step, measuring = told
        return Estimate(STARTING_SECONDS + a_step * max(1, found.steps) + measuring, found.bytes, "finished runs")
    return Estimate(_seconds(found, _rate(device)), found.bytes, "arithmetic")


def _seconds(work: Work, rate: float) -> float:
    """Of a run on a machine with so many operations a second."""
    steps = work.steps * (OVERHEAD_SECONDS + SLOWER * work.step_operations / rate)
    return STARTING_SECONDS + steps + SLOWER * work.further_operations / rate


def work_of(plan: AnyPlan) -> Work | None:
    """What a prepared run has to do; None where too little is known of its backbone."""
    recipe = plan.recipe
    if not isinstance(plan, Plan):
        return mask_work(recipe, recipe.data.root)
    episode = plan.episode
    tests = sum(len(test.items) for test in episode.tests.values())
    size = extent_of(episode.imageset, episode.train, episode.val, tests)
    return _class_work(recipe, plan.backbone.model, replace(size, classes=len(episode.classes)))


def of_plan(plan: AnyPlan) -> Estimate:
    """What a prepared run will take, all its steps, on the device and in the precision it has."""
    work = work_of(plan)
    if work is None:
        return Estimate(None, None, "unknown")
    return Estimate(_seconds(work, _rate(plan.machine.device.type, plan.machine.dtype)), work.bytes, "arithmetic")


def besides_steps(plan: AnyPlan) -> float:
    """Seconds of a prepared run that are not its steps: starting, and measuring before and after; 0 if unknown."""
    work = work_of(plan)
    rate = _rate(plan.machine.device.type, plan.machine.dtype)
    return _seconds(replace(work, steps=0), rate) if work else 0.0


def steps_within(plan: AnyPlan, seconds: float) -> int:
    """How many steps of a prepared run fit into so many seconds, in tens; 0 where not even ten do."""
    work = work_of(plan)
    if work is None or not work.steps:
        return 0
    rate = _rate(plan.machine.device.type, plan.machine.dtype)
    before, after = _seconds(replace(work, steps=0), rate), _seconds(work, rate)
    return max(0, int((seconds - before) / ((after - before) / work.steps)) // 10 * 10)


def class_work(recipe: Recipe, root: str) -> Work | None:
    """The work of a run that classifies; None where nothing is known of its data or its model."""
    model, size = outline(recipe.model.name), extent(recipe, root)
    if model is None or size is None:
        return None
    try:
        return _class_work(recipe, model, size)
    except UserError:  # the run itself will say so
        return None


def _class_work(recipe: Recipe, model: CLIPModel, size: Extent) -> Work:
    total, formed = _sizes(recipe.method, model, size.classes)
    # Before and after; and features of every image, for a method fitted to them or the probe beside one that is not.
    seen = 2 * (size.tests + size.val) + (size.train + size.val if recipe.method.phases() else 0)
    return Work(
        steps(recipe, size.train),
        step_operations(recipe, model, size.classes, total.most),
        seen * forward_operations(model, "vision", image_tokens(model)),
        _bytes(recipe, model, size, standing_bytes(total.most, formed)),
    )


def _kind(job: Job) -> tuple:
    recipe = job.recipe
    return (recipe.task, recipe.model.name, recipe.data.name, recipe.protocol.name, job.row.recipe, recipe.train.batch)


def _finished(jobs: Sequence[Job], pool: Pool) -> dict[tuple, tuple[float, float]]:
    """Seconds a step, and of all measuring, of runs that are done: medians by kind."""
    found: dict[tuple, list[tuple[float, float]]] = {}
    for job in jobs:
        record = pool.record(job)
        if record is not None and record.get("status") == "finished":
            seconds, taken = record["seconds"], max(1, steps(job.recipe, record["data"]["train"]))
            found.setdefault(_kind(job), []).append((seconds["train"] / taken, seconds.get("evaluate", 0.0)))
    return {
        kind: (statistics.median(a_step for a_step, _ in pairs), statistics.median(rest for _, rest in pairs))
        for kind, pairs in found.items()
    }


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


_COUNTED: weakref.WeakKeyDictionary[CLIPModel, dict[Any, Any]] = weakref.WeakKeyDictionary()
"""what has been counted of a backbone: the runs of a study share few methods and models"""


def _parameters(model: CLIPModel) -> int:
    counted = _COUNTED.setdefault(model, {})
    if "parameters" not in counted:
        counted["parameters"] = sum(tensor.numel() for tensor in model.parameters())
    return counted["parameters"]


def _sizes(method: Method, model: CLIPModel, classes: int) -> tuple[Size, int]:
    """Trainable parameters, and how many numbers the weights that a step forms have."""
    counted = _COUNTED.setdefault(model, {})
    if (method, classes) not in counted:
        counted[method, classes] = (method.size(model, classes), method.formed(model))
    return counted[method, classes]


def step_operations(recipe: Recipe, model: CLIPModel, classes: int, trainable: int) -> float:
    """Additions and multiplications of one step: forward, back to the activations, and to weights where many learn."""
    vision = recipe.train.batch * forward_operations(model, "vision", image_tokens(model))
    text = classes * forward_operations(model, "text", PROMPT_TOKENS)
    many = trainable > MANY * _parameters(model)
    return (3 if many else 2) * (vision + text)


def _bytes(recipe: Recipe, model: CLIPModel, size: Extent, standing: int) -> int:
    """Most memory of a run on the CPU: see the module's words."""
    weights = 8 * _parameters(model)
    chunk = recipe.train.chunk or recipe.train.batch
    prompts = recipe.train.text_chunk or size.classes
    plain = not recipe.method.fast()
    activations = chunk * bytes_per_image(model, plain) + bytes_of(model, "text", prompts * PROMPT_TOKENS, plain)
    trained = bool(steps(recipe, size.train))
    forward = min(recipe.evaluate.batch, size.tests) * forward_bytes(model)
    kept = kept_bytes(size, recipe.train.augment, model.config.vision_config.image_size, CACHE_BYTES, trained)
    return PROCESS_BYTES + weights + standing + max(activations if trained else 0, forward) + kept


@functools.cache
def _rate(device: str, dtype: str = "float32") -> float:
    """Operations a second of products here, measured for a fifth of a second with this process's threads."""
    place = "cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"
    kind = getattr(torch, dtype)
    left, right = torch.randn(1024, 768, device=place).to(kind), torch.randn(768, 3072, device=place).to(kind)
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
    known = extent(recipe, "")
    size = recipe.method.size(model, known.classes if known else 1)
    return size.least, size.most, sum(tensor.numel() for tensor in model.parameters())
