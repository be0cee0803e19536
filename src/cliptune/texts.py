"""Text files that people write, whatever editor wrote them: CSV tables, names, prompts, recipes, studies.

UTF-8, or UTF-16 and UTF-32 where a byte-order mark says so; lines may end in any of the usual ways. Another encoding is
refused, not guessed: a wrong guess would change class names without a word.
"""

import codecs
import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from cliptune.errors import UserError
from cliptune.files import LARGEST

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MEANT: Mapping[str, frozenset[str]] = {
    "image": frozenset(
        ("images", "file", "filename", "filenames", "fname", "filepath", "path", "paths", "imagepath", "imgpath", "img")
        + ("imgname", "imagename", "imageid", "imagefile", "photo", "picture", "id", "name", "url", "uri", "relpath")
    ),
    "label": frozenset(
        ("labels", "class", "classes", "classname", "category", "categoryname", "target", "targets", "tag", "tags")
        + ("labelname", "species", "breed", "diagnosis", "classid", "y", "groundtruth", "dx")
    ),
    "prompt": frozenset(("prompts", "caption", "captions", "text", "texts", "description", "phrase", "sentence")),
}
"""what other tools call our columns, without '_' and blanks"""
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")
_SHOWN = 80
"""characters of somebody's text that a message repeats"""


def read_text(path: Path, fix: str = "") -> str:
    r"""A text file with '\n' at the end of each line and without its byte-order mark.

    Args:
        fix: what to do where it cannot be read; for files that nobody writes by hand.

    Raises:
        UserError: it cannot be opened, or is not text in one of the encodings above.
    """
    try:
        size = os.stat(path).st_size
        if size > LARGEST:
            raise UserError(f"{path} has {size / 1e9:.1f} GB, too much for a text", "give a text file")
        data = Path(path).read_bytes()
    except OSError as problem:
        what = f"{path} cannot be opened: {problem.strerror or problem}"
        raise UserError(what, fix or "give a text file") from problem
    try:
        return decode_text(data, str(path))
    except UserError as problem:
        raise UserError(problem.what, fix or problem.fix) from problem


