"""Run folders made up for the report's tests: the shape of a real one, numbers by numpy."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cliptune.statistics import calibration, expected_calibration_error, wilson

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = ("q", "k", "v", "o", "fc1", "fc2", "ln1", "ln2")


def write_run(
    folder: Path,
    *,
    method: str = "dora",
    settings: dict[str, Any] | None = None,
    classes: Sequence[str] = DIGITS,
    n: int = 600,
    before: float = 0.64,
    after: float = 0.91,
    shots: int = 16,
    seed: int = 1,
    episode: str | None = None,
    steps: int = 200,
    gallery: bool = True,
    retention: bool = True,
    parameters: int = 184_320,
    selection: dict[str, Any] | None = None,
    random: int = 0,
    **over: Any,
) -> Path:
    """A finished run whose two prediction files and run.json agree; `over` replaces keys of run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = np.random.default_rng(7).permutation(np.arange(n) % len(classes))
    draw = np.random.default_rng([seed, shots, random, sum(map(ord, method))])
    zero_shot = _predictions(np.random.default_rng(11), truth, before, len(classes))
    adapted = _predictions(draw, truth, after, len(classes), easier=zero_shot[0] == truth)
    names = [f"test/{classes[label][:20].replace('/', '_')}/image_{row:04d}.png" for row, label in enumerate(truth)]
    for file, (guess, score) in (("zero_shot_predictions.csv", zero_shot), ("predictions.csv", adapted)):
        _write_predictions(folder / file, names, truth, guess, score, classes)
    rows = _gallery(truth, zero_shot, adapted)
    if gallery:
        _thumbnails(folder / "thumbnails", sorted({row for group in rows.values() for row in group}), draw)
    _write_events(folder / "metrics.jsonl", steps, draw)
    run = {
        "status": "finished",
        "name": folder.name,
        "method": method,
        "settings": settings if settings is not None else {"rank": 2, "alpha": 1.0, "where": ["*.q", "*.v"]},
        "model": {"name": "mini", "source": "mini", "sha256": "ab" * 32, "parameters": 6_400_000},
        "data": {
            "name": "digits",
            "root": "",
            "classes": list(classes),
            "train": shots * len(classes),
            "val": 4 * len(classes),
            "test": n,
            "episode_sha256": episode or f"{shots:02d}{seed:02d}" * 16,
            "split": "70/10/20",
            "template": "a photo of the digit {}.",
        },
        "protocol": "few-shot",
        "shots": shots,
        "seed": seed,
        "trainable_parameters": parameters,
        "trainable_percent": 100 * parameters / 6_400_000,
        "sites": [f"vision.{block}.{part}" for block in range(6) for part in "qv"],
        "inert": [],
        "metrics": {
            "test": _measure(truth, *adapted, classes),
            "zero_shot": _measure(truth, *zero_shot, classes),
            "validation": {"accuracy": after - 0.01, "n": 4 * len(classes)},
        },
        "retention": _retention(draw, after) if retention else {},
        "seconds": {"train": 21.4, "evaluate": 3.2},
        "images_per_second": 412.0,
        "peak_memory_bytes": 812_000_000,
        "merge_gap": 3.1e-7,
        "gallery": rows if gallery else {},
        "environment": {
            "python": "3.12.1",
            "torch": "2.6.0",
            "transformers": "5.0.0",
            "cliptune": "0.1.0",
            "commit": "0123456789abcdef",
            "dirty": False,
            "machine": "x86_64, 8 cores",
            "threads": 8,
            "device": "cpu",
            "dtype": "float32",
        },
        "recipe": {
            "recipe": {"preset": "small"},
            "method": {"name": method, **(settings or {})},
            "protocol": {"name": "few-shot", "shots": shots, "seed": seed},
            "train": {"lr": 1e-3, "steps": steps, "batch": 32},
        },
        "started": f"2025-01-0{seed}T10:00:00+00:00",
        "finished": f"2025-01-0{seed}T10:00:25+00:00",
    }
    if selection:
        run["selection"] = selection
    (folder / "run.json").write_text(json.dumps(run | over, ensure_ascii=False), encoding="utf-8")
    return folder


