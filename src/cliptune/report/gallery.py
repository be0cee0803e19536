"""The images of a report: thumbnails of the run folder, small enough to travel inside the page."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from cliptune.datasets.images import decode, opened, regular_bytes
from cliptune.errors import UserError
from cliptune.report import words
from cliptune.report.blocks import Block, Gallery, Picture, Text
from cliptune.report.read import PerImage, Predictions, Record

SIDE = 112
MOST = 12
LARGEST_BYTES, LARGEST_PIXELS = 1 << 20, 1 << 18
"""of a thumbnail: `train` writes at most 160 pixels a side, which as uncompressed PNG is a tenth of both"""
EXPLAINED = {
    "fixed": ("Fixed", "zero-shot was wrong, now right"),
    "broken": ("Broken", "zero-shot was right, now wrong"),
    "best": ("Best", "right, with the highest confidence; without the images above"),
    "worst": ("Worst", "wrong, with the highest confidence; without the images above"),
}
ABOVE = {"best": "fixed", "worst": "broken"}
"""kinds whose images leave out what another kind shows"""


def galleries(record: Record) -> list[Block]:
    """Fixed, broken, best and worst images; an empty kind says so in words."""
    chosen = record.section("gallery")
    if not chosen or record.predictions is None:
        return [no_thumbnails()]
    blocks: list[Block] = []
    for key in dict.fromkeys([*EXPLAINED, *chosen]):
        title, meaning = EXPLAINED.get(key, (words.short(key, 30).capitalize(), ""))
        listed = rows_of(chosen.get(key), record.predictions)
        above = rows_of(chosen.get(ABOVE.get(key, "")), record.predictions)
        rows = [row for row in listed if row not in above]
        if not rows:
            blocks.append(Text(f"{title}: all of them stand above.") if listed else none_of(title, meaning))
            continue
        shown = f"{meaning}; {MOST} of {len(rows)} shown" if len(rows) > MOST else meaning
        blocks.append(Gallery(title, shown, [picture(record, record.predictions, row) for row in rows[:MOST]]))
    return blocks


def no_thumbnails() -> Text:
    return Text(f"Images: {words.NOT_MEASURED}; this run kept no thumbnails.", missing=True)


def rows_of(listed: Any, after: PerImage) -> list[int]:
    """The rows that run.json chose of a kind, without what is no row of the predictions: a file can be edited."""
    rows = [row for row in listed if isinstance(row, int)] if isinstance(listed, list) else []
    return [row for row in rows if 0 <= row < len(after)]


def none_of(title: str, meaning: str) -> Text:
    """A kind of images that no image is of."""
    return Text(f"{title}{f' ({meaning})' if meaning else ''}: none.", missing=True)


def file_of(after: PerImage, row: int) -> str:
    """The name of an image's file without its folders, on whichever system the run was written."""
    return PurePosixPath(after.paths[row].replace("\\", "/")).name


def picture(record: Record, after: Predictions, row: int) -> Picture:
    before = record.zero_shot_predictions
    same = before is not None and len(before) == len(after) and before.paths[row] == after.paths[row]
    return Picture(
        source=thumbnail(record.folder / "thumbnails" / f"{row}.png"),
        label=after.labels[row],
        after=f"{after.guesses[row]} {words.percent(after.scores[row].item())}",
        before=f"{before.guesses[row]} {words.percent(before.scores[row].item())}"
        if before is not None and same
        else "",
        file=file_of(after, row),
        right=bool(after.labels[row] == after.guesses[row]),
    )


def stored_thumbnail(path: Path) -> Image.Image | None:
    """A thumbnail of a run folder as RGB. A run folder may come from a stranger, so None for what `train` never writes:
    no image, a link, a pipe, a file or an image too large for a thumbnail."""
    if path.is_symlink() or path.parent.is_symlink():
        return None
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return None
        data = regular_bytes(path)
        with opened(data) as header:
            if header.width * header.height > LARGEST_PIXELS:
                return None
        return decode(data, path.name)
    except (OSError, UserError, Image.DecompressionBombError):
        return None


def thumbnail(path: Path, side: int = SIDE) -> str:
    """A data URI of at most `side` pixels a side, the smaller of PNG and JPEG; empty where there is no such image."""
    image = stored_thumbnail(path)
    if image is None:
        return ""
    image.thumbnail((side, side))
    found: list[tuple[str, bytes]] = []
    options: Mapping[str, Mapping[str, Any]] = {"png": {"optimize": True}, "jpeg": {"quality": 82}}
    for kind, chosen in options.items():
        written = io.BytesIO()
        image.save(written, kind, **chosen)
        found.append((kind, written.getvalue()))
    kind, data = min(found, key=lambda each: len(each[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
