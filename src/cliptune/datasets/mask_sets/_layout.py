"""Which folders hold images and which their masks, whatever they are called.

lesions/Images/a.jpg         lesions/Masks/a.png               many words for both, in any case
lesions/images/train/a.jpg   lesions/masks/train/a.png         parts below them,
lesions/train/images/a.jpg   lesions/train/masks/a.png         above them,
lesions/train_images/a.jpg   lesions/train_masks/a.png         or in their names
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from cliptune.counted import these
from cliptune.datasets.images import printable
from cliptune.datasets.mask_sets._pairing import masks_beside, pair
from cliptune.datasets.places import LeftOut, folders_in, has_images, images_below, is_image, is_system, part_of
from cliptune.errors import UserError

_IMAGES = re.compile("images?|imgs?|pictures?|photos?|frames?|originals?|inputs?|scans?|rgb|jpegimages|imagefiles")
_MASKS = re.compile(
    "masks?|labels?|annotations?|annos?|annots?|groundtruths?|gts?|segmentations?|segs?|segmentationclass|labelmaps?|"
    "targets?|binarymasks?|maskimages|trimaps?|manual|manualmasks?|anns?"
)
"""names of folders in small letters, without what is no letter or digit"""
_FILLERS = re.compile(r"png|jpe?g|tiff?|bmp|dirs?|folders?|files?|raw|\d+|1st")
"""words that say nothing of what a folder holds: masks_png, img_dir, 2-masks"""
LAYOUT = "make images/ and masks/ in it, an image and its mask with the same file name"
_PARTS = ("train", "val", "test")
_FEW = 8
"""folders whose images are counted one by one in a note, at most"""
_DEPTH = 3
"""folders above images/ and masks/, at most"""

Role = Literal["images", "masks"]


class File(NamedTuple):
    """An image or a mask."""

    path: str
    """below the set's root"""
    folder: str
    """the folder of images or of masks that it is in, with that of its part"""
    name: str
    """below that folder: 'p1/a.jpg'"""
    word: str
    """what its folders call its part; '' for none"""

    @property
    def stem(self) -> str:
        return self.name.removesuffix(PurePosixPath(self.name).suffix)


class Home(NamedTuple):
    """A folder of images beside one of masks; paths are relative to the set's root."""

    above: str
    """the folder that holds both, '' for the root itself"""
    word: str
    """the word for a part in their names: 'train' of train_images; '' where there is none"""
    images: str
    masks: str


