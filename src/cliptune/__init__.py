"""cliptune: adapt a CLIP with a few labelled images; prove the gain; hand back an ordinary model.

    import cliptune

    model = cliptune.load("mini")
    data = cliptune.data("digits")
    run = cliptune.train(model, data, cliptune.DoRA(rank=2), shots=16, seed=1)
    run.predict("seven.png")
    run.merge("merged/")

Where images are to be marked, not classified:

    segmenter = cliptune.load_segmenter("mini")
    polyps = cliptune.masks("kvasir_polyp", root="data")
    run = cliptune.train(segmenter, polyps, cliptune.DoRA(rank=2), seed=1)
    run.mark("colon.png", "marked/")

Names are imported on first use, so that `import cliptune` and `cliptune --help` are instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; at run time a name is imported on first use
    from cliptune.api import train as train
    from cliptune.datasets import data as data
    from cliptune.datasets.base import ImageSet as ImageSet
    from cliptune.datasets.mask_sets import open_masks as masks
    from cliptune.datasets.segmentation import MaskSet as MaskSet
    from cliptune.errors import UserError as UserError
    from cliptune.methods.ast import AST as AST
    from cliptune.methods.bitfit import BitFit as BitFit
    from cliptune.methods.decoder import Decoder as Decoder
    from cliptune.methods.dora import DoRA as DoRA
    from cliptune.methods.full import Full as Full
    from cliptune.methods.linear_probe import LinearProbe as LinearProbe
    from cliptune.methods.lora import LoRA as LoRA
    from cliptune.methods.lora_xs import LoRAXS as LoRAXS
    from cliptune.methods.zero_shot import ZeroShot as ZeroShot
    from cliptune.models.backbone import load as load
    from cliptune.models.segmenter import load as load_segmenter
    from cliptune.runs import Run as Run

__version__ = "0.1.0"

_PUBLIC = {
    "load": "cliptune.models.backbone:load",
    "data": "cliptune.datasets:data",
    "load_segmenter": "cliptune.models.segmenter:load",
    "masks": "cliptune.datasets.mask_sets:open_masks",
    "train": "cliptune.api:train",
    "Run": "cliptune.runs:Run",
    "ImageSet": "cliptune.datasets.base:ImageSet",
    "MaskSet": "cliptune.datasets.segmentation:MaskSet",
    "UserError": "cliptune.errors:UserError",
    "ZeroShot": "cliptune.methods.zero_shot:ZeroShot",
    "LinearProbe": "cliptune.methods.linear_probe:LinearProbe",
    "BitFit": "cliptune.methods.bitfit:BitFit",
    "LoRA": "cliptune.methods.lora:LoRA",
    "LoRAXS": "cliptune.methods.lora_xs:LoRAXS",
    "DoRA": "cliptune.methods.dora:DoRA",
    "AST": "cliptune.methods.ast:AST",
    "Decoder": "cliptune.methods.decoder:Decoder",
    "Full": "cliptune.methods.full:Full",
}
__all__ = [
    "AST",
    "BitFit",
    "Decoder",
    "DoRA",
    "Full",
    "ImageSet",
    "LinearProbe",
    "LoRA",
    "LoRAXS",
    "MaskSet",
    "Run",
    "UserError",
    "ZeroShot",
    "data",
    "load",
    "load_segmenter",
    "masks",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cliptune' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
