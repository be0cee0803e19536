"""From pixels and token ids to features: our own forward over the modules of a transformers CLIPModel.

Exact to rounding, and much less work than transformers' own (docs/performance.md): class prompts are packed without
padding and their common start is computed once, the last block works on the pooled token alone, adapted linears are
multiplied with once. The modules and their weights stay transformers'; only the order of the sums is ours.

Under autocast the image tower computes in the lower precision with the residual stream in float32, and the text tower
stays in float32: more accurate than autocast inside the modules, and faster.
Anything this forward does not understand (other block types, hooks on modules) goes through transformers' forward.

b images · l tokens of an image · c prompts · t packed tokens · d width
"""

import contextlib
import copy
import warnings
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel
from transformers.models.clip.modeling_clip import CLIPMLP, CLIPAttention, CLIPEncoderLayer
from transformers.models.clipseg.modeling_clipseg import CLIPSegAttention, CLIPSegEncoderLayer, CLIPSegMLP

from cliptune.models.attention import Prompts, Rows
from cliptune.models.feedforward import ACTIVATIONS, feed_forward
from cliptune.models.masks import Dropout
from cliptune.models.packing import Packing, pack, widen
from cliptune.models.products import cast, project, without_autocast
from cliptune.models.shortcuts import RAGGED, Shortcuts, present

