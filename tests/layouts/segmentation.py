"""The sets of images with masks as people have them on disk, at 16 × 12 pixels: real names, formats and noise."""

import json
import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cliptune.datasets.mask_sets import open_masks
from cliptune.datasets.segmentation import PARTS, MaskItem, MaskSet
from cliptune.errors import UserError

SIZE = (16, 12)
BOX = (4, 2, 12, 10)
"""left, top, right, bottom of what the masks mark; whole JPEG blocks do not matter, so noise is put in by hand"""
SENTENCES = ("polyp which is a small lump", "polyp which is a bumpy flesh", "polyp which is a growth")


def truth(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 [h w]: 1 in any of the boxes."""
    mask = np.zeros(size[::-1], np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def picture(path: Path, size: tuple[int, int] = SIZE, color: str = "teal") -> Path:
    """An RGB image in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def mask(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE, mode: str = "L") -> Path:
    """A mask of 0 and 255 in the format of the path's suffix; without boxes a black one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(truth(*boxes, size=size) * 255).convert(mode).save(path)
    return path


def noisy(path: Path, *boxes: tuple[int, int, int, int], most: int = 8, size: tuple[int, int] = SIZE) -> Path:
    """A mask as Kvasir-SEG (RGB JPEG) and CVC-ClinicDB (grey TIFF) have them: values near 0 and near 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, most + 1, size[::-1], dtype=np.uint8)
    values = Image.fromarray(np.where(truth(*boxes, size=size) > 0, 255 - noise % 8, noise).astype(np.uint8))
    if path.suffix == ".jpg":
        values.convert("RGB").save(path, quality=95, subsampling=0)
    else:
        values.save(path)
    return path


def grey_header(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """A frame of CVC-ClinicDB: uncompressed RGB in a TIFF whose header calls it grey, which Pillow refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = BytesIO()
    Image.new("RGB", size, "orange").save(file, "TIFF")
    data = bytearray(file.getvalue())
    (start,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == 262:
            struct.pack_into("<H", data, entry + 8, 1)
    path.write_bytes(data)
    return path


# medvlsm's layout

POLYP: Mapping[str, Any] = {"p0": "", "p1": "polyp", "p2": "circle polyp", "p7": list(SENTENCES)}
BUSI: Mapping[str, Any] = {
    "p0": "",
    "p1": "Tumor in the breast ultrasound image.",
    **{f"p{n}": [f"Benign tumor, {n} facts told.", f"Regular-shaped tumor, {n} facts told."] for n in range(2, 7)},
}
NORMAL: Mapping[str, Any] = {"p0": "", **{f"p{n}": "No tumor in the breast ultrasound image." for n in range(1, 7)}}


def row(image: str, mask: str | None = None, prompts: Mapping[str, Any] = POLYP) -> dict[str, Any]:
    """An object of an annotation file, with all the keys that the published ones have."""
    return {
        "bbox": [*SIZE, 0, 0],
        "cat": 0,
        "segment_id": Path(image).stem,
        "img_name": image,
        "mask_name": mask or image,
        "sentences": [{"idx": 0, "sent_id": 0, "sent": ""}],
        "prompts": dict(prompts),
        "sentences_num": 1,
    }


def medvlsm(folder: Path, files: bool = True, **parts: Sequence[Mapping[str, Any]]) -> Path:
    """images/, masks/ and an annotation file for each part; returns the folder."""
    (folder / "anns").mkdir(parents=True, exist_ok=True)
    for part, rows in parts.items():
        (folder / "anns" / f"{part}.json").write_text(json.dumps(list(rows)), "utf-8")
        for each in rows if files else ():
            picture(folder / "images" / each["img_name"])
            boxes = () if "normal" in each["img_name"] else (BOX,)
            (noisy if each["mask_name"].endswith(".jpg") else mask)(folder / "masks" / each["mask_name"], *boxes)
    return folder


def three_parts(folder: Path, files: bool = True) -> Path:
    """A small kvasir_polyp."""
    parts = {"train": ("cju0a.jpg", "cju0b.jpg"), "val": ("cju0c.jpg",), "test": ("cju0d.jpg",)}
    return medvlsm(folder, files, **{part: [row(image) for image in images] for part, images in parts.items()})


# The authors' own layouts; each returns the set's folder


def kvasir(folder: Path, count: int = 10) -> Path:
    for number in range(count):
        picture(folder / "images" / f"cju{number:03}.jpg")
        noisy(folder / "masks" / f"cju{number:03}.jpg", BOX)
    (folder / "kavsir_bboxes.json").write_text("{}")
    return folder


def clinicdb(folder: Path, numbers: Sequence[int] = (1, 2, 25, 100), inside: str = "", suffix: str = ".tif") -> Path:
    where = folder / inside
    for number in numbers:
        frame = where / "Original" / f"{number}{suffix}"
        _ = grey_header(frame) if suffix == ".tif" else picture(frame)
        noisy(where / "Ground Truth" / f"{number}{suffix}", BOX, most=112)
    return folder


def isic(folder: Path, train: int = 10, test: int = 3) -> Path:
    for part, numbers in (("Training", range(train)), ("Test", range(1000, 1000 + test))):
        for number in numbers:
            picture(folder / f"ISBI2016_ISIC_Part1_{part}_Data" / f"ISIC_{number:07}.jpg")
            mask(folder / f"ISBI2016_ISIC_Part1_{part}_GroundTruth" / f"ISIC_{number:07}_Segmentation.png", BOX)
    return folder


def busi(folder: Path, each: int = 10) -> Path:
    """As many of each kind; benign (1) has three mask files, normal (2) none."""
    for kind in ("benign", "malignant", "normal"):
        for number in range(1, each + 1):
            name = f"{kind} ({number})"
            picture(folder / kind / f"{name}.png")
            boxes = () if kind == "normal" else (BOX,)
            if name != "normal (2)":
                mask(folder / kind / f"{name}_mask.png", *boxes, mode="1" if number % 2 else "RGB")
    mask(folder / "benign" / "benign (1)_mask_1.png", (0, 0, 2, 2))
    mask(folder / "benign" / "benign (1)_mask_2.png", (14, 10, 16, 12))
    return folder


# Your own images


def own(folder: Path, images: Sequence[str], masks: Sequence[str] | None = None, part: str = "") -> Path:
    """images/ and masks/ (below a part's folder) with such names; by default a .png mask for each image."""
    for name in images:
        picture(folder / part / "images" / name)
    for name in [str(Path(image).with_suffix(".png")) for image in images] if masks is None else masks:
        mask(folder / part / "masks" / name, BOX)
    return folder


# What is asked of a set that was opened


def items(found: MaskSet) -> list[MaskItem]:
    """Of train, val and test."""
    return [*found.train, *found.val, *found.test]


def sizes(found: MaskSet) -> tuple[int, ...]:
    """Images in train, val and test."""
    return tuple(len(getattr(found, part)) for part in PARTS)


def listing(root: Path) -> dict[str, float]:
    """What lies below a folder, and when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def complaint(name: str | Path, *args: Any, **options: Any) -> UserError:
    """What `open_masks` says, in two lines."""
    with pytest.raises(UserError) as error:
        open_masks(str(name), *args, **options)
    assert error.value.what
    assert error.value.fix
    assert "\n" not in error.value.what + error.value.fix
    return error.value
