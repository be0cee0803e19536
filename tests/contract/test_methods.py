"""What every registered method owes. A new one walks in by its registry line; exceptions are its own declarations."""

import dataclasses
import json
import typing
from pathlib import Path

import pytest
import torch

from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.method_page import KEPT, written
from cliptune.methods import METHODS
from cliptune.methods.linears import LinearAdapter
from cliptune.methods.tensors import named_tensors
from cliptune.models import zoo
from cliptune.models.backbone import Backbone, weights_hash
from cliptune.models.products import project
from cliptune.models.shortcuts import Shortcuts
from cliptune.pipeline import execute
from cliptune.recipe import find_method
from cliptune.runs import open_adapter, save_adapter
from cliptune.training.loop import fit
from tests.conftest import (
    CLASSIFYING,
    backbone_logits,
    every_method,
    gap,
    logits_of,
    plan_for,
    probe_images,
    small_method,
)

HERE = Path(__file__).parents[2]


def train(plan):
    adapter = plan.attach()
    events = list(fit(adapter, plan.lesson(), plan.machine))
    return adapter, events


@every_method
def test_starts_at_the_backbone(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, small_method(name))
    images = probe_images(mini)
    found = gap(logits_of(plan.attach(), images, plan.tokens), backbone_logits(mini, images, plan.tokens))
    assert plan.recipe.method.starts_within <= 1e-3
    assert found <= plan.recipe.method.starts_within