PACKINGS = 256
"""most plans that are kept: parts of the class prompts, other templates"""
BLOCKS = (CLIPEncoderLayer, CLIPSegEncoderLayer)
ATTENTIONS, MLPS = (CLIPAttention, CLIPSegAttention), (CLIPMLP, CLIPSegMLP)
"""transformers' modules that compute what our forward computes: CLIPSeg's are CLIP's under other names"""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Towers:
    """Both towers of a model.

    Attributes:
        model: modules may be replaced and weights trained; they are looked up at every call.
        own: the shortcuts to take; None takes what `shortcuts.using` says.
    """

    def __init__(self, model: CLIPModel, own: Shortcuts | None = None):
        self.model = model
        self.own = own
        self._packed: dict[tuple[int, int, bool, bool], tuple[Tensor, Packing]] = {}
        self._warned = False

    @property
    def how(self) -> Shortcuts:
        """The shortcuts that apply now."""
        return self.own or present()

    def image_features(self, pixels: Tensor) -> Tensor:
        """Unit-length image features: [b 3 h w] normalised pixels → float32 [b d]."""
        return F.normalize(self.image_embeddings(pixels), dim=-1)

    def text_features(self, tokens: Tensor) -> Tensor:
        """Unit-length text features: token ids [c t] → float32 [c d].

        No padding mask is needed: the tower is causal and pooled at the end token, so nothing after it has any
        influence.
        """
        return F.normalize(self.text_embeddings(tokens), dim=-1)

    def image_embeddings(self, pixels: Tensor) -> Tensor:
        """Projected image features before normalisation: [b 3 h w] normalised pixels → float32 [b d]."""
        if not self.ours:
            return self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output).float()
        return self.image_rest(self.image_stem(pixels, 0), 0)

    def text_embeddings(self, tokens: Tensor) -> Tensor:
        """Projected text features before normalisation: token ids [c t] → float32 [c d]."""
        if not self.ours:
            ids = widen(tokens, self.model.text_model.eos_token_id, self._width())
            return self.model.text_projection(self.model.text_model(input_ids=ids).pooler_output).float()
        return self.text_rest(self.text_stem(tokens, 0), tokens, 0)

    def image_stem(self, pixels: Tensor, blocks: int) -> Tensor:
        """Hidden states [b l d] after the first `blocks` blocks, of fewer than all.

        Raises:
            ValueError: the images have another size than the model takes.
        """
        tower: Any = self.model.vision_model
        places, side = tower.embeddings.position_embedding.weight, tower.config.image_size
        if pixels.shape[2:] != (side, side):
            raise ValueError(f"images of {tuple(pixels.shape[2:])} pixels, the model takes {(side, side)}")
        with own_precision(places) as dtype:
            x = self._embedded(pixels, places, dtype)
            attend = Rows(len(pixels), _heads(tower), self.how)
            flat = x.view(-1, x.shape[-1])
            for layer in tower.encoder.layers[:blocks]:
                flat = self._block(flat, layer, attend, dtype)
        return flat.view(x.shape)

    def _embedded(self, pixels: Tensor, places: Tensor, dtype: torch.dtype) -> Tensor:
        """Patches with the class token before them, at `places` [l d]: [b l d], what the first block is given."""
        tower: Any = self.model.vision_model
        patches = _patches(pixels, tower.embeddings.patch_embedding, dtype)
        first = tower.embeddings.class_embedding.expand(len(pixels), 1, -1)
        return tower.pre_layrnorm(torch.cat([first, patches.to(first.dtype)], dim=1) + places)

    def image_rest(self, hidden: Tensor, blocks: int) -> Tensor:
        """From hidden states [b l d] after the first `blocks` blocks to embeddings [b d]."""
        tower: Any = self.model.vision_model
        rows, length, width = hidden.shape
        with own_precision(hidden) as dtype:
            attend = Rows(rows, _heads(tower), self.how)
            pooled = torch.arange(rows, device=hidden.device) * length
            x = self._blocks(hidden.reshape(-1, width), tower, blocks, attend, pooled, dtype)
            return self.model.visual_projection(tower.post_layernorm(x)).float()

    def text_stem(self, tokens: Tensor, blocks: int) -> Tensor:
        """Hidden states [t d] of the packed prompts after the first `blocks` blocks, of fewer than all."""
        tower: Any = self.model.text_model
        packing = self.packing(tokens)
        embeddings = tower.embeddings
        with own_precision(embeddings.token_embedding.weight):
            x = embeddings.token_embedding(packing.ids) + embeddings.position_embedding(packing.positions)
            attend = Prompts(packing, _heads(tower))
            for layer in tower.encoder.layers[:blocks]:
                x = self._block(x, layer, attend, x.dtype)
        return x

    def text_rest(self, hidden: Tensor, tokens: Tensor, blocks: int) -> Tensor:
        """From packed hidden states [t d] of prompts [c t] after the first `blocks` blocks to embeddings [c d]."""
        tower: Any = self.model.text_model
        packing = self.packing(tokens)
        with own_precision(hidden):
            attend = Prompts(packing, _heads(tower))
            x = self._blocks(hidden, tower, blocks, attend, packing.ends, hidden.dtype)
            return self.model.text_projection(tower.final_layer_norm(x)).float()

    def packing(self, tokens: Tensor) -> Packing:
        """How prompts [c t] are packed; answers are kept as long as the same tokens come again."""
        how = self.how
        noisy = how.noise == "own" and any(
            module.chance for module in self.model.text_model.modules() if isinstance(module, Dropout)
        )
        ragged, share = how.prompts in RAGGED, how.prompts == "prefix" and not noisy
        key = (id(tokens), self._width(), ragged, share)
        if key in self._packed:
            return self._packed[key][1]
        end = self.model.text_model.eos_token_id
        packing = pack(tokens, end, ragged=ragged, share=share, width=self._width())
        if torch.is_inference_mode_enabled():  # its tensors could not be used in training
            return packing
        if len(self._packed) >= PACKINGS:
            self._packed.clear()
        self._packed[key] = (tokens, packing)  # with the tokens, whose id then stays theirs
        return packing

    def _width(self) -> int:
        """Least length of a prompt's row: the whole context, if it is asked for."""
        return self.model.config.text_config.max_position_embeddings if self.how.prompts == "whole" else 0

    def _blocks(
        self, x: Tensor, tower: Any, done: int, attend: Rows | Prompts, pooled: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """The blocks from `done` on; of the last one only the rows `pooled` come out."""
        layers = list(tower.encoder.layers)
        for layer in layers[done:-1]:
            x = self._block(x, layer, attend, dtype)
        if self.how.pooled:
            return self._block(x, layers[-1], attend, dtype, pooled)
        return self._block(x, layers[-1], attend, dtype).index_select(0, pooled)

    def _block(
        self, x: Tensor, layer: Any, attend: Rows | Prompts, dtype: torch.dtype, rows: Tensor | None = None
    ) -> Tensor:
        """One transformer block on flat tokens, x [t d] in the residual's precision; `rows` alone leave it."""
        attention, how = layer.self_attn, self.how
        h = layer.layer_norm1(x).to(dtype)
        if rows is None:
            q, k, v = project(h, [attention.q_proj, attention.k_proj, attention.v_proj], how)
        else:
            k, v = project(h, [attention.k_proj, attention.v_proj], how)
            (q,) = project(h.index_select(0, rows), [attention.q_proj], how)
            x = x.index_select(0, rows)
        (mixed,) = project(attend(q, k, v), [attention.out_proj], how)
        x = x + mixed
        activation = ACTIVATIONS[attention.config.hidden_act]
        return x + feed_forward(layer.layer_norm2(x).to(dtype), layer.mlp, activation, how)

    @property
    def ours(self) -> bool:
        """Whether our forward runs; says once if it cannot."""
        if self.how.forward == "transformers":
            return False
        reason = unknown_part(self.model)
        if reason and not self._warned:
            self._warned = True
            warnings.warn(f"{reason}: transformers' forward is used, which is slower", stacklevel=3)
        return not reason


def unknown_part(model: Any) -> str:
    """What our forward does not understand in a model; '' if it does."""
    if torch.nn.modules.module._has_any_global_hook():
        return "there is a hook on all modules"
    for name, module in model.named_modules():
        if any(getattr(module, kind) for kind in HOOKS):
            return f"{name} has a hook"
    for tower in (model.vision_model, model.text_model):
        config = tower.config
        if config.hidden_act not in ACTIVATIONS:
            return f"the activation '{config.hidden_act}' is not known to the fast forward"
        if config.attention_dropout and tower.training:
            return "the model drops attention weights while training"
        for layer in tower.encoder.layers:
            if type(layer) not in BLOCKS:
                return f"{type(layer).__name__} is not a block the fast forward knows"
            for part, kinds in ((layer.self_attn, ATTENTIONS), (layer.mlp, MLPS)):
                if type(part) not in kinds:
                    return f"{type(part).__name__} is not a part of a block the fast forward knows"
    return ""


@contextlib.contextmanager
def own_precision(weight: Tensor) -> Iterator[torch.dtype]:
    """Autocast's lower precision, or the weights' own; autocast itself is off inside."""
    kind = weight.device.type
    lowered = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if lowered else weight.dtype
    with without_autocast(weight.device):
        yield dtype


def _patches(pixels: Tensor, embedding: nn.Conv2d, dtype: torch.dtype) -> Tensor:
    """[b 3 h w] → [b g·g d]: the strided convolution as one product."""
    side = embedding.kernel_size[0]
    rows, channels, height, width = pixels.shape
    high, wide = height // side, width // side
    cut = pixels[:, :, : high * side, : wide * side].reshape(rows, channels, high, side, wide, side)
    cut = cut.permute(0, 2, 4, 1, 3, 5)
    flat = cut.reshape(rows, -1, channels * side * side).to(dtype)
    return F.linear(flat, cast(embedding.weight, dtype).flatten(1))


def _heads(tower: Any) -> int:
    return tower.config.num_attention_heads


def share(model: CLIPModel) -> CLIPModel:
    """A second tree of modules over the same tensors: replacing a module or parameter there leaves `model` alone."""
    memo = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, memo)


def own_copy(model: CLIPModel) -> CLIPModel:
    """A full copy with its own tensors."""
    with torch.no_grad():
        return copy.deepcopy(model)
