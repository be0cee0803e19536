"""Images as a person gives them: files, folders, images in memory; one, or many of them.

What cannot be read is no reason to refuse the others, so nothing is opened before its turn: a missing file, an empty
folder and a broken image all fail when their `Picture` is read.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Union

import numpy as np
from PIL import Image

from cliptune.datasets.base import ImageSet
from cliptune.datasets.images import IMAGE_SUFFIXES, decode, printable, read_file, upright_rgb
from cliptune.datasets.places import LeftOut, images_below, spelled_on_disk
from cliptune.errors import UserError
from cliptune.files import instead_of_address
from cliptune.progress import Bar

One = Union[str, "os.PathLike[str]", Image.Image, np.ndarray, bytes, io.IOBase]
"""one image, or a folder of them: a path; a PIL image; an array; an encoded file's bytes, or an open binary file"""
Images = One | Iterable[One]
Answer = dict[str, Any]
"""what is answered for one image, `path` first; see `Run.predict` and `Run.mark`"""
TABLE = ("path", "prediction", "score")
"""first columns of a table of answers, those of the classes' probabilities come behind"""

_FILES = "give image files or folders"
_ARRAYS = "give uint8 [h w 3] (RGB) or [h w] (grey), values 0 to 255"
_KINDS = "give a path, a PIL image, an array or the bytes of an image file"


@dataclass(frozen=True)
class Picture:
    """One image that has not been read yet."""

    name: str
    """its path as it was given, or 'image 3' for the third one, if that has no path"""
    read: Callable[[], Image.Image] = field(repr=False, compare=False)
    """decode it to upright RGB; raises UserError saying what is wrong"""
    problem: UserError | None = None
    """what is wrong, where that is known without opening it"""


def pictures(images: Images, left_out: LeftOut | None = None) -> list[Picture]:
    """The images that are meant, in order; a folder stands for all images below it, sorted by path.

    Args:
        images: one image or folder, or any iterable of them: paths (`str`, `Path`), PIL images, uint8 arrays [h w 3],
            [h w] or [n h w 3], the bytes of image files, open binary files.
        left_out: counts what folders hold and is not read, as in training; without it a warning says so.

    Raises:
        UserError: something among them is none of these; there is nothing at all, or nothing that exists.
    """
    passed_over = LeftOut() if left_out is None else left_out
    listed = [p for number, one in enumerate(_ones(images), 1) for p in _pictures(one, number, passed_over)]
    if left_out is None:
        for note in passed_over.notes():
            warnings.warn(note, stacklevel=4)  # the line that called Run.predict or Run.mark
    if not listed:
        raise UserError("no images", f"{_FILES}, or '-' for paths on standard input")
    problems = [picture.problem for picture in listed if picture.problem]
    if len(problems) == len(listed):
        raise none_readable(problems)
    return listed


def _ones(images: Any) -> Iterator[Any]:
    if isinstance(images, np.ndarray) and (images.ndim == 4 or images.dtype.kind in "OSU"):
        yield from images
    elif _is_one(images):
        yield images
    elif isinstance(images, Mapping) and not all(
        isinstance(key, str | os.PathLike) and os.path.exists(key) for key in images
    ):
        raise UserError("the images are given as a dictionary", "give its values: list(images.values())")
    elif hasattr(images, "columns") and hasattr(images, "iloc"):
        raise UserError("the images are given as a data frame", "give its column of paths: frame['path']")
    elif _is_tensor(images):
        raise UserError(f"image 1 is {_kind(images)}", _of_tensor(images))
    elif isinstance(images, Iterable):
        yield from images
    else:
        raise UserError(f"{_kind(images)} is no image", _KINDS)


def _is_one(value: Any) -> bool:
    kinds = (str, os.PathLike, Image.Image, np.ndarray, bytes, bytearray, memoryview)
    return isinstance(value, kinds) or _is_file(value)


def _is_file(value: Any) -> bool:
    """Whether that is an open file, or something like one; a data set has a `read` too."""
    return callable(getattr(value, "read", None)) and not isinstance(value, ImageSet)


