"""Which learning rates the `small` preset should take, on validation images only.

    python benchmarks/rates.py [METHOD …] --root DATA --model MODEL --cache FILE.jsonl [--on digits-10 wide-101 …]
        [--shots 4] [--seeds 101] [--rates 5e-3 1e-2] [--set train.steps=200]

Trains every method at every rate of its grid on every material of `small_preset.py` and prints the accuracies on all
validation images, on which no table is tested. The seeds are not the tables' (1, 2, 3), and the test split is never
opened. Every run is a line of --cache and is not made again, so the command may be stopped and called again; the cheap
materials come first.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from small_preset import MATERIALS, Cell, Material, backbone_of, opened, plan_of

GRID = {
    "bitfit": (3e-3, 1e-2, 3e-2),
    "full": (5e-5, 1e-4, 3e-4),
    "lora": (5e-3, 1e-2, 2e-2),
    "lora_xs": (5e-3, 1e-2, 2e-2),
    "dora": (5e-3, 1e-2, 2e-2),
    "ast": (3e-4, 6e-4, 1.5e-3),
}


def score(cell: Cell, root: str, model: str, options: dict[str, Any]) -> dict[str, Any]:
    """Accuracy on all validation images, steps, the first and the last loss, seconds."""
    from cliptune.datasets.pixels import Pixels
    from cliptune.tasks.classify import predict, scorer_of
    from cliptune.training.events import Step
    from cliptune.training.loop import fit

    plan = plan_of(cell, root, model, **options)
    adapter, began = plan.attach(), time.perf_counter()
    losses = [event.parts["ce"] for event in fit(adapter, plan.lesson(), plan.machine) if isinstance(event, Step)]
    seconds = time.perf_counter() - began
    imageset, backbone = opened(cell.material, root), backbone_of(cell.material, model)
    pixels = Pixels(imageset, imageset.val, backbone.preprocess)
    right = predict(scorer_of(adapter, plan.tokens), pixels, backbone, plan.machine, 256).correct
    ends = {"first_loss": losses[0], "last_loss": statistics.mean(losses[-5:])} if losses else {}
    return {"accuracy": float(right.mean()), "n": len(right), "steps": len(losses), "seconds": seconds, **ends}


def kept(cache: Path) -> dict[str, dict[str, Any]]:
    """The runs of a cache by what they were."""
    lines = cache.read_text("utf-8").splitlines() if cache.is_file() else []
    return {found["run"]: found for found in map(json.loads, lines)}


def known_or_made(cell: Cell, options: dict[str, Any], given: argparse.Namespace, known: dict[str, Any]) -> Any:
    """A run's line of the cache; made now and written there where it is missing."""
    run = f"{cell.material.key} {cell.method} {cell.shots} {cell.seed} {json.dumps(options, sort_keys=True)}"
    if run not in known:
        known[run] = {"run": run, **score(cell, given.root, given.model, options)}
        with given.cache.open("a", encoding="utf-8") as file:
            file.write(json.dumps(known[run]) + "\n")
    return known[run]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=list(GRID))
    parser.add_argument("--root", default="")
    parser.add_argument("--model", default="mini", help="a small CLIP of photographs")
    parser.add_argument("--cache", type=Path, required=True, help="JSON lines, one a run")
    parser.add_argument("--on", nargs="+", choices=[material.key for material in MATERIALS], default=["digits-10"])
    parser.add_argument("--shots", nargs="+", type=int, default=[4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[101])
    parser.add_argument("--rates", nargs="+", type=float, help="instead of the grid")
    parser.add_argument("--set", nargs="+", default=[], help="more settings, key=value in JSON")
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    more = {key: json.loads(value) for key, value in (text.split("=", 1) for text in given.set)}
    materials: list[Material] = [material for material in MATERIALS if material.key in given.on]
    known = kept(given.cache)
    for material in materials:
        for name in given.methods:
            for rate in given.rates or GRID[name]:
                options = {**more, "train.lr": rate}
                cells = [Cell(material, name, shots, seed) for shots in given.shots for seed in given.seeds]
                values = [known_or_made(cell, options, given, known) for cell in cells]
                accuracies = "  ".join(f"{100 * found['accuracy']:5.1f}" for found in values)
                mean = 100 * statistics.mean(found["accuracy"] for found in values)
                seconds = sum(found["seconds"] for found in values)
                line = f"{material.key:18} {name:8} lr {rate:7.0e}  {accuracies}  mean {mean:5.1f}"
                print(f"{line}  {values[-1]['steps']} steps  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
