"""Ours beside peft and transformers: every row in a fresh process, variants in turn, ratios of medians.

    python benchmarks/bench.py [--full] [--threads 1 2] [--device cuda] [--only TITLE] [--out bench.json]

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
from pathlib import Path
from typing import Any

import torch
from groups import FULL_RUN, HEADLINE, Group

from cliptune.models import zoo

HERE = Path(__file__).parent
PROMPTS = json.loads((HERE / "imagenet-prompts.json").read_text("utf-8"))["ids"]
GB = 1e9
MODEL = "vit-b-16"
"""of every group whose floor is told"""


def run(row: dict[str, Any], threads: int, device: str) -> dict[str, Any]:
    """One row in a fresh process; its JSON, or what went wrong."""
    count = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(HERE / "row.py"),
        json.dumps({**row, "threads": threads, "device": device}),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().split("\n")[-1] or f"ended with code {done.returncode}"}
    return json.loads(done.stdout)


def run_group(group: Group, threads: int, device: str) -> dict[str, Any]:
    """All rows in turn, round by round."""
    found: dict[str, dict[str, Any]] = {name: {"seconds": [], "rise": []} for name in group.rows}
    for _ in range(group.rounds):
        for name, row in group.rows.items():
            one = run(row, threads, device)
            if "failed" in one:
                found[name]["failed"] = one["failed"]
                continue
            found[name]["seconds"] += one["seconds"]
            found[name]["rise"].append(one["rise"])
            found[name]["profile"] = one.get("profile", [])
            tell(f"  {name}: {', '.join(f'{each:.2f}' for each in one['seconds'])} s, {one['rise'] / GB:.2f} GB")
    rows = [summary(name, group.rows[name], each) for name, each in found.items()]
    first = rows[0]
    for row in rows:
        if row["seconds"] and first["seconds"]:
            row["times_as_fast"] = first["seconds"] / row["seconds"]
            row["memory_share"] = row["rise"] / first["rise"]
    return {"title": group.title, "threads": threads, "rows": rows}


def summary(name: str, row: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    seconds, rise = found["seconds"], found["rise"]
    return {
        "name": name,
        "row": row,
        "seconds": statistics.median(seconds) if seconds else None,
        "all_seconds": seconds,
        "rise": max(rise) if rise else None,
        "failed": found.get("failed"),
        "profile": found.get("profile", []),
    }


def gemm_rates(threads: int, device: str) -> dict[str, dict[str, float]]:
    """Best and median GFLOP/s of matrix products: squares, and the shapes of ViT-B/16's blocks at batch 8."""
    torch.set_num_threads(threads)
    rates: dict[str, dict[str, float]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        seen = []
        for m, k, n in ((1024, 1024, 1024), (2048, 2048, 2048), (1576, 768, 768), (1576, 768, 3072), (1576, 3072, 768)):
            a, b = torch.randn(m, k).to(device, dtype), torch.randn(k, n).to(device, dtype)
            float((a @ b)[0, 0])
            for _ in range(5):
                began = time.perf_counter()
                float((a @ b)[0, 0])  # waits for a GPU
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
    image, text = floor_flops(MODEL, batch, classes)
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
        if "estimate" in group:
            lines.append(f"| {group['estimate']} | | | | |")
        lines.append("")
        for dtype, floor in group.get("floors", {}).items():
            kinds = ", ".join(f"{seconds:.2f} s at the {kind} rate" for kind, seconds in floor.items())
            lines += [f"Arithmetic alone in {dtype}: {kinds}.", ""]
        for row in group["rows"]:
            over = row.get("times_the_floor")
            if over and "ours" in row["name"]:
                lines.append(f"- {row['name']}: {over:.2f} times the arithmetic at the best rate")
            if row["profile"]:
                shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in row["profile"])
                lines.append(f"- {row['name']}: {shares}")
        lines.append("")
    return "\n".join(lines)


def measure(groups: Iterable[Group], threads: Sequence[int], device: str) -> dict[str, Any]:
    """Every group at every number of threads, with the rate of matrix products measured in between."""
    results: dict[str, Any] = {
        "machine": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "torch": torch.__version__,
        "rates": {},
        "groups": [],
    }
    for count in threads:
        samples = [gemm_rates(count, device)]
        here = []
        for group in groups:
            if count not in group.threads:
                continue
            tell(f"{group.title} · {count} thread(s)")
            here.append((group, run_group(group, count, device)))
            samples.append(gemm_rates(count, device))
        rates = {
            dtype: {
                "best": max(sample[dtype]["best"] for sample in samples),
                "median": statistics.median(sample[dtype]["median"] for sample in samples),
            }
            for dtype in samples[0]
        }
        results["rates"][count] = rates
        text = next((found["rows"][0]["rise"] for group, found in here if group.title.startswith("Text")), None)
        for group, found in here:
            if group.estimate and text:
                need = 10 * text
                fits = "fits" if need < total_memory() else "does not fit"
                found["estimate"] = f"{group.estimate}: {fits} ({need / GB:.0f} GB estimated, its text tower times ten)"
            if group.floor:
                row = next(iter(group.rows.values()))
                found["floors"] = floors(rates, row.get("batch", 32), row.get("classes", 100))
                for each in found["rows"]:
                    floor = found["floors"][each["row"].get("dtype", "float32")]
                    each["times_the_floor"] = each["seconds"] and each["seconds"] / floor["best"]
            results["groups"].append(found)
    return results


def total_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    given = parser.parse_args()
    began = time.perf_counter()
    chosen = [group for group in (FULL_RUN if given.full else HEADLINE) if given.only in group.title]
    results = measure(chosen, given.threads, given.device)
    results["minutes"] = (time.perf_counter() - began) / 60
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(markdown(results))
    for count, rates in results["rates"].items():
        said = ", ".join(f"{d} {r['best']:.0f} best, {r['median']:.0f} median" for d, r in rates.items())
        print(f"GFLOP/s of matrix products, {count} thread(s): {said}")
    print(f"{results['minutes']:.0f} minutes")


if __name__ == "__main__":
    main()
