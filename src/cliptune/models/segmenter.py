"""CLIPSeg: a frozen CLIP whose lower blocks a small decoder reads to mark what a prompt names.

    logits = D(h_4, h_7, h_10; t)      h_n  hidden states after n image blocks · t  projected text feature of the prompt

Lüddecke and Ecker, 2022, arXiv:2112.10003. transformers runs both towers under `no_grad`, so whatever is adapted there
never learns; here both run through our own forward (`towers`), and the decoder is transformers' module.

What the decoder does not read cannot learn: image blocks above the last one read (10 and 11 of ViT-B), the last norm
and the projection of images. By default they are not part of the tree that methods see; `inert = "keep"` leaves them
in, for counts as the papers count.

b images · l tokens of an image · c prompts · d width · s side, pixels
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel, CLIPSegConfig, CLIPSegForImageSegmentation, PreTrainedTokenizerBase

from cliptune.errors import UserError
from cliptune.models import checkpoints, sites, towers, zoo
from cliptune.models.attention import Rows
from cliptune.models.backbone import Backbone, refuse_mute
from cliptune.models.names import source_of
from cliptune.models.preprocess import Preprocess
from cliptune.registry import name_of

Inert = Literal["skip", "keep"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 352
"""pixels CLIPSeg's checkpoints and medvlsm's recipe take"""


class SegmenterTowers(towers.Towers):
    """Both towers of a CLIPSeg, up to what its decoder reads.

    Args:
        layers: the image blocks whose output the decoder reads, counted from 0, ascending.
    """

    def __init__(self, model: CLIPModel, layers: tuple[int, ...]):
        super().__init__(model)
        self.layers = layers

    def activations(self, pixels: Tensor) -> list[Tensor]:
        """Hidden states [b l d] after each of `layers`, of normalised pixels [b 3 s s] of any size."""
        tower: Any = self.model.vision_model
        if not self.ours:
            found = tower(pixel_values=pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
            return [found[layer + 1] for layer in self.layers]
        kept = []
        places = places_for(tower, pixels)
        with towers.own_precision(places) as dtype:
            x = self._embedded(pixels, places, dtype)
            attend = Rows(len(pixels), tower.config.num_attention_heads, self.how)
            flat = x.view(-1, x.shape[-1])
            for index, layer in enumerate(tower.encoder.layers[: self.layers[-1] + 1]):
                flat = self._block(flat, layer, attend, dtype)
                if index in self.layers:
                    kept.append(flat.view(x.shape))
        return kept


def places_for(tower: Any, pixels: Tensor) -> Tensor:
    """Position embeddings [l d] for images of any size: the class token's own, the grid's interpolated bicubically."""
    embeddings, side = tower.embeddings, tower.embeddings.patch_size
    own = embeddings.position_embedding.weight
    height, width = pixels.shape[2] // side, pixels.shape[3] // side
    grid = round((len(own) - 1) ** 0.5)
    if height == width == grid:
        return own
    square = own[1:].T.reshape(1, -1, grid, grid)
    spread = F.interpolate(square, size=(height, width), mode="bicubic", align_corners=False)
    return torch.cat([own[:1], spread.flatten(2)[0].T])


class Segmenter(Backbone):
    """A frozen CLIPSeg in float32.

    Attributes:
        whole: transformers' CLIPSegForImageSegmentation; nothing writes to it.
        model: a second tree over its towers' tensors, without what the decoder does not read unless it is kept.
        layers: the image blocks that the decoder reads, from 0.
    """

    def __init__(
        self,
        whole: CLIPSegForImageSegmentation,
        tokenizer: PreTrainedTokenizerBase | None,
        preprocess: Preprocess,
        name: str,
        source: str,
        inert: Inert = "skip",
    ):
        self.whole = whole.eval().requires_grad_(False)
        self.layers = tuple(whole.config.extract_layers)
        self.keeps_inert = inert == "keep"
        tree = towers.share(whole.clip)
        super().__init__(tree if self.keeps_inert else trimmed(tree, self.layers), tokenizer, preprocess, name, source)

    def through(self, model: CLIPModel) -> SegmenterTowers:
        return SegmenterTowers(model, self.layers)

    @property
    def weights(self) -> nn.Module:
        return self.whole

    def reads(self, tensor: str) -> bool:
        """Whether what the decoder is given depends on a tensor of the towers ('vision.3.q.weight', …)."""
        parts = tensor.split(".")
        if parts[0] == "vision":
            return int(parts[1]) <= self.layers[-1]
        return not tensor.startswith(("visual_projection", "vision_model.post_layernorm", "logit_scale"))

    def dead_sites(self) -> list[str]:
        """Sites of the whole model that the decoder does not read."""
        return [site for site in sites.walk(self.whole.clip) if not self.reads(site)]

    def decoder(self) -> nn.Module:
        """A second tree over the decoder's tensors."""
        return towers.share(self.whole.decoder)

    def marker(self) -> "Marker":
        """The untouched segmenter."""
        return Marker(self.through(self.model), self.decoder())

    def to(self, device: torch.device | str) -> "Segmenter":
        self.whole.to(device)
        # Both trees hold the same parameters, which `to` moves in place; buffers belong to each tree.
        self.model.to(device)
        return self


