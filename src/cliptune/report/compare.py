"""Several runs → rows: what to call them, and means over seeds (differences between them: pairs.py).

Names and who leads ask a run for no more than `RunFolder` tells, so they serve every task; means are
of runs that classify (of others: segment_compare.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from cliptune.report import words
from cliptune.report.leading import reached
from cliptune.report.read import RunFolder
from cliptune.report.tables import Row, cost, retention
from cliptune.statistics import mean_and_deviation

LABEL_LENGTH = 44
NOT_SETTINGS = {"recipe", "data", "model", "protocol", "method", "evaluate", "name", "seed", "checkpoint_seconds"}
"""tables and keys of a recipe that name something else of the run, or do not change what is learned"""

AnyRun = TypeVar("AnyRun", bound=RunFolder)


class Place(NamedTuple):
    """What runs must share before their accuracies may be averaged or compared."""

    data: str
    model: str
    protocol: str


def told_apart(place: Place, places: Sequence[Place]) -> str:
    """Data and backbone; the protocol too, where another of the places has the same of both."""
    alike = [each for each in places if each[:2] == place[:2]]
    return ", ".join(place if len(set(alike)) > 1 else place[:2])


class Cell(NamedTuple):
    """A place, a number of shots and a seed: one draw of training images."""

    place: Place
    shots: int | None
    seed: int | None

    def __str__(self) -> str:
        return f"{self.place.data}, {shots_text(self.shots)}, seed {self.seed}"


def shots_text(shots: Any) -> str:
    count = words.number(shots)
    return "all images" if count is None else words.these(int(count), "shot")


@dataclass(frozen=True, eq=False)
class Named(Generic[AnyRun]):
    """A record under the label it has in this comparison."""

    label: str
    cell: Cell
    record: AnyRun


def protocol_of(record: RunFolder) -> str:
    """The protocol's name, with what sets this variant of it apart: those are other tasks, not other seeds."""
    chosen = record.section("recipe").get("protocol")
    chosen = chosen if isinstance(chosen, Mapping) else {}
    told = [
        text
        for text in (
            "trained on novel" if chosen.get("half") == "novel" else "",
            "open set" if chosen.get("open_set") else "",
            "the target's val" if chosen.get("target_split") == "val" else "",
            f"sampler {chosen['sampler']}" if chosen.get("sampler") not in (None, "dassl") else "",
            *record.variant,
        )
        if text
    ]
    name = str(record.run.get("protocol") or "unnamed protocol")
    return f"{name} ({', '.join(told)})" if told else name


def name_all(records: Sequence[AnyRun], given: Sequence[str] | None = None) -> tuple[list[Named[AnyRun]], list[str]]:
    """Label every record as `given`, or by what differs; of two of one label and cell the last stays, with a note."""
    model_hashes = defaultdict(set)
    for record in records:
        model_hashes[record.model].add(record.section("model").get("sha256"))

    def place(record: RunFolder) -> Place:
        model = record.model
        if len(model_hashes[model]) > 1:
            model = f"{model} {str(record.section('model').get('sha256'))[:8]}"
        return Place(record.data, model, protocol_of(record))

    cells = [Cell(place(record), record.run.get("shots"), record.run.get("seed")) for record in records]
    latest: dict[tuple[str, Cell], Named[AnyRun]] = {}
    notes = []
    for label, cell, record in zip(given or labels(records, cells), cells, records, strict=True):
        named = Named(label, cell, record)
        if (twin := latest.get((label, cell))) is not None:
            older, newer = sorted((twin, named), key=lambda each: str(each.record.run.get("finished") or ""))
            notes.append(
                f"{older.record.name} and {newer.record.name} have the same settings, data and seed ({label}, {cell}); "
                f"the tables count {newer.record.name}, which finished last."
            )
            named = newer
        latest[(label, cell)] = named
    return list(latest.values()), notes


