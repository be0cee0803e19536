"""`cliptune predict`: classify image files with a finished run."""

import sys
from typing import Annotated

import typer

from cliptune.cli import options, output


def predict(
    run: options.RunFolder,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders, or '-' for paths on standard input.")
    ],
    top: Annotated[int, typer.Option(help="Classes to name per image.")] = 1,
    json: options.Json = False,
) -> None:
    """Classify images.

    cliptune predict runs/dora-photos-16shot-s1 new/*.jpg
    """
    from cliptune.predict import image_files
    from cliptune.runs import Run

    opened = Run.open(run)
    names: list[str] = []
    for path in paths:
        names += [line.rstrip("\n") for line in sys.stdin if line.strip()] if path == "-" else [path]
    found = opened.predict(image_files(names), top=top)
    for row in found:
        ranked = "  ".join(f"{name} {output.percent(p)}" for name, p in row["top"])
        output.say(f"{row['path']}  {ranked}")
    output.result({"run": str(run), "predictions": found})
