"""docs/results-segmentation.md: every method with the shipped segmenter on drawn letters and on polyps.

    python benchmarks/segmentation.py --root DATA [--out studies] [--write]

Trains what is missing of the studies `segment-table` and `segment-kvasir`; DATA holds `kvasir_polyp`, whole or in part.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pages import DOCS, RULE, compared, conducted, differences, mean_spread, table

from cliptune.report import words
from cliptune.report.compare import Named
from cliptune.report.segment_compare import by_size, groups

PAIRS = (
    ("DoRA r=2", "full"),
    ("DoRA r=2", "decoder only"),
    ("DoRA r=2", "LoRA r=2"),
    ("AST", "full"),
    ("AST", "DoRA r=2"),
    ("LoRA-XS r=16", "LoRA r=2"),
)
HEAD = """# Results: marking what a prompt names

Two small studies with the shipped mini segmenter (a CLIPSeg decoder on the mini CLIP, trained on drawn shapes). They compare methods; a model made on drawings says nothing of the state of the art.

Dice in per cent at the images' own size, means over test images, mean ± sample standard deviation over seeds 1–3. Images where nothing is to be marked count 1 if nothing is marked, else 0. Preset `small`; its rates were chosen on validation images of `world/glyphs` with seed 1, on nothing else. {rule}

Made by `python benchmarks/segmentation.py --root DATA --write`."""  # noqa: E501
GLYPHS = """## Drawn letters and digits: the study `segment-table`

`world/glyphs`: letters and digits among shapes in fonts that the mini CLIP never saw, often in bad light; prompts such as "a capital letter n" or "the cyan number", one in five names nothing that is there. The decoder had learned to mark shapes."""  # noqa: E501
POLYPS = """## Polyps: the study `segment-kvasir`

Photographs of Kvasir-SEG, whole or a cut of it, prompt p1, "polyp", at 96 pixels. Nothing was tuned for these images."""  # noqa: E501


def section(opening: str, runs: Sequence[Named]) -> str:
    """Images, a line a method, the differences, Dice by size."""
    rows = groups(runs)
    data = runs[0].record.section("data")
    images = ", ".join(f"{data.get(part)} {name}" for part, name in (("train", "training"), ("val", "validation")))
    lines = [["method", "trainable parameters", "of the model", "Dice", "gain over zero-shot, points"], ["---"] * 5]
    lines.append(["zero-shot", "0", "0", mean_spread(rows[0]["zero_shot"], None), ""])
    for row in rows:
        interval = f" ({words.difference_interval(row['gain_interval'])})" if row["gain_interval"] else ""
        numbers = [words.count(row["trainable_parameters"]), words.share(row["trainable_percent"])]
        reached = mean_spread(row["dice"], row["deviation"])
        lines.append([row["label"], *numbers, reached, f"{words.points(row['gain'])}{interval}"])
    sizes = list(dict.fromkeys((row["size"], row["n"]) for row in by_size(runs)))
    small = [["method", *(f"{size} ({words.count(n)})" for size, n in sizes)], ["---", *["---:"] * len(sizes)]]
    by_label: dict[str, dict] = {}
    for row in by_size(runs):
        by_label.setdefault("zero-shot", {})[row["size"]] = row["zero_shot"]
        by_label.setdefault(row["label"], {})[row["size"]] = row["dice"]
    small += [[label, *(words.percent(found.get(size)) for size, _ in sizes)] for label, found in by_label.items()]
    tested = f"Images: {images}, {words.count(rows[0]['n'])} test."
    parts = [opening, tested, table(lines), differences(compared(runs, PAIRS))]
    return "\n\n".join([*parts, "Dice by size of what is to be marked (images):", table(small)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="holds kvasir_polyp")
    parser.add_argument("--out", type=Path, default=Path("studies"))
    parser.add_argument("--write", action="store_true", help="docs/results-segmentation.md")
    given = parser.parse_args()
    parts = [HEAD.format(rule=RULE), section(GLYPHS, conducted("segment-table", given.out))]
    parts.append(section(POLYPS, conducted("segment-kvasir", given.out, data__root=given.root)))
    text = "\n\n".join(parts) + "\n"
    print(text)
    if given.write:
        (DOCS / "results-segmentation.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
