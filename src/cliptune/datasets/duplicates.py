"""Near duplicates: photos that differ in size, brightness or compression only, found without comparing all with all.

An image is kept as its 9 × 8 greys. Two are near duplicates where

    bits that differ in their difference hashes ≤ NEAR    the hash: 64 bits, is a grey brighter than the one before it?
    correlation of their greys > ALIKE                    the hash alone takes small drawings for one another

A crop or a turn is not found. Images with hardly an edge have no hash: it would be the same for all of them.
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

NEAR = 2
"""bits"""
ALIKE = 0.995
"""correlation of near duplicates' 9 × 8 greys is above this: photos shrunk to ⅔ and saved as JPEG 40 keep 0.998; of
the 750 pairs of different images in the UCI digits whose hashes are near, nine in ten stay below 0.993"""

_BANDS = 8
_LEAST_EDGES = 8
_COMPARED = 1000
"""images of one hash that others are compared with; more of them look alike anyway"""


def small_greys(image: Image.Image) -> bytes:
    """The image as 9 × 8 greys, row by row."""
    return image.resize((9, 8), Image.Resampling.BOX).convert("L").tobytes()


def difference_hash(greys: bytes) -> int | None:
    """64 bits: is a grey brighter than the one before it in its row? None where hardly any two differ."""
    steps = np.diff(np.frombuffer(greys, np.uint8).reshape(8, 9).astype(np.int16), axis=1)
    brighter = steps > 0
    if np.count_nonzero(steps) < _LEAST_EDGES or brighter.all() or not brighter.any():
        return None
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")


def near_duplicates(greys: Mapping[str, bytes], ranks: Mapping[str, int]) -> dict[str, str]:
    """Path → the most alike path of an earlier rank, where there is one.

    Args:
        greys: by path.
        ranks: by path, of the part that an image belongs to; only images of different ranks are compared.
    """
    members: dict[int, list[str]] = {}
    for path in sorted(greys, key=ranks.__getitem__):
        value = difference_hash(greys[path])
        if value is not None:
            members.setdefault(value, []).append(path)
    best: dict[str, tuple[float, str]] = {}
    same = ((value, value) for value in members)
    for pair in itertools.chain(same, close_pairs(list(members))):
        for one, other in {pair, pair[::-1]}:
            early, late = members[one][:_COMPARED], members[other]
            if ranks[early[0]] < ranks[late[-1]]:
                for start in range(0, len(late), _COMPARED):
                    for path, alike, like in _most_alike(late[start : start + _COMPARED], early, greys, ranks):
                        if alike > best.get(path, (ALIKE, ""))[0]:
                            best[path] = (alike, like)
    return {path: best[path][1] for path in greys if path in best}


def _most_alike(
    late: Sequence[str], early: Sequence[str], greys: Mapping[str, bytes], ranks: Mapping[str, int]
) -> Iterator[tuple[str, float, str]]:
    """Each of `late` that has some of `early` (sorted by rank) before it: path, correlation, the most alike of them."""
    correlations = _standard([greys[path] for path in late]) @ _standard([greys[path] for path in early]).T
    steps = [ranks[path] for path in early]
    for path, row in zip(late, correlations, strict=True):
        before = row[: bisect_left(steps, ranks[path])]
        if len(before):
            place = int(before.argmax())
            yield path, float(before[place]), early[place]


def _standard(greys: Sequence[bytes]) -> np.ndarray:
    """[n 72], each row with mean 0 and length 1, so that products are correlations."""
    values = np.frombuffer(b"".join(greys), np.uint8).reshape(len(greys), -1).astype(np.float64)
    values -= values.mean(1, keepdims=True)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def close_pairs(hashes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Every two of distinct 64-bit numbers that differ in at most `NEAR` bits, without comparing all with all.

    Two that differ in at most 2 bits agree in at least 6 of 8 bands of 8 bits. So they are sorted by each choice of 6
    bands, and only numbers that agree in all 48 bits, neighbours then, are compared.
    """
    values = np.array(sorted(hashes), dtype=np.uint64)
    found = [np.empty(0, np.int64)]
    for mask in _masks():
        order = np.argsort(values & mask, kind="stable")
        keys, places = (values & mask)[order], np.arange(len(values))
        for step in range(1, len(values)):
            places = places[places < len(values) - step]
            places = places[keys[places] == keys[places + step]]
            if not len(places):
                break
            one, other = order[places], order[places + step]
            close = np.bitwise_count(values[one] ^ values[other]) <= NEAR
            found.append(np.minimum(one, other)[close] * len(values) + np.maximum(one, other)[close])
    for code in np.unique(np.concatenate(found)).tolist():
        one, other = divmod(code, len(values))
        yield int(values[one]), int(values[other])


def _masks() -> list[np.uint64]:
    width = 64 // _BANDS
    bands = [((1 << width) - 1) << (width * band) for band in range(_BANDS)]
    return [np.uint64(sum(kept)) for kept in itertools.combinations(bands, _BANDS - NEAR)]