def ast_selection(blocks: int = 12, k: int = 6) -> dict[str, Any]:
    """Scores of two towers of `blocks` blocks; the key biases are inert, the k best picked in every part."""
    draw = np.random.default_rng(3)
    scores = {
        f"{tower}.{block}.{part}.{kind}": float(draw.lognormal(2 + 0.15 * block + PARTS.index(part) * 0.2, 0.5))
        for tower in ("vision", "text")
        for block in range(blocks)
        for part in PARTS
        for kind in ("weight", "bias")
    }
    inert = [name for name in scores if name.endswith("k.bias")]
    ranked = sorted((name for name in scores if name not in inert), key=lambda name: -scores[name])
    for name in inert:
        scores[name] = 9.9e7
    return {
        "k": k,
        "granularity": "tensor",
        "score": "adam",
        "scores": scores,
        "picked": ranked[: 4 * k],
        "inert": inert,
    }


def _predictions(draw, truth, accuracy, classes, easier=None):
    chance = np.full(len(truth), accuracy)
    if easier is not None and 0 < accuracy < 1:
        share = easier.mean()
        spread = min(0.06, (1 - accuracy) / 2)
        chance = np.where(easier, accuracy + spread, accuracy - spread * share / max(1 - share, 0.05))
    right = draw.random(len(truth)) < np.clip(chance, 0, 1)
    near = np.where(draw.random(len(truth)) < 0.5, (truth + 1) % classes, draw.integers(0, classes, len(truth)))
    near = np.where(near == truth, (truth + 1) % classes, near)
    guess = np.where(right, truth, near) if classes > 1 else truth
    score = np.where(guess == truth, draw.beta(9, 1.2, len(truth)), draw.beta(4, 3, len(truth)))
    return guess, np.clip(score, 1 / classes, 1).round(6)


def _write_predictions(path, names, truth, guess, score, classes):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "prediction", "score", "top5"])
        for name, label, answer, value in zip(names, truth, guess, score):
            top = "|".join(dict.fromkeys([classes[answer], classes[label]]))
            writer.writerow([name, classes[label], classes[answer], value, top])


def _measure(truth, guess, score, classes):
    right = guess == truth
    per_class = {
        name: {"accuracy": float(right[truth == index].mean()), "n": int((truth == index).sum())}
        for index, name in enumerate(classes)
        if (truth == index).any()
    }
    return {
        "accuracy": float(right.mean()),
        "n": len(truth),
        "interval": list(wilson(float(right.mean()), len(truth))),
        "macro_accuracy": float(np.mean([each["accuracy"] for each in per_class.values()])),
        "nll": float(np.mean(-np.log(np.where(right, score, (1 - score) / 2 + 1e-6)))),
        "ece": expected_calibration_error(calibration(score, right)),
        "per_class": per_class,
    }


def _gallery(truth, zero_shot, adapted):
    was, now = zero_shot[0] == truth, adapted[0] == truth
    by_score = np.argsort(-adapted[1])
    kinds = {"fixed": now & ~was, "broken": was & ~now, "best": now, "worst": ~now}
    return {name: [int(row) for row in by_score if chosen[row]][:8] for name, chosen in kinds.items()}


def _thumbnails(folder, rows, draw):
    folder.mkdir(exist_ok=True)
    for row in rows:
        small = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(folder / f"{row}.png")


def _write_events(path, steps, draw):
    events: list[dict[str, Any]] = [{"event": "started", "steps": steps}]
    for step in range(1, steps + 1):
        ce = 2.0 * np.exp(-3 * step / steps) + 0.15 + draw.normal(0, 0.06)
        scl = 0.1 * (1 - np.exp(-5 * step / steps)) + draw.normal(0, 0.004)
        parts = {"ce": float(ce), "scl_image": float(scl)}
        events.append(
            {"event": "step", "phase": "train", "step": step, "loss": float(ce + scl), "parts": parts, "lr": 1e-3}
        )
        if step % 50 == 0:
            events.append({"event": "validated", "step": step, "accuracy": 0.6 + 0.3 * step / steps})
    events.append({"event": "finished"})
    path.write_text("\n".join(json.dumps(event) for event in events) + "\n", encoding="utf-8")


def _retention(draw, after):
    found = {}
    for name, was, n in (("world/shapes", 0.95, 400), ("world/colours", 0.88, 300)):
        now = float(np.clip(was - 0.1 * after + draw.normal(0, 0.02), 0, 1))
        found[name] = {
            "n": n,
            "before": was,
            "after": now,
            "interval_before": list(wilson(was, n)),
            "interval_after": list(wilson(now, n)),
        }
    return found
