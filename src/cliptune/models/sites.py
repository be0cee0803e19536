"""Names of adaptable places: `tower.block.part`, found by our own walk over the modules.

A site is one linear layer or layer norm of one transformer block: 'vision.3.q', 'text.11.fc2'. Matching module
names by suffix would also catch a pooling head's `out_proj` (SigLIP) or a decoder's `q_proj` (CLIPSeg); walking from
the towers' own block lists cannot.
"""

import re
from collections.abc import Iterable, Sequence

from torch import nn

from cliptune.errors import UserError
from cliptune.registry import nearest

PARTS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "ln1": "layer_norm1",
    "ln2": "layer_norm2",
}
"""part of a block → its module in transformers' CLIP block"""

LINEAR_PARTS = ("q", "k", "v", "o", "fc1", "fc2")
TOWERS = ("vision", "text")


def blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The transformer blocks by name, 'vision.0' … 'text.11', vision first, in order."""
    return {
        f"{tower}.{index}": block
        for tower in TOWERS
        for index, block in model.get_submodule(f"{tower}_model.encoder.layers").named_children()
    }


def walk(model: nn.Module) -> dict[str, nn.Module]:
    """Every site of `model` with its module, in order of tower, block and part."""
    return {
        f"{name}.{part}": block.get_submodule(path)
        for name, block in blocks(model).items()
        for part, path in PARTS.items()
    }


def block_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter inside the blocks as 'site.weight' or 'site.bias': 16 per block for CLIP."""
    return {
        f"{site}.{kind}": tensor for site, module in walk(model).items() for kind, tensor in module.named_parameters()
    }


def module_path(site: str) -> str:
    """The dotted module path of a site: 'vision.3.q' → 'vision_model.encoder.layers.3.self_attn.q_proj'."""
    tower, block, part = site.split(".")
    return f"{tower}_model.encoder.layers.{block}.{PARTS[part]}"


def is_inert(tensor: str) -> bool:
    """Whether the loss does not depend on this tensor at all.

    Softmax ignores a constant added to all keys, so a key bias has a gradient of exactly zero (rounding noise aside).
    """
    return tensor.endswith(".k.bias")


def match(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that some pattern matches, in the order of `names`.

    A pattern is a site with `*` (anything) and `[a-b]` (a range of whole numbers): 'vision.*.q', '*.v',
    'vision.[8-11].q'.

    Raises:
        UserError: a pattern matches nothing.
    """
    names = list(names)
    if not patterns:
        raise UserError("where: no patterns, so nothing would be trained", "try 'vision.*.q' or '*.v'")
    chosen: set[str] = set()
    for pattern in patterns:
        expression = _expression(pattern)
        hits = [name for name in names if expression.fullmatch(name)]
        if not hits:
            close = nearest(pattern, names)
            example = f"'{close[0]}', " if close else ""
            raise UserError(
                f"where: '{pattern}' matches none of the {len(names)} sites",
                f"sites look like {example}'{names[0]}'; try 'vision.*.q' or '*.v'",
            )
        chosen.update(hits)
    return [name for name in names if name in chosen]


def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*|\[\d+-\d+\])", pattern)
    return re.compile("".join(_piece(piece) for piece in pieces))


def _piece(piece: str) -> str:
    if piece == "*":
        return ".*"
    if interval := re.fullmatch(r"\[(\d+)-(\d+)\]", piece):
        low, high = int(interval[1]), int(interval[2])
        return "(?:" + "|".join(str(number) for number in range(low, high + 1)) + ")" if low <= high else "(?!)"
    return re.escape(piece)
