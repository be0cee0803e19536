"""Our forward against transformers' own, logits and gradients, in float64: every shortcut, every odd shape."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from cliptune.methods.base import Adapter
from cliptune.models.backbone import Backbone
from cliptune.models.preprocess import Preprocess
from cliptune.models.shortcuts import Shortcuts
from cliptune.models.towers import Towers, unknown_part
from cliptune.models.zoo import Architecture
from cliptune.recipe import find_method

END = 499
TRANSFORMERS = Shortcuts(forward="transformers", products="plain", cache=False)
SHORTCUTS = [
    Shortcuts(),
    Shortcuts(products="plain"),
    Shortcuts(update="beside"),
    Shortcuts(update="merged"),
    Shortcuts(prompts="packed"),
    Shortcuts(prompts="padded"),
    Shortcuts(prompts="whole"),
    Shortcuts(pooled=False),
    Shortcuts(attention="products"),
    Shortcuts(products="plain", prompts="padded", pooled=False),
]
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {}),
    ("lora", {"where": ("*",)}),
    ("lora_xs", {"rank": 4}),
    ("dora", {}),
    ("dora", {"detach_norm": False}),
    ("dora", {"axis": "in"}),
    ("dora", {"where": ("*.fc1", "*.v")}),
    ("bitfit", {}),
    ("ast", {}),
    ("full", {}),
]
PROMPTS = {
    "ragged": [[7, 8, 9], [7, 8], [7, 8, 10, 11, 12, 13], [7, 8, 10]],
    "one class": [[7, 8, 9]],
    "duplicates": [[7, 8], [7, 9], [7, 8]],
    "a start of another": [[7], [7, 8]],
    "nothing in common": [[7, 8], [9, 8], [10]],
    "70 tokens": [[7, 8], [7, *range(20, 89)]],
    "even": [[7, 8], [7, 9], [7, 10]],
}


def backbone(activation: str = "quick_gelu") -> Backbone:
    """A random CLIP of 3 and 4 blocks in float64."""
    shape = Architecture("", 24, 8, (48, 3, 4), (32, 4, 2), 16, activation, vocabulary=500)
    torch.manual_seed(0)
    config = shape.config()
    config.text_config.eos_token_id, config.text_config.bos_token_id = END, 498
    config.text_config.pad_token_id = END
    model = CLIPModel(config).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "logit" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return Backbone(model, None, Preprocess(24, 24, "bicubic", (0.5,) * 3, (0.5,) * 3), "small", "")


def tokens_of(rows: list[list[int]], width: int = 0) -> Tensor:
    rows = [[498, *row, END] for row in rows]
    width = width or max(map(len, rows))
    return torch.tensor([row + [END] * (width - len(row)) for row in rows])


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 24, 24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def attach(which: Backbone, name: str, **changes: Any) -> Adapter:
    torch.manual_seed(1)
    adapter = find_method(name)(**({"dropout": 0.0} if name in ("lora", "lora_xs", "dora") else {}) | changes).attach(
        which
    )
    with torch.no_grad():
        for key, parameter in adapter.trainable().items():
            if key.endswith((".A", ".B", ".R", ".m")):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return adapter.train()


def results(
    adapter: Adapter, how: Shortcuts, tokens: Tensor, count: int = 3, seed: int = 5, pixels: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and gradients."""
    adapter.towers.own = how
    for parameter in adapter.trainable().values():
        parameter.grad = None
    torch.manual_seed(seed)
    text = F.normalize(adapter.towers.text_embeddings(tokens), dim=-1)
    image = F.normalize(adapter.towers.image_embeddings(images(count) if pixels is None else pixels), dim=-1)
    logits = 10 * image @ text.T
    labels = torch.arange(count, device=logits.device) % len(tokens)
    (F.cross_entropy(logits, labels) + (logits**2).mean()).backward()
    return logits.detach(), {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in adapter.trainable().items()
    }


def same(one: tuple[Tensor, dict[str, Tensor]], two: tuple[Tensor, dict[str, Tensor]], within: float = 1e-6) -> None:
    """Features leave the towers in float32, so float64 inside is seen through that window."""
    assert float((one[0] - two[0]).abs().max() / two[0].abs().max()) < within
    length = sum(float(grad.square().sum()) for grad in two[1].values()) ** 0.5
    assert length > 0
    for name, grad in two[1].items():
        # Tensor by tensor; those the loss hardly depends on (key biases) against all of them.
        assert float((one[1][name] - grad).norm()) < 10 * within * max(float(grad.norm()), 1e-3 * length), name


@pytest.mark.parametrize(("name", "changes"), METHODS, ids=lambda value: str(value))
@pytest.mark.parametrize("how", SHORTCUTS, ids=lambda how: repr(how)[10:60])
def test_every_shortcut_for_every_method(how: Shortcuts, name: str, changes: dict[str, Any]) -> None:
    adapter = attach(backbone(), name, **changes)
    tokens = tokens_of(PROMPTS["ragged"])
    same(results(adapter, how, tokens), results(adapter, TRANSFORMERS, tokens))


