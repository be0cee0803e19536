"""What a study ends in: run folders → the table, the figures and the comparison of its runs, as files.

OUT/<study>/report.html  report.md  runs.csv    the page;  every run a line
OUT/<study>/table.csv                           every cell of the table a line, fractions, the paper's beside
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cliptune.files import write_text
from cliptune.report import segment_compare, words
from cliptune.report.blocks import Block, Drawing, Items, Page, Section, Table, Text, Verdict
from cliptune.report.compare import Named, groups, name_all
from cliptune.report.features import drawn
from cliptune.report.page import PAGES, markdown, render, tex, write_figures
from cliptune.report.papers import DICE, AnyRecord
from cliptune.report.plots_ablation import headed, setting_curve, setting_rows, setting_table
from cliptune.report.plots_loss import loss_curves
from cliptune.report.plots_selection import selection_maps
from cliptune.report.read import Record
from cliptune.report.several_costs import costs
from cliptune.report.tables import Column, Row
from cliptune.report.writing import to_csv
from cliptune.studies import pivot, pivot_blocks
from cliptune.studies.conduct import failures
from cliptune.studies.estimate import sizes
from cliptune.studies.pool import Pool
from cliptune.studies.study import Job, Study


def folder_of(study: Study, pool: Pool) -> Path:
    return pool.out / (study.name + ("-small" if study.small else ""))


def write(study: Study, pool: Pool) -> list[Path]:
    """Write what there is to tell so far; every file written, the page first."""
    folder = folder_of(study, pool)
    if study.about.runs:
        page, numbers = runs_page(study, pool, finished(study, pool))
    else:
        page, numbers = sizes_page(study)
    texts = {
        "report.html": render(page),
        "report.md": markdown(page),
        "report.tex": tex(page),
        "table.csv": to_csv(numbers),
        "runs.csv": to_csv(page.rows),
    }
    for name, text in texts.items():
        if text.strip():
            write_text(folder / name, text)
    return [*(folder / name for name, text in texts.items() if text.strip()), *write_figures(page, folder / "plots")]


def finished(study: Study, pool: Pool) -> list[tuple[Job, AnyRecord]]:
    """The finished runs, in the order of the study; a run that two labels share is there twice."""
    records: dict[str, AnyRecord] = {}
    for job in study.jobs:
        if job.key not in records and pool.state(job) == "finished":
            records[job.key] = PAGES[study.task].read(pool.folder(job))
    return [(job, records[job.key]) for job in study.jobs if job.key in records]


def runs_page(study: Study, pool: Pool, done: Sequence[tuple[Job, AnyRecord]]) -> tuple[Page, list[dict]]:
    """The page of a study that trains."""
    table = pivot.pivot(study, done)
    first = Section("table", "The table", pivot_blocks.blocks(study, table, pivot.unequal_sets(done)))
    state = Section("state", "Runs of this study", state_blocks(study, pool))
    title, subtitle = study.about.title, subtitle_of(study, len({job.key for job, _ in done}))
    touched = {job.row.label for job in study.jobs if not job.faithful}
    reported = {
        row.label: (study.about.source, row.published)
        for row in study.rows
        if row.published and row.label not in touched and row.recipe != "zero_shot"
    }
    labels = [job.label for job, _ in done]
    figures = figure_sections(study, done)
    if len(done) < 2:
        verdict = Verdict("unknown", "Too few runs have finished to compare any.")
        return Page(title, subtitle, verdict, [], [first, *figures, state]), table.numbers()
    compared = PAGES[study.task].several([record for _, record in done], labels, reported)
    shown = {section.anchor for section in figures}
    rest = [section for section in compared.sections if section.anchor not in shown]
    sections = [first, *figures, state, *rest]
    return Page(title, subtitle, compared.verdict, compared.tiles, sections, compared.rows), table.numbers()


def figure_sections(study: Study, done: Sequence[tuple[Job, AnyRecord]]) -> list[Section]:
    """What the study shows; `shots` is among the sections of every comparison."""
    runs, _ = name_all([record for _, record in done], [job.label for job, _ in done])
    if not runs:
        return []
    found = []
    for kind in study.about.shows:
        match kind:
            case "loss":
                found.append(Section("losses", "How the loss fell", loss_curves(runs)))
            case "selection":
                found.append(Section("picks", "Which tensors were picked", selection_maps(runs)))
            case "curve":
                found += [curve_section(study, done, key) for key in study.about.over]
            case "features":
                found.append(Section("features", "Image features before and after", features_blocks(done)))
            case "efficiency":
                found.append(
                    Section("efficiency", "What it costs", [*costs(costs_of(study, runs), runs), *papers_costs(study)])
                )
    return found


def costs_of(study: Study, runs: Sequence[Named]) -> list[Row]:
    return segment_compare.groups(runs) if study.task == "segment" else groups(runs)


def papers_costs(study: Study) -> list[Block]:
    """What the source reports of seconds and speed, on its own machine: no difference is told."""
    told = (
        [each for each in pivot_blocks.values_of(study.about.source) if each.metric not in ("top1", DICE)]
        if study.about.source
        else []
    )
    rows: dict[str, Row] = {}
    for each in told:
        rows.setdefault(each.method, {"label": each.method})[each.metric] = each.value
    metrics = list(dict.fromkeys(each.metric for each in told))
    columns = (Column("label", "method"), *(Column(name, name, words.count) for name in metrics))
    return [Table(f"The paper's ({study.about.source}), on its machine", columns, list(rows.values()))] if rows else []


def curve_section(study: Study, done: Sequence[tuple[Job, AnyRecord]], key: str) -> Section:
    """Accuracy, or what leads, against one setting, the others of `over` as the recipe has them."""
    others = [other for other in study.about.over if other != key]
    chosen = [(job, record) for job, record in done if not any(other in job.varied for other in others)]
    runs, _ = name_all([record for _, record in chosen], [job.label for job, _ in chosen])
    blocks: list[Block] = [Text(f"No run with another {key} has finished.", missing=True)]
    measured = "Accuracy"
    if runs:
        measured = headed(setting_rows(runs, key))
        blocks = [setting_curve(runs, key, name=f"curve-{key.replace('.', '-')}"), setting_table(runs, key)]
    return Section(f"curve-{key.replace('.', '-')}", f"{measured} against {key}", blocks)


def features_blocks(done: Sequence[tuple[Job, AnyRecord]]) -> list[Block]:
    """A picture for the first seed of every label and data set."""
    first: dict[tuple[str, str], Record] = {}
    for job, record in done:
        if isinstance(record, Record):
            first.setdefault((job.label, record.data), record)
    blocks: list[Block] = []
    for (label, data), record in first.items():
        told = drawn(record)
        named = [
            dataclasses.replace(block, name=f"features-{len(blocks)}") if isinstance(block, Drawing) else block
            for block in told
        ]
        blocks += [Text(f"{label}, {data}, seed {record.run.get('seed')}"), *named]
    return blocks


def subtitle_of(study: Study, done: int) -> str:
    form = "small form, " if study.small else ""
    return f"{study.name}: {form}{done} of {words.these(len({job.key for job in study.jobs}), 'run')} finished"


def state_blocks(study: Study, pool: Pool) -> list[Block]:
    """How many runs are there, and why others are not."""
    jobs = {job.key: job for job in study.jobs}
    states = [pool.state(job) for job in jobs.values()]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    blocks: list[Block] = [Text(f"Runs lie in {pool.runs}: {', '.join(counts)}.")]
    if failed := failures(study, pool):
        blocks.append(Items("Failed", [f"{job}: {what} → {fix}" for job, (what, fix) in failed]))
    return blocks


def sizes_page(study: Study) -> tuple[Page, list[dict]]:
    """The page of a table of sizes."""
    rows = sizes(study.jobs)
    told = pivot_blocks.values_of(study.about.source)
    theirs = {each.method: each.value for each in told if each.metric.endswith("parameters (%)")}
    rows = [row | {"paper": theirs.get(row["published"])} for row in rows]
    columns = (
        Column("label", "method"),
        Column("model", "backbone"),
        Column("trainable_most", "trainable numbers", words.count),
        Column("trainable_percent", "per cent of the model", words.share),
        Column("paper", "paper, per cent", words.share),
    )
    blocks: list[Block] = [Table("Trainable numbers", columns, rows)] if rows else []
    blocks += [Text(study.about.note)] if study.about.note else []
    verdict = Verdict("unknown", "Nothing is trained for this table.")
    sections = [Section("table", "The table", [*blocks, *pivot_blocks.theirs(study)])]
    return Page(study.about.title, study.name, verdict, [], sections), rows
