"""A run folder → `Record`. Nothing else is opened, and nothing is guessed: what a folder lacks is None.

`RunFolder` is what every task's runs share, and what a comparison needs of them; a `Record` is a run that classifies.
Runs that segment are read in segment_read.py.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cliptune.datasets.base import distinct
from cliptune.errors import UserError
from cliptune.files import read_json, refuse_odd, user_path
from cliptune.report import words
from cliptune.report.run_files import read_events, read_features
from cliptune.statistics import wilson

ASIDE = ("validation",)


@dataclass(frozen=True, eq=False)
class PerImage:
    """What a run reached on every test image, in the file's order; what it is depends on the task."""

    paths: tuple[str, ...]

    @property
    def truths(self) -> tuple[Any, ...]:
        """What is right for each image, as far as the file tells."""
        raise NotImplementedError

    @property
    def by_image(self) -> np.ndarray:
        """[n] float, from 0 to 1: its mean is the run's main measure."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.paths)

    def same_images(self, other: "PerImage") -> bool:
        return self.paths == other.paths and self.truths == other.truths


@dataclass(frozen=True, eq=False)
class Predictions(PerImage):
    """One row per test image, in the file's order."""

    labels: tuple[str, ...]
    guesses: tuple[str, ...]
    scores: np.ndarray
    """probability of the guess"""

    @cached_property
    def correct(self) -> np.ndarray:
        return np.array([label == guess for label, guess in zip(self.labels, self.guesses)], dtype=bool)

    @property
    def truths(self) -> tuple[str, ...]:
        return self.labels

    @property
    def by_image(self) -> np.ndarray:
        return self.correct.astype(float)


@dataclass(frozen=True)
class Measure:
    """One named test: accuracy and what stands beside it, fractions throughout."""

    name: str
    accuracy: float
    n: int | None
    interval: tuple[float, float] | None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A finished run of any task, as its folder tells it."""

    folder: Path
    run: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...] = ()
    predictions: PerImage | None = None
    zero_shot_predictions: PerImage | None = None
    unreadable_lines: int = 0
    adapter_bytes: int | None = None

    def section(self, name: str) -> Mapping[str, Any]:
        """The table `name` of run.json; empty where it is missing."""
        found = self.run.get(name)
        return found if isinstance(found, Mapping) else {}

    @property
    def name(self) -> str:
        return str(self.run.get("name") or self.folder.name)

    @property
    def method(self) -> str:
        return str(self.run.get("method") or "unnamed method")

    @property
    def data(self) -> str:
        name, target = str(self.section("data").get("name") or "unnamed data"), self.run.get("target")
        return f"{name} → {target}" if target else name

    @property
    def model(self) -> str:
        """The backbone's name; of one that was read from a folder the folder's own name."""
        name = str(self.section("model").get("name") or "unnamed model")
        source = str(self.section("model").get("source") or "")
        is_folder = any(
            text.startswith((".", "~", "/")) or text.count("/") > 1 or "\\" in text for text in (name, source)
        )
        return re.split(r"[/\\]+", name.rstrip("/\\"))[-1] if is_folder else name

    @property
    def reached(self) -> float | None:
        """The headline's measure after adapting, a fraction; None where it was not measured."""
        raise NotImplementedError

    @property
    def variant(self) -> tuple[str, ...]:
        """What makes this another task than a run of the same data and protocol, in words."""
        return ()


@dataclass(frozen=True, eq=False)
class Record(RunFolder):
    """A finished run that classifies."""

    predictions: Predictions | None = None
    zero_shot_predictions: Predictions | None = None

    @cached_property
    def features(self) -> Mapping[str, np.ndarray] | None:
        """`before` and `after` [n d], image features of the first test, where the run kept them; read when needed."""
        return read_features(self.folder / "features.safetensors")

    @property
    def reached(self) -> float | None:
        return found.accuracy if (found := self.after()) else None

    @property
    def classes(self) -> list[str]:
        named = self.section("data").get("classes")
        if isinstance(named, list) and named:
            return distinct([str(name) for name in named])
        seen = self.predictions.labels + self.predictions.guesses if self.predictions else ()
        return list(dict.fromkeys(seen))

    @property
    def main(self) -> str | None:
        """The named test the headline speaks of: 'test' where there is one."""
        names = self.tests()
        return "test" if "test" in names else names[0] if names else None

    def tests(self) -> list[str]:
        """Names in `metrics` that hold an accuracy on unseen images."""
        return [
            name
            for name, found in self.section("metrics").items()
            if isinstance(found, Mapping)
            and words.number(found.get("accuracy")) is not None
            and not name.startswith(ASIDE)
            and not name.startswith("zero_shot")
            and not name.endswith("_zero_shot")
        ]

    def predictions_of(self, test: str) -> tuple[Predictions | None, Predictions | None]:
        """What was said of a test's images, after and zero-shot; those of another than the first lie in folders."""
        if test == self.main:
            return self.predictions, self.zero_shot_predictions
        file = f"{test.replace('/', '-')}.csv"
        return (
            read_predictions(self.folder / "predictions" / file),
            read_predictions(self.folder / "zero_shot_predictions" / file),
        )

    def harmonic_mean(self) -> tuple[float | None, float | None]:
        """Of base and novel accuracy: after, and zero-shot."""
        metrics = self.section("metrics")
        zero_shot = metrics.get("zero_shot")
        before = zero_shot.get("harmonic_mean") if isinstance(zero_shot, Mapping) else None
        return words.number(metrics.get("harmonic_mean")), words.number(before)

    def after(self, name: str | None = None) -> Measure | None:
        name = name or self.main
        return measure(name, self.section("metrics").get(name)) if name else None

    def before(self, name: str | None = None) -> Measure | None:
        """Zero-shot on the same test: `<name>_zero_shot`, `zero_shot.<name>`, or `zero_shot` for the main test."""
        name = name or self.main
        metrics = self.section("metrics")
        if name is None:
            return None
        together = metrics.get("zero_shot")
        places = [metrics.get(f"{name}_zero_shot"), metrics.get(f"zero_shot_{name}")]
        if isinstance(together, Mapping):
            places.append(together.get(name))
        if name == self.main:
            places.append(together)
        return next((found for place in places if (found := measure(name, place))), None)


