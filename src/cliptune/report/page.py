"""`write_report`: run folders → one HTML file that needs nothing else; beside it CSV, Markdown and, if asked, LaTeX."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from cliptune.errors import UserError
from cliptune.files import refuse_linked_folders, user_path, write_text
from cliptune.report import one_run, segment_one, segment_several, several_runs, theme
from cliptune.report.blocks import Block, Drawing, Gallery, Items, Overlays, Page, Table, Text
from cliptune.report.read import home_of, read_record, read_run
from cliptune.report.segment_read import read_segment_record
from cliptune.report.segment_words import SEGMENT
from cliptune.report.writing import markdown_text, to_csv, to_latex, to_markdown

TEMPLATE = "template.html.j2"
GENERATOR, HEAD = b'name="generator" content="cliptune"', 1000
"""what stands in the first bytes of every page"""
CLASSIFY = "classify"
"""the task of a run that names none"""


class Pages(NamedTuple):
    """How a task's folders are read and what pages are made of one and of several."""

    read: Callable[[Path], Any]
    one: Callable[[Any], Page]
    several: Callable[..., Page]
    """records and, if there are some, their labels and where papers report them"""


PAGES = {
    CLASSIFY: Pages(read_record, one_run.page_of, several_runs.page_of),
    SEGMENT: Pages(read_segment_record, segment_one.page_of, segment_several.page_of),
}


def write_report(
    folders: Sequence[Path], out: Path | None = None, plots: Path | None = None, latex: bool = False
) -> list[Path]:
    """Write the report of one run, or of several compared.

    Args:
        folders: run folders.
        out: the HTML file. Left out: `report.html` in the run's folder, with `plots/` beside it; of several runs,
            `comparison.html` where you are.
        plots: a folder for every figure as PNG and SVG; in the run's own folder they are always written.
        latex: a .tex file beside the HTML with every table of the page.

    Returns:
        every file written, the HTML first.

    Raises:
        UserError: no folder given, one that holds no finished run or a link that leads out of it, or runs of different
            tasks.
    """
    if not folders:
        raise UserError("there is no run to report on", "name one or more run folders: cliptune report runs/*")
    homes = list(dict.fromkeys(home_of(Path(folder)) for folder in folders))
    home, alone = homes[0], len(homes) == 1
    out = user_path(out or (home / "report.html" if alone else "comparison.html"))
    refuse_foreign(out, latex)
    plots = user_path(plots) if plots else None
    if plots is None and alone and out == home / "report.html":
        refuse_linked_folders(home)
        plots = home / "plots"
    page = page_of(homes)
    texts = {out: render(page), out.with_suffix(".csv"): to_csv(page.rows), out.with_suffix(".md"): markdown(page)}
    if latex:
        texts[out.with_suffix(".tex")] = tex(page)
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *(write_figures(page, plots) if plots else [])]


def refuse_foreign(out: Path, latex: bool = False) -> None:
    """Refuse a name that is no page's, or a place where the page or its tables would replace files of another origin.

    Tables are known as ours by the page beside them.

    Raises:
        UserError: see above.
    """
    if out.is_dir():
        raise UserError(f"cannot write {out}: it is a folder", f"give a file name in it: {out / 'report.html'}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"{out}: a report is an HTML page, with CSV and Markdown beside it", f"give {out.with_suffix('.html')}"
        )
    fix = "give another name, or move that file"
    if out.is_file():
        with out.open("rb") as file:
            if GENERATOR not in file.read(HEAD) and file.seek(0, os.SEEK_END) != 0:
                raise UserError(f"{out} exists and was not written by `report`", fix)
        return
    tables = [out.with_suffix(suffix) for suffix in (".csv", ".md", *([".tex"] if latex else []))]
    if there := [path for path in tables if path.exists()]:
        raise UserError(f"{there[0]} exists, and no {out.name} of `report` lies beside it", fix)


def page_of(folders: Sequence[Path]) -> Page:
    """The page of one run folder, or of several whose runs are of one task.

    Raises:
        UserError: a folder that holds no finished run, an unknown task, or runs of different tasks.
    """
    tasks: dict[str, Path] = {}
    for folder in folders:
        task = str(read_run(folder).get("task") or CLASSIFY)
        if task not in PAGES:
            raise UserError(f"{folder}: no report knows the task {task!r}", f"give runs of: {', '.join(PAGES)}")
        tasks.setdefault(task, folder)
    if len(tasks) > 1:
        told = ", ".join(f"{folder} is a run of the task '{task}'" for task, folder in tasks.items())
        raise UserError(f"runs of different tasks have no measure in common: {told}", "report each task's runs apart")
    pages = PAGES[next(iter(tasks))]
    records = [pages.read(folder) for folder in folders]
    return pages.one(records[0]) if len(records) == 1 else pages.several(records)


def write_figures(page: Page, folder: Path) -> list[Path]:
    """Every figure of the page as PNG and SVG."""
    return [
        write(drawing.figure, folder / f"{drawing.name}.{kind}")
        for drawing in page.drawings
        for kind, write in (("png", theme.png), ("svg", theme.svg_file))
    ]


def render(page: Page) -> str:
    """The page as one HTML document without outside resources."""
    return _template().render(page=page)


@cache
def _template() -> Template:
    """Compiled once: that takes as long as a small figure."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["svg"] = lambda drawing: Markup(theme.svg(drawing.figure, drawing.name))
    return environment.get_template(TEMPLATE)


def unbroken(value: Any) -> Any:
    """A line never ends between a number and its sign."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


def markdown(page: Page) -> str:
    """The same page in words and tables; figures by their captions' alternative text."""
    lines = [f"# {markdown_text(page.title)}", "", markdown_text(page.subtitle), ""]
    lines += [f"**{markdown_text(page.verdict.lead)}** " + markdown_text(" ".join(page.verdict.sentences)), ""]
    for section in page.sections:
        lines += [f"## {markdown_text(section.title)}", ""]
        for block in section.blocks:
            lines += [_markdown_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def tex(page: Page) -> str:
    """Every table of the page that has headings, each with its title as caption; needs booktabs."""
    found = [
        to_latex(block.rows, block.columns, block.title or section.title)
        for section in page.sections
        for block in section.blocks
        if isinstance(block, Table) and any(column.title for column in block.columns)
    ]
    return "\n".join([rf"% {' '.join(page.title.split())}; \usepackage{{booktabs}}", "", *found])


def _markdown_block(block: Block) -> str:
    match block:
        case Text():
            return markdown_text(block.text)
        case Items():
            return "\n".join(
                [f"{markdown_text(block.title)}:", "", *(f"- {markdown_text(each)}" for each in block.items)]
            )
        case Table():
            title = f"{markdown_text(block.title)}\n\n" if block.title else ""
            return title + to_markdown(block.rows, block.columns).rstrip()
        case Drawing():
            return f"*{markdown_text(block.alt)}* {markdown_text(block.caption)}"
        case Gallery():
            told = [f"{each.file} ({each.label}): {each.after}" for each in block.pictures]
            return f"{markdown_text(block.title)} ({markdown_text(block.explained)}): {markdown_text('; '.join(told))}"
        case Overlays():
            told = [f"{each.file}: {each.said}" for each in block.images]
            return f"{markdown_text(block.title)} ({markdown_text(block.explained)}): {markdown_text('; '.join(told))}"
