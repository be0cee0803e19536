"""The run folder: the only source of truth about a run. Written by `pipeline`, read by everything else.

recipe.toml  run.json  metrics.jsonl  episode.json  predictions.csv  zero_shot_predictions.csv
predictions/, zero_shot_predictions/ (the further tests, where a protocol has several)
adapter/{adapter.safetensors, adapter.json, README.md}  thumbnails/  checkpoint/ (until finished)
tracking/ (with --track: a tracker's own files, no part of the record)
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cliptune import settings
from cliptune.datasets.base import prompts
from cliptune.errors import UserError
from cliptune.files import read_json, read_tensors, user_path, write_tensors, write_text
from cliptune.methods.base import Adapter
from cliptune.methods.with_decoder import WithDecoder, reopen
from cliptune.models import segmenter
from cliptune.models.backbone import Backbone, Identity, load
from cliptune.models.shortcuts import Shortcuts
from cliptune.recipe import Recipe, find_method


class Run:
    """A finished run: predict with it, merge it, read its numbers.

    Args:
        record: what run.json says, where it is known already.

    Raises:
        UserError: on opening a folder that is no run, or one that has not finished.
    """

    def __init__(self, folder: str | Path, backbone: Backbone | None = None, record: Mapping[str, Any] | None = None):
        self.folder = user_path(folder)
        self.record = dict(record) if record else read_record(self.folder)
        if self.record["status"] != "finished":
            raise UserError(
                f"{self.folder}: the run is '{self.record['status']}'",
                f"go on with `cliptune train {self.folder}/recipe.toml --out {self.folder} --resume`",
            )
        self._backbone = backbone

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        return cls(folder)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {self.score} {self.metrics[name][self.score]:.3f}" for name in self.tests)
        return f"Run({str(self.folder)!r}, {told})"

    @property
    def task(self) -> str:
        """classify or segment"""
        return str(self.record.get("task", "classify"))

    @property
    def score(self) -> str:
        """What its tests are measured by first: accuracy or dice."""
        return "dice" if self.task == "segment" else "accuracy"

    @property
    def metrics(self) -> dict[str, Any]:
        return self.record["metrics"]

    @property
    def tests(self) -> tuple[str, ...]:
        """Names of the tests with a score in `metrics`; the first is the one a report speaks of first."""
        named = self.record.get("tests", ("test",))
        return tuple(name for name in named if name in self.metrics)

    def before(self, test: str) -> dict[str, Any]:
        """What the untouched backbone reached on a test."""
        found = self.metrics["zero_shot"]
        return found if self.score in found else found[test]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record["data"].get("classes", ()))

    @property
    def shortcuts(self) -> Shortcuts:
        """Those it was trained with; the defaults for a record that is older than they are."""
        return settings.build(Shortcuts, dict(self.record["recipe"].get("shortcuts", {})), "shortcuts")

    @functools.cached_property
    def backbone(self) -> Backbone:
        if self._backbone is not None:
            return self._backbone
        source = self.record["model"]["source"]
        name = self.record["model"]["name"]
        name = source if source and Path(source).is_dir() and name != "mini" else name
        if self.task == "segment":
            return segmenter.load(name, self.record["recipe"]["segment"]["inert"])
        return load(name)

    def to(self, device: torch.device | str) -> "Run":
        """Work on `device` from now on; the adapter is attached anew where the backbone moves."""
        if self.backbone.device != torch.device(device):
            self.backbone.to(device)
            self.__dict__.pop("adapter", None)
        return self

    @functools.cached_property
    def adapter(self) -> Adapter:
        return open_adapter(self.folder / "adapter", self.backbone)

    def predict(
        self, paths: Iterable[str | Path], top: int = 5, classes: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Classify image files.

        Args:
            paths: image files. top: how many classes to name per image. classes: other class names than the run's.

        Returns:
            One dict an image: path, prediction, score, top [(name, probability), …].

        Raises:
            UserError: a file is missing or no image; new classes for a method whose head knows only its own.
        """
        from cliptune.predict import classify_files

        if self.task == "segment":
            raise UserError(f"{self.folder} marks images and names no classes", "use run.mark(paths, out)")
        return classify_files(self, [Path(path) for path in paths], top, classes)

    def mark(self, paths: Iterable[str | Path], out: str | Path, prompt: str | None = None) -> list[dict[str, Any]]:
        """Mark image files: a mask and an overlay of each are written to the folder `out`.

        Args:
            paths: image files. prompt: what to look for; None is what the run was trained to find, where that is one
                thing.

        Returns:
            One dict an image: path, prompt, mask and overlay (files), share (of the image that is marked).

        Raises:
            UserError: a file is missing or no image; no prompt where the run knows several; a run of classification.
        """
        from cliptune.mark import mark_files

        return mark_files(self, [Path(path) for path in paths], user_path(out), prompt)

    def merge(self, out: str | Path) -> float:
        """Write an ordinary transformers CLIP folder; returns the largest |logit difference| / max|logit| seen."""
        from cliptune.export import merge_run

        return merge_run(self, user_path(out))

    def report(self, out: str | Path | None = None) -> Path:
        """Write the HTML page about this run (by default report.html in its folder); returns its path."""
        from cliptune.report.page import write_report

        return write_report([self.folder], Path(out) if out else None)[0]

    def prompts(self, classes: Sequence[str] | None = None) -> list[str]:
        return prompts(tuple(classes or self.classes), self.record["data"]["template"])


