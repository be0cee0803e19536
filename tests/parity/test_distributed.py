"""Two processes against one: the same batches, so the same numbers up to the order of summation; float64, gloo."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cliptune.datasets.sets.digits import load as load_digits
from cliptune.errors import UserError
from cliptune.models.backbone import load
from cliptune.models.segmenter import load as load_segmenter
from cliptune.training.distributed import Group, leave
from cliptune.training.events import PhaseEnded, Step, Validated
from cliptune.training.loop import fit
from tests.command import CONTEXT, meeting_place, start_server
from tests.conftest import logits_of, plan_for, small_method
from tests.contract.test_segmenting_methods import few_pictures
from tests.contract.test_segmenting_methods import plan_for as segment_plan

pytestmark = pytest.mark.xdist_group("processes")

NO_LOSS = {"loss__image": 0.0, "loss__text": 0.0, "loss__logits": 0.0}
SCL = {"loss__image": 10.0, "loss__text": 25.0, "loss__logits": 1.0}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # 20 training images; name: (method, its settings, the recipe's)
    "lora_xs": ("lora_xs", {"dropout": 0.0}, {"train__batch": 8}),
    "ast": ("ast", {"probe_steps": 5}, {"train__batch": 8, **NO_LOSS}),
    "random crops": ("lora", {"dropout": 0.0}, {"train__augment": "photo", "train__batch": 8}),
    "a batch that does not divide": ("lora", {"dropout": 0.0}, {"train__steps": 9, "train__batch": 7}),
    "in parts": ("lora", {"dropout": 0.0}, {"train__batch": 15, "train__chunk": 4, "train__text_chunk": 3}),
    "self-consistency": ("lora", {"dropout": 0.0}, {"train__batch": 7, **SCL}),
    "a last batch of one": ("lora", {"dropout": 0.0}, {"train__batch": 19, **SCL}),
    "frozen images": ("lora", {"dropout": 0.0, "where": ("text.*.q",)}, {"train__augment": "none", "train__batch": 7}),
    "a closed phase": ("linear_probe", {}, {}),
    "early stopping": ("lora", {"dropout": 0.0}, {"train__steps": 30, "train__patience": 1, "train__lr": 2e-2}),
    "dropout": ("dora", {"dropout": 0.5}, {"train__batch": 7}),
    # 12 pictures with masks
    "marking": ("dora", {"dropout": 0.0}, {"train__batch": 5, "train__chunk": 2, "train__augment": "affine"}),
    "marking, picked": ("ast", {"probe_steps": 2}, {"train__batch": 5, "train__augment": "none", "train__steps": 3}),
    "marking with the decoder alone": ("decoder", {}, {"train__batch": 5, "segment__decoder": "all"}),
}

FIFTY: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "lora_xs": ("lora_xs", {"dropout": 0.0}, {"train__steps": 50, "train__batch": 8}),
    "dora": ("dora", {"dropout": 0.0}, {"train__steps": 50, "train__batch": 8}),
    "ast": ("ast", {"probe_steps": 10}, {"train__steps": 40, "train__batch": 8, **NO_LOSS}),
}


def trained(method: str, settings: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What is left of a case's run in this process."""
    backbone = load("mini")
    backbone.model.double()
    plan = plan_for(backbone, load_digits(None, ""), small_method(method, **settings), **options)
    adapter = plan.attach()
    adapter.model.double()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():  # away from the teacher, where the gradient of |student − teacher| is a matter of rounding
        for parameter in adapter.trainable().values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    events = list(fit(adapter, plan.lesson(), plan.machine))
    if head := getattr(adapter, "head", None):
        head.double()
    images = torch.randn(6, 3, 32, 32, generator=generator).double()
    return {
        "logits": logits_of(adapter, images, plan.tokens),
        "trained": list(adapter.trainable()),
        "losses": [event.loss for event in events if isinstance(event, Step)],
        "parts": [dict(event.parts) for event in events if isinstance(event, Step)],
        "training": [dict(event.training) for event in events if isinstance(event, PhaseEnded)],
        "seconds": [event.seconds for event in events if isinstance(event, PhaseEnded)],
    }


