"""From settings to a plan: recipe → data → protocol → backbone, all of it checked before anything is written."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from cliptune import recipe as recipes
from cliptune.counted import these
from cliptune.datasets import open_set
from cliptune.datasets.base import Augment, ImageSet, prompts
from cliptune.datasets.class_names import refuse_equal_prompts, refuse_names_that_are_no_text
from cliptune.datasets.code import typed_code
from cliptune.datasets.episodes import Episode, Test, readable
from cliptune.datasets.pixels import CACHE_BYTES, Pixels
from cliptune.datasets.segmentation import MaskSet
from cliptune.datasets.templates import ensemble as template_ensemble
from cliptune.errors import UserError
from cliptune.evaluation import Evaluation, evaluate
from cliptune.methods.base import Adapter, Size
from cliptune.models import zoo
from cliptune.models.backbone import Backbone, load, random_backbone
from cliptune.models.segmenter import Segmenter
from cliptune.models.towers import unknown_part
from cliptune.protocols import make_episode, resolved
from cliptune.recipe import Recipe
from cliptune.recipe_presets import is_trained_by_steps, length_notes
from cliptune.records import episode_record
from cliptune.tasks import with_task
from cliptune.training.compute import Compute, choose_device, compute, refuse_inference_tensors, seeded, usual_torch
from cliptune.training.early_stopping import refuse_long_warmup, refuse_without_images
from cliptune.training.loop import AnyLesson, Lesson, stream_seed
from cliptune.training.losses import self_consistency
from cliptune.training.memory import chunks_for, standing_bytes
from cliptune.training.mirroring import UNKNOWN, Mirroring, decided


class AnyPlan(Protocol):
    """A run, understood and checked, before its first step; what all tasks have in common."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def backbone(self) -> Backbone: ...
    @property
    def machine(self) -> Compute: ...
    @property
    def episode(self) -> Any:
        """The exact images: `sha256`, `notes`, `train`, and `save(path)`."""

    def attach(self) -> Any:
        """The method attached to the backbone; its first numbers depend on the seed alone."""

    def lesson(self) -> AnyLesson:
        """What the trainer is given; never a test split."""

    def size(self) -> Size:
        """How many numbers are trained."""

    def before(self) -> Any:
        """The untouched backbone measured; every test image is decoded."""

    def measure(self, adapter: Any, before: Any, folder: Path) -> dict[str, Any]:
        """The trained adapter measured: predictions and pictures in `folder`, numbers for the record."""

    def kept_bytes(self) -> int:
        """What it will write beside the adapter that is worth asking room for."""

    def told(self) -> dict[str, Any]:
        """What run.json says of data and protocol."""

    def augment(self) -> Augment:
        """How the training images are varied."""

    @property
    def mirroring(self) -> Mirroring | None:
        """What was decided about that before training, where the data set leaves it to its images."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the recipe does not count, in words."""

    def summary(self) -> str:
        """Data, protocol and numbers of images, in a line."""

    @property
    def prompts(self) -> list[str]:
        """What images are compared with."""


@dataclass(frozen=True)
class Plan:
    """A run of classification."""

    recipe: Recipe
    backbone: Backbone
    episode: Episode
    tokens: Tensor
    """class prompts [c t]"""
    machine: Compute
    typed: frozenset[Path] = frozenset()
    """Python files that a person typed as data; no other one is run"""
    mirroring: Mirroring | None = None
    """what was decided about the training images, where the data set leaves it to them"""
    notes: tuple[str, ...] = ()
    """what of the recipe does not count, in words"""

    @property
    def prompts(self) -> list[str]:
        return prompts(self.episode.classes, self.episode.template)

    def augment(self) -> Augment:
        """How the training images are varied."""
        return self.episode.imageset.augment.chosen(self.recipe.train.augment, self.recipe.train.crop)

    def pixels(self, items: Iterable[Any]) -> Pixels:
        """The given items, with the training augmentation this recipe asks for."""
        return Pixels(self.episode.imageset, tuple(items), self.backbone.preprocess, self.augment())

    def test_pixels(self, test: Test) -> Pixels:
        """The images of a test; all tests together keep as many decoded ones as a single one would."""
        share = CACHE_BYTES // len(self.episode.tests)
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

    def lesson(self) -> Lesson:
        """What the trainer is given: training and validation images, prompts, extra losses; never a test split."""
        ensemble = [self.tokens]
        if (named := self.recipe.loss.teacher_templates) != "same":
            templates = self.episode.imageset.templates if named == "ensemble" else template_ensemble(named)
            ensemble = [self.backbone.tokens(prompts(self.episode.classes, template)) for template in templates]
        consistency = self_consistency(self.recipe.loss, self.backbone, ensemble)
        train, val = self.pixels(self.episode.train), self.pixels(self.episode.val)
        return Lesson(self.recipe, train, val, self.tokens, consistency)

    def size(self) -> Size:
        """How many numbers are trained."""
        return self.recipe.method.size(self.backbone.model, len(self.episode.classes))

    def before(self) -> Evaluation:
        """The untouched backbone measured; every test image is decoded."""
        return Evaluation.before(self)

    def measure(self, adapter: Adapter, before: Evaluation, folder: Path) -> dict[str, Any]:
        """The trained adapter measured: predictions and pictures in `folder`, numbers for the record."""
        return evaluate(self, adapter, before, folder)

    def kept_bytes(self) -> int:
        """What features.safetensors takes, float16 before and after; nothing where the recipe does not ask for it."""
        images = len(next(iter(self.episode.tests.values())).items)
        return 2 * 2 * images * self.backbone.model.config.projection_dim if self.recipe.evaluate.features else 0

    def told(self) -> dict[str, Any]:
        """What run.json says of data and protocol."""
        return episode_record(self.episode)

    def summary(self) -> str:
        """Data, protocol and numbers of images, in a line or two."""
        episode = self.episode
        shots = "all images" if episode.shots is None else these(episode.shots, "shot")
        line = (
            f"{episode.imageset.name} · {these(len(episode.classes), 'class', 'classes')} · {shots} · "
            f"seed {episode.seed} · {len(episode.train)} train, {len(episode.val)} val, "
            f"{these(sum(len(test.items) for test in episode.tests.values()), 'test image')}"
        )
        if episode.protocol == "few-shot":
            return line
        held_out = f" · held-out domain: {episode.target}" if episode.target else ""
        tests = ", ".join(f"{name} ({len(test.items)})" for name, test in episode.tests.items())
        return f"{line}\n{episode.protocol}{held_out} · tests: {tests}"


