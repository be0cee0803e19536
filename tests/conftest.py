"""Shared backbones and small runs. Everything here is offline."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import dataclasses
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from cliptune.cli import output
from cliptune.datasets import open_set
from cliptune.datasets.base import ImageSet
from cliptune.methods import METHODS
from cliptune.methods.base import Adapter, Method
from cliptune.models.backbone import Backbone, load, random_backbone
from cliptune.pipeline import Plan, prepare
from cliptune.recipe import find_method

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
# Hypothesis's clock would make a slow or busy machine fail tests that are right.
hypothesis_settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a pytest with which pytest-xdist ignores groups: their fixtures would be made in every worker."""
    if config.getoption("dist", "no") == "loadgroup" and pytest.version_tuple[:2] == (9, 2):
        raise pytest.UsageError("pytest-xdist ignores xdist_group with pytest 9.2 (its issue 1386): install pytest 9.1")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many tests were skipped and why: what a machine does not have must not look like what passed."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ())
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """A file is written whole before it takes its name, and waits for the disk so that a power cut leaves it whole too.
    Processes that tests kill need no more than the first, and a run writes thirty files."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def few_objects_to_collect() -> None:
    """What is loaded by now stays: every run collects garbage twice, which takes longer than its steps otherwise."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mini() -> Backbone:
    return load("mini")


@pytest.fixture(scope="module")
def base16() -> Backbone:
    """A full-size ViT-B/16 with random float32 weights: 600 MB, so it lives no longer than a module's tests, and these
    belong to the xdist group "full-size", which one worker runs."""
    return random_backbone("vit-b-16", seed=0)


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return open_set("digits")


@pytest.fixture(scope="session")
def few_digits(digits: ImageSet) -> ImageSet:
    """Digits with a test split of 100 images, for runs of a second."""
    return dataclasses.replace(digits, test=digits.test[:100])


@pytest.fixture(autouse=True)
def away_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test writes to the current folder goes to its own temporary one; no --json of another test counts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "_json", False)


def small_method(name: str, **changes: Any) -> Method:
    """A method at a size the mini backbone can carry."""
    fitting = {"lora_xs": {"rank": 8}}.get(name, {})
    return find_method(name)(**{**fitting, **changes})


def plan_for(backbone: Backbone, imageset: ImageSet, method: Method, **options: Any) -> Plan:
    """A prepared few-shot run of 2 shots and 6 steps; options with '__' for '.'."""
    from cliptune.settings import plain

    chosen = {"protocol.shots": 2, "train.steps": 6, "evaluate.retention": "none"}
    chosen |= {key.replace("__", "."): value for key, value in options.items()}
    tables = {"method": {"name": method.name, **plain(method)}}
    return prepare(tables, chosen, backbone=backbone, imageset=imageset, device="cpu")


def probe_images(backbone: Backbone, count: int = 4, seed: int = 7) -> torch.Tensor:
    """Normalised noise [count 3 s s]."""
    side = backbone.preprocess.crop
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits_of(adapter: Adapter, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    was = adapter.training
    adapter.eval()
    found = adapter.logits(adapter.image_features(images), adapter.text_features(tokens))
    adapter.train(was)
    return found


@torch.no_grad()
def backbone_logits(backbone: Backbone, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return backbone.logit_scale * backbone.image_features(images) @ backbone.text_features(tokens).T


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """max|a − b| / max|b|."""
    return float(((a - b).abs().max() / b.abs().max()).detach())


CLASSIFYING = [name for name in METHODS if "classify" in find_method(name).tasks]
SEGMENTING = [name for name in METHODS if "segment" in find_method(name).tasks]
every_method = pytest.mark.parametrize("name", CLASSIFYING)
every_segmenting_method = pytest.mark.parametrize("name", SEGMENTING)
