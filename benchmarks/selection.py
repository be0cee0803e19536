"""docs/results-selection.md: does AST's criterion choose well? On a cut of Caltech-101.

    python benchmarks/selection.py --root DATA --model MODEL [--out studies] [--write]

DATA holds `caltech-101`, MODEL is a small CLIP of photographs. Trains what is missing of `ast-selection`,
`ast-key-bias` and `ast-figure-4`, in their small forms on this data and model.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pages import DOCS, RULE, compared, conducted, differences, mean_spread, table

from cliptune.report import words
from cliptune.report.compare import Named, groups

CRITERION, KEPT = "mean 1/√v̂ (the paper's)", "key biases kept"
OTHERS = ("all six matrices", "random", "largest gradients")
HEAD = """# Does AST's criterion choose well? On a small cut

Controls that the CLIP-AST paper lacks, on {classes} classes of Caltech-101 ({n} test images) with a CLIP of photographs of {size} parameters (zero-shot {zero}), 4 shots, seeds 1 to 3, preset `small`, K = 6, all with AST's losses and rate. One data set and one weak model: look at the differences, and run `ast-selection`, `ast-key-bias`, `ast-figure-4` on yours. {rule}

Made by `python benchmarks/selection.py --root DATA --model MODEL --write`."""  # noqa: E501


def means_table(runs: Sequence[Named]) -> str:
    lines = [["what is tuned in every block", "trainable parameters", "accuracy, mean ± s.d."], ["---", "---:", "---:"]]
    for row in groups(runs):
        numbers = words.count(row["trainable_parameters"])
        lines.append([row["label"], numbers, mean_spread(row["accuracy"], row["deviation"])])
    return table(lines)


def picks(runs: Sequence[Named]) -> str:
    """Which tensors the paper's criterion picks, and in what share of blocks and seeds."""
    blocks, count = 0, Counter()
    for run in runs:
        if run.label == CRITERION:
            picked = [name.split(".", 2) for name in run.record.section("selection").get("picked", [])]
            blocks += len({(tower, block) for tower, block, _ in picked})
            count.update(part for _, _, part in picked)
    always = [part for part, times in count.items() if times == blocks]
    other = [f"{part} ({100 * times / blocks:.0f} %)" for part, times in count.items() if times < blocks]
    told = f"In every block of both towers and for every seed the criterion picks {', '.join(always) or 'nothing'}"
    return f"{told}{'; in some ' + ', '.join(other) if other else ': nothing adapts to the block or the images'}."


def curve(runs: Sequence[Named], key: str, title: str) -> str:
    """Accuracy by one setting of figure 4, the other at its default."""
    found = [run for run in runs if len({part.partition("=")[0] for part in run.label.split()[1:]} - {key}) == 0]
    rows = sorted(groups(found), key=lambda row: _value(row["label"], key))
    head = [title, *(str(_value(row["label"], key)) for row in rows)]
    reached = ["accuracy", *(mean_spread(row["accuracy"], row["deviation"]) for row in rows)]
    return table([head, ["---", *["---:"] * len(rows)], reached])


def _value(label: str, key: str) -> int:
    return int(label.rpartition(f"{key}=")[2].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, default=Path("studies"))
    parser.add_argument("--write", action="store_true", help="docs/results-selection.md")
    given = parser.parse_args()
    settings = {"data__root": given.root, "data__name": "caltech101", "model__name": given.model}
    settings |= {"protocol__shots": 4, "protocol__seed": [1, 2, 3]}
    selection = conducted("ast-selection", given.out, True, **settings)
    kept = [run for run in conducted("ast-key-bias", given.out, True, **settings) if run.label == KEPT]
    runs = [*selection, *kept]
    first = runs[0].record
    zero, told = first.before(), first.section("data")
    head = HEAD.format(
        rule=RULE,
        classes=len(first.classes),
        n=words.count(zero.n),
        size=words.count(first.section("model").get("parameters")),
        zero=words.percent(zero.accuracy) if told else "",
    )
    figure = {
        "k": ("K (one epoch of stage 1)", {"k": [1, 2, 4, 6, 8, 10, 12, 15]}),
        "probe_epochs": ("epochs of stage 1 (K = 6)", {"probe_epochs": [1, 2, 4, 8], "k": 6}),
    }
    curves = []
    for key, (title, axis) in figure.items():
        axis = axis if key == "probe_epochs" else axis | {"probe_epochs": 1}
        curves.append(curve(conducted("ast-figure-4", given.out, True, **settings, **axis), key, title))
    pairs = [(label, CRITERION) for label in (KEPT, *OTHERS)]
    parts = [head, means_table(runs), differences(compared(runs, pairs)), picks(runs)]
    parts += ["## K and the length of stage 1 (the paper's figure 4)", "The same data and model.", *curves]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if given.write:
        (DOCS / "results-selection.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
