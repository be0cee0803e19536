"""Ours beside peft and transformers: every row in a fresh process, variants in turn, ratios of medians.

    python benchmarks/bench.py [--full] [--threads 1 2] [--out bench.json] [--table bench.md]

All rows of a group run under the same settings: threads, torch's default matmul precision, the C library's malloc.
Times are wall seconds of whole training steps (forward, backward, optimiser); memory is how far the resident size rose
above what it was before the first step. Weights are random, images noise, prompts the first ImageNet names.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cliptune.models import zoo

HERE = Path(__file__).parent
PROMPTS = json.loads((HERE / "imagenet-prompts.json").read_text("utf-8"))["ids"]
GB = 1e9


@dataclass(frozen=True)
class Group:
    """Rows that are run in turn; the first is what the others are compared with."""

    title: str
    rows: dict[str, dict[str, Any]]
    rounds: int = 2
    threads: tuple[int, ...] = (1, 2)
    floor: bool = False
    """whether the smallest exact algorithm's arithmetic is told beside"""
    impossible: dict[str, str] = field(default_factory=dict)
    """rows that do not fit, with the estimate that says so"""


F32, BF16 = {"dtype": "float32", "steps": 1}, {"dtype": "bfloat16", "steps": 2}
PEFT: dict[str, Any] = {"side": "peft", "steps": 1}
FULL: dict[str, Any] = {"method": "full", "steps": 1}
AST: dict[str, Any] = {"method": "ast", "steps": 1}
SMALL: dict[str, Any] = {"batch": 8, "classes": 10, "steps": 3, "warm": 1}
MANY: dict[str, Any] = {"classes": 1000, "text_chunk": 100, "chunk": 4, "steps": 1}

HEADLINE = [
    Group(
        "CLIP-DoRA step, batch 32, 100 classes, dropout 0",
        {
            "peft": PEFT,
            "careful peft (cut prompts, bf16 autocast)": {"side": "careful", "steps": 1},
            "ours float32": F32,
            "ours bf16": BF16,
            "ours float32, parts of 4 images": {**F32, "chunk": 4},
            "ours bf16, parts of 4 images": {**BF16, "chunk": 4},
        },
        floor=True,
    ),
    Group(
        "CLIP-DoRA step, batch 32, 100 classes, dropout 0.25",
        {
            "peft": {**PEFT, "dropout": 0.25},
            "ours float32": {**F32, "dropout": 0.25},
            "ours bf16": {**BF16, "dropout": 0.25},
            "ours bf16, the prompts' start shares its noise": {**BF16, "dropout": 0.25, "noise": "shared"},
        },
    ),
    Group(
        "CLIP-DoRA step, batch 8, 10 classes, dropout 0",
        {"peft": {**PEFT, **SMALL}, "ours float32": {**F32, **SMALL}, "ours bf16": {**BF16, **SMALL}},
        floor=True,
    ),
    Group(
        "Text tower alone, forward and backward, 100 classes",
        {"peft": {**PEFT, "task": "text"}, "ours": {"task": "text", "steps": 5, "warm": 1}},
    ),
    Group(
        "Evaluation: image features, batch 32",
        {
            "peft, unmerged": {**PEFT, "task": "evaluate"},
            "ours float32, merged": {**F32, "task": "evaluate"},
            "ours bf16, merged": {**BF16, "task": "evaluate"},
        },
    ),
    Group(
        "Methods and roads, batch 32, 100 classes",
        {
            "dora float32": F32,
            "lora float32": {**F32, "method": "lora"},
            "lora_xs float32": {**F32, "method": "lora_xs"},
            "dora bf16": BF16,
            "lora bf16": {**BF16, "method": "lora"},
            "lora_xs bf16": {**BF16, "method": "lora_xs"},
            "dora float32, our slow road (transformers' forward, autograd)": {**F32, "side": "slow"},
            "dora float32, dropout 0.25, official form": {**F32, "dropout": 0.25, "form": "official"},
        },
        rounds=1,
        threads=(1,),
    ),
    Group(
        "Full fine-tuning and AST, batch 32, 100 classes, float32",
        {
            "transformers, full fine-tuning": {**FULL, "side": "transformers"},
            "ours, full fine-tuning": FULL,
            "ours, AST stage 1 (all block tensors)": AST,
            "ours, AST stage 2: six weights": {
                **AST,
                "where": "q.weight k.weight v.weight o.weight fc1.weight fc2.weight",
            },
            "ours, AST stage 2: q, v, fc1 weights, 3 vectors": {
                **AST,
                "where": "q.weight v.weight fc1.weight q.bias ln1.weight ln2.weight",
            },
            "ours, AST stage 2: six vectors": {**AST, "where": "q.bias v.bias o.bias fc1.bias ln1.weight ln2.weight"},
        },
        rounds=1,
        threads=(1,),
    ),
    Group(
        "CLIP-DoRA step, batch 32, 1,000 classes, in parts of 100 prompts and 4 images",
        {"ours float32": MANY, "ours bf16": {**MANY, "dtype": "bfloat16"}},
        rounds=1,
        threads=(2,),
        impossible={"peft": "57 GB estimated: its text tower's memory at 100 classes, ten times"},
    ),
]

