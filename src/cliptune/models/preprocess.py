"""A backbone's image preprocessing, on the path that published CLIP numbers used: Pillow's resize, then a centre crop.

Pixels are cut to uint8 once (`cut`) and normalised in bulk on the device (`normalise`), so a cache holds a quarter of
the bytes of normalised floats. Equal to transformers' CLIPImageProcessorPil (test_preprocess.py).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from cliptune.errors import UserError
from cliptune.registry import nearest

if TYPE_CHECKING:
    from torch import Tensor

_MOST_PIXELS = 1 << 26

Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]

# By image_processor_type: what a key means when the file leaves it out. transformers' own class attributes.
_CLIP = {
    "size": {"shortest_edge": 224},
    "crop_size": 224,
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_HALF = {"size": {"height": 224, "width": 224}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_KINDS: dict[str, dict[str, Any]] = {
    "CLIP": _CLIP,
    "Siglip": _HALF | {"resample": 3, "do_center_crop": False},
    "ViT": _HALF | {"resample": 2, "do_center_crop": False},
}
_KIND_OF_MODEL = {"clip": "CLIP", "metaclip_2": "CLIP", "altclip": "CLIP", "siglip": "Siglip", "clipseg": "ViT"}


@dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop, normalise. Part of a backbone's identity: other numbers are another model."""

    size: int
    """shorter side after resizing, pixels; with `squash`, both sides"""
    crop: int
    """side of the centre crop, pixels; beyond the image it is filled with black"""
    resample: Resample
    """Pillow's filter"""
    mean: tuple[float, float, float]
    """per channel, of pixels in 0..1"""
    std: tuple[float, float, float]
    """per channel, of pixels in 0..1"""
    squash: bool = False
    """resize to a square whatever the aspect ratio (SigLIP, CLIPSeg)"""

    def cut(self, image: Image.Image) -> np.ndarray:
        """An RGB image to uint8 [crop, crop, 3], rows first.

        Equal bit for bit to CLIPImageProcessorPil's resize and centre crop, but for strips so long (1:1,300 for 224
        pixels) that the whole of them resized would fill the memory: there only the part kept is made.
        """
        filter = Image.Resampling[self.resample.upper()]
        width, height = self._resized(image.size)
        left, top = (width - self.crop) // 2, (height - self.crop) // 2
        box = (left, top, left + self.crop, top + self.crop)
        if width * height > _MOST_PIXELS and self.crop <= self.size:
            x, y = image.width / width, image.height / height
            part = (box[0] * x, box[1] * y, min(box[2] * x, image.width), min(box[3] * y, image.height))
            return np.asarray(image.resize((self.crop, self.crop), filter, box=part))
        return np.asarray(image.resize((width, height), filter).crop(box))

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after resizing; the longer side is cut to a whole number, as transformers does."""
        if self.squash:
            return self.size, self.size
        width, height = size
        longer = int(self.size * max(size) / min(size))
        return (self.size, longer) if width <= height else (longer, self.size)

    def normalise(self, pixels: "Tensor") -> "Tensor":
        """Float [b 3 h w] in 0..1 to what the backbone was trained on; the same dtype and device."""
        mean = pixels.new_tensor(self.mean).view(3, 1, 1)
        std = pixels.new_tensor(self.std).view(3, 1, 1)
        return (pixels - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """The reverse of `to_dict`.

        Raises:
            UserError: a key that is unknown or missing, or a resample Pillow does not have.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                close = nearest(key, known)
                raise UserError(
                    f"preprocessing: no setting is called '{key}'", f"did you mean '{(close or known)[0]}'?"
                )
        if missing := [key for key in known if key not in values and key != "squash"]:
            raise UserError(f"preprocessing: '{missing[0]}' is missing", f"give all of {', '.join(known)}")
        if values["resample"] not in get_args(Resample):
            raise UserError(
                f"preprocessing: resample = '{values['resample']}'", f"one of: {', '.join(get_args(Resample))}"
            )
        return cls(**{**values, "mean": _three(values["mean"], "mean"), "std": _three(values["std"], "std")})

    @classmethod
    def read(cls, folder: Path) -> "Preprocess":
        """From a model folder's preprocessor_config.json, or processor_config.json's image_processor.

        Raises:
            UserError: neither file is there or readable, or it asks for something we do not do.
        """
        values, name = _find_config(Path(folder))
        kind = _kind(values, Path(folder), name)
        values = _KINDS[kind] | {key: value for key, value in values.items() if value is not None}
        _refuse_unlike(values, name)
        side, squash = _side(values["size"], squash_ints=kind == "ViT", name=name)
        crop = _square(values.get("crop_size", side), "crop_size", name) if values["do_center_crop"] else side
        if not squash and not values["do_center_crop"]:
            raise UserError(
                f"{name}: the shorter side is resized, but nothing is cropped, so images differ in shape",
                'set "do_center_crop": true there, or "size" to {"height": …, "width": …}',
            )
        return cls(
            size=side,
            crop=crop,
            resample=_resample(values["resample"], name),
            mean=_three(values["image_mean"], f"{name}: image_mean"),
            std=_three(values["image_std"], f"{name}: image_std"),
            squash=squash,
        )

    def write(self, folder: Path) -> Path:
        """Write preprocessor_config.json, which transformers' CLIPImageProcessor loads; returns its path."""
        size = {"height": self.size, "width": self.size} if self.squash else {"shortest_edge": self.size}
        values = {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": size,
            "resample": int(Image.Resampling[self.resample.upper()]),
            "do_center_crop": True,
            "crop_size": {"height": self.crop, "width": self.crop},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        path = Path(folder) / "preprocessor_config.json"
        path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        return path


OPENAI = Preprocess(
    size=224,
    crop=224,
    resample="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


def _find_config(folder: Path) -> tuple[dict[str, Any], str]:
    for name, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        path = folder / name
        if path.is_file():
            values = _json_object(path)
            found = values.get(key) if key else values
            if isinstance(found, dict):
                return found, str(path)
    raise UserError(
        f"{folder} has no preprocessor_config.json, so how images are prepared is not known",
        "copy that file from the model's page into the folder",
    )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", "copy the file from the model's page again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a JSON object", "copy the file from the model's page again")
    return values


def _kind(values: dict[str, Any], folder: Path, name: str) -> str:
    """Which of `_KINDS` the file speaks of; by config.json's model_type when it does not say."""
    declared = values.get("image_processor_type") or values.get("feature_extractor_type")
    if declared is None and (folder / "config.json").is_file():
        model = _json_object(folder / "config.json").get("model_type", "clip")
        declared = _KIND_OF_MODEL.get(model, model)
    kind = str(declared or "CLIP").removesuffix("Pil").removesuffix("Fast")
    kind = kind.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in _KINDS:
        known = ", ".join(f"{known}ImageProcessor" for known in _KINDS)
        raise UserError(f"{name}: image processor '{declared}' is of a kind we do not do", f"known: {known}")
    return kind


def _refuse_unlike(values: dict[str, Any], name: str) -> None:
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if values.get(key, True) is not True:
            raise UserError(f"{name}: {key} is off; images would not fit the backbone", f'set "{key}": true there')
    if values.get("do_pad"):
        raise UserError(f"{name}: do_pad is on, which we do not do", 'set "do_pad": false and crop or squash instead')
    factor = values.get("rescale_factor", 1 / 255)
    if abs(factor * 255 - 1) > 1e-6:
        raise UserError(f"{name}: rescale_factor = {factor}, which we do not do", "1/255 = 0.00392156862745098")


def _side(size: Any, squash_ints: bool, name: str) -> tuple[int, bool]:
    """(pixels, squash) of a `size` in any of its spellings."""
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return _square(size["shortest_edge"], "size", name), False
    return _square(size, "size", name), squash_ints or isinstance(size, dict)


def _square(size: Any, key: str, name: str) -> int:
    if isinstance(size, dict) and set(size) == {"height", "width"} and size["height"] == size["width"]:
        size = size["height"]
    if type(size) is not int or size < 1:
        raise UserError(
            f"{name}: {key} = {json.dumps(size)}, which we do not do",
            'a whole number, {"shortest_edge": n} for size, or {"height": n, "width": n} with both the same',
        )
    return size


def _resample(value: Any, name: str) -> Resample:
    try:
        return Image.Resampling(value).name.lower()  # type: ignore[return-value]
    except ValueError:
        raise UserError(f"{name}: resample = {value!r}", "a number: 0 nearest, 2 bilinear, 3 bicubic") from None


def _three(values: Any, name: str) -> tuple[float, float, float]:
    if not isinstance(values, (list, tuple)) or len(values) != 3:
        raise UserError(f"{name} = {values!r}", "three numbers, one per channel")
    red, green, blue = (float(value) for value in values)
    return red, green, blue