def labels(records: Sequence[RunFolder], cells: Sequence[Cell], without: str = "") -> list[str]:
    """The method's name, and those settings in which its runs differ.

    A method's own settings count wherever they differ. Other settings (learning rate, steps) count only where they
    differ between runs of the same data and shots: recipes may rightly tie them to the shots. `without` is a setting
    that is told elsewhere.
    """
    own = [{k: v for k, v in flatten(record.section("settings")) if k not in ("seed", without)} for record in records]
    other = [
        {
            key: value
            for key, value in flatten(record.section("recipe"))
            if not set(key.split(".")) & NOT_SETTINGS and key != without
        }
        for record in records
    ]
    by_method = defaultdict(list)
    for index, record in enumerate(records):
        by_method[record.method].append(index)
    found = [record.method for record in records]
    for method, indices in by_method.items():
        named = _differing(own[i] for i in indices)
        per_cell = defaultdict(list)
        for i in indices:
            per_cell[(cells[i].place, cells[i].shots)].append(other[i])
        named_other = list(dict.fromkeys(key for group in per_cell.values() for key in _differing(group)))
        for i in indices:
            own_words = [f"{key}={words.plain(own[i].get(key))}" for key in named]
            other_words = [f"{key}={words.plain(other[i].get(key))}" for key in named_other]
            found[i] = words.short(" ".join([method, *own_words, *other_words]), LABEL_LENGTH)
    return found


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """('train.lr', 0.001) … from nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    tables = list(tables)
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if len({words.plain(table.get(key)) for table in tables}) > 1]


def groups(runs: Sequence[Named]) -> list[Row]:
    """Mean and sample standard deviation over seeds for every label, place and number of shots."""
    gathered = defaultdict(list)
    for each in runs:
        gathered[(each.cell.place, each.label, each.cell.shots)].append(each)
    order = {label: index for index, label in enumerate(dict.fromkeys(each.label for each in runs))}
    keys = sorted(gathered, key=lambda key: (key[0], words.number(key[2]) or 0, order[key[1]]))
    return [_group(*key, gathered[key]) for key in keys]


def _group(place: Place, label: str, shots: int | None, runs: Sequence[Named]) -> Row:
    measured = [(each.record.after(), each.record.before()) for each in runs]
    accuracies = [after.accuracy for after, _ in measured if after]
    gains = [after.accuracy - before.accuracy for after, before in measured if after and before]
    mean, deviation = mean_and_deviation(accuracies)
    gain, gain_deviation = mean_and_deviation(gains)
    only = measured[0][0] if len(runs) == 1 else None
    costs = [cost(each.record) for each in runs]
    kept = defaultdict(list)
    for each in runs:
        for row in retention(each.record):
            if row["change"] is not None:
                kept[row["name"]].append(row["change"])
    return {
        "label": label,
        "data": place.data,
        "model": place.model,
        "protocol": place.protocol,
        "shots": shots,
        "runs": len(accuracies),
        "seeds": sorted({each.cell.seed for each in runs if each.cell.seed is not None}),
        "accuracy": mean,
        "deviation": deviation,
        "interval": only.interval if only else None,
        "n": measured[0][0].n if measured[0][0] else None,
        "zero_shot": mean_and_deviation([before.accuracy for _, before in measured if before])[0],
        "gain": gain,
        "gain_deviation": gain_deviation,
        "retention": {name: mean_and_deviation(changes) for name, changes in kept.items()},
        **{key: mean_and_deviation([c[key] for c in costs if c[key] is not None])[0] for key in costs[0]},
    }


def is_untrained(record: RunFolder) -> bool:
    """Whether nothing was trained, so that the seed changes nothing."""
    return record.run.get("trainable_parameters") == 0


def in_every_draw(runs: Sequence[Named]) -> list[Named]:
    """The runs, and of a label that trains nothing its run in every draw that others have at its place and shots.

    No draw of training images changes it, so it need not be made again to be compared on each.
    """
    everywhere = list(runs)
    draws = dict.fromkeys(each.cell for each in runs)
    for label in dict.fromkeys(each.label for each in runs if is_untrained(each.record)):
        own = {each.cell: each for each in runs if each.label == label}
        first = {cell._replace(seed=None): each for cell, each in reversed(own.items())}
        for cell in draws:
            if cell not in own and (one := first.get(cell._replace(seed=None))):
                everywhere.append(replace(one, cell=cell))
    return everywhere


def leader(runs: Sequence[Named], place: Place) -> tuple[str, str] | None:
    """The best and second-best label at `place`, by mean over the cells they share.

    Labels with less than half of the most cells are left out: a method that failed would make the mean one over a
    single draw.
    """
    by_label: dict[str, dict[tuple, float]] = defaultdict(dict)
    for each in in_every_draw(runs):
        value = reached(each.record)
        if each.cell.place == place and value is not None:
            by_label[each.label][(each.cell.shots, each.cell.seed)] = value
    most = max((len(cells) for cells in by_label.values()), default=0)
    full = {label: cells for label, cells in by_label.items() if 2 * len(cells) >= most}
    by_label = full if len(full) > 1 else by_label
    if len(by_label) < 2:
        return None
    common = set.intersection(*(set(cells) for cells in by_label.values()))
    if not common:
        return None
    means = {label: float(np.mean([cells[key] for key in common])) for label, cells in by_label.items()}
    best, rival = sorted(means, key=lambda label: -means[label])[:2]
    return best, rival
