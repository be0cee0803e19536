"""From pixels and token ids to unit-length features, through the modules of a transformers CLIPModel.

The projection is applied to the tower's pooled output here, not by `get_image_features`, whose return type
differs between transformers versions.
"""

import copy
from itertools import chain

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel


def image_embeddings(model: CLIPModel, pixels: Tensor) -> Tensor:
    """Projected image features before normalisation: [b 3 h w] normalised pixels → float32 [b d]."""
    return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output).float()


def image_features(model: CLIPModel, pixels: Tensor) -> Tensor:
    """Unit-length image features: [b 3 h w] normalised pixels → float32 [b d]."""
    return normalize(image_embeddings(model, pixels), dim=-1)


def text_features(model: CLIPModel, tokens: Tensor) -> Tensor:
    """Unit-length text features: token ids [c t] → float32 [c d].

    No padding mask is needed: the tower is causal and pooled at the end token, so nothing after it has any influence.
    """
    return normalize(model.text_projection(model.text_model(input_ids=tokens).pooler_output).float(), dim=-1)


def trim(tokens: Tensor, end: int) -> Tensor:
    """Cut the columns after the last end token of the longest prompt: [c T] → [c t]. Exact for causal towers.

    The end token is `end`, or where the checkpoint says the legacy value 2, each row's largest id, as transformers
    pools it.
    """
    last = tokens.argmax(dim=1) if end == 2 else (tokens == end).int().argmax(dim=1)
    return tokens[:, : int(last.max()) + 1]


def share(model: CLIPModel) -> CLIPModel:
    """A second tree of modules over the same tensors: replacing a module or parameter there leaves `model` alone."""
    memo = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, memo)


def own_copy(model: CLIPModel) -> CLIPModel:
    """A full copy with its own tensors."""
    with torch.no_grad():
        return copy.deepcopy(model)
