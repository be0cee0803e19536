"""A bar on standard error, or in a notebook: how far training or prediction is. Elsewhere nothing is shown."""

import importlib.util
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cliptune.training.events import Event, Started, Step


class Bar:
    """A live bar; as a listener of training it shows the phases one after another.

    Args:
        title: what is counted. total: how many there are; 0 waits for the events of training.
        shown: False shows nothing.
    """

    def __init__(self, title: str = "", total: int = 0, shown: bool = True):
        console = _console()
        text = "{task.description} {task.completed:.0f}/{task.total:.0f}"
        columns = (TextColumn(text), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
        self.live = shown and (console.is_terminal or console.is_jupyter)
        """whether anything is shown"""
        self._bar = Progress(*columns, console=console) if self.live else None
        self._task: TaskID | None = None
        if self._bar and total:
            self._task = self._bar.add_task(title, total=total, note="")

    def __enter__(self) -> "Bar":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self) -> None:
        """One more is done."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task)

    def hear(self, event: Event) -> None:
        """Follow an event of training."""
        if self._bar is None:
            return
        if isinstance(event, Started):
            self._task = self._bar.add_task(event.phase, total=event.steps, completed=event.step, note="")
        elif isinstance(event, Step) and self._task is not None:
            self._bar.update(self._task, completed=event.step, note=note_of(event))


def note_of(event: Step) -> str:
    """Loss, speed and memory, in words."""
    from cliptune.training.compute import resident_bytes

    return f"loss {event.loss:.3f} · {event.images_per_second:.0f} images/s · {resident_bytes() / 1e9:.1f} GB"


def _console() -> Console:
    """Standard error; a notebook without ipywidgets, which rich asks for, takes text instead."""
    console = Console(file=sys.stderr)
    if console.is_jupyter and importlib.util.find_spec("ipywidgets") is None:
        return Console(file=sys.stderr, force_jupyter=False, force_terminal=True)
    return console
