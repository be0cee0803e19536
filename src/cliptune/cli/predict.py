"""`cliptune predict`: classify image files with a finished run, or mark what a prompt names in them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cliptune.cli import options, output


def predict(
    run: options.RunFolder,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders, or '-' for paths on standard input.")
    ],
    top: Annotated[int | None, typer.Option(help="Classes to name per image. [default: 1]")] = None,
    prompt: Annotated[str | None, typer.Option(help="Segmentation: what to mark. [default: the run's]")] = None,
    out: Annotated[Path | None, typer.Option(help="Segmentation: folder for the masks. [default: marked]")] = None,
    json: options.Json = False,
) -> None:
    """Classify images; or, with a run of segmentation, write a mask and an overlay of each.

    cliptune predict runs/dora-photos-16shot-s1 new/*.jpg
    """
    from cliptune.errors import UserError
    from cliptune.predict import image_files
    from cliptune.runs import Run

    opened = Run.open(run)
    names: list[str] = []
    for path in paths:
        names += [line.rstrip("\n") for line in sys.stdin if line.strip()] if path == "-" else [path]
    if opened.task == "segment":
        if top is not None:
            raise UserError("--top with a run of segmentation", "leave it out: it marks what a prompt names")
        marks = opened.mark(image_files(names), out or Path("marked"), prompt)
        for row in marks:
            output.say(f"{row['path']}  {row['prompt']!r}: {output.percent(row['share'])} marked, {row['mask']}")
        output.result({"run": str(run), "predictions": marks})
        return
    if prompt is not None or out is not None:
        raise UserError("--prompt and --out belong to segmentation, this run classifies", "leave them out")
    found = opened.predict(image_files(names), top=1 if top is None else top)
    for row in found:
        ranked = "  ".join(f"{name} {output.percent(p)}" for name, p in row["top"])
        output.say(f"{row['path']}  {ranked}")
    output.result({"run": str(run), "predictions": found})
