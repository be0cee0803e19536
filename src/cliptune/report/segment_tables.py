"""One SegmentRecord → rows: plain dicts, fractions 0–1, None for what was not measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cliptune.report import words
from cliptune.report.read import bounds_of
from cliptune.report.segment_read import SegmentRecord
from cliptune.report.segment_words import SIZES
from cliptune.report.tables import Row, cost, origin, sign_test, why_unpaired
from cliptune.statistics import paired_bootstrap


def headline(record: SegmentRecord) -> Row:
    """What the run reached, what zero-shot reaches on the same images, and the difference."""
    after, before = record.after(), record.before()
    return {
        "run": record.name,
        "n": after.n if after else None,
        "dice": after.dice if after else None,
        "interval": after.interval if after else None,
        "iou": after.iou if after else None,
        "zero_shot": before.dice if before else None,
        "zero_shot_interval": before.interval if before else None,
        "zero_shot_iou": before.iou if before else None,
        "gain": difference(after.dice, before.dice) if after and before else None,
    }


def difference(after: Any, before: Any) -> float | None:
    """After minus before; None where either was not measured."""
    first, second = words.number(after), words.number(before)
    return None if first is None or second is None else first - second


def by_image(record: SegmentRecord) -> np.ndarray | None:
    """Dice of every test image, after minus zero-shot [n]; None where there is no pair (`why_unpaired`)."""
    after, before = record.predictions, record.zero_shot_predictions
    if why_unpaired(record) or after is None or before is None:
        return None
    return after.dice - before.dice


def paired(record: SegmentRecord) -> Row | None:
    """Mean difference on the same images with its 95 % bootstrap interval, and how many images are better and worse."""
    change = by_image(record)
    if change is None:
        return None
    return {
        "n": len(change),
        "difference": float(change.mean()),
        "interval": paired_bootstrap([change]),
        **sign_test(np.zeros(len(change)), change),
    }


def empty(record: SegmentRecord) -> Row | None:
    """Test images on which there is nothing to mark, and how many were left unmarked; None where there is none."""
    measures = {"after": record.after(), "zero_shot": record.before()}
    row: Row = {}
    for when, measure in measures.items():
        told = measure.told.get("empty") if measure else None
        told = told if isinstance(told, Mapping) else {}
        row |= {f"{when}_n": words.number(told.get("n")), f"{when}_right": words.number(told.get("right"))}
    n = row["after_n"] or row["zero_shot_n"]
    if not n:
        return None
    shares = {when: None if (right := row[f"{when}_right"]) is None else right / n for when in measures}
    return {"n": n, **shares, "after_right": row["after_right"], "zero_shot_right": row["zero_shot_right"]}


def parts(record: SegmentRecord, key: str) -> list[Row]:
    """`per_size` or `per_group`, after and zero-shot; sizes in their order, groups as told."""
    after, before = record.after(), record.before()
    now, was = after.part(key) if after else {}, before.part(key) if before else {}
    names = list(dict.fromkeys([*now, *was]))
    if key == "per_size":
        names.sort(key=lambda name: SIZES.index(name) if name in SIZES else len(SIZES))
    rows = []
    for name in names:
        one, other = now.get(name, {}), was.get(name, {})
        rows.append(
            {
                "name": name,
                "share": one.get("share", other.get("share")),
                "n": words.number(one.get("n", other.get("n"))),
                "dice": words.number(one.get("dice")),
                "iou": words.number(one.get("iou")),
                "zero_shot": words.number(other.get("dice")),
                "zero_shot_iou": words.number(other.get("iou")),
                "gain": difference(one.get("dice"), other.get("dice")),
            }
        )
    return rows


def share_told(bounds: Any) -> str:
    """Between which shares of the image a size lies: [0.01, 0.05] → '1.0–5.0 %'."""
    ends = bounds_of(bounds)
    return f"{words.interval(ends)} %" if ends else words.NOT_MEASURED


def decoder_share(record: SegmentRecord) -> float | None:
    """The part of the trained numbers that is the decoder's; None where the run does not tell, or trained none."""
    decoder, whole = (words.number(record.run.get(key)) for key in ("decoder_parameters", "trainable_parameters"))
    return None if decoder is None or not whole else decoder / whole


def run_row(record: SegmentRecord) -> Row:
    """Everything a spreadsheet wants of one run, on one line, for the CSV."""
    row, pair, nothing = headline(record), paired(record) or {}, empty(record) or {}
    low, high = row["interval"] or (None, None)
    zero_low, zero_high = row["zero_shot_interval"] or (None, None)
    gain_low, gain_high = pair.get("interval") or (None, None)
    after, before = record.after(), record.before()
    return {
        "run": record.name,
        "task": record.run.get("task"),
        "method": record.method,
        "data": record.data,
        "model": record.model,
        "protocol": record.run.get("protocol"),
        "prompt": record.prompt_kind,
        "shots": record.run.get("shots"),
        "seed": record.run.get("seed"),
        **{key: row[key] for key in ("n", "dice")},
        **{"dice_low": low, "dice_high": high, "iou": row["iou"]},
        "dice_at_input": words.number(after.told.get("dice_at_input")) if after else None,
        **{"zero_shot": row["zero_shot"], "zero_shot_low": zero_low, "zero_shot_high": zero_high},
        "zero_shot_iou": row["zero_shot_iou"],
        "zero_shot_at_input": words.number(before.told.get("dice_at_input")) if before else None,
        **{"gain": row["gain"], "gain_low": gain_low, "gain_high": gain_high},
        **{"better": pair.get("fixed"), "worse": pair.get("broken")},
        **{"empty": nothing.get("n"), "empty_right": nothing.get("after_right")},
        "empty_right_zero_shot": nothing.get("zero_shot_right"),
        **{f"dice_{each['name']}": each["dice"] for each in parts(record, "per_size")},
        **cost(record),
        "decoder_parameters": words.number(record.run.get("decoder_parameters")),
        **origin(record),
    }
