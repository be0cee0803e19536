"""`cliptune merge`: an ordinary transformers folder from a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cliptune.cli import options, output

if TYPE_CHECKING:
    from cliptune.runs import Run

SHOWN = 20
"""class names that are printed"""


def merge(
    run: options.RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    model: options.MovedModel = None,
    json: options.Json = False,
) -> None:
    """Write an ordinary transformers model from a finished run.

    Weights, tokenizer and preprocessing, as CLIPModel (or CLIPSeg) and its processor load them.

    cliptune merge runs/dora-photos-16shot-s1 merged/
    """
    from cliptune.runs import Run

    opened = Run.open(run, model)
    gap = opened.merge(out)
    kind = "CLIPSegForImageSegmentation" if opened.task == "segment" else "CLIPModel"
    output.say(
        f"{out}: an ordinary {kind}; largest logit difference to the adapted model {gap:.1e} of the largest logit"
    )
    output.say(how_to_load(opened, out))
    output.result({"run": str(run), "out": str(out), "merge_gap": gap})


def how_to_load(run: "Run", out: Path) -> str:
    """Lines to paste: what loads the folder, and the words that the run was trained with."""
    if run.task == "segment":
        texts = ", ".join(map(repr, run.record["prompt"]["texts"]))
        return (
            f'load it with transformers: CLIPSegForImageSegmentation.from_pretrained("{out}")\n'
            f'  and CLIPSegProcessor.from_pretrained("{out}"); prompts of the run: {texts}'
        )
    names = [name.replace("_", " ") for name in run.classes]
    listed = f"{names[:SHOWN]}" + (f" … {len(names):,} names in all, see run.json" if len(names) > SHOWN else "")
    return (
        f'load it with transformers: pipeline("zero-shot-image-classification", model="{out}")\n'
        f"  and call it with hypothesis_template={run.record['data']['template']!r},\n"
        f"  candidate_labels={listed}"
    )