@every_method
def test_only_its_own_numbers_move(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    before = weights_hash(mini.model)
    originals = {key: tensor.detach().clone() for key, tensor in named_tensors(mini.model).items()}
    adapter, _ = train(plan_for(mini, few_digits, small_method(name)))
    assert weights_hash(mini.model) == before
    own = set(adapter.state())
    for key, tensor in named_tensors(mini.model).items():
        assert torch.equal(tensor, originals[key])
    adapted = {id(tensor) for tensor in adapter.trainable().values()}
    for key, tensor in adapter.model.named_parameters():
        if id(tensor) not in adapted and key.removesuffix(".base.weight") == key and "base" not in key:
            assert torch.equal(tensor, dict(mini.model.named_parameters())[key]), key
    if adapter.method.phases():
        assert own, "a method with a training phase has numbers of its own"


@every_method
def test_counts_what_it_says(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    method = small_method(name)
    adapter, _ = train(plan_for(mini, few_digits, method))
    counted = sum(tensor.numel() for tensor in adapter.trainable().values())
    size = method.size(zoo.outline("mini"), classes=10)
    assert size.least <= counted <= size.most
    if size.exact is None:
        assert size.least < size.most


@every_method
def test_forward_is_weight(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    adapter, _ = train(plan_for(mini, few_digits, small_method(name), train__lr=1e-2))
    if not isinstance(adapter, LinearAdapter):
        return
    for site, linear in adapter.linears.items():
        x = torch.randn(3, 5, linear.base.in_features, generator=torch.Generator().manual_seed(1))
        direct = torch.nn.functional.linear(x, linear.weight(), linear.base.bias)
        assert gap(linear.eval()(x), direct) < 2e-6, site
        for update in ("merged", "beside"):
            (fast,) = project(x.view(15, -1), [linear], Shortcuts(update=update))
            assert gap(fast.view(direct.shape), direct) < 2e-6, (site, update)


@every_method
def test_merged_equals_adapted(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    method = small_method(name)
    adapter, _ = train(plan_for(mini, few_digits, method, train__steps=20, train__lr=3e-3))
    if not method.mergeable:
        with pytest.raises(UserError, match="cannot be merged"):
            adapter.merged()
        return
    merged = adapter.merged()
    assert [key for key, _ in merged.named_parameters()] == [key for key, _ in mini.model.named_parameters()]
    owned = {id(tensor) for tensor in mini.model.parameters()}
    assert not any(id(tensor) in owned for tensor in merged.parameters())
    images = probe_images(mini)
    tokens = mini.tokens(["a photo of the digit one", "a photo of the digit two", "seven"])
    from cliptune.tasks.classify import merged_scorer

    assert gap(merged_scorer(merged.eval(), tokens)(images), logits_of(adapter, images, tokens)) <= 1e-5


@every_method
def test_save_other_seed_load(name: str, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    plan = plan_for(mini, few_digits, small_method(name), train__lr=3e-3)
    adapter, _ = train(plan)
    save_adapter(tmp_path / "adapter", adapter, "card")
    torch.manual_seed(987654)
    again = open_adapter(tmp_path / "adapter", mini)
    images = probe_images(mini)
    expected = logits_of(adapter, images, plan.tokens)
    assert gap(logits_of(again, images, plan.tokens), expected) <= 1e-6
    assert gap(backbone_logits(mini, images, plan.tokens), expected) > 1e-4 or not adapter.method.phases()


@every_method
def test_refuses_a_wrong_backbone(name: str, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    adapter = plan_for(mini, few_digits, small_method(name)).attach()
    save_adapter(tmp_path / "adapter", adapter, "card")
    from cliptune.models.towers import own_copy

    other = own_copy(mini.model)
    with torch.no_grad():
        other.visual_projection.weight[0, 0] += 1e-3
    stranger = Backbone(other, mini.tokenizer, mini.preprocess, "stranger", "")
    with pytest.raises(UserError, match=r"made for backbone 'mini'.*weights"):
        open_adapter(tmp_path / "adapter", stranger)


@every_method
def test_a_resaved_copy_is_the_same_backbone(name: str, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    from cliptune.export import save_pretrained
    from cliptune.models.backbone import load
    from cliptune.models.towers import own_copy

    adapter = plan_for(mini, few_digits, small_method(name)).attach()
    save_adapter(tmp_path / "adapter", adapter, "card")
    save_pretrained(own_copy(mini.model), mini, tmp_path / "copy")
    open_adapter(tmp_path / "adapter", load(str(tmp_path / "copy")))


@every_method
@pytest.mark.parametrize("mode", [True, False])
def test_keeps_train_and_eval_mode(name: str, mode: bool, mini: Backbone, few_digits: ImageSet) -> None:
    adapter = plan_for(mini, few_digits, small_method(name)).attach()
    adapter.train(mode)
    modules = list(adapter.model.modules())
    assert all(module.training is mode for module in modules)
    assert not mini.model.training


@every_method
def test_attaching_does_not_switch_dropout_on(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    adapter = plan_for(mini, few_digits, small_method(name)).attach()
    assert not any(module.training for module in adapter.model.modules())


@every_method
def test_same_seed_same_numbers(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    def numbers(disturb: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(disturb)
        torch.rand(disturb)
        return train(plan_for(mini, few_digits, small_method(name)))[0].tensors()

    first, second = numbers(1), numbers(17)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@every_method
def test_another_seed_other_numbers(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    one = train(plan_for(mini, few_digits, small_method(name), protocol__seed=1))[0].tensors()
    two = train(plan_for(mini, few_digits, small_method(name), protocol__seed=2))[0].tensors()
    if one:
        assert one.keys() != two.keys() or any(not torch.equal(one[key], two[key]) for key in one)


@every_method
def test_half_precision_runs(name: str, mini: Backbone, few_digits: ImageSet) -> None:
    # The probe's search for C over a handful of images turns on single ones; what is compared here is the arithmetic.
    method = small_method(name, **({"C": 1.0} if name == "linear_probe" else {}))
    plan = plan_for(mini, few_digits, method, train__dtype="bfloat16", train__steps=3)
    adapter, events = train(plan)
    assert plan.machine.dtype == "bfloat16"
    assert all(tensor.dtype == torch.float32 for tensor in adapter.tensors().values())
    full, _ = train(plan_for(mini, few_digits, method, train__steps=3))
    images = probe_images(mini)
    assert gap(logits_of(adapter, images, plan.tokens), logits_of(full, images, plan.tokens)) < 0.2
    losses = [event.loss for event in events if hasattr(event, "loss")]
    assert all(loss == loss for loss in losses)


def settings_of(name: str) -> list[tuple[str, str]]:
    return [(name, field.name) for field in dataclasses.fields(find_method(name))]


def another_value(kind: type, field: str, value: object) -> object:
    """A value that differs and makes sense, from the field's type alone."""
    hint = typing.get_type_hints(kind)[field]
    if typing.get_origin(hint) is typing.Literal:
        return next(choice for choice in typing.get_args(hint) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5 if value else 0.5
    return ("vision.*.q",) if "*.q" in value or "*" in value else ("*.q",)


COMPANIONS: dict[tuple[str, str], dict[str, object]] = {
    ("dora", "dropout_form"): {"dropout": 0.5},
    ("ast", "eps_placement"): {"eps": 1e-2},
    ("linear_probe", "max_iter"): {"max_iter": 3},
}
"""what else has to be set for a field to have its effect visible in a few steps"""

VALUES: dict[tuple[str, str], object] = {
    ("ast", "eps"): 1e6,
    ("ast", "probe_steps"): 3,
    ("linear_probe", "search_steps"): 0,
}
"""values that show an effect where the neighbouring one need not"""
OUTCOMES: dict[object, str] = {}
"""what methods left behind, by their settings"""


@pytest.mark.parametrize(("name", "field"), [pair for name in CLASSIFYING for pair in settings_of(name)])
def test_every_setting_matters(name: str, field: str, mini: Backbone, few_digits: ImageSet) -> None:
    kind = find_method(name)
    base = small_method(name, **COMPANIONS.get((name, field), {}))
    value = VALUES.get((name, field), another_value(kind, field, getattr(base, field)))
    changed = dataclasses.replace(base, **{field: value})
    assert changed != base
    if base not in OUTCOMES:  # most fields start from the same method
        OUTCOMES[base] = outcome(mini, few_digits, base)
    assert OUTCOMES[base] != outcome(mini, few_digits, changed), f"{name}.{field} changes nothing"


def outcome(mini: Backbone, few_digits: ImageSet, method: object) -> str:
    """Everything a training leaves behind, as text."""
    options = {"train__weight_decay": 0.5, "train__lr": 5e-3, "protocol__seed": 3}
    plan = plan_for(mini, few_digits, method, **options)
    adapter, events = train(plan)
    parts = [[event.loss for event in events if hasattr(event, "loss")], adapter.facts()]
    parts.append({key: tensor.double().sum().item() for key, tensor in adapter.tensors().items()})
    return json.dumps(parts)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_setting_has_help(name: str) -> None:
    from cliptune.settings import field_help

    assert all(text for text in field_help(find_method(name)).values())


@pytest.mark.parametrize("name", list(METHODS))
def test_page_is_up_to_date(name: str) -> None:
    folder = HERE / "docs" / "methods"
    text = (folder / f"{name}.md").read_text("utf-8")
    assert text == written(name, folder), "`make docs` writes it anew"
    assert KEPT in text, "what only a hand can add is missing"


@every_method
def test_whole_run(name: str, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    run = execute(plan_for(mini, few_digits, small_method(name)), tmp_path / "run")
    assert run.metrics["test"]["n"] == 100
    saved = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert saved["status"] == "finished"
    assert (
        saved["trainable_parameters"] == sum(t.numel() for t in run.adapter.trainable().values()) or name == "lora_xs"
    )
    assert (tmp_path / "run" / "predictions.csv").read_text("utf-8").count("\n") == 101
