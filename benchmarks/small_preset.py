"""The small preset over 10, 24, 100 and 200 classes: every method beside linear probe and zero-shot, 4 and 16 shots.

    python benchmarks/small_preset.py --root DATA --model MODEL --cache DIR [--seeds 1] [--jobs 1]
        [--write docs/results-small-preset.md]

DATA holds `caltech-101` (CoOp's layout, whole or in part) and `caltech-wide/101_ObjectCategories` (a folder a class);
MODEL is a small CLIP of photographs. What is drawn or shipped runs on the embedded mini. Each run is a run folder below
--cache; finished ones are kept, the cheap ones come first, so the command may be stopped and called again, and --write
fills in what there is.
"""

import argparse
import functools
import hashlib
import itertools
import json
import os
import statistics
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

METHODS = {
    "zero_shot": "zero-shot",
    "linear_probe": "linear probe",
    "bitfit": "BitFit",
    "lora": "LoRA r=2",
    "lora_xs": "LoRA-XS r=32",
    "dora": "DoRA r=2",
    "ast": "AST",
    "full": "full",
}
SHOTS = (4, 16)
LATE = {"ast": 1.4, "dora": 1.2}
"""how much longer a step of these takes than one of LoRA"""


@dataclass(frozen=True)
class Material:
    """Some classes of a data set, and whether they need the CLIP of photographs."""

    title: str
    data: str
    classes: int
    photo: bool = False

    @property
    def key(self) -> str:
        return f"{self.data.split('/')[-1].replace('101_ObjectCategories', 'wide')}-{self.classes}"


WIDE = "caltech-wide/101_ObjectCategories"
MATERIALS = (
    Material("digits", "digits", 10),
    Material("wide", WIDE, 10, photo=True),
    Material("shapes", "world/shapes", 24),
    Material("Caltech-101", "caltech101", 24, photo=True),
    Material("wide", WIDE, 24, photo=True),
    Material("combinations", "world/combinations", 100),
    Material("wide", WIDE, 101, photo=True),
    Material("combinations", "world/combinations", 200),
)


@dataclass(frozen=True)
class Cell:
    """One run."""

    material: Material
    method: str
    shots: int
    seed: int

    @property
    def cost(self) -> float:
        """Roughly in proportion to its seconds: steps, and images and prompts a step."""
        if self.method in ("zero_shot", "linear_probe"):
            return 10.0 + self.material.classes * self.shots / 20
        steps = max(60, min(400, self.material.classes * self.shots))
        return steps * (32 + self.material.classes) * (3 if self.material.photo else 1) * LATE.get(self.method, 1.0)


