"""`cliptune report`: run folders to one HTML file, CSV and Markdown."""

from pathlib import Path
from typing import Annotated

import typer

from cliptune.cli import options, output


def report(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Run folders, or folders that hold some.")],
    out: Annotated[Path | None, typer.Option(help="HTML file. [default: RUN/report.html, or comparison.html]")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Every figure too, as PNG and SVG. [default: RUN/plots]")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="The tables too, as .tex beside the HTML.")] = False,
    json: options.Json = False,
) -> None:
    """One HTML file about a run, or comparing several.

    It needs nothing else; CSV and Markdown are written beside it.

    cliptune report runs/* --plots figures --latex
    """
    from cliptune.report.page import write_report

    folders = find_runs(paths)
    written = write_report(
        folders, out or (folders[0] / "report.html" if len(folders) == 1 else Path("comparison.html")), plots, latex
    )
    for path in written:
        output.say(str(path))
    output.say(f"open {written[0]} in a browser")
    output.result({"runs": [str(folder) for folder in folders], "files": [str(path) for path in written]})


def find_runs(paths: list[Path]) -> list[Path]:
    """Run folders among `paths` and directly below them, each once.

    Raises:
        UserError: a path holds no run.
    """
    from cliptune.errors import UserError
    from cliptune.files import user_path

    folders: list[Path] = []
    for path in map(user_path, paths):
        below = sorted(record.parent for record in path.glob("*/run.json"))
        if (path / "run.json").is_file():
            folders.append(path)
        elif below:
            folders += below
        else:
            raise UserError(f"{path}: no run there", "give run folders, like runs/dora-digits-16shot-s1 or runs/*")
    return list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]
