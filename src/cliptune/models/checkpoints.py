"""From a name to a checkpoint's parts: where it lies, its configuration, weights, tokenizer and preprocessing.

A hub that is out of reach is noticed at once, and a checkpoint is read whole or refused.
"""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

from cliptune.errors import UserError
from cliptune.models.names import remark
from cliptune.models.preprocess import Preprocess

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def refuse_unreachable(name: str, source: str) -> bool:
    """Whether only local files may be used; refuses at once what would wait for a hub that is out of reach."""
    if Path(source).is_dir():
        return True
    offline = constants.HF_HUB_OFFLINE or not _hub_answers()
    if offline and not isinstance(try_to_load_from_cache(source, "config.json"), str):
        raise UserError(
            f"the weights of '{name}' ({source}) are not on this machine and the hub is out of reach",
            remark(name) + _remedy(source),
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


def read_config(name: str, source: str, local: bool) -> dict[str, Any]:
    """A checkpoint's config.json.

    Raises:
        UserError: it cannot be read.
    """
    from transformers import CLIPConfig

    try:
        return CLIPConfig.get_config_dict(source, local_files_only=local)[0]
    except (OSError, ValueError) as problem:
        raise UserError(
            f"cannot read the configuration of '{name}': {_first_line(problem)}", remark(name) + _remedy(source)
        ) from None


def read_checkpoint(
    name: str, source: str, local: bool, kind: Any, config: Any, dtype: "torch.dtype"
) -> tuple[Any, "PreTrainedTokenizerBase"]:
    """A transformers model of class `kind` and its tokenizer, whole or not at all.

    Raises:
        UserError: it cannot be read, or weights are missing or of another shape.
    """
    from safetensors import SafetensorError
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

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


def _refuse_incomplete(name: str, report: dict[str, Any]) -> None:
    from cliptune.models import sites

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
