"""The frozen CLIP: a transformers CLIPModel, its tokenizer, its preprocessing, and its identity.

A backbone is never written to. Adapting it makes a second tree of modules over the same tensors (`towers.share`), so
the frozen teacher of a self-consistency loss and the original for 'before' figures are always at hand, for free.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerBase

from cliptune.errors import UserError
from cliptune.models import checkpoints, packing, sites, towers, zoo
from cliptune.models.names import source_of
from cliptune.models.preprocess import OPENAI, Preprocess
from cliptune.registry import name_of

PROBE = ("a photo of a cat.", "the digit seven, 3 red stars on a black background", "Zürich's F/A-18")
"""sentences whose token ids tell two tokenizers apart"""


@dataclass(frozen=True)
class Identity:
    """What makes two backbones the same: an adapter made on one belongs on the other."""

    sha256: str
    """over the sorted names, shapes and float32 bytes of the weights: a re-saved copy is the same backbone"""
    activation: str
    preprocess: dict[str, Any]
    text: dict[str, Any]
    """context length, end token, and a hash of the token ids of a few sentences (empty without a tokenizer)"""
    logit_scale: float
    """the factor on cosines, after the exponential"""

    def differences(self, other: "Identity") -> list[str]:
        """In words, what differs; empty if the two are the same backbone."""
        mine, theirs = asdict(self), asdict(other)
        found = []
        for key, title in (("sha256", "weights"), ("activation", "activation"), ("preprocess", "preprocessing")):
            if mine[key] != theirs[key]:
                found.append(f"{title} ({_short(mine[key])} here, {_short(theirs[key])} there)")
        if mine["text"].get("probe") and theirs["text"].get("probe") and mine["text"] != theirs["text"]:
            found.append("tokenizer or text length")
        if abs(self.logit_scale - other.logit_scale) > 1e-3 * abs(other.logit_scale):
            found.append(f"logit scale ({self.logit_scale:.2f} here, {other.logit_scale:.2f} there)")
        return found


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else json.dumps(value, sort_keys=True)


class Backbone:
    """A frozen CLIP in float32.

    Attributes:
        model: the transformers CLIPModel, in eval mode, no parameter of it wants a gradient.
        towers: the forward through it.
        tokenizer: None for random weights; prompts then have to come as token ids.
        preprocess: how an image becomes pixels.
        name: what the user called it. source: where it was loaded from (hub id or folder).
    """

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: PreTrainedTokenizerBase | None,
        preprocess: Preprocess,
        name: str,
        source: str,
    ):
        self.model = model.eval().requires_grad_(False)
        self.towers = self.through(self.model)
        self.tokenizer = tokenizer
        self.preprocess = preprocess
        self.name = name
        self.source = source

    def through(self, model: CLIPModel) -> towers.Towers:
        """The forward through this backbone's model, or through an adapted tree of it."""
        return towers.Towers(model)

    @property
    def weights(self) -> nn.Module:
        """What makes it this backbone: the module whose tensors are counted and hashed."""
        return self.model

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.weights.parameters())

    @property
    def folder(self) -> str:
        """The user's own folder that it was loaded from, absolute; empty for a named model."""
        return self.source if Path(self.source).is_absolute() and self.source != str(zoo.MINI) else ""

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def logit_scale(self) -> float:
        return float(self.model.logit_scale.exp())

    @property
    def end_token(self) -> int:
        return self.model.config.text_config.eos_token_id

    @property
    def context(self) -> int:
        """Longest prompt, tokens."""
        return self.model.config.text_config.max_position_embeddings

    @cached_property
    def identity(self) -> Identity:
        config = self.model.config
        activations = dict.fromkeys((config.vision_config.hidden_act, config.text_config.hidden_act))
        probe = ""
        if self.tokenizer is not None:
            ids = [self.tokenizer(sentence)["input_ids"] for sentence in PROBE]
            probe = hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]
        return Identity(
            sha256=weights_hash(self.weights),
            activation="/".join(activations),
            preprocess=self.preprocess.to_dict(),
            text={"context": self.context, "end_token": self.end_token, "probe": probe},
            logit_scale=self.logit_scale,
        )

    def sites(self) -> list[str]:
        """Names of the adaptable places, 'vision.0.q' … 'text.11.ln2'."""
        return list(sites.walk(self.model))

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Token ids [c t], cut at the longest prompt's end token; prompts over the context length are truncated.

        Raises:
            UserError: this backbone has random weights and no tokenizer.
        """
        if self.tokenizer is None:
            raise UserError(
                f"'{self.name}' has no tokenizer (random weights)",
                "name a checkpoint: a hub id, a folder, or --model mini",
            )
        ids = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.context, return_tensors="pt"
        )["input_ids"]
        return packing.trim(ids, self.end_token).to(self.device)

    def too_long(self, prompts: Sequence[str]) -> list[str]:
        """The prompts that do not fit the context and are truncated."""
        if self.tokenizer is None:
            return []
        # Not verbose: transformers would warn that such prompts cause indexing errors, which ours are cut before.
        lengths = (len(self.tokenizer(prompt, verbose=False)["input_ids"]) for prompt in prompts)
        return [prompt for prompt, length in zip(prompts, lengths, strict=True) if length > self.context]

    @torch.no_grad()
    def image_features(self, pixels: Tensor) -> Tensor:
        """Unit-length features [b d] of normalised pixels [b 3 h w]."""
        return self.towers.image_features(pixels)

    @torch.no_grad()
    def text_features(self, prompts: Sequence[str] | Tensor) -> Tensor:
        """Unit-length features [c d] of prompts or token ids [c t]."""
        tokens = prompts if isinstance(prompts, Tensor) else self.tokens(prompts)
        return self.towers.text_features(tokens)

    def to(self, device: torch.device | str) -> "Backbone":
        self.model.to(device)
        return self


def weights_hash(model: nn.Module) -> str:
    """sha256 over the sorted names, shapes and float32 bytes of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(memoryview(tensor.detach().to("cpu", torch.float32).contiguous().numpy()).cast("B"))
    return digest.hexdigest()


