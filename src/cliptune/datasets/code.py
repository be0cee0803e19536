"""Data sets that are a Python file. Opening one runs it, so only a path that a person typed is opened.

The same path in a run folder, a recipe or a study is data that may come from somebody else, and is refused.
"""

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from cliptune.datasets.base import ImageSet, Missing
from cliptune.errors import UserError
from cliptune.files import user_path

SUFFIX = ".py"


def typed_code(values: Iterable[Any]) -> frozenset[Path]:
    """The Python files among what a person typed: texts and paths, or lists of these; whole paths."""
    return frozenset(user_path(text).resolve() for text in _texts(values) if text.endswith(SUFFIX))


def refuse_untyped(tables: Mapping[str, Mapping[str, Any]], typed: Set[Path]) -> None:
    """Refuse a recipe's tables that name an existing Python file which is not among `typed`.

    Raises:
        UserError: one is named.
    """
    for table in tables.values():
        for text in _texts(table.values()):
            if text.endswith(SUFFIX) and user_path(text).is_file():
                check_typed(Path(text), typed)


def check_typed(path: Path, typed: Set[Path]) -> None:
    """Refuse to run a Python file that nobody typed.

    Raises:
        UserError: it is not among `typed`.
    """
    if user_path(path).resolve() not in typed:
        raise UserError(
            f"{path} is Python code, named in a file and not by you, and is not run",
            f"if you trust it, type it yourself: --data {path} (for another setting: --set KEY={path})",
        )


def open_code(path: Path, root: str | None, missing: Missing, typed: Set[Path]) -> ImageSet:
    """What the `load` of a Python file returns; the file is run.

    Args:
        typed: the Python files that a person typed, see `typed_code`.

    Raises:
        UserError: nobody typed that file; it cannot be run, or has no `load` that returns an image set.
    """
    check_typed(path, typed)
    spec = importlib.util.spec_from_file_location(f"cliptune_data_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        raise UserError(f"{path} cannot be run: {type(problem).__name__}: {problem}", "correct that file") from problem
    if not callable(getattr(module, "load", None)):
        raise UserError(f"{path} has no function `load`", "see docs/howto/add-a-data-set.md")
    imageset = module.load(root=root, task="", missing=missing)
    if not isinstance(imageset, ImageSet):
        raise UserError(f"{path}: load returned {type(imageset).__name__}", "it has to return a cliptune ImageSet")
    return dataclasses.replace(imageset, source=str(path))


def _texts(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str | os.PathLike):
            yield os.fspath(value)
        elif isinstance(value, list | tuple):
            yield from _texts(value)
