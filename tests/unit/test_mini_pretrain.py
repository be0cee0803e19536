"""Pretraining of the mini CLIP: three steps end in a folder that transformers opens; the parts do what they say."""

import json

import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from cliptune.models.mini import pretrain
from cliptune.models.mini.exam import Question
from cliptune.models.mini.model import embed_texts, new_model, waves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a run of three steps writes; the exam is a single question, for the full one takes seconds."""
    path = tmp_path_factory.mktemp("mini")
    question = Question(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]), ["the digit one", "the digit two"])
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "questions", lambda: {"toy": question})
        pretrain.main(["--out", str(path), "--steps", "3", "--batch", "8", "--evaluate-every", "2"])
    torch.set_num_threads(threads)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


class TestFolder:
    def test_transformers_opens_it(self, folder, tokenizer):
        model = CLIPModel.from_pretrained(folder).eval()
        tokens = tokenizer(["a photo of the digit seven", "anything: ünïcode!"], padding=True, return_tensors="pt")
        output = model(**tokens, pixel_values=torch.zeros(1, 3, 32, 32))
        assert output.logits_per_image.shape == (1, 2)
        assert next(model.parameters()).dtype == torch.float32

    def test_sizes_are_said_where_readers_look(self, folder):
        config = json.loads((folder / "config.json").read_text())
        assert config["projection_dim"] == config["text_config"]["projection_dim"] == 128
        assert config["vision_config"]["projection_dim"] == 128
        assert config["text_config"]["eos_token_id"] not in (2, None)

    def test_numbers_are_halves(self, folder):
        assert (folder / "model.safetensors").stat().st_size < 2_700_000

    def test_it_tells_how_it_was_made(self, folder):
        facts = json.loads((folder / "mini.json").read_text())
        assert facts["plan"]["steps"] == 3
        assert facts["pairs"] == 24
        assert set(facts["zero_shot_percent"]) == {"toy"}

    def test_words_are_tokens(self, tokenizer):
        assert len(tokenizer("a photo of the capital letter q").input_ids) == 9
        assert len(tokenizer("two checkered hexagons").input_ids) == 5


class TestParts:
    def test_same_seed_same_numbers(self):
        plan = pretrain.Plan(steps=2, batch=8, evaluate_every=1)
        losses = [[checkpoint.loss for checkpoint in pretrain.pretrain(plan)] for _ in range(2)]
        assert losses[0] == losses[1]

    def test_initial_values_leave_the_global_generator_alone(self, tokenizer):
        before = torch.random.get_rng_state()
        new_model(tokenizer, seed=1)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_attention_starts_near_the_identity(self, tokenizer):
        attention = new_model(tokenizer, seed=1).vision_model.encoder.layers[0].self_attn
        product = attention.q_proj.weight[:32].T @ attention.k_proj.weight[:32]
        assert product.diagonal().mean() > 5 * (product - product.diagonal().diag()).abs().mean()
        assert (attention.out_proj.weight @ attention.v_proj.weight).diagonal().mean() < -0.3

    def test_positions_differ_and_neighbours_are_alike(self):
        vectors = torch.nn.functional.normalize(waves(4, 128), dim=1)
        likeness = vectors @ vectors.T
        assert likeness[0, 1] > likeness[0, 3] > likeness[0, 15]

    def test_padding_changes_nothing(self, folder, tokenizer):
        model = CLIPModel.from_pretrained(folder).eval()
        texts = ["a star", "a photo of a small red star in the top left corner on a dark blue background"]
        alone = embed_texts(model, tokenizer, texts[:1])
        torch.testing.assert_close(embed_texts(model, tokenizer, texts)[:1], alone, atol=1e-5, rtol=0)

    def test_equal_captions_share_the_mass(self):
        targets = pretrain.shared_targets(["the digit 3", "a star", "the digit 3."])
        assert targets.tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]

    def test_the_curriculum_goes_from_easy_nouns_to_colours(self):
        first, last = pretrain.lesson(0.0), pretrain.lesson(1.0)
        assert (first.easy, first.generic) == (1.0, 0.0)
        assert last.easy < 0.2
        assert last.easy_colour > first.easy_colour
        assert last.generic > 0

    def test_learning_rate_warms_up_and_falls_to_nothing(self):
        plan = pretrain.Plan()
        assert pretrain.learning_rate(0, plan) < plan.lr / 50
        assert pretrain.learning_rate(plan.warm_up, plan) == pytest.approx(plan.lr, rel=0.01)
        assert pretrain.learning_rate(plan.steps - 1, plan) < plan.lr / 1e5
