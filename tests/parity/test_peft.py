"""LoRA and DoRA against peft with the same factors, in float32: on the mini CLIP and on a random full-size ViT-B/16.

Full size is slow: 1.5 GB for LoRA, 1.9 GB for DoRA.
"""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel

from cliptune.datasets.base import ImageSet
from cliptune.datasets.base import prompts as class_prompts
from cliptune.datasets.pixels import Pixels
from cliptune.methods.base import Adapter
from cliptune.methods.dora import DoRA, DoRALinear
from cliptune.methods.linears import LinearAdapter
from cliptune.methods.lora import LoRA
from cliptune.models import sites, towers
from cliptune.models.backbone import Backbone
from cliptune.models.masks import Dropout
from cliptune.tasks.classify import predict, scorer, scorer_of
from cliptune.training.compute import compute
from tests.conftest import gap, probe_images

CLASSES = 5


def prompts(backbone: Backbone) -> torch.Tensor:
    """Token ids of uneven length [5 9], padded after their end token."""
    generator = torch.Generator().manual_seed(3)
    vocabulary, end_token = backbone.model.config.text_config.vocab_size, backbone.end_token
    tokens = torch.randint(10, vocabulary - 10, (CLASSES, 9), generator=generator)
    for row, end in enumerate((4, 5, 6, 7, 8)):
        tokens[row, end:] = end_token
    return tokens


def disturb(adapter: Adapter) -> None:
    """B ~ N(0, 0.02²) and magnitudes off by 2 %, so that nothing is trivially zero."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, parameter in adapter.trainable().items():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith(".B"):
                parameter.copy_(0.02 * noise)
            elif name.endswith(".m"):
                parameter.mul_(1 + 0.02 * noise)


def in_peft(backbone: Backbone, adapter: LinearAdapter, dora: bool) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """peft's model with our factors, and its parameters by our names."""
    letters = "q|k|v|out" if dora else "q|k|v"
    config = LoraConfig(
        r=2,
        lora_alpha=1,
        use_rslora=True,
        use_dora=dora,
        lora_dropout=0.0,
        target_modules=rf".*\.encoder\.layers\.\d+\.self_attn\.({letters})_proj",
    )
    model = get_peft_model(towers.share(backbone.model), config)
    parameters = {}
    for site, linear in adapter.linears.items():
        layer = model.base_model.model.get_submodule(sites.module_path(site))
        parameters[f"{site}.A"] = layer.lora_A["default"].weight
        parameters[f"{site}.B"] = layer.lora_B["default"].weight
        if dora:
            parameters[f"{site}.m"] = layer.lora_magnitude_vector["default"].weight
        with torch.no_grad():
            for letter, own in linear.named_parameters(recurse=False):
                parameters[f"{site}.{letter}"].copy_(own)
    return model, parameters


