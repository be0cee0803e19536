"""What a notebook shows of a data set or a run: a small table. Every text in it is escaped."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from cliptune.files import short

if TYPE_CHECKING:
    from cliptune.datasets.base import ImageSet
    from cliptune.datasets.segmentation import MaskSet
    from cliptune.runs import Run

SHOWN = 20
"""classes that are listed"""


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A captioned HTML table."""
    lines = [f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows]
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def of_images(imageset: "ImageSet") -> str:
    """How many images there are in each part, in all and of the first classes."""
    from cliptune.datasets.base import distinct

    parts = {"train": imageset.train, "val": imageset.val, "test": imageset.test}
    counts = [Counter(item.label for item in items) for items in parts.values()]
    rows = [("all classes", *(f"{len(items):,}" for items in parts.values()))]
    for label, name in enumerate(distinct(imageset.classes)[:SHOWN]):
        rows.append((name, *(f"{count[label]:,}" for count in counts)))
    if (more := len(imageset.classes) - SHOWN) > 0:
        rows.append((f"and {more:,} more", "", "", ""))
    title = f"{imageset.name}: {len(imageset.classes):,} classes, split {imageset.split}"
    return table(title, ("class", *parts), rows)


def of_masks(maskset: "MaskSet") -> str:
    """How many images with masks there are in each part."""
    parts = {"train": maskset.train, "val": maskset.val, "test": maskset.test}
    row = ("images with masks", *(f"{len(items):,}" for items in parts.values()))
    return table(f"{maskset.name}: split {maskset.split}", ("", *parts), [row])


def of_run(run: "Run") -> str:
    """Zero-shot and adapted: what leads, then a row for each test; below it what the run's numbers need told."""
    from cliptune.notes import after_run
    from cliptune.report.leading import leading_of

    rows: list[tuple[str, ...]] = []
    lead = leading_of(run.record)
    if lead is not None:
        ends = ("" if each is None else f"{100 * each:.1f}" for each in (lead.before, lead.after))
        rows.append((lead.title, *ends, "", ""))
    for name in run.tests:
        before, after = run.before(name)[run.score], run.metrics[name]
        low, high = (100 * end for end in after["interval"])
        cells = (f"{100 * before:.1f}", f"{100 * after[run.score]:.1f}", f"{low:.1f}–{high:.1f}", f"{after['n']:,}")
        rows.append((name, *cells))
    head = (f"{run.score}, %", "zero-shot", "adapted", "95 %", "images")
    shown = table(f"{run.record.get('method', 'run')}: {short(run.folder)}", head, rows)
    return shown + "".join(f"<p>Note: {'<br>'.join(map(escape, note))}</p>" for note in after_run(run))
