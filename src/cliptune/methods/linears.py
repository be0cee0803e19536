"""The family of re-parameterised linears: a frozen weight plus what a method learns, site by site."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Method, at_least, sorted_sites
from cliptune.models import sites, towers
from cliptune.models.backbone import Backbone
from cliptune.models.masks import Dropout
from cliptune.models.products import Factored, Factors

Scaling = Literal["alpha/sqrt(r)", "alpha/r"]
Where = tuple[str, ...]


class AdaptedLinear(Factored):
    """A frozen linear with a re-written weight.

    `weight()` is the definition: one expression of the paper's equation. `forward` is the plain road to the product
    and `factors` the fast one; contract tests tie all three, so merging is never a second implementation.
    """

    def weight(self) -> Tensor:
        """The adapted weight [o i], float32, without dropout."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[… i] → [… o]."""
        return F.linear(x, self.weight(), self.base.bias)


class LinearAdapter(Adapter):
    """Adapted linears at chosen sites."""

    def __init__(self, backbone: Backbone, method: Method, chosen: list[str], make: Callable[[Any], AdaptedLinear]):
        super().__init__(backbone, method)
        self.linears: dict[str, AdaptedLinear] = {}
        for site in chosen:
            path = sites.module_path(site)
            linear = make(self.model.get_submodule(path)).to(backbone.device)
            self.model.set_submodule(path, linear.train(self.model.training))
            self.linears[site] = linear

    def trainable(self) -> dict[str, nn.Parameter]:
        return {
            f"{site}.{letter}": parameter
            for site, linear in self.linears.items()
            for letter, parameter in linear.named_parameters(recurse=False)
        }

    def adapted_sites(self) -> list[str]:
        return sorted_sites(set(self.linears))

    @torch.no_grad()
    def merged(self) -> CLIPModel:
        model = towers.own_copy(self.backbone.model)
        for site, linear in self.linears.items():
            model.get_submodule(sites.module_path(site)).weight.copy_(linear.weight())
        return model


class LowRankLinear(AdaptedLinear):
    """W + scale · B A with frozen W: LoRA's weight, and the reading form of LoRA-XS."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float):
        super().__init__(base)
        self.scale = scale
        self.dropout = Dropout(dropout)
        A = torch.empty(rank, base.in_features)
        nn.init.kaiming_uniform_(A, a=5**0.5)
        self.A = nn.Parameter(A.to(base.weight))
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))

    def weight(self) -> Tensor:
        return self.base.weight + self.scale * self.B @ self.A

    def factors(self) -> Factors | None:
        return Factors(self.scale * self.B, self.A, dropout=self.dropout.chance)

    def update(self, x: Tensor) -> Tensor:
        """scale · B A x without forming the o × i matrix."""
        return F.linear(F.linear(x, self.A), self.scale * self.B)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.update(self.dropout(x))


def choose(model: CLIPModel, where: Where) -> dict[str, nn.Linear]:
    """The linear sites that the patterns of `where` match.

    Raises:
        UserError: a pattern matches nothing, or only layer norms.
    """
    linears = {site: module for site, module in sites.walk(model).items() if isinstance(module, nn.Linear)}
    return {site: linears[site] for site in sites.match(where, linears)}


def check_low_rank(model: CLIPModel, where: Where, rank: int, alpha: float, dropout: float) -> None:
    """Refuse settings no low-rank method can use on this backbone."""
    at_least(rank, 1, "rank")
    at_least(alpha, 0, "alpha", strictly=True)
    if not 0 <= dropout < 1:
        raise UserError(f"dropout = {dropout} makes no sense", "dropout has to be at least 0 and less than 1")
    for site, module in choose(model, where).items():
        if rank > min(module.in_features, module.out_features):
            raise UserError(
                f"rank = {rank} is more than {site} has ({min(module.in_features, module.out_features)})",
                "choose a smaller rank",
            )


def scale_of(alpha: float, rank: int, scaling: Scaling) -> float:
    """The number that multiplies the low-rank product."""
    return alpha / rank**0.5 if scaling == "alpha/sqrt(r)" else alpha / rank
