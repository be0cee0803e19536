"""Which numbers a comparison begins with: leading.py over several runs, and the answer in words."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cliptune.report import answer, resampled, verdict, words
from cliptune.report.blocks import Kind, Verdict
from cliptune.report.captions import at, at_shots, spread
from cliptune.report.compare import Named, Place, shots_text, told_apart
from cliptune.report.leading import HALVES, leading, scores
from cliptune.report.pairs import Pairs
from cliptune.report.read import Record
from cliptune.report.tables import Column, Row, paired_test, retention
from cliptune.statistics import (
    ENOUGH_DRAWS,
    LEVEL,
    Drawn,
    Judged,
    holm,
    judged,
    mean_and_deviation,
    mean_difference,
)

Runs = Sequence[Named[Record]]


def with_leading(rows: Sequence[Row], runs: Runs) -> list[Row]:
    """Rows of `compare.groups`, each with `lead`: what leads its runs, mean over seeds; base and novel too."""
    gathered: dict[tuple, list[Record]] = defaultdict(list)
    for run in runs:
        gathered[(run.cell.place, run.label, run.cell.shots)].append(run.record)
    places = [Place(row["data"], row["model"], row["protocol"]) for row in rows]
    return [row | _lead(gathered[(place, row["label"], row["shots"])]) for place, row in zip(places, rows)]


def _lead(records: Sequence[Record]) -> Row:
    leads = [leading(record) for record in records]
    mean, deviation = mean_and_deviation([lead.after for lead in leads if lead.after is not None])
    before, _ = mean_and_deviation([lead.before for lead in leads if lead.before is not None])
    gain, gain_deviation = mean_and_deviation([lead.gain for lead in leads if lead.gain is not None])
    halves: Row = {}
    for half in HALVES:
        after = [measured.accuracy for record in records if (measured := record.after(half))]
        zero_shot = [measured.accuracy for record in records if (measured := record.before(half))]
        halves |= {half: mean_and_deviation(after)[0], f"{half}_zero_shot": mean_and_deviation(zero_shot)[0]}
    return {
        "lead": leads[0].kind,
        "lead_title": leads[0].title,
        "lead_mean": mean,
        "lead_deviation": deviation,
        "lead_zero_shot": before,
        "lead_gain": gain,
        "lead_gain_deviation": gain_deviation,
        "lead_interval": _interval(records[0]) if len(records) == 1 else None,
        "chance": leads[0].chance,
        **halves,
    }


def _interval(record: Record) -> tuple[float, float] | None:
    """The 95 % interval of a single run's leading number over test images; None where its files do not tell it."""
    kind, after = leading(record).kind, record.after()
    if kind == "accuracy":
        return after.interval if after else None
    if kind == "class mean":
        predictions, before = record.predictions, record.zero_shot_predictions
        if predictions is None or before is None or not paired_test(record):
            return None
        return resampled.class_mean(predictions.labels, before.correct, predictions.correct).after
    pairs = [pair for half in HALVES if (pair := answer.pair_of(record, half))]
    return resampled.harmonic_mean(pairs).after if len(pairs) == len(HALVES) else None


def as_drawn(rows: Sequence[Row]) -> list[Row]:
    """Rows as figures, tiles and captions read them: what leads stands under 'accuracy'."""
    keys = ("zero_shot", "deviation", "gain", "gain_deviation", "interval")
    return [row | {"accuracy": row["lead_mean"]} | {key: row[f"lead_{key}"] for key in keys} for row in rows]


def measured_as(rows: Sequence[Row]) -> str:
    """What leads all the rows; 'result' where they differ."""
    titles = {row["lead_title"] for row in rows}
    return titles.pop() if len(titles) == 1 else "result"


