"""The folder of a run that segments → `SegmentRecord`: Dice instead of accuracy, masks instead of labels.

Dice = 2 |found ∩ truth| / (|found| + |truth|); 1 where there is nothing to mark and nothing was marked. As for every
run, nothing is guessed: what a folder lacks is None.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cliptune.errors import UserError
from cliptune.files import refuse_odd
from cliptune.report import words
from cliptune.report.read import PerImage, RunFolder, bounds_of, home_of, read_shared
from cliptune.report.segment_words import SEGMENT, leak

COLUMNS = ("path", "prompt", "group", "dice", "iou", "truth", "found", "height", "width")

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class MaskPredictions(PerImage):
    """One row per test image, in the file's order; arrays by image [n]."""

    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    dice: np.ndarray
    iou: np.ndarray
    truth: np.ndarray
    """pixels that should be marked"""
    found: np.ndarray
    """pixels that were marked"""
    pixels: np.ndarray
    """of the whole image"""

    @property
    def truths(self) -> tuple[int, ...]:
        return tuple(int(each) for each in self.truth)

    @property
    def by_image(self) -> np.ndarray:
        return self.dice


@dataclass(frozen=True, eq=False)
class DiceMeasure:
    """A table of metrics: means over images, fractions throughout."""

    dice: float
    iou: float | None
    n: int | None
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the mean Dice over images"""
    told: Mapping[str, Any]
    """the whole table"""

    def part(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """`per_size` or `per_group`: the rows in it that hold a Dice."""
        found = self.told.get(key)
        rows = found.items() if isinstance(found, Mapping) else ()
        return {str(name): row for name, row in rows if isinstance(row, Mapping) and "dice" in row}


@dataclass(frozen=True, eq=False)
class SegmentRecord(RunFolder):
    """A finished run that segments."""

    predictions: MaskPredictions | None = None
    zero_shot_predictions: MaskPredictions | None = None

    @property
    def prompt_kind(self) -> str | None:
        kind = self.section("prompt").get("kind")
        return str(kind) if kind else None

    @property
    def leak(self) -> str:
        """The warning that the prompts may tell what only the masks know; empty where they do not."""
        return leak(self.prompt_kind)

    @property
    def variant(self) -> tuple[str, ...]:
        return (f"prompts {self.prompt_kind}",) if self.prompt_kind else ()

    @property
    def reached(self) -> float | None:
        return found.dice if (found := self.after()) else None

    def after(self) -> DiceMeasure | None:
        """On the test images, adapted."""
        return dice_measure(self.section("metrics").get("test"))

    def before(self) -> DiceMeasure | None:
        """On the same images, zero-shot."""
        return dice_measure(self.section("metrics").get("zero_shot"))


def dice_measure(found: Any) -> DiceMeasure | None:
    """A table of metrics that holds a Dice; None for anything else."""
    if not isinstance(found, Mapping) or (dice := words.number(found.get("dice"))) is None:
        return None
    n = words.number(found.get("n"))
    return DiceMeasure(
        dice, words.number(found.get("iou")), None if n is None else int(n), bounds_of(found.get("interval")), found
    )


def read_segment_record(folder: Path) -> SegmentRecord:
    """Read one finished run that segments.

    Raises:
        UserError: no run there, a run that is not finished or of another task, or a file that cannot be read.
    """
    folder = home_of(folder)
    shared = read_shared(folder)
    if (task := shared["run"].get("task")) != SEGMENT:
        raise UserError(f"{folder}: task {task!r}, so it is no run that segments", "give a run with task 'segment'")
    return SegmentRecord(
        **shared,
        predictions=read_mask_predictions(folder / "predictions.csv"),
        zero_shot_predictions=read_mask_predictions(folder / "zero_shot_predictions.csv"),
    )


def read_mask_predictions(path: Path) -> MaskPredictions | None:
    """Read predictions.csv of a run that segments; None where there is no such file.

    Raises:
        UserError: a column is missing, or a line holds no number where one belongs.
    """
    if not path.is_file():
        return None
    refuse_odd(path)
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{path}: no column {', '.join(missing)}", f"its first line should be: {','.join(COLUMNS)}")
        rows = list(reader)

    def column(name: str, read: Callable[[Any], Value], expected: str) -> list[Value]:
        found = []
        for line, row in enumerate(rows, start=2):
            try:
                found.append(read(row[name]))
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"{path} line {line}: {name} {row[name]!r} is not {expected}",
                    f"write it again: cliptune evaluate {path.parent}",
                ) from error
        return found

    dice, iou = (np.array(column(name, _share, "a number from 0 to 1"), dtype=float) for name in ("dice", "iou"))
    truth, found, height, width = (
        np.array(column(name, _pixels, "a whole number of pixels"), dtype=np.int64)
        for name in ("truth", "found", "height", "width")
    )
    return MaskPredictions(
        paths=tuple(str(row["path"]) for row in rows),
        prompts=tuple(row["prompt"] or "" for row in rows),
        groups=tuple(row["group"] or "" for row in rows),
        dice=dice,
        iou=iou,
        truth=truth,
        found=found,
        pixels=height * width,
    )


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _pixels(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
