"""`cliptune study`: a grid of runs that ends in a table or figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cliptune.cli import options, output
from cliptune.counted import these
from cliptune.files import user_path

if TYPE_CHECKING:
    from cliptune.studies.conduct import Ahead, Told
    from cliptune.studies.pool import Pool, Setting, State
    from cliptune.studies.study import Study

STATES: dict["State", str] = {"finished": "done", "started": "begun", "failed": "failed", "absent": "not begun"}
LISTED = 40
"""runs named by --dry-run"""


def study(
    name: Annotated[str, typer.Argument(metavar="STUDY", help="One of `cliptune list studies`, or a TOML file.")],
    small: Annotated[bool, typer.Option("--small", help="Its small form: shipped data and model, minutes.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the grid, hours and memory; run nothing.")] = False,
    root: options.Root = None,
    out: Annotated[Path, typer.Option(help="Folder of all studies; they share the runs below it.")] = Path("studies"),
    only: Annotated[str | None, typer.Option(help="Only runs whose description holds this text.")] = None,
    assignments: options.Set = None,
    engine: Annotated[str, typer.Option(help="local: processes here; ray: a Ray cluster.")] = "local",
    workers: Annotated[int | None, typer.Option(help="Runs at a time. [default: by cores, GPUs, memory]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of a run. [default: cores / workers]")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed runs again.")] = False,
    device: options.Device = "auto",
    memory: options.Memory = None,
    json: options.Json = False,
) -> None:
    """Run a grid of runs that ends in a table or figure.

    What is done is skipped; the paper's numbers stand beside ours.

    cliptune study dora-table-1 --small
    """
    from cliptune.errors import UserError
    from cliptune.settings import parse_assignment
    from cliptune.studies.pool import Pool, Setting
    from cliptune.studies.reading import load

    if engine not in ("local", "ray"):
        raise UserError(f"--engine {engine}", "one of: local, ray")
    if engine == "ray" and workers is not None:
        raise UserError("--workers with --engine ray", "leave it out: the cluster's CPUs and --threads decide")
    refuse_machine(root, threads, memory)
    found = load(name, small, dict(parse_assignment(text) for text in assignments or []))
    found = found.only(only) if only else found
    pool = Pool(user_path(out))
    folder = check_machine(root, device, pool, here=engine == "local")

    from cliptune.studies import conduct, outcome

    if not found.about.runs:
        written = [] if dry_run else outcome.write(found, pool)
        output.say(f"{found.name}: {found.about.title}; nothing is trained for it")
        finish(written, {"study": found.name, "runs": []})
        return
    setting = Setting(folder, device, threads or 1, memory or "")
    plan = conduct.ahead(found, pool, setting, retry)
    count = conduct.workers_for(plan, workers, device) if engine == "local" else 1
    shared = conduct.threads_for(count) if engine == "local" else 1
    setting = Setting(folder, device, threads or shared, memory or "")
    say_plan(found, plan, setting, count, engine)
    if dry_run:
        say_runs(found, plan)
        output.result(facts(found, plan, pool))
        return
    chosen: Literal["local", "ray"] = "ray" if engine == "ray" else "local"
    for told in conduct.conduct(plan, pool, setting, chosen, count):
        say_ended(told)
    finish(outcome.write(found, pool), facts(found, plan, pool))
    failed = conduct.failures(found, pool)
    if failed:
        job, (what, fix) = failed[0]
        runs = these(len(plan.states), "run")
        raise UserError(f"{len(failed)} of {runs} failed; {job}: {what}", f"{fix}; then add --retry")


def refuse_machine(root: str | None, threads: int | None, memory: str | None) -> None:
    """Refuse what no run could start with and what needs no study to be seen.

    Raises:
        UserError: no such folder, no threads, no size.
    """
    from cliptune.errors import UserError
    from cliptune.training.memory import parse_bytes

    if root and not user_path(root).is_dir():
        raise UserError(f"--root {root}: no such folder", "give the folder that holds the named data sets")
    if threads is not None and threads < 1:
        raise UserError(f"--threads {threads}", "give 1 or more")
    if memory is not None:
        parse_bytes(memory)


def check_machine(root: str | None, device: str, pool: "Pool", here: bool) -> str:
    """The root, resolved; refuses a place that cannot be written. Only if runs are done `here` must it have the device.

    Raises:
        UserError: no such device, or a place that cannot be written.
    """
    from cliptune import files

    files.writable_folder(pool.runs)

    from cliptune.training.compute import choose_device

    if here or device not in ("cuda", "mps"):
        choose_device(device, "auto")
    return str(user_path(root).resolve()) if root else ""


def say_plan(study: "Study", plan: "Ahead", setting: "Setting", workers: int, engine: str) -> None:
    """What there is to do, how long it takes and what memory."""
    from cliptune.report import words
    from cliptune.studies.study import described

    found = list(plan.states.values())
    states = ", ".join(f"{found.count(state)} {text}" for state, text in STATES.items() if state in found)
    output.say(f"{study.name}{' (small form)' if study.small else ''}: {study.about.title}")
    for key, values in described(study.jobs).items():
        if len(values) > 1 or key in ("data.name", "model.name"):
            output.say(f"  {key}: {words.short(', '.join(str(value) for value in values), 100)}")
    output.say(f"  {these(len(plan.states), 'run')}: {states}")
    seconds, size = plan.seconds(workers), plan.bytes()
    each = f"{words.these(setting.threads, 'thread')} each"
    where = f"{workers} at a time, {each}" if engine == "local" else f"one after another; on a Ray cluster, {each}"
    if plan.todo:
        long = f"about {words.seconds(seconds)}" if seconds is not None else "duration unknown"
        off = "; these estimates may be off by a factor of two" if seconds is not None else ""
        room = f"{words.size(size)} a run" if size is not None else "memory unknown"
        output.say(f"  {long}, {where}, {room}{off}")


def say_runs(study: "Study", plan: "Ahead") -> None:
    """Every run of the grid, with its state and estimate."""
    from cliptune.report import words

    jobs = list({job.key: job for job in study.jobs}.values())
    for job in jobs[:LISTED]:
        guess = plan.estimates.get(job.key)
        beside = f", about {words.seconds(guess.seconds)}" if guess and guess.seconds is not None else ""
        output.say(f"    {STATES[plan.states[job.key]]:9} {job}{beside}")
    if len(jobs) > LISTED:
        output.say(f"    … and {len(jobs) - LISTED} more (--json names them all)")


def say_ended(told: "Told") -> None:
    from cliptune.report import words

    ended = told.ended
    left = f"; about {words.seconds(told.left_seconds)} left" if told.done < told.of else ""
    what = ended.told if ended.error is None else f"failed: {ended.error[0]}"
    output.say(f"  [{told.done}/{told.of}] {ended.job}: {what}, {words.seconds(ended.seconds)}{left}")
    for note in ended.notes:
        output.say(f"      note: {note}")


def facts(study: "Study", plan: "Ahead", pool: "Pool") -> dict[str, Any]:
    """The grid, for JSON: every run with its folder, its state now, and what it was thought to take."""
    rows = []
    for job in study.jobs:
        guess = plan.estimates.get(job.key)
        rows.append(
            {
                "label": job.label,
                "run": str(pool.folder(job)),
                "key": job.key,
                "state": pool.state(job),
                "failure": pool.failure(job),
                "options": dict(job.options),
                "seconds": guess.seconds if guess else None,
                "bytes": guess.bytes if guess else None,
                "by": guess.by if guess else None,
            }
        )
    return {"study": study.name, "small": study.small, "title": study.about.title, "runs": rows}


def finish(written: list[Path], found: Mapping[str, Any]) -> None:
    for path in written:
        output.say(str(path))
    output.result({**found, "files": [str(path) for path in written]})
