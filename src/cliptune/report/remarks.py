"""What somebody should know before reading a run's numbers, each with what to do about it; from run.json alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

from cliptune.counted import span, these
from cliptune.datasets.coded_names import Coded, coded
from cliptune.report import words
from cliptune.report.blocks import Verdict
from cliptune.report.compare import Cell, Named, Place, shots_text, told_apart
from cliptune.report.leading import beside_chance, chance_of, is_unequal
from cliptune.report.read import Record, RunFolder

PROMPT_FIX = (
    "give the classes the names people call them (--set data.names=names.json) or another prompt "
    "(--set data.template='a close-up of {}.'), and look at cliptune train linear_probe, which needs no names"
)


MOST_UNEQUAL = 4
"""places and numbers of shots whose unequal training is told"""


class Remark(NamedTuple):
    """What is to be known, and what to do; `fix` is empty where there is nothing to do."""

    what: str
    fix: str


def remarks(record: Record) -> list[Remark]:
    """Class names that are codes, then `remarks_on_numbers`."""
    codes = codes_of(record)
    return [*([Remark(codes.what, codes.fix)] if codes else []), *remarks_on_numbers(record)]


def remarks_on_numbers(record: Record) -> list[Remark]:
    """Zero-shot at or below chance, and the warnings that the run itself wrote down."""
    return remarks_on_zero_shot(record) + written(record)


def remarks_on_data(records: Sequence[Record]) -> list[Remark]:
    """Of several runs what is said of their data and names, not of their training; each once."""
    listed: dict[tuple[str, str], Remark] = {}
    for record in records:
        codes = codes_of(record)
        of_record = [*([Remark(codes.what, codes.fix)] if codes else []), *remarks_on_zero_shot(record)]
        for index, remark in enumerate(of_record):
            listed.setdefault((record.data, str(index)), Remark(f"{record.data}: {remark.what}", remark.fix))
    return list(listed.values())


def remarks_on_training(runs: Sequence[Named]) -> list[Remark]:
    """What several runs noted of their training (`written`): of each label how many, and the first's numbers."""
    several = len({run.record.data for run in runs}) > 1
    names = [f"{run.label}, {run.record.data}" if several else run.label for run in runs]
    total = Counter(names)
    found: dict[tuple[str, str, bool], list[tuple[RunFolder, Remark]]] = defaultdict(list)
    for name, run in zip(names, runs):
        for remark in written(run.record):
            kind = re.sub(r"[\d,.]+", "", remark.what.partition(": ")[0])
            found[(name, kind, bool(remark.fix))].append((run.record, remark))
    listed = []
    for (name, _, _), noted_by in found.items():
        record, first = noted_by[0]
        if total[name] == 1:
            listed.append(Remark(f"{name}: {first.what}", first.fix))
            continue
        head, _, numbers = first.what.partition(": ")
        where = f"; in {record.name}: {numbers}" if numbers else ""
        listed.append(Remark(f"{name}, {len(noted_by)} of {these(total[name], 'run')}: {head}{where}", first.fix))
    return listed


def unequal_training(runs: Sequence[Named]) -> list[str]:
    """One sentence where labels that are compared on the same episode took different numbers of steps."""
    taken: dict[tuple[Place, int | None], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    in_cell: dict[Cell, set[int]] = defaultdict(set)
    for run in runs:
        if steps := words.number(run.record.section("training").get("steps_taken")):
            taken[(run.cell.place, run.cell.shots)][run.label].append(int(steps))
            in_cell[run.cell].add(int(steps))
    unequal = list(dict.fromkeys((cell.place, cell.shots) for cell, steps in in_cell.items() if len(steps) > 1))
    places = list(dict.fromkeys(run.cell.place for run in runs))
    told = []
    for place, shots in unequal[:MOST_UNEQUAL]:
        where = told_apart(place, places) if len(places) > 1 else place.data
        each = ", ".join(f"{label} {span(steps, 'step')}" for label, steps in taken[(place, shots)].items())
        told.append(f"{where}, {shots_text(shots)}: {each}")
    if len(unequal) > MOST_UNEQUAL:
        told.append(f"and {len(unequal) - MOST_UNEQUAL} more")
    return [f"Training was not equal: {'; '.join(told)}."] if told else []


def with_training(verdict: Verdict, runs: Sequence[Named]) -> Verdict:
    """A comparison's verdict with what is to be known of how its runs were trained."""
    sentences = (*verdict.sentences, *unequal_training(runs))
    return noted(replace(verdict, sentences=sentences), remarks_on_training(runs))


def remarks_on_zero_shot(record: Record) -> list[Remark]:
    """Zero-shot at or below chance, test by test."""
    listed, fix = [], "" if codes_of(record) else PROMPT_FIX
    for test in record.tests():
        chance, before = chance_of(record, test), record.before(test)
        if said := beside_chance(before, chance):
            assert before is not None
            assert chance is not None
            on = "" if test == "test" else f" on {test}"
            reached = words.percent(before.accuracy)
            mean = words.number(before.extra.get("macro_accuracy"))
            if is_unequal(before) and mean is not None and mean < before.accuracy:
                reached = f"mean over classes {words.percent(mean)}, accuracy {reached}"
            what = (
                f"zero-shot{on} is {said} ({reached}; guessing among "
                f"{words.these(round(1 / chance), 'class', 'classes')} reaches {words.percent(chance)}): the backbone "
                "does not know these images by these names, so a gain over it says little about the method"
            )
            listed.append(Remark(what, fix))
    return listed


def codes_of(record: RunFolder) -> Coded | None:
    """Class names of somebody's own images that are codes; what is published has the names its papers use."""
    data = record.section("recipe").get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    classes = record.section("data").get("classes")
    if not isinstance(name, str) or not is_path(name) or not isinstance(classes, list):
        return None
    return coded([str(name) for name in classes], str(record.section("data").get("template") or "{}"))


def is_path(name: str) -> bool:
    """Whether a data set is named by where its files lie, on whichever system the run was written."""
    return PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()


def written(record: RunFolder) -> list[Remark]:
    """What the run itself noted of its training: it has hardly learned, or ends below zero-shot or a linear probe."""
    listed = record.section("learning").get("remarks")
    return [
        Remark(str(remark["what"]), str(remark.get("fix") or ""))
        for remark in (listed if isinstance(listed, list) else ())
        if isinstance(remark, Mapping) and remark.get("what")
    ]


def fixes_once(listed: Sequence[Remark]) -> list[Remark]:
    """The remarks, each fix on the last one that asks for it."""
    later = [{remark.fix for remark in listed[place + 1 :]} for place in range(len(listed))]
    return [Remark(remark.what, "" if remark.fix in fixes else remark.fix) for remark, fixes in zip(listed, later)]


def noted(verdict: Verdict, listed: Sequence[Remark]) -> Verdict:
    """A verdict with remarks after its sentences."""
    sentences = [
        f"Note: {remark.what}.{f' To do: {remark.fix}.' if remark.fix else ''}" for remark in fixes_once(listed)
    ]
    return replace(verdict, sentences=(*verdict.sentences, *sentences))
