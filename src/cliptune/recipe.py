"""A recipe: everything that determines a run, as strict TOML tables and frozen dataclasses.

A recipe is built from four layers, the later winning: the fields' defaults, the method's preset, a recipe file, and
`--set` and the other options. The run folder keeps the resolved result; training from it repeats the run.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cliptune import registry, settings
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.methods import METHODS
from cliptune.models.shortcuts import Shortcuts
from cliptune.protocols import shots_of
from cliptune.recipe_numbers import check_numbers
from cliptune.recipe_presets import fill, foreign_lengths, overlay, preset_of
from cliptune.recipe_tables import (
    DataSettings,
    EvaluateSettings,
    Header,
    LossSettings,
    ModelSettings,
    ProtocolSettings,
    SegmentSettings,
    TrainSettings,
)
from cliptune.texts import read_text

if TYPE_CHECKING:
    from cliptune.methods.base import Method

SMALL_BACKBONE = 20_000_000
"""parameters under which `preset = "auto"` takes the small preset"""


@dataclass(frozen=True)
class Recipe:
    """All that determines a run."""

    method: "Method"
    preset: str = "paper"
    """whose defaults were taken: paper or small"""
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    shortcuts: Shortcuts = field(default_factory=Shortcuts)
    segment: SegmentSettings | None = None
    """only where the task is segmentation"""

    @property
    def task(self) -> str:
        """classify or segment"""
        return "classify" if self.segment is None else "segment"

    @property
    def shots(self) -> int | None:
        """Training images a class, of segmentation in all; None is all there are (the default of segmentation)."""
        if self.segment is not None and self.protocol.shots == "auto":
            return None
        return shots_of(self.protocol)

    def __post_init__(self) -> None:
        check_numbers(self)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Plain values, one table a section."""
        tables: dict[str, dict[str, Any]] = {"recipe": {"preset": self.preset}}
        tables["method"] = {"name": self.method.name, **settings.plain(self.method)}
        for section in SECTIONS:
            if getattr(self, section) is not None:
                tables[section] = settings.plain(getattr(self, section))
        return tables

    def to_toml(self) -> str:
        return settings.to_toml(self.tables())

    def essence(self) -> dict[str, dict[str, Any]]:
        """The settings that decide a run's result; where the data lies and how often state is saved do not."""
        tables = self.tables()
        del tables["data"]["root"], tables["data"]["missing"]  # the episode's hash tells what was left out
        del tables["train"]["checkpoint_seconds"], tables["evaluate"]["batch"]
        return tables


SECTIONS = ("data", "model", "protocol", "train", "loss", "evaluate", "shortcuts", "segment")
KINDS: dict[str, Any] = {
    "data": DataSettings,
    "model": ModelSettings,
    "protocol": ProtocolSettings,
    "train": TrainSettings,
    "loss": LossSettings,
    "evaluate": EvaluateSettings,
    "shortcuts": Shortcuts,
    "segment": SegmentSettings,
}
"""a recipe's tables beside [method] and [recipe]; [segment] makes the task segmentation"""

ONLY_CLASSIFY: dict[str, tuple[Any, ...]] = {
    "train.text_chunk": (0,),
    "evaluate.features": (False,),
    "evaluate.retention": ("auto", "none"),
    "data.split_seed": (0,),
    "protocol.sampler": ("dassl",),
    "protocol.repeat": ("auto",),
}
"""settings that segmentation does not read, and the values that say nothing"""


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(resources.files("cliptune") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_method(name: str) -> "type[Method]":
    """The class registered under a method's name."""
    return registry.lookup(name, METHODS, "method")


def load_tables(name: str) -> dict[str, dict[str, Any]]:
    """The tables behind 'dora' (a method), 'few-shot-dora' (a shipped recipe) or a path to a TOML file.

    Raises:
        UserError: nothing of that name, unreadable file, broken TOML, no [method] name.
    """
    recipes = shipped()
    path = user_path(name)
    if (path / "recipe.toml").is_file():
        path = path / "recipe.toml"
    if path.suffix.lower() in (".yaml", ".yml", ".json", ".py") or (path.suffix == ".toml" and not path.is_file()):
        what = "no such file" if path.suffix == ".toml" else "a recipe is a TOML file"
        raise UserError(f"{name}: {what}", "cliptune show few-shot-dora prints one; that of a run: RUN/recipe.toml")
    if name in METHODS or name in recipes or not path.is_file():
        known = registry.find(name, [*METHODS, *recipes], "method or recipe")
        if known in METHODS:
            return {"method": {"name": known}}
        path = recipes[known]
    try:
        tables = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as problem:  # not TOML, or a number of thousands of digits
        raise UserError(
            f"{path}: not TOML ({str(problem)[:200]})", "see the shipped recipes: `cliptune show few-shot-dora`"
        ) from None
    if not isinstance(tables.get("method"), dict) or "name" not in tables["method"]:
        raise UserError(f"{path}: no [method] name", f'add [method] with name = "dora"; known: {", ".join(METHODS)}')
    return tables


def resolve(
    name: str,
    options: Mapping[str, Any] | None = None,
    preset: str = "auto",
    parameters: int | None = None,
) -> Recipe:
    """A recipe from a method's or recipe's name or file.

    Args:
        options: dotted key → value, winning over everything; a bare key is the method's.
        preset: 'paper', 'small', or 'auto' (small when the backbone has under 20 M parameters).
        parameters: of the backbone, for 'auto'.
    """
    return assemble(load_tables(name), options, preset, parameters)


def assemble(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any] | None = None,
    preset: str = "auto",
    parameters: int | None = None,
) -> Recipe:
    """A recipe from plain tables (see `resolve`).

    Raises:
        UserError: see `draft`; a setting that the method does not take.
    """
    merged, chosen = _layers(tables, options or {}, preset, parameters)
    segments = bool(merged["segment"]) or "segment" in tables
    drafted = _draft(merged, segments)  # before the method's class is imported, and torch with it
    method_class = find_method(str(merged["method"].pop("name")))
    defaults = preset_of(method_class, chosen, merged["segment"] if segments else None)
    fill(merged, defaults, whole=drafted.shots is None)
    method = settings.build(method_class, merged["method"])
    sections = _sections(merged, segments)
    _refuse_foreign(method, sections)
    return Recipe(method=method, preset=chosen, **sections)


