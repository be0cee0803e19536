"""Data sets by name or by path. A set is one module in `sets/`, or a Python file of your own, with a `load`."""

import dataclasses
import importlib
import os
import pkgutil
from collections.abc import Set
from functools import cache
from pathlib import Path

from cliptune.datasets import sets
from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.code import SUFFIX, open_code, typed_code
from cliptune.errors import UserError
from cliptune.files import instead_of_address, user_path
from cliptune.registry import find, name_of, plain
from cliptune.settings import native

TABLES = (".csv", ".tsv", ".txt")
"""endings of lists of your own images"""


@cache
def names() -> tuple[str, ...]:
    """Every set that has a module in `sets/`, sorted; imports none of them."""
    modules = (module.name for module in pkgutil.iter_modules(sets.__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_")))


@cache
def aliases() -> dict[str, str]:
    """Other names of the sets → theirs, from their `FACTS`: 'flowers102' → 'oxford_flowers'."""
    found: dict[str, str] = {}
    for name in names():
        facts = getattr(importlib.import_module(f"{sets.__name__}.{name}"), "FACTS", None)
        others = (*facts.folders, *facts.aliases, facts.column) if facts else ()
        found |= {alias: name for alias in others if alias}
    return found


def data(
    name: str | Path,
    root: str | Path | None = None,
    seed: int = 0,
    missing: Missing = "refuse",
    names: str | Path | None = None,
) -> ImageSet:
    """An image set by path or by name, which you write yourself: `open_set`, and a Python file with a `load` is run.

    >>> photos = cliptune.data("photos/")  # doctest: +SKIP

    Args:
        name: a folder, a CSV file, a Python file, or a set's name, as 'digits' or 'world/shapes'.
        root: the folder that holds downloaded sets.
        missing: 'skip' keeps what exists of listed files.
        names: a file with class names for your own images.
        seed: of the split, where your own images come without one.

    Raises:
        UserError: no such path or set; offers the nearest.
    """
    return open_set(name, root, seed, missing, names, typed_code([name]))


def open_set(
    name: str | Path,
    root: str | Path | None = None,
    seed: int = 0,
    missing: Missing = "refuse",
    names: str | Path | None = None,
    typed: Set[Path] = frozenset(),
) -> ImageSet:
    """An image set by path or by name.

    Args:
        name: an existing folder or CSV file, unless `root` holds a set of that name; a Python file with a `load` like
            those in `sets/`; else a set's name, as 'digits', or with its part, as 'world/shapes' (case, '-' and '_' do
            not matter).
        root: the folder that holds downloaded sets; drawn and embedded ones need none.
        missing: 'skip' keeps what exists of listed files.
        names: a file with class names for your own images; see `folder.load`.
        seed: of the split, where the user's own images come without one.
        typed: the Python files that a person typed (`code.typed_code`); no other one is run.

    Raises:
        UserError: no such path or set, offers the nearest; or a Python file that nobody typed.
    """
    name = name_of(name, "data", ": a folder, a CSV file or a data set's name")
    root, names = (
        None if path is None else name_of(path, what, "") for path, what in ((root, "root"), (names, "names"))
    )
    if missing not in ("refuse", "skip"):
        raise UserError(f"missing = {missing!r}", "one of: 'refuse', 'skip'")
    seed = native(seed)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise UserError(f"seed = {seed!r}", "a whole number")
    if not name.strip():
        raise UserError("--data '' names nothing", "give a folder, a CSV or a data set's name: cliptune list data")
    if root and not user_path(root).is_dir():
        raise UserError(f"--root {root}: no such folder", "give the folder that holds the named data sets")
    if "://" in name:
        raise UserError(f"--data {name} is an address, and data is read from disk", instead_of_address(name))
    found = _open(name, root, seed, missing, names, typed)
    opened: dict[str, str] = {"missing": missing}
    opened |= {key: str(user_path(path).resolve()) for key, path in (("root", root), ("names", names)) if path}
    source = str(Path(found.source).absolute()) if found.source else ""
    return dataclasses.replace(found, opened=opened, source=source)


def _open(name: str, root: str | None, seed: int, missing: Missing, names: str | None, typed: Set[Path]) -> ImageSet:
    path = user_path(name)
    # Standing in the data folder, `--data pets --root .` means the set, not a folder of images called pets.
    named = root is not None and "/" not in name and lies_below(name, root)
    if not named and (path.is_dir() or (path.is_file() and path.suffix.lower() in TABLES)):
        return _own_images(path, seed, names, missing)
    if path.is_file() and path.suffix == SUFFIX:
        return open_code(path, root, missing, typed)
    head, _, task = name.partition("/")
    try:
        known = find_set(head)
    except UserError:
        if path.exists() or _looks_like_path(name):
            return _own_images(path, seed, names, missing)
        raise
    if names:
        raise UserError(f"data.names with data set '{known}'", "it names the classes of your own images; leave it out")
    module = importlib.import_module(f"{sets.__name__}.{known}")
    if task:
        tasks = getattr(module, "tasks", ())
        if not tasks:
            raise UserError(f"data set '{known}' has no parts, and no path is called '{name}'", f"say '{known}'")
        task = find(task, tasks, f"part of '{known}'")
    return module.load(root=root, task=task, missing=missing)


def lies_below(name: str, root: str) -> bool:
    """Whether a set of that name lies below `root`."""
    from cliptune.datasets.published import is_present

    try:
        facts = getattr(importlib.import_module(f"{sets.__name__}.{find_set(name.partition('/')[0])}"), "FACTS", None)
    except UserError:
        return False
    return facts is not None and is_present(facts, root)


def find_set(name: str) -> str:
    """The module name of a set by any of its names; case, '-' and '_' do not matter.

    Raises:
        UserError: no set is called that; offers the nearest.
    """
    try:
        return find(name, names(), "data set")
    except UserError:
        others = {plain(alias): known for alias, known in aliases().items()}
        if plain(name) in others:
            return others[plain(name)]
        raise


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~")) or "/" in name or os.sep in name or name.lower().endswith(TABLES)


def _own_images(path: Path, seed: int, names: str | None, missing: Missing) -> ImageSet:
    from cliptune.datasets.folder import load

    return load(path, seed, names, missing)
