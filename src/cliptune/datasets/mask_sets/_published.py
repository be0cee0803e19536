"""Published sets of images with masks: medvlsm's layout where its annotations are there, else the authors' own.

The authors of most sets gave no parts. Those are cut here, 80/10/10 by a hash of the file names: the same for everybody
with these files, and not the published parts. Nothing is ever written below the root.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cliptune.datasets.base import Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.medvlsm import ANNOTATIONS, open_layout
from cliptune.datasets.published import NO_SPLIT_FILE, Copy, Facts, find_copy, sorted_images
from cliptune.datasets.segmentation import PARTS, MaskItem, MaskSet, Prompts, of_files
from cliptune.errors import UserError
from cliptune.files import user_path

Original = tuple[Mapping[str, Sequence[MaskItem]], str]
"""items by part, and where the parts come from"""
MADE_HERE = NO_SPLIT_FILE
TELLS = ("p4", "p5", "p6", "p8", "p9")
"""kinds of prompts of polyps and skin that tell something of the true masks"""
TELLING = "prompts p4 to p9, but for p7, say size, number or place, which were taken from the true masks"


def open_published(
    name: str,
    facts: Facts,
    root: str | Path | None,
    missing: Missing,
    original: Callable[[Copy], Original],
    group: Callable[[str], str] | None = None,
    remarks: Callable[[MaskSet], Iterable[str]] = lambda found: (),
    telling: Sequence[str] = (),
    tells: Sequence[str] = TELLS,
) -> MaskSet:
    """A set below `root`.

    Args:
        facts: its `images` begin with 'anns', so that a copy with medvlsm's annotations is taken before any other.
        original: reads the authors' layout; it may add to the copy's notes.
        group: an image's group from its file name in medvlsm's layout.
        remarks: what else is to be said of the set, in whichever layout.
        telling: folders that show that `root` itself is the set, whatever it is called.
        tells: kinds of prompts that tell something of the true masks, where they differ from image to image.

    Raises:
        UserError: no root, or nothing there; broken annotations; missing files, unless `missing` is 'skip'.
    """
    copy = _copy(name, facts, root, missing, telling)
    if copy.images.name == ANNOTATIONS:
        found = open_layout(name, copy.folder, missing, facts, group)
    else:
        parts, split = original(copy)
        copy.notes.append("no anns/ with medvlsm's prompts: p0 is empty and p1 the same for every image")
        if all(facts.counts) and tuple(len(parts.get(part, ())) for part in PARTS) != facts.counts:
            listed = "/".join(f"{len(parts.get(part, ())):,}" for part in PARTS)
            published = "/".join(f"{count:,}" for count in facts.counts)
            copy.notes.append(f"{listed} images in train, val and test; medvlsm's parts have {published}")
        found = of_files(name, copy.folder, parts, split, missing, facts, copy.notes)
    varied = [kind for kind in tells if len({dict(it.prompts).get(kind) for it in _all(found)}) > 1]
    return replace(found, notes=(*found.notes, *remarks(found)), telling=tuple(varied))


def _all(found: MaskSet) -> list[MaskItem]:
    return [item for part in PARTS for item in getattr(found, part)]


def _copy(name: str, facts: Facts, root: str | Path | None, missing: Missing, telling: Sequence[str]) -> Copy:
    try:
        return find_copy(name, facts, root, missing)
    except UserError:
        base = user_path(root or "")
        inner = next((each for each in telling if root is not None and (base / each).is_dir()), None)
        if inner is None:
            raise
        return Copy(facts, name, base, base / inner, missing)


def paired(copy: Copy, images: str, masks: str, prompts: Prompts, ending: str = "") -> list[MaskItem]:
    """An item for each file name (without its suffix) in a folder of images or in its folder of masks.

    Where one of the two is not there, the item lists the name it should have, so that it is told as missing. Where a
    folder holds a picture twice, as 1.png and 1.tif, the first by name counts.

    Args:
        images, masks: folders below the copy's.
        ending: what a mask's name has after its image's: '_Segmentation'.

    Raises:
        UserError: one of the folders is not there, or there is nothing in them.
    """
    shown = _by_stem(copy, images)
    drawn = {name.removesuffix(ending): file for name, file in _by_stem(copy, masks).items() if name.endswith(ending)}
    if not shown and not drawn:
        raise UserError(f"{copy.folder / images} has no images", f"get it: {copy.facts.get}")
    suffixes = [PurePosixPath(next(iter(files.values()), ".png")).suffix for files in (shown, drawn)]
    return [
        MaskItem(
            f"{images}/{shown.get(name, name + suffixes[0])}",
            (f"{masks}/{drawn.get(name, name + ending + suffixes[1])}",),
            prompts,
        )
        for name in sorted({**shown, **drawn})
    ]


def _by_stem(copy: Copy, folder: str) -> dict[str, str]:
    files = images_in(copy, folder)
    return {PurePosixPath(file).stem: file for file in reversed(files)}


def images_in(copy: Copy, folder: str) -> list[str]:
    """Names of the image files in a folder below the copy's, sorted.

    Raises:
        UserError: it is not there.
    """
    if not (copy.folder / folder).is_dir():
        raise UserError(f"{copy.folder} has no {folder}/", f"complete the copy; get it: {copy.facts.get}")
    return sorted_images(copy.folder / folder)


def telling_prompts(found: MaskSet) -> list[str]:
    """A remark where the set's prompts tell something of the answer; those of polyps and skin, not BUSI's."""
    return [TELLING] if "p4" in found.prompt_types else []


def stem(item: MaskItem) -> str:
    """The file name of an item's image without its suffix: the same in PNG and TIFF copies."""
    return PurePosixPath(item.image).stem


def cut_items(
    items: Sequence[MaskItem],
    val: float = 0.1,
    test: float = 0.1,
    unit: Callable[[MaskItem], str] = stem,
    kind: Callable[[MaskItem], str] = lambda item: "",
) -> dict[str, tuple[MaskItem, ...]]:
    """Items cut into the three parts by a hash of their units.

    Args:
        val, test: shares of the units of each kind, rounded.
        unit: what must not be torn apart: an image, or a stretch of a video.
        kind: what every part gets its share of.
    """
    rows = [(unit(item), kind(item)) for item in items]
    parts = cut(dict.fromkeys(rows), val, test)
    place = {row: part for part, listed in parts.items() for row in listed}
    return {part: tuple(it for it, row in zip(items, rows, strict=True) if place[row] == part) for part in PARTS}
