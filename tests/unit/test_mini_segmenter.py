"""The shipped mini segmenter: opens offline, small, marks what prompts name; and its recipe makes the loss fall."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, CLIPSegConfig

from cliptune.datasets.mask_sets import open_masks
from cliptune.models.mini import pretrain_decoder
from cliptune.models.mini.pretrain_decoder import (
    Lesson,
    Plan,
    Teacher,
    dice_of,
    grade,
    learning_rate,
    marking_loss,
    marks,
)
from cliptune.models.mini.segmenter import SEGMENTER, SIDE, TOWERS, mini_segmenter, new_segmenter

BAR = 0.52
"""mean Dice that the shipped file reaches on the first 80 test pictures of world/objects, 0.60, less a margin"""
COLOUR_BAR = 0.75
"""the same where a prompt tells things by their colour: 0.85"""


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TOWERS)


@pytest.fixture(scope="module")
def segmenter():
    return mini_segmenter()


class TestShipped:
    def test_size(self):
        assert sum(file.stat().st_size for file in SEGMENTER.iterdir() if file.is_file()) < 2_000_000

    def test_form(self, segmenter, tokenizer):
        assert not segmenter.training
        assert {tensor.dtype for tensor in segmenter.parameters()} == {torch.float32}
        assert segmenter.clip.vision_model.embeddings.position_embedding.weight.shape == (17, 128)
        tokens = tokenizer(["the red star", "a circle"], padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = segmenter(input_ids=tokens.input_ids, pixel_values=torch.zeros(2, 3, SIDE, SIDE)).logits
        assert logits.shape == (2, SIDE // 2, SIDE // 2)

    def test_towers_are_the_mini_clips(self, segmenter):
        towers = CLIPModel.from_pretrained(TOWERS, dtype=torch.float32).state_dict()
        own = segmenter.clip.state_dict()
        assert own.keys() == towers.keys()
        assert all(torch.equal(own[name], tensor) for name, tensor in towers.items())

    def test_files_say_how_to_use_it(self):
        processor = AutoImageProcessor.from_pretrained(SEGMENTER)
        pixels = processor(images=np.full((40, 60, 3), 255, np.uint8), return_tensors="pt").pixel_values
        assert pixels.shape == (1, 3, SIDE, SIDE)
        assert pixels.min() == pixels.max() == 1
        assert CLIPSegConfig.from_pretrained(SEGMENTER).vision_config.image_size == 32
        assert json.loads((SEGMENTER / "mini_segmenter.json").read_text())["plan"]["steps"] == Plan().steps

    def test_stock_forward_is_what_was_trained(self, segmenter, tokenizer):
        lesson = Teacher(9).lesson(2)
        tokens = tokenizer(lesson.prompts, padding=True, return_tensors="pt")
        with torch.no_grad():
            ours = marks(segmenter, tokenizer, lesson)
            theirs = segmenter(input_ids=tokens.input_ids, pixel_values=2 * lesson.images[lesson.rows] - 1).logits
        theirs = torch.nn.functional.interpolate(theirs[:, None], size=(SIDE, SIDE), mode="bilinear")[:, 0]
        assert torch.allclose(ours, theirs, atol=1e-4)

    def test_it_marks_what_a_prompt_names(self, segmenter, tokenizer):
        """Well above marking nothing (0.20, for the absent things), every pixel (below 0.1), or every thing (0.47)."""
        found = open_masks("world/objects")
        items = found.test[:80]
        images = np.stack([np.asarray(found.read_image(item)) for item in items])
        masks = torch.from_numpy(np.stack([found.read_mask(item) for item in items])).float()
        lesson = Lesson(
            torch.from_numpy(images).permute(0, 3, 1, 2) / 255,
            torch.arange(len(items)),
            [dict(item.prompts)["p1"][0] for item in items],
            [item.group for item in items],
            masks,
        )
        scores = grade(segmenter, tokenizer, lesson)
        assert scores["dice"]["all"] > 100 * BAR
        assert scores["dice"]["colour"] > 100 * COLOUR_BAR
        assert scores["nothing"]["all"] == pytest.approx(20.0)
        assert scores["everything"]["all"] < 10


class TestRecipe:
    def test_a_few_steps_lower_the_loss(self, tokenizer):
        plan = Plan(steps=12, batch=2, warm_up=2, evaluate_every=3)
        losses = [checkpoint.loss for checkpoint in pretrain_decoder.pretrain_decoder(plan, tokenizer)]
        assert len(losses) == 4
        assert losses[-1] < losses[0] - 0.05

    def test_the_command_writes_a_folder_that_opens(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pretrain_decoder, "exam", lambda: Teacher(1).lesson(2))
        threads = torch.get_num_threads()
        pretrain_decoder.main(["--out", str(tmp_path), "--steps", "2", "--batch", "1", "--evaluate-every", "1"])
        torch.set_num_threads(threads)
        facts = json.loads((tmp_path / "mini_segmenter.json").read_text())
        assert facts["pictures"] == 2
        assert set(facts["dice_percent"]) == {"dice", "nothing", "everything"}
        assert {file.name for file in tmp_path.iterdir()} == {
            "config.json",
            "decoder.safetensors",
            "mini_segmenter.json",
            "preprocessor_config.json",
        }

    def test_initial_values_leave_the_global_generator_alone(self):
        before = torch.random.get_rng_state()
        one, other = (new_segmenter([1, 2, 3], 64, 256, seed=4).decoder.state_dict() for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_equal_seeds_equal_lessons(self):
        one, other = Teacher(3).lesson(3), Teacher(3).lesson(3)
        assert one.prompts == other.prompts
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.masks, other.masks)

    def test_the_rate_warms_up_and_falls_to_zero(self):
        plan = Plan(steps=100, warm_up=10)
        assert learning_rate(0, plan) == pytest.approx(plan.lr / 10)
        assert learning_rate(9, plan) > learning_rate(50, plan) > learning_rate(99, plan)
        assert learning_rate(99, plan) < 0.001 * plan.lr


class TestScores:
    def test_dice_by_hand(self):
        masks = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
        logits = torch.tensor([[[1.0, -1.0], [1.0, -1.0]], [[-1.0] * 2] * 2, [[1.0, -1.0], [-1.0, -1.0]]])
        assert dice_of(logits, masks).tolist() == [0.5, 1.0, 0.0]

    def test_loss_by_hand(self):
        """Sure and right: nearly zero. No opinion (σ = ½) of a half-full mask: log 2 + 1 − 3/5."""
        masks = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
        assert marking_loss(40 * masks - 20, masks) < 1e-6
        assert marking_loss(torch.zeros(1, 2, 2), masks).item() == pytest.approx(np.log(2) + 0.4)
