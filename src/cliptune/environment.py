"""What a run ran on: versions, commit, machine."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from cliptune.training.compute import Compute

PACKAGES = ("cliptune", "torch", "transformers", "accelerate", "safetensors", "numpy", "pillow", "scikit-learn")


def versions() -> dict[str, str]:
    """Installed versions of what decides a run's numbers; 'not installed' where missing."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe(machine: Compute) -> dict[str, Any]:
    """Versions, commit of the cliptune checkout (if it is one) and whether it was changed, machine, threads."""
    commit = _git("rev-parse", "HEAD")
    device = (
        torch.cuda.get_device_name() if machine.device.type == "cuda" else platform.processor() or platform.machine()
    )
    return {
        "python": platform.python_version(),
        **versions(),
        "commit": commit,
        "dirty": bool(_git("status", "--porcelain")) if commit else None,
        "machine": f"{platform.system()} {platform.machine()}, {device}",
        "threads": torch.get_num_threads(),
        "device": str(machine.device),
        "dtype": machine.dtype,
        "processes": machine.group.size,
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    if not (here.parents[1] / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(here), *arguments]  # a killed run must leave no index.lock
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
