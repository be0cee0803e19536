"""A rank of its own in the text tower, for every method with a low-rank product."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.methods.base import Adapter
from cliptune.methods.dora import DoRA
from cliptune.methods.linears import LinearAdapter, LowRank
from cliptune.methods.lora import LoRA
from cliptune.methods.lora_xs import LoRAXS
from cliptune.models import zoo
from cliptune.models.backbone import Backbone
from cliptune.models.products import project
from cliptune.models.shortcuts import Shortcuts
from cliptune.runs import open_adapter, save_adapter
from cliptune.tasks.classify import merged_scorer
from cliptune.training.loop import fit
from tests.conftest import gap, logits_of, plan_for, probe_images

METHODS = [
    LoRA(rank=4, text_rank=1),
    LoRAXS(rank=8, text_rank=3, init_std=0.1),
    LoRAXS(rank=8, text_rank=3, init_std=0.1, file="r_only"),
    DoRA(rank=1, text_rank=3),
]
every_one = pytest.mark.parametrize(
    "method", METHODS, ids=lambda method: f"{method.name} {getattr(method, 'file', '')}"
)


def trained(method: LowRank, mini: Backbone, few_digits: ImageSet) -> Adapter:
    plan = plan_for(mini, few_digits, method, train__lr=3e-3)
    adapter = plan.attach()
    list(fit(adapter, plan.lesson(), plan.machine))
    return adapter


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        (LoRA(rank=2), 36 * 2 * (1536 + 1024)),
        (LoRA(rank=4, text_rank=2), 36 * (4 * 1536 + 2 * 1024)),
        (LoRAXS(rank=32, text_rank=8), 36 * (32**2 + 8**2)),
        (DoRA(rank=2, text_rank=5), 48 * (2 * 1536 + 768 + 5 * 1024 + 512)),
    ],
    ids=str,
)
def test_sizes(method: LowRank, numbers: int) -> None:
    assert method.size(zoo.outline("vit-b-16"), classes=10).exact == numbers


@every_one
def test_each_tower_has_its_rank_and_its_scale(method: LowRank, mini: Backbone) -> None:
    adapter = method.attach(mini)
    assert isinstance(adapter, LinearAdapter)
    assert sum(tensor.numel() for tensor in adapter.trainable().values()) == method.size(mini.model, 10).exact
    for site, linear in adapter.linears.items():
        rank = method.text_rank if site.startswith("text") else method.rank
        assert linear.scale == pytest.approx(method.alpha / rank**0.5)
        assert rank in (linear.R if method.name == "lora_xs" else linear.A).shape


@every_one
def test_fast_products_and_merging_are_exact(method: LowRank, mini: Backbone, few_digits: ImageSet) -> None:
    adapter = trained(method, mini, few_digits)
    assert isinstance(adapter, LinearAdapter)
    for site, linear in adapter.linears.items():
        x = torch.randn(15, linear.base.in_features, generator=torch.Generator().manual_seed(1))
        direct = F.linear(x, linear.weight(), linear.base.bias)
        for update in ("merged", "beside"):
            (fast,) = project(x, [linear], Shortcuts(update=update))
            assert gap(fast, direct) < 2e-6, (site, update)
    images, tokens = probe_images(mini), mini.tokens(["one", "two"])
    merged = merged_scorer(adapter.merged().eval(), tokens)(images)
    assert gap(merged, logits_of(adapter, images, tokens)) <= 1e-5


@every_one
def test_saved_and_opened_again(method: LowRank, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    adapter = trained(method, mini, few_digits)
    save_adapter(tmp_path / "adapter", adapter, "card")
    images, tokens = probe_images(mini), mini.tokens(["one", "two"])
    again = logits_of(open_adapter(tmp_path / "adapter", mini), images, tokens)
    assert gap(again, logits_of(adapter, images, tokens)) <= 1e-6


@pytest.mark.parametrize("method", [LoRA(), LoRAXS(rank=8), DoRA()], ids=lambda method: method.name)
def test_an_adapter_from_before_the_setting_opens(method: LowRank, mini: Backbone, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", method.attach(mini), "card")
    path = tmp_path / "adapter" / "adapter.json"
    about = json.loads(path.read_text("utf-8"))
    del about["settings"]["text_rank"]
    path.write_text(json.dumps(about), "utf-8")
    assert open_adapter(tmp_path / "adapter", mini).method == method


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"text_rank": -1}, "text_rank = -1"),
        ({"text_rank": 900}, r"text_rank = 900 is more than text\.0\.q has"),
        ({"text_rank": 4, "where": ("vision.*.q",)}, "text_rank = 4, and `where` adapts nothing in the text tower"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict, words: str, mini: Backbone) -> None:
    with pytest.raises(UserError, match=words):
        LoRA(**settings).attach(mini)
