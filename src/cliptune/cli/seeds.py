"""`cliptune train --seeds 1-3`: the same run with several seeds, one after another, and what they say together."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.cli import output

if TYPE_CHECKING:
    from cliptune.recipe import Recipe
    from cliptune.runs import Run

MOST = 1000
"""seeds of one call"""
MOST_NAMED = 60
"""characters of a file's name that tell the seeds"""


def parse_seeds(text: str) -> tuple[int, ...]:
    """'1-3' → (1, 2, 3); '1,5,7'; '1-3,7'; a single number says how many: '3' → (1, 2, 3).

    Raises:
        UserError: no whole numbers, a range that goes backwards, a seed twice, or only one.
    """
    from cliptune.errors import UserError

    fix = "write --seeds 1-3, or --seeds 1,5,7, or --seeds 3 for the first three"
    seeds: list[int] = []
    ranges = re.sub(r"\s*(?:-|–|\.\.+|:)\s*", "-", text.strip())
    for part in re.split(r"\s*,\s*|\s+", ranges):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"--seeds {text}: {part!r} is neither a seed nor a range of seeds", fix)
        if max(len(first), len(last)) > 18 or (dash and int(last) - int(first) >= MOST):
            raise UserError(f"--seeds {text}: at most {MOST:,} seeds", fix)
        if dash and int(last) < int(first):
            raise UserError(f"--seeds {text}: {part} goes backwards", f"write {last}-{first}")
        seeds += range(int(first), int(last if dash else first) + 1)
    if ranges.isdecimal():
        seeds = list(range(1, min(int(ranges), MOST + 1) + 1))
    if len(seeds) > MOST:
        raise UserError(f"--seeds {text}: at most {MOST:,} seeds", fix)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text}: a seed stands there twice", fix)
    if len(seeds) < 2:
        raise UserError(f"--seeds {text}: several seeds are meant", "for one: --seed 1")
    return tuple(seeds)


def refuse_one(seed: int | None, chosen: dict[str, Any], text: str) -> None:
    """Refuse --seeds beside a single seed, and among several processes.

    Raises:
        UserError: see above.
    """
    from cliptune.errors import UserError

    if seed is not None or "protocol.seed" in chosen:
        other = "--seed" if seed is not None else "--set protocol.seed"
        raise UserError(f"--seeds {text} beside {other}", "give one of them")
    if output.processes() > 1:
        raise UserError("--seeds is work for one process", "start it without torchrun or accelerate launch")


def report_of(draft: "Recipe", seeds: Sequence[int], out: Path | None) -> Path:
    """The HTML file about all of them: in `out` beside the runs, else where you are (runs/ holds nothing but runs)."""
    from cliptune.files import user_path
    from cliptune.runs import run_name

    if out is not None:
        return user_path(out) / "report.html"
    return Path(f"{run_name(draft).rpartition('-s')[0]}-seeds-{named(seeds)}.html")


def named(seeds: Sequence[int]) -> str:
    """Seeds as a part of a file's name: '1-3_7'; of many that are scattered, how many, the ends and a hash."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1][1:] = [seed]
        else:
            ranges.append([seed])
    text = "_".join("-".join(map(str, ends)) for ends in ranges)
    if len(text) <= MOST_NAMED:
        return text
    return f"{len(seeds)}-of-{min(seeds)}-{max(seeds)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def in_turn(seeds: Sequence[int], train_one: Callable[[int], "Run"], report: Path) -> dict[str, Any]:
    """Train with every seed, print mean and deviation, and write one comparison; returns the facts for JSON.

    Args:
        train_one: seed → its finished run. report: the HTML file to write.
    """
    from cliptune.files import short
    from cliptune.report.page import refuse_foreign, write_report

    refuse_foreign(report)
    runs = []
    for place, seed in enumerate(seeds, start=1):
        output.say(f"\n[{place}/{len(seeds)}] seed {seed}")
        runs.append(train_one(seed))
    rows = together(runs)
    output.say()
    for row in rows:
        output.say(
            f"{row['test']}: {100 * row['mean']:.1f} ± {100 * row['deviation']:.1f} % (mean ± s.d. of {len(seeds)} "
            f"seeds), zero-shot {100 * row['zero_shot']:.1f} %; "
            + ", ".join(f"seed {seed} {100 * value:.1f}" for seed, value in zip(seeds, row["values"], strict=True))
        )
    for text in lost(rows):
        output.say(f"{text}, mean of {len(seeds)} seeds")
    files = write_report([run.folder for run in runs], report)
    output.say(str(report))
    return {
        "seeds": list(seeds),
        "tests": rows,
        "report": str(report),
        "files": [str(path) for path in files],
        "runs": [{"run": short(run.folder), **run.record} for run in runs],
    }


def together(runs: Sequence["Run"]) -> list[dict[str, Any]]:
    """What leads the runs, where that is not a test's own measure, then every test: `_row` of each."""
    from cliptune.report.leading import leading_of

    rows = []
    leads = [lead for run in runs if (lead := leading_of(run.record)) and lead.after is not None]
    if len(leads) == len(runs) and len({lead.kind for lead in leads}) == 1:
        rows.append(_row(leads[0].title, [lead.after for lead in leads], [lead.before for lead in leads]))
    score = "Dice" if runs[0].score == "dice" else runs[0].score
    for name in runs[0].tests:
        values = [run.metrics[name][run.score] for run in runs]
        before = [run.before(name)[run.score] for run in runs]
        rows.append(_row(name if name != "test" else f"test {score}", values, before))
    return rows


def _row(title: str, values: Sequence[Any], before: Sequence[Any]) -> dict[str, Any]:
    """The values of all runs, their mean and sample standard deviation, and the mean before training."""
    from cliptune.statistics import mean_and_deviation

    mean, deviation = mean_and_deviation(values)
    zero_shot, _ = mean_and_deviation([value for value in before if value is not None])
    return {"test": title, "values": list(values), "mean": mean, "deviation": deviation, "zero_shot": zero_shot}


def lost(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Of base and novel classes, by the means, what fell."""
    from cliptune.report import leading

    return leading.lost({row["test"]: row["mean"] - row["zero_shot"] for row in rows})
