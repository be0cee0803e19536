"""ImageNetV2 (matched frequency): a new test of ImageNet's 1,000 classes, 10,000 photos (Recht et al., 2019).

    imagenetv2/imagenetv2-matched-frequency-format-val/0/<hash>.jpeg … 999/<hash>.jpeg
    imagenetv2/classnames.txt                               optional, as ImageNet's

Test only. A folder's name is the label itself; whoever sorts the names as text (0, 1, 10, 100 …) gets other labels.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.imagenet import TEMPLATES, open_test_set
from cliptune.datasets.published import Facts

FACTS = Facts(
    title="ImageNetV2",
    source="Recht et al., ICML 2019; MIT licence, photos under their owners' terms",
    get="https://github.com/modestyachts/ImageNetV2, the matched-frequency archive; unpack it in imagenetv2/",
    folders=("imagenetv2", "imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency"),
    images=("imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency", ""),
    classes=1000,
    counts=(0, 0, 10_000),
    templates=TEMPLATES,
    column="ImageNetV2",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """ImageNetV2 below `root`."""
    return open_test_set("imagenet_v2", FACTS, root, missing, numbered=True)
