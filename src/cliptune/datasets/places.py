"""What lies in people's folders: images, pictures that are not read, what systems leave behind, and words for parts.

One place for training and prediction, for images with classes and with masks.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cliptune.counted import these
from cliptune.datasets.images import IMAGE_SUFFIXES, printable, regular_bytes
from cliptune.errors import UserError

Part = Literal["train", "val", "test"]

UNREAD_SUFFIXES = frozenset(
    (".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx", ".svg", ".psd", ".ai", ".eps", ".pdf", ".ico", ".tga")
    + (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".raw", ".srw", ".pef", ".exr", ".hdr", ".xcf")
    + (".nrw", ".x3f", ".3fr", ".iiq", ".crw", ".kdc", ".mrw", ".rwl", ".srf", ".jxr", ".jpf", ".j2c", ".jpm", ".heics")
    + (".sr2", ".erf", ".mef", ".mos", ".dcr", ".k25", ".fff", ".bay", ".gpr", ".rwz", ".cap", ".mdc")
    + (".dib", ".pcx", ".pfm", ".dds", ".qoi", ".icns", ".cur", ".wmf", ".emf", ".xpm", ".xbm", ".sgi", ".djvu", ".ps")
    + (".jls", ".jpc", ".jph", ".jhc", ".jpg2", ".jxs", ".jng", ".mng", ".wdp", ".hdp", ".heifs", ".avifs", ".avci")
    + (".pict", ".pct", ".pic", ".ras", ".rgb", ".rgba", ".bw", ".rgbe", ".xwd", ".wbmp", ".pam", ".dpx", ".cin")
    + (".djv", ".svgz", ".cdr", ".cgm", ".psb", ".kra", ".ora", ".pdn", ".afphoto", ".fpx", ".pcd", ".dcx", ".msp")
    + (".im", ".ief", ".g3", ".t38", ".palm", ".pxr", ".bufr", ".grib", ".grb", ".grib2")
    + (".icb", ".vda", ".vst", ".rle", ".flif", ".bpg", ".ktx", ".ktx2", ".vtf", ".blp", ".ftc", ".ftu", ".gbr", ".iim")
    + (".hdf", ".h4", ".he5", ".nc", ".zarr", ".img")
    + (".dcm", ".nii", ".mha", ".mhd", ".nrrd", ".npy", ".npz", ".mat", ".fits", ".fit", ".fts", ".h5", ".hdf5")
    + (".dicom", ".ima", ".mnc", ".mgh", ".mgz", ".bil", ".bip", ".bsq", ".ecw", ".sid")
    + (".svs", ".ndpi", ".czi", ".lif", ".vsi", ".parquet", ".tfrecord", ".arrow", ".mdb")
    + (".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".ims", ".oib", ".oif", ".nd2", ".tfrecords", ".feather")
    + (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".wmv", ".flv", ".mpg", ".mpeg", ".3gp", ".mts", ".m2ts")
    + (".ts", ".vob", ".ogv", ".m1v", ".m2v", ".mpe", ".mxf", ".f4v", ".3g2", ".asf", ".rm", ".rmvb", ".dv", ".qt")
    + (".mjpeg", ".mjpg", ".h264", ".h265", ".hevc", ".y4m", ".yuv", ".divx", ".mj2", ".movie", ".fli", ".flc")
    + (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z", ".bz2", ".xz", ".zst", ".tbz2", ".txz", ".lzma", ".lz4", ".iso")
    + tuple({".avif", ".webp"} - IMAGE_SUFFIXES)
)
"""endings of pictures, films, volumes and archives that are not read, in lower case; `.ts` may be TypeScript too"""

_SYSTEM = frozenset(
    ("__macosx", "__pycache__", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "lost+found")
    + ("$recycle.bin", "system volume information", "network trash folder", "temporary items")
    + (".ipynb_checkpoints", ".appledouble", ".trash", ".trashes", ".thumbnails", ".@__thumb", ".cache", ".git", ".dvc")
    + ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "thevolumesettingsfolder", "found.000", "node_modules")
)
"""names that operating systems, disk stations and tools leave behind; lower case"""
_THUMBNAILS = frozenset(("thumbs", "thumbnails", "_thumbs", "_thumbnails", "thumb", "previews"))
"""folders of smaller copies, when they lie among images"""

_TEXTS = frozenset((".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".toml", ".md", ".html", ".py", ".ipynb"))
"""endings of files that are not looked into"""
_IMAGE_STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0{4}|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|.{4}ftypavi[fs]", re.S
)

_PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "ts"), "test"),
}
_PART_COMPANIONS = frozenset(
    ("set", "data", "dataset", "split", "seg", "images", "image", "img", "imgs", "folder", "new")
)
"""words that stand beside a part's in folder names and say nothing: seg_train, test_set, train_images"""


