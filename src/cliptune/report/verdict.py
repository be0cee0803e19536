"""The verdict in plain language: a gain is claimed only where the paired test finds one."""

from collections.abc import Sequence

from cliptune.report import words
from cliptune.report.blocks import Kind, Verdict
from cliptune.report.compare import Named, Place, leader, told_apart
from cliptune.report.pairs import Pairs, seen_from
from cliptune.report.read import Record
from cliptune.report.tables import Row, every_test, headline, paired_test, retention, why_unpaired
from cliptune.report.ties import is_ahead, is_better, on_these
from cliptune.statistics import ENOUGH_DRAWS

FEW = f"Whether other draws of training images agree, no fewer than {ENOUGH_DRAWS} seeds tell."
LEADS = {
    "gain": "Adapting helped.",
    "loss": "Adapting hurt.",
    "even": "No difference that this test can tell from chance.",
    "unknown": "There is no zero-shot number to compare with.",
}


def of_one(record: Record) -> Verdict:
    """One run against zero-shot on the same images."""
    row, pair = headline(record), paired_test(record)
    if row["accuracy"] is None:
        return Verdict("unknown", "No accuracy was measured in this run.", (forgotten(record),))
    after = f"{words.percent(row['accuracy'])} ({words.interval(row['interval'])})"
    if record.method.replace("-", "_") == "zero_shot":
        return Verdict("unknown", "This run is zero-shot itself: nothing was adapted.", (f"It reaches {after}.",))
    if row["zero_shot"] is None:
        return Verdict("unknown", LEADS["unknown"], (f"After adapting: {after}.", forgotten(record)))
    numbers = f"After {after}, zero-shot {words.percent(row['zero_shot'])}: {words.points(row['gain'])} points"
    if pair:
        numbers += (
            f"; {words.these(pair['fixed'], 'image')} fixed, {pair['broken']:,} broken, {words.p_value(pair['p'])}."
        )
    else:
        numbers += f". No paired test: {why_unpaired(record)}, so only intervals that lie apart count as a difference."
    kind = judge(row, pair)
    if others := [each for each in every_test(record) if each["test"] != record.main]:
        told = "; ".join(
            f"{each['test']} {words.percent(each['zero_shot'])} → {words.percent(each['accuracy'])} "
            f"({words.points(each['gain'])} points)"
            for each in others[:4]
        )
        numbers = f"On {record.main}: {numbers} Besides: {told}."
    return Verdict(kind, LEADS[kind], (numbers, forgotten(record)))


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
    """One sentence on what the model could do before."""
    rows = [row for row in retention(record) if row["change"] is not None]
    if not rows:
        return "What was forgotten: not measured."
    told = [
        f"{row['name']} {words.percent(row['before'])} → {words.percent(row['after'])} "
        f"({words.points(row['change'])} points{'' if apart(row) else ', inside the intervals'})"
        for row in sorted(rows, key=lambda row: row["change"])[:3]
    ]
    more = f", and {len(rows) - 3} more below" if len(rows) > 3 else ""
    lost = any(row["change"] < 0 and apart(row) for row in rows)
    return f"{'Forgotten' if lost else 'Not adapted for'}: {'; '.join(told)}{more}."


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
    of_pair = [row for row in found.means if {row["first"], row["second"]} == {first, second}]
    of_pair = [row for row in of_pair if Place(row["data"], row["model"], row["protocol"]) == place]
    if not of_pair:
        return "unknown", f"{where}: {first} has the highest mean, but no run of it pairs with {second} (see below)."
    row = seen_from(of_pair[0], first)
    cells = [{each.cell for each in runs if each.cell.place == place and each.label == label} for label in best]
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
    return "even", f"{where}: {first} has the highest mean but cannot be told from {second}: {numbers}."


def _family(pairs: int) -> str:
    return f" corrected for {pairs:,} pairs" if pairs > 1 else ""
