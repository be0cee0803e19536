"""Tables of the protocols on small data: every seed's methods, few-shot, base to novel, leave one domain out.

    python benchmarks/protocols.py --root DATA --model MODEL [--only few-shot] [--jobs 2] [--write FILE.md]

DATA holds `caltech-101` and `pacs`, whole or in part; MODEL is a CLIP of photographs. Digits run on the embedded mini.
Each run is an ordinary run folder below --out; finished ones are kept, so the command may be stopped and called again.
"""

import argparse
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cliptune.report.read import Record

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA r=2": ("lora", {}),
    "LoRA-XS r=16": ("lora_xs", {"rank": 16}),
    "DoRA r=2": ("dora", {}),
    "AST": ("ast", {}),
}
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Task:
    """One column group of a table: a data set under a protocol."""

    title: str
    data: str
    photo: bool
    """whether it needs the CLIP of photographs"""
    options: dict[str, Any]
    tests: tuple[str, ...] = ("test",)
    retention: str = "world/shapes"

    @property
    def name(self) -> str:
        return self.title.lower().replace(" ", "-").replace(",", "").replace("→-", "").replace("(", "").replace(")", "")


def few_shot(shots: int) -> Task:
    options = {"protocol.shots": shots}
    return Task(f"few-shot, Caltech-101, {shots} shots", "caltech101", True, options, retention="pacs")


def held_out(target: str) -> Task:
    options = {"protocol.name": "domain-generalization", "protocol.target": target}
    return Task(f"domain generalization, PACS → {target}", "pacs", True, options, retention="caltech101")


BASE_TO_NOVEL = {"protocol.name": "base-to-novel", "protocol.shots": 16}
TASKS = (
    few_shot(4),
    few_shot(16),
    *(held_out(domain) for domain in ("art_painting", "cartoon", "photo", "sketch")),
    Task("base to novel, digits 0–4 → 5–9", "digits", False, BASE_TO_NOVEL, ("base", "novel")),
    Task("base to novel, Caltech-101", "caltech101", True, BASE_TO_NOVEL, ("base", "novel"), retention="pacs"),
)


def folder(out: Path, task: Task, label: str, seed: int) -> Path:
    return out / task.name / f"{label.replace(' ', '-').replace('=', '').lower()}-s{seed}"


def work(job: tuple[Task, str, int, Path, str, str]) -> str:
    """One run, in a process of its own with one thread."""
    import torch

    torch.set_num_threads(1)
    from cliptune.pipeline import execute, prepare
    from cliptune.recipe import load_tables

    task, label, seed, out, root, model = job
    method, changes = METHODS[label]
    options = {"data.name": task.data, "protocol.seed": seed, "evaluate.retention": task.retention, **task.options}
    options |= {"data.root": root, **changes} | ({"model.name": model} if task.photo else {})
    plan = prepare(load_tables(method), options, preset="small", device="cpu")
    run = execute(plan, folder(out, task, label, seed), resume=True)
    told = ", ".join(f"{name} {100 * run.metrics[name]['accuracy']:.1f} %" for name in run.tests)
    return f"{task.title}: {label}, seed {seed}: {told}, {run.record['seconds']['train']:.0f} s"


def table(task: Task, out: Path) -> str:
    """Means over seeds of what leads a run and of every test, gains over zero-shot on the same images beside them."""
    from pages import mean_spread
    from pages import table as markdown

    from cliptune.report.leading import TITLES, leading
    from cliptune.report.read import read_record
    from cliptune.statistics import mean_and_deviation

    records = {label: [read_record(folder(out, task, label, seed)) for seed in SEEDS] for label in METHODS}
    first = records[next(iter(METHODS))][0]
    kind = leading(first).kind
    tests = [name for name in task.tests if len(task.tests) > 1 or kind != "accuracy"]
    named = {name: name if len(task.tests) > 1 else "accuracy" for name in tests}
    compared = [name for name in tests if name == "novel"]
    head = ["method", TITLES[kind], "gain, 95 %"]
    for name in tests:
        head += [named[name], *(["gain, 95 %"] if name in compared else [])]
    head += [f"{task.retention} after"]
    untouched = ["zero-shot", mean_spread(leading(first).before, None), ""]
    for name in tests:
        untouched += [mean_spread(first.before(name).accuracy, None), *([""] if name in compared else [])]
    untouched += [mean_spread(kept(first, "before"), None)]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), untouched]
    for label, own in records.items():
        cells = [label, mean_spread(*mean_and_deviation([leading(record).after for record in own])), gain_of(own)]
        for name in tests:
            cells.append(mean_spread(*mean_and_deviation([record.after(name).accuracy for record in own])))
            cells += [gain_of(own, name)] if name in compared else []
        cells.append(mean_spread(mean_and_deviation([kept(record, "after") for record in own])[0], None))
        lines.append(cells)
    sizes = ", ".join(f"{name} {first.after(name).n:,}" for name in task.tests)
    return f"## {task.title}\n\nTest images: {sizes}.\n\n{markdown(lines)}"


def kept(record: "Record", when: str) -> float:
    """Accuracy on what was not adapted to, 'before' or 'after'."""
    (found,) = record.run["retention"].values()
    return found[when]


def gain_of(records: Sequence["Record"], test: str = "") -> str:
    """Mean gain over zero-shot of what leads, or of a test's accuracy, with its interval over seeds and images."""
    from pages import gain

    from cliptune.report.leading import scores
    from cliptune.statistics import Drawn

    cells = []
    for seed, record in zip(SEEDS, records, strict=True):
        if test:
            after, before = record.predictions_of(test)
            cells.append(Drawn(seed, after.paths, after.by_image - before.by_image))
        else:
            after, before = scores(record), scores(record, untouched=True)
            cells.append(Drawn(seed, after.paths, after.values - before.values))
    return gain(cells)


HEAD = """# Small tables of every protocol

In per cent, mean ± sample standard deviation over the seeds 1, 2 and 3, preset `small`. The first column is what leads
a report: the mean over classes where the test's classes are unequal, the harmonic mean of base and novel. Gains are
over the untouched backbone on the same test images, with a 95 % interval over the seeds and those images together
([decision 0016](decisions/0016-ahead-over-draws.md)).
Nothing was tuned for these data. The CLIP of photographs is a weak one of 3.3 M parameters, so look at the differences.
"After" is the accuracy on another data set that was not adapted to: what was forgotten (or learned besides).

Made by `python benchmarks/protocols.py --root DATA --model MODEL --write docs/results-protocols.md`, DATA with a cut of
Caltech-101 (24 classes) and one of PACS (882 images)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/protocols"))
    parser.add_argument("--only", default="", help="tasks whose title contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tasks = [task for task in TASKS if given.only in task.title]
    jobs = [
        (task, label, seed, given.out, given.root, given.model)
        for task, seed, label in itertools.product(tasks, SEEDS, METHODS)
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        for line in pool.map(work, jobs):
            print(line, flush=True)
    text = "\n\n".join([HEAD, *(table(task, given.out) for task in tasks)]) + "\n"
    print(text)
    if given.write:
        given.write.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
