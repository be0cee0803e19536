"""Marking image files with a finished run of segmentation, and measuring one again."""

import csv
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cliptune.datasets.contents import located
from cliptune.datasets.mask_episode import items_of, kind_of
from cliptune.datasets.mask_pixels import Batch, MaskPixels
from cliptune.datasets.mask_sets import lies_below, open_masks
from cliptune.datasets.segmentation import KIND_OF_PROMPT, MaskItem, MaskSet
from cliptune.errors import UserError
from cliptune.files import read_json, refuse_odd, short, sweep, writable_folder, write_text, write_whole
from cliptune.inputs import Answer, Images, Picture, attempted, collected, pictures, share
from cliptune.methods.with_decoder import WithDecoder
from cliptune.models.preprocess import Preprocess
from cliptune.models.products import still
from cliptune.models.segmenter import Marker, Segmenter
from cliptune.models.shortcuts import using
from cliptune.progress import Bar
from cliptune.reevaluate import note_replaced, refuse_gone, seen_before
from cliptune.runs import Run
from cliptune.segmentation import marker_of
from cliptune.tasks.segment import answer, marked, measure, overlay
from cliptune.training.compute import compute
from cliptune.training.segment_lesson import segmenting

BATCH = 16
LIST = "marked.csv"
"""what `marks` wrote, beside its folders masks/ and overlays/; without a share: begun, and not written yet"""
COLUMNS = ("path", "prompt", "mask", "overlay", "share")


def opened(run: Run, device: str = "auto", dtype: str = "float32") -> tuple[Marker, Segmenter, Any, Preprocess]:
    """What marks (a merged copy, where the method can be merged), its segmenter, the device, the preprocessing.

    Raises:
        UserError: the run classifies.
    """
    if run.task != "segment":
        raise _no_segmenter(run)
    machine = compute(device, dtype, run.backbone.parameters)
    run.to(machine.device)
    backbone, adapter = run.backbone, run.adapter
    assert isinstance(backbone, Segmenter)
    assert isinstance(adapter, WithDecoder)
    marker = marker_of(adapter.merged_whole().eval(), backbone) if adapter.method.mergeable else adapter.marker
    side = int(run.record["side"])
    return marker, backbone, machine, replace(backbone.preprocess, size=side, crop=side, squash=True)


def _no_segmenter(run: Run) -> UserError:
    return UserError(f"{short(run.folder)} classifies and marks nothing", "give a run trained with --task segment")


def mark(
    run: Run,
    images: Images,
    out: Path,
    prompt: str | None,
    threshold: float | None,
    skip_bad: bool,
    device: str,
    progress: bool,
) -> list[Answer]:
    """See `Run.mark`."""
    listed = pictures(images)
    nothing = dict.fromkeys(("prompt", "mask", "overlay", "share"))
    with Bar("images", len(listed), shown=progress and len(listed) > BATCH) as bar:
        return collected(listed, marks(run, listed, out, prompt, threshold, device), nothing, skip_bad, bar)


def marks(
    run: Run,
    images: Sequence[Picture],
    out: Path,
    prompt: str | None = None,
    threshold: float | None = None,
    device: str = "auto",
) -> Iterator[Answer | UserError]:
    """For each image, in order, what was marked and written below `out`, or why it cannot be read.

    Raises:
        UserError: see `Run.mark`; or files of another origin are in the way.
    """
    if run.task != "segment":
        raise _no_segmenter(run)
    words = _prompt(run, prompt)
    if threshold is None:
        threshold = float(run.record["recipe"]["segment"]["threshold"])
    threshold = share(threshold)
    files = [
        {"mask": out / "masks" / f"{name}.png", "overlay": out / "overlays" / f"{name}.png"} for name in _names(images)
    ]
    earlier = _earlier(out / LIST)
    _refuse_overwriting([file for both in files for file in both.values()], earlier)
    marker, backbone, machine, preprocess = opened(run, device)
    writable_folder(out)
    # The list comes first: it is the proof that the pictures are ours, also of a call that is interrupted.
    planned: list[Answer] = [
        {"path": picture.name, "prompt": words, **{kind: str(file) for kind, file in both.items()}, "share": ""}
        for picture, both in zip(images, files, strict=True)
    ]
    made = {_place(row["mask"]) for row in planned}
    kept = [row for row in earlier if _place(row["mask"]) not in made]
    write_text(out / LIST, _csv([*kept, *planned]))
    sweep(out)
    segment = segmenting(marker, backbone, machine)

    def mark_one(name: str, image: Image.Image, both: dict[str, Path]) -> Answer:
        pixels = torch.from_numpy(preprocess.cut(image).copy()).permute(2, 0, 1)[None].float() / 255
        with using(run.shortcuts), still():
            logits = segment(Batch(pixels, torch.zeros(1, 1, 1), [words])).float()
        mask = marked(logits, (image.height, image.width), threshold)[0]
        drawn = {"mask": mask.astype(np.uint8) * 255, "overlay": overlay(np.asarray(image), mask, None)}
        for kind, file in both.items():
            write_whole(file, functools.partial(Image.fromarray(drawn[kind]).save, format="PNG"))
        names = {kind: str(file) for kind, file in both.items()}
        return {"path": name, "prompt": words, **names, "share": float(mask.mean())}

    rows = []
    for picture, both in zip(images, files, strict=True):
        image = attempted(picture)
        if isinstance(image, UserError):
            yield image
            continue
        rows.append(mark_one(picture.name, image, both))
        yield rows[-1]
    write_text(out / LIST, _csv([*kept, *rows]))


