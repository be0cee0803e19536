"""Rounding at full size: a random ViT-B/16 against itself in float64, with B and magnitudes away from their start."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cliptune.methods.base import Adapter
from cliptune.models.backbone import Backbone
from cliptune.models.shortcuts import Shortcuts
from cliptune.models.towers import own_copy
from cliptune.recipe import find_method
from tests.conftest import probe_images

END = 49407
PROMPTS = Path(__file__).parents[2] / "benchmarks" / "imagenet-prompts.json"
Found = tuple[Tensor, dict[str, Tensor]]


def prompts() -> Tensor:
    """Ten prompts for three images, so that the gradient of the loss is not a difference of nearly equal sums."""
    rows = json.loads(PROMPTS.read_text("utf-8"))["ids"][:10]
    return torch.tensor([row + [END] * (max(map(len, rows)) - len(row)) for row in rows])


def adapter_in(backbone: Backbone, name: str, dropout: float) -> Adapter:
    torch.manual_seed(0)
    adapter = find_method(name)(dropout=dropout).attach(backbone)
    with torch.no_grad():
        for key, parameter in adapter.trainable().items():
            if key.endswith(".B"):
                parameter.normal_(std=0.02)
            if key.endswith(".R"):
                parameter.normal_(std=0.05)
            if key.endswith(".m"):
                parameter.mul_(1 + 0.02 * torch.randn_like(parameter))
    return adapter.train()


def step(adapter: Adapter, dtype: torch.dtype, lower: bool = False) -> Found:
    """Logits and gradients, float64; masks come from the same seed whatever the precision."""
    images = probe_images(adapter.backbone, 3).to(dtype)
    torch.manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=lower):
        image, text = adapter.image_features(images), adapter.text_features(prompts())
    logits = adapter.logits(image, text)
    F.cross_entropy(logits, torch.arange(3)).backward()
    grads = {name: p.grad.double() for name, p in adapter.trainable().items() if p.grad is not None}
    return logits.detach().double(), grads


@functools.cache
def reference(name: str, dropout: float) -> Found:
    """The equation under autograd in float64, no shortcut of the products."""
    from cliptune.models.backbone import random_backbone

    adapter = adapter_in(random_backbone("vit-b-16"), name, dropout)
    adapter.model.double()
    adapter.towers.own = Shortcuts(products="plain")
    return step(adapter, torch.float64)


def errors(found: Found, exact: Found) -> tuple[float, float, float, float]:
    """Logits against the largest; gradients in L2: all together, the worst tensor; the smallest cosine."""
    logits = float((found[0] - exact[0]).abs().max() / exact[0].abs().max())
    gaps = {name: (float((found[1][name] - grad).norm()), float(grad.norm())) for name, grad in exact[1].items()}
    together = sum(gap**2 for gap, _ in gaps.values()) ** 0.5 / sum(length**2 for _, length in gaps.values()) ** 0.5
    worst = max(gap / length for gap, length in gaps.values())
    cosine = min(float(F.cosine_similarity(found[1][n].flatten(), g.flatten(), dim=0)) for n, g in exact[1].items())
    return logits, together, worst, cosine


CASES: list[tuple[str, float]] = [("dora", 0.0), ("dora", 0.25), ("lora", 0.25), ("lora_xs", 0.0)]


@pytest.mark.xdist_group("precision")
@pytest.mark.parametrize(("name", "dropout"), CASES)
def test_float32_is_exact_to_rounding(name: str, dropout: float, base16: Backbone) -> None:
    found = step(adapter_in(base16, name, dropout), torch.float32)
    logits, together, worst, _ = errors(found, reference(name, dropout))
    print(f"{name} dropout {dropout}: logits {logits:.1e}, gradients {together:.1e}, worst tensor {worst:.1e}")
    assert logits <= 1e-5
    assert together <= 1e-5
    assert worst <= 1e-4


@pytest.mark.xdist_group("precision")
@pytest.mark.parametrize(("name", "dropout"), CASES)
def test_bfloat16_image_tower(name: str, dropout: float, base16: Backbone) -> None:
    found = step(adapter_in(base16, name, dropout), torch.float32, lower=True)
    logits, together, _, cosine = errors(found, reference(name, dropout))
    print(f"{name} dropout {dropout} bf16: logits {logits:.1e}, gradients {together:.1e}, least cosine {cosine:.5f}")
    assert logits <= 2e-2
    assert together <= 5e-3
    assert cosine >= 0.999


@pytest.mark.parametrize("name", ["full", "ast", "bitfit"])
def test_bfloat16_gradients_of_trained_weights(name: str, mini: Backbone) -> None:
    """On the mini CLIP with its real weights: the trained tensors' own gradients, κ and all."""
    images, tokens = probe_images(mini, 12), mini.tokens(["one", "two red stars", "the digit seven", "a photo of a"])

    def gradients(lower: bool) -> dict[str, Tensor]:
        adapter = find_method(name)().attach(mini).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            image, text = adapter.image_features(images), adapter.text_features(tokens)
        F.cross_entropy(adapter.logits(image, text), torch.arange(12) % 4).backward()
        return {key: p.grad for key, p in adapter.trainable().items() if p.grad is not None and p.grad.any()}

    exact, rounded = gradients(lower=False), gradients(lower=True)
    for key, grad in exact.items():
        if not key.endswith("k.bias"):
            assert float(F.cosine_similarity(rounded[key].flatten(), grad.flatten(), dim=0)) > 0.99, key
            assert float(rounded[key].norm() / grad.norm()) == pytest.approx(1, abs=0.05), key


@pytest.mark.parametrize("attention", ["sdpa", "products"])
@pytest.mark.parametrize("update", ["merged", "beside"])
def test_bfloat16_by_every_road(attention: Any, update: Any, mini: Backbone) -> None:
    images, tokens = probe_images(mini, 12), mini.tokens(["one", "two red stars", "the digit seven", "a photo of a"])

    def gradients(how: Shortcuts, lower: bool) -> Tensor:
        adapter = adapter_in(mini, "dora", 0.0)
        adapter.towers.own = how
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            image, text = adapter.image_features(images), adapter.text_features(tokens)
        F.cross_entropy(adapter.logits(image, text), torch.arange(12) % 4).backward()
        return torch.cat([p.grad.flatten() for p in adapter.trainable().values() if p.grad is not None])

    exact = gradients(Shortcuts(), lower=False)
    found = gradients(Shortcuts(attention=attention, update=update), lower=True)
    assert float((found - exact).norm() / exact.norm()) < 0.05


def test_weights_stay_float32_under_autocast(base16: Backbone) -> None:
    adapter = adapter_in(base16, "dora", 0.0)
    step(adapter, torch.float32, lower=True)
    assert {p.dtype for p in adapter.model.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in adapter.trainable().values() if p.grad is not None} == {torch.float32}


def test_kept_copies_follow_a_frozen_weight_that_changes(mini: Backbone) -> None:
    """The bfloat16 copy of a frozen weight is made once, and again when someone writes to the weight."""
    model = own_copy(mini.model)
    twin = Backbone(model, mini.tokenizer, mini.preprocess, "twin", "")
    images: Any = probe_images(mini)

    def features() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return twin.image_features(images)

    before = features()
    assert torch.equal(before, features())
    with torch.no_grad():
        model.vision_model.encoder.layers[1].mlp.fc1.weight.mul_(0.5)
    assert not torch.equal(before, features())
