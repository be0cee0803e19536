"""docs/results-digits.md, README's short table and the methods' pages, from the runs of the study `digits-table`.

    python benchmarks/digits.py [--out studies] [--write]

Trains what is missing of the study. The rates are the `small` preset's, chosen on validation images of other seeds
(`benchmarks/rates.py`).
"""

import argparse
import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pages import DOCS, RULE, compared, conducted, differences

from cliptune.report import words
from cliptune.report.compare import Named, groups
from cliptune.report.read import Record

ZERO = "zero-shot"
SHOTS, SEEDS = (1, 2, 4, 8, 16), (1, 2, 3)
PAIRS = (
    ("DoRA r=2", "LoRA r=2"),
    ("DoRA r=1", "LoRA r=2"),
    ("LoRA-XS r=16", "LoRA r=2"),
    ("AST", "AST without SCL"),
    ("AST without SCL", "full"),
    ("LoRA r=2", "BitFit"),
    ("LoRA r=2", "linear probe"),
    ("LoRA-XS r=16", "linear probe"),
    ("DoRA r=2", "linear probe"),
    ("AST", "linear probe"),
)


def runs_of(out: Path) -> list[Named]:
    """The study's runs, and of zero-shot those that every run carries."""
    runs = conducted("digits-table", out)
    first = {(each.cell.shots, each.cell.seed): each for each in runs if each.label == runs[0].label}
    return [*(Named(ZERO, each.cell, untouched(each.record)) for each in first.values()), *runs]


def untouched(record: Record) -> Record:
    """What a run measured before it trained, as a run of its own."""
    run = dict(record.run)
    kept = {name: found | {"after": found["before"]} for name, found in run["retention"].items()}
    run |= {"metrics": {"test": run["metrics"]["zero_shot"]}, "retention": kept, "trainable_parameters": 0}
    run |= {"seconds": {"train": 0.0, "evaluate": 0.0}}
    return dataclasses.replace(record, run=run, predictions=record.zero_shot_predictions)


def table(runs: Sequence[Named]) -> str:
    """The Markdown of docs/results-digits.md."""
    rows = {(row["label"], row["shots"]): row for row in groups(runs)}
    kept = {(n.label, n.cell.shots): [] for n in runs}
    for named in runs:
        kept[named.label, named.cell.shots] += [each["after"] for each in named.record.run["retention"].values()]
    zero = rows[ZERO, 16]["accuracy"]
    parts = [
        HEAD.format(zero=100 * zero, shapes=100 * statistics.mean(kept[ZERO, 16])),
        main_table(rows, kept, zero),
    ]
    parts += [PAIRED, paired_table(runs), verdicts(rows, zero)]
    return "\n\n".join(parts) + "\n"


def numbers(runs: Sequence[Named]) -> dict[str, Any]:
    """docs/methods/numbers.json."""
    rows: dict[str, dict[str, Any]] = {}
    methods = {each.label: each.record.method if each.label != ZERO else "zero_shot" for each in runs}
    for row in groups(runs):
        label = row["label"]
        told = rows.setdefault(label, {"method": methods[label], "what": label, "shots": {}})
        told["shots"][str(row["shots"])] = f"{100 * row['accuracy']:.1f} ± {100 * (row['deviation'] or 0):.1f}"
    note = (
        "accuracy in per cent on 1,000 handwritten digits with the shipped mini CLIP, mean ± sample standard deviation "
        "over three seeds (`cliptune study digits-table`; [all of it](../results-digits.md))."
    )
    return {"note": note, "rows": list(rows.values())}


def main_table(rows: dict, kept: dict, zero: float) -> str:
    lines = [
        "| method | trainable parameters | "
        + " | ".join(f"{n} shot{'s' * (n > 1)}" for n in SHOTS)
        + " | errors removed at 16 | shapes after 16 |",
        "| --- | ---: |" + " ---: |" * (len(SHOTS) + 2),
    ]
    for label in dict.fromkeys(label for label, _ in rows):
        cells = [
            f"{100 * rows[label, n]['accuracy']:.1f} ± {100 * (rows[label, n]['deviation'] or 0):.1f}" for n in SHOTS
        ]
        last = rows[label, 16]
        removed = 100 * (last["accuracy"] - zero) / (1 - zero)
        shapes = 100 * statistics.mean(kept[label, 16]) if kept[label, 16] else float("nan")
        numbers = int(last["trainable_parameters"])
        lines.append(f"| {label} | {numbers:,} | " + " | ".join(cells) + f" | {removed:.0f} % | {shapes:.1f} |")
    return "\n".join(lines)


