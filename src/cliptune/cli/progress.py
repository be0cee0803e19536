"""What a person sees of a run: what was understood, how training goes, how it ended."""

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from cliptune.cli import output
from cliptune.cli.output import count, percent
from cliptune.counted import these
from cliptune.training.compute import resident_bytes
from cliptune.training.events import Event, PhaseEnded, Started, Step, Validated

if TYPE_CHECKING:
    from cliptune.planning import AnyPlan
    from cliptune.runs import Run

PLAIN_EVERY = 5.0
"""seconds between progress lines where there is no terminal"""


class Progress:
    """A live bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        console = Console(file=sys.stderr)
        text = "{task.description} {task.completed:.0f}/{task.total:.0f}"
        self.bar = (
            RichProgress(
                TextColumn(text), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn(), console=console
            )
            if console.is_terminal and not output.wants_json() and output.first()
            else None
        )
        self.task: TaskID | None = None
        self.last, self.first = 0.0, 0

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def hear(self, event: Event) -> None:
        match event:
            case Started():
                self.first = event.step
                if self.bar:
                    self.task = self.bar.add_task(event.phase, total=event.steps, completed=event.step, note="")
                elif event.step:
                    output.say(f"  {event.phase}: going on at step {event.step + 1} of {event.steps}")
            case Step():
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
        note = f"loss {event.loss:.3f} · {event.images_per_second:.0f} images/s · {resident_bytes() / 1e9:.1f} GB"
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=event.step, note=note)
            return
        now = time.monotonic()
        if now - self.last >= PLAIN_EVERY or event.step == event.steps:
            self.last = now
            left = event.seconds / max(1, event.step - self.first) * (event.steps - event.step)
            output.say(f"  {event.phase} {event.step}/{event.steps} · {note} · {left:.0f} s left")


def describe_plan(plan: "AnyPlan") -> None:
    """What was understood, in a few lines."""
    recipe, backbone, size = plan.recipe, plan.backbone, plan.size()
    numbers = count(size.most) if size.exact is not None else f"{count(size.least)} to {count(size.most)}"
    output.say(plan.summary())
    for note in plan.episode.notes:
        output.say(f"note: {note}")
    output.say(
        f"{recipe.method.title} on {backbone.name} ({count(backbone.parameters)} numbers) · trains {numbers} "
        f"({100 * size.most / backbone.parameters:.2f} %)"
    )
    train = recipe.train
    parts = [these(number, what) for number, what in ((train.chunk, "image"), (train.text_chunk, "prompt")) if number]
    output.say(
        f"{recipe.preset} preset · {plan.machine.device}, {plan.machine.dtype}"
        + (f" · steps in parts of {' and '.join(parts)}" if parts else "")
    )


def describe_result(run: "Run") -> None:
    """The end of a run, on screen."""
    record, metrics = run.record, run.metrics
    for name in run.tests:
        after, before = metrics[name], run.before(name)
        low, high = after["interval"]
        points = 100 * (after[run.score] - before[run.score])
        output.say(
            f"  {f'{name}: ' if len(run.tests) > 1 else ''}{'Dice ' if run.score == 'dice' else ''}"
            f"zero-shot {percent(before[run.score])} → after {percent(after[run.score])} "
            f"(95 % {100 * low:.1f}–{100 * high:.1f}, n = {count(after['n'])})   {points:+.1f} points"
        )
    for key, title in (("harmonic_mean", "harmonic mean"), ("open_set", "known against unknown, AUROC")):
        if key in metrics:
            was, now = metrics["zero_shot"][key], metrics[key]
            was, now = (was, now) if key == "harmonic_mean" else (was["auroc"], now["auroc"])
            output.say(f"  {title}: zero-shot {percent(was)} → after {percent(now)}")
    for name, kept in record.get("retention", {}).items():
        output.say(f"  not adapted for: {name} {percent(kept['before'])} → {percent(kept['after'])} (n = {kept['n']})")
    gap = record.get("merge_gap")
    output.say(
        f"  {record['seconds']['train']:.1f} s training, {record['seconds']['evaluate']:.1f} s measuring · "
        f"peak {record['peak_memory_bytes'] / 1e9:.1f} GB" + (f" · merge gap {gap:.1e}" if gap is not None else "")
    )
    output.say(f"  {run.folder}")