def _pictures(one: Any, number: int, left_out: LeftOut) -> list[Picture]:
    name = f"image {number}"
    if isinstance(one, str | os.PathLike):
        return _of_path(os.fspath(one), left_out)
    if isinstance(one, Image.Image):
        return [Picture(name, partial(_read, _KINDS, upright_rgb, one, name))]
    if isinstance(one, np.ndarray):
        return [Picture(name, partial(_of_array, one, name))]
    if isinstance(one, bytes | bytearray | memoryview):
        return [Picture(name, partial(_read, _KINDS, decode, bytes(one), name))]
    if _is_file(one):
        return [Picture(name, partial(_read, _KINDS, decode, _content(one, name), name))]
    raise UserError(f"{name} is {_kind(one)}", _of_tensor(one) if _is_tensor(one) else _KINDS)


def _content(file: Any, name: str) -> bytes:
    """What is left to read of an open file."""
    if getattr(file, "closed", False):
        raise UserError(f"{name} is a file that is closed", "open it with mode 'rb', or give its path")
    data = None if isinstance(file, io.TextIOBase) else file.read()
    if not isinstance(data, bytes):
        raise UserError(f"{name} is a file opened as text", "open it with mode 'rb', or give its path")
    return data


def _is_tensor(value: Any) -> bool:
    """Whether it is torch's, without importing torch."""
    return callable(getattr(value, "numpy", None)) and callable(getattr(value, "permute", None))


def _of_tensor(value: Any) -> str:
    """What makes images of a tensor [3 h w] or [n 3 h w], as torchvision has them, or of one that has colours last."""
    shape = tuple(value.shape)
    first = len(shape) in (3, 4) and shape[-3] in (1, 3, 4) and shape[-1] not in (1, 3, 4)
    turned = f".permute({'0, 2, 3, 1' if len(shape) == 4 else '1, 2, 0'})" if first else ""
    scaled = "(255 * tensor)" if value.is_floating_point() else "tensor"
    return f"give an array of it: {scaled}{turned}.byte().cpu().numpy()"


def _of_path(given: str | bytes, left_out: LeftOut) -> list[Picture]:
    text = os.fsdecode(given)
    name = printable(text)
    if not text.strip() or "\0" in text:
        return [_bad(name, f"{text!r} is no file name")]
    path = Path(os.path.expanduser(text))
    if not path.exists() and Path(os.path.expanduser(_bare(text))).exists():
        path = Path(os.path.expanduser(_bare(text)))
        name = printable(_bare(text))
    if path.is_dir():
        try:
            below = images_below(path, left_out)
        except UserError as problem:
            return [_bad(name, problem.what, problem.fix)]
        if not below:
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
            return [_bad(name, f"{name}: no images below that folder", f"images end in {suffixes}")]
        return [Picture(printable(file), partial(_read, _FILES, read_file, file)) for file in below]
    if not path.is_file() and (spelled := spelled_on_disk(Path(), str(path))) is not None:
        path = Path(spelled)
        name = printable(path)
    if not path.is_file():
        what = "is not a file" if path.exists() else "no such file or folder"
        return [_bad(name, f"{name}: {what}", _instead_of(text))]
    listed = path.suffix.lower() in (".txt", ".csv", ".tsv", ".lst")
    fix = f"{_FILES}; for a list of paths: cliptune predict RUN - < {name}" if listed else _FILES
    return [Picture(name, partial(_read, fix, read_file, path))]


def _bare(text: str) -> str:
    """A line of a list without the blanks around it and the quotes that some systems put round a copied path."""
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _instead_of(text: str) -> str:
    """What to do about a path where nothing is."""
    if "://" in text:
        return instead_of_address(text)
    return "patterns are for the shell; in Python: glob.glob(…)" if set("*?[") & set(text) else _FILES


def _read(fix: str, work: Callable[..., Image.Image], *given: Any) -> Image.Image:
    """What `work` makes of `given`; its own fixes are for data sets, and `fix` takes their place."""
    try:
        return work(*given)
    except UserError as problem:
        raise UserError(problem.what, fix) from problem


