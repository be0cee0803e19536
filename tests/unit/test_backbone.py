"""The backbone: identity, tokens, the shared tree."""

import dataclasses
from pathlib import Path

import pytest
import torch

from cliptune.errors import UserError
from cliptune.export import save_pretrained
from cliptune.models import packing, towers
from cliptune.models.backbone import Backbone, load, random_backbone, weights_hash
from cliptune.models.preprocess import OPENAI
from tests.conftest import gap, probe_images


def changed(mini: Backbone, **parts) -> Backbone:
    model = parts.pop("model", mini.model)
    return Backbone(model, parts.get("tokenizer", mini.tokenizer), parts.get("preprocess", mini.preprocess), "x", "")


def test_a_resaved_copy_is_the_same(mini: Backbone, tmp_path: Path) -> None:
    save_pretrained(towers.own_copy(mini.model), mini, tmp_path / "copy")
    again = load(str(tmp_path / "copy"))
    assert again.identity.differences(mini.identity) == []
    assert again.identity.sha256 == mini.identity.sha256


def test_the_hash_is_over_sorted_names_shapes_and_float32_bytes(mini: Backbone) -> None:
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(mini.model.state_dict().items()):
        digest.update((name + str(tuple(tensor.shape))).encode() + tensor.float().numpy().tobytes())
    assert weights_hash(mini.model) == digest.hexdigest()
    assert weights_hash(towers.own_copy(mini.model).double()) == digest.hexdigest(), "the dtype does not count"


def test_differences_are_told_in_words(mini: Backbone) -> None:
    other = towers.own_copy(mini.model)
    with torch.no_grad():
        other.logit_scale.add_(0.5)
    words = changed(mini, model=other).identity.differences(mini.identity)
    assert any("weights" in word for word in words)
    assert any("logit scale" in word for word in words)
    assert "preprocessing" in changed(mini, preprocess=OPENAI).identity.differences(mini.identity)[0]
    gelu = towers.own_copy(mini.model)
    gelu.config.vision_config.hidden_act = "gelu"
    assert "activation" in changed(mini, model=gelu).identity.differences(mini.identity)[0]
    stranger = dataclasses.replace(mini.identity, text={**mini.identity.text, "probe": "0" * 16})
    assert mini.identity.differences(stranger) == ["tokenizer or text length"]


def test_trimmed_prompts_have_the_features_of_padded_ones(mini: Backbone) -> None:
    words = ["one", "a photo of the digit seven", "two red stars on a dark background"]
    padded = mini.tokenizer(words, padding="max_length", max_length=32, return_tensors="pt")
    with torch.no_grad():
        theirs = mini.model.get_text_features(**padded).pooler_output
    short = mini.tokens(words)
    assert short.shape[1] < 32
    assert gap(mini.text_features(short), torch.nn.functional.normalize(theirs, dim=-1)) <= 1e-6


def test_the_legacy_end_token_pools_at_the_largest_id() -> None:
    tokens = torch.tensor([[5, 6, 9, 0, 0, 0], [5, 9, 0, 0, 0, 0]])
    assert packing.trim(tokens, end=2).shape == (2, 3)
    assert packing.trim(tokens, end=9).shape == (2, 3)


def test_sharing_leaves_the_original_alone(mini: Backbone) -> None:
    before = weights_hash(mini.model)
    twin = towers.share(mini.model)
    assert all(a is b for a, b in zip(twin.parameters(), mini.model.parameters(), strict=True))
    twin.visual_projection = torch.nn.Linear(128, 128, bias=False)
    twin.vision_model.encoder.layers[0].self_attn.q_proj.weight = torch.nn.Parameter(torch.zeros(128, 128))
    assert weights_hash(mini.model) == before
    images = probe_images(mini)
    assert not torch.equal(towers.Towers(twin).image_features(images), mini.image_features(images))


def test_half_precision_files_load_in_float32(mini: Backbone) -> None:
    assert {tensor.dtype for tensor in mini.model.parameters()} == {torch.float32}


def test_too_long_prompts_are_named(mini: Backbone) -> None:
    long = "a photo of " + "a very " * 40 + "long name"
    assert mini.too_long(["short", long]) == [long]
    assert mini.tokens([long]).shape == (1, 32)
    assert int(mini.tokens([long])[0, -1]) == mini.end_token


def test_random_weights_have_no_words() -> None:
    with pytest.raises(UserError, match="no tokenizer"):
        random_backbone("mini").tokens(["one"])


def test_a_folder_without_tokenizer_files_is_refused(mini: Backbone, tmp_path: Path) -> None:
    """transformers makes an empty tokenizer there, which reads every prompt alike."""
    save_pretrained(towers.own_copy(mini.model), mini, tmp_path / "mute")
    for file in (tmp_path / "mute").glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match=r"tokenizer|cannot load"):
        load(str(tmp_path / "mute"))
