"""Food-101: dishes, 101 classes, 101,000 images (Bossard, Guillaumin & Van Gool, 2014).

food-101/images/apple_pie/1005649.jpg
food-101/meta/{classes,labels,train,test}.txt     not used
food-101/split_zhou_Food101.json

CoOp's split, 50/20/30 of all images, is not the official 750/250 a class. Labels are those of the folders in order. The
labels of the official training images are noisy, and some images are grey.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, folder_rows, open_published, sorted_folders

FACTS = Facts(
    title="Food-101",
    source="Bossard, Guillaumin & Van Gool, ECCV 2014; images of Foodspotting users, research use",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images: data.vision.ee.ethz.ch/cvl/datasets_extra/food-101",
    folders=("food-101",),
    images=("images", "food-101/images"),
    classes=101,
    counts=(50500, 20200, 30300),
    templates=("a photo of {}, a type of food.", PHOTO),
    split_file="split_zhou_Food101.json",
    aliases=("food",),
    column="Food101",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, its folders cut 50/20/30."""
    return open_published("food101", FACTS, root, missing, _from_folders)


def _from_folders(copy: Copy) -> dict[str, list[Row]]:
    return cut(folder_rows(copy, {folder: folder for folder in sorted_folders(copy.images)}), val=0.2, test=0.3)