def _bad(name: str, what: str, fix: str = _FILES) -> Picture:
    problem = UserError(what, fix)

    def refuse() -> Image.Image:
        raise problem

    return Picture(name, refuse, problem)


def _of_array(values: np.ndarray, name: str) -> Image.Image:
    shape = " ".join(map(str, values.shape))
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or not values.size:
        raise UserError(f"{name} is an array of {values.dtype} [{shape}]", _ARRAYS + _scaled(values))
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim == 3 and values.shape[2] not in (3, 4):
        turn = ": array.transpose(1, 2, 0)" if values.shape[0] in (1, 3, 4) else ""
        raise UserError(f"{name} is an array [{shape}], and its last axis is no colour", _ARRAYS + turn)
    return upright_rgb(Image.fromarray(np.ascontiguousarray(values)), name)


def _scaled(values: np.ndarray) -> str:
    """What makes bytes of an array's numbers, where that can be told from them."""
    if values.dtype.kind not in "bfiu" or not values.size or values.dtype == np.uint8:
        return ""
    lowest, highest = float(values.min()), float(values.max())
    if values.dtype.kind in "bf" and lowest >= 0 and highest <= 1:
        return ": (255 * array).astype('uint8')" if values.dtype.kind == "f" else ": 255 * array.astype('uint8')"
    return ": array.astype('uint8')" if lowest >= 0 and highest <= 255 else ""


def whole_number(value: Any, name: str) -> int:
    """A number from 1 on, Python's or numpy's.

    Raises:
        UserError: it is another value.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise UserError(f"{name} = {value!r}", "expected a whole number from 1 on")
    if value < 1:
        raise UserError(f"{name} = {value}", "it must be at least 1")
    return int(value)


def share(value: Any, closed: bool = False) -> Any:
    """A threshold: a probability, Python's or numpy's number; None where none is given.

    Args:
        closed: whether 0 and 1 are allowed.

    Raises:
        UserError: it is another value.
    """
    if value is None:
        return None
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not (0 < value < 1 or (closed and value in (0, 1))):
        percent = f"; {value} % is {value / 100:g}" if number and 1 < value < 100 else ""
        raise UserError(
            f"threshold = {value!r}" if not number else f"threshold = {value}",
            f"give a probability between 0 and 1, like 0.5{percent}",
        )
    return float(value)


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def collected(
    images: Sequence[Picture], answers: Iterable[Answer | UserError], nothing: Answer, skip_bad: bool, bar: Bar
) -> list[Answer]:
    """The answers in the order of the images. What cannot be read is left out, or warned of and answered by `nothing`.

    Raises:
        UserError: not one image can be read.
    """
    rows, bad = list[Answer](), list[UserError]()
    for picture, answer in zip(images, answers, strict=True):
        bar.step()
        if not isinstance(answer, UserError):
            rows.append(answer)
            continue
        bad.append(answer)
        if not skip_bad:
            rows.append({"path": picture.name, **nothing, "error": answer.what})
    if len(bad) == len(images):
        raise none_readable(bad)
    if bad and not skip_bad:
        first = ", first" if len(bad) > 1 else ""
        what = f"{len(bad):,} of {len(images):,} images cannot be read{first}: {bad[0].what}"
        warnings.warn(what, stacklevel=4)  # the line that called Run.predict or Run.mark
    return rows


def attempted(picture: Picture) -> Image.Image | UserError:
    """The image, or what is wrong with it; without the traceback, which would keep the file's bytes in memory."""
    try:
        return picture.read()
    except UserError as problem:
        return UserError(problem.what, problem.fix)
    except MemoryError:
        return UserError(f"{picture.name}: there is not enough memory to decode it", "make it smaller")


def none_readable(problems: Sequence[UserError]) -> UserError:
    """What to say where not one image could be read."""
    if len(problems) == 1:
        return problems[0]
    return UserError(f"none of {len(problems):,} images can be read, first: {problems[0].what}", problems[0].fix)
