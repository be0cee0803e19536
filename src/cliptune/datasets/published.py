"""Published data sets where people have them on disk: what is known of each, and how its files are found and read.

A set is one module in `sets/` with `FACTS` and `load`; most of them are `open_published` and a function that reads the
annotations the set's authors gave, for copies without CoOp's split file. Nothing is ever written below the root, and
other people's pickles there are not looked at.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from cliptune.counted import these
from cliptune.datasets.base import ImageSet, Item, Missing
from cliptune.datasets.images import read_file
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.registry import plain

PHOTO = "a photo of a {}."
NO_SPLIT_FILE = "made here (not the published split)"


@dataclass(frozen=True)
class OpenSet:
    """ODG-CLIP's classes by label: what each source domain sees, and what a target holds besides."""

    sources: tuple[frozenset[int], ...]
    """classes of the first, second, third source domain"""
    unknown: frozenset[int]
    """classes no source domain has"""
    known: frozenset[int] = frozenset()
    """known classes of the target's test; empty: every class some source has"""


@dataclass(frozen=True)
class Facts:
    """What was published about a set."""

    title: str
    source: str
    """paper, licence or terms"""
    get: str
    """how to get it"""
    folders: tuple[str, ...]
    """names it has below the root, of every dialect"""
    images: tuple[str, ...] = ("",)
    """where its images lie in there; the first that exists"""
    nested: tuple[str, ...] = ()
    """image folders that some copies hold inside a folder of the same name: cars_train/cars_train/"""
    classes: int = 0
    counts: tuple[int | None, int | None, int | None] = (None, None, None)
    """images in train, val and test; 0 where a split does not exist, None where no source tells"""
    templates: tuple[str, ...] = (PHOTO,)
    split_file: str = ""
    """CoOp's list of the three splits"""
    aliases: tuple[str, ...] = ()
    """other names people call it by"""
    column: str = ""
    """its name in the papers' tables"""
    domains: tuple[str, ...] = ()
    open_set: OpenSet | None = None
    val_is_test: bool = False
    """the official validation images serve as the test: nothing may be chosen on them"""
    tests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """sets that are tested after training on this one, by protocol ('out-of-distribution', 'cross-dataset')"""


Row = tuple[str, int, str]
"""image path below the image folder, label, class name"""
Splits = Mapping[str, Sequence[Row]]
"""rows by 'train', 'val', 'test'"""


@dataclass(frozen=True)
class Copy:
    """One copy of a set on disk."""

    facts: Facts
    name: str
    """the set's name here"""
    folder: Path
    images: Path
    missing: Missing = "refuse"
    nested: frozenset[str] = frozenset()
    """those of the set's folders that lie inside one of the same name here"""
    notes: list[str] = field(default_factory=list)
    """what the reader of the result should know"""


def find_copy(name: str, facts: Facts, root: str | Path | None, missing: Missing = "refuse") -> Copy:
    """Where a set lies below `root`, in whichever dialect.

    Raises:
        UserError: no root, or nothing there under any of the set's names; lists the folders that were tried.
    """
    if root is None:
        where = f"give the folder that holds {facts.folders[0]}/ with --root"
        raise UserError(f"data set '{name}' is read from disk", where)
    base = user_path(root)
    folders = _named(base, facts)
    if not folders:
        tried = ", ".join(dict.fromkeys(facts.folders))
        raise UserError(f"{base} has no folder for '{name}' (tried {tried})", f"get it: {facts.get}")
    for inner in facts.images:
        for folder in folders:
            images = folder / inner
            if images.is_dir():
                nested = frozenset(each for each in facts.nested if (images / each / each).is_dir())
                return Copy(facts, name, folder, images, missing, nested)
    tried = ", ".join(str(folder / inner) for folder in folders for inner in facts.images)
    raise UserError(f"{base} has no images for '{name}' (tried {tried})", f"get it: {facts.get}")


