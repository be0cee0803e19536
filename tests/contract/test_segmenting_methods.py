"""What every method owes that can be trained to mark images. A new one walks in by its registry line."""

import dataclasses
import json
from functools import cache
from pathlib import Path

import pytest
import torch

from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import MaskSet
from cliptune.errors import UserError
from cliptune.methods.with_decoder import WithDecoder
from cliptune.models import segmenter as segmenters
from cliptune.models.backbone import Backbone, weights_hash
from cliptune.models.segmenter import Segmenter
from cliptune.pipeline import execute
from cliptune.planning import prepare
from cliptune.runs import Run, open_adapter, save_adapter
from cliptune.segmentation import SegmentPlan
from cliptune.settings import plain
from cliptune.training.loop import fit
from tests.conftest import SEGMENTING, every_segmenting_method, small_method


@cache
def mini_segmenter() -> Segmenter:
    return segmenters.load("mini")


@cache
def few_pictures() -> MaskSet:
    found = open_masks("world/glyphs")
    return dataclasses.replace(found, train=found.train[:12], val=found.val[:4], test=found.test[:10])


def plan_for(name: str, segmenter: Segmenter | None = None, **options: object) -> SegmentPlan:
    """A prepared run of 6 steps on 12 pictures; options with '__' for '.'."""
    tables = {"method": {"name": name, **plain(small_method(name))}, "segment": {}}
    chosen: dict[str, object] = {"train.steps": 6, "train.batch": 4, "train.lr": 1e-3}
    chosen |= {key.replace("__", "."): value for key, value in options.items()}
    segmenter = segmenter or mini_segmenter()
    found = prepare(tables, chosen, "small", backbone=segmenter, imageset=few_pictures(), device="cpu")
    assert isinstance(found, SegmentPlan)
    return found


def train(plan: SegmentPlan) -> tuple[WithDecoder, list]:
    adapter = plan.attach()
    events = list(fit(adapter, plan.lesson(), plan.machine))
    return adapter, events


@torch.no_grad()
def logits(plan: SegmentPlan, marker: segmenters.Marker) -> torch.Tensor:
    """Of four test pictures."""
    given = plan.pixels(plan.episode.test).plain(range(4))
    pixels = plan.backbone.preprocess.normalise(given.pixels)
    return marker.mask_logits(marker.activations(pixels), marker.conditions(plan.backbone.tokens(given.prompts)))


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@every_segmenting_method
def test_starts_at_the_untouched_segmenter(name: str) -> None:
    plan = plan_for(name)
    adapter = plan.attach().eval()
    found = gap(logits(plan, adapter.marker), logits(plan, plan.backbone.marker()))
    assert found <= max(1e-5, plan.recipe.method.starts_within)


@every_segmenting_method
def test_only_its_own_numbers_move(name: str) -> None:
    segmenter = mini_segmenter()
    before = weights_hash(segmenter.whole)
    plan = plan_for(name)
    adapter, events = train(plan)
    assert weights_hash(segmenter.whole) == before
    if not adapter.method.phases():
        return
    original = dict(segmenter.whole.decoder.named_parameters())
    moved = [key for key, tensor in adapter.owned.items() if not torch.equal(tensor, original[key[len("decoder.") :]])]
    assert sorted(moved) == sorted(adapter.owned), "every decoder tensor it trains has moved"
    assert all(event.loss == event.loss for event in events if hasattr(event, "loss"))


@every_segmenting_method
def test_counts_what_it_says(name: str) -> None:
    plan = plan_for(name)
    adapter, _ = train(plan)
    if not adapter.method.phases():
        return
    counted = sum(tensor.numel() for tensor in adapter.trainable().values())
    size = plan.size()
    assert size.least <= counted <= size.most
    assert size.facts["decoder"] == sum(tensor.numel() for tensor in adapter.owned.values())


@every_segmenting_method
def test_save_other_seed_load(name: str, tmp_path: Path) -> None:
    plan = plan_for(name)
    adapter, _ = train(plan)
    save_adapter(tmp_path / "adapter", adapter, "card")
    torch.manual_seed(987654)
    again = open_adapter(tmp_path / "adapter", mini_segmenter())
    assert isinstance(again, WithDecoder)
    expected = logits(plan, adapter.eval().marker)
    assert gap(logits(plan, again.marker), expected) <= 1e-6
    if adapter.method.phases():
        assert gap(logits(plan, plan.backbone.marker()), expected) > 1e-3


