"""`cliptune check`: what was understood of a run, before it starts; or, without a method, of a data set."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliptune.cli import options, output
from cliptune.counted import these

if TYPE_CHECKING:
    from cliptune.planning import AnyPlan


def check(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[METHOD|RECIPE]", help="Without one the data set alone is looked at.")
    ] = None,
    data: options.Data = None,
    root: options.Root = None,
    model: options.Model = None,
    task: options.Task = "auto",
    prompt: options.Prompt = None,
    shots: options.Shots = None,
    seed: options.Seed = None,
    protocol: options.Protocol = None,
    preset: options.Preset = "auto",
    assignments: options.Set = None,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    memory: options.Memory = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="Without a method: the untouched backbone beside published accuracies.")
    ] = False,
    most: Annotated[
        int | None, typer.Option(help="Without a method: images to look at, 0 for all. [default: 20000]", min=0)
    ] = None,
    thumbnails: Annotated[
        Path | None, typer.Option(help="Without a method: where nine images go. [default: NAME-thumbnails.png]")
    ] = None,
    json: options.Json = False,
) -> None:
    """What `train` would do, its time and memory; writes nothing.

    Data, splits, sites, parameters; three real steps are taken.

    Without a method: what the data set's copy holds, its faults, nine thumbnails; --zero-shot measures the backbone.
    """
    from cliptune import notes
    from cliptune.cli import ahead, early
    from cliptune.errors import UserError
    from cliptune.recipe import load_tables

    chosen = options.settings(data, root, model, shots, seed, protocol, dtype, assignments, prompt)
    if recipe is None:
        _data_alone(chosen, task, protocol or shots or seed or memory, thumbnails, most, zero_shot, device)
        return
    if zero_shot or most is not None or thumbnails:
        raise UserError(f"--zero-shot, --most and --thumbnails look at data, not at {recipe}", "leave the method out")
    tables = load_tables(recipe)
    _, opened = early.refuse(tables, chosen, preset, task, memory, outline=True)

    from cliptune.cli.progress import describe_plan
    from cliptune.models.shortcuts import using
    from cliptune.planning import prepare

    plan = prepare(
        tables, chosen, preset, device, imageset=opened, memory=memory, outline=True, task=task, say=output.say
    )
    describe_plan(plan)
    ahead.say_model(plan, tables, chosen)
    with using(plan.recipe.shortcuts):
        facts = understood(plan)
    if names := facts.get("classes"):
        output.say(f"  classes: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}")
    output.say(f"  prompt: {facts['prompts'][0]!r} · split: {facts['split']}")
    for prompt in facts["too_long"][:3]:
        output.say(f"  prompt is longer than {plan.backbone.context} tokens and will be cut: {prompt!r}")
    tensors = f"{these(facts['tensors'], 'tensor')}; inert: {len(facts['inert'])}"
    output.say(f"  {these(len(facts['sites']), 'site')}, {tensors}")
    steps = f"{these(facts['steps'], 'step')} of {these(plan.recipe.train.batch, 'image')}"
    took = f"; a step took {facts['step_seconds']:.2f} s" if facts["steps"] else ""
    output.say(
        f"  {steps if facts['steps'] else 'no steps'}{took}; with all measuring about "
        f"{facts['estimated_seconds'] / 60:.1f} min; peak memory {facts['peak_memory_bytes'] / 1e9:.1f} GB, "
        f"of the whole run about {facts['estimated_memory_bytes'] / 1e9:.1f} GB"
    )
    if facts["estimated_seconds"] > notes.LONG and (ways := notes.ways_to_less(plan, facts["estimated_seconds"])):
        output.say(f"  shorter: {'; '.join(ways)}")
    if not plan.backbone.source:
        output.say("  no weights at hand: shapes, sites and times are right, the model knows nothing")
    output.result(facts)


def _data_alone(
    chosen: dict[str, Any],
    task: str,
    of_runs: Any,
    thumbnails: Path | None,
    most: int | None,
    zero_shot: bool,
    device: str,
) -> None:
    from cliptune.cli.check_data import check_data
    from cliptune.cli.check_masks import check_masks
    from cliptune.errors import UserError
    from cliptune.tasks import with_task

    if "data.name" not in chosen:
        raise UserError("nothing to check", "name a method: cliptune check dora; or a data set: --data pets --root R")
    if of_runs is not None:
        raise UserError("a protocol, shots, a seed and memory belong to a method", "cliptune check dora --data …")
    look = check_masks if "segment" in with_task({}, chosen, task) else check_data
    look(chosen, thumbnails, most, zero_shot, device)


def understood(plan: "AnyPlan") -> dict[str, Any]:
    """Facts about a plan, with the time of one real step on the first batch."""
    from cliptune.studies.estimate import besides_steps, of_plan
    from cliptune.training.loop import fit, phase_steps

    lesson, adapter, size = plan.lesson(), plan.attach(), plan.size()
    phases = [phase for phase in adapter.method.phases() if phase.kind == "gradient"]
    steps = sum(phase_steps(phase, plan.recipe, len(lesson.train)) for phase in phases)
    tensors, sites, inert = len(adapter.trainable()), adapter.adapted_sites(), adapter.inert()
    started = began = time.perf_counter()
    done, first = 0, 0.0
    if phases:
        for event in fit(adapter, lesson, plan.machine):
            if type(event).__name__ == "Step":
                done += 1
                if done == 1:
                    first = time.perf_counter() - started
                if done == 1 < steps:
                    began = time.perf_counter()
                if done == min(3, steps):
                    break
    each = (time.perf_counter() - began) / max(1, done - 1)
    peak, whole = plan.machine.peak_memory_bytes(), of_plan(plan).bytes
    told = plan.told()
    data = {key: value for key, value in told["data"].items() if key not in ("name", "root", "template")}
    return {
        **size.facts,
        "data": told["data"]["name"],
        **data,
        "tests": {name: test["images"] for name, test in told["tests"].items()},
        "prompts": plan.prompts[:3],
        "too_long": plan.backbone.too_long(plan.prompts),
        "model": plan.backbone.name,
        "preset": plan.recipe.preset,
        "sites": sites,
        "tensors": tensors,
        "inert": inert,
        "trainable_parameters": size.exact,
        "trainable_least": size.least,
        "trainable_most": size.most,
        "steps": steps,
        "step_seconds": each,
        # What comes before the first step (outputs of frozen parts that are kept) comes once.
        "estimated_seconds": each * steps + max(0.0, first - each) + besides_steps(plan),
        "peak_memory_bytes": peak,
        "estimated_memory_bytes": max(peak, whole or 0) if plan.machine.device.type == "cpu" else peak,
        "recipe": plan.recipe.tables(),
    }