def _named(base: Path, facts: Facts) -> list[Path]:
    """Folders called as the set is, the likeliest first: those below `base`, then `base` itself."""
    # As the file system spells them: a case-insensitive one would find 'Caltech101' under any name.
    there = sorted(entry.name for entry in base.iterdir() if entry.is_dir()) if base.is_dir() else []
    names: dict[str, None] = {}
    for wanted in facts.folders:
        alike = [name for name in there if plain(name) == plain(wanted)]
        names |= dict.fromkeys(sorted(alike, key=lambda name: name != wanted))
    own = base.is_dir() and plain(base.resolve().name) in {plain(each) for each in facts.folders}
    return [base / name for name in names] + ([base] if own else [])


def near(copy: Copy, file: str) -> Path:
    """Where an annotation lies: in the set's folder, among or beside its images, or beside the folder."""
    places = (copy.folder, copy.images, copy.images.parent, copy.folder.parent)
    return next((place / file for place in places if (place / file).is_file()), copy.folder / file)


def is_present(facts: Facts, root: str | Path) -> bool:
    """Whether a set seems to lie below `root`."""
    try:
        find_copy("", facts, root)
    except UserError:
        return False
    return True


def open_published(
    name: str,
    facts: Facts,
    root: str | Path | None,
    missing: Missing = "refuse",
    otherwise: Callable[[Copy], Splits] | None = None,
) -> ImageSet:
    """A set with CoOp's split file, or with the rows that `otherwise` reads from its own annotations.

    Raises:
        UserError: nothing there; a broken split file; listed files that are not there, unless `missing` is 'skip'.
    """
    from cliptune.datasets.splits import read_split_file

    copy = find_copy(name, facts, root, missing)
    rows: Splits
    listed = near(copy, facts.split_file)
    if facts.split_file and listed.is_file():
        rows, split = read_split_file(listed), "published"
    elif otherwise is not None:
        rows = otherwise(copy)
        split = NO_SPLIT_FILE if facts.split_file else "published"
        if facts.split_file:
            copy.notes.append(f"{facts.split_file} is not there, so the split is made here: not the published one")
    else:
        raise UserError(f"{listed} is missing", f"get it: {facts.get}")
    found = {label for listing in rows.values() for _, label, _ in listing}
    if facts.classes and len(found) != facts.classes:
        listed_classes = these(len(found), "class", "classes")
        copy.notes.append(f"this copy lists {listed_classes} where {facts.classes} were published")
    return image_set(copy, rows, split)


def image_set(
    copy: Copy,
    rows: Splits,
    split: str = "published",
    domain: Callable[[str], str] | None = None,
    classes: tuple[str, ...] = (),
) -> ImageSet:
    """An ImageSet of the rows whose files are there.

    Args:
        domain: the domain of an image's path, for sets that have domains.
        classes: names by label, for sets whose labels do not depend on which classes a copy holds.

    Raises:
        UserError: labels that are not 0 … c−1 or have two names; missing files, unless `copy.missing` is 'skip'.
    """
    classes = classes or class_names(rows, copy.name)
    items = {
        part: tuple(Item(path, label, domain(path) if domain else "") for path, label, _ in listed)
        for part, listed in existing(copy, rows).items()
    }
    return assemble(copy, classes, items, split)


def assemble(
    copy: Copy, classes: tuple[str, ...], items: Mapping[str, tuple[Item, ...]], split: str = "published"
) -> ImageSet:
    """An ImageSet of items by part whose files are known to be there, because the folders themselves were listed."""
    there = {item.domain for part in items.values() for item in part} if copy.facts.domains else set()
    images = copy.images.absolute()  # read later, perhaps after a change of directory
    return ImageSet(
        name=copy.name,
        classes=classes,
        read=partial(read_below, images, nested=copy.nested),
        templates=copy.facts.templates,
        train=items.get("train", ()),
        val=items.get("val", ()),
        test=items.get("test", ()),
        root=str(images),
        split=split,
        about=copy.facts.source,
        domains=tuple(domain for domain in copy.facts.domains if domain in there),
        facts=copy.facts,
        notes=tuple(copy.notes),
    )


