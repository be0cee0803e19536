"""Several runs with several named tests → rows: base and novel, or a set and its variants, mean over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from cliptune.report.compare import Named
from cliptune.report.read import Record
from cliptune.report.tables import Row
from cliptune.statistics import harmonic, mean_and_deviation


def by_test(runs: Sequence[Named]) -> list[Row]:
    """Mean over seeds of every named test, where runs have several; base and novel also by their harmonic means.

    The papers average harmonic means in two ways, so both are told: the mean over runs of each run's own, and the
    harmonic mean of the mean accuracies.
    """
    gathered: dict[tuple, list[Record]] = defaultdict(list)
    for each in runs:
        if len(each.record.tests()) > 1:
            gathered[(each.cell.place, each.label, each.cell.shots)].append(each.record)
    rows: list[Row] = []
    for (place, label, shots), records in gathered.items():
        head = {"label": label, **place._asdict(), "shots": shots, "runs": len(records)}
        means: dict[str, Row] = {}
        for name in dict.fromkeys(name for record in records for name in record.tests()):
            after = [found.accuracy for record in records if (found := record.after(name))]
            before = [found.accuracy for record in records if (found := record.before(name))]
            means[name] = _mean_row(head, name, after, before)
        rows += means.values()
        means_after, means_before = zip(*(record.harmonic_mean() for record in records))
        after, before = _known(means_after), _known(means_before)
        if after:
            rows.append(_mean_row(head, "harmonic mean, mean of the runs'", after, before))
            sides = [[means[half][key] for half in ("base", "novel")] for key in ("accuracy", "zero_shot")]
            both = [harmonic(*side) if None not in side else None for side in sides]
            of_means = {"accuracy": both[0], "deviation": None, "zero_shot": both[1]}
            gain = both[0] - both[1] if both[0] is not None and both[1] is not None else None
            rows.append({**head, "test": "harmonic mean, of the mean accuracies", **of_means, "gain": gain})
    return rows


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean_row(head: Row, test: str, after: Sequence[float], before: Sequence[float]) -> Row:
    mean, deviation = mean_and_deviation(after)
    zero_shot, _ = mean_and_deviation(before)
    gain = mean - zero_shot if mean is not None and zero_shot is not None else None
    return {**head, "test": test, "accuracy": mean, "deviation": deviation, "zero_shot": zero_shot, "gain": gain}
