"""One run from settings to run folder: recipe → data → protocol → backbone → attach → fit → evaluate → record.

One direction; nothing reaches back. `prepare` refuses everything a person can mend before anything is written.
"""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cliptune import files
from cliptune import recipe as recipes
from cliptune.datasets import open_set
from cliptune.datasets.base import Augment, ImageSet, prompts
from cliptune.datasets.episodes import Episode, Test, readable
from cliptune.datasets.pixels import Pixels
from cliptune.datasets.templates import ensemble as template_ensemble
from cliptune.errors import UserError
from cliptune.evaluation import Evaluation, evaluate
from cliptune.methods.base import Adapter
from cliptune.models import zoo
from cliptune.models.backbone import Backbone, load, random_backbone
from cliptune.models.shortcuts import using
from cliptune.models.towers import unknown_part
from cliptune.protocols import make_episode, resolved
from cliptune.recipe import Recipe
from cliptune.records import already_done, describe, same_everywhere, write_record
from cliptune.report.card import model_card
from cliptune.runs import Run, read_record, run_name, save_adapter
from cliptune.tracking import Trackers, installed
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.compute import Compute, choose_device, compute, seeded
from cliptune.training.early_stopping import refuse_without_images
from cliptune.training.events import Event, Measured
from cliptune.training.log import Log, Meter
from cliptune.training.loop import Lesson, fit, stream_seed
from cliptune.training.losses import self_consistency
from cliptune.training.memory import chunks_for, standing_bytes

Listener = Callable[[Event], None]
TEST_CACHE_BYTES = 4 << 30
"""decoded test images that are kept between measuring the backbone and measuring the adapter"""


@dataclass(frozen=True)
class Plan:
    """A run, understood and checked, before its first step."""

    recipe: Recipe
    backbone: Backbone
    episode: Episode
    tokens: Tensor
    """class prompts [c t]"""
    machine: Compute

    @property
    def prompts(self) -> list[str]:
        return prompts(self.episode.classes, self.episode.template)

    def pixels(self, items: Iterable[Any]) -> Pixels:
        """The given items, with the training augmentation this recipe asks for."""
        declared, train = self.episode.imageset.augment, self.recipe.train
        kind = declared.kind if train.augment == "data" else train.augment
        augment: Augment = dataclasses.replace(declared, kind=kind, crop=train.crop)
        return Pixels(self.episode.imageset, tuple(items), self.backbone.preprocess, augment)

    def test_pixels(self, test: Test) -> Pixels:
        """The images of a test; all tests together keep as many decoded ones as a single one would."""
        share = TEST_CACHE_BYTES // len(self.episode.tests)
        return Pixels(test.imageset, test.items, self.backbone.preprocess, cache_bytes=share)

    def tokens_of(self, test: Test) -> Tensor:
        """Class prompts of a test [c t]."""
        if (test.classes, test.template) == (self.episode.classes, self.episode.template):
            return self.tokens
        return tokens_for(self.backbone, prompts(test.classes, test.template))

    def attach(self) -> Adapter:
        """The method attached to the backbone; its first numbers depend on the seed alone."""
        with seeded(stream_seed(self.recipe.protocol.seed, "attach")):
            adapter = self.recipe.method.attach(self.backbone)
        adapter.towers.own = self.recipe.shortcuts
        return adapter


