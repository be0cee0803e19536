"""What reports and cards say of a run that segments, in one place; standard library only."""

from collections.abc import Mapping
from typing import Any

from cliptune.report import words

SEGMENT = "segment"
"""`task` in run.json"""
SIZES = ("nothing", "small", "medium", "large")
HONEST = ("p0", "p1")
"""kinds of prompts that say no more than what is looked for"""
LEAK = (
    "Prompts of the kind {kind} can tell sizes, numbers or places of what is to be marked, which only the masks know: "
    "part of the answer may be in the question. Compare only with runs of the same kind; p1 says what is looked for "
    "and no more."
)


def leak(kind: Any) -> str:
    """The warning that prompts of this kind may tell what only the masks know; empty where they do not."""
    return "" if kind is None or kind in HONEST else LEAK.format(kind=kind)


def prompts_told(prompt: Mapping[str, Any]) -> str:
    """`prompt` of run.json: its kind, with at most three examples."""
    texts = prompt.get("texts")
    some = [f"'{words.short(text, 60)}'" for text in texts[:3]] if isinstance(texts, list) else []
    return words.plain(prompt.get("kind")) + (f" ({'; '.join(some)})" if some else "")


def images_told(shots: Any) -> str:
    """How many training images there were: shots are counted in all, there being no classes."""
    count = words.number(shots)
    return "all training images" if count is None else words.these(int(count), "training image")
