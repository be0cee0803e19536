"""How many of something, in words: plurals and spans, in one place. Standard library only."""

from collections.abc import Iterable


def these(number_of: int, noun: str, plural: str = "") -> str:
    """A number and its noun.

    Args:
        plural: where it is not `noun` with an s.

    >>> these(1, "image"), these(2000, "image"), these(3, "class", "classes")
    ('1 image', '2,000 images', '3 classes')
    """
    return f"{number_of:,} {noun if number_of == 1 else plural or noun + 's'}"


def span(values: Iterable[int], noun: str = "", plural: str = "", to: str = "–") -> str:
    """The smallest and the largest of whole numbers, once where they are equal; with a noun where one is given.

    >>> span([3, 2]), span([120, 120]), span([1, 1], "seed"), span([1, 4], "seed"), span([9, 2], "image", to=" to ")
    ('2–3', '120', '1 seed', '1–4 seeds', '2 to 9 images')
    """
    values = list(values)
    ends = dict.fromkeys((min(values), max(values)))
    text = to.join(f"{value:,}" for value in ends)
    if not noun:
        return text
    return f"{text} {noun if list(ends) == [1] else plural or noun + 's'}"
