"""Your own images with masks: two folders, the same file names.

lesions/images/a.jpg       lesions/masks/a.png             any image suffix; what masks mean is decided from all of them
lesions/images/train/a.jpg lesions/masks/train/a.png       parts given: train, test and perhaps val;
lesions/train/images/a.jpg lesions/train/masks/a.png       … or so. `_layout` knows other names of folders,
lesions/images/a.jpg       lesions/masks/a_mask.png        `_pairing` of files
lesions/prompts.csv: image,prompt                          'a.jpg,mole' (or 'train/a.jpg,mole'); p1 is then 'mole'

Several lines for an image are several texts, of which one is drawn. Without the file a prompt given with the folder is
p1 of every image; without either there is only p0, the empty one. A folder with anns/ is read as medvlsm's layout.
"""

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cliptune.counted import these
from cliptune.datasets.base import Missing
from cliptune.datasets.images import printable
from cliptune.datasets.mask_meaning import Wanted
from cliptune.datasets.mask_sets._layout import LAYOUT, File, by_part, files_of, homes, listed_kinds, other_files
from cliptune.datasets.mask_sets._pairing import Pairing, pair
from cliptune.datasets.mask_sets._published import cut_items
from cliptune.datasets.mask_sets._reading import with_meaning
from cliptune.datasets.medvlsm import ANNOTATIONS, open_layout
from cliptune.datasets.places import UNREAD_SUFFIXES, LeftOut
from cliptune.datasets.segmentation import MaskItem, MaskSet, of_files, word_prompts
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.registry import nearest
from cliptune.texts import read_table

PROMPTS = "prompts.csv"
_WORDLESS = (("p0", ("",)),)
_LEAST = 6
"""pairs from which a tenth can be cut off, twice"""


def load(path: Path, missing: Missing = "refuse", prompt: str | None = None, value: Wanted = ()) -> MaskSet:
    """A MaskSet of a folder.

    Args:
        missing: 'skip' leaves out images without a mask and masks without an image.
        prompt: what to look for, for images that prompts.csv does not name.
        value: the number or colour that is marked; () decides from all masks.

    Raises:
        UserError: no such layout, unpaired files, masks whose meaning is not clear, or a prompts.csv that does not fit;
            names what is wrong.
    """
    path = user_path(path)
    name = path.resolve().name
    if prompt is not None and not prompt.strip():
        raise UserError("the prompt is empty", "say what to look for, or leave the prompt out")
    if (path / ANNOTATIONS).is_dir():
        if prompt is not None:
            raise UserError(f"a prompt with {path}", f"its {ANNOTATIONS}/ has prompts; leave it out")
        return with_meaning(open_layout(name, path, missing), value, missing)
    notes: list[str] = []
    pairs = _pairs(path, missing, notes)
    if not any(pairs.values()):
        raise UserError(f"{path} has no image with a mask", LAYOUT)
    by_name = {key: item for listed in pairs.values() for key, item in listed.items()}
    words = _words(path, by_name, missing, prompt, notes)
    if not words and prompt is None:
        notes.append(f"no {PROMPTS} and no prompt: p0, the empty one, is all there is")
    items = {
        part: [_prompted(listed[key], words.get(key, ()), prompt) for key in listed] for part, listed in pairs.items()
    }
    parts, split = _complete(path, items)
    return with_meaning(of_files(name, path, parts, split, missing, None, notes), value, missing)


def _prompted(item: MaskItem, words: Sequence[str], prompt: str | None) -> MaskItem:
    if words:
        return replace(item, prompts=(("p0", ("",)), ("p1", tuple(words))))
    return replace(item, prompts=_WORDLESS if prompt is None else word_prompts(prompt))


