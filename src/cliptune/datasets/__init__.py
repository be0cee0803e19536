"""Data sets by name or by path. A set is one module in `sets/`; its file name is its name."""

import importlib
import os
import pkgutil
from pathlib import Path

from cliptune.datasets import sets
from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.registry import find


def names() -> list[str]:
    """Every set that has a module in `sets/`, sorted; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(sets.__path__) if not module.name.startswith("_"))


def open_set(name: str, root: str | None = None, seed: int = 0) -> ImageSet:
    """An image set by path or by name.

    Args:
        name: an existing folder or CSV file; else a set's name, as 'digits', or with its part, as 'world/shapes'
            (case, '-' and '_' do not matter).
        root: the folder that holds downloaded sets; drawn and embedded ones need none.
        seed: of the split, where the user's own images come without one.

    Raises:
        UserError: no such path or set; offers the nearest.
    """
    if not name.strip():
        raise UserError("--data '' names nothing", "give a folder, a CSV or a data set's name: cliptune list data")
    if root and not Path(root).expanduser().is_dir():
        raise UserError(f"--root {root}: no such folder", "give the folder that holds the named data sets")
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".csv"):
        return _own_images(path, seed)
    head, _, task = name.partition("/")
    try:
        known = find(head, names(), "data set")
    except UserError:
        if path.exists() or _looks_like_path(name):
            return _own_images(path, seed)
        raise
    module = importlib.import_module(f"{sets.__name__}.{known}")
    if task:
        tasks = getattr(module, "tasks", ())
        if not tasks:
            raise UserError(f"data set '{known}' has no parts, and no path is called '{name}'", f"say '{known}'")
        task = find(task, tasks, f"part of '{known}'")
    return module.load(root=root, task=task)


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~")) or "/" in name or os.sep in name or name.lower().endswith(".csv")


def _own_images(path: Path, seed: int) -> ImageSet:
    from cliptune.datasets.folder import load

    return load(path, seed)