@usual_torch()
def prepare(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    preset: str = "auto",
    device: str = "auto",
    backbone: Backbone | None = None,
    imageset: ImageSet | MaskSet | None = None,
    memory: str | None = None,
    outline: bool = False,
    task: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> AnyPlan:
    """Understand and check a run. Cheap mistakes are found before weights are loaded; nothing is written.

    Args:
        tables, options, preset: see `recipe.assemble`. A Python file named as data is run where `options` name it,
            which a person typed, and refused where `tables` do. device: see `training.compute`.
        backbone, imageset: instead of what the recipe names; a `Segmenter` and a `MaskSet` where images are marked.
        memory: what a step may take, like '2GB'; sets `train.chunk` and `train.text_chunk`.
        outline: a zoo backbone whose weights are out of reach is stood in for by random ones.
        task: classify, segment, or auto: as the recipe says, else segment where the data are images with masks.
        say: told in words what takes longer than a moment.

    Raises:
        UserError: anything a person can mend.
    """
    tables = with_task(tables, options, task, imageset)
    draft = recipes.assemble(tables, options, preset)
    choose_device(device, draft.train.dtype)
    if draft.segment is not None:
        from cliptune.segmentation import prepare_segment

        return prepare_segment(tables, options, draft, preset, device, backbone, imageset, memory, outline)
    assert not isinstance(imageset, MaskSet)
    if isinstance(backbone, Segmenter):
        what = f"'{backbone.name}' was loaded to mark images, and these have no masks"
        raise UserError(what, "load it with cliptune.load, or give images with masks: cliptune.masks(…)")
    data, typed = draft.data, typed_code(options.values())

    def open_other(name: str) -> ImageSet:
        return open_set(name, data.root or None, data.split_seed, data.missing, typed=typed)

    imageset = imageset or open_set(
        data.name, data.root or None, data.split_seed, data.missing, data.names or None, typed
    )
    protocol = resolved(draft.protocol, imageset)
    episode = make_episode(protocol, imageset, data.template, open_other)
    tests = episode.tests.values()
    items = (*episode.train, *episode.val, *(item for test in tests for item in test.items))
    names = (*episode.classes, *(name for test in tests for name in test.classes))
    refuse_names_that_are_no_text(names, (item.path for item in items))
    if data.missing == "skip":
        episode = readable(episode)
    if not draft.method.open_vocabulary and any(test.classes != episode.classes for test in episode.tests.values()):
        raise UserError(
            f"{draft.method.name} knows only the classes it is fitted on; {episode.protocol} tests it on others",
            "take another method, or --protocol few-shot",
        )
    backbone = backbone or _load(draft.model.name, outline)
    refuse_inference_tensors(backbone.name, backbone.model)
    machine = compute(device, draft.train.dtype, backbone.parameters)
    backbone = backbone.to(machine.device)
    words = prompts(episode.classes, episode.template)
    tokens = tokens_for(backbone, words)
    refuse_equal_prompts(episode.classes, tokens)
    if imageset.source:
        options = {**options, "data.name": str(Path(imageset.source).resolve())}
    options = {**options, **{f"data.{key}": value for key, value in imageset.opened.items()}}
    if backbone.folder:
        options = {**options, "model.name": backbone.folder}
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
    refuse_long_warmup(final, len(episode.train))
    refuse_without_images(final, len(episode.val))
    mirroring = None
    if final.train.augment == "data" and imageset.augment.kind == "auto" and is_trained_by_steps(final.method):
        stands_in = outline and not backbone.source
        mirroring = UNKNOWN if stands_in else machine.group.on_main(lambda: decided(imageset, backbone, say))
        final = dataclasses.replace(final, train=dataclasses.replace(final.train, augment=mirroring.augment))
    return Plan(final, backbone, episode, tokens, machine, typed, mirroring, length_notes(tables, final.preset))


def _load(name: str, outline: bool) -> Backbone:
    try:
        return load(name)
    except UserError:
        if outline and name in zoo.ZOO:
            return random_backbone(name)
        raise


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
