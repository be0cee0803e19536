"""`cliptune merge`: an ordinary transformers folder from a run."""

from pathlib import Path
from typing import Annotated

import typer

from cliptune.cli import options, output


def merge(
    run: options.RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    json: options.Json = False,
) -> None:
    """Write weights, tokenizer and preprocessing that transformers' CLIPModel (or CLIPSeg) and its processor load.

    cliptune merge runs/dora-photos-16shot-s1 merged/
    """
    from cliptune.runs import Run

    opened = Run.open(run)
    gap = opened.merge(out)
    kind = "CLIPSegForImageSegmentation" if opened.task == "segment" else "CLIPModel"
    output.say(
        f"{out}: an ordinary {kind}; largest logit difference to the adapted model {gap:.1e} of the largest logit"
    )
    output.result({"run": str(run), "out": str(out), "merge_gap": gap})
