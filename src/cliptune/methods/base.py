"""What a method is, what it becomes when attached to a backbone, and the adapted linear.

    Method   a frozen dataclass: its fields are its hyper-parameters, CLI options, recipe table and saved card
    Adapter  a method attached to a backbone: its own numbers, logits, file, merge
    Phase    one stretch of training; most methods have one, AST two, zero-shot none

Three families share this: re-parameterised linears (`linears.py`), selected tensors (`tensors.py`), heads.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from cliptune.errors import UserError
from cliptune.models import towers
from cliptune.models.backbone import Backbone


@dataclass(frozen=True)
class Phase:
    """One stretch of training."""

    name: str
    kind: Literal["gradient", "closed"] = "gradient"
    """gradient: the loop runs an optimiser; closed: the adapter solves for its numbers from features"""
    epochs: int | None = None
    """its own length in epochs; None takes the recipe's"""
    steps: int | None = None
    """its own length in steps, before `epochs`"""
    extra_losses: bool = True
    """whether the recipe's extra loss terms apply"""
    validated: bool = True
    """whether `train.patience` may end it early; not a phase whose length means something, like AST's probe"""


@dataclass(frozen=True)
class Size:
    """How many numbers a method trains on a backbone, known before any training."""

    least: int
    most: int
    facts: Mapping[str, int]
    """more counts a method wants told, such as AST's candidates"""

    @property
    def exact(self) -> int | None:
        return self.most if self.least == self.most else None


class Adapter:
    """A method attached to a backbone. The backbone itself is never written to.

    Attributes:
        model: a second tree of modules over the backbone's tensors, with the method's modules or tensors put in.
        towers: the forward through it.
    """

    def __init__(self, backbone: Backbone, method: "Method"):
        self.backbone = backbone
        self.method = method
        self.model: CLIPModel = towers.share(backbone.model)
        self.towers = backbone.through(self.model)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The numbers the present phase trains, by 'site.letter' or 'site.kind'."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Every tensor that differs or may differ from the backbone: what a checkpoint has to keep."""
        return {name: tensor.detach() for name, tensor in self.trainable().items()}

    def tensors(self) -> dict[str, Tensor]:
        """What the adapter file holds."""
        return self.state()

    def facts(self) -> dict[str, Any]:
        """What else belongs beside the tensors (JSON), such as what AST picked and why."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put back what `state()` and `facts()` gave; every tensor must be there and nothing more.

        Raises:
            UserError: names or shapes do not fit.
        """
        fill(self.state(), tensors)

    def begin(self, phase: Phase) -> None:
        """Called before a phase's first step."""

    def finish(self, phase: Phase, optimizer: torch.optim.Optimizer | None, seed: int) -> None:
        """Called after a phase's last step; `optimizer` is the one that ran it."""

    def starts_over(self, phase: Phase) -> bool:
        """Whether the end of this phase puts every number back to the backbone's, as after AST's probe."""
        return False

    def solve(self, train: "Features", val: "Features") -> None:
        """Closed phases only: set the numbers from image features."""
        raise AssertionError(f"{self.method.name} has no closed phase")

    def decays(self, name: str) -> bool:
        """Whether weight decay applies to this trainable tensor."""
        return True

    def rate(self, name: str) -> float | None:
        """This trainable tensor's own learning rate; None is the recipe's."""
        return None

    def inert(self) -> list[str]:
        """Trainable tensors the loss cannot depend on; they are listed, not alarmed about."""
        return []

    def adapted_sites(self) -> list[str]:
        """The sites the method works on."""
        return sorted_sites({name.rpartition(".")[0] for name in self.trainable()})

    def adapted_towers(self) -> set[str]:
        """Which towers' features depend on trainable numbers: a subset of {'vision', 'text'}."""
        return {"vision" if name.startswith("vi") else "text" for name in self.trainable()}

    def train(self, mode: bool = True) -> "Adapter":
        self.model.train(mode)
        return self

    def eval(self) -> "Adapter":
        return self.train(False)

    @property
    def training(self) -> bool:
        return self.model.training

    def image_features(self, pixels: Tensor) -> Tensor:
        """Unit-length features [b d] of normalised pixels [b 3 h w]."""
        return self.towers.image_features(pixels)

    def text_features(self, tokens: Tensor) -> Tensor:
        """Unit-length features [c d] of token ids [c t]."""
        return self.towers.text_features(tokens)

    def logits(self, image: Tensor, text: Tensor) -> Tensor:
        """Class scores [b c] from image features [b d] and text features [c d]: cosines times the logit scale."""
        return self.backbone.logit_scale * image @ text.T

    def merged(self) -> CLIPModel:
        """An ordinary CLIPModel in float32 with the adaptation written into its weights; owns all its tensors.

        Raises:
            UserError: the method cannot be merged.
        """
        raise UserError(
            f"{self.method.name} cannot be merged into a CLIP's weights",
            "use `cliptune predict RUN`, or adapt with lora, lora_xs, dora, ast, bitfit or full",
        )


