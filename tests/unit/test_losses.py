"""Self-consistency against formulas worked by hand."""

import pytest
import torch

from cliptune.models.backbone import Backbone
from cliptune.recipe import LossSettings
from cliptune.training.losses import kl, l1, self_consistency
from tests.conftest import probe_images


def test_l1_mean_is_the_sum_over_features_divided_by_them() -> None:
    a, b = torch.randn(5, 7), torch.randn(5, 7)
    assert torch.allclose(l1(a, b, "mean"), (a - b).abs().sum() / 35)
    assert torch.allclose(l1(a, b, "sum") / 7, l1(a, b, "mean"))


def test_kl_points_from_the_teacher_to_the_student() -> None:
    teacher, student = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    p, q = teacher.softmax(-1), student.softmax(-1)
    by_hand = (p * (p / q).log()).sum()
    assert torch.allclose(kl(teacher, student, "sum"), by_hand)
    assert torch.allclose(kl(teacher, student, "mean"), by_hand / 2)
    assert not torch.allclose(kl(student, teacher, "sum"), by_hand)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_zero_when_the_student_is_the_teacher(reduction: str, mini: Backbone) -> None:
    tokens, pixels = mini.tokens(["one", "two", "three"]), probe_images(mini)
    consistency = self_consistency(LossSettings(10, 25, 1, reduction), mini, [tokens])
    assert consistency is not None
    image, text = mini.image_features(pixels), mini.text_features(tokens)
    terms = consistency.of_text(text) | consistency.of_images(image, image, mini.logit_scale * image @ text.T)
    assert set(terms) == {"scl_text", "scl_image", "scl_logits"}
    assert all(abs(float(term)) < 1e-4 for term in terms.values())


def test_sum_form_with_weights_over_d_is_the_mean_form(mini: Backbone) -> None:
    """PromptSRC's 10 and 25 belong to the mean form; on eq. 9's sum over d = 128 they are 128 times too strong."""
    tokens, pixels = mini.tokens(["one", "two", "three"]), probe_images(mini)
    image = torch.nn.functional.normalize(mini.image_features(pixels) + 0.1, dim=-1)
    text = torch.nn.functional.normalize(mini.text_features(tokens) - 0.1, dim=-1)
    logits = mini.logit_scale * image @ text.T
    teacher = mini.image_features(pixels)
    mean = self_consistency(LossSettings(10, 25, 0), mini, [tokens])
    total = self_consistency(LossSettings(10 / 128, 25 / 128, 0, "sum"), mini, [tokens])
    assert mean is not None
    assert total is not None
    for name, term in (mean.of_text(text) | mean.of_images(image, teacher, logits)).items():
        other = (total.of_text(text) | total.of_images(image, teacher, logits))[name]
        assert torch.allclose(term, other)
        assert float(term) > 0


def test_no_weights_no_teacher(mini: Backbone) -> None:
    assert self_consistency(LossSettings(), mini, [mini.tokens(["one"])]) is None


def test_one_template_is_taken_as_it_is(mini: Backbone) -> None:
    tokens = mini.tokens(["one", "two", "three"])
    found = self_consistency(LossSettings(text=1), mini, [tokens])
    assert found is not None
    assert torch.equal(found.teacher_text, mini.text_features(tokens))


def test_an_ensemble_is_averaged_before_it_has_unit_length(mini: Backbone) -> None:
    """PromptSRC's teacher: longer embeddings weigh more; the mean of unit-length features is another teacher."""
    prompts = [mini.tokens(["a"]), mini.tokens(["the number one"])]  # embeddings of length 13.6 and 15.3
    found = self_consistency(LossSettings(text=1), mini, prompts)
    assert found is not None
    with torch.no_grad():
        one, other = (mini.towers.text_embeddings(tokens) for tokens in prompts)
    mean = (one + other) / 2
    assert torch.allclose(found.teacher_text, mean / mean.norm(dim=-1, keepdim=True))
    unit = (one / one.norm() + other / other.norm()) / 2
    assert not torch.allclose(found.teacher_text, unit / unit.norm(), atol=1e-4)
