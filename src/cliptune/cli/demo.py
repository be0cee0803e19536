"""`cliptune demo`: the main job on the embedded model and real digits, ending with a report."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cliptune.cli import options, output
from cliptune.counted import these

METHODS = ("zero_shot", "lora", "lora_xs", "dora", "ast")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path("demo-run"),
    shots: Annotated[int, typer.Option(help="Training images per class.")] = 8,
    seed: Annotated[int, typer.Option(help="Draws images, first numbers, order.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove earlier demo runs of the same names first.")] = False,
    json: options.Json = False,
) -> None:
    """Adapt the mini CLIP to handwritten digits, compare, report.

    The embedded model, real digits, the untouched model and four methods; nothing is downloaded.
    """
    from cliptune.cli.progress import Progress, describe_plan, describe_result
    from cliptune.datasets import open_set
    from cliptune.models.backbone import load
    from cliptune.pipeline import execute, prepare
    from cliptune.recipe import load_tables
    from cliptune.report.page import write_report
    from cliptune.runs import run_name

    began = time.perf_counter()
    backbone, digits = load("mini"), open_set("digits")
    records: list[dict[str, Any]] = []
    folders: list[Path] = []
    before = None
    for name in METHODS:
        chosen = {"protocol.shots": shots, "protocol.seed": seed}
        plan = prepare(load_tables(name), chosen, backbone=backbone, imageset=digits)
        output.say()
        describe_plan(plan)
        before = before or plan.before()
        folder = out / run_name(plan.recipe)
        with Progress() as progress:
            run = execute(plan, folder, fresh=fresh, resume=True, listeners=[progress.hear], before=before)
        describe_result(run)
        records.append(run.record)
        folders.append(run.folder)
    files = write_report(folders, out / "report.html")
    output.say(f"\n{these(len(folders), 'run')} in {time.perf_counter() - began:.0f} s. Open {out / 'report.html'}")
    output.say(f"More about one of them: cliptune report {folders[-1]}")
    output.result({"report": str(out / "report.html"), "files": [str(path) for path in files], "runs": records})
