"""Our features and logits against transformers' own forward."""

import pytest
import torch
from transformers import CLIPModel, CLIPProcessor

from cliptune.models import packing, sites, zoo
from cliptune.models.backbone import Backbone
from cliptune.pipeline import execute
from cliptune.training.loop import fit
from tests.conftest import gap, logits_of, plan_for, probe_images, small_method


@pytest.mark.xdist_group("full-size")
def test_logits_equal_transformers_on_padded_prompts(base16: Backbone) -> None:
    """The fast suite's one case at full size; its bound is docs/performance.md's, 3e-6 was seen."""
    tokens = torch.full((3, 77), 49407)
    tokens[:, 0] = 49406
    tokens[0, 1:5], tokens[1, 1:9], tokens[2, 1:3] = 500, 700, 900
    images = probe_images(base16, 2)
    with torch.no_grad():
        theirs = base16.model(pixel_values=images, input_ids=tokens).logits_per_image
    short = packing.trim(tokens, 49407)
    assert short.shape == (3, 10)
    ours = base16.logit_scale * base16.image_features(images) @ base16.text_features(short).T
    assert gap(ours, theirs) <= 1e-5


def test_sixteen_tensors_a_block_and_nothing_else() -> None:
    model = zoo.outline("vit-b-16")
    tensors = sites.block_tensors(model)
    assert len(tensors) == 24 * 16
    inside = {id(tensor) for tensor in tensors.values()}
    outside = [name for name, tensor in model.named_parameters() if id(tensor) not in inside]
    assert not any(".layers." in name for name in outside)


def test_merged_folder_loads_in_transformers(mini, few_digits, tmp_path) -> None:
    run = execute(plan_for(mini, few_digits, small_method("dora"), train__steps=20, train__lr=1e-2), tmp_path / "run")
    printed = run.merge(tmp_path / "merged")
    model = CLIPModel.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(tmp_path / "merged")
    images = [few_digits.read(item) for item in few_digits.test[:8]]
    words = run.prompts()
    inputs = processor(text=words, images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        theirs = model(**inputs).logits_per_image
    pixels = torch.stack([torch.from_numpy(mini.preprocess.cut(image)).permute(2, 0, 1) for image in images])
    ours = logits_of(run.adapter, mini.preprocess.normalise(pixels / 255), mini.tokens(words))
    assert printed <= 1e-5
    assert gap(ours, theirs) <= 1e-5


@pytest.mark.slow
@pytest.mark.xdist_group("full-size")
@pytest.mark.parametrize("name", ["lora", "lora_xs", "dora", "ast", "bitfit", "full"])
def test_merged_equals_adapted_at_full_size(name: str, base16: Backbone, few_digits) -> None:
    """Twenty steps on a random ViT-B/16, then merged against adapted logits."""
    from cliptune.planning import Plan, placeholder_tokens
    from cliptune.tasks.classify import merged_scorer
    from cliptune.training.compute import compute

    options = {"train.steps": 20, "train.batch": 4, "protocol.shots": 1, "evaluate.retention": "none"}
    if name == "ast":
        options |= {"method.probe_steps": 2}
    from cliptune import recipe
    from cliptune.protocols.few_shot import few_shot

    plan = Plan(
        recipe.resolve(name, options, preset="paper"),
        base16,
        few_shot(few_digits, 1, 1),
        placeholder_tokens(base16, 10),
        compute("cpu", "float32"),
    )
    adapter = plan.attach()
    list(fit(adapter, plan.lesson(), plan.machine))
    images = probe_images(base16, 4)
    found = gap(merged_scorer(adapter.merged().eval(), plan.tokens)(images), logits_of(adapter, images, plan.tokens))
    print(f"{name}: merge gap after 20 steps {found:.1e}")
    assert found <= 1e-5
