"""What a report page is made of, before it is HTML or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from cliptune.report import words
from cliptune.report.tables import Column, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["gain", "loss", "even", "unknown"]


class Cell(NamedTuple):
    text: str
    order: float | str | None
    """what the column is sorted by"""


@dataclass(frozen=True)
class Text:
    """A paragraph. `missing` sets apart what was not measured."""

    kind: ClassVar[str] = "text"
    text: str
    missing: bool = False


@dataclass(frozen=True)
class Items:
    """A list of sentences, folded away when long."""

    kind: ClassVar[str] = "items"
    title: str
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    kind: ClassVar[str] = "table"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    folded: bool = False

    @cached_property
    def cells(self) -> list[list[Cell]]:
        return [
            [_cell(column.show(row.get(column.key)), row.get(column.key)) for column in self.columns]
            for row in self.rows
        ]

    @cached_property
    def numeric(self) -> list[bool]:
        """A column is set flush right where all it says is numbers."""
        return [
            i > 0 and bool(self.columns[i].title) and all(words.reads_as_number(row[i].text) for row in self.cells)
            for i in range(len(self.columns))
        ]


def _cell(text: str, value: Any) -> Cell:
    if isinstance(value, tuple | list) and value:
        value = value[0]
    number = words.number(value)
    return Cell(text, number if number is not None or value is None else str(value).casefold())


@dataclass(frozen=True)
class Drawing:
    """A figure with what a reader who cannot see it gets instead."""

    kind: ClassVar[str] = "drawing"
    name: str
    figure: "Figure"
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Picture:
    """One test image. `source` is a data URI, empty where there is no thumbnail."""

    source: str
    label: str
    after: str
    before: str
    file: str
    right: bool


@dataclass(frozen=True)
class Gallery:
    kind: ClassVar[str] = "gallery"
    title: str
    explained: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Panel:
    """One of the pictures of a test image that stand beside each other."""

    source: str
    """a data URI, empty where there is no thumbnail"""
    name: str
    alt: str


@dataclass(frozen=True)
class Triptych:
    """One test image: as it is, as answered before and after."""

    panels: Sequence[Panel]
    said: str
    beside: str
    file: str


@dataclass(frozen=True)
class Overlays:
    """Test images with the marked masks drawn over them."""

    kind: ClassVar[str] = "overlays"
    title: str
    explained: str
    images: Sequence[Triptych]


Block = Text | Items | Table | Drawing | Gallery | Overlays


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Block]


class Tile(NamedTuple):
    """A number to be seen first."""

    name: str
    value: str
    beside: str


@dataclass(frozen=True)
class Verdict:
    """The answer in words. `kind` is what the numbers allow to say, never more."""

    kind: Kind
    lead: str
    sentences: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    verdict: Verdict
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    rows: Sequence[Row] = field(default_factory=list)
    """a line per run, for the CSV"""

    @property
    def drawings(self) -> list[Drawing]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Drawing)]
