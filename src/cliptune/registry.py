"""Names to things: 'name → "module:Class"', imported on first use, with nearest-name help."""

import difflib
import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from cliptune.errors import UserError


def nearest(name: str, names: Iterable[str], n: int = 1, cutoff: float = 0.5) -> list[str]:
    """The names most like `name`, ignoring case, '-' and '_'; at most `n`, best first, possibly none.

    Args:
        cutoff: how alike they have to be, difflib's ratio.
    """
    known = {plain(other): other for other in names}
    return [known[match] for match in difflib.get_close_matches(plain(name), list(known), n=n, cutoff=cutoff)]


def plain(name: str) -> str:
    """What is left of a name where case, '-', '_' and blanks do not matter."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def find(name: str, names: Iterable[str], kind: str) -> str:
    """The registered spelling of `name` (case, '-' and '_' do not matter).

    Raises:
        UserError: nothing is called that; offers the nearest name.
    """
    names = list(names)
    for known in names:
        if plain(known) == plain(name):
            return known
    close = nearest(name, names)
    fix = f"did you mean '{close[0]}'? " if close else ""
    raise UserError(f"no {kind} is called '{name}'", f"{fix}known: {', '.join(sorted(names))}")


def resolve(target: str) -> Any:
    """Import 'package.module:Name'."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def lookup(name: str, table: Mapping[str, str], kind: str) -> Any:
    """The object registered under `name` in `table`; raises UserError for an unknown name."""
    return resolve(table[find(name, table, kind)])


def name_of(value: Any, what: str, example: str) -> str:
    """A name or path that somebody gave, as text.

    Args:
        what: how to call it in the refusal. example: what else could be given.

    Raises:
        UserError: it is neither text nor a path.
    """
    if isinstance(value, str | bytes | os.PathLike):
        return os.fsdecode(value)
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    raise UserError(f"the {what} is given as {kind}", f"give a name or a path{example}")
