"""What the benchmark runs: groups of rows, the headline of `make bench` and what else fits for `make bench-full`."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Group:
    """Rows that are run in turn; the first is what the others are compared with."""

    title: str
    rows: dict[str, dict[str, Any]]
    rounds: int = 2
    """fresh processes per row; the median is over all their steps"""
    threads: tuple[int, ...] = (1, 2)
    floor: bool = False
    """whether the smallest exact algorithm's arithmetic is told beside"""
    estimate: str = ""
    """a row that is told as an estimate: ten times the first row of the text group"""


F32, BF16 = {"dtype": "float32", "steps": 1}, {"dtype": "bfloat16", "steps": 1}
PEFT: dict[str, Any] = {"side": "peft", "steps": 1}
FULL: dict[str, Any] = {"method": "full", "steps": 1}
AST: dict[str, Any] = {"method": "ast", "steps": 1}
SMALL: dict[str, Any] = {"batch": 8, "classes": 10, "steps": 2, "warm": 1}
EVALUATE: dict[str, Any] = {"task": "evaluate", "steps": 2}
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
            "ours bf16, parts of 8 images": {**BF16, "chunk": 8},
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
            "ours bf16, the prompts' start shares its noise": {
                **BF16,
                "dropout": 0.25,
                "shortcuts": {"noise": "shared"},
            },
        },
    ),
    Group(
        "CLIP-DoRA step, batch 8, 10 classes, dropout 0",
        {"peft": {**PEFT, **SMALL}, "ours float32": {**F32, **SMALL}, "ours bf16": {**BF16, **SMALL}},
        floor=True,
    ),
    Group(
        "Text tower alone, forward and backward, 100 classes",
        {"peft": {**PEFT, "task": "text", "warm": 1}, "ours": {"task": "text", "steps": 5, "warm": 1}},
    ),
    Group(
        "Evaluation: image features, batch 32",
        {
            "peft float32, unmerged": {**PEFT, **EVALUATE},
            "peft bf16 autocast, unmerged": {"side": "careful", **EVALUATE},
            "ours float32, merged": {**F32, **EVALUATE},
            "ours bf16, merged": {**BF16, **EVALUATE},
        },
        rounds=1,
    ),
    Group(
        "Methods and roads, batch 32, 100 classes",
        {
            **{
                f"{method} {told}": {**precision, "method": method}
                for told, precision in (("float32", F32), ("bf16", BF16))
                for method in ("dora", "lora", "lora_xs")
            },
            "dora float32, our slow road (transformers' forward, autograd)": {**F32, "side": "slow"},
            "dora float32, dropout 0.25, official form": {**F32, "dropout": 0.25, "form": "official"},
        },
        rounds=1,
        threads=(1,),
    ),
    Group(
        "Full fine-tuning and AST (cross-entropy alone), batch 32, 100 classes, float32",
        {
            "transformers, full fine-tuning": {**FULL, "side": "transformers"},
            "ours, full fine-tuning": FULL,
            "AST stage 1 (all block tensors)": AST,
            "AST stage 2: six weights": {
                **AST,
                "where": "q.weight k.weight v.weight o.weight fc1.weight fc2.weight",
            },
            "AST stage 2: q, v, fc1 weights, 3 vectors": {
                **AST,
                "where": "q.weight v.weight fc1.weight q.bias ln1.weight ln2.weight",
            },
            "AST stage 2: six vectors": {
                **AST,
                "where": "q.bias v.bias o.bias fc1.bias ln1.weight ln2.weight",
            },
        },
        rounds=1,
        threads=(1,),
    ),
    Group(
        "CLIP-DoRA step, batch 32, 1,000 classes, in parts of 100 prompts and 4 images",
        {"ours float32": {**MANY}, "ours bf16": {**MANY, "dtype": "bfloat16"}},
        rounds=1,
        threads=(2,),
        estimate="peft",
    ),
]

PROFILE: dict[str, Any] = {"batch": 8, "steps": 1, "warm": 1, "profile": True}
LARGE: dict[str, Any] = {"model": "vit-l-14", "batch": 8, "classes": 10, "steps": 1}
MINI: dict[str, Any] = {"model": "mini", "batch": 32, "classes": 10, "steps": 20, "warm": 3, "dropout": 0.25}

SWITCHES: dict[str, dict[str, Any]] = {
    "all shortcuts": {},
    "products = plain": {"products": "plain"},
    "prompts = packed": {"prompts": "packed"},
    "prompts = padded": {"prompts": "padded"},
    "prompts = whole": {"prompts": "whole"},
    "pooled = false": {"pooled": False},
    "attention = products": {"attention": "products"},
    "forward = transformers": {"forward": "transformers"},
}

FULL_RUN = [
    Group(
        "Where the time goes, CLIP-DoRA step, batch 8, 100 classes",
        {
            f"ours {dtype}, dropout {dropout}": {**PROFILE, "dtype": dtype, "dropout": dropout}
            for dtype in ("float32", "bfloat16")
            for dropout in (0.0, 0.25)
        },
        rounds=1,
        threads=(1,),
    ),
    Group(
        "One shortcut off at a time, CLIP-DoRA step, batch 8, 100 classes, float32, dropout 0",
        {name: {**F32, "batch": 8, "warm": 1, "shortcuts": off} for name, off in SWITCHES.items()},
        rounds=1,
        threads=(1,),
    ),
    Group(
        "One shortcut off at a time, the same in bf16",
        {
            name: {**BF16, "batch": 8, "warm": 1, "shortcuts": off}
            for name, off in {**SWITCHES, "attention = sdpa": {"attention": "sdpa"}}.items()
            if name != "attention = products"
        },
        rounds=1,
        threads=(1,),
    ),
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
            f"ours {dtype}, {update}": {**SMALL, "dtype": dtype, "shortcuts": {"update": update}}
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
