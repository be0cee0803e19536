"""A bar on standard error, or in a notebook: how far training or prediction is. Elsewhere nothing is shown."""

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
        console = Console(file=sys.stderr)
        text = "{task.description} {task.completed:.0f}/{task.total:.0f}"
        columns = (TextColumn(text), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
        live = shown and (console.is_terminal or console.is_jupyter)
        self.bar = Progress(*columns, console=console) if live else None
        self.task: TaskID | None = None
        if self.bar and total:
            self.task = self.bar.add_task(title, total=total, note="")

    def __enter__(self) -> "Bar":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def step(self) -> None:
        """One more is done."""
        if self.bar and self.task is not None:
            self.bar.advance(self.task)

    def hear(self, event: Event) -> None:
        """Follow an event of training."""
        if self.bar is None:
            return
        if isinstance(event, Started):
            self.task = self.bar.add_task(event.phase, total=event.steps, completed=event.step, note="")
        elif isinstance(event, Step) and self.task is not None:
            note = f"loss {event.loss:.3f} · {event.images_per_second:.0f} images/s"
            self.bar.update(self.task, completed=event.step, note=note)
