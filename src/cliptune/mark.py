"""Marking image files with a finished run of segmentation, and measuring one again."""

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cliptune.datasets.images import read_file
from cliptune.datasets.mask_episode import items_of, kind_of
from cliptune.datasets.mask_pixels import Batch, MaskPixels
from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import KIND_OF_PROMPT, MaskItem, MaskSet
from cliptune.errors import UserError
from cliptune.files import read_json, sweep, writable_folder, write_text, write_whole
from cliptune.methods.with_decoder import WithDecoder
from cliptune.models.preprocess import Preprocess
from cliptune.models.products import still
from cliptune.models.segmenter import Marker, Segmenter
from cliptune.models.shortcuts import using
from cliptune.runs import Run
from cliptune.segmentation import marker_of
from cliptune.tasks.segment import answer, marked, measure, overlay
from cliptune.training.compute import compute
from cliptune.training.segment_lesson import segmenting

BATCH = 16
LIST = "marked.csv"
"""what `mark_files` wrote, beside its folders masks/ and overlays/; without a share: begun, and not written yet"""
COLUMNS = ("path", "prompt", "mask", "overlay", "share")


def opened(run: Run, device: str = "auto", dtype: str = "float32") -> tuple[Marker, Segmenter, Any, Preprocess]:
    """What marks (a merged copy, where the method can be merged), its segmenter, the device, the preprocessing.

    Raises:
        UserError: the run classifies.
    """
    if run.task != "segment":
        raise UserError(f"{run.folder} classifies and marks nothing", "give a run trained with --task segment")
    machine = compute(device, dtype, run.backbone.parameters)
    run.to(machine.device)
    backbone, adapter = run.backbone, run.adapter
    assert isinstance(backbone, Segmenter)
    assert isinstance(adapter, WithDecoder)
    marker = marker_of(adapter.merged_whole().eval(), backbone) if adapter.method.mergeable else adapter.marker
    side = int(run.record["side"])
    return marker, backbone, machine, replace(backbone.preprocess, size=side, crop=side, squash=True)


def mark_files(run: Run, paths: Sequence[Path], out: Path, prompt: str | None) -> list[dict[str, Any]]:
    """See `Run.mark`."""
    if not paths:
        raise UserError("no images to mark", "give image files or folders, or '-' for paths on standard input")
    texts = run.record["prompt"]["texts"]
    if prompt is None and len(texts) != 1:
        raise UserError("the run was trained to find different things", f"say what to mark: --prompt {texts[0]!r}")
    words = texts[0] if prompt is None else prompt
    if not words.strip() and prompt is not None:
        raise UserError("the prompt is empty", "say what to mark: --prompt polyp")
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such image file", "give image files or folders")
    files = [
        {"mask": out / "masks" / f"{name}.png", "overlay": out / "overlays" / f"{name}.png"} for name in _names(paths)
    ]
    earlier = _earlier(out / LIST)
    _refuse_overwriting([file for both in files for file in both.values()], earlier)
    marker, backbone, machine, preprocess = opened(run)
    threshold = float(run.record["recipe"]["segment"]["threshold"])
    writable_folder(out)
    # The list comes first: it is the proof that the pictures are ours, also of a call that is interrupted.
    rows: list[dict[str, Any]] = [
        {"path": str(path), "prompt": words, **{kind: str(file) for kind, file in both.items()}, "share": ""}
        for path, both in zip(paths, files, strict=True)
    ]
    made = {_place(row["mask"]) for row in rows}
    kept = [row for row in earlier if _place(row["mask"]) not in made]
    write_text(out / LIST, _csv([*kept, *rows]))
    sweep(out)
    with using(run.shortcuts), still():
        segment = segmenting(marker, backbone, machine)
        for row, path, both in zip(rows, paths, files, strict=True):
            image = read_file(path)
            pixels = torch.from_numpy(preprocess.cut(image).copy()).permute(2, 0, 1)[None].float() / 255
            logits = segment(Batch(pixels, torch.zeros(1, 1, 1), [words])).float()
            found = marked(logits, (image.height, image.width), threshold)[0]
            pictures = {"mask": found.astype(np.uint8) * 255, "overlay": overlay(np.asarray(image), found, None)}
            for kind, file in both.items():
                picture = Image.fromarray(pictures[kind])
                write_whole(file, functools.partial(picture.save, format="PNG"))
            row["share"] = float(found.mean())
    write_text(out / LIST, _csv([*kept, *rows]))
    return rows


