"""Strict TOML → Study. Every setting of every job is checked when the study is read, so a mistake runs nothing."""

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from cliptune import published, registry, settings
from cliptune import recipe as recipes
from cliptune.datasets import find_set, mask_sets
from cliptune.datasets.code import refuse_untyped, typed_code
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.studies.study import OF_A_SET, PLACES, About, Job, Row, Study
from cliptune.tasks import with_task
from cliptune.texts import read_text

NEUTRAL = (*PLACES, "data.missing", "train.dtype", "train.chunk", "train.text_chunk", "train.checkpoint_seconds")
"""what may be typed and the paper's values still stand beside ours; tables `evaluate` and `shortcuts` may too"""
UNTOUCHED = ("data.", "model.", "protocol.", "segment.")
"""settings that reach the untouched backbone"""
DRAWN_OF_DICE = ("shots", "selection", "efficiency")
"""what a study of segmentation can show"""


def shipped() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(str(resources.files("cliptune.studies") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(name: str, small: bool = False, chosen: Mapping[str, Any] | None = None) -> Study:
    """The study called `name` (a shipped one or a TOML file), every setting of every job checked.

    Args:
        small: its small form.
        chosen: dotted settings that win over the study's; a list is an axis.

    Raises:
        UserError: no such study, broken TOML, an unknown table, key, recipe, data set, published name or value.
    """
    known = shipped()
    path = user_path(name)
    if path.suffix == ".toml" and not path.is_file():
        raise UserError(f"{name}: no such file", "give a study's file, or a name of `cliptune list studies`")
    if path.suffix != ".toml":
        path = known[registry.find(name, known, "study")]
    try:
        tables = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as problem:
        raise UserError(
            f"{path}: not TOML ({str(problem)[:200]})", "see a shipped one: `cliptune show dora-table-1`"
        ) from None
    try:
        return read(path.stem, tables, small, chosen or {})
    except UserError as problem:
        raise UserError(f"{path.name}: {problem.what}", problem.fix) from None


def read(name: str, tables: Mapping[str, Any], small: bool, chosen: Mapping[str, Any]) -> Study:
    """A study from plain tables (see `load`)."""
    known = ("study", "settings", "cases", "methods", "small")
    for table in tables:
        if table not in known:
            raise UserError(f"[{table}]: no such table", f"known: {', '.join(known)}")
    about = settings.build(About, _table(tables, "study"), "study")
    rows = tuple(settings.build(Row, each, "methods") for each in _list(tables, "methods"))
    _check(about, rows)
    rows = tuple(row for row in rows if row.in_small or not small)
    common, cases = _table(tables, "settings"), _list(tables, "cases")
    preset: str = about.preset
    if small:
        other = _table(tables, "small")
        if not other and about.runs:
            raise UserError("there is no [small] form", "leave --small out")
        if unknown := other.keys() - {"settings", "cases"}:
            raise UserError(f"small.{min(unknown)}: no such setting", "known: settings, cases")
        common, cases, preset = _table(other, "settings"), _list(other, "cases"), "small"
    grid = [flat(common) | flat(case) for case in cases or [{}]]
    every = list(_jobs(rows, grid, preset, small, flat(chosen)))
    _one_task(about, every)
    untouched = tuple(job for job in every if job.recipe.method.name == "zero_shot")
    trained = [job for job in every if job.recipe.method.name != "zero_shot"]
    measured = {job.untouched for job in trained}
    alone = list({job.untouched: job for job in reversed(untouched) if job.untouched not in measured}.values())
    jobs = (*trained, *reversed(alone))
    if about.runs and not jobs:
        raise UserError("this study has no runs", "write [[methods]], and give every axis a value")
    for key in about.over:
        if not any(key in job.options for job in jobs):
            raise UserError(f"study.over: no run sets '{key}'", "name a setting of [settings] or [[cases]]")
    return Study(name, about, rows, jobs, untouched, small)


def _check(about: About, rows: Sequence[Row]) -> None:
    """Names that only the end of a study would miss."""
    if len({row.label for row in rows}) < len(rows):
        raise UserError("two [[methods]] have the same label", "give every line a label of its own")
    if ("curve" in about.shows) != bool(about.over):
        raise UserError('shows = ["curve"] and over go together', 'write both, like over = ["rank"]')
    sources = dict.fromkeys(each.source for each in published.results())
    if about.source and about.source not in sources:
        raise UserError(f"study.source = '{about.source}'", f"one of: {', '.join(sources)}")
    methods = dict.fromkeys(each.method for each in published.results() if each.source == about.source)
    for name in (*(row.published for row in rows), *about.not_reproducible):
        if name and name not in methods:
            raise UserError(f"nothing was published as '{name}' in '{about.source}'", f"there: {', '.join(methods)}")


def _one_task(about: About, jobs: Sequence[Job]) -> None:
    """Accuracy and Dice stand in no table together, and some pictures are of accuracies alone."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.recipe.task, job)
    if len(first) > 1:
        marks, classifies = first["segment"], first["classify"]
        told = f"'{marks}' marks images and '{classifies}' classifies: they have no measure in common"
        raise UserError(told, "write a study for each of the two")
    if "segment" in first and (other := [kind for kind in about.shows if kind not in DRAWN_OF_DICE]):
        raise UserError(
            f"study.shows: '{other[0]}' is drawn of classification", f"of segmentation: {', '.join(DRAWN_OF_DICE)}"
        )


def _jobs(
    rows: Sequence[Row], grid: Sequence[Mapping[str, Any]], preset: str, small: bool, chosen: Mapping[str, Any]
) -> Iterator[Job]:
    """Cases first, then axes in the order they are written, rows last: what is compared runs one after another."""
    seen = set()
    points = [point for case in grid for point in _points({**case, **chosen})]
    tables = {row.label: recipes.load_tables(row.recipe) for row in rows}
    differing = {key for key in {key for point in points for key in point} if _varies(key, points)}
    typed = any(key not in NEUTRAL and not key.startswith(("evaluate.", "shortcuts.")) for key in chosen)
    for point, row in itertools.product(points, rows):
        if tables[row.label]["method"]["name"] == "zero_shot":  # nothing else touches it
            point = {key: value for key, value in point.items() if key.startswith(UNTOUCHED)}
        own, less = flat(row.settings), flat(row.small)
        own |= less if small else {}
        free = (key for key in point if key not in PLACES and (key not in own or key in chosen))
        varied = tuple(key for key in free if key in differing)
        won = {key: value for key, value in point.items() if key in chosen}
        options = settled({**point, **own, **won})
        faithful = preset == "paper" and not typed and not varied
        job = Job(row, options, preset, with_task(tables[row.label], options, "auto"), varied, faithful)
        refuse_untyped(job.recipe.tables(), typed_code(chosen.values()))
        if (mark := (job.label, job.key)) not in seen:
            seen.add(mark)
            if less and not small:
                replace(job, options={**options, **less}).key  # noqa: B018  a mistake there is told in both forms
            yield job


def _varies(key: str, points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting differs between runs of a row; a data set's own differs only with the data set."""
    values: dict[str, set[str]] = {}
    for point in points:
        of_set = repr(point.get("data.name")) if key.startswith(OF_A_SET) else ""
        values.setdefault(of_set, set()).add(repr(point.get(key)))
    return any(len(found) > 1 for found in values.values())


def settled(options: Mapping[str, Any]) -> dict[str, Any]:
    """Data and model by one name: a data set's own, a folder by its whole path, so that equal runs have equal keys.

    Raises:
        UserError: a data set that is neither known nor a path.
    """
    found = dict(options)
    if name := str(options.get("data.name", "")):
        path = user_path(name)
        try:
            found["data.name"] = _set_of(name)
        except UserError:
            if not path.exists():
                raise
            found["data.name"] = str(path.resolve())
    model = user_path(str(options.get("model.name", "")))
    if "model.name" in options and model.is_dir():
        found["model.name"] = str(model.resolve())
    return found


def _set_of(name: str) -> str:
    """The name of a data set, of classification or with masks.

    Raises:
        UserError: there is none; offers the nearest.
    """
    head, slash, part = name.partition("/")
    try:
        return find_set(head) + slash + part
    except UserError:
        try:
            return mask_sets.find_masks(name)
        except UserError as problem:
            if registry.nearest(name, mask_sets.names()):
                raise problem from None
        raise


def _points(axes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    values = [value if isinstance(value, list) else [value] for value in axes.values()]
    for choice in itertools.product(*values):
        yield dict(zip(axes, choice, strict=True))


def flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """{'train': {'lr': 1}} → {'train.lr': 1}; the method's settings stand bare, as `k`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}".removeprefix("method."): each for inner, each in flat(value).items()}
        else:
            found[key.removeprefix("method.")] = value
    return found


def _table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name, {})
    if not isinstance(found, dict):
        raise UserError(f"{name} = {found!r}: not a table", f"write [{name}] and its settings below")
    return found


def _list(tables: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = tables.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UserError(f"{name} = {found!r}: not a list of tables", f"write [[{name}]] for every one of them")
    return found
