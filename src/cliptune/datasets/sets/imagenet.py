"""ImageNet (ILSVRC 2012): 1,000 kinds of things, 1,281,167 + 50,000 photos (Russakovsky et al., 2015).

    imagenet/images/train/n01440764/n01440764_10026.JPEG    CoOp
    imagenet/images/val/n01440764/ILSVRC2012_val_00000293.JPEG
    imagenet/{train,val}/…                                  CLIP-LoRA
    imagenet/classnames.txt                                 optional: lines "n01440764 tench"

The official validation images are the test, and `val` holds the very same ones, as in CoOp: to choose anything on
`val` is to choose on the test. Few-shot runs therefore do without `val`, or draw it from the training images as
CLIP-LoRA does (sampler `cliplora`).

A label is a wnid's place among the 1,000 sorted ones, so a part of the set keeps its labels. Names are CLIP's list of
1,000, of which 998 differ: missile (657, 744) and sunglasses (836, 837) stand for two classes each, whose prompts
tie. Other lists in use name some classes otherwise. Lists are sorted, where CoOp takes the file system's order: its
few-shot draws depend on the machine.
"""

from dataclasses import replace

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.imagenet import TEMPLATES, names_for, scan
from cliptune.datasets.published import Copy, Facts, assemble, find_copy
from cliptune.errors import UserError

FACTS = Facts(
    title="ImageNet",
    source="Deng et al., CVPR 2009; Russakovsky et al., IJCV 2015; non-commercial research and education only",
    get="https://www.image-net.org (ILSVRC 2012, on request); unpack to imagenet/images/{train,val}/<wnid>/*.JPEG",
    folders=("imagenet", "ILSVRC2012"),
    images=("images", ""),
    classes=1000,
    counts=(1_281_167, 0, 50_000),
    templates=TEMPLATES,
    aliases=("imagenet-1k", "in1k", "ilsvrc"),
    column="ImageNet",
    val_is_test=True,
    tests={
        "out-of-distribution": ("imagenet_v2", "imagenet_sketch"),
        "cross-dataset": (
            "caltech101",
            "oxford_pets",
            "stanford_cars",
            "oxford_flowers",
            "food101",
            "fgvc_aircraft",
            "sun397",
            "dtd",
            "eurosat",
            "ucf101",
        ),
    },
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """ImageNet below `root`; without train/ it can be tested on, not trained on.

    Raises:
        UserError: not there, no class folders (a flat val/), or a classnames.txt that is not ImageNet's.
    """
    copy = _with_parts(find_copy("imagenet", FACTS, root, missing))
    names = names_for(copy)
    labels = {wnid: label for label, wnid in enumerate(names)}
    test = scan(copy, "val", labels, FACTS.counts[2])
    if (copy.images / "train").is_dir():
        train = scan(copy, "train", labels, FACTS.counts[0])
    else:
        train = ()
        copy.notes.append(f"{copy.images} has no train folder, so nothing can be trained on it")
    return assemble(copy, tuple(names.values()), {"train": train, "val": test, "test": test})


def _with_parts(copy: Copy) -> Copy:
    """In whichever of the two dialects it holds val/."""
    for images in (copy.images, copy.folder):
        if (images / "val").is_dir():
            return replace(copy, images=images)
    raise UserError(f"{copy.images} has no val folder, the images that are tested on", f"get it: {FACTS.get}")