def role_of(name: str) -> tuple[Role, str] | None:
    """What a folder of that name holds, and the word for a part in the name; None for any other name.

    >>> role_of("Ground Truth"), role_of("train_masks"), role_of("polyps")
    (('masks', ''), ('masks', 'train'), None)
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # imagesTr
    words = [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word and not _FILLERS.fullmatch(word)]
    part = next((word for word in words if part_of(word)), "")
    rest = "".join(word for word in words if word != part)
    if _IMAGES.fullmatch(rest):
        return "images", part
    return ("masks", part) if _MASKS.fullmatch(rest) else None


def files_of(path: Path, left_out: LeftOut, notes: list[str]) -> tuple[list[File], list[File]]:
    """The image files and the mask files of a set's folder.

    Args:
        left_out: counts files that are passed over.
        notes: what was guessed is added.

    Raises:
        UserError: there is no place that has both, or two folders may be meant.
    """
    places = homes(path)
    if not places:
        return _beside(path, left_out, notes)
    images = [file for home in places for file in _files(path, home, home.images, left_out)]
    masks = [file for home in places for file in _files(path, home, home.masks, left_out)]
    for role, folders, files in (
        ("images", [home.images for home in places], images),
        ("masks", [home.masks for home in places], masks),
    ):
        names = sorted({PurePosixPath(folder).name for folder in folders})
        if names != [role]:
            notes.append(f"{role} are what lies in {', '.join(map(printable, names))} ({these(len(files), 'file')})")
    return images, masks


def _beside(path: Path, left_out: LeftOut, notes: list[str]) -> tuple[list[File], list[File]]:
    files = _files(path, Home("", "", "", ""), "", left_out)
    masks = masks_beside(file.stem for file in files)
    if not masks:
        raise _no_layout(path)
    lie = these(len(masks), "mask lies beside its image and is", "masks lie beside their images and are")
    notes.append(f"{lie} known by the name")
    return [file for file in files if file.stem not in masks], [file for file in files if file.stem in masks]


def _no_layout(path: Path) -> UserError:
    roles = {role[0] for folder in folders_in(path) if (role := role_of(folder.name))}
    if "images" in roles and "masks" not in roles:
        return UserError(f"{path} has no masks/", LAYOUT)
    if "masks" in roles and "images" not in roles:
        return UserError(f"{path} has no images/", LAYOUT)
    if (role := role_of(path.resolve().name)) and has_images(path):
        return UserError(f"{path} is a folder of {role[0]} only", f"give the folder above: {path.resolve().parent}")
    for folder in _folders_below(path, _DEPTH):
        role = role_of(folder.name)
        if role and not _has_images(folder) and (others := other_files(folder)):
            kinds = listed_kinds(Counter(file.suffix.lower() for file in others))
            return UserError(
                f"{printable(folder)} holds {kinds} and no {role[0]} that can be read",
                "convert those to .png, an image and its mask with the same file name",
            )
    return UserError(f"{path} has no folders images/ and masks/", LAYOUT)


def _folders_below(path: Path, depth: int) -> Iterator[Path]:
    for folder in folders_in(path) if depth else []:
        yield folder
        yield from _folders_below(folder, depth - 1)


def other_files(folder: Path) -> list[Path]:
    """Files below a folder that are no images, with an ending; what systems leave behind is not."""
    below = (Path(above, name) for above, _, names in os.walk(folder) for name in sorted(names))
    return [file for file in below if file.suffix and not is_system(file.name) and not is_image(file.name)]


def listed_kinds(kinds: Counter[str]) -> str:
    """'12 .npy, 3 .json', the most frequent first."""
    return ", ".join(f"{count:,} {printable(suffix)}" for suffix, count in kinds.most_common())


def by_part(
    path: Path, folders: tuple[list[File], list[File]], notes: list[str]
) -> dict[str, tuple[list[File], list[File]]]:
    """Images and masks by part: 'train', 'test' and perhaps 'val'; all in '' where no folder is called like a part.

    Args:
        notes: files beside the folders of the parts are left out and counted here.

    Raises:
        UserError: no train or no test, but others, or two words for one part.
    """
    images, masks = folders
    given = {file.word.lower(): file.word for file in images if file.word}
    parts = {part_of(word) for word in given}
    if not parts:
        notes += _pooled(images)
        return {"": (images, masks)}
    if "train" not in parts:
        named = " and ".join(f"'{printable(word)}'" for word in sorted(given.values()))
        raise UserError(f"{path} has {named} but no train folder", "add train/, or put all images in one folder")
    for part in _PARTS:
        same = [name for word, name in given.items() if part_of(word) == part]
        if len(same) > 1:
            raise UserError(f"{path} has both '{same[0]}' and '{same[1]}', which mean {part}", "keep one of them")
    if "test" not in parts:
        rename = "rename the validation folder to test (validation images are then cut off train), or "
        fix = f"{rename if 'val' in parts else ''}add test/, or put all images in one folder"
        raise UserError(f"{path} has a train folder but no test folder", fix)
    if not any(file.word for file in masks):
        return _masks_together(images, masks, notes)
    if beside := sum(not file.word for file in (*images, *masks)):
        notes.append(_left_beside(beside))
    return {part: (_in_part(part, images), _in_part(part, masks)) for part in _PARTS if part in parts}


def _in_part(part: str, files: list[File]) -> list[File]:
    return [file for file in files if part_of(file.word) == part]


def _pooled(images: list[File]) -> list[str]:
    """A note where images of a few folders that may have been parts by other words are cut anew."""
    folders = Counter(image.name.rpartition("/")[0].partition("/")[0] for image in images)
    if not 2 <= len(folders) <= _FEW or min(folders.values()) < 2:
        return []
    listed = ", ".join(f"{printable(name) or 'none'} ({number:,})" for name, number in sorted(folders.items()))
    return [
        f"the images of {len(folders)} folders are taken together and cut into parts here, as none is called train or "
        f"test: {listed}"
    ]


def _masks_together(
    images: list[File], masks: list[File], notes: list[str]
) -> dict[str, tuple[list[File], list[File]]]:
    """Masks of all parts in one folder, given to the parts by their names; those of no image stay with the first."""
    left = {mask.stem: mask for mask in masks}

    def with_masks(listed: list[File]) -> tuple[list[File], list[File]]:
        paired = pair((file.stem for file in listed), left).masks
        return listed, [left.pop(stem) for own in paired.values() for stem in own]

    parts = {part: with_masks(own) for part in _PARTS if (own := _in_part(part, images))}
    notes.append(f"the masks of all parts lie in one folder ({these(len(masks), 'file')})")
    if beside := sum(map(len, with_masks([file for file in images if not file.word]))):
        notes.append(_left_beside(beside))
    next(iter(parts.values()))[1].extend(left.values())
    return parts


def _left_beside(number: int) -> str:
    lie = "beside the folders of the parts"
    return these(number, f"image file {lie} is left out", f"image files {lie} are left out")


def _files(root: Path, home: Home, folder: str, left_out: LeftOut) -> list[File]:
    """Image files below a folder of a home, sorted."""
    above = [name for name in home.above.split("/") if name]
    files = []
    for path in images_below(root / folder, left_out):
        *inner, name = path.relative_to(root / folder).parts
        before = [*above, *([home.word] if home.word else []), *inner[:1]]
        word = next((name for name in before if part_of(name)), "")
        rest = [name for name in (*above, *inner) if name != word]
        own = "/".join([folder, *inner[:1]] if inner and inner[0] == word else [folder]).strip("/")
        files.append(File(path.relative_to(root).as_posix(), own, "/".join([*rest, name]), word))
    return files


def homes(root: Path) -> list[Home]:
    """The folders of images with masks in a set's folder, to a depth of three.

    Raises:
        UserError: two folders in one place may be meant.
    """
    return list(_homes(root, "", _DEPTH, everywhere=True))


def is_home(root: Path) -> bool:
    """Whether a folder seems to hold images with masks and not classes; thousands of folders are not looked into.

    Folders like photo/, mask/ and video/ are classes, unless most of what lies in mask/ is called like a photo.
    """
    try:
        return any(not _among_classes(root, home) for home in _homes(root, "", _DEPTH, everywhere=False))
    except UserError:  # two folders of masks beside one of images: still no classes
        return True


def _among_classes(root: Path, home: Home) -> bool:
    """Whether a third folder of images lies beside two that seem to hold images and masks, whose names do not pair."""
    third = [folder for folder in folders_in(root / home.above) if not role_of(folder.name) and has_images(folder)]
    if not third:
        return False
    images, masks = (
        [file.relative_to(root / folder).with_suffix("").as_posix() for file in images_below(root / folder)]
        for folder in (home.images, home.masks)
    )
    return 2 * len(pair(images, masks).lone_masks) > len(masks)


def _homes(root: Path, above: str, depth: int, everywhere: bool) -> Iterator[Home]:
    """See `homes`. Not everywhere: only in folders called like a part, and in one that lies alone."""
    names = [folder.name for folder in folders_in(root / above)]
    inner = f"{above}/" if above else ""
    pairs = _pairs(root / above, names)
    for word, images, masks in pairs:
        yield Home(above, word, f"{inner}{images}", f"{inner}{masks}")
    if pairs or not depth:
        return
    for name in names:
        if everywhere or len(names) == 1 or part_of(name):
            yield from _homes(root, f"{inner}{name}", depth - 1, everywhere)


def _pairs(folder: Path, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Word for a part, folder of images and folder of masks, for each such pair in a folder."""
    roles: dict[str, dict[Role, list[str]]] = {}
    for name in names:
        if role := role_of(name):
            roles.setdefault(role[1], {}).setdefault(role[0], []).append(name)
    pairs = []
    for word, both in roles.items():
        if len(both) < 2:  # label_1 and label_2 may be classes
            continue
        images, masks = (_one(folder, both[role], role) for role in ("images", "masks"))
        if images and masks:
            pairs.append((word, images, masks))
    return pairs


def _one(folder: Path, names: Sequence[str], role: Role) -> str:
    """The folder that is meant: the one called 'images' or 'masks', or the only one with image files in it."""
    if role in names:
        return role
    filled = [name for name in names if _has_images(folder / name)]
    if len(filled) > 1:
        raise UserError(
            f"{printable(folder)} has {len(filled)} folders of {role}: {', '.join(map(printable, filled))}",
            f"call the one that counts {role}/, or move the others away",
        )
    return filled[0] if filled else ""


def _has_images(folder: Path) -> bool:
    return any(is_image(name) for _, _, names in os.walk(folder, followlinks=False) for name in names)
