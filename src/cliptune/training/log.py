"""Listening to a run: the log on disk, and what is kept of the last phase."""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cliptune.files import refuse_odd, write_text
from cliptune.methods.base import Adapter
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.events import Event, PhaseEnded, Step, as_dict


class Log:
    """metrics.jsonl: one JSON object an event, appended as it happens; what a resumed run repeats is dropped first.

    Raises:
        UserError: the log that lies there cannot be read.
    """

    def __init__(self, path: Path, adapter: Adapter, checkpoint: Checkpoint):
        names = [phase.name for phase in adapter.method.phases()]
        kept = []
        if path.is_file() and (progress := checkpoint.progress()):
            refuse_odd(path)
            for line in path.read_text("utf-8", errors="replace").splitlines():
                try:
                    event = json.loads(line)
                    # The end of a phase has no step: it comes after all of them.
                    place = (names.index(event["phase"]), float(event.get("step", math.inf)))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    break  # a last line cut short by a full disk or a kill
                if place <= (progress.phase, progress.step):
                    kept.append(line + "\n")
        write_text(path, "".join(kept))
        self.file = path.open("a", encoding="utf-8")

    def write(self, event: Event) -> None:
        self.file.write(json.dumps(as_dict(event), ensure_ascii=False) + "\n")
        self.file.flush()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.file.close()


class Meter:
    """Mean speed of the last phase, and how its training ended."""

    def __init__(self) -> None:
        self.images, self.seconds = 0, 0.0
        self.training: Mapping[str, Any] = {}
        """see `PhaseEnded.training`"""

    def hear(self, event: Event) -> None:
        if isinstance(event, Step):
            self.images += event.images
            self.seconds += event.images / event.images_per_second
        elif isinstance(event, PhaseEnded):
            self.training = event.training
            if event.phase == "probe":
                self.images, self.seconds = 0, 0.0

    @property
    def images_per_second(self) -> float | None:
        return self.images / self.seconds if self.seconds else None
