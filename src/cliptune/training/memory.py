"""How much memory a step takes, roughly, and how many images may go through together."""

import re
from typing import TYPE_CHECKING

from cliptune.errors import UserError
from cliptune.models.shortcuts import RAGGED, Layout

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPModel, CLIPSegConfig

SAVED_PER_BLOCK = {"vision": 12, "text": 17}
"""float32 numbers kept for the backward pass per token and block, in widths of the tower. Counted on ViT-B/16 for every
method (docs/performance.md): images 10 to 12, or 8 to 10 in bfloat16; prompts 12 to 17. The largest is taken for all"""
SAVED_BY_PLAIN = {"vision": 30, "text": 30}
"""the same for linears multiplied as their equation says (`products = "plain"`, DoRA's official dropout or axis `in`)
and for transformers' forward: 14 to 30"""
PASSING = 12
"""numbers per token and width that one block needs beside, while its backward pass runs"""


def parse_bytes(text: str) -> int:
    """'2GB' → 2,000,000,000; units B, KB, MB, GB, TB, KiB, MiB, GiB, TiB.

    Raises:
        UserError: not a size.
    """
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ki|mi|gi|ti|k|m|g|t|)b?\s*", text.lower())
    if not found or not float(found[1]):
        raise UserError(f"--memory {text!r}: not a size", "write --memory 2GB or --memory 800MB")
    return int(float(found[1]) * units[found[2]])


def bytes_of(model: "CLIPModel", tower: str, tokens: int, plain: bool = False) -> int:
    """Activations of so many tokens in a tower; `plain` where the fast products do not apply."""
    config = model.config.vision_config if tower == "vision" else model.config.text_config
    saved = (SAVED_BY_PLAIN if plain else SAVED_PER_BLOCK)[tower]
    return 4 * tokens * config.hidden_size * (saved * config.num_hidden_layers + PASSING)


def bytes_per_image(model: "CLIPModel", plain: bool = False) -> int:
    """Activations of one image in the vision tower."""
    return bytes_of(model, "vision", image_tokens(model), plain)


def forward_bytes(model: "CLIPModel") -> int:
    """Activations of one image in the vision tower while nothing is kept for a backward pass: one block's."""
    return 4 * image_tokens(model) * model.config.vision_config.hidden_size * PASSING


def image_tokens(model: "CLIPModel") -> int:
    """Patches of an image and the class token."""
    config = model.config.vision_config
    return (config.image_size // config.patch_size) ** 2 + 1


def standing_bytes(trainable: int, adapted: int) -> int:
    """What a step needs whatever its parts: gradients, moments and copies of the trained numbers, formed weights.

    Args:
        trainable: numbers trained. adapted: numbers of the weights that adapted linears stand for.
    """
    return 16 * trainable + 4 * adapted


def chunks_for(
    memory: str,
    model: "CLIPModel",
    tokens: "Tensor",
    batch: int,
    standing: int = 0,
    layout: Layout = "prefix",
    plain: bool = False,
) -> tuple[int, int]:
    """Images and class prompts [c t] that may go through together within `memory`; 0 stands for all of them.

    `standing` bytes are taken off first; `layout` and `plain` say how prompts are laid out and whether linears are
    multiplied the plain way. Prompts go in parts if all of them would take more than half of the rest: one
    more text forward, but then their memory and that of the images is not needed at the same time.

    Raises:
        UserError: not even one image or one prompt fits.
    """
    from cliptune.models.packing import pack

    text = model.config.text_config
    width = text.max_position_embeddings if layout == "whole" else 0
    # Counted without a shared start, as while dropout is on.
    packed = len(pack(tokens, text.eos_token_id, ragged=layout in RAGGED, share=False, width=width).ids)
    image, whole = bytes_per_image(model, plain), bytes_of(model, "text", packed, plain)
    allowed = parse_bytes(memory) - standing
    prompt = -(-whole // len(tokens))
    if allowed < (least := max(image, prompt)):
        raise UserError(
            f"--memory {memory}: a step needs {(least + standing) / 1e6:.0f} MB even in parts of one",
            f"give at least --memory {-(-(least + standing) // 10**6)}MB",
        )
    in_parts = whole > allowed / 2 or whole + image > allowed
    images = (allowed if in_parts else allowed - whole) // image
    prompts = min(-(-len(tokens) // 2), allowed // prompt) if in_parts else 0
    return 0 if images >= batch else int(images), int(prompts)


def mask_bytes(config: "CLIPSegConfig", side: int, towers: bool = True) -> int:
    """Activations of one image of `side` pixels in a CLIPSeg; without those of its `towers` where they are frozen."""
    vision = config.vision_config
    tokens = (side // vision.patch_size) ** 2 + 1
    read = max(config.extract_layers) + 1
    kept = vision.hidden_size * (SAVED_PER_BLOCK["vision"] * read + PASSING) if towers else 0
    # Of every layer of the decoder: twelve widths, and the feed-forward before and after its activation.
    decoder = len(config.extract_layers) * (12 * config.reduce_dim + 2 * config.decoder_intermediate_size)
    return 4 * tokens * (kept + decoder) + 4 * config.reduce_dim * side * side


def mask_chunk(memory: str, config: "CLIPSegConfig", side: int, batch: int, standing: int) -> int:
    """Images of `side` pixels that may go through a CLIPSeg together within `memory`; 0 stands for the whole batch.

    Raises:
        UserError: not even one fits.
    """
    image = mask_bytes(config, side)
    allowed = parse_bytes(memory) - standing
    if allowed < image:
        least = -(-(image + standing) // 10**6)
        told = f"--memory {memory}: a step needs {least} MB for one image"
        raise UserError(told, f"give at least --memory {least}MB")
    return 0 if allowed // image >= batch else allowed // image
