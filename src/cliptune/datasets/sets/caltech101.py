"""Caltech-101: objects, 100 classes as CoOp counts them, 8,242 images (Fei-Fei, Fergus & Perona, 2004).

caltech-101/101_ObjectCategories/accordion/image_0001.jpg
caltech-101/split_zhou_Caltech101.json

Of the 102 folders BACKGROUND_Google and Faces_easy are left out; four names are put into the singular. Labels follow
the folders by code point, capitals first: 0 face, 1 leopard, 2 motorbike, 3 accordion. One image in twenty is grey,
and BACKGROUND_Google holds a file, tmp, that is no image. Other tools count 101 or 102 classes, under other names.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import Copy, Facts, Row, folder_rows, open_published, sorted_folders

NOT_CLASSES = ("BACKGROUND_Google", "Faces_easy")
RENAMED = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"}

FACTS = Facts(
    title="Caltech-101",
    source="Fei-Fei, Fergus & Perona, CVPR workshop 2004; CC BY 4.0",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images from data.caltech.edu/records/mzrjq-6wc02",
    folders=("caltech-101",),
    images=("101_ObjectCategories",),
    classes=100,
    counts=(4128, 1649, 2465),
    split_file="split_zhou_Caltech101.json",
    aliases=("caltech",),
    column="Caltech101",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, its folders cut 50/20/30."""
    return open_published("caltech101", FACTS, root, missing, _from_folders)


def _from_folders(copy: Copy) -> dict[str, list[Row]]:
    folders = [folder for folder in sorted_folders(copy.images) if folder not in NOT_CLASSES]
    return cut(folder_rows(copy, {folder: RENAMED.get(folder, folder) for folder in folders}), val=0.2, test=0.3)
