"""Tables of the protocols on small data: every seed's methods, few-shot, base to novel, leave one domain out.

    python benchmarks/protocols.py --root DATA --model MODEL [--only few-shot] [--jobs 2] [--write FILE.md]

DATA holds `caltech-101` and `pacs`, whole or in part; MODEL is a CLIP of photographs. Digits run on the embedded mini.
Each run is an ordinary run folder below --out; finished ones are kept, so the command may be stopped and called again.
"""

import argparse
import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """Means over seeds, with the interval of the gain over zero-shot on the same images."""
    from cliptune.report import words
    from cliptune.report.read import read_record
    from cliptune.statistics import mean_and_deviation

    several = len(task.tests) > 1
    head = ["method", *(f"{name}{part}" for name in task.tests for part in ("", ", gain and 95 %"))]
    head += (["harmonic mean"] if several else []) + [f"{task.retention} after", "s a run"]
    lines, zero = [], None
    for label in METHODS:
        records = [read_record(folder(out, task, label, seed)) for seed in SEEDS]
        cells = [label]
        for name in task.tests:
            mean, deviation = mean_and_deviation([record.after(name).accuracy for record in records])
            gained = gain_of([folder(out, task, label, seed) for seed in SEEDS], name, task)
            cells += [f"{100 * mean:.1f} ± {100 * deviation:.1f}", gained]
        if several:
            mean, deviation = mean_and_deviation([record.harmonic_mean()[0] for record in records])
            cells.append(f"{100 * mean:.1f} ± {100 * deviation:.1f}")
        (kept,) = zip(*(record.run["retention"].values() for record in records))
        seconds, _ = mean_and_deviation([record.run["seconds"]["train"] for record in records])
        cells += [words.percent(sum(each["after"] for each in kept) / len(kept)), f"{seconds:.0f}"]
        lines.append(cells)
        if zero is None:
            one = records[0]
            zero = ["zero-shot"]
            for name in task.tests:
                zero += [f"{100 * one.before(name).accuracy:.1f}", ""]
            zero += ([f"{100 * one.harmonic_mean()[1]:.1f}"] if several else []) + [
                words.percent(kept[0]["before"]),
                "",
            ]
    sizes = ", ".join(f"{name} {records[0].after(name).n:,}" for name in task.tests)
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), zero, *lines]
    return f"## {task.title}\n\nTest images: {sizes}.\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def gain_of(folders: list[Path], test: str, task: Task) -> str:
    """Mean gain over zero-shot with its interval over seeds and test images."""
    from pages import gain

    from cliptune.report.read import read_predictions
    from cliptune.statistics import Drawn

    cells = []
    for seed, place in zip(SEEDS, folders, strict=True):
        main = test == task.tests[0]
        after, before = (
            read_predictions(place / (f"{kind}.csv" if main else f"{kind}/{test}.csv"))
            for kind in ("predictions", "zero_shot_predictions")
        )
        cells.append(Drawn(seed, after.paths, after.by_image - before.by_image))
    return gain(cells)


HEAD = """# Small tables of every protocol

Accuracy in per cent, mean ± sample standard deviation over the seeds 1, 2 and 3, preset `small`; gains are over the
untouched backbone on the same test images, with a 95 % interval over the seeds and those images together
([decision 0016](decisions/0016-ahead-over-draws.md)).
Nothing was tuned for these data. The CLIP of photographs is a weak one of 3.3 M numbers, so look at the differences.
"After" is the accuracy on another data set that was not adapted to: what was forgotten (or learned besides). Seconds
are of a machine that had other work; compare them within a table at most.

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