def _pairs(path: Path, missing: Missing, notes: list[str]) -> dict[str, dict[str, MaskItem]]:
    """Part ('' where none are given) → items by image path, 'train/a.jpg'.

    Raises:
        UserError: no such folders; an image without a mask or a mask without an image, unless `missing` is 'skip'; two
            files with one name.
    """
    left_out = LeftOut()
    folders = files_of(path, left_out, notes)
    notes += left_out.notes()
    pairs: dict[str, dict[str, MaskItem]] = {}
    differing: list[tuple[str, File, File]] = []
    for part, (images, masks) in by_part(path, folders, notes).items():
        shown, drawn = _by_stem(path, images), _by_stem(path, masks)
        pairing = pair(shown, drawn)
        _refuse_rivals(path, pairing, drawn)
        _say_lone(path, pairing, shown, drawn, missing, left_out, notes)
        head = f"{part}/" if part else ""
        pairs[part] = {
            f"{head}{shown[image].name}": MaskItem(shown[image].path, tuple(drawn[mask].path for mask in own))
            for image, own in pairing.masks.items()
        }
        differing += [
            (pairing.differing[mask], shown[image], drawn[mask])
            for image, own in pairing.masks.items()
            for mask in own
            if mask in pairing.differing
        ]
    for how, number in Counter(how for how, _, _ in differing).items():
        _, image, mask = next(row for row in differing if row[0] == how)
        many = these(number, "mask is", "masks are")
        notes.append(f"{many} paired by {how}: {printable(mask.name)} with {printable(image.name)}")
    notes += _several_masks([item for listed in pairs.values() for item in listed.values()])
    return pairs


def _refuse_rivals(path: Path, pairing: Pairing, masks: Mapping[str, File]) -> None:
    """Refuse what leaving out images with two masks would not make right: the others' masks are of different classes.

    Raises:
        UserError: folders of masks, as of several classes, each have one for the same image.
    """
    if not pairing.rivals:
        return
    first, folder = next(iter(pairing.rivals)), next(iter(masks.values())).folder
    own = [masks[key] for key in pairing.rivals[first]]
    names = sorted({printable(file.name.partition("/")[0]) for file in own})
    where = f"{path / folder}: {these(len(pairing.rivals), 'image has', 'images have')} {len(own)} masks"
    raise UserError(
        f"{where}, first {printable(first)}, one in each of {', '.join(names)}",
        f"give the masks of one class: move what is in {folder}/{names[0]} to {folder}, the other folders out",
    )


def _several_masks(items: Sequence[MaskItem]) -> list[str]:
    """A note where images have several masks, which count together."""
    several = [item for item in items if len(item.masks) > 1]
    if not several:
        return []
    first = " and ".join(printable(posixpath.basename(file)) for file in several[0].masks[:2])
    more = f" and {len(several[0].masks) - 2:,} more" if len(several[0].masks) > 2 else ""
    have = these(len(several), "image has", "images have")
    return [f"{have} several masks, of which any marks a pixel: {first}{more} of {printable(several[0].image)}"]


def _by_stem(path: Path, files: Sequence[File]) -> dict[str, File]:
    """Files by their path without the suffix.

    Raises:
        UserError: two differ in their suffix only.
    """
    known: dict[str, File] = {}
    for file in files:
        other = known.setdefault(file.stem, file)
        if other is not file:
            where = f"{path / file.folder} has both {printable(other.name)} and {printable(file.name)}"
            raise UserError(where, "keep one of them")
    return known


def _say_lone(
    path: Path,
    pairing: Pairing,
    images: Mapping[str, File],
    masks: Mapping[str, File],
    missing: Missing,
    left_out: LeftOut,
    notes: list[str],
) -> None:
    """Note images without a mask and masks without an image.

    Raises:
        UserError: there are some, unless `missing` is 'skip'.
    """
    lone_images, lone_masks = (
        [files[key] for key in keys]
        for files, keys in (
            (images, pairing.lone_images),
            (masks, pairing.lone_masks),
        )
    )
    said = []
    if lone_images:
        said.append(
            f"{path / lone_images[0].folder}: {_count(lone_images)} no mask, first {printable(lone_images[0].name)}"
        )
    if lone_masks:
        said.append(
            f"{path / lone_masks[0].folder}: {_count(lone_masks)} no image, first {printable(lone_masks[0].name)}"
        )
    if not said:
        return
    if missing == "skip":
        notes.extend(f"{each}; left out" for each in said)
        return
    unread = left_out.unread + _texts_for(path, [file.stem for file in lone_images])
    if unread:
        kinds = listed_kinds(unread)
        raise UserError(f"{' and '.join(said)}; files that are not read: {kinds}", "convert those to .png")
    skip = "or leave out what has no partner: --set data.missing=skip"
    if lone_images and lone_masks:
        raise UserError(" and ".join(said), f"give an image and its mask the same file name, {skip}")
    if lone_masks:
        raise UserError(said[0], f"add its image, remove it, {skip}")
    folder = next(iter(masks.values())).folder if masks else "masks"
    name = f"{folder}/{printable(lone_images[0].stem)}.png"
    raise UserError(said[0], f"add {name} (all black where there is nothing to mark), {skip}")