def lead_columns(rows: Sequence[Row]) -> list[Column]:
    """What leads, beside zero-shot; then base and novel, or the accuracy, where those do not lead."""
    kinds = {row["lead"] for row in rows}
    title = "mean" if kinds == {"accuracy"} else measured_as(rows)
    columns = [
        Column("runs", "runs", words.count),
        *([Column("lead_title", "measure")] if len(kinds) > 1 else []),
        Column("lead_mean", title, words.percent),
        Column("lead_deviation", "± s.d., points", spread),
        Column("lead_zero_shot", "zero-shot", words.percent),
        Column("lead_gain", "gain, points", words.points),
    ]
    if kinds == {"harmonic mean"}:
        for half in HALVES:
            columns.append(Column(half, half, words.percent))
            columns.append(Column(f"{half}_zero_shot", f"{half}, zero-shot", words.percent))
    if "class mean" in kinds:
        columns.append(Column("accuracy", "accuracy", words.percent))
    if len({row["data"] for row in rows}) > 1:
        columns.append(Column("chance", "chance", words.percent))
    return columns


def of_several(runs: Runs, pairs: Pairs, rows: Sequence[Row]) -> Verdict:
    """Who is ahead where there are several methods; of data with one method, how it stands to zero-shot.

    Args:
        rows: of `with_leading`.
    """
    places = list(dict.fromkeys(run.cell.place for run in runs))
    labels = {place: {run.label for run in runs if run.cell.place == place} for place in places}
    several = [place for place in places if len(labels[place]) > 1]
    alone = [run for run in runs if run.cell.place not in several]
    if not several:
        return beside_zero_shot(alone)
    answered = verdict.of_several([run for run in runs if run.cell.place in several], pairs)
    besides = [f"Data with one method: {text}" for text in _beside_zero_shot(alone)[0]] if alone else []
    leads = [lead for place in several if (lead := _of_place(place, places, rows))]
    if not leads:
        return Verdict(answered.kind, answered.lead, [*answered.sentences, *besides])
    fell = any(_novel_fell(ranking[0]) for place in several if (ranking := _ranked(place, rows)[0]))
    kind: Kind = "even" if answered.kind == "gain" and fell else answered.kind
    sentences = [text for texts in leads for text in texts[1:]]
    first, *others = [texts[0] for texts in leads]
    return Verdict(kind, first, [*others, *sentences, answered.lead, *answered.sentences, *besides])


