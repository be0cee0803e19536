"""Options that several verbs share, and how they become a recipe's settings."""

from pathlib import Path
from typing import Annotated, Any

import typer

METHOD = "METHOD|RECIPE"


def starting_with(typed: str) -> list[str]:
    """Methods and shipped recipes whose names go on as `typed`: what a shell completes."""
    from cliptune.methods import METHODS
    from cliptune.recipe import shipped

    return [name for name in (*METHODS, *shipped()) if name.startswith(typed)]


RecipeName = Annotated[
    str,
    typer.Argument(metavar=METHOD, help="A method, a shipped recipe, or a TOML file.", autocompletion=starting_with),
]
Data = Annotated[
    str | None, typer.Option(help="Data set name, folder (one sub-folder per class; images/ and masks/) or CSV.")
]
Root = Annotated[str | None, typer.Option(help="Folder that holds the named data sets.")]
Model = Annotated[str | None, typer.Option(help="Zoo name, hub id or folder. [default: mini]")]
MovedModel = Annotated[
    str | None,
    typer.Option("--model", help="Where the run's backbone is now, if it has moved; its hash is compared."),
]
Task = Annotated[str, typer.Option(help="classify, segment, or auto: segment where the data are images with masks.")]
Prompt = Annotated[
    str | None,
    typer.Option(help="Segmentation: what to mark in your own images, or the kind of prompt of a set: p1, random."),
]
Shots = Annotated[
    str | None, typer.Option(help="Training images per class, or all. [default: 16; all where the protocol says so]")
]
Seed = Annotated[int | None, typer.Option(help="Draws images, first values, order. [default: 1]")]
Seeds = Annotated[
    str | None,
    typer.Option(metavar="1-3", help="Several seeds, one after another; ends with mean and deviation. Or 1,5,7."),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="few-shot, full-data, base-to-novel, out-of-distribution, cross-dataset or domain-generalization."
    ),
]
Preset = Annotated[str, typer.Option(help="paper, small, or auto (small under 20 M parameters).")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting: rank=4, train.lr=1e-3.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16: the image tower's.")]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory a step may take, like 2GB: images and prompts go in parts (weights and optimiser come on top)."
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A tracker that follows the run: tensorboard, wandb, …; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def settings(
    data: str | None,
    root: str | None,
    model: str | None,
    shots: str | None,
    seed: int | None,
    protocol: str | None,
    dtype: str | None,
    assignments: list[str] | None,
    prompt: str | None = None,
) -> dict[str, Any]:
    """The options given, as dotted settings; `--set` wins.

    Raises:
        UserError: a --set that is none.
    """
    from cliptune.errors import UserError
    from cliptune.settings import parse_assignment

    given = {
        "data.name": data,
        "data.root": root,
        "model.name": model,
        "protocol.shots": int(shots) if shots and shots.lstrip("-").isdecimal() else shots,
        "protocol.seed": seed,
        "protocol.name": protocol,
        "train.dtype": dtype,
    }
    if prompt is not None:
        from cliptune.datasets.segmentation import KIND_OF_PROMPT

        if not prompt.strip():
            raise UserError("--prompt is empty", "say what to mark: --prompt polyp")
        given["segment.prompt" if KIND_OF_PROMPT.fullmatch(prompt) else "segment.words"] = prompt
    chosen = {key: value for key, value in given.items() if value is not None}
    return chosen | dict(parse_assignment(text) for text in assignments or [])
