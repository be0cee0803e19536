"""Losses: cross-entropy on the class logits, and the self-consistency terms any recipe may ask for.

    L = CE + λ_image |F − F̃| + λ_text |T − T̃| + λ_logits KL(softmax(z̃) ‖ softmax(z))        CLIP-AST eqs. 9–11

letters   F, T unit-length image and text features [b d], [c d] · z logits [b c] · ˜ the frozen backbone's
form      `mean` (default): PromptSRC's, every term divided by its number of elements, KL's too (b·c).
          `sum`: the papers' eq. 9 literally: summed over d, averaged over images or classes; KL averaged over images.
          The same strength takes λ/d: 10 and 25 on the sum form would be d times too strong.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptune.models.backbone import Backbone
from cliptune.recipe import LossSettings


@dataclass(frozen=True)
class SelfConsistency:
    """The three terms against a frozen teacher whose text features are computed once."""

    settings: LossSettings
    teacher: Backbone
    teacher_text: Tensor
    """[c d], unit length"""

    def __call__(self, pixels: Tensor, image: Tensor, text: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """The weighted terms by name. `pixels` [b 3 h w] normalised: the teacher sees the same augmented view."""
        weights = self.settings
        terms = {}
        if weights.text:
            terms["scl_text"] = weights.text * l1(text, self.teacher_text, weights.reduction)
        if weights.image or weights.logits:
            with torch.no_grad():
                teacher_image = self.teacher.image_features(pixels)
        if weights.image:
            terms["scl_image"] = weights.image * l1(image, teacher_image, weights.reduction)
        if weights.logits:
            teacher_logits = self.teacher.logit_scale * teacher_image @ self.teacher_text.T
            terms["scl_logits"] = weights.logits * kl(teacher_logits, logits, weights.reduction)
        return terms


def l1(student: Tensor, teacher: Tensor, reduction: str) -> Tensor:
    """Mean absolute difference over all elements, or summed over the last dimension and averaged over rows."""
    difference = (student - teacher).abs()
    return difference.mean() if reduction == "mean" else difference.sum(dim=-1).mean()


def kl(teacher: Tensor, student: Tensor, reduction: str) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)) of logits [b c]; 'mean' divides by b·c, 'sum' by b."""
    total = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), reduction="sum", log_target=True)
    return total / (student.numel() if reduction == "mean" else len(student))


def self_consistency(
    settings: LossSettings, teacher: Backbone, tokens: Tensor, ensemble: list[Tensor] | None = None
) -> SelfConsistency | None:
    """The loss term a recipe asks for, or None.

    Args:
        tokens: the student's prompts [c t]. ensemble: the data set's templates filled in, for
            `teacher_templates = "ensemble"`; averaged after normalisation.
    """
    if not (settings.image or settings.text or settings.logits):
        return None
    prompts = ensemble if settings.teacher_templates == "ensemble" and ensemble else [tokens]
    features = torch.stack([teacher.text_features(ids) for ids in prompts]).mean(0)
    return SelfConsistency(settings, teacher, F.normalize(features, dim=-1))
