"""The tiles of one run's page: the number that leads, what it is made of, how many parameters were trained."""

from cliptune.report import words
from cliptune.report.blocks import Tile
from cliptune.report.leading import Leading, beside_chance, chance_of, leading
from cliptune.report.read import Record, RunFolder
from cliptune.report.tables import HARMONIC, Row, cost, every_test, headline


def tiles(record: Record) -> list[Tile]:
    """The number that leads first (`leading`), then the tests it is made of or the others."""
    lead = leading(record)
    first = {"harmonic mean": halves, "class mean": class_means, "accuracy": accuracies}[lead.kind]
    return [*first(record, lead), trained_parameters(record)]


def halves(record: Record, lead: Leading) -> list[Tile]:
    """Base and novel: their harmonic mean, then each beside zero-shot."""
    rows = [
        {"test": "harmonic mean", "accuracy": lead.after, "zero_shot": lead.before, "gain": lead.gain},
        *(row for row in every_test(record) if row["test"] != HARMONIC),
    ]
    return [Tile(row["test"], words.percent(row["accuracy"]), moved(row["zero_shot"], row["gain"])) for row in rows]


def moved(before: float | None, gain: float | None) -> str:
    """'zero-shot 10.3 %, −2.9 points'."""
    text = f"zero-shot {words.percent(before)}"
    return text if gain is None else f"{text}, {words.points(gain)} points"


def class_means(record: Record, lead: Leading) -> list[Tile]:
    """A test with unequal classes: the mean over them, then the accuracy."""
    row = headline(record)
    return [
        Tile("mean over classes, after", words.percent(lead.after), "every class counts alike"),
        Tile("mean over classes, zero-shot", words.percent(lead.before), chance_told(record)),
        Tile("gain, points", words.points(lead.gain), "of the mean over classes"),
        Tile("accuracy, after", words.percent(row["accuracy"]), reached_on(row)),
        Tile("accuracy, zero-shot", words.percent(row["zero_shot"]), f"{words.points(row['gain'])} points after"),
    ]


def accuracies(record: Record, lead: Leading) -> list[Tile]:
    """After, zero-shot, gain; then the other tests."""
    row = headline(record)
    before = [f"95 % {words.interval(row['zero_shot_interval'])}", chance_told(record)]
    return [
        Tile(
            "after" if record.main in ("test", None) else f"after, {record.main}",
            words.percent(row["accuracy"]),
            reached_on(row),
        ),
        Tile("zero-shot", words.percent(row["zero_shot"]), ", ".join(filter(None, before))),
        Tile("gain, points", words.points(row["gain"]), fewer_errors(row["errors_removed"])),
        *(
            Tile(test["test"], words.percent(test["accuracy"]), f"zero-shot {words.percent(test['zero_shot'])}")
            for test in every_test(record)
            if test["test"] != record.main
        ),
    ]


def fewer_errors(removed: float | None) -> str:
    """What a gain means in errors."""
    if removed is None:
        return ""
    return f"{words.percent(abs(removed))} {'fewer' if removed >= 0 else 'more'} errors than zero-shot"


def chance_told(record: Record) -> str:
    """Where zero-shot is no better than guessing, that; else what guessing reaches."""
    chance = chance_of(record)
    if chance is None:
        return ""
    said = beside_chance(record.before(), chance)
    return f"{said} ({words.percent(chance)})" if said else f"chance {words.percent(chance)}"


def reached_on(row: Row) -> str:
    """What a tile says beside the headline's mean: its interval and n."""
    images = "n not recorded" if row["n"] is None else f"n = {row['n']:,}"
    return f"95 % {words.interval(row['interval'])}, {images}"


def trained_parameters(record: RunFolder, beside: str = "") -> Tile:
    """How many parameters were trained; `beside` is what a task adds to their share of the backbone."""
    spent = cost(record)
    share = f"{words.share(spent['trainable_percent'])} of the backbone"
    return Tile("trainable parameters", words.count(spent["trainable_parameters"]), f"{share}{beside}")
