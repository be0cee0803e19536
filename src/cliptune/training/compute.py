"""Where and in which precision training runs: accelerate picks the device and does the casting."""

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from cliptune.counted import these
from cliptune.errors import UserError
from cliptune.recipe import SMALL_BACKBONE
from cliptune.training.distributed import Group, group_of

Precision = Literal["float32", "bfloat16", "float16"]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""in which accelerate reads how many processes there are"""
MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Compute:
    """A device and a precision.

    In a lower precision the image tower's products are made in it; weights, residual stream, text tower, the adapter's
    numbers, loss and optimiser stay float32 (`models.towers`).
    """

    accelerator: Accelerator
    device: torch.device
    dtype: Precision
    group: Group = field(default_factory=Group)
    """the processes that share the run"""

    def autocast(self) -> torch.autocast:
        """The precision the towers read. Our own: accelerate's follows the state of whoever asked last."""
        lower = torch.float16 if self.dtype == "float16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=lower, enabled=self.dtype != "float32")

    def peak_memory_bytes(self) -> int:
        """Largest memory: allocated on the GPU by this run, else resident in this process (see `forget_peak`)."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resident_bytes()


def resident_bytes() -> int:
    """Largest resident memory of this process so far, or since `forget_peak`; 0 where the system does not say."""
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> bool:
    """Let `resident_bytes` count from now on. False where the system cannot (it is Linux's): it goes on counting.

    What Python and the C library hold without using it goes back to the system first: it is no part of what comes.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


_one_at_a_time = threading.Lock()
_training_thread: int | None = None


def _refuse_other_thread() -> None:
    if _training_thread not in (None, threading.get_ident()):
        raise UserError(
            "a training is under way in another thread of this process: they would share random numbers",
            "wait until it has ended, or start a process for each",
        )


@contextmanager
def training() -> Iterator[None]:
    """Inside, this thread trains and no other may; gradients and float32 are on, whatever the caller has set.

    torch's random numbers and accelerate's state belong to the process, so two trainings in threads would disturb each
    other. Gradient mode and default dtype are the caller's again afterwards.

    Raises:
        UserError: another thread trains.
    """
    global _training_thread
    with _one_at_a_time:
        _refuse_other_thread()
        outer, _training_thread = _training_thread, threading.get_ident()
    try:
        with usual_torch():
            yield
    finally:
        _training_thread = outer


@contextmanager
def usual_torch() -> Iterator[None]:
    """Gradients are recorded and new tensors are float32 inside, whatever a notebook has switched off or changed."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def compute(device: str = "auto", dtype: str = "auto", parameters: int = 0) -> Compute:
    """The device ('auto', 'cpu', 'cuda', 'mps') and precision a run uses.

    'auto' precision is float32 for a backbone of fewer than `recipe.SMALL_BACKBONE` `parameters`, where 16 bits are
    slower; else bfloat16 where the device has instructions for it, float16 on a GPU without, float32 elsewhere.

    Started by torchrun or `accelerate launch`, it joins the processes of the run, each on its own GPU.

    Raises:
        UserError: the device is not there, cannot do the precision, or cannot be shared as the launcher asks; another
            thread trains.
    """
    chosen = choose_device(device, dtype)
    if dtype == "auto":
        dtype = "float32" if parameters < SMALL_BACKBONE else fastest(chosen)
    with _one_at_a_time:
        _refuse_other_thread()
        # accelerate keeps one precision per process in a shared state; a new run may want another.
        AcceleratorState._reset_state(reset_partial_state=True)
        check_processes(chosen)
        _refuse_unlaunched()
        accelerator = Accelerator(cpu=chosen == "cpu", mixed_precision=MIXED[dtype])
    if accelerator.distributed_type not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise UserError(
            f"accelerate is set to {accelerator.distributed_type.value}, which cliptune does not know",
            "start with torchrun, or `accelerate launch --multi_gpu`",
        )
    # accelerate says cpu:0 under a launcher, which is not equal to cpu.
    device_here = torch.device("cpu") if chosen == "cpu" else accelerator.device
    if chosen == "cuda":
        torch.cuda.reset_peak_memory_stats(device_here)
    group = group_of(accelerator.process_index, accelerator.num_processes)
    return Compute(accelerator, device_here, cast(Precision, dtype), group)


def _refuse_unlaunched() -> None:
    """Refuse to be one of several processes that no launcher has told of one another.

    Raises:
        UserError: the environment, as that of a cluster's container or of mpirun, says that there are several.
    """
    several = [name for name in SIZES if os.environ.get(name, "1").strip() not in ("", "0", "1")]
    if several and "LOCAL_RANK" not in os.environ:
        raise UserError(
            f"{several[0]}={os.environ[several[0]]} in the environment, and no launcher has started this process",
            f"start with torchrun or accelerate launch; for one process: unset {' '.join(several)}",
        )


def refuse_inference_tensors(name: str, model: torch.nn.Module) -> None:
    """Refuse weights that no gradient may pass.

    Raises:
        UserError: the model was loaded inside `torch.inference_mode`.
    """
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise UserError(
            f"'{name}' was loaded inside torch.inference_mode and cannot be trained", "load it outside of that block"
        )


def check_processes(device: str) -> None:
    """Refuse more processes than a device can serve.

    Raises:
        UserError: several processes on MPS, or more than GPUs on this machine.
    """
    if "LOCAL_RANK" not in os.environ or (here := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) == 1:
        return
    if device == "mps":
        raise UserError("--device mps: one process alone can use it", "start without torchrun, or use --device cpu")
    # Where each process is shown one GPU, each sees one and means its own.
    if (
        device == "cuda"
        and (gpus := torch.cuda.device_count()) < here
        and (gpus > 1 or "CUDA_VISIBLE_DEVICES" not in os.environ)
    ):
        what = f"{here} processes for {these(gpus, 'GPU')}"
        raise UserError(what, f"give torchrun --nproc-per-node {gpus}, or --device cpu")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generators seeded for a moment, and left as they were."""
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(seed)
        yield


def _device_instead_of(device: str) -> str:
    """'type …; ' for another tool's way to name a device, '' for anything else."""
    kind, colon, number = device.lower().partition(":")
    if kind in ("cuda", "gpu") and number.isdecimal():
        return f"for one of several GPUs: CUDA_VISIBLE_DEVICES={number} cliptune … --device cuda; "
    if kind.isdecimal() or kind in ("cuda", "gpu", "gpus", "nvidia"):
        return "for a GPU: --device cuda; "
    return "give --device cpu; " if kind == "cpu" and colon else ""


def choose_device(device: str, dtype: str) -> str:
    """'cpu', 'cuda' or 'mps'; 'auto' takes the best there is.

    Raises:
        UserError: no such device, not on this machine, or it cannot do the precision.
    """
    known = ("auto", "cpu", "cuda", "mps")
    device = str(device)  # torch.device("cpu") is its name
    if device not in known:
        raise UserError(f"--device {device}", f"{_device_instead_of(device)}one of: {', '.join(known)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device != "auto" and not there[device]:
        raise UserError(f"--device {device}: no such device here", "use --device cpu, or see `cliptune doctor`")
    chosen = next(name for name in ("cuda", "mps", "cpu") if there[name]) if device == "auto" else device
    if dtype == "float16" and chosen == "cpu":
        raise UserError("--dtype float16 needs a GPU", "use --dtype bfloat16 or float32 on the CPU")
    return chosen


def fastest(device: str) -> Precision:
    """The precision in which a large model trains fastest on a device: asked of the hardware, not assumed."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if device == "cpu" and cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by instructions of its own (AVX512_BF16, AMX, ARM's bf16)."""
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    older = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # before torch 2.8
    return bool(older and older())