def _prompt(run: Run, prompt: str | None) -> str:
    """What to look for.

    Raises:
        UserError: the run knows several things and none is named, or an empty prompt.
    """
    texts = run.record["prompt"]["texts"]
    if prompt is None and len(texts) != 1:
        raise UserError("the run was trained to find different things", f"say what to mark: --prompt {texts[0]!r}")
    if prompt is not None and not prompt.strip():
        raise UserError("the prompt is empty", "say what to mark: --prompt polyp")
    return texts[0] if prompt is None else prompt


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
    if path.exists():
        refuse_odd(path)
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


def _names(images: Sequence[Picture]) -> list[str]:
    """A file name for each image, without suffix; images of one name in several folders are numbered."""
    names: dict[str, None] = {}
    for picture in images:
        stem = Path(picture.name).stem
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names[name] = None
    return list(names)


def measure_masks_again(
    run: Run, data: str | None, root: str | None, prompt: str | None, device: str
) -> dict[str, Any]:
    """Dice of the untouched segmenter and of the adapted one on test images.

    Args:
        data: a set of images with masks; None is the run's own. prompt: kind of prompt (p1, random); or, for your own
            images without prompts.csv, the words to look for. None is the run's.

    Returns:
        data, prompt (kind), texts (up to three), zero_shot, adapted, left_out, notes.

    Raises:
        UserError: no test images, no such kind of prompt, or images that do not say what to look for.
    """
    settings = run.record["recipe"]["data"]
    base, kind = root or settings["root"] or None, run.record["prompt"]["kind"]
    words = None if prompt is None or KIND_OF_PROMPT.fullmatch(prompt) else prompt
    if words is None and prompt is not None:
        kind = prompt
    notes: list[str] = []
    seen: set[str] = set()
    if data is None:
        own = run.record["recipe"]["segment"]
        refuse_gone(settings["name"])
        maskset = open_masks(settings["name"], base, "skip", words or own["words"] or None, own.get("value", ()))
        items = _items(run)
        if prompt is not None:
            known = {item.image: item for part in (maskset.train, maskset.val, maskset.test) for item in part}
            items = tuple(known[item.image] for item in items if item.image in known)
        masks = [mask for item in items for mask in item.masks]
        images = located(maskset.root, (item.image for item in items))
        note_replaced(run, {"test": images, "masks": located(maskset.root, masks)}, notes)
    else:
        maskset = _other(data, base, words, run)
        notes += maskset.notes if maskset.source else ()
        paths = [item.image for item in maskset.test]
        seen = seen_before(run, maskset.name, paths, located(maskset.root, paths), notes)
        items = tuple(item for item in maskset.test if item.image not in seen)
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
    known_too = {"left_out": len(seen), "notes": notes}
    return {"data": maskset.name, "prompt": kind, "texts": pixels.texts()[:3], **found, **known_too}


def _items(run: Run) -> tuple[MaskItem, ...]:
    """The run's own test images, from its episode.json."""
    path, fix = run.folder / "episode.json", "put back the file that `cliptune train` wrote, or train again"
    episode = read_json(path, fix)
    try:
        return items_of(episode["test"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise UserError(f"{path} is broken: {type(problem).__name__} {problem}", fix) from None


def _other(data: str, root: str | None, words: str | None, run: Run) -> MaskSet:
    """Other data. Your own images are read by the run's `segment.value`, and without prompts.csv are asked for `words`,
    or for what the run learned to find.
    """
    own = Path(data).expanduser().is_dir() and not lies_below(data, root)
    value = run.record["recipe"]["segment"].get("value", ()) if own else ()
    missing = run.record["recipe"]["data"].get("missing", "refuse")
    maskset = open_masks(data, root, missing, prompt=words, value=value)
    if words is None and maskset.source and maskset.prompt_types == ("p0",):
        texts = run.record["prompt"]["texts"]
        if len(texts) != 1 or not texts[0]:
            raise UserError(f"'{maskset.name}' does not say what its masks mark", "--prompt WORDS does")
        maskset = open_masks(data, root, missing, prompt=texts[0], value=value)
    if not maskset.test:
        raise UserError(f"'{maskset.name}' has no test images", "give data with a test split")
    return maskset