@pytest.mark.parametrize("rows", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize("how", SHORTCUTS[:7], ids=lambda how: repr(how)[10:60])
def test_odd_prompts(how: Shortcuts, rows: list[list[int]]) -> None:
    adapter = attach(backbone(), "dora")
    expected = results(adapter, TRANSFORMERS, tokens_of(rows, 77))
    same(results(adapter, how, tokens_of(rows)), expected)


@pytest.mark.parametrize("count", [1, 2, 5, 7])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_odd_batches_and_both_activations(activation: str, count: int) -> None:
    adapter = attach(backbone(activation), "full")
    tokens = tokens_of(PROMPTS["ragged"])
    same(results(adapter, Shortcuts(), tokens, count), results(adapter, TRANSFORMERS, tokens, count))


@pytest.mark.parametrize(
    "where",
    [("vision.*.q",), ("text.*.v", "text.*.o"), ("vision.2.*",), ("text.[2-3].fc2",), ("vision.0.k", "text.3.q")],
    ids=str,
)
def test_one_tower_and_top_blocks(where: tuple[str, ...]) -> None:
    adapter = attach(backbone(), "dora", where=where)
    tokens = tokens_of(PROMPTS["ragged"])
    same(results(adapter, Shortcuts(), tokens), results(adapter, TRANSFORMERS, tokens))


@pytest.mark.parametrize(
    ("name", "changes"), [case for case in METHODS if case[0] in ("lora", "lora_xs", "dora")], ids=str
)
def test_dropout_with_equal_masks(name: str, changes: dict[str, Any]) -> None:
    """The fast product against the equation under autograd; the same generator gives both the same masks."""
    adapter = attach(backbone(), name, dropout=0.25, **changes)
    tokens = tokens_of(PROMPTS["ragged"])
    for how in (Shortcuts(), Shortcuts(noise="shared"), Shortcuts(attention="products")):
        plain = Shortcuts(products="plain", noise=how.noise, attention=how.attention)
        same(results(adapter, how, tokens), results(adapter, plain, tokens))
    other = results(adapter, Shortcuts(), tokens, seed=6)
    with pytest.raises(AssertionError):
        same(other, results(adapter, Shortcuts(), tokens))


def test_dropout_of_transformers_own_forward_has_the_same_masks() -> None:
    """Without packing and pooling the order of the masks is transformers' own: the whole step is the same."""
    adapter = attach(backbone(), "dora", dropout=0.25)
    tokens = tokens_of(PROMPTS["even"])
    how = Shortcuts(prompts="padded", pooled=False)
    same(results(adapter, how, tokens), results(adapter, TRANSFORMERS, tokens))


def test_the_common_start_has_its_own_noise_unless_shared() -> None:
    adapter = attach(backbone(), "lora", dropout=0.25)
    tokens = tokens_of(PROMPTS["even"])
    adapter.towers.own = Shortcuts()
    assert adapter.towers.packing(tokens).start == 0
    adapter.towers.own = Shortcuts(noise="shared")
    assert adapter.towers.packing(tokens).start == 2
    adapter.towers.own = Shortcuts()
    assert adapter.eval().towers.packing(tokens).start == 2


def test_a_magnitude_of_zero_still_has_its_gradient() -> None:
    """dg = Σ dy (y − b) / g says nothing where g is zero; the direction is multiplied out there."""
    adapter = attach(backbone(), "dora")
    with torch.no_grad():
        adapter.trainable()["vision.1.v.m"][3] = 0
        adapter.trainable()["text.1.o.m"][:2] = 0
    tokens = tokens_of(PROMPTS["ragged"])
    found = results(adapter, Shortcuts(), tokens)
    same(found, results(adapter, TRANSFORMERS, tokens))
    assert float(found[1]["vision.1.v.m"][3].abs()) > 0


def test_stems_go_on_where_they_stopped() -> None:
    both = Towers(backbone().model)
    tokens, pixels = tokens_of(PROMPTS["ragged"]), images(3)
    for blocks in (0, 1, 2):
        image = both.image_rest(both.image_stem(pixels, blocks), blocks)
        assert torch.allclose(image, both.image_embeddings(pixels), atol=1e-6)
        text = both.text_rest(both.text_stem(tokens, blocks), tokens, blocks)
        assert torch.allclose(text, both.text_embeddings(tokens), atol=1e-6)


def test_what_it_does_not_understand_goes_through_transformers_and_is_said_once() -> None:
    which = backbone()
    both = Towers(which.model)
    expected = both.image_embeddings(images(2))
    seen = []
    handle = which.model.vision_model.encoder.layers[1].mlp.register_forward_hook(lambda *_: seen.append(1))
    with pytest.warns(UserWarning, match=r"layers\.1\.mlp has a hook: transformers' forward is used"):
        assert torch.allclose(both.image_embeddings(images(2)), expected, atol=1e-6)
    assert seen == [1], "the hook ran"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both.image_embeddings(images(2))
    handle.remove()
    assert not unknown_part(which.model)


def test_other_blocks_and_activations_are_not_guessed_at() -> None:
    class Other(nn.Module):
        pass

    model = backbone().model
    model.text_model.encoder.layers[2] = Other()
    assert "Other is not a block" in unknown_part(model)
    model = backbone().model
    model.vision_model.config.hidden_act = "relu"
    assert "'relu'" in unknown_part(model)
    model = backbone().model
    model.vision_model.config.attention_dropout = 0.1
    assert not unknown_part(model.eval())
    assert "drops attention weights" in unknown_part(model.train())


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="24"):
        Towers(backbone().model).image_embeddings(torch.zeros(1, 3, 32, 32, dtype=torch.float64))
