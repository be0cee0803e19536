"""The drawn world: 32×32 pictures of digits, letters and shapes with captions, made from a seed.

    scene = random_scene(rng, "shape")   what is to be seen: colours, textures, style, places        scenes.py
    images = render([scene], noise)      its pixels, (B, 3, 32, 32) in 0..1                          paint.py
    caption = describe(scene, rng)       a sentence about it                                         captions.py

`rng` is a random.Random (choices), `noise` a torch.Generator (pixels): equal seeds give equal pictures and sentences.
Nothing is kept on disk. torch is imported with the first picture, not with the names of what can be drawn. Fonts come
with matplotlib; three of them are held out of pretraining, and so is one colour in eleven of every shape
(`HELD_OUT_PAIRS`).
"""

import importlib
from typing import TYPE_CHECKING, Any

from .captions import describe
from .glyphs import DIGITS, HELD_OUT_FONTS, LETTERS, SHAPES, TRAINING_FONTS
from .scenes import COLOURS, HELD_OUT_PAIRS, Kind, Scene, random_scene, scene_of

if TYPE_CHECKING:
    from .paint import SIDE, render

__all__ = [
    "COLOURS",
    "DIGITS",
    "HELD_OUT_FONTS",
    "HELD_OUT_PAIRS",
    "LETTERS",
    "SHAPES",
    "SIDE",
    "TRAINING_FONTS",
    "Kind",
    "Scene",
    "describe",
    "random_scene",
    "render",
    "scene_of",
]


def __getattr__(name: str) -> Any:
    if name in ("SIDE", "render"):
        return getattr(importlib.import_module(f"{__name__}.paint"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