def trained_to_mark(method: str, settings: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What is left of a run of segmentation in this process; its validations decide nothing but are the same."""
    segmenter = load_segmenter("mini")
    segmenter.whole.double()
    plan = segment_plan(method, segmenter, **settings, train__validate_every=4, **options)
    adapter = plan.attach()
    adapter.model.double()
    events = list(fit(adapter, plan.lesson(), plan.machine))
    given = plan.pixels(plan.episode.test).plain(range(4))
    pixels = segmenter.preprocess.normalise(given.pixels.double())
    with torch.no_grad():
        conditions = adapter.marker.conditions(segmenter.tokens(given.prompts))
        logits = adapter.marker.mask_logits(adapter.marker.activations(pixels), conditions)
    return {
        "logits": logits,
        "trained": list(adapter.trainable()),
        "losses": [event.loss for event in events if isinstance(event, Step | Validated)],
        "parts": [dict(event.parts) for event in events if isinstance(event, Step)],
        "training": [dict(event.training) for event in events if isinstance(event, PhaseEnded)],
        "seconds": [event.seconds for event in events if isinstance(event, PhaseEnded)],
    }


def told(group: Group) -> list[Any]:
    """What a process hears when another fails, and of what the main one alone does."""
    heard: list[Any] = [group.on_main(lambda: os.getpid()), group.gather(group.rank)]
    for failing in (0, 1):
        try:
            with group.together():
                if group.rank == failing:
                    raise UserError(f"{failing} cannot", "mend it")
        except UserError as problem:
            heard.append((problem.what, problem.fix))
    return heard


def _child(rank: int, size: int, shared: dict[str, str], cases: dict[str, Any], out: Path) -> None:
    from cliptune.training.compute import compute

    torch.set_num_threads(1)
    for items in (few_pictures().train, few_pictures().val, few_pictures().test):
        few_pictures().read_mask(items[0])  # drawn now, in float32
    torch.Tensor.float = torch.Tensor.double  # pixels and features are float32 by design
    if size > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), **shared}
        os.environ |= {"LOCAL_WORLD_SIZE": str(size), "OMP_NUM_THREADS": "1"}
    found: dict[str, Any] = {
        name: (trained_to_mark if name.startswith("marking") else trained)(*case) for name, case in cases.items()
    }
    found["told"] = told(compute("cpu").group)
    leave()
    torch.save(found, out)


def in_processes(cases: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Every case in one process ('alone') and in two ('first', 'second')."""
    start_server()
    shared = meeting_place()
    places = {"alone": (0, 1), "first": (0, 2), "second": (1, 2)}
    children = {
        name: CONTEXT.Process(target=_child, args=(rank, size, shared, cases, folder / name))
        for name, (rank, size) in places.items()
    }
    for child in children.values():
        child.start()
    for child in children.values():
        child.join(900)
    for name, child in children.items():
        if child.is_alive():
            child.kill()
        assert child.exitcode == 0, name
    return {name: torch.load(folder / name, weights_only=False) for name in children}


def agree(runs: dict[str, dict[str, Any]], name: str) -> None:
    alone, first = runs["alone"][name], runs["first"][name]
    assert first["trained"] == alone["trained"], "AST's picks among them"
    largest = float(alone["logits"].abs().max())
    assert float((first["logits"] - alone["logits"]).abs().max()) <= 1e-10 * largest
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-8)
    for one, two in zip(alone["parts"], first["parts"], strict=True):
        assert two == pytest.approx(one, rel=1e-8, abs=1e-12)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return in_processes(CASES, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", [name for name in CASES if name != "dropout"])
def test_two_processes_give_the_numbers_of_one(name: str, runs: dict[str, dict[str, Any]]) -> None:
    agree(runs, name)


@pytest.mark.slow
def test_they_do_so_for_fifty_steps(tmp_path: Path) -> None:
    found = in_processes(FIFTY, tmp_path)
    for name in FIFTY:
        agree(found, name)


@pytest.mark.parametrize("name", list(CASES))
def test_both_hold_the_same_bits(name: str, runs: dict[str, dict[str, Any]]) -> None:
    first, second = runs["first"][name], runs["second"][name]
    assert torch.equal(first["logits"], second["logits"])
    assert first["losses"] == second["losses"]
    assert first["training"] == second["training"]


def test_masks_of_dropout_differ(runs: dict[str, dict[str, Any]]) -> None:
    assert runs["first"]["dropout"]["losses"] != pytest.approx(runs["alone"]["dropout"]["losses"], rel=1e-6)


def test_two_stop_where_one_stops(runs: dict[str, dict[str, Any]]) -> None:
    alone, first = (runs[place]["early stopping"]["training"][0] for place in ("alone", "first"))
    assert alone["stopped_early"], alone
    assert (first["steps_taken"], first["best"]["step"]) == (alone["steps_taken"], alone["best"]["step"])
    assert first["best"]["loss"] == pytest.approx(alone["best"]["loss"], rel=1e-5)


def test_what_one_process_meets_all_are_told(runs: dict[str, dict[str, Any]]) -> None:
    first, second = runs["first"]["told"], runs["second"]["told"]
    assert first == second
    assert first[1:] == [[0, 1], ("0 cannot", "mend it"), ("1 cannot", "mend it")]
    assert runs["alone"]["told"][1] == [0]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 32])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_are_the_whole_in_order(count: int, size: int) -> None:
    parts = [range(count)[Group(rank, size).part(count)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_an_image_is_varied_alike_in_any_share(few_digits: Any) -> None:
    plan = plan_for(load("mini"), few_digits, small_method("lora"))
    for kind in ("photo", "affine", "none"):
        served = plan.pixels(plan.episode.train)
        served.augment = dataclasses.replace(served.augment, kind=kind)
        whole = served.varied([5, 3, 3, 9], torch.Generator().manual_seed(1))
        for part in (slice(0, 1), slice(1, 4), slice(4, 4)):
            found = served.varied([5, 3, 3, 9], torch.Generator().manual_seed(1), part)
            assert torch.allclose(found, whole[part], atol=1e-6)
