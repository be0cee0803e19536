"""One row of the benchmark in a process of its own: a training step (or evaluation), timed, with its memory.

    python benchmarks/row.py '{"side": "ours", "method": "dora", "dtype": "bfloat16", "batch": 32, "classes": 100}'

Prints one line of JSON: seconds of every measured step, and how far resident memory rose above what it was before
them. Weights are random, images are noise, prompts are the first ImageNet names.
"""

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional as F

from cliptune.methods.base import Adapter
from cliptune.models.backbone import Backbone, load, random_backbone
from cliptune.models.shortcuts import Shortcuts
from cliptune.models.towers import Towers, own_copy
from cliptune.recipe import assemble, find_method
from cliptune.training.compute import compute
from cliptune.training.optim import adamw
from cliptune.training.student import Student

PROMPTS = Path(__file__).with_name("imagenet-prompts.json")
CONTEXT = 77


@dataclass(frozen=True)
class Row:
    """What one row runs."""

    side: str = "ours"
    """ours; slow: our adapters through transformers' forward under autograd; peft: as its documentation tells;
    careful: peft with prompts cut to the longest and bf16 autocast; transformers: full fine-tuning without us"""
    task: str = "step"
    """step: one training step; text: the text tower's forward and backward alone; evaluate: image features"""
    method: str = "dora"
    model: str = "vit-b-16"
    dtype: str = "float32"
    batch: int = 32
    classes: int = 100
    dropout: float = 0.0
    form: str = "natural"
    shortcuts: dict[str, Any] = field(default_factory=dict)
    """switches that are not at their defaults"""
    chunk: int = 0
    text_chunk: int = 0
    where: str = ""
    threads: int = 1
    device: str = "cpu"
    profile: bool = False
    """tell where the time of one more step went"""
    steps: int = 2
    warm: int = 0


class Noise:
    """Stands in for training images: always the same noise."""

    def __init__(self, row: Row, side: int):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(row.batch, 3, side, side, generator=generator)
        self.labels = torch.randint(row.classes, (row.batch,), generator=generator)

    def __len__(self) -> int:
        return len(self.labels)

    def varied(self, indices: list[int], generator: torch.Generator) -> Tensor:
        return self.images


def prompts(row: Row, backbone: Backbone, width: int | None) -> Tensor:
    """Token ids [c t] of the first names, padded with the end token to `width` or the longest."""
    if row.model == "mini":
        words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        rows = backbone.tokens([f"a photo of the digit {word}" for word in words[: row.classes]]).tolist()
        width = width and backbone.context
    else:
        rows = json.loads(PROMPTS.read_text("utf-8"))["ids"][: row.classes]
    width = width or max(map(len, rows))
    return torch.tensor([ids + [backbone.end_token] * (width - len(ids)) for ids in rows]).to(row.device)


def stir(parameters: dict[str, Tensor]) -> None:
    """Away from the start, where B is zero and half of the gradients with it."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith((".B", "lora_B.default.weight")):
                parameter.normal_(std=0.02, generator=generator)


def our_step(row: Row, backbone: Backbone) -> Callable[[], object]:
    changes: dict[str, Any] = {} if row.method in ("full", "ast", "bitfit") else {"dropout": row.dropout}
    if row.method == "dora":
        changes["dropout_form"] = row.form
    if row.method == "lora_xs" and row.model == "mini":
        changes["rank"] = 8
    adapter = find_method(row.method)(**changes).attach(backbone).train()
    slow = Shortcuts(forward="transformers", products="plain", cache=False)
    adapter.towers.own = slow if row.side == "slow" else Shortcuts(**row.shortcuts)
    keep_only(adapter, row.where)
    trainable = adapter.trainable()
    stir(trainable)
    options = {"train.chunk": row.chunk, "train.text_chunk": row.text_chunk, "train.lr": 1e-6, "train.dtype": row.dtype}
    recipe = assemble({"method": {"name": row.method}}, options, "paper")
    noise = Noise(row, backbone.preprocess.crop)
    tokens = prompts(row, backbone, CONTEXT if row.side == "slow" else None)
    student = Student(adapter, recipe, noise, tokens, compute(row.device, row.dtype))
    optimizer = adamw(adapter, trainable, recipe.train)
    if row.task == "text":
        return lambda: adapter.text_features(tokens).sum().backward()

    def step() -> None:
        student.backward(list(range(row.batch)), torch.Generator())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def keep_only(adapter: Adapter, where: str) -> None:
    """AST's second stage with a given pick: 'q.weight v.bias …' of every block."""
    if where:
        kinds = tuple("." + kind for kind in where.split())
        adapter.own([name for name in adapter.owned if name.endswith(kinds)])


