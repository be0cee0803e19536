"""The verdict on several runs in plain language (on one: answer.py): nobody is ahead whom no paired test finds so."""

from collections.abc import Mapping, Sequence

from cliptune.report import words
from cliptune.report.blocks import Kind, Verdict
from cliptune.report.compare import Named, Place, leader, told_apart
from cliptune.report.pairs import Pairs, seen_from
from cliptune.report.tables import Row
from cliptune.report.ties import is_ahead, is_better, on_these
from cliptune.statistics import ENOUGH_DRAWS

FEW = f"At least {ENOUGH_DRAWS} seeds are needed to say whether this holds for other training images."


def of_several(runs: Sequence[Named], found: Pairs) -> Verdict:
    """Who is ahead at every place, as far as paired differences and the draws of training images allow."""
    places = list(dict.fromkeys(each.cell.place for each in runs))
    told = [_at(place, told_apart(place, places), runs, found) for place in places]
    kinds = {kind for kind, _ in told}
    kind: Kind = "gain" if kinds == {"gain"} else "even" if kinds <= {"gain", "even"} else "unknown"
    few = all(FEW in sentence for place_kind, sentence in told if place_kind == "unknown")
    leads: dict[Kind, str] = {
        "gain": "One method is ahead.",
        "even": "The best two cannot be told apart." if kinds == {"even"} else "It depends on the data.",
        "unknown": "Too few seeds to say which method is ahead."
        if few
        else "Not every comparison here is like with like.",
    }
    return Verdict(kind, leads[kind], [sentence for _, sentence in told])


def _at(place: Place, where: str, runs: Sequence[Named], found: Pairs) -> tuple[Kind, str]:
    best = leader(runs, place)
    if best is None:
        several = len({each.label for each in runs if each.cell.place == place}) > 1
        why = "the methods share no cell of shots and seed" if several else "one method only"
        return "unknown", f"{where}: {why}, so there is nothing to compare."
    first, second = best
    paired = _against(first, place, found)
    # One that the best is not ahead of is spoken of: the second, if it is one of them.
    if (left := _not_behind(first, place, runs, paired)) and second not in left:
        second = min(left, key=lambda label: paired[label]["difference"] if label in paired else -1.0)
    if second not in paired:
        return "unknown", f"{where}: {first} has the highest mean, but no run of it pairs with {second} (see below)."
    row = paired[second]
    if row["difference"] < 0:  # over the cells of this pair, which are not those of the means
        first, second, row = second, first, seen_from(row, second)
    pair = (first, second)
    cells = [{each.cell for each in runs if each.cell.place == place and each.label == label} for label in pair]
    unpaired = len(cells[0] | cells[1]) - row["cells"]
    left_out = f" ({words.these(unpaired, 'cell')} not paired, see below)" if unpaired else ""
    numbers = (
        f"{words.points(row['difference'])} points (95 % {words.difference_interval(row['interval'])}; "
        f"{words.p_value(row['holm'])}{_family(len(found.means))}) over {words.these(row['cells'], 'shared cell')}, "
        f"better in {row['wins']} of {row['cells']}{left_out}"
    )
    if is_ahead(row):
        return "gain", f"{where}: {first} is ahead of {second} by {numbers}."
    if is_better(row):
        return "unknown", f"{where}: {first} is better than {second} {on_these(row['draws'])} by {numbers}. {FEW}"
    if row["difference"] == 0:
        return "even", f"{where}: {first} and {second} have the same mean: {numbers}."
    return "even", f"{where}: {first} has the highest mean but cannot be told from {second}: {numbers}."


def _not_behind(first: str, place: Place, runs: Sequence[Named], paired: Mapping[str, Row]) -> list[str]:
    """The labels at a place that `first` is not ahead of."""
    beaten = {label for label, row in paired.items() if is_ahead(row)}
    labels = dict.fromkeys(each.label for each in runs if each.cell.place == place)
    return [label for label in labels if label != first and label not in beaten]


def _against(first: str, place: Place, found: Pairs) -> dict[str, Row]:
    """The mean differences between a label and every other at a place, seen from it."""
    here = [row for row in found.means if Place(row["data"], row["model"], row["protocol"]) == place]
    seen = [seen_from(row, first) for row in here if first in (row["first"], row["second"])]
    return {row["second"]: row for row in seen}


def _family(pairs: int) -> str:
    return f" corrected for {pairs:,} pairs" if pairs > 1 else ""
