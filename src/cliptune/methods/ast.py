"""CLIP-AST: AdamW's second moments choose the K tensors of every block that are then tuned.

    stage 1   tune every block tensor for one epoch; v̂ is AdamW's bias-corrected second moment of the gradient
    score     v'_i = mean(1 / √v̂_i) of tensor i, the larger the better                                  (eq. 8)
    stage 2   from the backbone again, tune the K best tensors of every block with cross-entropy and the
              self-consistency losses (eqs. 9–11, `training/losses.py`), everything else frozen

The CLIP-AST paper (adaptive selective fine-tuning), §§3.1–3.3. No official code exists.
letters   16 tensors per block: weight and bias of q, k, v, o, fc1, fc2, ln1, ln2 · K = 6
controls  `choose` takes table 5's fixed bias, or a block's six weight matrices, with AST's losses and without stage 1:
          is it the score that helps, or which kinds of tensors are tuned?
guesses   The paper gives no learning rate, weight decay or batch size: 1e-5, 1e-2 and 32 (`paper`); λ = 10, 25, 1 and
          the mean form are PromptSRC's, whose losses it takes.
differs   A key bias has no gradient (softmax ignores a constant added to all keys), so its score is rounding noise and
          the literal equation always picks it: `inert = "skip"` leaves it out of the ranking, `"keep"` is the equation.
          Stage 2 starts from the backbone (`restart = "reset"`); the paper does not say. q, k, v are separate tensors.
          Bias correction multiplies all scores alike and cannot change the ranking.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers import CLIPModel

from cliptune.errors import UserError
from cliptune.methods.base import Adapter, Method, Phase, Size, at_least, exactly
from cliptune.methods.tensors import TensorAdapter
from cliptune.models import sites
from cliptune.models.backbone import Backbone

Score = Literal["mean_inv", "inv_mean", "median_inv", "log_mean", "grad_magnitude", "random"]

ONLY_SCORED = ("k", "probe_epochs", "probe_steps", "granularity", "score", "restart", "eps", "eps_placement")
"""settings that mean something only where scores choose"""

PROMPTSRC: dict[str, Any] = {"loss.image": 10.0, "loss.text": 25.0, "loss.logits": 1.0}


@dataclass(frozen=True)
class AST(Method):
    """The K tensors per block that AdamW's second moments point to (CLIP-AST)."""

    name: ClassVar[str] = "ast"
    title: ClassVar[str] = "CLIP-AST"
    ranks_gradients: ClassVar[bool] = True
    presets: ClassVar = {
        "paper": {
            "train.lr": 1e-5,
            "train.epochs": 30,
            "train.batch": 32,
            "train.weight_decay": 1e-2,
            "train.crop": (0.5, 1.0),
            **PROMPTSRC,
        },
        "small": {"train.lr": 6e-4, **PROMPTSRC},
        "segment/paper": {"train.lr": 1e-5},
        "segment/small": {"train.lr": 4e-4},
    }

    choose: Literal["scores", "matrices", "biases"] = "scores"
    """scores: the K best by stage 1; matrices: the six weight matrices of every block; biases: all biases (the paper's
    table 5). The last two are fixed and need no stage 1"""
    k: int = 6
    """tensors tuned per block, of 16"""
    probe_epochs: int = 1
    """length of stage 1 in epochs"""
    probe_steps: int = 0
    """length of stage 1 in steps; 0 goes by probe_epochs"""
    granularity: Literal["layer", "global_type", "global_flat"] = "layer"
    """layer: K best of every block; global_type: the same K kinds in all blocks; global_flat: K × blocks best of all"""
    score: Score = "mean_inv"
    """mean_inv: the paper's mean(1/√v̂); inv_mean, median_inv, log_mean: reducers less ruled by a few dead entries;
    grad_magnitude: largest gradients first; random: a control"""
    inert: Literal["skip", "keep"] = "skip"
    """skip: tensors without gradient (key biases) do not compete and are not tuned; keep: the literal equation"""
    restart: Literal["reset", "continue"] = "reset"
    """whether stage 2 starts from the backbone or from where stage 1 ended"""
    towers: Literal["both", "vision", "text"] = "both"
    """whose blocks compete (the paper's table 5)"""
    eps: float = 1e-8
    """floor that keeps 1/√v̂ finite"""
    eps_placement: Literal["outside", "inside"] = "outside"
    """outside: 1/(√v̂ + eps); inside: 1/√(v̂ + eps)"""

    def attach(self, backbone: Backbone) -> Adapter:
        candidates = self.candidates(backbone.model)
        self._check(candidates)
        return ASTAdapter(backbone, self, list(candidates))

    def phases(self) -> tuple[Phase, ...]:
        if self.choose != "scores":
            return (Phase("tune"),)
        steps = self.probe_steps or None
        return (
            Phase("probe", epochs=self.probe_epochs, steps=steps, extra_losses=False, validated=False),
            Phase("tune"),
        )

    def candidates(self, model: CLIPModel) -> dict[str, Tensor]:
        """The block tensors of the chosen towers and of the fixed kind if there is one, inert ones included."""
        tensors = sites.block_tensors(model)
        return {
            name: tensor
            for name, tensor in tensors.items()
            if self.towers in ("both", name.split(".")[0]) and self._of_kind(name)
        }

    def _of_kind(self, name: str) -> bool:
        _, _, part, kind = name.split(".")
        if self.choose == "matrices":
            return part in sites.LINEAR_PARTS and kind == "weight"
        return self.choose == "scores" or kind == "bias"

    def competing(self, names: list[str]) -> list[str]:
        return [name for name in names if self.inert == "keep" or not sites.is_inert(name)]

    def _check(self, candidates: Mapping[str, Tensor]) -> None:
        at_least(self.k, 1, "k")
        at_least(self.probe_epochs, 1, "probe_epochs")
        at_least(self.probe_steps, 0, "probe_steps")
        at_least(self.eps, 0, "eps", strictly=True)
        if self.choose != "scores":
            changed = [name for name in ONLY_SCORED if getattr(self, name) != getattr(type(self), name)]
            if changed:
                raise UserError(
                    f"{changed[0]} = {getattr(self, changed[0])!r} does nothing where choose = {self.choose!r}",
                    f"leave {changed[0]} out, or let the scores choose",
                )
            return
        available = min(len(group) for group in by_block(self.competing(list(candidates))).values())
        if self.k > available:
            raise UserError(f"k = {self.k} is more than the {available} tensors that compete in a block", "lower k")

    def size(self, model: CLIPModel, classes: int) -> Size:
        candidates = self.candidates(model)
        self._check(candidates)
        names = self.competing(list(candidates))
        facts = {"candidates": len(candidates), "inert": sum(sites.is_inert(name) for name in candidates)}
        if self.choose != "scores":
            return exactly(sum(candidates[name].numel() for name in names), **facts, chosen=len(names))
        numel: Callable[[str], float] = lambda name: candidates[name].numel()  # noqa: E731
        most = pick(names, {name: numel(name) for name in names}, self.k, self.granularity)
        least = pick(names, {name: -numel(name) for name in names}, self.k, self.granularity)
        facts["chosen"] = self.k * len(by_block(names))
        return Size(int(sum(map(numel, least))), int(sum(map(numel, most))), facts)


