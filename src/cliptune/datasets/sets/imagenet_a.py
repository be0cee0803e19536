"""ImageNet-A: photos that a ResNet-50 gets wrong, 200 of ImageNet's classes, 7,500 images (Hendrycks et al., 2021).

    imagenet-adversarial/imagenet-a/n01498041/0.000116_digital clock _ digital clock_0.865662.jpg
    imagenet-adversarial/classnames.txt                     optional, as ImageNet's with all its 1,000

Test only. Its 200 classes are numbered 0 … 199 by wnid, and only they are chosen from. File names hold blanks, dots
and what a network took the photo for. A README.txt lies among the folders.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.imagenet import TEMPLATES, open_test_set, wnids_of
from cliptune.datasets.published import Facts

FACTS = Facts(
    title="ImageNet-A",
    source="Hendrycks et al., CVPR 2021; MIT licence, photos under their owners' terms",
    get="https://github.com/hendrycks/natural-adv-examples; unpack it in imagenet-adversarial/",
    folders=("imagenet-adversarial", "imagenet-a"),
    images=("imagenet-a", ""),
    classes=200,
    counts=(0, 0, 7_500),
    templates=TEMPLATES,
    aliases=("natural-adversarial-examples",),
    column="ImageNet-A",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """ImageNet-A below `root`."""
    return open_test_set("imagenet_a", FACTS, root, missing, wnids_of("imagenet_a"))
