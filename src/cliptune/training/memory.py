"""How much memory a step takes, roughly, and how many images may go through together."""

import re

from torch import Tensor
from transformers import CLIPModel

from cliptune.errors import UserError

SAVED_PER_BLOCK = 26
"""float32 numbers kept for the backward pass per token and block, in widths of the tower. Counted on ViT-B/16: 14 for
BitFit, 20 for LoRA, AST and full fine-tuning, 26 for DoRA with dropout; the largest is taken for all"""


def parse_bytes(text: str) -> int:
    """'2GB' → 2,000,000,000; units B, KB, MB, GB, KiB, MiB, GiB.

    Raises:
        UserError: not a size.
    """
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ki|mi|gi|k|m|g|)b?\s*", text.lower())
    if not found or not float(found[1]):
        raise UserError(f"--memory {text!r}: not a size", "write --memory 2GB or --memory 800MB")
    return int(float(found[1]) * units[found[2]])


def bytes_per_image(model: CLIPModel) -> int:
    """Activations of one image in the vision tower."""
    config = model.config.vision_config
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    return 4 * SAVED_PER_BLOCK * tokens * config.hidden_size * config.num_hidden_layers


def bytes_of_text(model: CLIPModel, tokens: Tensor) -> int:
    """Activations of all class prompts [c t] in the text tower."""
    config = model.config.text_config
    return 4 * SAVED_PER_BLOCK * tokens.numel() * config.hidden_size * config.num_hidden_layers


def chunk_for(memory: str, model: CLIPModel, tokens: Tensor, batch: int) -> int:
    """Images that may go through together within `memory`; 0 if the whole batch fits.

    Raises:
        UserError: not even one image fits beside the class prompts.
    """
    allowed, text, image = parse_bytes(memory), bytes_of_text(model, tokens), bytes_per_image(model)
    images = (allowed - text) // image
    if images < 1:
        raise UserError(
            f"--memory {memory}: a step needs {(text + image) / 1e6:.0f} MB, {text / 1e6:.0f} of it for the prompts",
            f"give at least --memory {-(-(text + image) // 10**6)}MB",
        )
    return 0 if images >= batch else int(images)
