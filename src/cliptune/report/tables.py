"""One Record → rows: plain dicts, fractions 0–1, None for what was not measured. Rows as text: writing.py."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cliptune.report import words
from cliptune.report.leading import beside_chance
from cliptune.report.read import Measure, Predictions, Record, RunFolder, measure
from cliptune.statistics import calibration, expected_calibration_error, mcnemar, wilson

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """How one key of a row is headed and written."""

    key: str
    title: str
    show: Callable[[Any], str] = words.plain


def headline(record: Record) -> Row:
    """What the run reached, what zero-shot reaches on the same images, and the difference."""
    after, before = record.after(), record.before()
    gain = after.accuracy - before.accuracy if after and before else None
    wrong = 1 - before.accuracy if before else 0.0
    return {
        "run": record.name,
        "test": record.main,
        "n": after.n if after else None,
        "accuracy": after.accuracy if after else None,
        "interval": after.interval if after else None,
        "zero_shot": before.accuracy if before else None,
        "zero_shot_interval": before.interval if before else None,
        "gain": gain,
        "errors_removed": gain / wrong if gain is not None and wrong > 0 else None,
    }


HARMONIC = "harmonic mean of base and novel"


def every_test(record: Record) -> list[Row]:
    """A row per named test: base and novel after their harmonic mean, or the four ImageNets."""
    rows = []
    for name in record.tests():
        after, before = record.after(name), record.before(name)
        assert after is not None
        rows.append(
            {
                "test": name,
                "n": after.n,
                "accuracy": after.accuracy,
                "interval": after.interval,
                "zero_shot": before.accuracy if before else None,
                "gain": after.accuracy - before.accuracy if before else None,
            }
        )
    mean, before_mean = record.harmonic_mean()
    if mean is None:
        return rows
    gain = mean - before_mean if before_mean is not None else None
    measured = {"accuracy": mean, "zero_shot": before_mean, "gain": gain}
    return [{"test": HARMONIC, "n": None, "interval": None, **measured}, *rows]


def why_unpaired(record: RunFolder) -> str:
    """Empty where the two prediction files can be compared image by image; otherwise the reason."""
    after, before = record.predictions, record.zero_shot_predictions
    if after is None or before is None:
        return f"{'predictions.csv' if after is None else 'zero_shot_predictions.csv'} is missing"
    if not len(after):
        return "predictions.csv holds no image"
    if not after.same_images(before):
        return "predictions.csv and zero_shot_predictions.csv are not about the same images in the same order"
    return ""


def paired_test(record: Record) -> Row | None:
    """The same images before and after, and McNemar's exact test; None where there is no pair (`why_unpaired`)."""
    after, before = record.predictions, record.zero_shot_predictions
    if why_unpaired(record) or after is None or before is None:
        return None
    return {"n": len(after), **disagreement(before.correct, after.correct)}


def disagreement(before: np.ndarray, after: np.ndarray) -> Row:
    """Counts of the four cases and the exact p value of fixed against broken."""
    return {
        "both_right": int((after & before).sum()),
        "both_wrong": int((~after & ~before).sum()),
        **sign_test(before.astype(float), after.astype(float)),
    }


def sign_test(before: np.ndarray, after: np.ndarray) -> Row:
    """Images that are better after (fixed), worse (broken), and the exact p value of the one against the other.

    Of rights and wrongs it is McNemar's test.
    """
    fixed, broken = int((after > before).sum()), int((after < before).sum())
    return {"fixed": fixed, "broken": broken, "p": mcnemar(fixed, broken)}


def beside_headline(record: Record) -> list[Row]:
    """The other measures of the main test, after and zero-shot."""
    after, before = record.after(), record.before()
    names = {
        "accuracy": "accuracy",
        "macro_accuracy": "mean over classes",
        "nll": "negative log-likelihood",
        "ece": "expected calibration error",
    }

    def value(of: Measure | None, key: str) -> float | None:
        return words.number(of.extra.get(key)) if of else None

    return [
        {"key": key, "measure": title, "after": value(after, key), "zero_shot": value(before, key)}
        for key, title in names.items()
        if value(after, key) is not None or value(before, key) is not None
    ]


def cost(record: RunFolder) -> Row:
    """Size, time and memory."""
    seconds = record.section("seconds")
    return {
        "trainable_parameters": words.number(record.run.get("trainable_parameters")),
        "trainable_percent": words.number(record.run.get("trainable_percent")),
        "adapter_bytes": record.adapter_bytes,
        "train_seconds": words.number(seconds.get("train")),
        "evaluate_seconds": words.number(seconds.get("evaluate")),
        "images_per_second": words.number(record.run.get("images_per_second")),
        "inference_images_per_second": words.number(record.run.get("inference_images_per_second")),
        "peak_memory_bytes": words.number(record.run.get("peak_memory_bytes")),
        "merge_gap": words.number(record.run.get("merge_gap")),
    }


def per_class(record: Record) -> list[Row]:
    """Accuracy of every class before and after, from run.json, or counted from the predictions where it has none."""
    after = _classes_of(record.after(), record.predictions)
    before = _classes_of(record.before(), record.zero_shot_predictions)
    rows = []
    for name in dict.fromkeys([*record.classes, *after, *before]):
        (accuracy, n), (zero_shot, n_before) = after.get(name, (None, None)), before.get(name, (None, None))
        if accuracy is None and zero_shot is None:
            continue
        change = accuracy - zero_shot if accuracy is not None and zero_shot is not None else None
        images = n if n is not None else n_before
        rows.append({"class": name, "n": images, "accuracy": accuracy, "zero_shot": zero_shot, "change": change})
    return rows


