"""What somebody should know before reading a run's numbers, each with what to do about it; from run.json alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

from cliptune.datasets.coded_names import Coded, coded
from cliptune.report import words
from cliptune.report.blocks import Verdict
from cliptune.report.leading import beside_chance, chance_of
from cliptune.report.read import Record, RunFolder

PROMPT_FIX = (
    "give the classes the names people call them (--set data.names=names.json) or another prompt "
    "(--set data.template='a close-up of {}.'), and look at cliptune train linear_probe, which needs no names"
)


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


def remarks_on_zero_shot(record: Record) -> list[Remark]:
    """Zero-shot at or below chance, test by test."""
    listed, fix = [], "" if codes_of(record) else PROMPT_FIX
    for test in record.tests():
        chance, before = chance_of(record, test), record.before(test)
        if said := beside_chance(before, chance):
            assert before is not None
            assert chance is not None
            on = "" if test == "test" else f" on {test}"
            what = (
                f"zero-shot{on} is {said} ({words.percent(before.accuracy)}; guessing among "
                f"{words.these(round(1 / chance), 'class', 'classes')} reaches {words.percent(chance)}): the backbone "
                "does not know these images by these names, so points gained over it say little"
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