LARGE: dict[str, Any] = {"model": "vit-l-14", "batch": 8, "classes": 10, "steps": 1}
MINI: dict[str, Any] = {"model": "mini", "batch": 32, "classes": 10, "steps": 20, "warm": 3, "dropout": 0.25}

FULL_RUN = [
    Group(
        "ViT-L/14, CLIP-DoRA step, batch 8, 10 classes, dropout 0",
        {"peft": {**PEFT, **LARGE}, "ours float32": {**F32, **LARGE}, "ours bf16": {**BF16, **LARGE}},
        rounds=1,
    ),
    Group(
        "CLIP-DoRA step, batch 32, 1,000 classes, dropout 0",
        {
            "ours float32": {"classes": 1000, "steps": 1},
            "ours float32, parts of 100 prompts": {"classes": 1000, "text_chunk": 100, "steps": 1},
        },
        rounds=1,
        threads=(2,),
    ),
    Group(
        "Dropout forms, CLIP-DoRA step, batch 8, 10 classes, dropout 0.25",
        {
            "peft": {**PEFT, **SMALL, "dropout": 0.25},
            "ours natural float32": {**F32, **SMALL, "dropout": 0.25},
            "ours natural bf16": {**BF16, **SMALL, "dropout": 0.25},
            "ours official float32": {**F32, **SMALL, "dropout": 0.25, "form": "official"},
            "ours official bf16": {**BF16, **SMALL, "dropout": 0.25, "form": "official"},
        },
        rounds=1,
    ),
    Group(
        "Where the low-rank update is added, CLIP-DoRA step, batch 8, 10 classes, dropout 0",
        {
            f"ours {dtype}, {update}": {**SMALL, "dtype": dtype, "update": update}
            for dtype in ("float32", "bfloat16")
            for update in ("merged", "beside")
        },
    ),
    Group(
        "The mini model, batch 32, 10 classes, dropout 0.25",
        {
            "peft": {**PEFT, **MINI},
            **{f"ours {method} float32": {**F32, **MINI, "method": method} for method in ("dora", "lora", "lora_xs")},
            "ours dora bf16": {**BF16, **MINI},
        },
        threads=(1,),
    ),
]


def run(row: dict[str, Any], threads: int) -> dict[str, Any]:
    """One row in a fresh process; its JSON, or what went wrong."""
    count = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-W", "ignore", str(HERE / "row.py"), json.dumps({**row, "threads": threads})]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().split("\n")[-1] or f"ended with code {done.returncode}"}
    return json.loads(done.stdout)


def run_group(group: Group, threads: int) -> dict[str, Any]:
    """All rows in turn, round by round."""
    found: dict[str, dict[str, Any]] = {name: {"seconds": [], "rise": []} for name in group.rows}
    for _ in range(group.rounds):
        for name, row in group.rows.items():
            one = run(row, threads)
            if "failed" in one:
                found[name]["failed"] = one["failed"]
                continue
            found[name]["seconds"] += one["seconds"]
            found[name]["rise"].append(one["rise"])
            tell(f"  {name}: {', '.join(f'{each:.2f}' for each in one['seconds'])} s, {one['rise'] / GB:.2f} GB")
    rows = [summary(name, group.rows[name], each) for name, each in found.items()]
    first = rows[0]
    for row in rows:
        if row["seconds"] and first["seconds"]:
            row["times_as_fast"] = first["seconds"] / row["seconds"]
            row["memory_share"] = row["rise"] / first["rise"]
    return {"title": group.title, "threads": threads, "rows": rows, "impossible": group.impossible}