def peft_logits(model: CLIPModel, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return model(pixel_values=images, input_ids=tokens).logits_per_image


def check_against_peft(backbone: Backbone, method: LoRA | DoRA) -> None:
    """Logits and gradients; bounds as in tests/parity/test_precision.py, as both sides round."""
    torch.manual_seed(0)
    adapter = method.attach(backbone).train()
    assert isinstance(adapter, LinearAdapter)
    disturb(adapter)
    model, parameters = in_peft(backbone, adapter, dora=isinstance(method, DoRA))
    images, tokens, labels = probe_images(backbone, 2), prompts(backbone), torch.tensor([1, 4])

    ours = adapter.logits(adapter.image_features(images), adapter.text_features(tokens))
    F.cross_entropy(ours, labels).backward()
    theirs = peft_logits(model.train(), images, tokens)
    F.cross_entropy(theirs, labels).backward()

    assert gap(ours, theirs) <= 1e-5
    own = adapter.trainable()
    assert own.keys() == parameters.keys()
    pairs = {name: (own[name].grad, parameters[name].grad) for name in own}
    error = sum(float((a - b).square().sum()) for a, b in pairs.values()) ** 0.5
    length = sum(float(b.square().sum()) for _, b in pairs.values()) ** 0.5
    worst = max(float((a - b).norm() / b.norm()) for a, b in pairs.values())
    print(f"{method.name}: logits {gap(ours, theirs):.1e}, gradients {error / length:.1e}, worst tensor {worst:.1e}")
    assert error / length <= 1e-5
    assert worst <= 1e-4


LORA, DORA = LoRA(dropout=0.0), DoRA(dropout=0.0)


@pytest.mark.parametrize("method", [LORA, DORA], ids=["lora", "dora"])
def test_logits_and_gradients_equal_pefts(method: LoRA | DoRA, mini: Backbone) -> None:
    check_against_peft(mini, method)


@pytest.mark.slow
@pytest.mark.xdist_group("full-size")
@pytest.mark.parametrize("method", [LORA, DORA], ids=["lora", "dora"])
def test_logits_and_gradients_equal_pefts_at_full_size(method: LoRA | DoRA, base16: Backbone) -> None:
    check_against_peft(base16, method)


@pytest.mark.parametrize("method", [LoRA(), DoRA()], ids=["lora", "dora"])
def test_predictions_are_those_of_pefts_unmerged_model(method: LoRA | DoRA, mini: Backbone, digits: ImageSet) -> None:
    torch.manual_seed(0)
    adapter = method.attach(mini)
    assert isinstance(adapter, LinearAdapter)
    disturb(adapter)
    model, _ = in_peft(mini, adapter, dora=isinstance(method, DoRA))
    pixels = Pixels(digits, digits.test, mini.preprocess)
    tokens = mini.tokens(class_prompts(digits.classes, digits.templates[0]))
    ours = predict(scorer_of(adapter, tokens), pixels, mini, compute("cpu", "float32"), batch=64)
    zero_shot = predict(scorer(mini, tokens), pixels, mini, compute("cpu", "float32"), batch=64)
    assert (ours.predicted != zero_shot.predicted).any(), "the adapter does something"
    with torch.no_grad():
        parts = [
            peft_logits(model.eval(), mini.preprocess.normalise(images), tokens) for images, _ in pixels.batches(64)
        ]
    theirs = torch.cat(parts).softmax(-1).topk(5)
    assert ours.predicted.tolist() == theirs.indices[:, 0].tolist()
    assert abs(ours.probabilities - theirs.values.numpy()).max() <= 1e-5


def test_official_dropout_is_pefts_with_equal_masks() -> None:
    torch.manual_seed(0)
    base = nn.Linear(48, 32)
    method = DoRA(rank=2, dropout=0.25, dropout_form="official", where=("*",))
    ours = DoRALinear(base, method).train()
    config = LoraConfig(r=2, lora_alpha=1, use_rslora=True, use_dora=True, lora_dropout=0.25, target_modules=["0"])
    model = get_peft_model(nn.Sequential(nn.Linear(48, 32)).requires_grad_(False), config)
    layer = model.base_model.model.get_submodule("0")
    with torch.no_grad():
        layer.base_layer.weight.copy_(base.weight)
        layer.base_layer.bias.copy_(base.bias)
        ours.B.normal_(0, 0.1)
        ours.m.mul_(1.1)
        layer.lora_A["default"].weight.copy_(ours.A)
        layer.lora_B["default"].weight.copy_(ours.B)
        layer.lora_magnitude_vector["default"].weight.copy_(ours.m)
    layer.lora_dropout["default"] = Dropout(0.25)
    x = torch.randn(6, 48)
    torch.manual_seed(5)
    mine = ours(x)
    torch.manual_seed(5)
    theirs = layer.train()(x)
    assert gap(mine, theirs) <= 1e-6
    natural = DoRALinear(base, DoRA(dropout=0.25, where=("*",))).train()
    natural.load_state_dict(ours.state_dict())
    torch.manual_seed(5)
    assert gap(natural(x), theirs) > 1e-4, "the two dropout forms differ"
