"""Several runs that segment → rows: mean Dice and IoU over seeds, gains on the very same images, Dice by size."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from cliptune.report import words
from cliptune.report.compare import Named, Place
from cliptune.report.segment_read import MaskPredictions, SegmentRecord
from cliptune.report.segment_tables import by_image, parts
from cliptune.report.segment_words import SIZES
from cliptune.report.tables import Row, cost
from cliptune.statistics import Drawn, judged, mean_and_deviation, mean_difference

Runs = Sequence[Named[SegmentRecord]]


def gathered(runs: Runs) -> dict[tuple[Place, str, int | None], list[SegmentRecord]]:
    """The seeds of every place, label and number of shots, in the order of a table's rows."""
    found: dict[tuple[Place, str, int | None], list[SegmentRecord]] = defaultdict(list)
    for each in runs:
        found[(each.cell.place, each.label, each.cell.shots)].append(each.record)
    order = {label: index for index, label in enumerate(dict.fromkeys(each.label for each in runs))}
    keys = sorted(found, key=lambda key: (key[0], words.number(key[2]) or 0, order[key[1]]))
    return {key: found[key] for key in keys}


def groups(runs: Runs) -> list[Row]:
    """Mean and sample standard deviation over seeds for every place, label and number of shots."""
    return [
        {"label": label, **place._asdict(), "shots": shots, **_group(records)}
        for (place, label, shots), records in gathered(runs).items()
    ]


def _group(records: Sequence[SegmentRecord]) -> Row:
    measured = [(record.after(), record.before()) for record in records]
    dice, deviation = mean_and_deviation([after.dice for after, _ in measured if after])
    iou, iou_deviation = mean_and_deviation([after.iou for after, _ in measured if after and after.iou is not None])
    gains = [after.dice - before.dice for after, before in measured if after and before]
    gain, gain_deviation = mean_and_deviation(gains)
    first, costs = measured[0][0], [cost(record) for record in records]
    decoders = [words.number(record.run.get("decoder_parameters")) for record in records]
    return {
        "runs": sum(after is not None for after, _ in measured),
        "dice": dice,
        "deviation": deviation,
        "interval": first.interval if first and len(records) == 1 else None,
        "n": first.n if first else None,
        "iou": iou,
        "iou_deviation": iou_deviation,
        "zero_shot": mean_and_deviation([before.dice for _, before in measured if before])[0],
        "gain": gain,
        "gain_deviation": gain_deviation,
        "gain_interval": gain_interval(records),
        "decoder_parameters": mean_of(decoders),
        **{key: mean_of(each[key] for each in costs) for key in costs[0]},
    }


def mean_of(values: Iterable[float | None]) -> float | None:
    """Of what was measured; None where nothing was."""
    return mean_and_deviation([value for value in values if value is not None])[0]


def gain_interval(records: Sequence[SegmentRecord]) -> tuple[float, float] | None:
    """95 % interval of the mean gain over zero-shot, over seeds and test images as `statistics.judged` has it.

    None where the prediction files of some seed cannot be paired: an interval of other runs than the mean's would lie.
    """
    drawn = []
    for record in records:
        change, answers = by_image(record), record.predictions
        if change is None or answers is None:
            return None
        drawn.append(Drawn(record.run.get("seed"), answers.paths, change))
    return judged([mean_difference(drawn)])[0].interval


def by_size(runs: Runs) -> list[Row]:
    """Mean Dice over seeds of every size, after and zero-shot; a row a label and size."""
    rows = []
    for (place, label, shots), records in gathered(runs).items():
        told: dict[str, list[Row]] = defaultdict(list)
        for record in records:
            for part in parts(record, "per_size"):
                told[part["name"]].append(part)
        for size in sorted(told, key=lambda name: SIZES.index(name) if name in SIZES else len(SIZES)):
            found = told[size]
            dice, deviation = mean_and_deviation([part["dice"] for part in found if part["dice"] is not None])
            rows.append(
                {
                    "label": label,
                    **place._asdict(),
                    "shots": shots,
                    "size": size,
                    "n": found[0]["n"],
                    "runs": len(found),
                    "dice": dice,
                    "deviation": deviation,
                    "zero_shot": mean_of(part["zero_shot"] for part in found),
                    "gain": mean_of(part["gain"] for part in found),
                }
            )
    return rows


def spread_over_images(records: Sequence[SegmentRecord], zero_shot: bool = False) -> np.ndarray | None:
    """[n] Dice of every test image, averaged over the seeds that saw it in the same test; None where no file tells."""
    seen: dict[tuple, list[np.ndarray]] = defaultdict(list)
    for record in records:
        answers: MaskPredictions | None = record.zero_shot_predictions if zero_shot else record.predictions
        if answers is not None and len(answers):
            seen[answers.paths].append(answers.dice)
    return np.concatenate([np.mean(found, axis=0) for found in seen.values()]) if seen else None
