"""A run that marks images: its plan, and what is measured before and after. `pipeline` runs it like any other."""

import dataclasses
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPSegForImageSegmentation

from cliptune import recipe as recipes
from cliptune.counted import these
from cliptune.datasets.base import Augment
from cliptune.datasets.mask_episode import MaskEpisode, mask_episode, readable
from cliptune.datasets.mask_pixels import MaskPixels
from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import MaskItem, MaskSet, refuse_wordless
from cliptune.errors import UserError
from cliptune.files import write_text, write_whole
from cliptune.methods.base import Size
from cliptune.methods.with_decoder import Trained, WithDecoder, attach, decoder_size
from cliptune.models import segmenter as segmenters
from cliptune.models import zoo
from cliptune.models.preprocess import Preprocess
from cliptune.models.products import still
from cliptune.models.segmenter import Marker, Segmenter
from cliptune.recipe import Recipe, SegmentSettings
from cliptune.recipe_presets import length_notes
from cliptune.tasks.segment import Answers, Segment, answer, gallery, marked, measure, overlay, to_csv
from cliptune.training.compute import Compute, compute, refuse_inference_tensors, seeded
from cliptune.training.early_stopping import refuse_long_warmup, refuse_without_images
from cliptune.training.loop import stream_seed
from cliptune.training.memory import mask_chunk, standing_bytes
from cliptune.training.segment_lesson import SegmentLesson, segmenting

TEST_CACHE_BYTES = 2 << 30
THUMBNAIL = 160
"""pixels, longer side"""
GAP_IMAGES = 4


