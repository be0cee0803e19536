"""The engine `ray`: the same runs as tasks on a Ray cluster, each with its CPUs, GPU and memory.

A task works in a folder of its own node and sends the finished run folder back by content; the driver puts it among its
runs. No disk is shared. Data sets named by `--root`, and models given as folders, must lie at the same path on every
node; hub models and sets that ship need nothing. A task whose worker or node is lost is tried again, from its start.
"""

import io
import logging
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cliptune
from cliptune.errors import UserError
from cliptune.studies.estimate import PROCESS_BYTES, Estimate
from cliptune.studies.pool import Ended, Pool, Setting, perform
from cliptune.studies.study import Job

ATTEMPTS = 3


def run(jobs: Sequence[Job], pool: Pool, setting: Setting, estimates: Mapping[str, Estimate]) -> Iterator[Ended]:
    """Do `jobs` on the cluster this machine belongs to, yielding each as it ends, in any order.

    Raises:
        UserError: Ray is not installed, no cluster runs, or none of its nodes has what a run needs.
    """
    ray = connect()
    try:
        task = ray.remote(max_retries=ATTEMPTS - 1)(perform_there)
        gpus = 1 if wants_gpu(ray, setting.device) else 0
        sizes = {job.key: estimates[job.key].bytes or PROCESS_BYTES for job in jobs}
        refuse_too_small(ray, {"CPU": setting.threads, "GPU": gpus, "memory": max(sizes.values(), default=0)})
        flying = {}
        for job in jobs:
            memory = sizes[job.key]
            asked = task.options(num_cpus=setting.threads, num_gpus=gpus, memory=memory, name=str(job))
            flying[asked.remote(job, setting, cliptune.__version__)] = job
        while flying:
            (ready,), _ = ray.wait(list(flying), num_returns=1)
            yield _take(ray, ready, flying.pop(ready), pool)
    finally:
        ray.shutdown()


def _take(ray: Any, ready: Any, job: Job, pool: Pool) -> Ended:
    try:
        ended, archive = ray.get(ready)
    except ray.exceptions.RayError as problem:
        first = str(problem).strip().split("\n")[0]
        ended = Ended(job, 0.0, (f"lost {ATTEMPTS} times: {first}", "see `ray status` and the logs of the node"))
        archive = None
    if archive is not None:
        unpack(archive, job, pool)
    pool.settle(ended)
    return ended


def perform_there(job: Job, setting: Setting, version: str) -> tuple[Ended, bytes | None]:
    """On a node: one run in a folder of its own; what happened, and the run folder as a compressed archive."""
    if version != cliptune.__version__:
        what = f"this node has cliptune {cliptune.__version__}, the driver {version}"
        return Ended(job, 0.0, (what, f"pip install cliptune=={version} on every node")), None
    import torch  # Ray has set OMP_NUM_THREADS to the task's CPUs

    torch.set_num_threads(setting.threads)
    with tempfile.TemporaryDirectory(prefix="cliptune-") as place:
        folder = Path(place) / job.name
        ended = perform(job, folder, setting)
        return ended, pack(folder) if ended.error is None else None


def pack(folder: Path) -> bytes:
    """A folder's content as a compressed archive."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", compresslevel=1) as archive:
        archive.add(folder, arcname=".")
    return whole.getvalue()


def unpack(archive: bytes, job: Job, pool: Pool) -> None:
    """Put a run folder that came as an archive among the runs, whole or not at all."""
    half = pool.runs / f".{job.name}.half"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        packed.extractall(half, filter="data")
    pool.adopt(job, half)
    shutil.rmtree(half, ignore_errors=True)


def connect() -> Any:
    """The `ray` module, connected to the cluster of RAY_ADDRESS or of this machine.

    Raises:
        UserError: not installed, or nothing to connect to.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray: Ray is not installed", "pip install 'cliptune[cluster]' on every node") from None
    try:
        ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as problem:
        raise UserError(
            f"--engine ray: no cluster answers ({str(problem).splitlines()[0]})",
            "start one with `ray start --head` (docs/howto/cluster.md), or leave --engine out",
        ) from None
    return ray


def wants_gpu(ray: Any, device: str) -> bool:
    return device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)


def refuse_too_small(ray: Any, needed: Mapping[str, float]) -> None:
    """A task that fits on no node would wait for ever.

    Args:
        needed: Ray's name of a resource → how much one run takes: CPU and GPU in pieces, memory in bytes.

    Raises:
        UserError: no single node has all of it.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
        return
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in needed}
    short = [name for name in needed if most[name] < needed[name]] or list(needed)
    told = ", ".join(
        f"{amount / 1e9:.1f} GB" if name == "memory" else f"{amount:g} {name}" for name, amount in needed.items()
    )
    fixes = {"CPU": "fewer --threads", "GPU": "--device cpu", "memory": "--memory 2GB, or a node with more"}
    raise UserError(
        f"--engine ray: a run needs {told}, and no node has all of it",
        f"give {' and '.join(fixes[name] for name in short)}",
    )