def prepare(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    preset: str = "auto",
    device: str = "auto",
    backbone: Backbone | None = None,
    imageset: ImageSet | None = None,
    memory: str | None = None,
    outline: bool = False,
) -> Plan:
    """Understand and check a run. Cheap mistakes are found before weights are loaded; nothing is written.

    Args:
        tables, options, preset: see `recipe.assemble`. device: see `training.compute`.
        backbone, imageset: instead of what the recipe names.
        memory: what a step may take, like '2GB'; sets `train.chunk` and `train.text_chunk`.
        outline: a zoo backbone whose weights are out of reach is stood in for by random ones.

    Raises:
        UserError: anything a person can mend.
    """
    draft = recipes.assemble(tables, options, preset)
    choose_device(device, draft.train.dtype)
    data = draft.data

    def open_other(name: str) -> ImageSet:
        return open_set(name, data.root or None, data.split_seed, data.missing)

    imageset = imageset or open_set(data.name, data.root or None, data.split_seed, data.missing, data.names or None)
    protocol = resolved(draft.protocol, imageset)
    episode = make_episode(protocol, imageset, data.template, open_other)
    if data.missing == "skip":
        episode = readable(episode)
    if not draft.method.open_vocabulary and any(test.classes != episode.classes for test in episode.tests.values()):
        raise UserError(
            f"{draft.method.name} knows only the classes it is fitted on; {episode.protocol} tests it on others",
            "take another method, or --protocol few-shot",
        )
    backbone = backbone or _load(draft.model.name, outline)
    machine = compute(device, draft.train.dtype, backbone.parameters)
    backbone = backbone.to(machine.device)
    words = prompts(episode.classes, episode.template)
    tokens = tokens_for(backbone, words)
    if imageset.source:
        options = {**options, "data.name": str(Path(imageset.source).resolve())}
    options = {**options, **{f"data.{key}": value for key, value in imageset.opened.items()}}
    final = recipes.assemble(tables, options, preset, parameters=backbone.parameters)
    train = dataclasses.replace(final.train, dtype=machine.dtype)
    final = dataclasses.replace(final, protocol=protocol, train=train)
    if memory is not None:
        if final.train.chunk or final.train.text_chunk:
            raise UserError("--memory and train.chunk or train.text_chunk say the same thing", "give one of them")
        size = final.method.size(backbone.model, len(words))
        standing = standing_bytes(size.most, final.method.formed(backbone.model))
        whole = final.shortcuts.forward == "transformers" or bool(unknown_part(backbone.model))
        chunk, text_chunk = chunks_for(
            memory,
            backbone.model,
            tokens,
            final.train.batch,
            standing,
            layout="whole" if whole else final.shortcuts.prompts,
            plain=whole or final.shortcuts.products == "plain" or not final.method.fast(),
        )
        final = dataclasses.replace(final, train=dataclasses.replace(final.train, chunk=chunk, text_chunk=text_chunk))
    steps = recipes.steps_of(final, len(episode.train))
    if final.method.phases() and final.train.warmup_steps >= steps:
        raise UserError(f"train.warmup_steps = {final.train.warmup_steps} of {steps} steps", "warm up for fewer steps")
    refuse_without_images(final, len(episode.val))
    return Plan(final, backbone, episode, tokens, machine)


def _load(name: str, outline: bool) -> Backbone:
    try:
        return load(name)
    except UserError:
        if outline and name in zoo.ZOO:
            return random_backbone(name)
        raise


def features_bytes(plan: Plan) -> int:
    """What features.safetensors takes, float16 before and after; nothing where the recipe does not ask for it."""
    images = len(next(iter(plan.episode.tests.values())).items)
    return 2 * 2 * images * plan.backbone.model.config.projection_dim if plan.recipe.evaluate.features else 0


def tokens_for(backbone: Backbone, words: list[str]) -> Tensor:
    """Token ids of prompts [c t]; made-up ones for a backbone that came without tokenizer."""
    return backbone.tokens(words) if backbone.tokenizer else placeholder_tokens(backbone, len(words))


def placeholder_tokens(backbone: Backbone, classes: int) -> Tensor:
    """Made-up prompts of ten tokens [c 10] for a backbone without tokenizer: sizes and times, no meaning."""
    generator = torch.Generator().manual_seed(0)
    middle = torch.randint(1000, 40000, (classes, 8), generator=generator)
    start, end = backbone.end_token - 1, backbone.end_token
    return torch.cat([torch.full((classes, 1), start), middle, torch.full((classes, 1), end)], dim=1).to(
        backbone.device
    )


def execute(
    plan: Plan,
    out: Path | None = None,
    *,
    resume: bool = False,
    fresh: bool = False,
    listeners: Iterable[Listener] = (),
    before: Evaluation | None = None,
    track: Iterable[str] = (),
) -> Run:
    """Train, evaluate and record a prepared run. An equal finished run is returned as it is.

    Of several processes the main one measures, writes and tells the listeners; the others train along and wait for it.

    Args:
        out: run folder. resume, fresh: what to do with an unfinished or other run there. listeners: hear the events.
        before: the untouched backbone measured already, by another run on the same episode and backbone.
        track: experiment trackers that are told of the run, see `tracking`.

    Raises:
        UserError: a tracker is not installed; the folder holds another or an unfinished run; no room; training went
            wrong in a known way.
    """
    track = installed(track)
    folder = out or Path("runs") / run_name(plan.recipe)
    group = plan.machine.group
    same_everywhere(plan)
    if not group.on_main(lambda: already_done(folder, plan, resume=resume, fresh=fresh)):
        names = track if group.main else ()
        with using(plan.recipe.shortcuts), Trackers(names, folder, plan.recipe, len(plan.episode.train)) as trackers:
            _execute(plan, folder, fresh=fresh, listeners=[*listeners, trackers.hear], before=before)
    return Run(folder, plan.backbone, group.on_main(lambda: read_record(folder)))


