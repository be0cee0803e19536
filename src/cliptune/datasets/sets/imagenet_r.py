"""ImageNet-R: art, toys, tattoos … of 200 of ImageNet's classes, 30,000 renditions (Hendrycks et al., 2021).

    imagenet-rendition/imagenet-r/n01443537/art_0.jpg
    imagenet-rendition/classnames.txt                       optional, as ImageNet's with all its 1,000

Test only. Its 200 classes, other ones than ImageNet-A's, are numbered 0 … 199 by wnid, and only they are chosen from.
Files called .jpg hold PNG and other formats too. A README.txt lies among the folders.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.imagenet import TEMPLATES, open_test_set, wnids_of
from cliptune.datasets.published import Facts

FACTS = Facts(
    title="ImageNet-R",
    source="Hendrycks et al., ICCV 2021; MIT licence, images under their owners' terms",
    get="https://github.com/hendrycks/imagenet-r; unpack it in imagenet-rendition/",
    folders=("imagenet-rendition", "imagenet-r"),
    images=("imagenet-r", ""),
    classes=200,
    counts=(0, 0, 30_000),
    templates=TEMPLATES,
    aliases=("imagenet-renditions",),
    column="ImageNet-R",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """ImageNet-R below `root`."""
    return open_test_set("imagenet_r", FACTS, root, missing, wnids_of("imagenet_r"))
