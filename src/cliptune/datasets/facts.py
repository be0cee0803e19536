"""What was published about a data set, whatever its kind."""

from functools import cache
from importlib import import_module

from cliptune.datasets import find_set, mask_sets, sets
from cliptune.datasets.published import Facts
from cliptune.errors import UserError


@cache
def facts_of(data: str) -> Facts | None:
    """What was published about a data set, of classification or with masks; None of one that no paper knows."""
    for package, find in ((sets, find_set), (mask_sets, mask_sets.find_masks)):
        try:
            module = import_module(f"{package.__name__}.{find(data).partition('/')[0]}")
        except UserError:
            continue
        return getattr(module, "FACTS", None)
    return None