def trimmed(model: Any, layers: tuple[int, ...]) -> Any:
    """`model`, a CLIPSegModel's tree, cut down in place to what a decoder reads of it."""
    tower, read = model.vision_model, layers[-1] + 1
    tower.encoder.layers = tower.encoder.layers[:read]
    tower.post_layernorm, model.visual_projection = nn.Identity(), nn.Identity()
    for config in {id(each): each for each in (tower.config, model.config.vision_config)}.values():
        config.num_hidden_layers = read
    return model


class Marker:
    """Towers with a decoder behind them: what marks an image, adapted or not."""

    def __init__(self, through: SegmenterTowers, decoder: nn.Module):
        self.towers, self.decoder = through, decoder

    def activations(self, pixels: Tensor) -> list[Tensor]:
        """What the decoder reads [b l d] of normalised pixels [b 3 s s]; runs in the precision of autocast."""
        return self.towers.activations(pixels)

    def conditions(self, tokens: Tensor) -> Tensor:
        """What the decoder is told of prompts [c t]: projected text features [c d], not of unit length."""
        return self.towers.text_embeddings(tokens)

    def mask_logits(self, activations: list[Tensor], conditions: Tensor) -> Tensor:
        """Logits [b h w] from hidden states [b l d] each and one row of `conditions` [b d] for each image.

        h and w are the patch grid times what the transposed convolution enlarges it by: s for patches of 16. The
        decoder computes in its own precision, float32 in every run.
        """
        dtype = next(self.decoder.parameters()).dtype
        return self.decoder([each.to(dtype) for each in activations], conditions.to(dtype)).logits


def load(name: str | Path, inert: Inert = "skip") -> Segmenter:
    """A segmenter by zoo name, hub id or local folder, in float32.

    >>> model = cliptune.load_segmenter("mini")  # doctest: +SKIP

    Raises:
        UserError: unknown name, a CLIP without decoder, hub out of reach, missing weights.
    """
    name = name_of(name, "model", "")
    if name == "mini":
        return mini(inert)
    source = zoo.SEGMENTERS.get(name) or source_of(name)
    local = checkpoints.refuse_unreachable(name, source)
    values = checkpoints.read_config(name, source, local)
    if (kind := values.get("model_type", "nothing")) != "clipseg":
        raise UserError(
            f"'{name}' has no decoder that marks images: model_type is '{kind}', not 'clipseg'",
            f"give a CLIPSeg: {', '.join(zoo.SEGMENTERS)}, a folder of one, or mini",
        )
    config = CLIPSegConfig.from_dict(values)
    whole, tokenizer = checkpoints.read_checkpoint(
        name, source, local, CLIPSegForImageSegmentation, config, torch.float32
    )
    found = Segmenter(whole, tokenizer, checkpoints.read_preprocess(source, local), name, source, inert)
    refuse_mute(found)
    return found


def mini(inert: Inert = "skip") -> Segmenter:
    """The shipped mini CLIP with its shipped decoder."""
    from transformers import AutoTokenizer

    from cliptune.models.mini import segmenter

    tokenizer = AutoTokenizer.from_pretrained(zoo.MINI, local_files_only=True)
    return Segmenter(
        segmenter.mini_segmenter(), tokenizer, Preprocess.read(segmenter.SEGMENTER), "mini", str(zoo.MINI), inert
    )


def random_segmenter(name: str, seed: int = 0, inert: Inert = "skip") -> Segmenter:
    """A zoo CLIPSeg with random weights, no tokenizer and the published preprocessing: it knows nothing."""
    config = zoo.segmenter_config(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = CLIPSegForImageSegmentation(config).float()
    preprocess = Preprocess(SIDE, SIDE, "bilinear", IMAGENET_MEAN, IMAGENET_STD, squash=True)
    return Segmenter(whole, None, preprocess, f"{name} (random weights)", "", inert)


def outline(name: str, inert: Inert = "skip") -> Segmenter:
    """A zoo CLIPSeg without numbers (on torch's meta device): shapes, sites and counts only."""
    with torch.device("meta"):
        whole = CLIPSegForImageSegmentation(zoo.segmenter_config(name))
    preprocess = Preprocess(SIDE, SIDE, "bilinear", IMAGENET_MEAN, IMAGENET_STD, squash=True)
    return Segmenter(whole, None, preprocess, name, "", inert)
