"""The verdict on one run in plain language: a gain is claimed only where a test on the same images finds one."""

from collections.abc import Sequence

import numpy as np

from cliptune.report import resampled, words
from cliptune.report.blocks import Kind, Verdict
from cliptune.report.leading import HALVES, Leading, leading, told_unequal
from cliptune.report.read import Predictions, Record
from cliptune.report.tables import Row, disagreement, every_test, headline, paired_test, retention, why_unpaired

LEADS = {
    "gain": "Adapting helped.",
    "loss": "Adapting hurt.",
    "even": "No difference that this test can tell from chance.",
    "unknown": "There is no zero-shot number to compare with.",
}


def of_one(record: Record) -> Verdict:
    """One run against zero-shot on the same images."""
    row, lead = headline(record), leading(record)
    if row["accuracy"] is None:
        return Verdict("unknown", "No accuracy was measured in this run.", (forgotten(record),))
    if record.method.replace("-", "_") == "zero_shot":
        reached = f"It reaches {words.percent(lead.after)}"
        what = "" if lead.kind == "accuracy" else f", {lead.title}"
        return Verdict("unknown", "This run is zero-shot itself: nothing was adapted.", (f"{reached}{what}.",))
    if lead.before is None:
        after = f"{words.percent(lead.after)} ({words.interval(row['interval'])})"
        return Verdict("unknown", LEADS["unknown"], (f"After adapting: {after}.", forgotten(record)))
    if lead.kind == "harmonic mean":
        return _of_halves(record, lead)
    if lead.kind == "class mean":
        return _of_classes(record, lead)
    kind = judge(row, paired_test(record))
    return Verdict(kind, LEADS[kind], (_of_accuracy(record), forgotten(record)))


def _of_accuracy(record: Record) -> str:
    row, pair = headline(record), paired_test(record)
    after = f"{words.percent(row['accuracy'])} ({words.interval(row['interval'])})"
    numbers = f"After {after}, zero-shot {words.percent(row['zero_shot'])}: {words.points(row['gain'])} points"
    if pair:
        numbers += f"; {_counted(pair)}."
    else:
        numbers += f". No paired test: {why_unpaired(record)}, so only intervals that lie apart count as a difference."
    if others := [test for test in every_test(record) if test["test"] != record.main]:
        besides = "; ".join(
            f"{test['test']} {words.percent(test['zero_shot'])} → {words.percent(test['accuracy'])} "
            f"({words.points(test['gain'])} points)"
            for test in others[:4]
        )
        numbers = f"On {record.main}: {numbers} Besides: {besides}."
    return numbers


def _counted(pair: Row) -> str:
    return f"{words.these(pair['fixed'], 'image')} fixed, {pair['broken']:,} broken, {words.p_value(pair['p'])}"


def _moved(lead: Leading, interval: Sequence[float] | None) -> str:
    """'harmonic mean 12.5 %, zero-shot 6.9 %: +5.6 points (95 % …)'."""
    bounds = f" (95 % {words.difference_interval(interval)})" if interval else ""
    return (
        f"{lead.title[0].upper()}{lead.title[1:]} {words.percent(lead.after)}, zero-shot {words.percent(lead.before)}: "
        f"{words.points(lead.gain)} points{bounds}."
    )


def _of_halves(record: Record, lead: Leading) -> Verdict:
    """Base and novel: the harmonic mean, then each half with its own test; no gain where one of them fell."""
    pairs = [pair_of(record, half) for half in HALVES]
    interval = resampled.harmonic_mean([pair for pair in pairs if pair]).difference if all(pairs) else None
    sentences, changes = [_moved(lead, interval)], []
    for half, pair in zip(HALVES, pairs):
        after, before = record.after(half), record.before(half)
        change = after.accuracy - before.accuracy if after and before else None
        changes.append(change)
        counted = f"; {_counted(disagreement(*pair))}" if pair else ""
        sentences.append(
            f"{half.capitalize()} classes: {words.percent(before.accuracy if before else None)} → "
            f"{words.percent(after.accuracy if after else None)} ({words.points(change)} points{counted})."
        )
    if interval is None:
        sentences.append("No paired test of the harmonic mean: not both halves have both prediction files.")
    kind, text = _halves_told(changes, pairs, interval)
    return Verdict(kind, text, (*sentences, forgotten(record)))


