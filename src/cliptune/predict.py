"""Classifying image files with a finished run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.images import IMAGE_SUFFIXES, read_file
from cliptune.datasets.pixels import Pixels
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.models.shortcuts import using
from cliptune.runs import Run
from cliptune.tasks.classify import predict, scorer
from cliptune.training.compute import Compute, compute


def classify_files(
    run: Run, paths: Sequence[Path], top: int, classes: Sequence[str] | None, machine: Compute | None = None
) -> list[dict[str, Any]]:
    """See `Run.predict`."""
    if not paths:
        raise UserError("no images to predict", "give image files or folders, or '-' for paths on standard input")
    if top < 1:
        raise UserError(f"top = {top} makes no sense", "ask for at least 1 class")
    machine = machine or compute("auto", "float32")
    run.to(machine.device)
    if classes is not None and not run.adapter.method.open_vocabulary and tuple(classes) != run.classes:
        raise UserError(f"{run.adapter.method.name} knows only the classes it was fitted on", "leave the classes out")
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such image file", "give image files or folders")
    names = tuple(classes or run.classes)
    items = [Item(str(path), -1) for path in paths]
    imageset = ImageSet("files", names, read=lambda item: read_file(Path(item.path)))
    pixels = Pixels(imageset, items, run.backbone.preprocess, cache_bytes=0)
    with using(run.shortcuts):
        score = scorer(run.adapter, run.backbone.tokens(run.prompts(names)))
        found = predict(score, pixels, run.backbone, machine, batch=64, top=top)
    return [
        {
            "path": str(path),
            "prediction": names[ranked[0]],
            "score": float(probabilities[0]),
            "top": [(names[index], float(p)) for index, p in zip(ranked, probabilities)],
        }
        for path, ranked, probabilities in zip(paths, found.ranked, found.probabilities)
    ]


def image_files(paths: Iterable[str]) -> list[Path]:
    """Files as they are, folders as the images below them, sorted.

    Raises:
        UserError: a path does not exist, or a folder without images.
    """
    files: list[Path] = []
    for name in paths:
        path = user_path(name)
        if not path.exists():
            raise UserError(f"{path}: no such file or folder", "give image files or folders")
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if not below:
                raise UserError(
                    f"{path}: no images below that folder", f"looked for {', '.join(sorted(IMAGE_SUFFIXES))}"
                )
            files += below
        else:
            files.append(path)
    return files
