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
from typing import Any, Literal

from cliptune import registry, settings
from cliptune.errors import UserError
from cliptune.methods import METHODS
from cliptune.methods.base import Method
from cliptune.models.shortcuts import Shortcuts
from cliptune.protocols import shots_of
from cliptune.recipe_numbers import check_numbers

SMALL_BACKBONE = 20_000_000
"""parameters under which `preset = "auto"` takes the small preset"""
FULL_DATA_EPOCHS = 10
"""CLIP-DoRA's, for domain generalization"""


@dataclass(frozen=True)
class Header:
    """The table [recipe]."""

    preset: Literal["auto", "paper", "small"] = "auto"
    """whose defaults are taken; --preset wins"""


@dataclass(frozen=True)
class DataSettings:
    name: str = "digits"
    """a data set's name, a folder (one sub-folder per class) or a CSV (image, label, split)"""
    root: str = ""
    """folder that holds the named data sets"""
    template: str = ""
    """prompt with one {}; empty takes the data set's first template"""
    split_seed: int = 0
    """seed of the split made when your own images come without one"""
    names: str = ""
    """class names of your own images: a JSON object {"folder": "name"} or a text file of lines 'folder name'"""
    missing: Literal["refuse", "skip"] = "refuse"
    """listed files that are not there or cannot be read: refuse to run, or leave them out and say so"""


@dataclass(frozen=True)
class ModelSettings:
    name: str = "mini"
    """zoo name, hub id or local folder"""


@dataclass(frozen=True)
class ProtocolSettings:
    name: Literal[
        "few-shot", "full-data", "base-to-novel", "out-of-distribution", "cross-dataset", "domain-generalization"
    ] = "few-shot"
    """which images are trained on, chosen on and tested on (docs/protocols.md)"""
    shots: int | Literal["auto", "all"] = "auto"
    """training images per class; auto: 16, but all under full-data and domain-generalization"""
    seed: int = 1
    """draws the few-shot images, the adapter's first numbers, the order and the augmentation"""
    sampler: Literal["dassl", "cliplora"] = "dassl"
    """dassl draws train then validation without repeats; cliplora validation first"""
    repeat: bool | Literal["auto"] = "auto"
    """whether a class with fewer images than shots repeats some; auto: only with cliplora, as that code does"""
    half: Literal["base", "novel"] = "base"
    """base-to-novel: the half of the classes that is trained on"""
    tests: tuple[str, ...] = ()
    """out-of-distribution, cross-dataset: the further sets that are tested; empty takes the papers'"""
    target: str = ""
    """domain-generalization: the domain that is held out"""
    target_split: Literal["all", "val"] = "all"
    """domain-generalization: the target's images as Dassl takes them, or its validation images alone (ODG-CLIP)"""
    open_set: bool = False
    """domain-generalization: ODG-CLIP's classes, every source some of them and the target unknown ones besides"""


@dataclass(frozen=True)
class TrainSettings:
    steps: int | Literal["auto"] = "auto"
    """optimiser steps; auto goes by epochs, else by steps_per_shot"""
    epochs: int = 0
    """passes over the training images; 0 goes by steps_per_shot, or is 10 where all images are trained on"""
    steps_per_shot: int = 500
    """steps = this × shots (CLIP-LoRA)"""
    least_steps: int = 0
    """never fewer steps than this when they come from steps_per_shot"""
    batch: int = 32
    """images per step; the last batch of an epoch may be smaller"""
    chunk: int = 0
    """images that go through the image tower together inside a step; 0 is the whole batch. Less memory, the same
    gradient up to the masks of dropout, which every part draws anew"""
    text_chunk: int = 0
    """class prompts that go through the text tower together inside a step; 0 is all. Less memory for one more text
    forward, the same gradient up to the masks of dropout"""
    lr: float = 2e-4
    """learning rate at the first step"""
    min_lr: float = 1e-6
    """what the learning rate approaches after the last step"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """how the rate goes from lr to min_lr, per step"""
    warmup_steps: int = 0
    """steps of linear rise before the schedule"""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay"""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates"""
    eps: float = 1e-8
    """AdamW's floor"""
    augment: Literal["data", "photo", "affine", "none"] = "data"
    """data takes what the data set declares; photo: random crop and flip; affine: light geometry, no flip"""
    crop: tuple[float, float] = (0.08, 1.0)
    """photo only: area range of the random crop"""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """arithmetic of the image tower's products; all else stays float32. auto: 16 bits for large backbones where the
    device has instructions for it"""
    patience: int = 0
    """validations in a row without a better one after which training ends, with the numbers of the best one; 0 never
    ends early. The learning rate goes as it would over all steps"""
    validate_every: int = 0
    """steps between two validations; 0 is a twentieth of all steps where patience asks for them, else none. Without
    patience the accuracies are told and nothing else depends on them"""
    early_stop_on: Literal["accuracy", "loss"] = "accuracy"
    """what makes a validation better: accuracy, the lower loss among equals (few-shot sets validate on min(shots, 4)
    images a class, so equals are common); or the loss alone, which often rises while accuracy still does"""
    checkpoint_seconds: float = 60.0
    """how often the state for --resume is written"""


