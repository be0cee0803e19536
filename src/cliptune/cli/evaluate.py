"""`cliptune evaluate`: measure a finished run again, on its tests or on other data."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cliptune.cli import options, output


def evaluate(
    run: options.RunFolder,
    data: options.Data = None,
    root: options.Root = None,
    template: Annotated[str | None, typer.Option(help="Prompt with one {}. [default: the data set's]")] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Measure a finished run on its own tests, or on other data with that data's class names.

    cliptune evaluate runs/dora-digits-16shot-s1 --data world/digits
    """
    from cliptune.reevaluate import measure_again
    from cliptune.runs import Run

    found: dict[str, Any] = measure_again(Run.open(run), data, root, template, device)
    for name, told in found.get("tests", {"": found}).items():
        before, after = told["zero_shot"], told["adapted"]
        low, high = after["interval"]
        output.say(
            f"{told['data']}{f', {name}' if name not in ('', told['data']) else ''}: "
            f"zero-shot {output.percent(before['accuracy'])}, adapted {output.percent(after['accuracy'])} "
            f"(95 % {100 * low:.1f}–{100 * high:.1f}, n = {after['n']})"
        )
    output.result({"run": str(Path(run)), **found})
