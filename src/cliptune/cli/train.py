"""`cliptune train`: adapt a backbone, measure it, write a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cliptune.cli import options, output

if TYPE_CHECKING:
    from cliptune.runs import Run


def train(
    recipe: options.RecipeName,
    data: options.Data = None,
    root: options.Root = None,
    model: options.Model = None,
    task: options.Task = "auto",
    prompt: options.Prompt = None,
    shots: options.Shots = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
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
    """Adapt a model with a few labelled images, measure the gain.

    cliptune train dora --data photos/ --model vit-b-16 --shots 16
    """
    from cliptune.cli import ahead, early
    from cliptune.cli import seeds as several
    from cliptune.errors import UserError
    from cliptune.files import short
    from cliptune.recipe import load_tables

    if resume and fresh:
        raise UserError("--resume and --fresh exclude one another", "give one of them")
    chosen = options.settings(data, root, model, shots, seed, protocol, dtype, assignments, prompt)
    if seeds is not None:
        several.refuse_one(seed, chosen, seeds)
    numbers = several.parse_seeds(seeds) if seeds is not None else ()
    tables = load_tables(recipe)
    if not numbers:
        early.refuse_folder(tables, chosen, preset, task, out, resume=resume, fresh=fresh)
    draft, opened = early.refuse(tables, chosen, preset, task, memory)

    from cliptune.cli.progress import Progress, describe_plan, describe_result
    from cliptune.pipeline import execute, prepare
    from cliptune.runs import run_name
    from cliptune.tracking import installed
    from cliptune.training.distributed import leave

    trackers = installed(track or [])

    def one(seed: int | None = None) -> "Run":
        more = {} if seed is None else {"protocol.seed": seed}
        plan = prepare(
            tables, {**chosen, **more}, preset, device, imageset=opened, memory=memory, task=task, say=output.say
        )
        describe_plan(plan)
        if seed in (None, *numbers[:1]):  # of several, once
            ahead.say_model(plan, tables, chosen)
            ahead.say_time(plan, len(numbers) or 1)
        folder = out / run_name(plan.recipe) if out and seed is not None else out
        with Progress() as progress:
            run = execute(plan, folder, resume=resume, fresh=fresh, listeners=[progress.hear], track=trackers)
        describe_result(run)
        return run

    try:
        if numbers:
            output.result(several.in_turn(numbers, one, several.report_of(draft, numbers, out)))
        else:
            run = one()
            output.result({"run": short(run.folder), **run.record})
    finally:
        leave()
