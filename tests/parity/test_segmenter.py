"""Our forward through CLIPSeg against transformers', parameter counts, and gradients that reach what they should."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import CLIPSegForImageSegmentation

from cliptune.methods.base import Method
from cliptune.methods.with_decoder import WithDecoder, attach, decoder_size
from cliptune.models import sites, zoo
from cliptune.models.preprocess import Preprocess
from cliptune.models.segmenter import Segmenter, outline, random_segmenter
from cliptune.recipe import assemble, load_tables
from cliptune.tasks.segment import losses

NAME = "clipseg-rd64-refined"
METHODS = ("bitfit", "lora", "lora_xs", "dora", "ast", "full", "decoder")
TOKENS = torch.tensor([[49406, 320, 1125, 539, 320, 2368, 269, 49407], [49406, 320, 1125] + [49407] * 5])


def noise(count: int, side: int) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def whole() -> Segmenter:
    return random_segmenter(NAME)


def ours(segmenter: Segmenter, pixels: Tensor, tokens: Tensor) -> Tensor:
    marker = segmenter.marker()
    with torch.no_grad():
        return marker.mask_logits(marker.activations(pixels), marker.conditions(tokens))


def test_a_full_size_model_has_the_published_numbers_of_parameters() -> None:
    model = outline(NAME).whole

    def count(module: torch.nn.Module) -> int:
        return sum(tensor.numel() for tensor in module.parameters())

    assert count(model) == 150_747_746
    parts = (model.clip.vision_model, model.clip.text_model, model.decoder, model.decoder.transposed_convolution)
    assert [count(part) for part in parts] == [85_799_424, 63_165_952, 1_127_009, 70_241]


@pytest.mark.parametrize("side", [64, 96, 224])
def test_our_forward_is_transformers_in_float64(side: int) -> None:
    double = small()
    double.whole.double()
    double.model.double()
    pixels = noise(2, side).double()
    assert double.towers.ours, "the fast forward runs, not the fallback"
    found = ours(double, pixels, TOKENS)
    with torch.no_grad():
        expected = double.whole(input_ids=TOKENS, pixel_values=pixels).logits
    assert found.shape == (2, side, side)
    # Text features are handed on as float32; all else is float64.
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.slow
@pytest.mark.xdist_group("full-size")
def test_our_forward_is_transformers_within_rounding_at_full_size(whole: Segmenter) -> None:
    pixels = noise(2, 352)
    assert whole.towers.ours
    with torch.no_grad():
        expected = whole.whole(input_ids=TOKENS, pixel_values=pixels).logits
    found = ours(whole, pixels, TOKENS)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    alone = ours(whole, pixels[:1], TOKENS[:1])
    assert alone.shape == (1, 352, 352), "a batch of one keeps its dimension"
    torch.testing.assert_close(alone[0], found[0], rtol=1e-4, atol=1e-5 * float(found.abs().max()))


def settings(name: str, **changed: object) -> Method:
    return assemble({**load_tables(name), "segment": {}}, changed, "paper").method


@pytest.mark.parametrize(
    ("where", "all_sites", "live"),
    [
        (("*.q", "*.k", "*.v", "*.o"), 1_044_480, 940_032),
        (("*.q", "*.k", "*.v", "*.o", "*.fc1", "*.fc2"), 2_350_080, 2_115_072),
    ],
)
def test_dora_counts_as_the_papers_count(where: tuple[str, ...], all_sites: int, live: int) -> None:
    method = settings("dora", rank=8, where=list(where))
    kept, skipped = outline(NAME, "keep"), outline(NAME)
    assert method.size(kept.model, 1).exact == all_sites
    assert method.size(skipped.model, 1).exact == live
    assert decoder_size(skipped, "transposed") == 70_241


def test_blocks_above_those_the_decoder_reads_are_left_out_or_declared_inert() -> None:
    assert sites.blocks(outline(NAME).model).keys() == {
        *(f"vision.{index}" for index in range(10)),
        *(f"text.{index}" for index in range(12)),
    }
    kept = outline(NAME, "keep")
    dead = kept.dead_sites()
    assert dead == [f"vision.{block}.{part}" for block in (10, 11) for part in sites.PARTS]
    adapter = attach(kept, settings("dora", rank=2), "transposed")
    inert = adapter.inert()
    assert {name.rpartition(".")[0] for name in inert} == {site for site in dead if site[-1] in "qkvo"}


def test_a_plan_says_what_is_left_out() -> None:
    from cliptune.datasets.mask_sets import open_masks
    from cliptune.planning import prepare

    def plan(inert: str) -> object:
        tables = {**load_tables("lora"), "segment": {"inert": inert, "side": 64}}
        return prepare(tables, {}, "small", backbone=small(inert, layers=[0, 1]), imageset=open_masks("world/objects"))

    skipped, kept = plan("skip"), plan("keep")
    dead = [f"vision.{block}.{part}" for block in (2, 3) for part in sites.PARTS]
    assert skipped.told()["left_out"] == dead
    assert kept.told()["left_out"] == []
    assert "vision.2, vision.3: left out" in skipped.summary()
    assert "vision.2, vision.3: adapted and inert" in kept.summary()
    assert kept.size().most > skipped.size().most


def second_step(segmenter: Segmenter, method: Method, trained: str, side: int) -> tuple[WithDecoder, dict[str, Tensor]]:
    """Gradients after the second backward pass; LoRA's A has none at the first, where B is zero."""
    torch.manual_seed(0)
    adapter = attach(segmenter, method, trained)
    adapter.train()
    for phase in adapter.method.phases()[:1]:
        adapter.begin(phase)
    numbers = adapter.trainable()
    optimizer = torch.optim.AdamW(numbers.values(), lr=1e-3)
    masks = (noise(2, side)[:, 0] > 0).float()
    tokens = TOKENS if segmenter.tokenizer is None else segmenter.tokens(["the red star", "a circle"])
    for step in range(2):
        marker = adapter.marker
        logits = marker.mask_logits(marker.activations(noise(2, side)), marker.conditions(tokens))
        sum(losses(logits, masks, 0.2).values()).backward()
        if step == 0:
            optimizer.step()
            optimizer.zero_grad()
    return adapter, {name: parameter.grad for name, parameter in numbers.items()}