@dataclass(frozen=True)
class LossSettings:
    image: float = 0.0
    """self-consistency: weight of |image features − the backbone's|"""
    text: float = 0.0
    """self-consistency: weight of |text features − the backbone's|"""
    logits: float = 0.0
    """self-consistency: weight of KL(the backbone's logits ‖ ours)"""
    reduction: Literal["mean", "sum"] = "mean"
    """mean: PromptSRC's, over all elements; sum: CLIP-AST's eq. 9 literally, over the feature dimension"""
    teacher_templates: Literal["same", "ensemble", "imagenet-7", "imagenet-60", "imagenet-80"] = "same"
    """same: the backbone reads the student's prompts; ensemble: the mean over the data set's templates; imagenet-7,
    -60, -80: over Tip-Adapter's, PromptSRC's, CLIP's templates for ImageNet"""


@dataclass(frozen=True)
class EvaluateSettings:
    batch: int = 256
    """images per step of evaluation"""
    retention: str = "auto"
    """data set whose zero-shot accuracy is measured before and after; auto: world/shapes; or none"""
    features: bool = False
    """image features of the first test's images, before and after training, are kept in features.safetensors"""


@dataclass(frozen=True)
class Recipe:
    """All that determines a run."""

    method: Method
    preset: str = "paper"
    """whose defaults were taken: paper or small"""
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    shortcuts: Shortcuts = field(default_factory=Shortcuts)

    def __post_init__(self) -> None:
        check_numbers(self)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Plain values, one table a section."""
        tables: dict[str, dict[str, Any]] = {"recipe": {"preset": self.preset}}
        tables["method"] = {"name": self.method.name, **settings.plain(self.method)}
        for section in SECTIONS:
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


SECTIONS = ("data", "model", "protocol", "train", "loss", "evaluate", "shortcuts")


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(resources.files("cliptune") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_method(name: str) -> type[Method]:
    """The class registered under a method's name."""
    return registry.lookup(name, METHODS, "method")


def load_tables(name: str) -> dict[str, dict[str, Any]]:
    """The tables behind 'dora' (a method), 'few-shot-dora' (a shipped recipe) or a path to a TOML file.

    Raises:
        UserError: nothing of that name, unreadable file, broken TOML, no [method] name.
    """
    recipes = shipped()
    path = Path(name).expanduser()
    if (path / "recipe.toml").is_file():
        path = path / "recipe.toml"
    if name in METHODS or name in recipes or not path.is_file():
        known = registry.find(name, [*METHODS, *recipes], "method or recipe")
        if known in METHODS:
            return {"method": {"name": known}}
        path = recipes[known]
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(
            f"{path}: not TOML ({problem})", "see the shipped recipes: `cliptune show few-shot-dora`"
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
    """A recipe from plain tables (see `resolve`)."""
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
    for key, value in (options or {}).items():
        if key in ("name", "method.name"):
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
    method_class = find_method(str(merged["method"].pop("name")))
    for key in options or {}:
        if "." not in key:
            _refuse_bare(key, method_class)
    chosen = _preset(preset if preset != "auto" else header.preset, parameters)
    for key, value in method_class.presets.get(chosen, {}).items():
        section, _, name = key.rpartition(".")
        merged[section or "method"].setdefault(name, value)
    sections: dict[str, Any] = {
        f.name: settings.build(f.default_factory, merged[f.name], f.name)  # type: ignore[arg-type]
        for f in dataclasses.fields(Recipe)
        if f.name in SECTIONS
    }
    return Recipe(method=settings.build(method_class, merged["method"]), preset=chosen, **sections)


def _refuse_bare(key: str, method: type[Method]) -> None:
    """A bare key is a setting of the method; if another table has it, say which."""
    if key in {field.name for field in dataclasses.fields(method)}:
        return
    if key in SECTIONS:
        raise UserError(f"{key}: no such setting, a table of settings", f"`cliptune show {key}` lists them")
    tables = {field.name: field.default_factory for field in dataclasses.fields(Recipe) if field.name in SECTIONS}
    homes = [name for name, kind in tables.items() if key in {field.name for field in dataclasses.fields(kind)}]  # type: ignore[arg-type]
    if homes:
        raise UserError(f"{key}: no such setting of {method.name}", f"did you mean {homes[0]}.{key}?")


def _preset(preset: str, parameters: int | None) -> str:
    if preset not in ("auto", "paper", "small"):
        raise UserError(f"preset = {preset!r}", "one of: 'paper', 'small', 'auto'")
    if preset == "auto":
        return "small" if parameters is not None and parameters < SMALL_BACKBONE else "paper"
    return preset


def steps_of(recipe: Recipe, images: int) -> int:
    """Optimiser steps of the main phase for that many training images."""
    train = recipe.train
    if train.steps != "auto":
        return train.steps
    shots = shots_of(recipe.protocol)
    if train.epochs or shots is None:
        return (train.epochs or FULL_DATA_EPOCHS) * -(-images // train.batch)
    return max(train.least_steps, train.steps_per_shot * shots)
