"""What a run tells of its training → rows: losses by step, validations, and what AST picked."""

from collections.abc import Mapping
from typing import Any

from cliptune.report import words
from cliptune.report.read import RunFolder
from cliptune.report.tables import Row


def steps(record: RunFolder) -> list[Row]:
    """Training steps, counted on through the phases; a step repeated after a resume counts as its last telling."""
    told: dict[tuple[str, int], Mapping[str, Any]] = {}
    for event in record.events:
        number = words.number(event.get("step"))
        if event.get("event") == "step" and number is not None:
            told[(str(event.get("phase", "train")), int(number))] = event
    rows: list[Row] = []
    phases = list(dict.fromkeys(phase for phase, _ in told))
    base = 0
    for phase in phases:
        numbers = sorted(number for found, number in told if found == phase)
        offset = base if numbers[0] <= base else 0
        for number in numbers:
            event = told[(phase, number)]
            parts = event.get("parts")
            rows.append(
                {
                    "step": offset + number,
                    "phase": phase,
                    "loss": words.number(event.get("loss")),
                    "parts": {k: words.number(v) for k, v in parts.items()} if isinstance(parts, Mapping) else {},
                }
            )
        base = rows[-1]["step"]
    return rows


def validations(record: RunFolder, measured: str = "accuracy") -> list[Row]:
    """What was measured on the validation images by step (`step` and `value`), where the run validated."""
    told = {
        int(step): words.number(event.get(measured))
        for event in record.events
        if event.get("event") == "validated" and (step := words.number(event.get("step"))) is not None
    }
    return [{"step": step, "value": value} for step, value in sorted(told.items()) if value is not None]


def selection(record: RunFolder) -> list[Row]:
    """AST's choice, a row per tensor: where it stands, its score if it has one, whether it was picked or is inert."""
    chosen = record.section("selection")
    scores = chosen.get("scores")
    picked, inert = set(chosen.get("picked") or ()), set(chosen.get("inert") or ())
    names = dict.fromkeys([*(scores if isinstance(scores, Mapping) else ()), *sorted(picked), *sorted(inert)])
    rows = []
    for name in names:
        tower, _, rest = str(name).partition(".")
        block, _, part = rest.partition(".")
        rows.append(
            {
                "name": name,
                "tower": tower,
                "block": int(block) if block.isdigit() else None,
                "part": part or block,
                "score": words.number(scores.get(name)) if isinstance(scores, Mapping) else None,
                "picked": name in picked,
                "inert": name in inert,
            }
        )
    return rows