def draft(
    tables: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None = None, preset: str = "auto"
) -> Recipe:
    """A recipe without a preset's values. Its method has a name and no settings: the class is not imported, nor torch.

    Raises:
        UserError: a table, setting or method that does not exist, or a wrong value.
    """
    merged, _ = _layers(tables, options or {}, preset, None)
    return _draft(merged, bool(merged["segment"]) or "segment" in tables)


def _draft(merged: Mapping[str, dict[str, Any]], segments: bool) -> Recipe:
    name = registry.find(str(merged["method"].get("name")), METHODS, "method")
    hints = settings.declared(METHODS[name])
    for key, value in merged["method"].items():
        if key == "name":
            continue
        _refuse_bare(key, name, hints)
        settings.refuse_unknown(key, hints)
        if (hint := hints[key]) is not None:
            settings.convert(value, hint, key)
    method: Any = SimpleNamespace(name=name)
    return Recipe(method, **_sections(merged, segments))


def _sections(merged: Mapping[str, dict[str, Any]], segments: bool) -> dict[str, Any]:
    return {name: settings.build(KINDS[name], merged[name], name) for name in SECTIONS if name != "segment" or segments}


def _layers(
    tables: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any], preset: str, parameters: int | None
) -> tuple[dict[str, dict[str, Any]], str]:
    """A recipe's tables with the options laid over them, and the preset that is taken: paper or small."""
    unknown = [section for section in tables if section not in (*SECTIONS, "method", "recipe")]
    if unknown:
        close = registry.nearest(unknown[0], SECTIONS)
        offer = f"did you mean [{close[0]}]? " if close else ""
        raise UserError(f"[{unknown[0]}]: no such table", f"{offer}known: {', '.join(['method', *SECTIONS])}")
    for section, table in tables.items():
        if not isinstance(table, Mapping):
            raise UserError(f"{section} = {table!r}: not a table", f"write [{section}] and its settings below")
    header = settings.build(Header, dict(tables.get("recipe", {})), "recipe")
    merged: dict[str, dict[str, Any]] = {section: dict(tables.get(section, {})) for section in ("method", *SECTIONS)}
    chosen = _preset(preset if preset != "auto" else header.preset, parameters)
    for key in foreign_lengths(tables, chosen):
        del merged["train"][key]
    overlay(merged["train"], options)
    for key, value in options.items():
        if key in ("name", "method", "method.name"):
            raise UserError(
                f"{key} = {value!r}: the method is not a setting", f"type it first: cliptune train {value} …"
            )
        section, _, name = key.rpartition(".")
        if (section or "method") not in merged:
            close = registry.nearest(section, SECTIONS)
            raise UserError(
                f"{key}: no such setting",
                f"sections: {', '.join(['method', *SECTIONS])}" if not close else f"did you mean {close[0]}.{name}?",
            )
        merged[section or "method"][name] = value
    return merged, chosen


def _refuse_foreign(method: "Method", sections: Mapping[str, Any]) -> None:
    """Settings that the other task alone reads."""
    task = "segment" if "segment" in sections else "classify"
    if task not in method.tasks:
        known = [name for name in METHODS if task in find_method(name).tasks]
        what = "classify" if task == "classify" else "mark images"
        raise UserError(f"{method.name} cannot be trained to {what}", f"methods that can: {', '.join(known)}")
    if task == "classify":
        return
    loss: LossSettings = sections["loss"]
    if loss.image or loss.text or loss.logits:
        raise UserError("[loss]: self-consistency terms compare class scores", "leave them out of segmentation")
    if method.ranks_gradients and sections["segment"].inert == "keep":
        raise UserError(
            f"{method.name} ranks gradients, and none reaches the blocks that segment.inert = keep adds",
            "leave segment.inert out",
        )
    for key, unset in ONLY_CLASSIFY.items():
        section, name = key.split(".")
        if getattr(sections[section], name) not in unset:
            raise UserError(f"{key} does nothing where images are marked", f"leave {key} out")
    if sections["protocol"].name not in ("few-shot", "full-data"):
        raise UserError(f"--protocol {sections['protocol'].name} is for classification", "few-shot or full-data")


def _refuse_bare(key: str, method: str, settings_of: Mapping[str, Any]) -> None:
    """A bare key is a setting of the method; if another table has it, say which."""
    if key in settings_of:
        return
    if key in SECTIONS:
        raise UserError(f"{key}: no such setting, a table of settings", f"`cliptune show {key}` lists them")
    homes = [name for name, kind in KINDS.items() if key in {field.name for field in dataclasses.fields(kind)}]
    if homes:
        raise UserError(f"{key}: no such setting of {method}", f"did you mean {homes[0]}.{key}?")


def _preset(preset: str, parameters: int | None) -> str:
    if preset not in ("auto", "paper", "small"):
        raise UserError(f"preset = {preset!r}", "one of: 'paper', 'small', 'auto'")
    if preset == "auto":
        return "small" if parameters is not None and parameters < SMALL_BACKBONE else "paper"
    return preset