@dataclass(frozen=True)
class SegmentPlan:
    """A run of segmentation, understood and checked, before its first step."""

    recipe: Recipe
    backbone: Segmenter
    episode: MaskEpisode
    preprocess: Preprocess
    """the segmenter's, at the recipe's side"""
    machine: Compute
    notes: tuple[str, ...] = ()
    """what of the recipe does not count, in words"""

    @property
    def mirroring(self) -> None:
        """Nothing is decided from the images: they are varied only as far as the recipe asks."""

    @property
    def settings(self) -> SegmentSettings:
        assert self.recipe.segment is not None
        return self.recipe.segment

    @property
    def prompts(self) -> list[str]:
        """Every prompt a test image may be asked for."""
        return self.pixels(self.episode.test).texts()

    def pixels(self, items: tuple[MaskItem, ...], augmented: bool = False) -> MaskPixels:
        """The given items, if asked with the training augmentation of the recipe."""
        augment, episode = self.augment() if augmented else Augment(kind="none"), self.episode
        return MaskPixels(episode.maskset, items, self.preprocess, episode.prompt, augment, TEST_CACHE_BYTES)

    def augment(self) -> Augment:
        """How the training images are varied, their masks with them."""
        return Augment(kind="none").chosen(self.recipe.train.augment, self.recipe.train.crop)

    def attach(self) -> WithDecoder:
        """The method attached to the segmenter; its first numbers depend on the seed alone."""
        with seeded(stream_seed(self.recipe.protocol.seed, "attach")):
            adapter = attach(self.backbone, self.recipe.method, self.decoder, self.settings.decoder_lr or None)
        adapter.towers.own = self.recipe.shortcuts
        return adapter

    @property
    def decoder(self) -> Trained:
        """What of the decoder is trained: nothing where nothing is."""
        return self.settings.decoder if self.recipe.method.phases() else "none"

    def lesson(self) -> SegmentLesson:
        train, val = self.pixels(self.episode.train, augmented=True), self.pixels(self.episode.val)
        return SegmentLesson(self.recipe, train, val)

    def size(self) -> Size:
        """How many numbers are trained, those of the decoder among them."""
        own = self.recipe.method.size(self.backbone.model, 1)
        decoder = decoder_size(self.backbone, self.decoder)
        facts = {**own.facts, "towers": own.most, "decoder": decoder}
        return Size(own.least + decoder, own.most + decoder, facts)

    def before(self) -> "SegmentBefore":
        """The untouched segmenter measured on the test and validation images."""
        began = time.perf_counter()
        segment = segmenting(self.backbone.marker(), self.backbone, self.machine)
        pixels, val = self.pixels(self.episode.test), self.pixels(self.episode.val)
        test = self.answered(segment, pixels)
        validation = self.answered(segment, val) if len(val) else None
        return SegmentBefore(pixels, test, validation, segment, time.perf_counter() - began)

    def answered(self, segment: Segment, pixels: MaskPixels) -> Answers:
        with still():
            return answer(segment, pixels, min(32, self.recipe.evaluate.batch), self.settings.threshold)

    def measure(self, adapter: WithDecoder, before: "SegmentBefore", folder: Path) -> dict[str, Any]:
        """The trained adapter measured (merged, where it can be); predictions and overlays in `folder`."""
        adapter.eval()
        whole = adapter.merged_whole().eval() if adapter.method.mergeable else None
        marker = marker_of(whole, self.backbone) if whole is not None else adapter.marker
        segment = segmenting(marker, self.backbone, self.machine)
        began = time.perf_counter()
        after = self.answered(segment, before.pixels)
        speed = len(before.pixels) / (time.perf_counter() - began)
        threshold, groups = self.settings.threshold, [item.group for item in self.episode.test]
        metrics = {"test": measure(after, groups, threshold), "zero_shot": measure(before.test, groups, threshold)}
        if before.validation is not None:
            own = [item.group for item in self.episode.val]
            found = self.answered(segment, self.pixels(self.episode.val))
            metrics["validation"] = measure(found, own, threshold)
            metrics["validation_zero_shot"] = measure(before.validation, own, threshold)
        paths = [item.image for item in self.episode.test]
        write_text(folder / "predictions.csv", to_csv(after, paths, groups))
        write_text(folder / "zero_shot_predictions.csv", to_csv(before.test, paths, groups))
        rows = gallery(before.test, after)
        for row in sorted({row for group in rows.values() for row in group}):
            self.picture(row, before, segment, folder / "thumbnails")
        return {
            "metrics": metrics,
            "inference_images_per_second": speed,
            "gallery": rows,
            "merge_gap": None if whole is None else self.gap(adapter, whole, before.pixels),
        }

    def picture(self, row: int, before: "SegmentBefore", segment: Segment, folder: Path) -> None:
        """`<row>.png`, and with what was found before and after: `<row>-before.png`, `<row>-after.png`."""
        given, truth = before.pixels.plain([row]), before.pixels.truth(row)
        image = np.asarray(before.pixels.image(row))
        shown = {"": image}
        for name, of in (("-before", before.segment), ("-after", segment)):
            found = marked(of(given).float(), (truth.shape[0], truth.shape[1]), self.settings.threshold)[0]
            width = max(1, round(max(truth.shape) / THUMBNAIL * 1.5))
            shown[name] = overlay(image, found, truth, width)
        for name, pixels in shown.items():
            small = Image.fromarray(pixels)
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            write_whole(folder / f"{row}{name}.png", functools.partial(small.save, format="PNG"))

    @torch.no_grad()
    def gap(self, adapter: WithDecoder, whole: CLIPSegForImageSegmentation, pixels: MaskPixels) -> float:
        """`merge_gap` on the first test images."""
        given = pixels.plain(range(min(GAP_IMAGES, len(pixels))))
        return merge_gap(adapter, whole, given.prompts, self.backbone.preprocess.normalise(given.pixels))

    def kept_bytes(self) -> int:
        return 24 * 3 * THUMBNAIL**2 * 3

    def summary(self) -> str:
        """Data, protocol, prompts and numbers of images."""
        episode, texts = self.episode, self.prompts
        shots = "all images" if episode.shots is None else these(episode.shots, "image")
        line = (
            f"{episode.maskset.name} · trained on {shots} · seed {episode.seed} · {len(episode.train)} train, "
            f"{len(episode.val)} val, {len(episode.test)} test images at {self.preprocess.size} pixels"
        )
        more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
        told = f"{line}\nprompt {episode.prompt}: {texts[0]!r}{more}"
        if blocks := list(dict.fromkeys(site.rpartition(".")[0] for site in self.backbone.dead_sites())):
            what = "adapted and inert" if self.backbone.keeps_inert else "left out"
            told += f"\n{', '.join(blocks)}: {what}, for the decoder does not read what they compute"
        return told

    def told(self) -> dict[str, Any]:
        """What run.json says of task, data and protocol."""
        episode, maskset = self.episode, self.episode.maskset
        return {
            "task": "segment",
            "data": {
                "name": maskset.name,
                "root": maskset.root,
                "train": len(episode.train),
                "val": len(episode.val),
                "test": len(episode.test),
                "split": maskset.split,
                "notes": list(episode.notes),
                "episode_sha256": episode.sha256,
            },
            "tests": {"test": {"data": maskset.name, "images": len(episode.test)}},
            "prompt": {"kind": episode.prompt, "texts": self.prompts[:3]},
            "side": self.preprocess.size,
            "left_out": [] if self.backbone.keeps_inert else self.backbone.dead_sites(),
            "decoder_parameters": decoder_size(self.backbone, self.decoder),
            "protocol": episode.protocol,
            "shots": episode.shots,
            "seed": episode.seed,
        }


@dataclass(frozen=True)
class SegmentBefore:
    """What the untouched segmenter answers."""

    pixels: MaskPixels
    """of the test images"""
    test: Answers
    validation: Answers | None
    segment: Segment
    seconds: float


def marker_of(whole: CLIPSegForImageSegmentation, backbone: Segmenter) -> Marker:
    """Our forward through an ordinary CLIPSeg."""
    return Marker(backbone.through(whole.clip), whole.decoder)