def measure(name: str, found: Any) -> Measure | None:
    """A table of metrics, its interval worked out by Wilson's formula where the run wrote none."""
    if not isinstance(found, Mapping) or (accuracy := words.number(found.get("accuracy"))) is None:
        return None
    n = words.number(found.get("n"))
    interval = bounds_of(found.get("interval")) or (wilson(accuracy, int(n)) if n else None)
    return Measure(name, accuracy, None if n is None else int(n), interval, found)


def bounds_of(found: Any) -> tuple[float, float] | None:
    """Both ends of an interval that a run wrote; None for anything else."""
    if isinstance(found, list | tuple) and len(found) == 2 and all(words.number(each) is not None for each in found):
        return float(found[0]), float(found[1])
    return None


def read_record(folder: Path) -> Record:
    """Read one finished run that classifies.

    Raises:
        UserError: no run there, a run that is not finished, or a file that cannot be read.
    """
    folder = home_of(folder)
    return Record(
        **read_shared(folder),
        predictions=read_predictions(folder / "predictions.csv"),
        zero_shot_predictions=read_predictions(folder / "zero_shot_predictions.csv"),
    )


def home_of(folder: Path) -> Path:
    """The run folder, where its run.json was named instead."""
    folder = user_path(folder)
    return folder.parent if folder.name == "run.json" else folder


def read_shared(folder: Path) -> dict[str, Any]:
    """What is read alike for every task: the fields of `RunFolder` but for the predictions.

    Raises:
        UserError: no run there, a run that is not finished, or a broken run.json.
    """
    run = read_run(folder)
    if run.get("status") != "finished":
        raise UserError(
            f"{folder}: this run is not finished (status: {run.get('status', 'unknown')})",
            f"finish it first: cliptune train {folder / 'recipe.toml'} --out {folder} --resume",
        )
    events, unreadable = read_events(folder / "metrics.jsonl")
    adapter = folder / "adapter" / "adapter.safetensors"
    return {
        "folder": folder,
        "run": run,
        "events": events,
        "unreadable_lines": unreadable,
        "adapter_bytes": adapter.stat().st_size if adapter.is_file() else None,
    }


def read_run(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file():
        inside = sorted(folder.glob("*/run.json")) if folder.is_dir() else []
        fix = f"give the runs inside it: cliptune report {folder}/*" if inside else "give a folder that `train` wrote"
        raise UserError(f"{folder}: no run.json there, so it is not a run folder", fix)
    run = read_json(path, f"run it again: cliptune train {folder / 'recipe.toml'} --out {folder}-again")
    if not isinstance(run, dict):
        raise UserError(f"{path}: holds {type(run).__name__}, not a JSON object", "give a folder that `train` wrote")
    return run


def read_predictions(path: Path) -> Predictions | None:
    if not path.is_file():
        return None
    refuse_odd(path)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        needed = ("path", "label", "prediction", "score")
        try:
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            rows = list(reader)
        except (UnicodeDecodeError, csv.Error) as problem:
            raise UserError(f"{path} is broken: {problem}", "put back what `cliptune train` wrote") from None
        if missing:
            raise UserError(
                f"{path}: no column {', '.join(missing)}",
                "its first line should be: path,label,prediction,score,top5",
            )
        return _parse(path, rows)


def _parse(path: Path, rows: Iterable[Mapping[str, Any]]) -> Predictions:
    scores = []
    rows = list(rows)
    for line, row in enumerate(rows, start=2):
        try:
            scores.append(float(row["score"]))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{path} line {line}: score {row['score']!r} is not a number",
                f"write it again: cliptune evaluate {path.parent}",
            ) from error
    return Predictions(
        paths=tuple(str(row["path"]) for row in rows),
        labels=tuple(str(row["label"]) for row in rows),
        guesses=tuple(str(row["prediction"]) for row in rows),
        scores=np.array(scores, dtype=float),
    )
