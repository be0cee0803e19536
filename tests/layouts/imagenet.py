"""ImageNet and its test sets as they lie on disk, a few tiny images each."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from cliptune.datasets.imagenet import published_names, wnids_of

WNIDS = ("n01440764", "n03773504", "n04008634", "n04355933", "n04356056", "n15075141")
"""tench, missile, missile (744), sunglasses, sunglasses (837), toilet paper"""


def picture(path: Path, kind: str = "JPEG", colour: str = "red", mode: str = "RGB") -> Path:
    """An image of 8 × 8, whatever its name says."""
    data = BytesIO()
    Image.new(mode, (8, 8), colour).save(data, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())
    return path


def imagenet(root: Path, inner: str = "images", wnids: Iterable[str] = WNIDS) -> Path:
    """CoOp's layout; inner='' is CLIP-LoRA's. Two training images and one for validation in each class."""
    folder = root / "imagenet"
    for label, wnid in enumerate(wnids):
        for number in (10026, 9):
            picture(folder / inner / "train" / wnid / f"{wnid}_{number}.JPEG")
        picture(folder / inner / "val" / wnid / f"ILSVRC2012_val_{label:08d}.JPEG", mode="L", colour="grey")
    return folder


def flat_validation(root: Path) -> Path:
    """The validation archive as it unpacks: images and no folders."""
    folder = imagenet(root)
    for wnid in WNIDS:
        for image in (folder / "images" / "val" / wnid).iterdir():
            image.rename(folder / "images" / "val" / image.name)
        (folder / "images" / "val" / wnid).rmdir()
    return folder


def classnames(folder: Path, changed: Mapping[str, str] | None = None, backwards: bool = False) -> Path:
    """CoOp's classnames.txt, with other names for some wnids."""
    names = {**published_names(), **(changed or {})}
    lines = [f"{wnid} {name}" for wnid, name in names.items()]
    path = folder / "classnames.txt"
    path.write_text("\n".join(reversed(lines) if backwards else lines) + "\n", "utf-8")
    return path


def v2(root: Path, labels: Iterable[int] = (0, 1, 2, 10, 100, 999)) -> Path:
    folder = root / "imagenetv2"
    for label in labels:
        picture(folder / "imagenetv2-matched-frequency-format-val" / str(label) / f"{label:x}af3c.jpeg")
    return folder


def sketch(root: Path, inner: str = "images", wnids: Iterable[str] = WNIDS) -> Path:
    folder = root / "imagenet-sketch"
    for wnid in wnids:
        picture(folder / inner / wnid / "sketch_0.JPEG")
    return folder


def adversarial(root: Path) -> Path:
    """ImageNet-A: all 200 folders, file names with blanks and dots, README.txt in two places."""
    folder = root / "imagenet-adversarial"
    for wnid in wnids_of("imagenet_a"):
        picture(folder / "imagenet-a" / wnid / "0.000116_digital clock _ digital clock_0.865662.jpg")
    _strays(folder / "imagenet-a", wnids_of("imagenet_a")[0])
    return folder


def renditions(root: Path) -> Path:
    """ImageNet-R: all 200 folders, PNG bytes under .jpg in the first."""
    folder = root / "imagenet-rendition"
    for number, wnid in enumerate(wnids_of("imagenet_r")):
        picture(folder / "imagenet-r" / wnid / "art_0.jpg", kind="PNG" if number == 0 else "JPEG")
    _strays(folder / "imagenet-r", wnids_of("imagenet_r")[0])
    return folder


def _strays(images: Path, wnid: str) -> None:
    (images / "README.txt").write_text("about this set\n")
    (images / wnid / "README.txt").write_text("about this class\n")
    (images / wnid / ".DS_Store").write_bytes(b"\0")
    (images / wnid / "._art_0.jpg").write_bytes(b"\0")
