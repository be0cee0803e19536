"""Short names for backbones, and the architecture behind each, so that sizes can be told without weights.

Names and hub ids need neither torch nor transformers, so those are imported by what builds a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPModel, CLIPSegConfig

MINI = Path(__file__).parent / "mini"


@dataclass(frozen=True)
class Architecture:
    """A CLIP's shape. Widths in numbers, image and patch in pixels."""

    source: str
    """hub id of the weights"""
    image: int
    patch: int
    vision: tuple[int, int, int]
    """width, blocks, heads"""
    text: tuple[int, int, int]
    """width, blocks, heads"""
    joint: int
    """width of the shared feature space"""
    activation: str = "quick_gelu"
    vocabulary: int = 49408
    context: int = 77

    def config(self) -> "CLIPConfig":
        """transformers' configuration; `projection_dim` in both towers too, where some classes read it."""
        from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

        vision_width, vision_blocks, vision_heads = self.vision
        text_width, text_blocks, text_heads = self.text
        vision = CLIPVisionConfig(
            hidden_size=vision_width,
            intermediate_size=4 * vision_width,
            num_hidden_layers=vision_blocks,
            num_attention_heads=vision_heads,
            image_size=self.image,
            patch_size=self.patch,
            hidden_act=self.activation,
            projection_dim=self.joint,
        )
        text = CLIPTextConfig(
            vocab_size=self.vocabulary,
            hidden_size=text_width,
            intermediate_size=4 * text_width,
            num_hidden_layers=text_blocks,
            num_attention_heads=text_heads,
            max_position_embeddings=self.context,
            hidden_act=self.activation,
            projection_dim=self.joint,
            bos_token_id=49406,
            eos_token_id=49407,
            pad_token_id=49407,
        )
        return CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=self.joint)


BASE: dict[str, Any] = {"vision": (768, 12, 12), "text": (512, 12, 8), "joint": 512}
LARGE: dict[str, Any] = {"vision": (1024, 24, 16), "text": (768, 12, 12), "joint": 768}

ZOO: dict[str, Architecture] = {
    "vit-b-32": Architecture("openai/clip-vit-base-patch32", 224, 32, **BASE),
    "vit-b-16": Architecture("openai/clip-vit-base-patch16", 224, 16, **BASE),
    "vit-l-14": Architecture("openai/clip-vit-large-patch14", 224, 14, **LARGE),
    "vit-l-14-336": Architecture("openai/clip-vit-large-patch14-336", 336, 14, **LARGE),
    "vit-b-32-laion2b": Architecture("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 224, 32, activation="gelu", **BASE),
    "vit-b-16-laion2b": Architecture("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", 224, 16, activation="gelu", **BASE),
}
"""named backbones whose weights come from the hub; `mini` ships with the package"""

SEGMENTERS: dict[str, str] = {
    "clipseg-rd64-refined": "CIDAS/clipseg-rd64-refined",
    "clipseg-rd64": "CIDAS/clipseg-rd64",
    "clipseg-rd16": "CIDAS/clipseg-rd16",
}
"""named CLIPSegs (ViT-B/16 and a decoder) → hub ids; `mini` ships with a decoder too"""


def segmenter_config(name: str) -> "CLIPSegConfig":
    """transformers' configuration of a named CLIPSeg: the refined one has the complex transposed convolution."""
    from transformers import CLIPSegConfig

    if name == "mini":
        return CLIPSegConfig.from_pretrained(MINI / "segmenter")
    clip = ZOO["vit-b-16"].config()
    return CLIPSegConfig(
        text_config=clip.text_config.to_dict(),
        vision_config=clip.vision_config.to_dict(),
        projection_dim=clip.projection_dim,
        reduce_dim=16 if name.endswith("rd16") else 64,
        use_complex_transposed_convolution=name.endswith("refined"),
    )


def names() -> list[str]:
    """Every short name, `mini` first."""
    return ["mini", *ZOO]


def clip_config(name: str) -> "CLIPConfig":
    """transformers' configuration of `mini` or a named CLIP."""
    from transformers import CLIPConfig

    return CLIPConfig.from_pretrained(MINI) if name == "mini" else ZOO[name].config()


def outline(name: str) -> "CLIPModel":
    """The named backbone without numbers (on torch's meta device): shapes, sites and counts only."""
    import torch
    from transformers import CLIPModel

    with torch.device("meta"):
        return CLIPModel(clip_config(name))


def random_model(name: str, seed: int = 0) -> "CLIPModel":
    """The named architecture with freshly drawn float32 weights: for tests and estimates, it knows nothing."""
    import torch
    from transformers import CLIPModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(clip_config(name)).float().eval()
