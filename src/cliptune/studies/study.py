"""What a study is: a table's lines, and a job for every run. `reading.py` makes one from strict TOML.

    [study]      title, source, shows …                                 `About`
    [settings]   dotted settings of every run; a list is an axis, so [1, 2, 3] makes three runs
    [[cases]]    further settings, lists again axes; the grid is the union over cases
    [[methods]]  label, recipe, settings …                              `Row`
    [small]      settings, cases: what stands in their place in the form that runs anywhere in minutes

A setting that is itself a list stands in a second pair of brackets. `[[methods]]` settings are no axes.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cliptune import recipe as recipes
from cliptune.counted import these
from cliptune.errors import UserError
from cliptune.recipe import Recipe
from cliptune.runs import run_name

Picture = Literal["shots", "loss", "selection", "curve", "features", "efficiency"]
PLACES = ("data.name", "data.root", "model.name", "protocol.name", "protocol.target", "protocol.shots", "protocol.seed")
"""settings that say where a method is tried, not what is tried; so do those below where a data set has its own"""
OF_A_SET = ("data.", "protocol.", "segment.")
"""tables whose settings may be a data set's own, like the split that its target is tested on"""


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
    """a method, a shipped recipe or a TOML file. `zero_shot` has runs of its own only where no other line's runs have
    its prompts and tests: every run measures the untouched backbone"""
    published: str = ""
    """what the source calls it; empty where it has no such line"""
    settings: dict = field(default_factory=dict)
    """dotted settings; they win over the study's"""
    small: dict = field(default_factory=dict)
    """further ones in the small form"""
    in_small: bool = True
    """false: the small form, on other data, lacks this line"""


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    row: Row
    options: Mapping[str, Any]
    """dotted settings, on top of the row's recipe"""
    preset: str
    tables: Mapping[str, Any] = field(default_factory=dict)
    """of the row's recipe, as it was when the study was read; with [segment] where images are marked"""
    varied: tuple[str, ...] = ()
    """settings, not of a place, that differ between runs of a row"""
    faithful: bool = False
    """whether all but the place is as the study says: nothing typed, no setting varied, the paper's preset"""

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            UserError: a setting that does not exist, or a wrong value.
        """
        return recipes.assemble(self.tables, self.options, self.preset)

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of what determines the run: equal keys are the same run, whatever study asks for it."""
        return sha256(self.recipe.essence())

    @functools.cached_property
    def untouched(self) -> str:
        """SHA-256 of what determines what the untouched backbone reaches: tests and prompts, not shots or seed."""
        essence = self.recipe.essence()
        drawn = ("shots", "seed", "sampler", "repeat")
        protocol = {key: value for key, value in essence["protocol"].items() if key not in drawn}
        data = resolved_prompt(essence["data"])
        known = {"data": data, "model": essence["model"], "protocol": protocol}
        if segment := essence.get("segment"):
            known["segment"] = {key: segment[key] for key in ("prompt", "words", "side", "threshold")}
        return sha256(known)

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
        unit = "image" if self.recipe.task == "segment" else "shot"
        words.insert(3, "" if isinstance(shots, str) else these(shots, unit))
        return ", ".join(word for word in words if word)


@dataclass(frozen=True)
class Study:
    """A grid of runs and what it ends in."""

    name: str
    about: About
    rows: tuple[Row, ...]
    jobs: tuple[Job, ...]
    """what is run"""
    untouched: tuple[Job, ...] = ()
    """the lines of zero-shot: read from whatever run has their tests and prompts (`Job.untouched`)"""
    small: bool = False

    @property
    def task(self) -> str:
        """classify or segment: all runs have the same"""
        return next((job.recipe.task for job in (*self.jobs, *self.untouched)), "classify")

    def only(self, text: str) -> "Study":
        """The jobs whose description contains `text`, whatever its case.

        Raises:
            UserError: there is none.
        """
        kept = tuple(job for job in self.jobs if text.casefold() in str(job).casefold())
        if not kept:
            raise UserError(f"--only {text!r}: no run of {self.name} is called so", "see them with --dry-run")
        return replace(self, jobs=kept)


def resolved_prompt(data: Mapping[str, Any]) -> dict[str, Any]:
    """[data] without a template that says what the set's own says: the prompts are the same, whoever names them.

    Of data that no module of `datasets.sets` describes (somebody's own images) the default of an `ImageSet` is taken.
    """
    template = data.get("template") or ""
    return {**data, "template": "" if template in (own_template(str(data.get("name"))), "") else template}


@functools.cache
def own_template(name: str) -> str:
    """The first prompt template of a data set, without opening it."""
    from importlib import import_module

    from cliptune.datasets import find_set, sets
    from cliptune.datasets.published import PHOTO

    try:
        module = import_module(f"{sets.__name__}.{find_set(name).partition('/')[0]}")
    except UserError:
        return PHOTO
    facts = getattr(module, "FACTS", None)
    return facts.templates[0] if facts and facts.templates else ""


def sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def described(jobs: Iterable[Job]) -> dict[str, list[Any]]:
    """The values each axis takes, for people: {'data.name': ['digits'], 'protocol.shots': [1, 4], …}."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        for key, value in job.options.items():
            found.setdefault(key, {})[repr(value)] = value
    return {key: list(values.values()) for key, values in found.items()}
