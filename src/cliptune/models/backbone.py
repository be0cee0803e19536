"""The frozen CLIP: a transformers CLIPModel, its tokenizer, its preprocessing, and its identity.

A backbone is never written to. Adapting it makes a second tree of modules over the same tensors (`towers.share`), so
the frozen teacher of a self-consistency loss and the original for 'before' figures are always at hand, for free.
"""

import hashlib
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPConfig, CLIPModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from cliptune.errors import UserError
from cliptune.models import packing, sites, towers, zoo
from cliptune.models.preprocess import OPENAI, Preprocess
from cliptune.registry import nearest

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
        return [prompt for prompt in prompts if len(self.tokenizer(prompt)["input_ids"]) > self.context]

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


def load(name: str, dtype: torch.dtype = torch.float32) -> Backbone:
    """Load a backbone by zoo name, hub id or local folder. Weights are read as `dtype` whatever the file holds.

    Raises:
        UserError: unknown name, folder without a checkpoint, no text tower, hub out of reach, missing weights.
    """
    source = source_of(name)
    local = refuse_unreachable(name, source)
    model, tokenizer = read_checkpoint(name, source, local, CLIPModel, _config(name, source, local), dtype)
    backbone = Backbone(model, tokenizer, read_preprocess(source, local), name=name, source=source)
    refuse_mute(backbone)
    return backbone


def read_checkpoint(
    name: str, source: str, local: bool, kind: Any, config: Any, dtype: torch.dtype
) -> tuple[Any, PreTrainedTokenizerBase]:
    """A transformers model of class `kind` and its tokenizer, whole or not at all.

    Raises:
        UserError: it cannot be read, or weights are missing or of another shape.
    """
    transformers_logging.disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        model, report = kind.from_pretrained(
            source,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            local_files_only=local,
            ignore_mismatched_sizes=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
    except (OSError, ValueError, SafetensorError) as problem:
        raise UserError(f"cannot load '{name}': {_first_line(problem)}", _remedy(source)) from problem
    finally:
        transformers_logging.set_verbosity(verbosity)
    _refuse_incomplete(name, report)
    return model, tokenizer


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


def source_of(name: str) -> str:
    if name == "mini":
        return str(zoo.MINI)
    if name in zoo.ZOO:
        return zoo.ZOO[name].source
    folder = Path(name).expanduser()
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise UserError(f"{name}: no config.json there", "give the folder of a transformers CLIP checkpoint")
        return str(folder.resolve())
    if name.count("/") == 1 and not name.startswith((".", "~", "/")):
        return name
    close = nearest(name, zoo.names())
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise UserError(
        f"no backbone '{name}': not a zoo name, not a folder",
        f"{hint}zoo: {', '.join(zoo.names())}; or a hub id like openai/clip-vit-base-patch16; or a folder",
    )


def refuse_unreachable(name: str, source: str) -> bool:
    """Whether only local files may be used; refuses at once what would wait for a hub that is out of reach."""
    if Path(source).is_dir():
        return True
    offline = constants.HF_HUB_OFFLINE or not _hub_answers()
    if offline and not isinstance(try_to_load_from_cache(source, "config.json"), str):
        raise UserError(
            f"the weights of '{name}' ({source}) are not on this machine and the hub is out of reach", _remedy(source)
        )
    return offline


def _hub_answers() -> bool:
    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def _config(name: str, source: str, local: bool) -> CLIPConfig:
    values = read_config(name, source, local)
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


def read_config(name: str, source: str, local: bool) -> dict[str, Any]:
    """A checkpoint's config.json.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return CLIPConfig.get_config_dict(source, local_files_only=local)[0]
    except (OSError, ValueError) as problem:
        raise UserError(f"cannot read the configuration of '{name}': {_first_line(problem)}", _remedy(source)) from None


def _refuse_incomplete(name: str, report: dict[str, Any]) -> None:
    if other := sorted(report.get("mismatched_keys") or []):
        key, found, expected = other[0]
        raise UserError(
            f"'{name}': {key} is {tuple(found)}, config.json makes it {tuple(expected)}",
            "take config.json and model.safetensors from the same place",
        )
    missing = sorted(report.get("missing_keys") or [])
    if missing:
        towerless = [
            tower for tower in sites.TOWERS if any(key.startswith(f"{tower}_model.encoder") for key in missing)
        ]
        what = f"no {' and no '.join(towerless)} tower in it" if towerless else f"{len(missing)} weights are missing"
        raise UserError(
            f"'{name}' is not a whole CLIP: {what} (first: {missing[0]})",
            "give a checkpoint with both towers saved by transformers' CLIPModel.save_pretrained",
        )


def read_preprocess(source: str, local: bool) -> Preprocess:
    folder = Path(source)
    if folder.is_dir():
        return Preprocess.read(folder)
    return Preprocess.read(Path(hf_hub_download(source, "preprocessor_config.json", local_files_only=local)).parent)


def _first_line(problem: Exception) -> str:
    return str(problem).strip().split("\n")[0][:160]


def _remedy(source: str) -> str:
    if Path(source).is_dir():
        return "check that the folder holds config.json, model.safetensors, tokenizer.json, preprocessor_config.json"
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return f"is the hub reachable{offline}? otherwise download it once and give --model FOLDER, or use --model mini"
