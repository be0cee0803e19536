"""One way to cut images into train, validation and test, where nobody gave a split."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])


def cut(rows: Iterable[Row], val: float, test: float, seed: int = 0) -> dict[str, list[Row]]:
    """Shares of each class, rounded; a class of one image is all train, of two (50/20/30) train and test.

    Decided by a hash of the seed and each path alone: the same for everybody with these files.

    Args:
        rows: path, class, and whatever else.
    """
    by_class: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        by_class[row[1]].append(row)
    splits: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for label in sorted(by_class):
        drawn = sorted(by_class[label], key=lambda row: _draw(row[0], seed))
        to_test = round(test * len(drawn))
        to_val = to_test + round(val * len(drawn))
        splits["test"] += sorted(drawn[:to_test])
        splits["val"] += sorted(drawn[to_test:to_val])
        splits["train"] += sorted(drawn[to_val:])
    return splits


def _draw(path: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{path}".encode("utf-8", "surrogateescape")).digest()