def part_of(name: str) -> Part | None:
    """The part that a folder or a split column means: 'Training', 'seg_train', 'TestData', 'VALID'; None for others."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]
    joined = [word.removesuffix("set") if word.removesuffix("set") in _PARTS else word for word in words]
    telling = [word for word in joined if word not in _PART_COMPANIONS]
    return _PARTS.get(telling[0]) if len(telling) == 1 else None


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden or was left behind by a system: '.DS_Store', '._x.jpg', '@eaDir'."""
    return name.startswith(".") or name.lower() in _SYSTEM


def is_image(name: str) -> bool:
    """Whether a file name is one of an image that is read; its bytes are not opened."""
    return not is_system(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


@dataclass
class LeftOut:
    """Files that were passed over, counted for one note each."""

    unread: Counter[str] = field(default_factory=Counter)
    """pictures and archives that are not read, by their ending"""
    hidden: int = 0
    """hidden files with an image's ending; side files of macOS (._x.jpg), which are no images, do not count"""
    in_hidden: Counter[str] = field(default_factory=Counter)
    """images in hidden folders, by the folder's name"""
    thumbnails: Counter[str] = field(default_factory=Counter)
    """images in folders of smaller copies, by the folder's name"""
    broken: list[str] = field(default_factory=list)
    """links to images or folders that are not there"""
    linked: int = 0
    """folders that links lead to a second time"""
    special: int = 0
    """pipes, sockets and devices with an image's ending"""
    unnamed: list[str] = field(default_factory=list)
    """images whose names do not end as an image's"""
    deeper: list[str] = field(default_factory=list)
    """images in folders below their class folder; they count, under the class folder's name"""
    beside: dict[str, int] = field(default_factory=dict)
    """images that lie beside class folders, by the folder they lie in"""

    def notes(self) -> list[str]:
        """A sentence for each kind of file that was left out."""
        notes = []
        if self.unread:
            kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in self.unread.most_common())
            notes.append(f"left out, as these kinds of files are not read: {kinds}; convert pictures to .jpg or .png")
        for folder, count in self.beside.items():
            notes.append(f"left out: {these(count, 'image')} in {folder} itself, beside the class folders")
        if self.deeper:
            what = these(len(self.deeper), "image lies", "images lie")
            first = printable(self.deeper[0])
            notes.append(
                f"{what} deeper than a class folder: '{first}' counts as '{first.partition('/')[0]}', and so on"
            )
        if self.hidden:
            notes.append(f"left out: {these(self.hidden, 'hidden image')}")
        for name, count in self.in_hidden.most_common():
            notes.append(f"left out: {these(count, 'image')} in the hidden folder '{name}'")
        for name, count in self.thumbnails.most_common():
            notes.append(f"left out: {these(count, 'smaller copy', 'smaller copies')} in folders called '{name}'")
        if self.broken:
            what = these(len(self.broken), "link leads", "links lead")
            notes.append(f"left out: {what} to what is not there, first '{self.broken[0]}'")
        if self.special:
            notes.append(f"left out: {these(self.special, 'pipe or device', 'pipes and devices')}, which are no files")
        if self.unnamed:
            what = these(len(self.unnamed), "image whose name does", "images whose names do")
            notes.append(f"left out: {what} not end as an image's, first '{self.unnamed[0]}'; add .jpg or .png")
        if self.linked:
            notes.append(f"read once: {these(self.linked, 'folder')} that links lead to again")
        return notes


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, sorted by code point, links to folders included; what systems leave behind is not.

    Raises:
        UserError: the folder may not be read.
    """
    return [path / entry.name for entry in _entries(path) if entry.is_dir() and not is_system(entry.name)]


def has_images(folder: Path) -> int:
    """How many images lie in a folder itself; its folders are not looked into."""
    return sum(is_image(entry.name) and not entry.is_dir() for entry in _entries(folder))


def images_below(path: Path, left_out: LeftOut | None = None, others: Iterable[Path] = ()) -> list[Path]:
    """Images in a folder and in the folders below, sorted by their path.

    Links are followed, but each folder is read once, and those above `path` are not read at all.

    Args:
        left_out: counts what is passed over.
        others: folders that links do not lead into either, because they are read by themselves.

    Raises:
        UserError: a folder may not be read; names it.
    """
    counts = LeftOut() if left_out is None else left_out
    own, elsewhere = _identity(path), {_identity(folder) for folder in (*path.resolve().parents, *others)}
    images = list(_walk(path, counts, elsewhere - {own}))
    return sorted(images, key=lambda image: image.relative_to(path).as_posix())


def _identity(folder: Path) -> tuple[int, int]:
    place = folder.stat()
    return place.st_dev, place.st_ino


def _walk(folder: Path, left_out: LeftOut, seen: set[tuple[int, int]]) -> Iterator[Path]:
    if (place := _identity(folder)) in seen:
        left_out.linked += 1
        return
    seen.add(place)
    for entry in _entries(folder):
        if not entry.is_dir():
            if _is_read(entry, left_out):
                yield folder / entry.name
        elif is_system(entry.name):
            _note_hidden(entry, left_out)
        elif entry.name.lower() in _THUMBNAILS:
            copies = len(images_below(folder / entry.name))
            left_out.thumbnails.update({printable(entry.name): copies} if copies else {})
        else:
            yield from _walk(folder / entry.name, left_out, seen)


def note_beside(path: Path, left_out: LeftOut) -> int:
    """How many images lie in a folder itself, where folders are expected; counts what else is passed over there."""
    images = 0
    for entry in _entries(path):
        if not entry.is_dir():
            images += _is_read(entry, left_out)
        elif is_system(entry.name):
            _note_hidden(entry, left_out)
    return images


def _note_hidden(folder: os.DirEntry[str], left_out: LeftOut) -> None:
    """Count the images in a hidden folder; what systems leave behind under names of their own is passed over."""
    if folder.name.lower() not in _SYSTEM and (images := len(images_below(Path(folder.path)))):
        left_out.in_hidden[printable(folder.name)] += images


def _is_read(file: os.DirEntry[str], left_out: LeftOut) -> bool:
    """Whether something that is no folder is an image that is read; counted where it is passed over."""
    suffix = os.path.splitext(file.name)[1].lower()
    if is_system(file.name):
        left_out.hidden += suffix in IMAGE_SUFFIXES and not file.name.startswith("._")
    elif file.is_symlink() and not os.path.exists(file.path):
        if suffix not in _TEXTS:
            left_out.broken.append(printable(file.name))
    elif suffix in IMAGE_SUFFIXES:
        left_out.special += not file.is_file()
        return file.is_file()
    elif suffix in UNREAD_SUFFIXES:
        left_out.unread[suffix] += 1
    elif suffix not in _TEXTS and is_encoded_image(Path(file.path)):
        left_out.unnamed.append(printable(file.path))
    return False


def is_encoded_image(file: Path) -> bool:
    """Whether a file begins as images that are read do; False where it cannot be opened."""
    try:
        return bool(_IMAGE_STARTS.match(regular_bytes(file, 16)))
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Sorted by code point, which does not depend on the file system or the language."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        raise UserError(
            f"{printable(folder)} cannot be read: {(problem.strerror or str(problem)).lower()}",
            "give yourself the permission to read it, or move it away",
        ) from problem


def spelled_on_disk(root: Path, path: str) -> str | None:
    """How an image's path, as a person wrote it, is spelled below `root`; None where no such file is.

    Back-slashes may separate folders, and letters with accents may be composed (NFC) or not (NFD): the file system and
    an editor often differ in that.
    """
    slashed = path.replace("\\", "/")
    for candidate in (path, slashed):
        for form in (candidate, unicodedata.normalize("NFC", candidate), unicodedata.normalize("NFD", candidate)):
            plain = Path(os.path.normpath(form)).as_posix()
            if _is_file(root / plain):
                return plain
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for the file system, or a NUL in it
        return False


def prompt_key(name: str) -> str:
    """What prompts of class names are compared by: without case, blanks, '_', what cannot be seen, forms of accents."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if not _is_unseen(letter))
    return " ".join(seen.replace("_", " ").casefold().split())


def _is_unseen(letter: str) -> bool:
    """Whether a letter leaves no mark of its own: format characters, and what chooses a variant of the one before."""
    return unicodedata.category(letter) == "Cf" or unicodedata.name(letter, "").startswith("VARIATION SELECTOR")


def same_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Two class names that one prompt stands for: they differ only in what `prompt_key` leaves out."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.get(key := prompt_key(name))) is not None:
            return other, name
        first[key] = name
    return None
