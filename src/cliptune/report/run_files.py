"""Files of a run folder that are read as they are: its log and its image features."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cliptune.errors import UserError
from cliptune.files import refuse_odd


def read_events(path: Path) -> tuple[tuple[dict[str, Any], ...], int]:
    """Events and the number of unreadable lines: an interrupted run may leave half a line behind, so it is counted."""
    if not path.is_file():
        return (), 0
    refuse_odd(path)
    events, unreadable = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            events.append(event)
        else:
            unreadable += 1
    return tuple(events), unreadable


def read_features(path: Path) -> dict[str, np.ndarray] | None:
    if not path.is_file():
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: broken ({error})", "remove it, or run again with --fresh") from error
    shapes = {name: found[name].shape for name in ("before", "after") if name in found}
    if len(shapes) < 2 or len(set(shapes.values())) > 1 or len(shapes["before"]) != 2:
        raise UserError(
            f"{path}: holds {', '.join(found) or 'nothing'}, not before and after [n d]",
            "remove it, or run again with --fresh",
        )
    return {name: found[name] for name in shapes}