@every_segmenting_method
def test_refuses_a_wrong_backbone(name: str, mini: Backbone, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", plan_for(name).attach(), "card")
    with pytest.raises(UserError, match="made for a CLIPSeg, 'mini' is a CLIP"):
        open_adapter(tmp_path / "adapter", mini)
    other = segmenters.load("mini")
    with torch.no_grad():
        other.whole.decoder.film_add.bias[0] += 1e-2
    with pytest.raises(UserError, match=r"made for backbone 'mini'.*weights"):
        open_adapter(tmp_path / "adapter", other)


@every_segmenting_method
def test_same_seed_same_numbers(name: str) -> None:
    def numbers(disturb: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(disturb)
        torch.rand(disturb)
        return train(plan_for(name))[0].tensors()

    first, second = numbers(1), numbers(17)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@every_segmenting_method
def test_the_decoders_rate_is_its_own(name: str) -> None:
    # One step: at rate zero LoRA's B stays zero, so that later its A would be missed to have no gradient.
    plan = plan_for(name, train__lr=0.0, segment__decoder_lr=1e-3, train__steps=1)
    adapter, _ = train(plan)
    if not adapter.method.phases():
        return
    original = dict(plan.backbone.whole.decoder.named_parameters())
    assert any(not torch.equal(tensor, original[key[len("decoder.") :]]) for key, tensor in adapter.owned.items())
    still = plan.attach()
    if adapter.trainable().keys() == still.trainable().keys():
        towers = adapter.inner.trainable()
        assert all(torch.equal(tensor, towers[key]) for key, tensor in still.inner.trainable().items())


@pytest.mark.parametrize("name", [name for name in SEGMENTING if name != "zero_shot"])
def test_parts_of_a_batch_give_the_whole_batchs_gradient(name: str) -> None:
    changed = {"dropout": 0.0} if name in ("lora", "lora_xs", "dora") else {}

    def gradients(chunk: int) -> dict[str, torch.Tensor]:
        plan = plan_for(name, train__chunk=chunk, **changed)
        adapter = plan.attach()
        phase = adapter.method.phases()[0]
        adapter.begin(phase)
        adapter.train()
        student = plan.lesson().student(adapter, plan.machine, phase)
        student.prepare(4)
        student.backward([3, 1, 5, 7], torch.Generator().manual_seed(0))
        return {key: tensor.grad for key, tensor in adapter.trainable().items() if tensor.grad is not None}

    whole, parts = gradients(0), gradients(3)
    assert whole.keys() == parts.keys()
    largest = max(float(grad.abs().max()) for grad in whole.values())
    for key, grad in whole.items():
        # Sums in another order: 1e-5 of the largest gradient with AVX2, 3e-5 with SSE; a wrong weight makes 1e-1.
        torch.testing.assert_close(parts[key], grad, rtol=1e-3, atol=1e-4 * largest)


@every_segmenting_method
def test_half_precision_runs(name: str) -> None:
    # Small steps: what is compared is the arithmetic, not where AdamW's first steps of full length happen to lead.
    # Few, because processors without 16-bit instructions take ten times as long for one.
    slow = {"train__lr": 1e-4, "segment__decoder_lr": 1e-4, "train__steps": 3, "train__batch": 2}
    plan = plan_for(name, train__dtype="bfloat16", **slow)
    adapter, events = train(plan)
    assert all(tensor.dtype == torch.float32 for tensor in adapter.tensors().values())
    assert all(event.loss == event.loss for event in events if hasattr(event, "loss"))
    full, _ = train(plan_for(name, **slow))
    assert gap(logits(plan, adapter.eval().marker), logits(plan, full.eval().marker)) < 0.3


@every_segmenting_method
def test_whole_run(name: str, tmp_path: Path) -> None:
    run = execute(plan_for(name), tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert (saved["status"], saved["task"]) == ("finished", "segment")
    assert run.metrics["test"]["n"] == 10
    assert 0 <= run.metrics["test"]["iou"] <= run.metrics["test"]["dice"] <= 1
    assert saved["merge_gap"] <= 1e-4
    counted = sum(tensor.numel() for tensor in run.adapter.trainable().values())
    assert saved["trainable_parameters"] == counted or name == "lora_xs"
    assert saved["decoder_parameters"] <= saved["trainable_parameters"]
    assert name != "zero_shot" or saved["trainable_parameters"] == 0
    assert (tmp_path / "run" / "predictions.csv").read_text("utf-8").count("\n") == 11
    again = Run.open(tmp_path / "run")
    assert again.record == saved
    if name == "zero_shot":
        assert run.metrics["test"] == run.metrics["zero_shot"]
    assert run.report().stat().st_size > 10_000
