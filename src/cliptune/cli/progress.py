"""What a person sees of a run: what was understood, how training goes, how it ended."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune import notes
from cliptune.cli import output
from cliptune.cli.ahead import say
from cliptune.cli.output import count, percent
from cliptune.counted import these
from cliptune.files import short
from cliptune.progress import Bar, note_of
from cliptune.recipe_presets import is_trained_by_steps
from cliptune.report.leading import HALVES, leading, lost, told_unequal
from cliptune.report.read import Record, RunFolder
from cliptune.report.tables import every_test, retention
from cliptune.statistics import harmonic
from cliptune.training.events import Event, PhaseEnded, Started, Step, Validated

if TYPE_CHECKING:
    from cliptune.planning import AnyPlan
    from cliptune.runs import Run

PLAIN_EVERY = 5.0
"""seconds between progress lines where there is no terminal"""


class Progress:
    """A live bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        self.bar = Bar(shown=not output.wants_json() and output.first())
        self.last, self.first = 0.0, 0

    def __enter__(self) -> "Progress":
        self.bar.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.bar.__exit__(*raised)

    def hear(self, event: Event) -> None:
        self.bar.hear(event)
        match event:
            case Started():
                self.first = event.step
                if event.step and not self.bar.live:
                    output.say(f"  {event.phase}: going on at step {event.step + 1} of {event.steps}")
            case Step() if not self.bar.live:
                self._step(event)
            case Validated():
                output.say(f"  {event.phase} {event.step}: validation {percent(event.score)}, loss {event.loss:.3f}")
            case PhaseEnded() if event.training.get("stopped_early"):
                told = event.training
                output.say(f"  stopped after {told['steps_taken']} of {these(told['steps'], 'step')}")
            case PhaseEnded() if "picked" in event.facts:
                kinds = sorted({".".join(name.split(".")[2:]) for name in event.facts["picked"]})
                if event.phase == "probe":
                    output.say(f"  picked {these(len(event.facts['picked']), 'tensor')}: {', '.join(kinds)}")

    def _step(self, event: Step) -> None:
        now = time.monotonic()
        if now - self.last >= PLAIN_EVERY or event.step == event.steps:
            self.last = now
            left = event.seconds / max(1, event.step - self.first) * (event.steps - event.step)
            output.say(f"  {event.phase} {event.step}/{event.steps} · {note_of(event)} · {left:.0f} s left")


def describe_plan(plan: "AnyPlan") -> None:
    """What was understood, in a few lines."""
    recipe, backbone, size = plan.recipe, plan.backbone, plan.size()
    numbers = count(size.most) if size.exact is not None else f"{count(size.least)} to {count(size.most)}"
    output.say(plan.summary())
    for note in notes.of_plan(plan):
        say(note)
    output.say(
        f"{recipe.method.title} on {backbone.name} ({count(backbone.parameters)} parameters) · trains {numbers} "
        f"({100 * size.most / backbone.parameters:.2f} %)"
    )
    if is_trained_by_steps(recipe.method):
        for place, line in enumerate(notes.training_images(plan)):
            output.say(f"{'  ' if place else ''}{line}")
    train = recipe.train
    parts = [these(number, what) for number, what in ((train.chunk, "image"), (train.text_chunk, "prompt")) if number]
    output.say(
        f"{recipe.preset} preset · {plan.machine.device}, {plan.machine.dtype}"
        + (f" · steps in parts of {' and '.join(parts)}" if parts else "")
    )


def leading_lines(record: Record) -> list[str]:
    """The number that leads where that is not the accuracy, and why."""
    lead = leading(record)
    if lead.kind == "accuracy" or lead.after is None:
        return []
    line = f"{lead.title}: zero-shot {shown(lead.before)} → after {shown(lead.after)}"
    if lead.gain is not None:
        line += f"   {100 * lead.gain:+.1f} points"
    main = record.after()
    why = [told_unequal(main)] if lead.kind == "class mean" and main else []
    gains = {row["test"]: row["gain"] for row in every_test(record)} if lead.kind == "harmonic mean" else {}
    fallen = lost(gains)
    return [line + (f" ({', '.join(fallen)})" if fallen else ""), *why]


def leading_again(found: Mapping[str, Any]) -> list[str]:
    """The same of what `reevaluate.measure_again` returns."""
    tests = found.get("tests", {"test": found})
    sides: dict[str, dict[str, Any]] = {
        key: {name: measured[key] for name, measured in tests.items()} for key in ("adapted", "zero_shot")
    }
    for side in sides.values():
        if all(half in side for half in HALVES):
            side["harmonic_mean"] = harmonic(*(side[half]["accuracy"] for half in HALVES))
    return leading_lines(Record(Path(), {"metrics": sides["adapted"] | {"zero_shot": sides["zero_shot"]}}))


def forgotten_lines(record: RunFolder) -> list[str]:
    """What the model could do before, or that it could not."""
    return [
        f"not adapted for: {row['name']} {shown(row['before'])} → {shown(row['after'])} (n = {row['n']})"
        + (f", at chance before ({shown(row['chance'])}), so it tells nothing" if row["at_chance"] else "")
        for row in retention(record)
    ]


def shown(fraction: float | None) -> str:
    """A percentage, or that there is none."""
    return "not measured" if fraction is None else percent(fraction)


def describe_result(run: "Run") -> None:
    """The end of a run, on screen: the number that leads, every test, what was forgotten, what it cost."""
    record, metrics = run.record, run.metrics
    leads = [] if run.task == "segment" else leading_lines(Record(run.folder, record))
    for line in leads:
        output.say(f"  {line}")
    for name in run.tests:
        after, before = metrics[name], run.before(name)
        low, high = after["interval"]
        points = 100 * (after[run.score] - before[run.score])
        said = f"{name}: " if len(run.tests) > 1 else "accuracy: " if leads else ""
        output.say(
            f"  {said}{'Dice ' if run.score == 'dice' else ''}"
            f"zero-shot {percent(before[run.score])} → after {percent(after[run.score])} "
            f"(95 % {100 * low:.1f}–{100 * high:.1f}, n = {count(after['n'])})   {points:+.1f} points"
        )
    folder = RunFolder(run.folder, record)
    if "open_set" in metrics:
        was, now = metrics["zero_shot"]["open_set"]["auroc"], metrics["open_set"]["auroc"]
        output.say(f"  known against unknown, AUROC: zero-shot {percent(was)} → after {percent(now)}")
    for line in forgotten_lines(folder):
        output.say(f"  {line}")
    for note in notes.after_run(run):
        say(note, "  ")
    gap, peak = record.get("merge_gap"), record.get("peak_memory_bytes")
    output.say(
        f"  {record['seconds']['train']:.1f} s training, {record['seconds']['evaluate']:.1f} s measuring"
        + (f" · peak {peak / 1e9:.1f} GB" if peak is not None else "")
        + (f" · merge gap {gap:.1e}" if gap is not None else "")
    )
    output.say(f"  {short(run.folder)}")
