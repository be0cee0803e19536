"""Folders of runs that segment, made up for the report's tests: the shape of a real one, numbers by numpy."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEADER = ("path", "prompt", "group", "dice", "iou", "truth", "found", "height", "width")
BOUNDS = {"nothing": [0.0, 0.0], "small": [0.001, 0.05], "medium": [0.05, 0.15], "large": [0.15, 0.6]}
SIDE = 100


def write_segment_run(
    folder: Path,
    *,
    method: str = "lora",
    settings: dict[str, Any] | None = None,
    n: int = 40,
    before: float = 0.4,
    after: float = 0.8,
    noise: float = 0.1,
    shots: int | None = 16,
    seed: int = 1,
    kind: str = "p1",
    parameters: int = 100_000,
    nothing: int = 4,
    thumbnails: bool = True,
    **over: Any,
) -> Path:
    """A finished run whose files agree, on the same test images for every seed; `over` replaces keys of run.json."""
    truth = np.random.default_rng(5).integers(20, 4000, n)
    truth[:nothing] = 0
    was = _answers(np.random.default_rng(9), truth, before, noise)
    now = _answers(np.random.default_rng([seed, sum(map(ord, method))]), truth, after, noise)
    groups = ["benign" if row % 2 else "malignant" for row in range(n)]
    return write_files(
        folder,
        _rows(truth, *was, groups),
        _rows(truth, *now, groups),
        method=method,
        settings=settings,
        shots=shots,
        seed=seed,
        kind=kind,
        parameters=parameters,
        thumbnails=thumbnails,
        **over,
    )


def write_files(
    folder: Path,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    *,
    method: str = "lora",
    settings: dict[str, Any] | None = None,
    shots: int | None = 16,
    seed: int = 1,
    kind: str = "p1",
    parameters: int = 100_000,
    thumbnails: bool = True,
    **over: Any,
) -> Path:
    """A run folder from the rows of its two prediction files; run.json is worked out from them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("zero_shot_predictions.csv", before), ("predictions.csv", after)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HEADER)
            writer.writeheader()
            writer.writerows(rows)
    gallery = _gallery(before, after)
    if thumbnails:
        _thumbnails(folder / "thumbnails", sorted({row for rows in gallery.values() for row in rows}))
    _events(folder / "metrics.jsonl")
    texts = {"p0": [""], "p1": ["polyp"]}.get(kind, ["one large round polyp in the centre"])
    run = {
        "status": "finished",
        "name": folder.name,
        "task": "segment",
        "method": method,
        "settings": settings if settings is not None else {"rank": 4},
        "model": {"name": "mini-seg", "source": "mini-seg", "sha256": "cd" * 32, "parameters": 2_000_000},
        "data": {
            "name": "kvasir",
            "train": shots or 800,
            "val": 100,
            "test": len(after),
            "notes": ["2 files left out"],
            "split": "published",
            "episode_sha256": f"{shots or 0:02d}{seed:02d}" * 16,
        },
        "prompt": {"kind": kind, "texts": texts},
        "protocol": "few-shot" if shots else "full-data",
        "shots": shots,
        "seed": seed,
        "trainable_parameters": parameters,
        "trainable_percent": 100 * parameters / 2_000_000,
        "decoder_parameters": parameters // 4,
        "sites": ["vision.0.q", "text.0.q"],
        "inert": [],
        "metrics": {
            "test": _measure(after),
            "zero_shot": _measure(before),
            "validation": {"dice": 0.75, "n": 100},
        },
        "seconds": {"train": 65.0, "evaluate": 5.0},
        "images_per_second": 30.0,
        "inference_images_per_second": 90.0,
        "peak_memory_bytes": 900_000_000,
        "merge_gap": 2e-6,
        "gallery": gallery,
        "environment": {"cliptune": "0.1.0", "commit": "0123456789abcdef", "device": "cpu", "dtype": "float32"},
        "recipe": {"method": {"name": method}, "train": {"lr": 1e-3}},
        "finished": f"2025-01-0{seed}T10:00:25+00:00",
    }
    (folder / "run.json").write_text(json.dumps(run | over, ensure_ascii=False), encoding="utf-8")
    return folder


def row(name: str, dice: float, truth: int = 500, found: int = 500, group: str = "", prompt: str = "polyp") -> dict:
    """One line of predictions.csv; IoU follows from Dice."""
    iou = dice / (2 - dice)
    told = {"dice": f"{dice:.6f}", "iou": f"{iou:.6f}", "truth": truth, "found": found, "height": SIDE, "width": SIDE}
    return {"path": f"test/images/{name}.png", "prompt": prompt, "group": group, **told}


def _answers(draw, truth, mean, noise):
    dice = np.clip(draw.normal(mean, noise, len(truth)), 0, 0.99)
    found = np.maximum((truth * draw.uniform(0.7, 1.3, len(truth))).astype(int), 1)
    empty = (truth == 0) & (draw.random(len(truth)) < mean)
    dice = np.where(truth == 0, empty.astype(float), dice)
    return dice, np.where(empty, 0, found)


def _rows(truth, dice, found, groups):
    values = zip(dice, truth, found, groups)
    return [row(f"image_{i:03d}", float(d), int(t), int(f), g) for i, (d, t, f, g) in enumerate(values)]


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    dice, iou = (float(np.mean([float(each[key]) for each in rows])) for key in ("dice", "iou"))
    return {"n": len(rows), "dice": dice, "iou": iou}


def _measure(rows):
    sized: dict[str, list] = {}
    grouped: dict[str, list] = {}
    for each in rows:
        share = each["truth"] / (each["height"] * each["width"])
        size = next(name for name, (_, high) in BOUNDS.items() if share <= high)
        sized.setdefault(size, []).append(each)
        if each["group"]:
            grouped.setdefault(each["group"], []).append(each)
    whole, nothing = _mean(rows), sized.get("nothing", [])
    return {
        **whole,
        "interval": [max(0.0, whole["dice"] - 0.03), min(1.0, whole["dice"] + 0.03)],
        "dice_at_input": whole["dice"] - 0.01,
        "threshold": 0.5,
        "empty": {"n": len(nothing), "right": sum(each["found"] == 0 for each in nothing)},
        "per_size": {name: {**_mean(found), "share": BOUNDS[name]} for name, found in sized.items()},
        "per_group": {name: _mean(found) for name, found in grouped.items()},
    }


def _gallery(before, after):
    now, was = ([float(each["dice"]) for each in rows] for rows in (after, before))
    order = sorted(range(len(now)), key=lambda i: -now[i])
    change = sorted(range(len(now)), key=lambda i: was[i] - now[i])
    return {
        "best": order[:6],
        "worst": order[::-1][:6],
        "improved": [i for i in change if now[i] > was[i]][:6],
        "worsened": [i for i in change[::-1] if now[i] < was[i]][:6],
    }


def _thumbnails(folder, rows):
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(2)
    for index in rows:
        for ending in ("", "-before", "-after"):
            small = draw.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((160, 120), Image.Resampling.NEAREST).save(folder / f"{index}{ending}.png")


def _events(path):
    events: list[dict[str, Any]] = [{"event": "started", "steps": 60}]
    for step in range(1, 61):
        loss = float(np.exp(-step / 20))
        parts = {"bce": 0.6 * loss, "dice": 0.4 * loss}
        events.append({"event": "step", "phase": "train", "step": step, "loss": loss, "parts": parts})
        if step % 20 == 0:
            events.append({"event": "validated", "step": step, "dice": 0.5 + 0.004 * step})
    path.write_text("\n".join(map(json.dumps, events)) + "\n", encoding="utf-8")