def _execute(plan: Plan, folder: Path, *, fresh: bool, listeners: list[Listener], before: Evaluation | None) -> None:
    group = plan.machine.group
    with group.together():
        if group.main:
            files.writable_folder(folder)
        adapter = plan.attach()
        lesson = make_lesson(plan)
        evaluation = (before or Evaluation.before(plan)) if group.main else None
        decode(lesson)
        if group.main:
            adapters = 3 * sum(tensor.nbytes for tensor in adapter.state().values())
            files.room_for(folder, adapters + features_bytes(plan) + 20_000_000)
            if fresh and folder.exists():
                shutil.rmtree(folder)
    if evaluation is None:
        return _train_along(plan, adapter, lesson)
    started_here = not folder.exists()
    try:
        _run(plan, folder, adapter, lesson, evaluation, listeners)
    except Exception as problem:
        if started_here and not Checkpoint(folder / "checkpoint").exists():
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _note_failure(folder, problem)
        if isinstance(problem, OSError):
            raise files.cannot_write(folder, problem) from problem
        raise


def _train_along(plan: Plan, adapter: Adapter, lesson: Lesson) -> None:
    """What the processes beside the main one do of `_run`; they meet it where it does something alone."""
    group = plan.machine.group
    with group.together():
        pass
    for _ in fit(adapter, lesson, plan.machine):
        pass
    with group.together():
        pass


def _note_failure(folder: Path, problem: Exception) -> None:
    """Leave word in run.json, if the disk lets us; --resume goes on from the last checkpoint."""
    with contextlib.suppress(UserError):
        record = read_record(folder) | {"status": "failed", "error": str(problem).split("\n")[0]}
        write_record(folder, record)


def make_lesson(plan: Plan) -> Lesson:
    """What the trainer is given: training and validation images, prompts, extra losses; never a test split."""
    ensemble = [plan.tokens]
    if (named := plan.recipe.loss.teacher_templates) != "same":
        templates = plan.episode.imageset.templates if named == "ensemble" else template_ensemble(named)
        ensemble = [plan.backbone.tokens(prompts(plan.episode.classes, template)) for template in templates]
    consistency = self_consistency(plan.recipe.loss, plan.backbone, ensemble)
    return Lesson(plan.recipe, plan.pixels(plan.episode.train), plan.pixels(plan.episode.val), plan.tokens, consistency)


def decode(lesson: Lesson) -> None:
    """Decode every training and validation image once, so that a bad file is found before anything is written."""
    for pixels in (lesson.train, lesson.val):
        for _ in pixels.batches(64):
            pass


def _run(
    plan: Plan, folder: Path, adapter: Adapter, lesson: Lesson, evaluation: Evaluation, listeners: list[Listener]
) -> None:
    group, meter, checkpoint = plan.machine.group, Meter(), Checkpoint(folder / "checkpoint")
    with group.together():
        record = describe(plan, adapter, folder) | {"status": "running", "started": _now()}
        write_record(folder, record)
        files.write_text(folder / "recipe.toml", plan.recipe.to_toml())
        plan.episode.save(folder / "episode.json")
        log = Log(folder / "metrics.jsonl", adapter, checkpoint)
    progress = checkpoint.progress()
    earlier = progress.seconds if progress else 0.0
    began = time.perf_counter()
    with log:
        for event in fit(adapter, lesson, plan.machine, checkpoint):
            log.write(event)
            meter.hear(event)
            for listener in listeners:
                listener(event)
    record["seconds"] = {"train": earlier + time.perf_counter() - began}
    with group.together():
        _finish(plan, folder, adapter, evaluation, record, meter)
        for listener in listeners:
            listener(Measured(record["metrics"]))
        checkpoint.remove()


def _finish(
    plan: Plan, folder: Path, adapter: Adapter, evaluation: Evaluation, record: dict[str, Any], meter: Meter
) -> None:
    """Measure the trained adapter, save it, and complete the record."""
    record |= describe(plan, adapter, folder)
    measuring = time.perf_counter()
    record |= evaluate(plan, adapter, evaluation, folder)
    record["seconds"]["evaluate"] = evaluation.seconds + time.perf_counter() - measuring
    record["images_per_second"] = meter.images_per_second
    if meter.training:
        record["training"] = meter.training
    record["peak_memory_bytes"] = plan.machine.peak_memory_bytes()
    record |= {"status": "finished", "finished": _now()}
    save_adapter(folder / "adapter", adapter, model_card(record))
    write_record(folder, record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
