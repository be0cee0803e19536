"""What happens during training, as values: the loop yields them, consoles, logs and trackers listen."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Started:
    """A phase begins (or goes on, after --resume, at `step` > 0)."""

    phase: str
    steps: int
    step: int
    trainable: int


@dataclass(frozen=True)
class Step:
    """One optimiser step."""

    phase: str
    step: int
    """1-based"""
    steps: int
    loss: float
    parts: Mapping[str, float]
    lr: float
    images: int
    images_per_second: float
    seconds: float
    """since the phase began or went on"""


@dataclass(frozen=True)
class Validated:
    """The validation images were measured after `step` (1-based)."""

    phase: str
    step: int
    loss: float
    """mean over the images, without self-consistency terms"""
    accuracy: float | None = None
    """of classification, a fraction"""
    dice: float | None = None
    """of segmentation, a fraction"""

    @property
    def score(self) -> float:
        """The one of them that was measured."""
        found = self.accuracy if self.accuracy is not None else self.dice
        assert found is not None
        return found

    def told(self) -> dict[str, Any]:
        """Plain values; what was not measured is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class PhaseEnded:
    """A phase is over."""

    phase: str
    seconds: float
    facts: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    """of gradient descent: `steps_taken` of `steps`, `stopped_early`; `best` validation whose numbers were kept"""


@dataclass(frozen=True)
class Saved:
    """The state for --resume was written."""

    phase: str
    step: int


@dataclass(frozen=True)
class Measured:
    """The run is over but for its adapter file. Only for listeners: in the folder, run.json has this."""

    metrics: Mapping[str, Any]


Event = Started | Step | Validated | PhaseEnded | Saved | Measured


def as_dict(event: Event) -> dict[str, Any]:
    """{'event': 'step', …} for the log."""
    values = event.told() if isinstance(event, Validated) else asdict(event)
    return {"event": type(event).__name__.lower(), **values}
