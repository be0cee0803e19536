"""The images of a segmentation report: each as it is, as answered zero-shot and after, marks drawn over it."""

import numpy as np

from cliptune.report import words
from cliptune.report.blocks import Block, Overlays, Panel, Text, Triptych
from cliptune.report.gallery import file_of, no_thumbnails, none_of, rows_of, thumbnail
from cliptune.report.segment_read import MaskPredictions, SegmentRecord
from cliptune.report.tables import why_unpaired

SIDE = 160
"""pixels"""
MOST = 6
EXPLAINED = {
    "best": ("Best", "the highest Dice after adapting"),
    "worst": ("Worst", "the lowest Dice after adapting"),
    "improved": ("Most improved", "the largest gain over zero-shot"),
    "worsened": ("Most worsened", "the largest loss against zero-shot"),
}
LEGEND = "Filled: what was marked. White line: what should be."


def galleries(record: SegmentRecord) -> list[Block]:
    """Best, worst, most improved and most worsened images; an empty kind says so in words."""
    chosen, after = record.section("gallery"), record.predictions
    if not chosen or after is None:
        return [no_thumbnails()]
    blocks: list[Block] = [Text(LEGEND)]
    for key, (title, meaning) in EXPLAINED.items():
        if rows := rows_of(chosen.get(key), after)[:MOST]:
            blocks.append(Overlays(title, meaning, [triptych(record, after, row) for row in rows]))
        else:
            blocks.append(none_of(title, meaning))
    return blocks


def triptych(record: SegmentRecord, after: MaskPredictions, row: int) -> Triptych:
    """One test image beside both answers, with what each of them shows in words."""
    before = record.zero_shot_predictions if not why_unpaired(record) else None
    folder, file = record.folder / "thumbnails", file_of(after, row)
    names = {f"{row}.png": "image", f"{row}-before.png": "zero-shot", f"{row}-after.png": "after"}
    alts = (f"{file}: {_marked(after, row, after.truth)} to be marked", _alt(file, before, row), _alt(file, after, row))
    dice = words.percent(after.dice[row].item())
    told = {"prompt": after.prompts[row], "group": after.groups[row]}
    return Triptych(
        panels=[
            Panel(thumbnail(folder / name, SIDE), title, f"{alt} ({title})")
            for (name, title), alt in zip(names.items(), alts)
        ],
        said=f"Dice {dice}" if before is None else f"Dice {words.percent(before.dice[row].item())} → {dice}",
        beside="; ".join(f"{key} '{words.short(value, 60)}'" for key, value in told.items() if value),
        file=file,
    )


def _alt(file: str, answers: MaskPredictions | None, row: int) -> str:
    if answers is None:
        return f"{file}: marks {words.NOT_MEASURED}"
    return f"{file}: {_marked(answers, row, answers.found)} marked, Dice {words.percent(answers.dice[row].item())}"


def _marked(answers: MaskPredictions, row: int, marked: np.ndarray) -> str:
    share = marked[row] / answers.pixels[row] if answers.pixels[row] else 0.0
    return f"{words.percent(float(share))} of the image" if marked[row] else "nothing"
