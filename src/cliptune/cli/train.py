"""`cliptune train`: adapt a backbone, measure it, write a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from cliptune.cli import options, output


def train(
    recipe: options.RecipeName,
    data: options.Data = None,
    root: options.Root = None,
    model: options.Model = None,
    task: options.Task = "auto",
    prompt: options.Prompt = None,
    shots: options.Shots = None,
    seed: options.Seed = None,
    protocol: options.Protocol = None,
    preset: options.Preset = "auto",
    out: Annotated[Path | None, typer.Option(help="Run folder. [default: runs/METHOD-DATA-…]")] = None,
    assignments: options.Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove what is there and start over.")] = False,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    memory: options.Memory = None,
    track: options.Track = None,
    json: options.Json = False,
) -> None:
    """Adapt a backbone with a few labelled images and measure the gain.

    cliptune train dora --data photos/ --model vit-b-16 --shots 16
    """
    from cliptune.cli.progress import Progress, describe_plan, describe_result
    from cliptune.errors import UserError
    from cliptune.files import short
    from cliptune.pipeline import execute, prepare
    from cliptune.recipe import load_tables
    from cliptune.tracking import installed
    from cliptune.training.distributed import leave

    if resume and fresh:
        raise UserError("--resume and --fresh together make no sense", "give one of them")
    trackers = installed(track or [])
    chosen = options.settings(data, root, model, shots, seed, protocol, dtype, assignments, prompt)
    try:
        plan = prepare(load_tables(recipe), chosen, preset, device, memory=memory, task=task)
        describe_plan(plan)
        with Progress() as progress:
            run = execute(plan, out, resume=resume, fresh=fresh, listeners=[progress.hear], track=trackers)
    finally:
        leave()
    describe_result(run)
    output.result({"run": short(run.folder), **run.record})
