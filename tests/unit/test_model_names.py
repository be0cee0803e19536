"""Backbones by the names of other tools."""

import pytest

from cliptune.errors import UserError
from cliptune.models import zoo
from cliptune.models.names import remark, source_of, suggestion

MEANT = [
    ("ViT-B/16", "vit-b-16"),
    ("ViT-B-16", "vit-b-16"),
    ("vit_b_16", "vit-b-16"),
    ("VIT-B/32", "vit-b-32"),
    ("ViT-L/14", "vit-l-14"),
    ("ViT-L/14@336px", "vit-l-14-336"),
    ("ViT-L-14-336", "vit-l-14-336"),
    ("vit_large_patch14_clip_336", "vit-l-14"),
    ("clip-vit-base-patch16", "vit-b-16"),
    ("vit-base-patch32-224", "vit-b-32"),
    ("ViT-B-32-quickgelu", "vit-b-32"),
    ("ViT-B-32/laion2b_s34b_b79k", "vit-b-32-laion2b"),
    ("openai/ViT-B/16", "vit-b-16"),
    ("vit-b-61", "vit-b-16"),
    ("clipseg", "clipseg-rd64"),
    ("hf-hub:openai/clip-vit-base-patch16", "vit-b-16"),
    ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "vit-b-32-laion2b"),
    ("https://huggingface.co/openai/clip-vit-large-patch14", "vit-l-14"),
    ("hf-hub:someone/clip", "--model someone/clip"),
]
OTHERS = [
    "RN50",
    "RN50x4",
    "rn101",
    "EVA02-B-16",
    "convnext_base_w",
    "coca_ViT-B-32",
    "ViT-B-16-SigLIP",
    "MobileCLIP-S1",
]
NONE_AT_ALL = [
    "a/b/c",
    "owner/na me",
    "owner/",
    "/owner",
    "owner/--x",
    "x/..",
    "o" * 60 + "/" + "n" * 60,
    "open_clip:x/y",
]


@pytest.mark.parametrize(("name", "ours"), MEANT)
def test_a_name_of_another_tool_is_answered_with_ours(name: str, ours: str) -> None:
    with pytest.raises(UserError) as problem:
        source_of(name)
    assert name in problem.value.what
    first = problem.value.fix.partition("zoo:")[0]
    assert ours in first
    assert not any(other in first for other in zoo.ZOO if other not in ours)


@pytest.mark.parametrize("name", OTHERS)
def test_other_towers_are_not_supported(name: str) -> None:
    with pytest.raises(UserError) as problem:
        source_of(name)
    assert problem.value.fix.startswith("not supported")


def test_an_architecture_without_a_short_name_is_not_taken_for_another() -> None:
    for name in ("ViT-H-14", "ViT-bigG-14", "ViT-L-16"):
        assert "no short name" in suggestion(name)


@pytest.mark.parametrize("name", NONE_AT_ALL)
def test_what_is_no_hub_id_is_refused_here_and_not_by_the_hub(name: str) -> None:
    with pytest.raises(UserError):
        source_of(name)


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch16", "someone/a.clip_model-2", "laion/CLIP-ViT-H-14"])
def test_a_hub_id_is_taken_as_it_is(name: str) -> None:
    assert source_of(name) == name


def test_every_name_of_the_zoo_has_its_source() -> None:
    assert {name: source_of(name) for name in zoo.ZOO} == {name: ours.source for name, ours in zoo.ZOO.items()}


def test_a_slip_in_a_hub_id_is_remarked_on_where_the_zoo_has_its_owner() -> None:
    assert remark("openai/clip-vit-b-16") == "did you mean 'vit-b-16'? "
    assert remark("openai/clip-vit-base-patch16") == ""
    assert remark("someone/clip-vit-b-16") == ""
    assert remark("vit-b-16") == ""