def their_model(row: Row, backbone: Backbone) -> torch.nn.Module:
    model = own_copy(backbone.model)
    if row.method == "full":
        return model.requires_grad_(True)
    letters = "q|k|v|out" if row.method == "dora" else "q|k|v"
    config = LoraConfig(
        r=2,
        lora_alpha=1,
        use_rslora=True,
        use_dora=row.method == "dora",
        lora_dropout=row.dropout,
        target_modules=rf".*\.encoder\.layers\.\d+\.self_attn\.({letters})_proj",
    )
    return get_peft_model(model, config)


def their_step(row: Row, backbone: Backbone) -> Callable[[], object]:
    model = their_model(row, backbone).train()
    stir(dict(model.named_parameters()))
    careful = row.side == "careful"
    tokens = prompts(row, backbone, None if careful else CONTEXT)
    noise = Noise(row, backbone.preprocess.crop)
    images = backbone.preprocess.normalise(noise.images).to(row.device)
    labels = noise.labels.to(row.device)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6)
    lower = torch.autocast(row.device, torch.bfloat16) if careful else nullcontext()
    if row.task == "text":
        inner = getattr(model, "base_model", model)
        return lambda: inner.get_text_features(input_ids=tokens).pooler_output.sum().backward()

    def step() -> None:
        with lower:
            logits = model(pixel_values=images, input_ids=tokens).logits_per_image
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def evaluation(row: Row, backbone: Backbone) -> Callable[[], object]:
    """Image features of a batch: peft's unmerged model, ours merged."""
    images = backbone.preprocess.normalise(Noise(row, backbone.preprocess.crop).images).to(row.device)
    if row.side in ("peft", "careful"):
        theirs = their_model(row, backbone).eval()
        stir(dict(theirs.named_parameters()))
        run = lambda: theirs.base_model.get_image_features(pixel_values=images).pooler_output  # noqa: E731
    else:
        adapter = find_method(row.method)().attach(backbone)
        stir(adapter.trainable())
        both = Towers(adapter.merged().eval())
        run = lambda: both.image_features(images)  # noqa: E731
    machine = compute(row.device, "bfloat16" if row.side == "careful" else row.dtype)

    def step() -> None:
        with torch.no_grad(), machine.autocast():
            run()

    return step


class Meter:
    """Seconds of a call, and memory above what there was before: resident on the CPU, allocated on a GPU."""

    def __init__(self, device: str):
        self.gpu = device == "cuda"
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # what the heap holds free would hide a rise
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self.before = torch.cuda.memory_allocated() if self.gpu else resident("VmRSS")
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5", "ascii")

    def seconds(self, step: Callable[[], object]) -> float:
        began = time.perf_counter()
        step()
        if self.gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def rise(self) -> int:
        peak = torch.cuda.max_memory_allocated() if self.gpu else resident("VmHWM")
        return peak - self.before


def resident(what: str) -> int:
    """VmRSS or VmHWM of this process, bytes."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {what}")


def profile(step: Callable[[], object], most: int = 14) -> list[tuple[str, float]]:
    """The operators that took most of a step's own time, with their share of it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step()
    events = sorted(seen.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return [(event.key, event.self_cpu_time_total / total) for event in events[:most]]


def main() -> None:
    row = Row(**json.loads(sys.argv[1]))
    torch.set_num_threads(row.threads)
    backbone = (load("mini") if row.model == "mini" else random_backbone(row.model)).to(row.device)
    make = evaluation if row.task == "evaluate" else our_step if row.side in ("ours", "slow") else their_step
    step = make(row, backbone)
    meter = Meter(row.device)
    seconds = [meter.seconds(step) for _ in range(row.warm + row.steps)][row.warm :]
    found = {"row": asdict(row), "seconds": seconds, "rise": meter.rise()}
    if row.profile:
        found["profile"] = profile(step)
    print(json.dumps(found), flush=True)
    os._exit(0)  # frees nothing: taking gigabytes apart would only cost time


if __name__ == "__main__":
    main()
