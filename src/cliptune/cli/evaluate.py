"""`cliptune evaluate`: measure a finished run again, on its tests or on other data."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cliptune.cli import options, output


def evaluate(
    run: options.RunFolder,
    data: Annotated[
        str | None,
        typer.Option(help="Other data; or where the run's own images are now, which are recognised by content."),
    ] = None,
    root: options.Root = None,
    model: options.MovedModel = None,
    template: Annotated[str | None, typer.Option(help="Prompt with one {}. [default: the data set's]")] = None,
    prompt: Annotated[str | None, typer.Option(help="Segmentation: kind of prompt, or words for your images.")] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Measure a finished run again, on its tests or other data.

    Other data are measured with their own class names.

    cliptune evaluate runs/dora-digits-16shot-s1 --data world/digits
    """
    from cliptune.errors import UserError
    from cliptune.runs import Run

    opened = Run.open(run, model)

    from cliptune.cli.progress import leading_again
    from cliptune.reevaluate import measure_again

    if opened.task == "segment":
        from cliptune.mark import measure_masks_again

        if template is not None:
            raise UserError("--template is for classification", "--prompt says which kind of prompt is asked")
        found: dict[str, Any] = measure_masks_again(opened, data, root, prompt, device)
    elif prompt is not None:
        raise UserError("--prompt is for segmentation, this run classifies", "--template says how it is asked")
    else:
        found = measure_again(opened, data, root, template, device)
    for note in found["notes"]:
        output.say(f"note: {note}")
    score = opened.score
    for line in leading_again(found) if score == "accuracy" else ():
        output.say(line)
    for name, told in found.get("tests", {"": found}).items():
        before, after = told["zero_shot"], told["adapted"]
        low, high = after["interval"]
        asked = f", prompt {told['prompt']}: {', '.join(map(repr, told['texts']))}" if score == "dice" else ""
        output.say(
            f"{told['data']}{asked}{f', {name}' if name not in ('', told['data']) else ''}: "
            f"{'Dice ' if score == 'dice' else ''}zero-shot {output.percent(before[score])}, "
            f"adapted {output.percent(after[score])} "
            f"(95 % {100 * low:.1f}–{100 * high:.1f}, n = {after['n']})"
        )
    output.result({"run": str(Path(run)), **found})
