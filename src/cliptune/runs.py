"""The run folder: the only source of truth about a run. Written by `pipeline`, read by everything else.

recipe.toml  run.json  metrics.jsonl  episode.json  predictions.csv  zero_shot_predictions.csv
predictions/, zero_shot_predictions/ (the further tests, where a protocol has several)
adapter/{adapter.safetensors, adapter.json, README.md}  thumbnails/  checkpoint/ (until finished)
tracking/ (with --track: a tracker's own files, no part of the record)
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune import settings
from cliptune.datasets.base import prompts
from cliptune.errors import UserError
from cliptune.files import read_json, read_tensors, short, user_path, write_tensors, write_text
from cliptune.models.shortcuts import Shortcuts
from cliptune.recipe import Recipe, find_method
from cliptune.registry import name_of

if TYPE_CHECKING:  # a record is read without torch: what is wrong with a run folder is told at once
    import torch

    from cliptune.inputs import Images
    from cliptune.methods.base import Adapter
    from cliptune.models.backbone import Backbone


TOP = 5
"""classes named for each image, from Python and on the command line"""


class Run:
    """A finished run: predict with it, merge it, read its numbers.

    Args:
        backbone: the loaded backbone it was made on, so that it need not be loaded again.
        record: what run.json says, where it is known already.
        model: name or folder of its backbone, where that has moved since.

    Raises:
        UserError: on opening a folder that is no run, or one that has not finished.
    """

    def __init__(
        self,
        folder: str | Path,
        backbone: "Backbone | None" = None,
        record: Mapping[str, Any] | None = None,
        model: str | Path | None = None,
    ):
        given = user_path(name_of(folder, "run", ": a run folder"))
        self.record = dict(record) if record else read_record(given)
        self.folder = given.absolute()  # for the adapter is read later, perhaps after a change of directory
        if self.record["status"] != "finished":
            raise UserError(
                f"{short(self.folder)}: the run is '{self.record['status']}'",
                f"go on with `cliptune train {short(self.folder)}/recipe.toml --out {short(self.folder)} --resume`",
            )
        self._backbone = backbone
        self._model = model

    @classmethod
    def open(cls, folder: str | Path, model: str | Path | None = None) -> "Run":
        """The run in `folder`; `model`, where its backbone lies now, if that has moved.

        >>> run = cliptune.Run.open("runs/dora-photos-16shot-s1", model="models/clip")  # doctest: +SKIP
        """
        return cls(folder, model=model)

    def __repr__(self) -> str:
        from cliptune.report.leading import leading_of

        lead = leading_of(self.record)
        first = [] if lead is None else [f"{lead.title} {lead.after:.3f}"]
        scores = [f"{name} {self.score} {self.metrics[name][self.score]:.3f}" for name in self.tests]
        return f"Run({short(self.folder)!r}, {', '.join([*first, *scores])})"

    def _repr_html_(self) -> str:
        from cliptune.notebook import of_run

        return of_run(self)

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
    def temperature(self) -> float | None:
        """What divides its logits, so that probabilities fit its validation images; None where none was fitted."""
        if self.task == "segment" or not self.tests:
            return None
        return self.metrics[self.tests[0]].get("calibrated", {}).get("temperature")

    @property
    def shortcuts(self) -> Shortcuts:
        """Those it was trained with; the defaults for a record that is older than they are."""
        return settings.build(Shortcuts, dict(self.record["recipe"].get("shortcuts", {})), "shortcuts")

    @functools.cached_property
    def backbone(self) -> "Backbone":
        """The backbone it was made on, or the one that was named on opening; the adapter compares their hashes.

        Raises:
            UserError: it is not where it was, or cannot be loaded.
        """
        from cliptune.models import segmenter
        from cliptune.models.backbone import load

        if self._backbone is not None:
            return self._backbone
        name = str(self._model) if self._model is not None else self._recorded_model()
        if self.task == "segment":
            return segmenter.load(name, self.record["recipe"]["segment"]["inert"])
        return load(name)

    def _recorded_model(self) -> str:
        name, source = self.record["model"]["name"], self.record["model"]["source"]
        if name == "mini" or not source or not Path(source).is_absolute():
            return name
        if not Path(source).is_dir():
            sha256 = self.record["model"]["sha256"][:12]
            raise UserError(
                f"the run's backbone '{name}' was in {source}, and that folder is gone",
                f"name the folder it is in now: --model FOLDER, or model= in Python (weights sha256 {sha256}…)",
            )
        return source

    def to(self, device: "torch.device | str") -> "Run":
        """Work on `device` from now on; the adapter is attached anew where the backbone moves."""
        import torch

        if self.backbone.device != torch.device(device):
            self.backbone.to(device)
            self.__dict__.pop("adapter", None)
        return self

    @functools.cached_property
    def adapter(self) -> "Adapter":
        return open_adapter(self.folder / "adapter", self.backbone)

    def predict(
        self,
        images: "Images",
        top: int = TOP,
        classes: Sequence[str] | None = None,
        *,
        calibrate: bool = True,
        threshold: float | None = None,
        skip_bad: bool = False,
        device: str = "auto",
        progress: bool = True,
    ) -> list[dict[str, Any]]:
        """Classify images.

        >>> run.predict("new/")[0]["prediction"]  # doctest: +SKIP
        'cat'

        Args:
            images: files, folders, PIL images, uint8 arrays [h w 3] or [h w], bytes of image files; one of them or an
                iterable of them.
            top: how many classes `top` names for each image.
            classes: other class names than the run's.
            calibrate: divide the logits by the run's temperature (`Run.temperature`), which makes probabilities fit
                its validation images; done for the run's own classes only.
            threshold: answer 'unknown' where the best class is less probable than this, 0 to 1.
            skip_bad: leave out images that cannot be read, instead of a warning and a row with the reason in `error`.
            device: auto, cpu, cuda or mps.
            progress: show a bar where there are many images, on a terminal or in a notebook.

        Returns:
            A dict for each image: path, prediction, score (the best class's probability), top [(name, probability), …],
            probabilities {name: probability} of all classes.

        Raises:
            UserError: not one image can be read; a value that cannot be meant; new classes for a method whose head
                knows only its own; a run that marks images.
        """
        from cliptune.predict import classify

        if self.task == "segment":
            raise UserError(f"{short(self.folder)} marks images and names no classes", "use run.mark(images, out)")
        return classify(self, images, top, classes, calibrate, threshold, skip_bad, device, progress)

    def mark(
        self,
        images: "Images",
        out: str | Path,
        prompt: str | None = None,
        *,
        threshold: float | None = None,
        skip_bad: bool = False,
        device: str = "auto",
        progress: bool = True,
    ) -> list[dict[str, Any]]:
        """Mark what a prompt names in images: a mask and an overlay of each are written to the folder `out`.

        Args:
            images: as for `predict`.
            prompt: what to look for; None is what the run was trained to find, where that is one thing.
            threshold: mark pixels more probable than this, between 0 and 1; None is the run's.
            skip_bad, device, progress: as for `predict`.

        Returns:
            A dict for each image: path, prompt, mask and overlay (files), share (of the image that is marked).

        Raises:
            UserError: not one image can be read; no prompt where the run knows several; a run of classification.
        """
        from cliptune.mark import mark

        return mark(self, images, user_path(name_of(out, "folder", "")), prompt, threshold, skip_bad, device, progress)

    def merge(self, out: str | Path) -> float:
        """Write an ordinary transformers CLIP folder; returns the largest |logit difference| / max|logit| seen."""
        from cliptune.export import merge_run

        return merge_run(self, user_path(name_of(out, "folder", "")))

    def report(self, out: str | Path | None = None) -> Path:
        """Write the HTML page about this run (by default report.html in its folder); returns its path."""
        from cliptune.report.page import write_report

        return write_report([self.folder], user_path(name_of(out, "HTML file", "")) if out else None)[0]

    def prompts(self, classes: Sequence[str] | None = None) -> list[str]:
        return prompts(tuple(classes or self.classes), self.record["data"]["template"])


def _run_instead_of(folder: Path) -> str:
    """What to give where a folder or file is no run: a run around it or directly below it."""
    around = [place for place in folder.parents if (place / "run.json").is_file()]
    if around:
        return f"give the run's folder: {around[0]}"
    below = sorted(record.parent for record in folder.glob("*/run.json"))
    if below:
        return f"give one of the runs in it: {', '.join(map(str, below[:3]))}{', …' if len(below) > 3 else ''}"
    if (folder / "config.json").is_file():
        return "it is a model, as `cliptune merge` writes them; give the folder that `cliptune train` wrote"
    return "give a folder that `cliptune train` wrote, like runs/dora-…"


def read_record(folder: Path) -> dict[str, Any]:
    """run.json of a run folder.

    Raises:
        UserError: not a run folder, or broken.
    """
    path = folder / "run.json"
    if not path.is_file():
        what = "there is no such folder" if not folder.exists() else "no run.json there"
        raise UserError(f"{folder} is not a run: {what}", _run_instead_of(folder))
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


def save_adapter(folder: Path, adapter: "Adapter", card: str) -> None:
    """adapter.safetensors, adapter.json (settings, sites, backbone identity, facts), README.md."""
    from cliptune.methods.with_decoder import WithDecoder

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


def open_adapter(folder: Path, backbone: "Backbone") -> "Adapter":
    """The adapter saved in `folder`, attached to `backbone`, ready to predict.

    Raises:
        UserError: no adapter there, another backbone, tensors that do not fit.
    """
    import torch

    from cliptune.methods.with_decoder import reopen
    from cliptune.models import segmenter
    from cliptune.models.backbone import Identity

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