def load(name: str | Path, dtype: torch.dtype = torch.float32) -> Backbone:
    """Load a backbone by zoo name, hub id or local folder. Weights are read as `dtype` whatever the file holds.

    >>> model = cliptune.load("mini")  # doctest: +SKIP

    Raises:
        UserError: unknown name, folder without a checkpoint, no text tower, hub out of reach, missing weights.
    """
    name = name_of(name, "model", "")
    source = source_of(name)
    local = checkpoints.refuse_unreachable(name, source)
    model, tokenizer = checkpoints.read_checkpoint(name, source, local, CLIPModel, _config(name, source, local), dtype)
    backbone = Backbone(model, tokenizer, checkpoints.read_preprocess(source, local), name=name, source=source)
    refuse_mute(backbone)
    return backbone


def refuse_mute(backbone: Backbone) -> None:
    """Without its files transformers makes an empty tokenizer that reads every prompt alike: refuse it."""
    tokens = backbone.tokens(PROBE)
    ends = backbone.end_token == 2 or bool((tokens == backbone.end_token).any(dim=1).all())
    if not ends or len(torch.unique(tokens, dim=0)) < len(PROBE):
        raise UserError(
            f"'{backbone.name}' has no working tokenizer: it reads different prompts alike",
            "put tokenizer.json and tokenizer_config.json beside the weights",
        )


def random_backbone(name: str, seed: int = 0) -> Backbone:
    """A zoo architecture with random weights, no tokenizer and OpenAI's preprocessing at its image size."""
    model = zoo.random_model(name, seed)
    size = model.config.vision_config.image_size
    preprocess = Preprocess(size, size, OPENAI.resample, OPENAI.mean, OPENAI.std)
    return Backbone(model, None, preprocess, name=f"{name} (random weights)", source="")


def _config(name: str, source: str, local: bool) -> CLIPConfig:
    values = checkpoints.read_config(name, source, local)
    kind = values.get("model_type", "nothing")
    if kind == "clipseg":
        raise UserError(f"'{name}' is a CLIPSeg, which marks images and does not classify them", "use --task segment")
    if kind != "clip" or "vision_config" not in values or "text_config" not in values:
        missing = "it has no text tower" if "vision" in kind else f"model_type is '{kind}', not 'clip'"
        raise UserError(
            f"'{name}' is not a whole CLIP: {missing}",
            "give a checkpoint with both towers (transformers CLIPModel), for instance openai/clip-vit-base-patch16",
        )
    return CLIPConfig.from_dict(values)
