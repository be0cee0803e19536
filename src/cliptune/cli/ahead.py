"""What the command line says of a run before it begins: that it takes long, and what is shorter; whose model it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cliptune import notes
from cliptune.cli import output

if TYPE_CHECKING:
    from cliptune.planning import AnyPlan


def say(note: notes.Note, indent: str = "") -> None:
    """A note, its later lines below the first one's words; nothing where it is empty."""
    for place, line in enumerate(note):
        output.say(f"{indent}{'      ' if place else 'note: '}{line}")


def say_time(plan: "AnyPlan", runs: int = 1) -> None:
    """The time of `runs` runs that take minutes or hours, and what takes less."""
    say(notes.long_run(plan, runs))


def say_model(plan: "AnyPlan", tables: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> None:
    """That nobody named a model, where a person's own images meet the one that ships."""
    named = "model.name" in options or "name" in tables.get("model", {})
    data = getattr(plan.episode, "imageset", None) or plan.episode.maskset
    if not named and data.source:
        say(notes.embedded_model(plan))