@dataclass(frozen=True)
class Features:
    """Frozen image features before normalisation [n d], and labels [n]."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Method:
    """A way to adapt a backbone. Subclasses are frozen dataclasses whose fields are the hyper-parameters."""

    name: ClassVar[str]
    title: ClassVar[str]
    mergeable: ClassVar[bool] = True
    open_vocabulary: ClassVar[bool] = True
    """whether it can choose among other class names than those it was trained on"""
    tasks: ClassVar[tuple[str, ...]] = ("classify", "segment")
    """what it can be trained for"""
    ranks_gradients: ClassVar[bool] = False
    """whether it chooses what to tune by gradients, so that it may be offered nothing that none reaches"""
    starts_within: ClassVar[float] = 0.0
    """largest |logit difference| / max|logit| to the backbone before training"""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """recipe defaults by preset ('paper', 'small', and 'segment/paper', 'segment/small'): dotted key → value"""

    def attach(self, backbone: Backbone) -> Adapter:
        """Attach to a backbone, ready to train.

        Raises:
            UserError: a setting does not fit this backbone.
        """
        raise NotImplementedError

    def reopen(self, backbone: Backbone, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Adapter:
        """Attach to a backbone with the numbers of an adapter file, ready to predict."""
        adapter = self.attach(backbone)
        adapter.restore(tensors, facts)
        return adapter.eval()

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train"),)

    def size(self, model: CLIPModel, classes: int) -> Size:
        """Trainable numbers on `model` with that many classes, from shapes alone (meta tensors suffice)."""
        raise NotImplementedError

    def formed(self, model: CLIPModel) -> int:
        """Numbers of the weights that stand in adapted form beside the backbone's while it trains."""
        return 0

    def fast(self) -> bool:
        """Whether its adapted linears are multiplied the fast way (`models.products`) while it trains."""
        return True

    def settings(self) -> dict[str, Any]:
        return asdict(self)


def exactly(count: int, **facts: int) -> Size:
    return Size(count, count, facts)


def sorted_sites(sites: set[str]) -> list[str]:
    """Vision first, then by block number, then by part, then by name: the order never depends on the set's own."""

    def key(site: str) -> tuple[int, int, str, str]:
        tower, block, part = (site.split(".") + ["", ""])[:3]
        return (0 if tower.startswith("vision") else 1, int(block) if block.isdigit() else -1, part, site)

    return sorted(sites, key=key)


@torch.no_grad()
def fill(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Copy `given` into `own`, strictly.

    Raises:
        UserError: a name is missing or left over, or a shape differs.
    """
    missing, surplus = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or surplus:
        parts = [f"{len(missing)} missing (first: {missing[0]})"] if missing else []
        parts += [f"{len(surplus)} unknown (first: {surplus[0]})"] if surplus else []
        raise UserError(f"the adapter's tensors do not fit: {', '.join(parts)}", "was it made with other settings?")
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise UserError(
                f"the adapter's {name} is {tuple(given[name].shape)}, expected {tuple(tensor.shape)}",
                "was it made with other settings, or for another backbone?",
            )
        tensor.copy_(given[name])


def at_least(value: float, bound: float, setting: str, *, strictly: bool = False) -> None:
    """Raise UserError unless value ≥ bound (> if `strictly`)."""
    if value < bound or (strictly and value == bound):
        sign = "more than" if strictly else "at least"
        raise UserError(f"{setting} = {value} makes no sense", f"{setting} has to be {sign} {bound}")