def _refuse_overwriting(files: Sequence[Path], earlier: Sequence[Mapping[str, Any]]) -> None:
    """What `LIST` names was written, or begun, by an earlier call and may be written again; nothing else is."""
    ours = {_place(row[kind]) for row in earlier for kind in ("mask", "overlay")}
    foreign = [file for file in files if (file.exists() or file.is_symlink()) and _place(file) not in ours]
    if foreign:
        raise UserError(f"{foreign[0]} exists and was not written by `predict`", "give another folder: --out marked")


def _place(file: str | Path) -> tuple[str, ...]:
    """A picture's folder and name: the folder above may have been called otherwise, or moved."""
    return Path(file).parts[-2:]


def _earlier(path: Path) -> list[dict[str, Any]]:
    """The rows of the list that an earlier call left; none where there is no such list."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, csv.Error):
        return []
    return [{name: row[name] for name in COLUMNS} for row in rows if all(row.get(name) is not None for name in COLUMNS)]


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _names(paths: Sequence[Path]) -> list[str]:
    """A file name for each image, without suffix; images of one name in several folders are numbered."""
    names: list[str] = []
    for path in paths:
        name, number = path.stem, 2
        while name in names:
            name, number = f"{path.stem}-{number}", number + 1
        names.append(name)
    return names


def measure_masks_again(
    run: Run, data: str | None, root: str | None, prompt: str | None, device: str
) -> dict[str, Any]:
    """Dice of the untouched segmenter and of the adapted one on test images.

    Args:
        data: a set of images with masks; None is the run's own. prompt: kind of prompt (p1, random); or, for your own
            images without prompts.csv, the words to look for. None is the run's.

    Returns:
        data, prompt (kind), texts (up to three), zero_shot, adapted.

    Raises:
        UserError: no test images, no such kind of prompt, or images that do not say what to look for.
    """
    settings = run.record["recipe"]["data"]
    base, kind = root or settings["root"] or None, run.record["prompt"]["kind"]
    words = None if prompt is None or KIND_OF_PROMPT.fullmatch(prompt) else prompt
    if words is None and prompt is not None:
        kind = prompt
    if data is None:
        own = run.record["recipe"]["segment"]
        maskset = open_masks(settings["name"], base, "skip", words or own["words"] or None, own.get("value", ()))
        items = _items(run)
        if prompt is not None:
            known = {item.image: item for part in (maskset.train, maskset.val, maskset.test) for item in part}
            items = tuple(known[item.image] for item in items if item.image in known)
    else:
        maskset = _other(data, base, words, run)
        items = maskset.test
    kind = kind_of(maskset, "auto" if prompt is None and kind not in maskset.prompt_types else kind)
    if words is not None:
        kind = "p1"
    dtype = run.record["environment"]["dtype"]
    marker, backbone, machine, preprocess = opened(run, device, "auto" if dtype == "float16" else dtype)
    pixels = MaskPixels(maskset, items, preprocess, kind)
    groups, threshold = [item.group for item in items], float(run.record["recipe"]["segment"]["threshold"])
    found = {}
    with using(run.shortcuts), still():
        for name, each in (("zero_shot", backbone.marker()), ("adapted", marker)):
            answers = answer(segmenting(each, backbone, machine), pixels, BATCH, threshold)
            found[name] = measure(answers, groups, threshold)
    return {"data": maskset.name, "prompt": kind, "texts": pixels.texts()[:3], **found}


def _items(run: Run) -> tuple[MaskItem, ...]:
    """The run's own test images, from its episode.json."""
    path, fix = run.folder / "episode.json", "put back the file that `cliptune train` wrote, or train again"
    episode = read_json(path, fix)
    try:
        return items_of(episode["test"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise UserError(f"{path} is broken: {type(problem).__name__} {problem}", fix) from None


def _other(data: str, root: str | None, words: str | None, run: Run) -> MaskSet:
    """Other data; your own images without prompts.csv are asked for `words`, or for what the run learned to find."""
    maskset = open_masks(data, root, prompt=words)
    if words is None and maskset.source and maskset.prompt_types == ("p0",):
        texts = run.record["prompt"]["texts"]
        if len(texts) != 1 or not texts[0]:
            raise UserError(f"'{maskset.name}' does not say what its masks mark", "--prompt WORDS does")
        maskset = open_masks(data, root, prompt=texts[0])
    if not maskset.test:
        raise UserError(f"'{maskset.name}' has no test images", "give data with a test split")
    return maskset
