"""The mini segmenter: a CLIPSeg decoder of a quarter million numbers on the mini CLIP; marks what a prompt names.

    model = mini_segmenter()                        a stock transformers.CLIPSegForImageSegmentation
    model(input_ids, pixel_values).logits           (B, 48, 48) for 96×96 pixels

The files beside this one hold the decoder alone (decoder.safetensors, float16), the whole configuration, the
preprocessing, and how it was made and what it knows (mini_segmenter.json). The towers' numbers are the mini CLIP's in
the folder above, and so is its tokenizer; `pretrain_decoder.py` there makes the decoder again. The position embedding
stays the 4×4 one of the mini CLIP: transformers interpolates it to the grid of the picture that is given.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPSegConfig, CLIPSegForImageSegmentation

SEGMENTER = Path(__file__).parent
TOWERS = SEGMENTER.parent
SIDE = 96
"""pixels a side of the pictures the decoder was trained on; 12×12 patches"""
DECODER_FILE = "decoder.safetensors"
PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def mini_segmenter() -> CLIPSegForImageSegmentation:
    """The shipped mini segmenter, float32, in eval: the mini CLIP's towers and the shipped decoder.

    Raises:
        RuntimeError: a file of the package was changed: names or shapes of its tensors do not fit.
    """
    return with_decoder(SEGMENTER)


def with_decoder(folder: Path) -> CLIPSegForImageSegmentation:
    """The mini CLIP's towers and the decoder of a folder that `pretrain_decoder` wrote, float32, in eval."""
    model = _on_mini_towers(CLIPSegConfig.from_pretrained(folder))
    state = {name: tensor.float() for name, tensor in load_file(folder / DECODER_FILE).items()}
    model.decoder.load_state_dict(state)
    return model


def new_segmenter(layers: Sequence[int], width: int, hidden: int, seed: int) -> CLIPSegForImageSegmentation:
    """The mini CLIP's towers and an untrained decoder; the same seed gives the same values.

    Args:
        layers: blocks of the image tower whose output the decoder reads, from 0.
        width: numbers a token has in the decoder.
        hidden: width of its MLPs.
    """
    towers = CLIPConfig.from_pretrained(TOWERS)
    config = CLIPSegConfig(
        text_config=_shared(towers.text_config),
        vision_config=_shared(towers.vision_config),
        projection_dim=towers.projection_dim,
        extract_layers=list(layers),
        reduce_dim=width,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=hidden,
        conditional_layer=0,
        use_complex_transposed_convolution=True,
        dtype="float32",
    )
    model = _on_mini_towers(config)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        _start_small(model.decoder)
    return model


def _start_small(decoder: nn.Module) -> None:
    """torch's own starting values, as CLIPSeg's authors have them; with transformers' the first logits are hundreds."""
    for part in decoder.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            part.reset_parameters()


def _shared(config: CLIPConfig) -> dict[str, object]:
    """A tower's settings without the word for whose tower it is."""
    return {key: value for key, value in config.to_dict().items() if key != "model_type"}


def _on_mini_towers(config: CLIPSegConfig) -> CLIPSegForImageSegmentation:
    """Some decoder on the shipped mini CLIP, whose numbers ask for no gradient; torch's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        model = CLIPSegForImageSegmentation(config).float().eval()
    towers = load_file(TOWERS / "model.safetensors")
    clip: nn.Module = model.clip
    clip.load_state_dict({name: tensor.float() for name, tensor in towers.items()})
    clip.requires_grad_(False)
    return model
