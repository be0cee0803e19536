"""How every plot looks, and the two ways out of a Figure: inline SVG and PNG. No pyplot, no global state."""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cliptune.files import write_whole

INK = "#24292f"
"""text and lines; becomes the page's own text colour in inline SVG, so that a dark page stays readable"""
PAPERS = ("#ffffff", "#14181d")
"""the page's ground, light and dark; every colour of a mark has a contrast of at least 3 : 1 on both (WCAG 1.4.11)"""
BEFORE, AFTER = "#b87300", "#1a7fc1"
NEUTRAL = "#818a94"
SERIES = ("#1a7fc1", "#d55e00", "#009e73", "#c26a9c", "#b87300", "#3590cf", "#7f7f7f")
"""after Okabe and Ito, the light ones darker and the dark one lighter"""
CHANCE_DASH = (0, (6, 3))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\")

STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,  # a class may be called "$5 note"
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": NEUTRAL,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.7,
    "errorbar.capsize": 2.5,
    "svg.fonttype": "none",  # text stays text: half the bytes, selectable, read aloud
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}

P = ParamSpec("P")


@contextmanager
def style() -> Iterator[None]:
    """The theme, for the time of drawing or writing one figure."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():  # type: ignore[arg-type]
        # A class name in a script the drawing font lacks is measured a little wrong; the browser has the glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def themed(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A plot function that draws in the theme whoever calls it."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return inside


def canvas(width: float = 5.2, height: float = 3.4) -> tuple[Figure, Axes]:
    """One empty plot, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def series(index: int) -> dict:
    """Colour, marker and dash of the `index`-th series: no two of the first 35 share all three."""
    return {
        "color": SERIES[index % len(SERIES)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
    }


def svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element to put into a page; ids carry `name`, so that two figures never share one."""
    text = io.StringIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.set_layout_engine("none")  # laid out once: a PNG of the same figure is then drawn in half the time
    found = text.getvalue()
    found = found[found.index("<svg") :].strip()
    found = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", found, flags=re.DOTALL)
    found = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", found, count=1)
    found = re.sub(r'(<g) id="[^"]*"', r"\1", found)  # 'axes_1' in every figure; the ids that are used are salted
    return re.sub(r">\s+<", "><", found.replace(INK, "currentColor"))


def png(figure: Figure, path: Path) -> Path:
    """The figure as a PNG on white, for slides and mails."""
    with style():
        write_whole(path, lambda half: figure.savefig(half, format="png", dpi=150, facecolor="white"))
    return path


def svg_file(figure: Figure, path: Path) -> Path:
    """The figure as an SVG of its own, on white, text as outlines: the same wherever it is opened."""
    with style(), matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "path"}):
        write_whole(path, lambda half: figure.savefig(half, format="svg", facecolor="white", metadata={"Date": None}))
    return path