@functools.cache
def opened(material: Material, root: str) -> Any:
    """The image set, its classes taken at equal steps from all there are."""
    from cliptune.datasets import open_set
    from cliptune.protocols.base_to_novel import of_classes

    named = material.data == "caltech101"
    place = str(Path(root, material.data)) if material.data == WIDE else material.data
    whole = open_set(place, root if named else None)
    labels = [number * len(whole.classes) // material.classes for number in range(material.classes)]
    parts = {split: of_classes(getattr(whole, split), labels) for split in ("train", "val", "test")}
    return replace(whole, classes=tuple(whole.classes[label] for label in labels), **parts)


@functools.cache
def backbone_of(material: Material, model: str) -> Any:
    from cliptune.models.backbone import load

    return load(model if material.photo else "mini")


def plan_of(cell: Cell, root: str, model: str, **more: Any) -> Any:
    """The prepared run."""
    from cliptune.pipeline import prepare
    from cliptune.recipe import load_tables

    options = {
        "protocol.shots": cell.shots,
        "protocol.seed": cell.seed,
        "evaluate.retention": "none",
        **({"data.root": root} if cell.material.data == "caltech101" else {}),
        **more,
    }
    imageset, backbone = opened(cell.material, root), backbone_of(cell.material, model)
    tables = load_tables(cell.method)
    return prepare(tables, options, preset="small", device="cpu", backbone=backbone, imageset=imageset)


def folder_of(cell: Cell, cache: Path) -> Path:
    """Its run folder; another one where the preset has changed since."""
    from cliptune.methods import METHODS as CLASSES
    from cliptune.recipe_presets import preset_of
    from cliptune.registry import lookup

    preset = preset_of(lookup(cell.method, CLASSES, "method"), "small")
    mark = hashlib.sha256(json.dumps(preset, sort_keys=True).encode()).hexdigest()[:6]
    return cache / f"{cell.material.key}-{cell.method}-{cell.shots}shot-s{cell.seed}-{mark}"


def record_of(cell: Cell, cache: Path) -> dict[str, Any] | None:
    """run.json of a finished run."""
    path = folder_of(cell, cache) / "run.json"
    record = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return record if record.get("status") == "finished" else None


def perform(cell: Cell, root: str, model: str, cache: Path) -> str:
    """Do one run; tells how it ended."""
    from cliptune.pipeline import execute

    if record_of(cell, cache) is None:
        execute(plan_of(cell, root, model), folder_of(cell, cache), resume=True)
    record = record_of(cell, cache)
    assert record is not None
    seconds = record["seconds"]["train"]
    return f"{folder_of(cell, cache).name}: {100 * record['metrics']['test']['accuracy']:.1f} % · {seconds:.0f} s"


def cells(seeds: Iterable[int], methods: Iterable[str]) -> list[Cell]:
    """Every run, the cheap ones first."""
    grid = itertools.product(MATERIALS, methods, SHOTS, seeds)
    return sorted((Cell(*each) for each in grid), key=lambda cell: cell.cost)


def table(shots: int, seeds: list[int], cache: Path) -> str:
    """One table as Markdown: methods by material."""
    head = [f"{material.classes}, {material.title}" for material in MATERIALS]
    lines = [f"| method | {' | '.join(head)} |", f"| --- | {' | '.join(['---:'] * len(MATERIALS))} |"]
    for method, title in METHODS.items():
        shown = [
            _shown([record_of(Cell(material, method, shots, seed), cache) for seed in seeds]) for material in MATERIALS
        ]
        lines.append(f"| {title} | {' | '.join(shown)} |")
    trained = [record_of(Cell(material, "lora", shots, seeds[0]), cache) for material in MATERIALS]
    for what, (section, key) in {"steps": ("training", "steps"), "training images": ("data", "train")}.items():
        lines.append(f"| {what} | {' | '.join(f'{run[section][key]:,}' if run else '–' for run in trained)} |")
    return "\n".join(lines)


def _shown(records: list[dict[str, Any] | None]) -> str:
    """Mean test accuracy; a mark where a run noted that it is surely worse than it should be."""
    done = [record for record in records if record is not None]
    if not done:
        return "–"
    mean = 100 * statistics.mean(record["metrics"]["test"]["accuracy"] for record in done)
    noted = any(remark["fix"] for record in done for remark in record.get("learning", {}).get("remarks", ()))
    return f"{mean:.1f}{' *' if noted else ''}"


def page(seeds: list[int], cache: Path) -> str:
    """docs/results-small-preset.md."""
    grid = cells(seeds, METHODS)
    missing = sum(record_of(cell, cache) is None for cell in grid)
    left = f" {missing} of {len(grid)} runs are not made yet (–)." if missing else ""
    drawn = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    tables = "\n\n".join(f"## {shots} shots\n\n{table(shots, seeds, cache)}" for shots in SHOTS)
    return f"""# The small preset over 10 to 200 classes

Test accuracy in per cent, preset `small` as it stands, {drawn}; columns are the number of
classes and where they come from. *digits*, *shapes*, *combinations*: drawn or shipped, the embedded mini CLIP. *wide*,
*Caltech-101*: photographs, a CLIP of 3.3 M parameters that knows little of them. *wide* has 16 images a class, of which
8 are in its train split: at 16 shots those 8. Rates were chosen on validation images with another seed
([decision 0017](decisions/0017-small-preset.md)); nothing was chosen on these test images. A star: the run itself notes
that its loss has hardly fallen, or that it ends surely below zero-shot or a linear probe on its own validation
images.{left}

Made by `python benchmarks/small_preset.py --root DATA --model MODEL --cache DIR --write`.

{tables}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", required=True, help="a small CLIP of photographs")
    parser.add_argument("--cache", type=Path, required=True, help="run folders, outside the checkout")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", nargs="?", type=Path, const=Path("docs/results-small-preset.md"))
    parser.add_argument("--only-write", action="store_true", help="run nothing, write what there is")
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    grid = [] if given.only_write else cells(given.seeds, given.methods)
    with ProcessPoolExecutor(given.jobs) as pool:
        for told in pool.map(perform, grid, *(itertools.repeat(x) for x in (given.root, given.model, given.cache))):
            print(told, flush=True)
            if given.write:
                given.write.write_text(page(given.seeds, given.cache), "utf-8")
    if given.write:
        given.write.write_text(page(given.seeds, given.cache), "utf-8")


if __name__ == "__main__":
    main()
