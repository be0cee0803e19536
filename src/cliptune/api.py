"""The same verbs from Python."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cliptune.datasets.base import ImageSet
from cliptune.datasets.segmentation import MaskSet
from cliptune.methods.base import Method
from cliptune.models.backbone import Backbone
from cliptune.models.segmenter import Segmenter
from cliptune.pipeline import execute, prepare
from cliptune.recipe import load_tables
from cliptune.runs import Run
from cliptune.settings import plain
from cliptune.tracking import installed


def train(
    model: Backbone | str,
    data: ImageSet | MaskSet | str,
    method: Method | str,
    *,
    shots: int | None = None,
    seed: int | None = None,
    preset: str = "auto",
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    fresh: bool = False,
    track: Iterable[str] | str = (),
) -> Run:
    """Adapt `model` with `method` on `shots` images per class of `data`, measure it, write a run folder.

    Images with masks are marked: shots are then images in all.

    Args:
        model: a backbone from `cliptune.load`, a segmenter from `cliptune.load_segmenter`, or its name.
        data: an image set from `cliptune.data`, images with masks from `cliptune.masks`, or their name.
        method: like `cliptune.DoRA(rank=2)`, or a method's or recipe's name.
        shots, seed: None takes the recipe's (16, of images with masks all, and 1 where it says nothing).
        settings: dotted key → value, as `--set`: {"train.lr": 1e-3}.
        out: run folder; by default below `runs/`.
        track: experiment trackers that follow the run, like "tensorboard" or ["tensorboard", "wandb"].

    Returns:
        The finished run; an equal finished run in that folder is returned as it is.

    Raises:
        UserError: anything a person can mend.
    """
    trackers = installed([track] if isinstance(track, str) else track)
    if isinstance(method, Method):
        tables: dict[str, dict[str, Any]] = {"method": {"name": method.name, **plain(method)}}
    else:
        tables = load_tables(method)
    given = {"protocol.shots": shots, "protocol.seed": seed}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None} | dict(settings or {})
    backbone = model if isinstance(model, Backbone) else None
    imageset = None if isinstance(data, str) else data
    chosen["model.name"] = backbone.name if backbone else model
    chosen["data.name"] = (imageset.source or imageset.name) if imageset else data
    if isinstance(imageset, MaskSet):
        chosen |= imageset.opened
        if isinstance(backbone, Segmenter) and backbone.keeps_inert:
            chosen.setdefault("segment.inert", "keep")
    elif imageset:
        chosen["data.split_seed"] = imageset.split_seed
        chosen |= {f"data.{key}": value for key, value in imageset.opened.items()}
    plan = prepare(tables, chosen, preset, device, backbone, imageset)
    return execute(plan, Path(out) if out else None, resume=resume, fresh=fresh, track=trackers)