def _ranked(place: Place, rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The measured rows of a place at the usual number of shots, the highest first, and how a caption says so."""
    known = [row for row in at(rows, place) if row["lead_mean"] is not None]
    ranking, said = at_shots(known) if known else ([], "")
    return sorted(ranking, key=lambda row: -row["lead_mean"]), said


def _novel_fell(row: Row) -> bool:
    return row["novel"] is not None and row["novel_zero_shot"] is not None and row["novel"] < row["novel_zero_shot"]


def _of_place(place: Place, places: Sequence[Place], rows: Sequence[Row]) -> list[str] | None:
    """What leads at a place where that is not the accuracy, in sentences."""
    ranking, said = _ranked(place, rows)
    if not ranking or all(row["lead"] == "accuracy" for row in ranking):
        return None
    title = ranking[0]["lead_title"]
    where = f"{told_apart(place, places)}, {title}" if len(places) > 1 else f"{title[0].upper()}{title[1:]}"
    ranked = ", ".join(f"{row['label']} {words.percent(row['lead_mean'])}" for row in ranking)
    zero_shot = words.percent(ranking[0]["lead_zero_shot"])
    texts = [f"{where}{said}: {ranked}; zero-shot {zero_shot}."]
    if ranking[0]["lead"] == "harmonic mean":
        texts += [f"{row['label']}: {_moved(row, 'base')}, {_moved(row, 'novel')}." for row in ranking]
        return texts
    ranked = ", ".join(f"{row['label']} {words.percent(row['accuracy'])}" for row in ranking)
    texts.append(f"The test's classes are unequal, so the mean over classes leads. Accuracy: {ranked}.")
    return texts


def _moved(row: Row, half: str) -> str:
    after, before = row[half], row[f"{half}_zero_shot"]
    if after is None or before is None:
        return f"{half} {words.percent(after)}"
    lost = " (lost)" if after < before and half == "novel" else ""
    return f"{half} {words.percent(before)} → {words.percent(after)}{lost}"


def beside_zero_shot(runs: Runs) -> Verdict:
    """Runs that nothing is to be compared with: on which data each is better than the untouched backbone."""
    told, verdict_of_all = _beside_zero_shot(runs)
    if len({run.label for run in runs}) > 1:
        told = [*told, "No two methods ran on the same data, so none is compared with another."]
    return Verdict(verdict_of_all[0], verdict_of_all[1], told)


def _beside_zero_shot(runs: Runs) -> tuple[list[str], tuple[Kind, str]]:
    """Sentences by outcome; the kind and the words for all.

    A method with at least three seeds is judged over seeds and test images (decision 0016), corrected by Holm for all
    such lines; each other run by itself, over its test images.
    """
    groups: dict[tuple, list[Named[Record]]] = defaultdict(list)
    for run in runs:
        groups[(run.cell.place, run.label, run.cell.shots)].append(run)
    over_seeds = {key: row for key, group in groups.items() if (row := _gain_over_seeds(group))}
    corrected = dict(zip(over_seeds, holm([row.p for row in over_seeds.values()])))
    by_kind: dict[Kind, list[str]] = defaultdict(list)
    for key, group in groups.items():
        if key in over_seeds:
            kind, text = _told_over_seeds(group, over_seeds[key].interval, corrected[key])
            by_kind[kind].append(text)
        else:
            for run in group:
                by_kind[answer.of_one(run.record).kind].append(_told_alone(run, len(group) > 1))
    titles: dict[Kind, str] = {
        "gain": "Better than zero-shot",
        "loss": "Worse",
        "even": "No clear difference",
        "unknown": "Nothing to compare with",
    }
    sentences = [f"{title}: {'; '.join(by_kind[kind])}." for kind, title in titles.items() if by_kind[kind]]
    kinds = {kind for kind, texts in by_kind.items() if texts}
    of_all: Kind = kinds.pop() if len(kinds) == 1 else "even"
    lines = words.these(sum(map(len, by_kind.values())), "comparison" if over_seeds else "run")
    return sentences, (of_all, f"Better than zero-shot in {len(by_kind['gain'])} of {lines}.")


def _told_alone(run: Named[Record], repeated: bool) -> str:
    gain = leading(run.record).gain
    moved = "" if gain is None else f" {words.points(gain)} points"
    seed = f", seed {run.cell.seed}" if run.cell.seed is not None and repeated else ""
    return f"{run.label}, {run.cell.place.data}, {shots_text(run.cell.shots)}{seed}{moved}"


def _told_over_seeds(group: Runs, interval: tuple[float, float], p: float) -> tuple[Kind, str]:
    gains = [gain for run in group if (gain := leading(run.record).gain) is not None]
    mean, _ = mean_and_deviation(gains)
    kind: Kind = "even" if p >= LEVEL or mean is None else "gain" if mean > 0 else "loss"
    where = f"{group[0].label}, {group[0].cell.place.data}, {shots_text(group[0].cell.shots)}"
    told = f"95 % {words.difference_interval(interval)}; {words.p_value(p)}"
    return kind, f"{where}, {words.these(len(group), 'seed')} {words.points(mean)} points ({told})"


def _gain_over_seeds(group: Runs) -> Judged | None:
    """Gains over the untouched backbone of one method's runs judged together; None of too few, or without files."""
    drawn = []
    for run in group:
        after, before = scores(run.record), scores(run.record, untouched=True)
        if after is None or before is None or after.paths != before.paths:
            return None
        drawn.append(Drawn(run.cell.seed, after.paths, after.values - before.values))
    if len({each.draw for each in drawn}) < ENOUGH_DRAWS:
        return None
    return judged([mean_difference(drawn)])[0]


def without_chance(rows: Sequence[Row], runs: Sequence[Named[Any]]) -> tuple[list[Row], list[str]]:
    """Rows without what was forgotten of things the untouched backbone does not know; notes on what is left out."""
    unknown = {row["name"]: row for run in runs for row in retention(run.record) if row["at_chance"]}
    kept = [row | {"retention": {k: v for k, v in row["retention"].items() if k not in unknown}} for row in rows]
    notes = [
        f"{name} is left out: the untouched backbone is at chance there ({words.percent(row['before'])}, guessing "
        f"{words.percent(row['chance'])}), so a change tells nothing."
        for name, row in unknown.items()
    ]
    return kept, notes
