"""Differences between methods on the very same images, and the means of them that a verdict may rest on.

Every task's runs are paired alike: it takes no more than `RunFolder` tells.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from cliptune.report import words
from cliptune.report.compare import Named, Place, in_every_draw, is_untrained
from cliptune.report.leading import scores
from cliptune.report.read import RunFolder
from cliptune.report.tables import Row, sign_test
from cliptune.statistics import (
    Drawn,
    MeanDifference,
    holm,
    judged,
    mean_and_deviation,
    mean_difference,
    paired_bootstrap,
)


@dataclass(frozen=True)
class Pairs:
    """Paired differences: each cell, their means, and in words whatever could not be paired."""

    cells: list[Row] = field(default_factory=list)
    means: list[Row] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Shared(NamedTuple):
    """Two runs of one episode."""

    one: Named
    other: Named
    paths: tuple[str, ...]
    """of the test images"""
    difference: np.ndarray
    """[n] by test image, one minus other; its mean is what their leading numbers differ by"""
    right: np.ndarray
    """[n] the same of how right the answers are"""


def pairs(runs: Sequence[Named]) -> Pairs:
    """Every two labels, wherever both ran on the same episode: differences per image, never of unlike draws.

    Of their means, `p` is the pair's own and `holm` is corrected for all pairs of all places.
    """
    found = Pairs()
    for place, shared in _by_place(runs, found.refused):
        found.cells.extend(_cell(place, each) for cells in shared for each in cells)
        found.means.extend(_means(place, shared))
    return replace(found, means=corrected(found.means))


def means(runs: Sequence[Named]) -> list[Row]:
    """The means of `pairs`, not yet corrected: whoever shows them says which others stand in the same table."""
    return [row for place, shared in _by_place(runs, []) for row in _means(place, shared)]


def corrected(rows: Sequence[Row]) -> list[Row]:
    """Mean differences with their p values corrected for all of them, as `holm`."""
    return [row | {"holm": p} for row, p in zip(rows, holm([row["p"] for row in rows]))]


def _by_place(runs: Sequence[Named], refused: list[str]) -> Iterator[tuple[Place, list[list[Shared]]]]:
    """Of every place the cells that each two labels share; why others do not is added to `refused`."""
    by_place: dict[Place, dict[str, dict[tuple, Named]]] = defaultdict(lambda: defaultdict(dict))
    for run in in_every_draw(runs):
        by_place[run.cell.place][run.label][(run.cell.shots, run.cell.seed)] = run
    for place, by_label in by_place.items():
        both = [_shared(by_label[first], by_label[second], refused) for first, second in combinations(by_label, 2)]
        yield place, [cells for cells in both if cells]


def _shared(first: Mapping[tuple, Named], second: Mapping[tuple, Named], refused: list[str]) -> list[Shared]:
    shared = []
    for key in sorted(dict.fromkeys([*first, *second]), key=lambda key: [words.number(part) or 0 for part in key]):
        if key not in first or key not in second:
            there, absent = (first[key], second) if key in first else (second[key], first)
            refused.append(
                f"{there.label}, {there.cell}: {next(iter(absent.values())).label} has no run there, so no pair."
            )
        elif reason := why_no_pair(first[key].record, second[key].record):
            refused.append(f"{first[key].label} and {second[key].label}, {first[key].cell}: {reason}.")
        else:
            one, other = scores(first[key].record), scores(second[key].record)
            if one is None or other is None or one.paths != other.paths:
                why = "not all their tests have predictions of the same images, not paired"
                refused.append(f"{first[key].label} and {second[key].label}, {first[key].cell}: {why}.")
            else:
                difference, right = one.values - other.values, one.right - other.right
                shared.append(Shared(first[key], second[key], one.paths, difference, right))
    return shared


def _cell(place: Place, shared: Shared) -> Row:
    difference = shared.difference
    return {
        "first": shared.one.label,
        "second": shared.other.label,
        **place._asdict(),
        "shots": shared.one.cell.shots,
        "seed": shared.one.cell.seed,
        "n": len(difference),
        "difference": float(difference.mean()),
        "interval": paired_bootstrap([difference]),
        **sign_test(np.zeros(len(difference)), shared.right),
    }


def _means(place: Place, found: Sequence[Sequence[Shared]]) -> list[Row]:
    """A row a pair of labels at one place, with its interval and p value; pairs over the same cells are judged as one.

    Where an episode was missed the pairs over some cells may not be all of their labels': each is then judged alone.
    """
    together: dict[frozenset, list[int]] = defaultdict(list)
    for index, cells in enumerate(found):
        together[frozenset(shared.one.cell for shared in cells)].append(index)
    rows = [_mean(place, cells) for cells in found]
    for indices in together.values():
        labels = {rows[index][side] for index in indices for side in ("first", "second")}
        complete = len(indices) == len(labels) * (len(labels) - 1) // 2
        for group in [indices] if complete else [[index] for index in indices]:
            drawn = [_drawn(found[index]) for index in group]
            for index, one in zip(group, judged(drawn, len(labels) if complete else 2)):
                rows[index] |= one._asdict()
    return rows


def _drawn(cells: Sequence[Shared]) -> MeanDifference:
    return mean_difference([Drawn(each.one.cell.seed, each.paths, each.difference) for each in cells])


def _mean(place: Place, cells: Sequence[Shared]) -> Row:
    """Mean over cells, before it is judged."""
    differences = [float(each.difference.mean()) for each in cells]
    mean, deviation = mean_and_deviation(differences)
    images = {each.paths for each in cells}
    return {
        "first": cells[0].one.label,
        "second": cells[0].other.label,
        **place._asdict(),
        "cells": len(cells),
        "draws": len({each.one.cell.seed for each in cells}),
        "images": sum(map(len, images)),
        "difference": mean,
        "deviation": deviation,
        "wins": sum(value > 0 for value in differences),
        "ties": sum(value == 0 for value in differences),
        "losses": sum(value < 0 for value in differences),
    }


def why_no_pair(first: RunFolder, second: RunFolder) -> str:
    """Empty where two runs saw the same episode and the same test images; otherwise the reason, in words.

    A run that trains nothing saw no training images: the test's have to be the same.
    """
    ours, theirs = (record.section("data").get("episode_sha256") for record in (first, second))
    if not ours or not theirs:
        return "a run does not say which episode it saw (no episode_sha256), not paired"
    if ours != theirs and not is_untrained(first) and not is_untrained(second):
        return f"different episodes ({str(ours)[:8]}… and {str(theirs)[:8]}…), not paired"
    alike = ours == theirs
    ours, theirs = (record.section("data").get("files_sha256") for record in (first, second))
    if alike and ours and theirs and ours != theirs:
        return "images of one name are not the same files in both runs, not paired"
    if first.predictions is None or second.predictions is None:
        return "predictions.csv is missing, not paired"
    if not len(first.predictions) or not first.predictions.same_images(second.predictions):
        return "their predictions.csv are not about the same images in the same order, not paired"
    return ""


def seen_from(row: Row, first: str) -> Row:
    """A difference, of a cell or a mean, with `first` named first: signs and counts are turned round where needed."""
    if row["first"] == first:
        return row
    low, high = row["interval"]
    swapped = {"first": "second", "wins": "losses", "fixed": "broken"}
    swapped |= {other: key for key, other in swapped.items()}
    turned = {key: row[other] for key, other in swapped.items() if key in row}
    return row | turned | {"difference": -row["difference"], "interval": (-high, -low)}