def _halves_told(
    changes: Sequence[float | None],
    pairs: Sequence[tuple[np.ndarray, np.ndarray] | None],
    interval: tuple[float, float] | None,
) -> tuple[Kind, str]:
    if any(change is None for change in changes) or interval is None:
        return "unknown", "Without predictions of both halves nothing is tested."
    moves = {half: change for half, change in zip(HALVES, changes) if change is not None}
    fell, rose = (next((half for half in HALVES if sign * moves[half] > 0), "") for sign in (-1, 1))
    if interval[1] < 0:
        return "loss", LEADS["loss"]
    if fell and rose:
        gained, lost = (_is_sure(pairs[HALVES.index(half)]) for half in (rose, fell))
        if not gained and not lost:
            return "even", LEADS["even"]
        if gained and lost:
            return "even", f"{rose.capitalize()} classes gained, {fell} classes lost."
        if gained:
            return "even", f"{rose.capitalize()} classes gained; {fell} classes fell, but the loss is within chance."
        return "loss", f"{fell.capitalize()} classes lost; {rose} classes rose, but the gain is within chance."
    if interval[0] > 0:
        return "gain", LEADS["gain"]
    return "even", LEADS["even"]


def _is_sure(pair: tuple[np.ndarray, np.ndarray] | None) -> bool:
    """Whether McNemar's test tells the two apart."""
    return pair is not None and disagreement(*pair)["p"] < words.SIGNIFICANT


def pair_of(record: Record, test: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Which images of a test were right, zero-shot and after; None where they cannot be paired."""
    after, before = record.predictions_of(test)
    if after is None or before is None or not len(after) or not after.same_images(before):
        return None
    return before.correct, after.correct


def _of_classes(record: Record, lead: Leading) -> Verdict:
    """Unequal classes: the mean over classes, then the accuracy; no gain where the two tell opposite things."""
    row, pair, main = headline(record), paired_test(record), record.after()
    assert main is not None
    interval = _interval_of_classes(record.predictions, record.zero_shot_predictions) if pair else None
    by_images = judge(row, pair)
    kind: Kind = "even"
    if interval is not None:
        kind = "gain" if interval[0] > 0 else "loss" if interval[1] < 0 else "even"
    text = LEADS[kind]
    if {kind, by_images} == {"gain", "loss"}:
        moved = ("rose", "fell") if kind == "gain" else ("fell", "rose")
        kind, text = "even", f"It depends on what counts: the mean over classes {moved[0]}, the accuracy {moved[1]}."
    images = f"Over all images: {_of_accuracy(record)}"
    return Verdict(kind, text, (_moved(lead, interval), images, told_unequal(main), forgotten(record)))


def _interval_of_classes(after: Predictions | None, before: Predictions | None) -> tuple[float, float] | None:
    if after is None or before is None:
        return None
    return resampled.class_mean(after.labels, before.correct, after.correct).difference


def judge(row: Row, pair: Row | None) -> Kind:
    """By McNemar's test where images are paired, else by whether the two 95 % intervals lie apart."""
    if pair is not None:
        if pair["p"] >= words.SIGNIFICANT:
            return "even"
        return "gain" if pair["fixed"] > pair["broken"] else "loss"
    after, before = row["interval"], row["zero_shot_interval"]
    if not after or not before or (after[0] <= before[1] and before[0] <= after[1]):
        return "even"
    return "gain" if row["gain"] > 0 else "loss"


def apart(row: Row) -> bool:
    """Whether a retention row's two intervals lie apart."""
    before, after = row["interval_before"], row["interval_after"]
    return bool(before and after and (before[1] < after[0] or after[1] < before[0]))


def forgotten(record: Record) -> str:
    """One sentence on what the model could do before; of what it could not do better than guessing, that."""
    measured = [row for row in retention(record) if row["change"] is not None]
    rows = [row for row in measured if not row["at_chance"]]
    if not measured:
        return "What was forgotten: not measured."
    if not rows:
        text = "; ".join(
            f"on {row['name']} the untouched backbone is at chance ({words.percent(row['before'])}, guessing "
            f"{words.percent(row['chance'])})"
            for row in measured[:3]
        )
        return f"What was forgotten cannot be told: {text}."
    text = "; ".join(
        f"{row['name']} {words.percent(row['before'])} → {words.percent(row['after'])} "
        f"({words.points(row['change'])} points{'' if apart(row) else ', inside the intervals'})"
        for row in sorted(rows, key=lambda row: row["change"])[:3]
    )
    more = f", and {len(rows) - 3} more below" if len(rows) > 3 else ""
    lost = any(row["change"] < 0 and apart(row) for row in rows)
    return f"{'Forgotten' if lost else 'Not adapted for'}: {text}{more}."