class ASTAdapter(TensorAdapter):
    """Tunes all candidates in the phase 'probe', then those it picked; the picked alone where the choice is fixed."""

    method: AST

    def __init__(self, backbone: Backbone, method: AST, candidates: list[str]):
        fixed = method.choose != "scores"
        super().__init__(backbone, method, method.competing(candidates) if fixed else candidates)
        self.candidates = candidates
        self.scores: dict[str, float] = {}
        self.picked: list[str] = list(self.owned) if fixed else []

    def facts(self) -> dict[str, Any]:
        if not self.picked:
            return {}
        competing = set(self.method.competing(list(self.candidates)))
        inert = [name for name in self.candidates if name not in competing]
        if self.method.choose != "scores":
            return {"choose": self.method.choose, "picked": self.picked, "inert": inert}
        return {
            "choose": self.method.choose,
            "k": self.method.k,
            "granularity": self.method.granularity,
            "score": self.method.score,
            "scores": self.scores,
            "picked": self.picked,
            "inert": inert,
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        if facts.get("picked") and self.method.choose == "scores":
            self.scores, self.picked = dict(facts["scores"]), list(facts["picked"])
            self._keep_picked()
        super().restore(tensors, facts)

    def starts_over(self, phase: Phase) -> bool:
        return phase.name == "probe" and self.method.restart == "reset"

    def finish(self, phase: Phase, optimizer: torch.optim.Optimizer | None, seed: int) -> None:
        if phase.name != "probe":
            return
        assert optimizer is not None
        self.scores = self._score(optimizer, seed)
        self.picked = pick(
            self.method.competing(list(self.scores)), self.scores, self.method.k, self.method.granularity
        )
        self._keep_picked()

    def _keep_picked(self) -> None:
        if self.method.restart == "reset":
            self.own(self.picked)
        else:
            picked = set(self.picked)
            for name, parameter in self.owned.items():
                parameter.requires_grad_(name in picked)

    def _score(self, optimizer: torch.optim.Optimizer, seed: int) -> dict[str, float]:
        if self.method.score == "random":
            generator = torch.Generator().manual_seed(seed)
            draws = torch.rand(len(self.owned), generator=generator, dtype=torch.float64)
            return dict(zip(self.owned, draws.tolist(), strict=True))
        beta2 = optimizer.param_groups[0]["betas"][1]
        scores = {}
        for name, parameter in self.owned.items():
            state = optimizer.state[parameter]
            v = state["exp_avg_sq"].double() / (1 - beta2 ** float(state["step"]))
            scores[name] = importance(v, self.method.score, self.method.eps, self.method.eps_placement)
        return scores


def importance(v: Tensor, score: Score, eps: float, placement: str) -> float:
    """The score of one tensor from its bias-corrected second moments `v` (any shape, float64)."""
    root = v.sqrt() + eps if placement == "outside" else (v + eps).sqrt()
    match score:
        case "mean_inv":
            return float((1 / root).mean())
        case "inv_mean":
            return float(1 / root.mean())
        case "median_inv":
            return float((1 / root).median())
        case "log_mean":
            return float((-root.log()).mean().exp())
        case "grad_magnitude":
            return float(root.mean())
    raise AssertionError(score)


def by_block(names: list[str]) -> dict[str, list[str]]:
    """Tensor names grouped by block: 'vision.3' → its tensors."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return groups


def pick(names: list[str], scores: Mapping[str, float], k: int, granularity: str) -> list[str]:
    """The chosen names, in the order of `names`; ties go to the earlier name.

    layer: the k best of every block. global_type: the k kinds ('q.weight') with the best mean over all blocks.
    global_flat: the k × blocks best of all.
    """
    blocks = by_block(names)

    def best(candidates: list[str], value: Callable[[str], float], number: int) -> list[str]:
        return sorted(candidates, key=lambda name: -value(name))[:number]

    if granularity == "layer":
        chosen = {name for group in blocks.values() for name in best(group, scores.__getitem__, k)}
    elif granularity == "global_flat":
        chosen = set(best(names, scores.__getitem__, k * len(blocks)))
    else:
        kinds: dict[str, list[str]] = {}
        for name in names:
            kinds.setdefault(".".join(name.split(".")[2:]), []).append(name)
        mean = {kind: sum(scores[name] for name in group) / len(group) for kind, group in kinds.items()}
        chosen = {name for kind in best(list(kinds), mean.__getitem__, k) for name in kinds[kind]}
    return [name for name in names if name in chosen]