def decode_text(data: bytes, name: str) -> str:
    r"""`read_text` of bytes that are already there; `name` is what a message calls them.

    Raises:
        UserError: not text in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark.
    """
    if data.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise UserError(f"{name} is a spreadsheet or an archive, not text", "save its table as CSV (UTF-8)")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        byte = data[problem.start : problem.start + 1].hex()
        raise UserError(
            f"{name}:{line}: not UTF-8 text (byte 0x{byte})", "save it as UTF-8; in a spreadsheet: CSV UTF-8"
        ) from problem
    text = text.removesuffix("\x1a")  # an end of file as DOS wrote it
    if "\0" in text:
        raise UserError(f"{name} is not a text file", "save it as UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int
    """in the file, from 1; of a field over several lines the last"""
    fields: Mapping[str, str]
    """by column, without blanks around; '' for an optional column that the file does not have"""
    others: Mapping[str, str]
    """columns that nobody asked for, likewise"""


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """The rows of a CSV file whose first line names its columns; other columns are ignored, empty lines too.

    Fields are separated by commas, semicolons, tabs or bars, whichever lets the first line have the required columns.
    A field that holds the separator stands in double quotes. Column names are compared without case and blanks.

    Raises:
        UserError: not such a file, a required column is missing or named twice, or a line has more or fewer fields
            than the first one; names the line.
    """
    text = read_text(path)
    if text.lower().startswith("sep=") and "\n" in text:  # a line that spreadsheets write and hide
        text = "\n" + text.partition("\n")[2]
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    heading = lines[first] if first < len(lines) else ""
    separator = next((mark for mark in _SEPARATORS if not _absent(_heading(heading, mark), required)), None)
    if separator is None:
        raise _headless(path, heading, lines[first + 1 :], (*required, *optional), required)
    columns = _heading(heading, separator)
    if twice := [name for name in (*required, *optional) if columns.count(name) > 1]:
        raise UserError(f"{path} has two columns '{twice[0]}'", "keep one of them")
    reader = csv.reader(StringIO("\n".join(lines[first:])), delimiter=separator, strict=True)
    rows, ended = [], 0
    try:
        next(reader, None)
        ended = reader.line_num
        for fields in reader:
            line, ended = first + reader.line_num, reader.line_num
            if any(field.strip() for field in fields):
                values = _fields(fields, columns, separator, f"{path}:{line}", (*required, *optional))
                rows.append(Row(line, {name: values.pop(name, "") for name in (*required, *optional)}, values))
    except csv.Error as problem:
        line, unclosed = first + reader.line_num, "unexpected end" in str(problem)
        what = f"{path}:{first + ended + 1}: double quotes are not closed" if unclosed else f"{path}:{line}: {problem}"
        raise UserError(what, 'close them on that line, and write quotes within a field as ""') from problem
    return rows


def _headless(
    path: Path, heading: str, lines: Sequence[str], wanted: Sequence[str], required: Sequence[str]
) -> UserError:
    """What to say of a first line that does not name the columns.

    Args:
        lines: what follows it. wanted: all columns; `required` are those that have to be there.
    """
    if not heading:
        return UserError(f"{path} is empty", f"begin it with the line {','.join(wanted)}")
    separator = max(_SEPARATORS, key=lambda mark: len(_heading(heading, mark)))
    columns = _heading(heading, separator)
    missing = _absent(columns, required)
    what = f"{path} has no column '{missing[0]}' (its first line: {_shortened(heading)})"
    return UserError(
        what, _named_by(columns, separator, missing) or _header_for(columns, separator, lines, wanted, required)
    )


def _named_by(columns: Sequence[str], separator: str, missing: Sequence[str]) -> str:
    """Advice where the first line names the columns, in other words; '' where it does not."""
    known = {
        name: next((column for column in columns if re.sub(r"[\s_]", "", column) in _MEANT[name]), "")
        for name in missing
    }
    renamed = " and ".join(f"'{column}' {name}" for name, column in known.items())
    return f"in its first line, call {renamed}" if all(known.values()) else ""


def _header_for(
    columns: Sequence[str], separator: str, lines: Sequence[str], wanted: Sequence[str], required: Sequence[str]
) -> str:
    """Advice where the first line may be anything: a comment, quoted whole, a column per class, or data."""
    full, short = ",".join(wanted), ",".join(required)
    if columns[0].startswith("#"):
        return f"remove the comment; the first line names the columns, as {full}"
    if len(columns) == 1 and any(not _absent(_heading(columns[0], mark), required) for mark in _SEPARATORS):
        return "remove the double quotes around each line"
    if columns[0].endswith(_IMAGE_ENDINGS) and len(columns) == 1:
        return f"a list says more than the images' names: begin it with the line {short}, and add the rest to each line"
    if len(columns) == 1:
        return f"separate its columns with commas, and begin it with the line {short}"
    second = _heading(next((line for line in lines if line.strip()), ""), separator)
    if len(second) > 2 and "label" in required and {*second[1:]} <= {"0", "1", "0.0", "1.0"}:
        return f"columns of 0 and 1 per class are not read: write the class's name in one column, as {short}"
    names = separator.join([*wanted, *(f"column{number}" for number in range(len(columns)))][: len(columns)])
    if any(column.endswith(_IMAGE_ENDINGS) or "/" in column for column in columns):
        return f"put a line above it that names the columns, as {names.strip()}"
    return f"call its columns {' and '.join(required)} in the first line, or, if that is data, put {names} above it"


def _heading(line: str, separator: str) -> list[str]:
    """Column names, lower case; '' where the line cannot be read with that separator."""
    try:
        fields = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return []
    return [field.strip().lower() for field in fields]


def _absent(columns: Sequence[str], required: Sequence[str]) -> list[str]:
    return [name for name in required if name not in columns]


def _fields(
    fields: Sequence[str], columns: Sequence[str], separator: str, where: str, wanted: Sequence[str]
) -> dict[str, str]:
    surplus = [field.strip() for field in fields[len(columns) :] if field.strip()]
    if surplus or len(fields) < len(columns):
        mark = _SEPARATORS[separator]
        count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        raise UserError(
            f"{where} has {count}, the first line {len(columns)}: {_shortened(separator.join(fields))}",
            f'put a field with {mark} in it in double quotes, as "{fields[-2].strip()}{separator}{fields[-1]}"'
            if surplus
            else f"give every line {len(columns)} fields, separated by {mark}",
        )
    values = {name: field.strip() for name, field in zip(columns, fields, strict=False)}
    for name in wanted:
        if "\n" in values.get(name, ""):
            raise UserError(f"{where}: a field goes over several lines", "close the double quotes before the line ends")
    return values


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