def read_record(folder: Path) -> dict[str, Any]:
    """run.json of a run folder.

    Raises:
        UserError: not a run folder, or broken.
    """
    path = folder / "run.json"
    if not path.is_file():
        what = "there is no such folder" if not folder.exists() else "no run.json there"
        raise UserError(f"{folder} is not a run: {what}", "give a folder that `cliptune train` wrote, like runs/dora-…")
    another = "give another folder; if this was a run of yours, remove it and train again"
    record = read_json(path, another)
    needed = {"status", "model", "data", "recipe"}
    if isinstance(record, dict) and record.get("status") == "finished":
        needed |= {"metrics", "environment"}
    if not isinstance(record, dict) or not needed <= record.keys():
        raise UserError(f"{path} is not a run's record", another)
    if wrong := [key for key in needed - {"status"} if not isinstance(record[key], dict)]:
        raise UserError(f"{path} is not a run's record: {min(wrong)} is no table", another)
    return record


def run_name(recipe: Recipe) -> str:
    """'dora-digits-16shot-s1': unique enough to find, short enough to type."""
    path = user_path(recipe.data.name)
    short = path.resolve().name.removesuffix(".csv") if path.exists() else recipe.data.name.replace("/", "-")
    method, chosen = recipe.method.name.replace("_", "-"), recipe.protocol
    words = [*(["segment"] if recipe.segment else []), method, short]
    if chosen.name == "domain-generalization":
        words.append(f"to-{chosen.target}" + ("-open" if chosen.open_set else ""))
    elif chosen.name not in ("few-shot", "full-data"):
        words.append(chosen.name + ("-novel" if chosen.half == "novel" else ""))
    shots = recipe.shots
    words.append("all" if shots is None else f"{shots}{'images' if recipe.segment else 'shot'}")
    return "-".join([*words, f"s{chosen.seed}"]).replace(" ", "_").lower()


def save_adapter(folder: Path, adapter: Adapter, card: str) -> None:
    """adapter.safetensors, adapter.json (settings, sites, backbone identity, facts), README.md."""
    write_tensors(folder / "adapter.safetensors", adapter.tensors())
    about = {
        "format": 1,
        "method": adapter.method.name,
        "settings": settings.plain(adapter.method),
        "sites": adapter.adapted_sites(),
        "backbone": {"name": adapter.backbone.name, **asdict(adapter.backbone.identity)},
        "facts": adapter.facts(),
    }
    if isinstance(adapter, WithDecoder):
        about["segment"] = {"decoder": adapter.trained}
    write_text(folder / "adapter.json", json.dumps(about, indent=1) + "\n")
    write_text(folder / "README.md", card)


def open_adapter(folder: Path, backbone: Backbone) -> Adapter:
    """The adapter saved in `folder`, attached to `backbone`, ready to predict.

    Raises:
        UserError: no adapter there, another backbone, tensors that do not fit.
    """
    path = folder / "adapter.json"
    if not path.is_file() or not (folder / "adapter.safetensors").is_file():
        raise UserError(f"{folder} holds no adapter", "give the adapter/ folder of a finished run")
    about = read_json(path, "train again with --fresh")
    try:
        made_for: Mapping[str, Any] = about["backbone"]
        wanted = Identity(**{key: value for key, value in made_for.items() if key != "name"})
        kind, given, facts = str(about["method"]), dict(about["settings"]), dict(about["facts"])
        marks = "segment" in about
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UserError(f"{path} is broken: {problem!r}", "train again with --fresh") from None
    if marks != isinstance(backbone, segmenter.Segmenter):
        kinds = ("a CLIPSeg", "a CLIP") if marks else ("a CLIP", "a CLIPSeg")
        raise UserError(f"the adapter was made for {kinds[0]}, '{backbone.name}' is {kinds[1]}", "load the other")
    if differences := backbone.identity.differences(wanted):
        raise UserError(
            f"the adapter was made for backbone '{made_for['name']}', this one is '{backbone.name}': "
            f"other {'; '.join(differences)}",
            f"load '{made_for['name']}' (weights sha256 {wanted.sha256[:12]}…)",
        )
    method = settings.build(find_method(kind), _as_read(given), "method")
    tensors = read_tensors(folder / "adapter.safetensors")
    with torch.random.fork_rng(devices=[]):
        if isinstance(backbone, segmenter.Segmenter):
            return reopen(backbone, method, about["segment"]["decoder"], tensors, facts)
        return method.reopen(backbone, tensors, facts)


def _as_read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