def _texts_for(path: Path, stems: Sequence[str]) -> Counter[str]:
    """Files of text among the masks that are called like images without a mask, by their ending: a.json for a.jpg."""
    wanted = {posixpath.basename(stem) for stem in stems}
    folders = [path / home.masks for home in homes(path)]
    named = [file for folder in folders for file in other_files(folder) if file.stem in wanted]
    return Counter(file.suffix.lower() for file in named if file.suffix.lower() not in UNREAD_SUFFIXES)


def _count(files: Sequence[File]) -> str:
    return these(len(files), "file has", "files have")


def _complete(path: Path, items: Mapping[str, Sequence[MaskItem]]) -> tuple[Mapping[str, Sequence[MaskItem]], str]:
    """All three parts, and a word on where they come from."""
    if "" in items:
        if len(items[""]) < _LEAST:
            told = f"{path} has {these(len(items['']), 'image')} with masks, too few to cut off val and test"
            raise UserError(told, f"add some ({_LEAST} at least), or sort them into train, val and test")
        return cut_items(items[""], unit=_path), "made here, 80/10/10"
    if "val" in items:
        return items, "given"
    parts = cut_items(items["train"], test=0.0, unit=_path) | {"test": tuple(items["test"])}
    return parts, "given; val is 10 % of train, cut off here"


def _path(item: MaskItem) -> str:
    return item.image


def _words(
    path: Path, items: Mapping[str, MaskItem], missing: Missing, prompt: str | None, notes: list[str]
) -> dict[str, list[str]]:
    """Texts by image from prompts.csv; empty where there is no such file.

    Args:
        items: by the images' names in prompts.csv.

    Raises:
        UserError: no such columns; an image that is not there, unless `missing` is 'skip'; an empty text; images
            without one, and no `prompt`.
    """
    listed = _prompts_file(path, notes)
    if listed is None:
        return {}
    known = {_plain(item.image): key for key, item in items.items()} | {_plain(key): key for key in items}
    loose = _loose(known)
    words, unused = dict[str, list[str]](), 0
    for row in read_table(listed, ("image", "prompt")):
        image, text = row.fields["image"], " ".join(row.fields["prompt"].split())
        key = known.get(_plain(image)) or loose.get(_stem(image))
        if key is None:
            if missing == "skip":  # it may be one of those left out for want of a mask
                unused += 1
                continue
            close = nearest(image, items)
            fix = f"did you mean '{close[0]}'?" if close else f"name images by their path, as '{next(iter(items))}'"
            raise UserError(f"{listed}:{row.line}: no image with a mask is called '{image}'", fix)
        if not text:
            raise UserError(f"{listed}:{row.line}: the prompt is empty", "fill it in or remove the line")
        words.setdefault(key, []).append(text)
    if unused:
        notes.append(
            f"{listed.name}: left out: {these(unused, 'line that names', 'lines that name')} no image with a mask"
        )
    if prompt is None and (left := [image for image in items if image not in words]):
        more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
        raise UserError(
            f"{listed} has no prompt for {printable(left[0])}{more}",
            "add a line for each image, or give a prompt for those without",
        )
    return words


def _prompts_file(path: Path, notes: list[str]) -> Path | None:
    """prompts.csv in any case; where there is none, other tables are named in a note."""
    tables = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in (".csv", ".tsv") and entry.is_file())
    found = [table for table in tables if table.name.lower() == PROMPTS]
    if not found and tables:
        notes.append(f"{printable(tables[0].name)} is not read: prompts stand in {PROMPTS}, with columns image,prompt")
    return found[0] if found else None


def _loose(known: Mapping[str, str]) -> dict[str, str]:
    """Items by their name without case and ending, as far as that is one item's only."""
    owners: dict[str, set[str]] = {}
    for name, key in known.items():
        owners.setdefault(_stem(name), set()).add(key)
    return {stem: next(iter(keys)) for stem, keys in owners.items() if len(keys) == 1}


def _stem(name: str) -> str:
    return posixpath.splitext(_plain(name))[0].casefold()


def _plain(name: str) -> str:
    """An image's path however it is written: back-slashes, accents composed or not, './' before it."""
    slashed = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return slashed if ".." in slashed else posixpath.normpath(slashed)