def read_below(root: Path, item: Item, nested: Collection[str] = ()) -> Image.Image:
    """The image of an item, as the papers' code reads it: no turning, transparency dropped."""
    return read_file(_place(root, item.path, nested), as_published=True)


def _place(root: Path, path: str, nested: Collection[str]) -> Path:
    """A listed path on disk; a nested folder lies inside one of its own name."""
    head = path.partition("/")[0]
    return root / head / path if head in nested else root / path


def class_names(rows: Splits, name: str) -> tuple[str, ...]:
    """Names by label; several labels may share one name, as in ImageNet.

    Raises:
        UserError: no rows; a label has two names, or labels are not 0 … c−1.
    """
    names: dict[int, str] = {}
    for part in rows.values():
        for path, label, called in part:
            if names.setdefault(label, called) != called:
                raise UserError(
                    f"'{name}': label {label} is '{names[label]}' and, at {path}, '{called}'", "take the published file"
                )
    if not names:
        raise UserError(f"'{name}': no image is listed", "take the published file")
    if sorted(names) != list(range(len(names))):
        gap = next(label for label in range(len(names) + 1) if label not in names)
        raise UserError(f"'{name}': labels run to {max(names, default=0)} without {gap}", "take the published file")
    return tuple(names[label] for label in range(len(names)))


def existing(copy: Copy, rows: Splits) -> dict[str, list[Row]]:
    """The rows whose files are there.

    Raises:
        UserError: some are not, unless `copy.missing` is 'skip'.
    """
    known: dict[str, Collection[str]] = {}
    kept: dict[str, list[Row]] = {part: [] for part in rows}
    absent: dict[str, None] = {}
    for part, listed in rows.items():
        for row in listed:
            parent, _, file = row[0].rpartition("/")
            if parent not in known:
                known[parent] = _names(_place(copy.images, parent, copy.nested))
            if file in known[parent]:
                kept[part].append(row)
            else:
                absent[row[0]] = None
    if not absent:
        return kept
    # A file may be listed in two parts: domain sets test on their train and val images too.
    total = len({row[0] for listed in rows.values() for row in listed})
    first = _place(copy.images, next(iter(absent)), copy.nested)
    told = f"{len(absent):,} of {total:,} listed files are not there, first {first}"
    if copy.missing == "refuse":
        raise UserError(told, "complete the copy, or keep what exists: --set data.missing=skip")
    copy.notes.append(f"{told}; left out")
    if not any(kept.values()):
        raise UserError(told, f"none of the listed files is there; get it: {copy.facts.get}")
    return kept


def _names(folder: Path) -> Collection[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return ()


def sorted_folders(folder: Path) -> list[str]:
    """Names of the sub-folders by code point; hidden ones and what archives leave behind are not among them."""
    from cliptune.datasets.places import is_system

    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not is_system(e.name))


def sorted_images(folder: Path) -> list[str]:
    """Names of the image files in a folder by code point; strays (.DS_Store, ._x, Thumbs.db, .mat, .txt) are not."""
    from cliptune.datasets.places import is_image

    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_image(entry.name))


def folder_rows(copy: Copy, folders: Mapping[str, str]) -> list[Row]:
    """A row for each image of the class folders; labels follow the order given.

    Args:
        folders: folder below the image folder → class name.

    Raises:
        UserError: no folders, or one without images.
    """
    if not folders:
        raise UserError(f"{copy.images} has no class folders", f"get it: {copy.facts.get}")
    rows: list[Row] = []
    for label, (folder, name) in enumerate(folders.items()):
        files = sorted_images(copy.images / folder)
        if not files:
            raise UserError(f"{copy.images / folder} has no images", "complete the copy, or remove the folder")
        rows += [(f"{folder}/{file}", label, name) for file in files]
    return rows