def _classes_of(found: Measure | None, rows: Predictions | None) -> dict[str, tuple[float | None, int | None]]:
    listed = found.extra.get("per_class") if found else None
    if isinstance(listed, Mapping) and listed:
        return {
            str(name): (words.number(each.get("accuracy")), int(words.number(each.get("n")) or 0))
            for name, each in listed.items()
            if isinstance(each, Mapping)
        }
    if rows is None:
        return {}
    total, right = Counter(rows.labels), Counter(label for label, good in zip(rows.labels, rows.correct) if good)
    return {name: (right[name] / n, n) for name, n in total.items()}


def confusion(record: Record) -> list[Row]:
    """Images per (true class, answer), after and zero-shot; pairs that never happened are left out."""
    pairs: list[Counter] = []
    for rows in (record.predictions, record.zero_shot_predictions):
        pairs.append(Counter(zip(rows.labels, rows.guesses)) if rows else Counter())
    after, before = pairs
    measured = record.zero_shot_predictions is not None
    return [
        {"label": label, "answer": answer, "n": after[pair], "zero_shot": before[pair] if measured else None}
        for pair in sorted(set(after) | set(before))
        for label, answer in [pair]
    ]


def reliability(record: Record) -> list[Row]:
    """A row per non-empty bin of confidence, `when` being 'zero-shot' or 'after'."""
    rows = []
    for when, found in (("zero-shot", record.zero_shot_predictions), ("after", record.predictions)):
        if found is None or not len(found):
            continue
        usable = np.isfinite(found.scores)
        bins = calibration(found.scores[usable], found.correct[usable])
        ece = expected_calibration_error(bins)
        for each in bins:
            interval = wilson(each.accuracy, each.n)
            rows.append({"when": when, **vars(each), "interval": interval, "ece": ece})
    return rows


def temperatures(record: Record) -> list[Row]:
    """The main test at the temperature that fits the validation images, zero-shot and after; where one was fitted."""
    rows = []
    for when, found in (("zero-shot", record.before()), ("after", record.after())):
        told = found.extra.get("calibrated") if found else None
        if found is None or not isinstance(told, Mapping):
            continue
        row: Row = {"when": when, "images": words.number(told.get("n"))}
        row |= {"temperature": words.number(told.get("temperature"))}
        for key in ("nll", "ece"):
            row |= {key: words.number(found.extra.get(key)), f"{key}_at": words.number(told.get(key))}
        rows.append(row)
    return rows


def retention(record: RunFolder) -> list[Row]:
    """Accuracy on things the model was not adapted for, before and after.

    `at_chance`: the untouched backbone knew no more of them than guessing, so nothing could be forgotten.
    """
    rows = []
    for name, found in record.section("retention").items():
        if not isinstance(found, Mapping):
            continue
        n = int(words.number(found.get("n")) or 0)
        row: Row = {"name": name, "n": n or None}
        for when in ("before", "after"):
            accuracy = words.number(found.get(when))
            bounds = found.get(f"interval_{when}") or (wilson(accuracy, n) if accuracy is not None and n else None)
            row |= {when: accuracy, f"interval_{when}": bounds}
        both = row["before"] is not None and row["after"] is not None
        row["change"] = row["after"] - row["before"] if both else None
        classes = words.number(found.get("classes"))
        row["chance"] = 1 / classes if classes else None
        known = measure(str(name), {"accuracy": row["before"], "interval": row["interval_before"], "n": row["n"]})
        row["at_chance"] = beside_chance(known, row["chance"]) != ""
        rows.append(row)
    return rows


def run_row(record: Record) -> Row:
    """Everything a spreadsheet wants of one run, on one line, for the CSV."""
    row = headline(record)
    low, high = row.pop("interval") or (None, None)
    zero_low, zero_high = row.pop("zero_shot_interval") or (None, None)
    pair = paired_test(record) or {}
    return {
        **{key: row[key] for key in ("run", "test")},
        "method": record.method,
        "data": record.data,
        "model": record.model,
        "protocol": record.run.get("protocol"),
        "shots": record.run.get("shots"),
        "seed": record.run.get("seed"),
        **{key: row[key] for key in ("n", "accuracy")},
        "accuracy_low": low,
        "accuracy_high": high,
        "zero_shot": row["zero_shot"],
        "zero_shot_low": zero_low,
        "zero_shot_high": zero_high,
        "gain": row["gain"],
        "errors_removed": row["errors_removed"],
        **{key: pair.get(key) for key in ("fixed", "broken", "p")},
        **{f"{each['key']}": each["after"] for each in beside_headline(record) if each["key"] != "accuracy"},
        **cost(record),
        **{
            f"retention_{each['name']}_{when}": each[when] for each in retention(record) for when in ("before", "after")
        },
        **origin(record),
    }


def origin(record: RunFolder) -> Row:
    """The last of a CSV line: what tells two runs of the same name apart."""
    environment = record.section("environment")
    return {
        "episode_sha256": record.section("data").get("episode_sha256"),
        "model_sha256": record.section("model").get("sha256"),
        "commit": environment.get("commit"),
        "device": environment.get("device"),
    }
