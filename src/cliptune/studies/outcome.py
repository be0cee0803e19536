"""What a study ends in: run folders → the table, the figures and the comparison of its runs, as files.

OUT/<study>/report.html  report.md  runs.csv    the page;  every run a line
OUT/<study>/table.csv                           every cell of the table a line, fractions, the paper's beside
"""

from collections.abc import Sequence
from pathlib import Path

from cliptune.files import write_text
from cliptune.report import several_runs, words
from cliptune.report.blocks import Block, Items, Page, Section, Table, Text, Verdict
from cliptune.report.page import markdown, render
from cliptune.report.read import Record, read_record
from cliptune.report.tables import Column, to_csv
from cliptune.studies import pivot
from cliptune.studies.conduct import failures
from cliptune.studies.estimate import sizes
from cliptune.studies.pool import Pool
from cliptune.studies.study import Job, Study


def folder_of(study: Study, pool: Pool) -> Path:
    return pool.out / (study.name + ("-small" if study.small else ""))


def write(study: Study, pool: Pool) -> list[Path]:
    """Write what there is to tell so far; every file written, the page first."""
    folder = folder_of(study, pool)
    if not study.about.runs:
        page, numbers = sizes_page(study)
    else:
        done = finished(study, pool)
        page, numbers = runs_page(study, pool, done)
    texts = {"report.html": render(page), "report.md": markdown(page), "table.csv": to_csv(numbers)}
    if page.rows:
        texts["runs.csv"] = to_csv(page.rows)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def finished(study: Study, pool: Pool) -> list[tuple[Job, Record]]:
    """The finished runs, in the order of the study; a run that two labels share is there twice."""
    records: dict[str, Record] = {}
    for job in study.jobs:
        if job.key not in records and pool.state(job) == "finished":
            records[job.key] = read_record(pool.folder(job))
    return [(job, records[job.key]) for job in study.jobs if job.key in records]


def runs_page(study: Study, pool: Pool, done: Sequence[tuple[Job, Record]]) -> tuple[Page, list[dict]]:
    """The page of a study that trains."""
    table = pivot.pivot(study, done)
    first = Section("table", "The table", pivot.blocks(study, table))
    state = Section("state", "Runs of this study", state_blocks(study, pool))
    title, subtitle = study.about.title, subtitle_of(study, len({job.key for job, _ in done}))
    if len(done) < 2:
        verdict = Verdict("unknown", "Too few runs have finished to compare any.")
        return Page(title, subtitle, verdict, [], [first, state]), table.numbers()
    compared = several_runs.page_of([record for _, record in done], [job.label for job, _ in done])
    page = Page(title, subtitle, compared.verdict, compared.tiles, [first, state, *compared.sections], compared.rows)
    return page, table.numbers()


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
    told = pivot.values_of(study.about.source)
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
    verdict = Verdict("unknown", "Sizes only: nothing was trained.")
    sections = [Section("table", "The table", [*blocks, *pivot.theirs(study)])]
    return Page(study.about.title, study.name, verdict, [], sections), rows
