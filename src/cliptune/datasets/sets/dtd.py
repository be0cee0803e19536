"""Describable Textures: 47 classes of 120 images, 5,640 in all (Cimpoi et al., 2014).

dtd/images/banded/banded_0002.jpg
dtd/labels/{train,val,test}1.txt …                the ten official splits, not used
dtd/split_zhou_DescribableTextures.json

CoOp's split is its own, 60/24/36 a class. Labels are those of the folders in order; `polka-dotted` has a hyphen. The
numbers of the files have gaps.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, folder_rows, open_published, sorted_folders

FACTS = Facts(
    title="Describable Textures (DTD)",
    source="Cimpoi et al., CVPR 2014; for research",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images from www.robots.ox.ac.uk/~vgg/data/dtd",
    folders=("dtd",),
    images=("images", "dtd/images"),
    classes=47,
    counts=(2820, 1128, 1692),
    templates=("{} texture.", PHOTO),
    split_file="split_zhou_DescribableTextures.json",
    aliases=("describable textures", "textures"),
    column="DTD",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, its folders cut 50/20/30."""
    return open_published("dtd", FACTS, root, missing, _from_folders)


def _from_folders(copy: Copy) -> dict[str, list[Row]]:
    return cut(folder_rows(copy, {folder: folder for folder in sorted_folders(copy.images)}), val=0.2, test=0.3)
