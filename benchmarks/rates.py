"""Which learning rates the `small` preset should take: the mini CLIP on handwritten digits, validation images only.

    python benchmarks/rates.py [METHOD …] [--shots 1 4 16] [--seeds 101]

Trains every method at every rate of its grid and prints the mean accuracy on the 200 validation digits, on which no
table is tested, beside the drawn world's shapes (what was forgotten). The seeds are not the tables' (1, 2, 3), and
the test split is never opened.
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import time
from pathlib import Path

from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet, prompts
from cliptune.datasets.pixels import Pixels
from cliptune.models.backbone import Backbone, load
from cliptune.pipeline import make_lesson, prepare
from cliptune.recipe import load_tables
from cliptune.tasks.classify import merged_scorer, predict
from cliptune.training.loop import fit

GRID = {
    "bitfit": (1e-2, 3e-2, 1e-1),
    "full": (5e-5, 1e-4, 3e-4),
    "lora": (5e-3, 1e-2, 2e-2, 4e-2),
    "lora_xs": (5e-3, 1e-2, 2e-2, 4e-2),
    "dora": (5e-3, 1e-2, 2e-2, 4e-2),
    "ast": (3e-4, 6e-4, 1.5e-3),
}


def score(
    backbone: Backbone, digits: ImageSet, shapes: ImageSet, name: str, options: dict
) -> tuple[float, float, float]:
    """Validation accuracy, accuracy on drawn shapes, seconds."""
    plan = prepare(load_tables(name), options, preset="small", backbone=backbone, imageset=digits, device="cpu")
    adapter, began = plan.attach(), time.perf_counter()
    for _ in fit(adapter, make_lesson(plan), plan.machine):
        pass
    seconds = time.perf_counter() - began
    found = []
    for held, items in ((digits, digits.val), (shapes, shapes.test)):
        tokens = backbone.tokens(prompts(held.classes, held.templates[0]))
        pixels = Pixels(held, items, backbone.preprocess)
        found.append(
            float(predict(merged_scorer(adapter.model, tokens), pixels, backbone, plan.machine, 256).correct.mean())
        )
    return found[0], found[1], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=list(GRID))
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=[101])
    parser.add_argument("--rates", nargs="+", type=float, help="instead of the grid")
    parser.add_argument("--set", nargs="+", default=[], help="more settings, key=value in JSON")
    parser.add_argument("--out", type=Path, help="JSON lines, one a run")
    given = parser.parse_args()
    backbone, digits, shapes = load("mini"), open_set("digits"), open_set("world/shapes")
    shapes = dataclasses.replace(shapes, test=shapes.test[::2])
    more = {key: json.loads(value) for key, value in (text.split("=", 1) for text in given.set)}
    for name in given.methods:
        for rate in given.rates or GRID[name]:
            cells = []
            for shots, seed in itertools.product(given.shots, given.seeds):
                options = {"protocol.shots": shots, "protocol.seed": seed, "train.lr": rate, **more}
                cells.append((shots, *score(backbone, digits, shapes, name, options)))
                if given.out:
                    with given.out.open("a") as file:
                        file.write(json.dumps({"method": name, "lr": rate, "seed": seed, "cell": cells[-1]}) + "\n")
            by_shots = {n: statistics.mean(c[1] for c in cells if c[0] == n) for n in given.shots}
            row = "  ".join(f"{n}: {100 * value:5.1f}" for n, value in by_shots.items())
            kept, seconds = statistics.mean(c[2] for c in cells), statistics.mean(c[3] for c in cells)
            mean = 100 * statistics.mean(by_shots.values())
            print(
                f"{name:8} lr {rate:7.0e}  {row}  mean {mean:5.1f}  shapes {100 * kept:.1f}  {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
