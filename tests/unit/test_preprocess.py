"""Preprocess against transformers' CLIPImageProcessorPil, the path of the published numbers."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil, ViTImageProcessorPil

from cliptune.errors import UserError
from cliptune.models.preprocess import OPENAI, Preprocess

# (height, width): photos, odd ratios, smaller than the crop, one pixel, exact fit, thin strips
SIZES = [(375, 500), (500, 333), (800, 1066), (999, 223), (224, 224), (225, 224), (223, 400), (7, 5), (1, 1), (900, 20)]


def jpeg(height: int, width: int) -> Image.Image:
    """A smooth picture with some noise, through a real JPEG."""
    rng = np.random.default_rng(height * 10_000 + width)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height), 3)
    noisy = np.asarray(small).astype(int) + rng.integers(-20, 21, (height, width, 3))
    file = BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return Image.open(file).convert("RGB")


def ours(preprocess: Preprocess, image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(preprocess.cut(image).copy()).permute(2, 0, 1)[None].float() / 255
    return preprocess.normalise(pixels)


def gap(preprocess: Preprocess, reference: CLIPImageProcessorPil, image: Image.Image) -> float:
    return (ours(preprocess, image) - reference(image, return_tensors="pt").pixel_values).abs().max().item()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_transformers_on_jpegs(height, width):
    assert gap(OPENAI, CLIPImageProcessorPil(), jpeg(height, width)) <= 1e-6


REFERENCES = {
    "clip": CLIPImageProcessorPil(),
    "clip, other sizes": CLIPImageProcessorPil(size={"shortest_edge": 250}, crop_size=224, resample=2),
    "clip, crop beyond the image": CLIPImageProcessorPil(size={"shortest_edge": 100}, crop_size=131, resample=1),
    "siglip": SiglipImageProcessorPil(),
    "clipseg": ViTImageProcessorPil(size=352, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]),
}


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())
def test_reads_and_writes_what_transformers_does(reference, tmp_path):
    reference.save_pretrained(tmp_path)
    read = Preprocess.read(tmp_path)
    (tmp_path / "again").mkdir()
    read.write(tmp_path / "again")
    written = CLIPImageProcessorPil.from_pretrained(tmp_path / "again")
    for size in [(375, 250), (50, 41), (3, 100)]:
        image = jpeg(*size)
        assert gap(read, reference, image) <= 1e-6
        assert gap(read, written, image) <= 1e-6
    assert Preprocess.read(tmp_path / "again") == read


@pytest.mark.parametrize("reference", [CLIPImageProcessorPil, SiglipImageProcessorPil, ViTImageProcessorPil])
def test_what_a_file_leaves_out_is_as_in_transformers(reference, tmp_path):
    kind = reference.__name__.removesuffix("Pil")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": kind}))
    assert gap(Preprocess.read(tmp_path), reference(), jpeg(300, 250)) <= 1e-6


def test_old_config_of_openai(tmp_path):
    old = {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": list(OPENAI.mean),
        "image_std": list(OPENAI.std),
        "resample": 3,
        "size": 224,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    assert Preprocess.read(tmp_path) == OPENAI


def test_old_config_of_clipseg_squashes(tmp_path):
    old = {
        "feature_extractor_type": "ViTFeatureExtractor",
        "size": 352,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old | {"resample": 2}))
    assert Preprocess.read(tmp_path) == Preprocess(352, 352, "bilinear", (0.5,) * 3, (0.5,) * 3, squash=True)


def test_processor_config_and_model_type(tmp_path):
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": {"shortest_edge": 64}}}))
    assert Preprocess.read(tmp_path).size == 64
    assert not Preprocess.read(tmp_path).squash
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"resample": 2}}))
    read = Preprocess.read(tmp_path)
    assert (read.squash, read.size, read.mean, read.resample) == (True, 224, (0.5, 0.5, 0.5), "bilinear")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"size": {"height": 224, "width": 448}}, "size"),
        ({"size": {"shortest_edge": 224, "longest_edge": 448}}, "size"),
        ({"size": "224"}, "size"),
        ({"crop_size": {"height": 224, "width": 200}}, "crop_size"),
        ({"do_center_crop": False}, "differ in shape"),
        ({"do_resize": False}, "do_resize"),
        ({"do_normalize": False}, "do_normalize"),
        ({"rescale_factor": 1.0}, "rescale_factor"),
        ({"resample": 9}, "resample"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2ImageProcessor"),
    ],
)
def test_refuses_what_it_would_get_wrong(config, words, tmp_path):
    config = {"image_processor_type": "CLIPImageProcessorFast"} | config
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as error:
        Preprocess.read(tmp_path)
    assert words in error.value.what
    assert error.value.fix


def test_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no preprocessor_config\.json"):
        Preprocess.read(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        Preprocess.read(tmp_path)


def test_dict_there_and_back_and_strict():
    values = json.loads(json.dumps(OPENAI.to_dict()))
    assert Preprocess.from_dict(values) == OPENAI
    with pytest.raises(UserError, match="did you mean 'resample'"):
        Preprocess.from_dict(values | {"resamples": "bicubic"})
    with pytest.raises(UserError, match="'mean' is missing"):
        Preprocess.from_dict({key: value for key, value in values.items() if key != "mean"})
    with pytest.raises(UserError, match="cubic"):
        Preprocess.from_dict(values | {"resample": "cubic"})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_normalise_keeps_dtype_and_leaves_its_input(dtype):
    pixels = torch.full((2, 3, 4, 5), 0.25, dtype=dtype)
    out = OPENAI.normalise(pixels)
    assert out.dtype == dtype
    assert bool((pixels == 0.25).all())
    wanted = [(0.25 - mean) / std for mean, std in zip(OPENAI.mean, OPENAI.std, strict=True)]
    torch.testing.assert_close(out[1, :, 2, 3].double(), torch.tensor(wanted).double(), atol=1e-2, rtol=1e-2)


def test_endless_strip_keeps_only_the_middle():
    """1 x 4,000 resized whole has 896,000 x 224 pixels; the middle is made alone, and is the middle."""
    row = np.zeros((1, 4000, 3), np.uint8)
    row[0, 2000:] = 255
    cut = OPENAI.cut(Image.fromarray(row))
    assert cut.shape == (224, 224, 3)
    assert cut[:, :20].max() < 20
    assert cut[:, -20:].min() > 235


REAL = Path(__file__).resolve().parents[3] / "shared/data/caltech-101/101_ObjectCategories"


@pytest.mark.skipif(not REAL.is_dir(), reason="real photos are not here")
def test_equals_transformers_on_real_photos():
    reference = CLIPImageProcessorPil()
    for path in sorted(REAL.glob("*/image_0007.jpg")):
        image = Image.open(path).convert("RGB")
        assert gap(OPENAI, reference, image) <= 1e-6, path.name
