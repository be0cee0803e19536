"""The family of re-parameterised linears: a frozen weight plus what a method learns, site by site."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

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
Make = Callable[[str, Any], "AdaptedLinear"]
"""(site, the backbone's linear) → what stands in its place"""


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

    def __init__(self, backbone: Backbone, method: Method, chosen: list[str], make: Make):
        super().__init__(backbone, method)
        self.linears: dict[str, AdaptedLinear] = {}
        for site in chosen:
            path = sites.module_path(site)
            linear = make(site, self.model.get_submodule(path)).to(backbone.device)
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


@dataclass(frozen=True)
class LowRank(Method):
    """What the methods with a low-rank product share: its size, its strength, its places."""

    rank: int = 2
    """columns of B; file size and capacity grow with it"""
    text_rank: int = 0
    """rank in the text tower; 0: as `rank`. The scale goes by each tower's own"""
    alpha: float = 1.0
    """strength of the update before division by the rank"""
    scaling: Scaling = "alpha/sqrt(r)"
    """what the strength is divided by"""
    dropout: float = 0.25
    """chance that an input of the low-rank branch is zeroed while training"""
    where: Where = ("*.q", "*.k", "*.v")
    """patterns over sites"""

    @property
    def scale(self) -> float:
        """The number that multiplies the low-rank product of rank `rank`."""
        return scale_of(self.alpha, self.rank, self.scaling)

    def at(self, site: str) -> Self:
        """The method with the rank it has at that site."""
        rank = self.text_rank if self.text_rank and site.startswith("text.") else self.rank
        return dataclasses.replace(self, rank=rank, text_rank=0)

    def chosen(self, model: CLIPModel) -> dict[str, nn.Linear]:
        """The linears it adapts.

        Raises:
            UserError: a setting fits no low-rank method on this backbone.
        """
        at_least(self.rank, 1, "rank")
        at_least(self.text_rank, 0, "text_rank")
        at_least(self.alpha, 0, "alpha", strictly=True)
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout = {self.dropout} makes no sense", "dropout has to be at least 0 and less than 1")
        chosen = choose(model, self.where)
        if self.text_rank and not any(site.startswith("text.") for site in chosen):
            raise UserError(
                f"text_rank = {self.text_rank}, and `where` adapts nothing in the text tower", "leave text_rank out"
            )
        for site, module in chosen.items():
            rank, most = self.at(site).rank, min(module.in_features, module.out_features)
            if rank > most:
                setting = "text_rank" if self.text_rank and site.startswith("text.") else "rank"
                raise UserError(f"{setting} = {rank} is more than {site} has ({most})", "choose a smaller rank")
        return chosen

    def formed(self, model: CLIPModel) -> int:
        return sum(linear.weight.numel() for linear in choose(model, self.where).values())


def scale_of(alpha: float, rank: int, scaling: Scaling) -> float:
    """The number that multiplies the low-rank product."""
    return alpha / rank**0.5 if scaling == "alpha/sqrt(r)" else alpha / rank
