"""Linear probe: a logistic regression on frozen image features.

    p(c | x) = softmax_c(w_c · f(x) + b_c),   f(x) the image feature before normalisation, test transform

Radford et al., 2021, §3, arXiv:2103.00020; the few-shot form is CoOp's (Zhou et al., 2022, lpclip): scikit-learn's
L-BFGS with at most 1,000 iterations, the regularisation C first from seven powers of a hundred, then by eight steps of
binary search between a tenth and ten times the best in log space, judged on the few-shot validation images.
differs   Ties between values of C go to the smaller C (the stronger regularisation); without validation images C = 1.
          Of all values tried the best on validation is kept, not the search's last.
          The class prompts are not used, so a probe knows only the classes it was fitted on and cannot be merged.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import CLIPModel

from cliptune.methods.base import Adapter, Features, Method, Phase, Size, at_least, exactly
from cliptune.models.backbone import Backbone

POWERS = (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)


@dataclass(frozen=True)
class LinearProbe(Method):
    """Logistic regression on frozen image features."""

    name: ClassVar[str] = "linear_probe"
    tasks: ClassVar = ("classify",)
    title: ClassVar[str] = "Linear probe"
    mergeable: ClassVar[bool] = False
    open_vocabulary: ClassVar[bool] = False
    presets: ClassVar = {"paper": {}, "small": {}}

    C: float = 0.0
    """inverse regularisation; 0 searches for it on the validation images"""
    max_iter: int = 1000
    """iterations of L-BFGS"""
    search_steps: int = 8
    """steps of binary search after the grid"""

    def attach(self, backbone: Backbone) -> Adapter:
        at_least(self.C, 0, "C")
        at_least(self.max_iter, 1, "max_iter")
        at_least(self.search_steps, 0, "search_steps")
        return ProbeAdapter(backbone, self)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("fit", kind="closed"),)

    def size(self, model: CLIPModel, classes: int) -> Size:
        return exactly(classes * (model.config.projection_dim + 1))


class ProbeAdapter(Adapter):
    """Until fitted, the backbone itself."""

    method: LinearProbe

    def __init__(self, backbone: Backbone, method: LinearProbe):
        super().__init__(backbone, method)
        self.head: nn.Linear | None = None
        self.chosen_c: float | None = None

    def trainable(self) -> dict[str, nn.Parameter]:
        return {} if self.head is None else {f"head.{name}": tensor for name, tensor in self.head.named_parameters()}

    def adapted_sites(self) -> list[str]:
        return []

    def adapted_towers(self) -> set[str]:
        return set()

    def facts(self) -> dict[str, Any]:
        return {} if self.chosen_c is None else {"C": self.chosen_c}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        if "head.weight" in tensors:
            self._set_head(*tensors["head.weight"].shape)
        super().restore(tensors, facts)
        self.chosen_c = facts.get("C")

    def _set_head(self, classes: int, width: int) -> nn.Linear:
        self.head = nn.Linear(width, classes).to(self.backbone.device)
        return self.head

    def image_features(self, pixels: Tensor) -> Tensor:
        return self.towers.image_embeddings(pixels) if self.head else super().image_features(pixels)

    def logits(self, image: Tensor, text: Tensor) -> Tensor:
        return self.head(image) if self.head else super().logits(image, text)

    def solve(self, train: Features, val: Features) -> None:
        x, y = train.features.cpu().numpy(), train.labels.cpu().numpy()
        xv, yv = val.features.cpu().numpy(), val.labels.cpu().numpy()
        self.chosen_c = self.method.C or self._search(x, y, xv, yv)
        fitted = self._fit(x, y, self.chosen_c)
        classes = int(train.labels.max()) + 1
        head = self._set_head(classes, x.shape[1])
        with torch.no_grad():
            weight, bias = torch.zeros_like(head.weight), torch.full_like(head.bias, -1e4)
            rows = torch.as_tensor(fitted.classes_, device=weight.device)
            coefficients, intercepts = fitted.coef_, fitted.intercept_
            if len(rows) == 2:
                coefficients, intercepts = (
                    np.concatenate([-coefficients, coefficients]) / 2,
                    np.r_[-intercepts, intercepts] / 2,
                )
            weight[rows] = torch.as_tensor(coefficients, dtype=weight.dtype, device=weight.device)
            bias[rows] = torch.as_tensor(intercepts, dtype=bias.dtype, device=bias.device)
            head.weight.copy_(weight)
            head.bias.copy_(bias)

    def _fit(self, x: np.ndarray, y: np.ndarray, c: float) -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return LogisticRegression(C=c, max_iter=self.method.max_iter).fit(x, y)

    def _search(self, x: np.ndarray, y: np.ndarray, xv: np.ndarray, yv: np.ndarray) -> float:
        if len(yv) == 0:
            return 1.0
        seen: dict[float, float] = {}

        def score(c: float) -> float:
            if c not in seen:
                seen[c] = float(self._fit(x, y, c).score(xv, yv))
            return seen[c]

        best = max(POWERS, key=lambda c: (score(c), -c))
        low, high = math.log10(best) - 1, math.log10(best) + 1
        for _ in range(self.method.search_steps):
            middle = (low + high) / 2
            if score(10**low) >= score(10**high):
                high = middle
            else:
                low = middle
        return max(seen, key=lambda c: (seen[c], -c))
