"""A study as it is written: strict TOML in, a list of jobs out. Nothing is run here.

    [study]      title, source, shows …                                 `About`
    [settings]   dotted settings of every run; a list is an axis, so [1, 2, 3] makes three runs
    [[cases]]    further settings, lists again axes; the grid is the union over cases
    [[methods]]  label, recipe, settings …                              `Row`
    [small]      settings, cases: what stands in their place in the form that runs anywhere in minutes

A setting that is itself a list stands in a second pair of brackets. `[[methods]]` settings are no axes.
"""

import functools
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from cliptune import recipe as recipes
from cliptune import registry, settings
from cliptune.errors import UserError
from cliptune.recipe import Recipe
from cliptune.runs import run_name

Picture = Literal["shots", "loss", "selection", "curve", "features", "efficiency"]
PLACES = ("data.", "model.", "protocol.")
"""settings that say where a method is tried, not what is tried"""


@dataclass(frozen=True)
class About:
    """The table [study]."""

    title: str = ""
    """one line"""
    source: str = ""
    """the table of a paper, as `cliptune.published` names it, whose numbers stand beside ours"""
    preset: Literal["paper", "small"] = "paper"
    """whose defaults the runs take; the small form takes small"""
    runs: bool = True
    """false: a table of sizes, nothing is trained"""
    shows: tuple[Picture, ...] = ("shots",)
    """what is drawn beside the table"""
    over: tuple[str, ...] = ()
    """`curve`: settings along the x axis of a picture each, like k or train.lr"""
    not_reproducible: tuple[str, ...] = ()
    """methods of the source that cannot be rebuilt; the paper's value stays"""
    note: str = ""
    """a sentence below the table"""


@dataclass(frozen=True)
class Row:
    """A table [[methods]]: one line of the study's table."""

    label: str
    """what it is called here"""
    recipe: str
    """a method, a shipped recipe or a TOML file. `zero_shot` beside others makes no runs of its own: every run measures
    the untouched backbone on its tests"""
    published: str = ""
    """what the source calls it; empty where it has no such line"""
    settings: dict = field(default_factory=dict)
    """dotted settings; they win over the study's"""
    small: dict = field(default_factory=dict)
    """further ones in the small form"""


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    row: Row
    options: Mapping[str, Any]
    """dotted settings, on top of the row's recipe"""
    preset: str
    varied: tuple[str, ...] = ()
    """settings, not of a place, that differ between runs of a row"""

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            UserError: a setting that does not exist, or a wrong value.
        """
        return recipes.assemble(recipes.load_tables(self.row.recipe), self.options, self.preset)

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of what determines the run: equal keys are the same run, whatever study asks for it."""
        text = json.dumps(self.recipe.essence(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Its folder below `runs/`."""
        return f"{run_name(self.recipe)}-{self.key[:10]}"

    @property
    def label(self) -> str:
        """The row's label, and those settings in which its runs differ."""
        return " ".join(
            [self.row.label, *(f"{key.removeprefix('method.')}={self.options[key]}" for key in self.varied)]
        )

    def __str__(self) -> str:
        protocol = self.recipe.protocol
        words = [self.label, self.recipe.data.name, self.recipe.model.name, protocol.target, f"seed {protocol.seed}"]
        shots = protocol.shots
        words.insert(3, "" if isinstance(shots, str) else f"{shots} shot{'s' if shots > 1 else ''}")
        return ", ".join(word for word in words if word)


@dataclass(frozen=True)
class Study:
    """A grid of runs and what it ends in."""

    name: str
    about: About
    rows: tuple[Row, ...]
    jobs: tuple[Job, ...]
    small: bool = False

    def only(self, text: str) -> "Study":
        """The jobs whose description contains `text`, whatever its case.

        Raises:
            UserError: there is none.
        """
        kept = tuple(job for job in self.jobs if text.casefold() in str(job).casefold())
        if not kept:
            raise UserError(f"--only {text!r}: no run of {self.name} is called so", "see them with --dry-run")
        return Study(self.name, self.about, self.rows, kept, self.small)


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
        UserError: no such study, broken TOML, an unknown table, key, recipe or value.
    """
    known = shipped()
    path = Path(name).expanduser()
    if path.suffix != ".toml" or not path.is_file():
        path = known[registry.find(name, known, "study")]
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: not TOML ({problem})", "see a shipped one: `cliptune show dora-table-1`") from None
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
    if len({row.label for row in rows}) < len(rows):
        raise UserError("two [[methods]] have the same label", "give every line a label of its own")
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
    jobs = _jobs(rows, grid, preset, small, flat(chosen))
    return Study(name, about, rows, tuple(jobs), small)


def _jobs(
    rows: Sequence[Row], grid: Sequence[Mapping[str, Any]], preset: str, small: bool, chosen: Mapping[str, Any]
) -> Iterator[Job]:
    """Cases first, then axes in the order they are written, rows last: what is compared runs one after another."""
    seen = set()
    points = [point for case in grid for point in _points({**case, **chosen})]
    trained = [row for row in rows if row.recipe != "zero_shot"] or rows
    for point, row in itertools.product(points, trained):
        own = flat(row.settings) | (flat(row.small) if small else {})
        free = (key for key in point if not key.startswith(PLACES) and (key not in own or key in chosen))
        varied = tuple(key for key in free if len({repr(each.get(key)) for each in points}) > 1)
        won = {key: value for key, value in point.items() if key in chosen}
        job = Job(row, {**point, **own, **won}, preset, varied)
        if (mark := (job.label, job.key)) not in seen:
            seen.add(mark)
            yield job


def _points(axes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    values = [value if isinstance(value, list) else [value] for value in axes.values()]
    for choice in itertools.product(*values):
        yield dict(zip(axes, choice, strict=True))


def flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """{'train': {'lr': 1}} → {'train.lr': 1}; a bare key is the method's."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": each for inner, each in flat(value).items()}
        else:
            found[key] = value
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


def described(jobs: Iterable[Job]) -> dict[str, list[Any]]:
    """The values each axis takes, for people: {'data.name': ['digits'], 'protocol.shots': [1, 4], …}."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        for key, value in job.options.items():
            found.setdefault(key, {})[repr(value)] = value
    return {key: list(values.values()) for key, values in found.items()}