@torch.no_grad()
def merge_gap(
    adapter: WithDecoder, whole: CLIPSegForImageSegmentation, prompts: list[str], normalised: torch.Tensor
) -> float:
    """Largest |logit difference| / max|logit| of the adapted model and of transformers' own forward of a merged one.

    Args:
        prompts: one for each image. normalised: pixels [b 3 s s].
    """
    normalised, tokens = normalised.to(adapter.backbone.device), adapter.backbone.tokens(prompts)
    ours = adapter.marker.mask_logits(adapter.marker.activations(normalised), adapter.marker.conditions(tokens))
    theirs = whole(input_ids=tokens, pixel_values=normalised).logits
    return float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-12))


def prepare_segment(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    draft: Recipe,
    preset: str,
    device: str,
    backbone: Any,
    maskset: Any,
    memory: str | None,
    outline: bool,
) -> SegmentPlan:
    """`planning.prepare` for a recipe with the table [segment], whose draft is `draft`.

    Raises:
        UserError: anything a person can mend.
    """
    data, settings = draft.data, draft.segment
    assert settings is not None
    if data.template or data.names:
        key = "template" if data.template else "names"
        raise UserError(f"data.{key} is for classification", "--prompt says what to mark")
    if maskset is not None and not isinstance(maskset, MaskSet):
        raise UserError(f"'{maskset.name}' has no masks", "give images with masks: cliptune.masks(…)")
    if backbone is not None and not isinstance(backbone, Segmenter):
        raise UserError(f"'{backbone.name}' has no decoder that marks images", "load one with cliptune.load_segmenter")
    words = settings.words or None
    maskset = maskset or open_masks(data.name, data.root or None, data.missing, words, settings.value)
    refuse_wordless(maskset, settings.prompt)
    episode = mask_episode(maskset, settings.prompt, draft.shots, draft.protocol.seed)
    if data.missing == "skip":
        episode = readable(episode)
    backbone = backbone or _load(draft.model.name, settings, outline)
    if backbone.keeps_inert != (settings.inert == "keep"):
        raise UserError(
            f"segment.inert = {settings.inert}, and the model was loaded otherwise", "load it with the same"
        )
    refuse_inference_tensors(backbone.name, backbone.model)
    machine = compute(device, draft.train.dtype, backbone.parameters)
    backbone = backbone.to(machine.device)
    if maskset.source:
        options = {**options, "data.name": str(Path(maskset.source).resolve())}
    if backbone.folder:
        options = {**options, "model.name": backbone.folder}
    final = recipes.assemble(tables, options, preset, parameters=backbone.parameters)
    side = settings.side or backbone.preprocess.crop
    chosen = dataclasses.replace(settings_of(final), prompt=episode.prompt, side=side)
    protocol = dataclasses.replace(
        final.protocol, name=episode.protocol, shots="all" if episode.shots is None else episode.shots
    )
    train = dataclasses.replace(final.train, dtype=machine.dtype)
    final = dataclasses.replace(final, protocol=protocol, train=train, segment=chosen)
    _refuse_side(side, backbone)
    if memory is not None:
        final = dataclasses.replace(final, train=dataclasses.replace(train, chunk=_chunk(memory, final, backbone)))
    refuse_without_images(final, len(episode.val))
    refuse_long_warmup(final, len(episode.train))
    preprocess = dataclasses.replace(backbone.preprocess, size=side, crop=side, squash=True)
    plan = SegmentPlan(final, backbone, episode, preprocess, machine, length_notes(tables, final.preset))
    if final.method.phases() and not plan.size().most:
        raise UserError(
            f"{final.method.name} with segment.decoder = {chosen.decoder} trains nothing", "--set segment.decoder=all"
        )
    return plan


def settings_of(recipe: Recipe) -> SegmentSettings:
    assert recipe.segment is not None
    return recipe.segment


def _load(name: str, settings: SegmentSettings, outline: bool) -> Segmenter:
    try:
        return segmenters.load(name, settings.inert)
    except UserError:
        if outline and name in zoo.SEGMENTERS:
            return segmenters.random_segmenter(name, inert=settings.inert)
        raise


def _refuse_side(side: int, backbone: Segmenter) -> None:
    patch = backbone.model.config.vision_config.patch_size
    if side % patch or side < 2 * patch:
        near = max(2, round(side / patch)) * patch
        raise UserError(
            f"segment.side = {side} is not a multiple of the patches' {patch} pixels", f"--set segment.side={near}"
        )


def _chunk(memory: str, recipe: Recipe, backbone: Segmenter) -> int:
    """Images that may go through together within `memory`; 0 for a whole batch."""
    if recipe.train.chunk:
        raise UserError("--memory and train.chunk say the same thing", "give one of them")
    settings = settings_of(recipe)
    size = recipe.method.size(backbone.model, 1).most + decoder_size(backbone, settings.decoder)
    standing = standing_bytes(size, recipe.method.formed(backbone.model))
    return mask_chunk(memory, backbone.whole.config, settings.side, recipe.train.batch, standing)
