"""ImageNet-Sketch: black-and-white drawings of ImageNet's 1,000 classes, 50,889 images (Wang et al., 2019).

    imagenet-sketch/images/n01440764/sketch_0.JPEG          CoOp
    imagenet-sketch/sketch/…                                as the archive unpacks
    imagenet-sketch/classnames.txt                          optional, as ImageNet's

Test only. The drawings were found on the web: about 50 a class, some classes have fewer.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.imagenet import TEMPLATES, open_test_set
from cliptune.datasets.published import Facts

FACTS = Facts(
    title="ImageNet-Sketch",
    source="Wang et al., NeurIPS 2019; images found on the web, under their owners' terms",
    get="https://github.com/HaohanWang/ImageNet-Sketch; unpack it in imagenet-sketch/ and call its folder images",
    folders=("imagenet-sketch",),
    images=("images", "sketch", ""),
    classes=1000,
    counts=(0, 0, 50_889),
    templates=TEMPLATES,
    column="ImageNet-Sketch",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """ImageNet-Sketch below `root`."""
    return open_test_set("imagenet_sketch", FACTS, root, missing)
