"""The mini CLIP's form: a byte-level BPE tokenizer, a stock transformers.CLIPModel, and the values it starts from.

Only the starting values are unusual. A small ViT trained for minutes hardly learns where things are; two known
remedies help, and both leave an ordinary CLIP behind:
    positions   2-D sine and cosine waves in place of small noise
    attention   W_q W_kᵀ starts near the identity and W_v W_o near its negative, as in trained networks
                ("mimetic" initialisation, Trockman & Kolter, 2023, arXiv:2305.09828)
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Generator, Tensor
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast
from transformers.models.clip.modeling_clip import CLIPAttention

PAD, START, UNKNOWN, END = "<pad>", "<|startoftext|>", "<unk>", "<|endoftext|>"
CONTEXT = 32
"""longest text in tokens"""
SIDE, PATCH = 32, 8
VISION = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
TEXT = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 3}
PROJECTION = 128

PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
_POSITION_STD = 0.15
_LONGEST_WAVE = 20.0
_EXTRA_WORDS = (
    "handwritten hand-drawn texture icon logo symbol clip art of the upper lower bold italic font thick thin bright "
    "cropped good bad nice weird many object objects shape shapes"
)
"""words of common prompts that captions do not use; each becomes a token or a few"""


def train_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """A lower-casing byte-level BPE that knows the captions' words and can write any other string.

    The end token's id is 3: transformers reads an `eos_token_id` of 2 as the mark of an old, wrong configuration.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=768,
        special_tokens=[PAD, START, UNKNOWN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*captions, *[_EXTRA_WORDS] * 200], trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=CONTEXT,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> CLIPModel:
    """An untrained mini CLIP; the same seed gives the same values and leaves torch's global generator alone."""
    config = CLIPConfig(
        vision_config={"image_size": SIDE, "patch_size": PATCH, "projection_dim": PROJECTION, **VISION},
        text_config={
            "vocab_size": len(tokenizer),
            "max_position_embeddings": CONTEXT,
            "projection_dim": PROJECTION,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            **TEXT,
        },
        projection_dim=PROJECTION,
    )
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        model = CLIPModel(config)
    noise = Generator().manual_seed(seed)
    with torch.no_grad():
        model.vision_model.embeddings.position_embedding.weight[1:] = waves(SIDE // PATCH, VISION["hidden_size"])
        for layer in model.vision_model.encoder.layers:
            mimic_attention(layer.self_attn, noise)
    return model


def waves(grid: int, width: int) -> Tensor:
    """Position vectors of a grid × grid image, row by row: sines and cosines of both coordinates, (grid², width)."""
    frequencies = _LONGEST_WAVE ** -(torch.arange(width // 4) / (width // 4))
    y, x = torch.meshgrid(torch.arange(grid).float(), torch.arange(grid).float(), indexing="ij")
    angles = [coordinate.reshape(-1, 1) * frequencies for coordinate in (y, x)]
    parts = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=1) * _POSITION_STD * math.sqrt(2)


def mimic_attention(attention: CLIPAttention, noise: Generator) -> None:
    """Set W_qᵀ W_k ≈ 0.7 I + noise in every head and W_o W_v ≈ noise − 0.4 I, by singular value decomposition."""
    width = attention.embed_dim
    head = width // attention.num_heads

    def near_identity(diagonal: float, scale: float) -> Tensor:
        random = torch.randn(width, width, generator=noise) / math.sqrt(width)
        return scale * random + diagonal * torch.eye(width)

    for first in range(0, width, head):
        u, s, vt = torch.linalg.svd(near_identity(0.7, 0.7))
        rows, root = slice(first, first + head), s[:head].sqrt()[:, None]
        attention.q_proj.weight[rows] = root * u.T[:head]
        attention.k_proj.weight[rows] = root * vt[:head]
    u, s, vt = torch.linalg.svd(near_identity(-0.4, 0.4))
    attention.v_proj.weight.copy_(s.sqrt()[:, None] * vt)
    attention.out_proj.weight.copy_(u * s.sqrt())


def embed_images(model: CLIPModel, images: Tensor) -> Tensor:
    """Unit image vectors, (B, 128), of pixels (B, 3, 32, 32) in 0..1."""
    pooled = model.vision_model(pixel_values=2 * images - 1).pooler_output
    return F.normalize(model.visual_projection(pooled), dim=-1)


def embed_texts(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Tensor:
    """Unit text vectors, (B, 128).

    No attention mask: padding follows the end token, which a causal tower never looks past, and without a mask
    torch takes its faster road.
    """
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    pooled = model.text_model(input_ids=tokens.input_ids).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)
