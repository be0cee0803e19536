"""cliptune: adapt a CLIP with a few labelled images; prove the gain; hand back an ordinary model.

    import cliptune

    model = cliptune.load("mini")
    data = cliptune.data("digits")
    run = cliptune.train(model, data, cliptune.DoRA(rank=2), shots=16, seed=1)
    run.predict(["seven.png"])
    run.merge("merged/")

Where images are to be marked, not classified:

    segmenter = cliptune.load_segmenter("mini")
    polyps = cliptune.masks("kvasir_polyp", root="data")
    run = cliptune.train(segmenter, polyps, cliptune.DoRA(rank=2), seed=1)
    run.mark(["colon.png"], "marked/")

Names are imported on first use, so that `import cliptune` and `cliptune --help` are instant.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "load": "cliptune.models.backbone:load",
    "data": "cliptune.datasets:data",
    "load_segmenter": "cliptune.models.segmenter:load",
    "masks": "cliptune.datasets.mask_sets:open_masks",
    "train": "cliptune.api:train",
    "Run": "cliptune.runs:Run",
    "UserError": "cliptune.errors:UserError",
    "ZeroShot": "cliptune.methods.zero_shot:ZeroShot",
    "LinearProbe": "cliptune.methods.linear_probe:LinearProbe",
    "BitFit": "cliptune.methods.bitfit:BitFit",
    "LoRA": "cliptune.methods.lora:LoRA",
    "LoRAXS": "cliptune.methods.lora_xs:LoRAXS",
    "DoRA": "cliptune.methods.dora:DoRA",
    "AST": "cliptune.methods.ast:AST",
    "Full": "cliptune.methods.full:Full",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cliptune' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
