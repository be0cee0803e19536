"""One training step of ours beside peft's: same factors, same images and prompts, in turn, ratios of medians.

    python benchmarks/step.py [--model mini] [--batch 32] [--runs 10] [--out step.json]

Both sides run in this process with its threads. peft is used as its documentation says, prompts cut alike on both
sides. Prints the median seconds of a forward and backward pass and the ratio pair by pair; says nothing of memory.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F

from cliptune.methods.base import Adapter
from cliptune.models import towers, zoo
from cliptune.models.backbone import Backbone, load, random_backbone
from cliptune.recipe import find_method


def ours(adapter: Adapter, images: torch.Tensor, tokens: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    def step() -> None:
        F.cross_entropy(
            adapter.logits(adapter.image_features(images), adapter.text_features(tokens)), labels
        ).backward()

    return step


def pefts(backbone: Backbone, name: str, images: torch.Tensor, tokens: torch.Tensor, labels: torch.Tensor) -> Callable:
    letters = "q|k|v|out" if name == "dora" else "q|k|v"
    config = LoraConfig(
        r=2,
        lora_alpha=1,
        use_rslora=True,
        use_dora=name == "dora",
        lora_dropout=0.25,
        target_modules=rf".*\.encoder\.layers\.\d+\.self_attn\.({letters})_proj",
    )
    model = get_peft_model(towers.own_copy(backbone.model), config).train()

    def step() -> None:
        F.cross_entropy(model(pixel_values=images, input_ids=tokens).logits_per_image, labels).backward()

    return step


def seconds(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="mini, or a zoo name (random weights)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    backbone = load("mini") if given.model == "mini" else random_backbone(given.model)
    side, generator = backbone.preprocess.crop, torch.Generator().manual_seed(0)
    images = torch.randn(given.batch, 3, side, side, generator=generator)
    labels = torch.randint(given.classes, (given.batch,), generator=generator)
    words = zoo.outline(given.model).config.text_config.vocab_size
    tokens = torch.randint(4, words - 2, (given.classes, 9), generator=generator)
    tokens[:, -1] = backbone.end_token
    rows = []
    for name in ("lora", "dora"):
        adapter = find_method(name)().attach(backbone).train()
        steps = ours(adapter, images, tokens, labels), pefts(backbone, name, images, tokens, labels)
        for step in steps:
            step()
        pairs = [(seconds(steps[0]), seconds(steps[1])) for _ in range(given.runs)]
        mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        rows.append({"method": name, "ours_seconds": mine, "peft_seconds": theirs, "ratio": ratio, "runs": given.runs})
        print(
            f"{name}: ours {mine:.3f} s, peft {theirs:.3f} s, {ratio:.2f} times as fast (median of {given.runs} pairs)"
        )
    found = {"model": given.model, "batch": given.batch, "threads": torch.get_num_threads(), "rows": rows}
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