def summary(name: str, row: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    seconds, rise = found["seconds"], found["rise"]
    return {
        "name": name,
        "row": row,
        "seconds": statistics.median(seconds) if seconds else None,
        "all_seconds": seconds,
        "rise": max(rise) if rise else None,
        "failed": found.get("failed"),
    }


def gemm_rates(threads: int) -> dict[str, dict[str, float]]:
    """Best and median GFLOP/s of matrix products: squares, and the shapes of ViT-B/16's blocks at batch 8."""
    torch.set_num_threads(threads)
    rates: dict[str, dict[str, float]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        seen = []
        for m, k, n in ((1024, 1024, 1024), (2048, 2048, 2048), (1576, 768, 768), (1576, 768, 3072), (1576, 3072, 768)):
            a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
            a @ b
            for _ in range(5):
                began = time.perf_counter()
                a @ b
                seen.append(2 * m * k * n / (time.perf_counter() - began) / 1e9)
        rates[str(dtype).removeprefix("torch.")] = {"best": max(seen), "median": statistics.median(seen)}
    return rates


def floor_flops(model: str, batch: int, classes: int) -> tuple[float, float]:
    """Arithmetic of the smallest exact step, image and text: products of the linears and of attention only.

    Packed prompts with one common start, the last block for the pooled token alone, input gradients of every frozen
    linear but the first q, k, v, and the attention's.
    """
    shape = zoo.ZOO[model]
    length = (shape.image // shape.patch) ** 2 + 1
    width, depth, _ = shape.vision
    image = tower_flops(batch * length, width, depth, length * length * batch, length * batch, batch)
    image += 2 * batch * (length - 1) * width * 3 * shape.patch**2 + 2 * batch * width * shape.joint
    rows = PROMPTS[:classes]
    start = next(i for i in range(len(rows[0])) if len({tuple(r[: i + 1]) for r in rows}) > 1)
    start = min(start, min(map(len, rows)) - 1)
    pairs = start * start + sum((len(r) - start) * len(r) for r in rows)
    tokens = start + sum(len(r) - start for r in rows)
    width, depth, _ = shape.text
    text = tower_flops(tokens, width, depth, pairs, sum(map(len, rows)), classes)
    return image, text + 2 * 2 * classes * width * shape.joint


def tower_flops(tokens: int, width: int, depth: int, pairs: int, last_pairs: int, pooled: int) -> float:
    square = 2 * width * width
    whole, last = 12 * square * tokens, 2 * square * tokens + 10 * square * pooled
    forward = (depth - 1) * (whole + 4 * width * pairs) + last + 4 * width * last_pairs
    backward = (depth - 1) * (whole + 8 * width * pairs) + last + 8 * width * last_pairs - 3 * square * tokens
    return forward + backward


def floors(rates: dict[str, dict[str, float]], batch: int, classes: int) -> dict[str, dict[str, float]]:
    """Seconds the arithmetic alone would take at the best and at the median rate; text always in float32."""
    image, text = floor_flops("vit-b-16", batch, classes)
    return {
        dtype: {kind: image / rate / 1e9 + text / rates["float32"][kind] / 1e9 for kind, rate in rates[dtype].items()}
        for dtype in rates
    }


def markdown(results: dict[str, Any]) -> str:
    """The tables of docs/performance.md."""
    lines = []
    for group in results["groups"]:
        lines += [f"### {group['title']} · {group['threads']} thread{'s' * (group['threads'] > 1)}", ""]
        lines += ["| | seconds | times as fast | memory of a step, GB | share |", "| --- | --- | --- | --- | --- |"]
        for row in group["rows"]:
            if row["seconds"] is None:
                lines.append(f"| {row['name']} | failed: {row['failed']} | | | |")
                continue
            fast, share = row.get("times_as_fast", 1), row.get("memory_share", 1)
            lines.append(
                f"| {row['name']} | {row['seconds']:.2f} | {fast:.2f} | {row['rise'] / GB:.2f} | {share:.3f} |"
            )
        lines += [f"| {name} | does not fit ({estimate}) | | | |" for name, estimate in group["impossible"].items()]
        lines.append("")
        for dtype, floor in group.get("floors", {}).items():
            kinds = ", ".join(f"{seconds:.2f} s at the {kind} rate" for kind, seconds in floor.items())
            lines += [f"Arithmetic alone in {dtype}: {kinds}.", ""]
    return "\n".join(lines)


def measure(groups: Iterable[Group], threads: Sequence[int]) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": processor(), "torch": torch.__version__, "rates": {}, "groups": []}
    for count in threads:
        samples = [gemm_rates(count)]
        here = []
        for group in groups:
            if count not in group.threads:
                continue
            tell(f"{group.title} · {count} thread(s)")
            here.append((group, run_group(group, count)))
            samples.append(gemm_rates(count))
        rates = {
            dtype: {
                "best": max(sample[dtype]["best"] for sample in samples),
                "median": statistics.median(sample[dtype]["median"] for sample in samples),
            }
            for dtype in samples[0]
        }
        results["rates"][count] = rates
        for group, found in here:
            if group.floor:
                row = next(iter(group.rows.values()))
                found["floors"] = floors(rates, row.get("batch", 32), row.get("classes", 100))
            results["groups"].append(found)
    return results


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return "unknown"


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="what else fits, instead of the headline rows")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="groups whose title contains this")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    given = parser.parse_args()
    began = time.perf_counter()
    chosen = [group for group in (FULL_RUN if given.full else HEADLINE) if given.only in group.title]
    results = measure(chosen, given.threads)
    results["minutes"] = (time.perf_counter() - began) / 60
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(markdown(results))
    for count, rates in results["rates"].items():
        said = ", ".join(f"{d} {r['best']:.0f} best, {r['median']:.0f} median" for d, r in rates.items())
        print(f"GFLOP/s of matrix products, {count} thread(s): {said}")
    print(f"{results['minutes']:.0f} minutes")


if __name__ == "__main__":
    main()
