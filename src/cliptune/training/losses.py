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

    @property
    def looks_at_images(self) -> bool:
        """Whether the teacher has to see the images at all."""
        return bool(self.settings.image or self.settings.logits)

    def of_text(self, text: Tensor) -> dict[str, Tensor]:
        """The weighted text term, by name; `text` [c d]."""
        if not self.settings.text:
            return {}
        return {"scl_text": self.settings.text * l1(text, self.teacher_text, self.settings.reduction)}

    def of_images(self, image: Tensor, teacher_image: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """The weighted image and logit terms, by name.

        Args:
            image: the student's features [b d]. teacher_image: the teacher's, of the same augmented pixels.
            logits: the student's [b c].
        """
        weights, terms = self.settings, {}
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


def self_consistency(settings: LossSettings, teacher: Backbone, prompts: list[Tensor]) -> SelfConsistency | None:
    """The loss term a recipe asks for, or None.

    Args:
        prompts: the teacher's class prompts [c t], one entry per template. One template's features are taken as they
            are; those of several are averaged before they have unit length, as PromptSRC's code does
            (muzairkhattak/PromptSRC, trainers/promptsrc.py).
    """
    if not (settings.image or settings.text or settings.logits):
        return None
    if len(prompts) == 1:
        # Normalising once more would move the last bits, and where student and teacher are the same the gradient of
        # |T − T̃| would be the sign of that rounding at full size.
        return SelfConsistency(settings, teacher, teacher.text_features(prompts[0]))
    with torch.no_grad():
        features = torch.stack([teacher.towers.text_embeddings(tokens) for tokens in prompts]).mean(0)
    return SelfConsistency(settings, teacher, F.normalize(features, dim=-1))