def check_gradients(segmenter: Segmenter, name: str, side: int) -> None:
    method = settings(name, dropout=0.0) if name in ("lora", "lora_xs", "dora") else settings(name)
    trained = "all" if name in ("full", "decoder") else "transposed"
    adapter, gradients = second_step(segmenter, method, trained, side)
    inert = set(adapter.inert())
    silent = [each for each, grad in gradients.items() if grad is None or not bool(grad.any())]
    assert set(silent) <= inert, f"no gradient reaches {sorted(set(silent) - inert)[:5]}"
    assert all(each.endswith(".k.bias") for each in inert), "key biases are all that is left inert"
    towers = {each.split(".")[0].removesuffix("_model") for each in gradients}
    assert "decoder" in towers
    assert name == "decoder" or {"vision", "text"} <= towers


@pytest.mark.slow
@pytest.mark.xdist_group("full-size")
@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_number_of_the_full_size_model(whole: Segmenter, name: str) -> None:
    check_gradients(whole, name, side=64)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_number_of_a_small_model(name: str) -> None:
    check_gradients(small(), name, side=64)


def small(inert: str = "skip", layers: Sequence[int] = (0, 1, 2)) -> Segmenter:
    """Four image blocks of which the decoder reads the first three."""
    config = zoo.segmenter_config(NAME)
    for tower in (config.vision_config, config.text_config):
        tower.hidden_size, tower.intermediate_size, tower.num_hidden_layers, tower.num_attention_heads = 32, 64, 4, 2
    config.projection_dim = config.vision_config.projection_dim = config.text_config.projection_dim = 16
    config.extract_layers, config.reduce_dim, config.decoder_intermediate_size = list(layers), 16, 32
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPSegForImageSegmentation(config).float()
    preprocess = Preprocess(64, 64, "bilinear", (0.5,) * 3, (0.5,) * 3, squash=True)
    return Segmenter(model, None, preprocess, "small", "", inert)


@pytest.mark.parametrize("name", METHODS)
def test_a_trained_adapter_merges_into_what_transformers_runs(name: str) -> None:
    segmenter = small()
    method = settings(name, dropout=0.0) if name in ("lora", "lora_xs", "dora") else settings(name)
    adapter, _ = second_step(segmenter, method, "all", 64)
    with torch.no_grad():
        for each, parameter in adapter.trainable().items():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(each))))
    adapter.eval()
    pixels = noise(2, 64)
    with torch.no_grad():
        found = adapter.marker.mask_logits(adapter.marker.activations(pixels), adapter.marker.conditions(TOKENS))
        theirs = adapter.merged_whole().eval()(input_ids=TOKENS, pixel_values=pixels).logits
        before = ours(segmenter, pixels, TOKENS)
    assert float((found - before).abs().max()) > 1e-3 * float(before.abs().max()), "the adapter does something"
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_a_blocks_hook_turns_to_transformers_forward_and_gradients_still_flow() -> None:
    segmenter = small()
    segmenter.model.vision_model.encoder.layers[0].register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="hook"):
        found = ours(segmenter, noise(2, 64), TOKENS)
    expected = ours(small(), noise(2, 64), TOKENS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
