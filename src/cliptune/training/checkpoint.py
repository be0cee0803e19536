"""The state for --resume: adapter, optimiser, the best validation so far, and how far training got.

Nothing random has to be kept: every draw of step n (order, augmentation, dropout) is a function of the seed and n.
Two files in `checkpoint/`: state.safetensors and state.json (with the loss scale of float16), the second written last;
no pickle.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cliptune.errors import UserError
from cliptune.files import read_json, read_tensors, write_tensors, write_text
from cliptune.methods.base import Adapter


@dataclass(frozen=True)
class Progress:
    """How far training got: the next step (0-based) of the phase with this index."""

    phase: int
    step: int
    seconds: float
    """spent training so far"""


@dataclass(frozen=True)
class State:
    """What a checkpoint holds."""

    progress: Progress
    adapter: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    optimizer: Mapping[str, Tensor]
    scaler: Mapping[str, Any] | None
    """float16's loss scale"""
    validation: Mapping[str, Any]
    """see `early_stopping.Validation`; empty where nothing was validated yet"""
    best: Mapping[str, Tensor]
    """the numbers of the best validation"""


class Checkpoint:
    """One run's state on disk."""

    def __init__(self, folder: Path):
        self.folder = folder

    def exists(self) -> bool:
        return (self.folder / "state.json").is_file()

    def progress(self) -> Progress | None:
        """How far the saved state is; None without one."""
        if not self.exists():
            return None
        return self._facts()[0]

    def _facts(self) -> tuple[Progress, dict[str, Any]]:
        """How far the saved state is, and all that state.json says.

        Raises:
            UserError: it cannot be read or is broken.
        """
        path, fix = self.folder / "state.json", "start over with --fresh"
        facts = read_json(path, fix)
        try:
            progress = Progress(int(facts["phase"]), int(facts["step"]), float(facts["seconds"]))
            str(facts["tensors"]), dict(facts["facts"]), dict(facts.get("validation", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is broken: {type(problem).__name__} {problem}", fix) from None
        return progress, facts

    def save(
        self,
        progress: Progress,
        adapter: Adapter,
        optimizer: torch.optim.Optimizer | None,
        scaler: torch.amp.GradScaler | None = None,
        validation: Mapping[str, Any] | None = None,
        best: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write the state; what was there before stays valid until the new one is whole."""
        tensors = {f"adapter/{name}": tensor for name, tensor in adapter.state().items()}
        if optimizer is not None:
            for name, parameter in adapter.trainable().items():
                for key, value in optimizer.state[parameter].items():
                    tensors[f"optimizer/{name}/{key}"] = value
        tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
        name = f"state-{progress.phase}-{progress.step}.safetensors"
        write_tensors(self.folder / name, tensors)
        facts = {"tensors": name, "facts": adapter.facts(), "validation": validation or {}, **asdict(progress)}
        if scaler is not None:
            facts["scaler"] = scaler.state_dict()
        write_text(self.folder / "state.json", json.dumps(facts))
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink()

    def load(self) -> State:
        """The saved state.

        Raises:
            UserError: its file is missing or broken.
        """
        progress, facts = self._facts()
        path = self.folder / Path(facts["tensors"]).name
        if not path.is_file():
            raise UserError(f"{path} is missing", "start over with --fresh")
        tensors = read_tensors(path)
        return State(
            progress=progress,
            adapter=_below(tensors, "adapter/"),
            facts=facts["facts"],
            optimizer=_below(tensors, "optimizer/"),
            scaler=facts.get("scaler"),
            validation=facts.get("validation", {}),
            best=_below(tensors, "best/"),
        )

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def restore_optimizer(
    optimizer: torch.optim.Optimizer, trainable: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Put AdamW's moments back, parameter by parameter."""
    for name, parameter in trainable.items():
        moments = _below(tensors, f"{name}/")
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in moments.items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
