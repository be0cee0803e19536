"""`cliptune predict`: classify images with a finished run, or mark what a prompt names in them."""

import codecs
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliptune.cli import options, output

if TYPE_CHECKING:
    from cliptune.errors import UserError
    from cliptune.inputs import Answer, Picture
    from cliptune.runs import Run

SOME_UNREAD = 3
"""exit code: images were answered, and some could not be read"""


def predict(
    run: options.RunFolder,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders, or '-' for paths on standard input.")
    ],
    top: Annotated[int | None, typer.Option(help="Classes to name per image. [default: 5]")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,NAME…", help="Other classes than the run's, separated by commas; may be repeated."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a table: answer, score, probability of each class.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Answer 'unknown' below this probability, 0 to 1. Segmentation: mark pixels above it."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Divide logits by the run's fitted temperature.")
    ] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Images that cannot be read are no failure: exit code 0, not 3.")
    ] = False,
    prompt: Annotated[str | None, typer.Option(help="Segmentation: what to mark. [default: the run's]")] = None,
    out: Annotated[Path | None, typer.Option(help="Segmentation: folder for the masks. [default: marked]")] = None,
    model: options.MovedModel = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Classify images, or mark what a prompt names in them.

    With a run of segmentation a mask and an overlay of each image are written.

    cliptune predict runs/dora-photos-16shot-s1 new/ --csv answers.csv
    """
    from cliptune.datasets.places import LeftOut
    from cliptune.errors import UserError
    from cliptune.files import writable_file
    from cliptune.inputs import pictures
    from cliptune.runs import Run

    if csv is not None:
        csv = writable_file(csv)
        _refuse_foreign(csv)
    names = _paths(paths)
    _refuse_swapped(run, paths)
    opened = Run.open(run, model)
    left_out = LeftOut()
    images = pictures(names, left_out)
    for note in left_out.notes():
        output.note(f"note: {note}")
    answered: Answered
    calibration: dict[str, Any] = {}
    if opened.task == "segment":
        raw = None if calibrate else False
        for value, name in ((top, "--top"), (classes, "--classes"), (csv, "--csv"), (raw, "--no-calibrate")):
            if value is not None:
                raise UserError(f"{name} with a run of segmentation", "leave it out: it marks what a prompt names")
        answered = _mark(opened, images, out or Path("marked"), prompt, threshold, device)
    else:
        if prompt is not None or out is not None:
            raise UserError("--prompt and --out belong to segmentation, this run classifies", "leave them out")
        others = [name.strip() for text in classes for name in text.split(",")] if classes else None
        answered, calibration = _classify(opened, images, others, top, calibrate, threshold, device, csv)
    answered.tell(skip_bad)
    output.result({"run": str(run), "predictions": answered.rows, **calibration, "unread": answered.unread})
    if opened.task != "segment" and csv is None:
        output.refuse_lost("give --csv FILE, on a disk that has room")
    if answered.unread and not skip_bad:
        raise typer.Exit(SOME_UNREAD)


class Answered:
    """What came of the images so far: how many answers, and why some could not be read."""

    def __init__(self, images: "Sequence[Picture]", live: bool):
        from cliptune.progress import Bar

        self.images = images
        self.rows: list[Answer] = []
        """kept for --json alone: with many classes they are large"""
        self.done = 0
        self.problems: list[UserError] = []
        self.unread: list[dict[str, str]] = []
        self.bar = Bar("images", len(images), shown=live)

    def follow(self, answers: "Iterable[Answer | UserError]") -> "Iterator[Answer]":
        """The answers as they come; where there is none, the reason is kept.

        Raises:
            UserError: not one image can be read.
        """
        from cliptune.errors import UserError
        from cliptune.inputs import none_readable

        with self.bar:
            for picture, answer in zip(self.images, answers, strict=True):
                self.bar.step()
                if isinstance(answer, UserError):
                    self.problems.append(answer)
                    self.unread.append({"path": picture.name, "reason": answer.what})
                else:
                    self.done += 1
                    if output.wants_json():
                        self.rows.append(answer)
                    yield answer
        if not self.done:
            raise none_readable(self.problems)

    def tell(self, skip_bad: bool) -> None:
        """Name what could not be read, all of it."""
        if not self.unread:
            return
        many = f"{len(self.unread):,} of {len(self.images):,} images could not be read"
        output.note(f"{many}{' and are left out' if skip_bad else ''}:")
        for row in self.unread:
            output.note(f"  {row['reason']}")


def _refuse_swapped(run: Path, paths: Sequence[str]) -> None:
    """Refuse images before the run.

    Raises:
        UserError: the run stands behind them.
    """
    from cliptune.errors import UserError

    behind = next((path for path in paths if (Path(path) / "run.json").is_file()), None)
    if behind is not None and not (run / "run.json").is_file():
        raise UserError(f"{run} is not a run, {behind} is one", f"the run comes first: cliptune predict {behind} {run}")


def _refuse_foreign(csv: Path) -> None:
    """Refuse to write the table over a file that no table of `predict` is: an image, a run's record, notes.

    Raises:
        UserError: it is one, or has the name of an image.
    """
    from cliptune.datasets.images import IMAGE_SUFFIXES
    from cliptune.errors import UserError
    from cliptune.inputs import TABLE

    if csv.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"--csv {csv}: that is the name of an image", "the table's name comes first: --csv answers.csv")
    start = (",".join(TABLE) + ",").encode()
    if csv.exists():
        with csv.open("rb") as file:
            found = file.read(len(start))
        if found and found != start:
            raise UserError(f"{csv} exists and was not written by `predict --csv`", "give another file name")


def _paths(words: Sequence[str]) -> list[str]:
    """The paths that are meant; '-' stands for those on standard input, a line or a NUL each."""
    names: list[str] = []
    for word in words:
        names += _listed() if word == "-" else [word]
    return names


def _listed() -> list[str]:
    """File names as the system has them, whatever their bytes; a mark of byte order is none of them."""
    buffer = getattr(sys.stdin, "buffer", None)
    data = os.fsencode(sys.stdin.read()) if buffer is None else buffer.read()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        from cliptune.texts import decode_text

        text = decode_text(data, "standard input")
    else:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    lines = text.split("\0" if "\0" in text else "\n")
    return [line.rstrip("\r") for line in lines if line.strip()]


def _live() -> bool:
    """Whether a bar is shown: not where the answers themselves scroll past on the same terminal."""
    return output.first() and (output.wants_json() or not sys.stdout.isatty())


def _mark(
    run: "Run", images: "Sequence[Picture]", out: Path, prompt: str | None, threshold: float | None, device: str
) -> Answered:
    from cliptune.mark import marks

    answered = Answered(images, _live())
    for row in answered.follow(marks(run, images, out, prompt, threshold, device)):
        output.say(f"{row['path']}  {row['prompt']!r}: {output.percent(row['share'])} marked, {row['mask']}")
    return answered


def _classify(
    run: "Run",
    images: "Sequence[Picture]",
    classes: Sequence[str] | None,
    top: int | None,
    calibrate: bool,
    threshold: float | None,
    device: str,
    csv: Path | None,
) -> tuple[Answered, dict[str, Any]]:
    """The answers, printed as they come or written to a table; and what --json says of the calibration."""
    from cliptune.files import csv_rows
    from cliptune.predict import Classifier
    from cliptune.runs import TOP

    ready = Classifier(run, classes, TOP if top is None else top, calibrate, threshold, device)
    answered = Answered(images, csv is not None or _live())
    rows = answered.follow(ready.answers(images))
    if csv is None:
        for row in rows:
            output.say(in_a_line(row))
    else:
        try:
            with csv_rows(csv, ready.columns()) as write:
                for row in rows:
                    write([row["path"], row["prediction"], f"{row['score']:.6f}", *_shares(row)])
        finally:  # an interruption keeps what was answered
            if answered.done:
                output.say(f"{csv}: {answered.done:,} of {len(images):,} images, {len(ready.names):,} classes")
    output.note(ready.calibration)
    return answered, {"calibration": {"temperature": ready.temperature, "what": ready.calibration}}


def _shares(row: "Answer") -> list[str]:
    return [f"{p:.6f}" for p in row["probabilities"].values()]


def in_a_line(row: "Answer") -> str:
    """'a.jpg  cat 72.9 %  dog 16.6 %'; 'a.jpg  unknown: cat 40.1 %  dog 33.0 %' below the threshold."""
    ranked = "  ".join(f"{name} {output.percent(p)}" for name, p in row["top"])
    sure = row["prediction"] == row["top"][0][0]
    return f"{row['path']}  {ranked if sure else row['prediction'] + ': ' + ranked}"
