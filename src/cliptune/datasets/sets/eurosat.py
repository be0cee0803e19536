"""EuroSAT: land use from Sentinel-2, 10 classes, 27,000 RGB images of 64 × 64 (Helber et al., 2019).

eurosat/2750/AnnualCrop/AnnualCrop_1.jpg
eurosat/split_zhou_EuroSAT.json

Names are longer than the folders': AnnualCrop is "Annual Crop Land", SeaLake "Sea or Lake". Re-packs hold EuroSAT_RGB/,
some with class folders in lower case or with blanks: those are read, but CoOp's split file does not list them. The
release in 13 bands (.tif) is another set.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, folder_rows, open_published, sorted_folders
from cliptune.errors import UserError
from cliptune.registry import plain

NAMES = {
    "AnnualCrop": "Annual Crop Land",
    "Forest": "Forest",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "River": "River",
    "SeaLake": "Sea or Lake",
}

FACTS = Facts(
    title="EuroSAT",
    source="Helber et al., IEEE JSTARS 2019; MIT licence",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images from github.com/phelber/EuroSAT",
    folders=("eurosat", "EuroSAT_RGB"),
    images=("2750", "EuroSAT_RGB", "eurosat/2750", ""),
    classes=10,
    counts=(13500, 5400, 8100),
    templates=("a centered satellite photo of {}.", PHOTO),
    split_file="split_zhou_EuroSAT.json",
    column="EuroSAT",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, its folders cut 50/20/30."""
    return open_published("eurosat", FACTS, root, missing, _from_folders)


def _from_folders(copy: Copy) -> dict[str, list[Row]]:
    there = {plain(folder): folder for folder in sorted_folders(copy.images)}
    if absent := [folder for folder in NAMES if plain(folder) not in there]:
        raise UserError(f"{copy.images} has no folder {absent[0]}", f"get it: {FACTS.get}")
    return cut(folder_rows(copy, {there[plain(folder)]: name for folder, name in NAMES.items()}), val=0.2, test=0.3)
