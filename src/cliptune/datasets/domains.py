"""What the sets with domains share: a folder per domain in any spelling, lists of `path label`, one cut for all.

`train` and `val` hold the lists of all domains, `test` what the literature tests a held-out domain on, so a protocol
leaves one domain out by looking at the items' domains.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cliptune.counted import these
from cliptune.datasets.base import ImageSet
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import (
    NO_SPLIT_FILE,
    Copy,
    Row,
    Splits,
    image_set,
    sorted_folders,
    sorted_images,
)
from cliptune.datasets.splits import inside
from cliptune.errors import UserError
from cliptune.registry import plain
from cliptune.texts import read_text

VAL = 0.1
"""share of each class that a cut made here keeps for val, as PACS's lists do"""

_FIX = "take the published lists, or remove these"


def domain_folders(copy: Copy, spellings: Mapping[str, Sequence[str]] | None = None) -> dict[str, str]:
    """Folder of every domain, as the file system spells it; case, '-', '_' and blanks do not matter.

    Args:
        spellings: further names of a domain's folder.

    Raises:
        UserError: a domain is not there, unless `copy.missing` is 'skip'.
    """
    there = {plain(name): name for name in reversed(sorted_folders(copy.images))}
    found: dict[str, str] = {}
    for domain in copy.facts.domains:
        wanted = (domain, *(spellings or {}).get(domain, ()))
        folder = next((there[plain(name)] for name in wanted if plain(name) in there), None)
        if folder is not None:
            found[domain] = folder
            continue
        told = f"{copy.images} has no folder for the domain {domain} (tried {', '.join(wanted)})"
        if copy.missing == "refuse" or not there:
            raise UserError(told, f"get it: {copy.facts.get}")
        copy.notes.append(f"{told}; left out")
    if not found:
        raise UserError(
            f"{copy.images} has none of the domains {', '.join(copy.facts.domains)}", f"get it: {copy.facts.get}"
        )
    return found


def domain_set(
    copy: Copy,
    rows: Splits,
    folders: Mapping[str, str],
    split: str = "published",
    classes: tuple[str, ...] = (),
) -> ImageSet:
    """`image_set` of rows whose paths begin with a domain's folder; notes what this copy lacks.

    Args:
        folders: of every domain.
        classes: by label, where they do not depend on the copy.

    Raises:
        UserError: no rows, or what `image_set` refuses.
    """
    names = {folder: domain for domain, folder in folders.items()}
    found = len({label for part in rows.values() for _, label, _ in part})
    if not found:
        raise UserError(f"{copy.images} has no images of '{copy.name}'", f"get it: {copy.facts.get}")
    if found != copy.facts.classes:
        copy.notes.append(f"this copy has {these(found, 'class', 'classes')}, not the {copy.facts.classes:,} published")
    return image_set(copy, rows, split, domain=lambda path: names[path.partition("/")[0]], classes=classes)


def rows_below(copy: Copy, inner: str, labels: Mapping[str, int], names: Sequence[str]) -> list[Row]:
    """The images of the class folders in `inner`, by label and then by file name.

    Args:
        labels: by folder name.
        names: by label.

    Raises:
        UserError: `inner` is not there, or holds a folder that is no class.
    """
    top = copy.images / inner
    if not top.is_dir():
        raise UserError(f"{top} is missing", f"get it: {copy.facts.get}")
    there = sorted_folders(top)
    if strays := [folder for folder in there if folder not in labels]:
        raise UserError(
            f"{top / strays[0]} is no class of '{copy.name}'", f"remove it; classes: {', '.join(sorted(labels))}"
        )
    return [
        (f"{inner}/{folder}/{file}", labels[folder], names[labels[folder]])
        for folder in sorted(there, key=labels.__getitem__)
        for file in sorted_images(top / folder)
    ]


def cut_domains(copy: Copy, by_domain: Mapping[str, Sequence[Row]]) -> tuple[dict[str, list[Row]], str]:
    """Train and val cut per domain and class, test all of it; and where that split comes from.

    The draw does not depend on how a domain's folder is spelled.

    Args:
        by_domain: rows by the domain's folder.
    """
    parts: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for folder, rows in by_domain.items():
        own = cut([(path.removeprefix(f"{folder}/"), label, name) for path, label, name in rows], val=VAL, test=0.0)
        for part in ("train", "val"):
            parts[part] += [(f"{folder}/{path}", label, name) for path, label, name in own[part]]
        parts["test"] += rows
    copy.notes.append(f"{copy.folder} has no lists, so {VAL:.0%} of each class are cut off here for val: not published")
    return parts, NO_SPLIT_FILE


def read_list(path: Path) -> Iterator[tuple[str, str, int]]:
    """Place ('file:line'), image path and label of every row of a list; blank lines are passed over.

    Raises:
        UserError: no such list, an empty one, a row that is not `path label`, a path that leaves the image folder, or a
            path twice.
    """
    lines = read_text(path, "take the published list").split("\n")
    seen: dict[str, int] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line:
            continue
        place = f"{path}:{number}"
        image, _, label = line.rpartition(" ")
        image = image.strip()
        if not image or not (label.isascii() and label.isdigit()):
            raise UserError(f"{place}: '{line}' is not a path and a label, as 'photo/dog/1.jpg 0'", _FIX)
        if seen.setdefault(inside(image, place), number) != number:
            raise UserError(f"{place}: {image} is listed twice, first on line {seen[image]}", _FIX)
        yield place, image, int(label)
    if not seen:
        raise UserError(f"{path} lists no image", _FIX)


def listed_parts(image: str, place: str, domain: str) -> tuple[str, str]:
    """Class folder and file of `domain/class/file`.

    Raises:
        UserError: the path is not that, or is of another domain.
    """
    parts = image.split("/")
    if len(parts) != 3 or parts[0] != domain:
        raise UserError(f"{place}: the path '{image}' is not {domain}/<class>/<file>", _FIX)
    return parts[1], parts[2]
