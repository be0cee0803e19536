"""The command `cliptune`: one verb a file, errors in two lines, exit codes 0, 1, 2, 130.

Nothing heavy is imported here or at the top of a verb's file: `cliptune --help` has to be instant.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from cliptune import __version__
from cliptune.cli import mistakes, output
from cliptune.cli.check import check
from cliptune.cli.demo import demo
from cliptune.cli.doctor import doctor
from cliptune.cli.evaluate import evaluate
from cliptune.cli.listing import list_things
from cliptune.cli.merge import merge
from cliptune.cli.predict import predict
from cliptune.cli.report import report
from cliptune.cli.show import show
from cliptune.cli.study import study
from cliptune.cli.train import train
from cliptune.errors import UserError, no_memory, of_memory, of_system

app = typer.Typer(
    name="cliptune",
    help="Adapt a CLIP with a few labelled images; prove the gain; hand back an ordinary model.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "list": list_things,
    "show": show,
    "check": check,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "merge": merge,
    "study": study,
    "report": report,
    "doctor": doctor,
}
INTERRUPTED = 130
"""exit code after Ctrl-C"""
for verb, function in VERBS.items():
    app.command(verb)(function)


def say_version(wanted: bool) -> None:
    if wanted:
        output.say(f"cliptune {__version__}")
        raise typer.Exit


@app.callback()
def before_any_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before a verb."""


def run() -> None:
    """Entry point of the console script."""
    for descriptor in range(3):  # a closed one would be taken by the next file that is opened
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    arguments = arguments or ["--help"]
    output.start(json="--json" in arguments)
    with output.forgiving():
        return _answer(arguments)


def _answer(arguments: Sequence[str]) -> int:
    try:
        alone(arguments)
        command = typer.main.get_command(app)
        verbs = getattr(command, "commands", {})
        verb = next((word for word in arguments if word in verbs), "")
        for remark in mistakes.given_twice(verbs[verb].params if verb else [], arguments):
            output.note(remark)
        code = command.main(list(arguments), prog_name="cliptune", standalone_mode=False)
        if code == INTERRUPTED:  # the parser has caught it
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except UserError as problem:
        return output.refuse(problem.what, problem.fix)
    except (KeyboardInterrupt, typer.Abort):
        again = "--resume instead of --fresh" if "--fresh" in arguments else "--resume"
        output.note(f"interrupted{f'; the same command with {again} goes on' if 'train' in arguments[:1] else ''}")
        return INTERRUPTED
    except Exception as problem:
        if hasattr(problem, "format_message"):
            return output.refuse(*mistakes.explain(problem, arguments, VERBS))
        if isinstance(problem, OSError) and (refusal := of_system(problem)):
            return output.refuse(refusal.what, refusal.fix)
        if of_memory(problem):
            trains = set(arguments) & {"train", "check", "study"}
            refusal = no_memory() if trains else UserError("there is not enough memory", "close other programs")
            return output.refuse(refusal.what, refusal.fix)
        traceback.print_exc()
        output.say("this is a fault of cliptune's, not yours; please report it with the lines above")
        return 1


def alone(arguments: Sequence[str]) -> None:
    """Refuse to run a verb in several processes that would all do the same and write over each other."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    if output.processes() > 1 and verb in VERBS and verb != "train":
        raise UserError(f"`cliptune {verb}` is work for one process", "start it without torchrun or accelerate launch")
