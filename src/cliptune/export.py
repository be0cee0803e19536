"""Handing a run's result to other tools: an ordinary transformers folder of a CLIP or a CLIPSeg."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPModel, PreTrainedModel
from transformers.utils import logging as transformers_logging

from cliptune.errors import UserError
from cliptune.files import cannot_write, give_usual_permissions, room_for, system_error, writable_folder
from cliptune.methods.base import Adapter
from cliptune.methods.with_decoder import WithDecoder
from cliptune.models.backbone import Backbone
from cliptune.models.preprocess import Preprocess
from cliptune.models.shortcuts import using
from cliptune.models.towers import Towers
from cliptune.run_folder import RunFolder
from cliptune.runs import Run


def merge_run(run: Run, out: Path) -> float:
    """Write weights, tokenizer and preprocessing of the merged model to `out`; see `Run.merge`.

    Raises:
        UserError: the method cannot be merged, or `out` exists with other things in it.
    """
    segments = isinstance(run.adapter, WithDecoder)
    merged = run.adapter.merged_whole() if isinstance(run.adapter, WithDecoder) else run.adapter.merged()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty", "give a new folder")
    writable_folder(out)
    room_for(out.parent, 5 * run.backbone.parameters)
    preprocess = run.backbone.preprocess
    with using(run.shortcuts):
        if segments:
            side = run.record["side"]
            preprocess = replace(preprocess, size=side, crop=side, squash=True)
            gap = segment_gap(run, merged, side)
        else:
            gap = merge_gap(run.adapter, merged, run.backbone.tokens(run.prompts()))
    save_pretrained(merged, run.backbone, out, preprocess)
    return gap


def segment_gap(run: Run, merged: Any, side: int) -> float:
    """`segmentation.merge_gap` on a fixed noise pattern and the run's first prompt."""
    from cliptune import segmentation

    adapter = run.adapter.eval()
    assert isinstance(adapter, WithDecoder)
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return segmentation.merge_gap(adapter, merged.eval(), run.record["prompt"]["texts"][:1] * 2, noise)


def save_pretrained(
    model: PreTrainedModel, backbone: Backbone, out: Path, preprocess: Preprocess | None = None
) -> None:
    """A folder that transformers' model and processor load by `from_pretrained`; whole or not at all.

    It is made in `RunFolder.beside`. What a killed process left there is removed by the next one.
    """
    transformers_logging.disable_progress_bar()
    place = RunFolder(out)
    with place.lock():
        half = place.beside
        try:
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            model.save_pretrained(half)
            if backbone.tokenizer is not None:
                backbone.tokenizer.save_pretrained(half)
            (preprocess or backbone.preprocess).write(half)
            give_usual_permissions(half)
            if out.is_dir():
                out.rmdir()
            half.rename(place.whole)
        except Exception as problem:
            if (cause := problem if isinstance(problem, OSError) else system_error(problem)) is not None:
                raise cannot_write(out, cause) from problem
            raise
        finally:
            shutil.rmtree(half, ignore_errors=True)


@torch.no_grad()
def merge_gap(adapter: Adapter, merged: CLIPModel, tokens: torch.Tensor, images: torch.Tensor | None = None) -> float:
    """Largest |logit difference| / max|logit| between the merged and the adapted model.

    Args:
        tokens: class prompts [c t]. images: normalised pixels [b 3 h w]; a fixed noise pattern if not given.
    """
    if images is None:
        side = adapter.backbone.preprocess.crop
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(4, 3, side, side, generator=generator).to(adapter.backbone.device)
    was_training = adapter.training
    adapter.eval()
    ours = adapter.logits(adapter.image_features(images), adapter.text_features(tokens))
    adapter.train(was_training)
    scale = float(merged.logit_scale.exp())
    plain = Towers(merged)
    theirs = scale * plain.image_features(images) @ plain.text_features(tokens).T
    return float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-12))