IN_README = ("zero-shot", "linear probe", "LoRA r=2", "LoRA-XS r=16", "DoRA r=2", "AST")
BEGIN, END = "<!-- made by benchmarks/digits.py -->\n", "<!-- end -->"


def short_table(runs: Sequence[Named]) -> str:
    """README's: few methods, at 1, 4 and 16 shots."""
    rows = {(row["label"], row["shots"]): row for row in groups(runs)}
    lines = ["| method | trainable parameters | 1 shot | 4 shots | 16 shots |", "| --- | ---: | ---: | ---: | ---: |"]
    for label in IN_README:
        cells = [f"{int(rows[label, 16]['trainable_parameters']):,}"]
        cells += [
            f"{100 * rows[label, n]['accuracy']:.1f} ± {100 * (rows[label, n]['deviation'] or 0):.1f}"
            for n in (1, 4, 16)
        ]
        lines.append(f"| {' | '.join([label, *cells])} |")
    return "\n".join(lines)


def paired_table(runs: Sequence[Any]) -> str:
    """The differences over all cells; beside them few and many shots, where a sign may turn."""
    accuracy = {(n.label, n.cell.shots, n.cell.seed): n.record.after().accuracy for n in runs}
    rows = compared(runs, PAIRS)

    def over(shots: Sequence[int]) -> list[str]:
        return [
            words.points(
                statistics.mean(
                    accuracy[row["first"], n, seed] - accuracy[row["second"], n, seed] for n in shots for seed in SEEDS
                )
            )
            for row in rows
        ]

    return differences(rows, {"1 to 4 shots": over(SHOTS[:3]), "8 and 16 shots": over(SHOTS[3:])})


def verdicts(rows: dict, zero: float) -> str:
    """In words: the share of zero-shot's errors that each method removes, and where its mean is above the probe's."""
    lines = []
    for label in ("LoRA r=2", "LoRA-XS r=16", "DoRA r=2", "DoRA r=1", "AST", "AST without SCL"):
        removed = 100 * (rows[label, 16]["accuracy"] - zero) / (1 - zero)
        behind = [n for n in SHOTS if rows[label, n]["accuracy"] <= rows["linear probe", n]["accuracy"]]
        above = "at every number of shots"
        if behind:
            higher = [str(n) for n in SHOTS if n not in behind]
            above = f"only at {', '.join(higher)} shots" if higher else "nowhere"
        lines.append(
            f"- {label} removes {removed:.0f} % of zero-shot's errors at 16 shots; its mean is above the linear "
            f"probe's {above}."
        )
    return "\n".join(lines)


HEAD = """# Handwritten digits

The embedded mini CLIP on scikit-learn's handwritten digits, which it never saw in pretraining: accuracy in percent on
1,000 test images, mean ± sample standard deviation over the seeds 1, 2 and 3. Rates are the `small` preset's, chosen
on validation images of other seeds (`benchmarks/rates.py`); the last step's model is measured. "Shapes after" is the
zero-shot accuracy on the drawn world's 24 shapes after adapting to digits with 16 shots, {shapes:.1f} before: what was
forgotten. Sampling error of one accuracy near 90 % on 1,000 images is ±0.9 points, shared by the methods.

Made by `python benchmarks/digits.py --write`. Zero-shot: {zero:.1f}."""
PAIRED = f"""## Paired differences

Over all 15 cells (1, 2, 4, 8, 16 shots × 3 seeds). {RULE} Where the last two columns differ in sign, the
mean over all shots says little."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("studies"))
    pages = "docs/results-digits.md, docs/methods/numbers.json and README.md"
    parser.add_argument("--write", action="store_true", help=pages)
    given = parser.parse_args()
    runs = runs_of(given.out)
    text = table(runs)
    print(text)
    if given.write:
        (DOCS / "results-digits.md").write_text(text, "utf-8")
        told = json.dumps(numbers(runs), indent=1, ensure_ascii=False) + "\n"
        (DOCS / "methods" / "numbers.json").write_text(told, "utf-8")
        readme = DOCS.parent / "README.md"
        before, _, rest = readme.read_text("utf-8").partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}{short_table(runs)}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
