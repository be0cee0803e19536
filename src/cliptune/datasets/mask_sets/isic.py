"""ISIC 2016, task 1: 1,279 skin photographs with the lesion marked, up to 4300 × 2900 pixels (Gutman et al., 2016).

isic/{images,masks,anns}/                                                  medvlsm, 810/90/379
ISBI2016_ISIC_Part1_{Training,Test}_Data/ISIC_0000000.jpg                  as published, 900 and 379
ISBI2016_ISIC_Part1_{Training,Test}_GroundTruth/ISIC_0000000_Segmentation.png

The four folders lie in one called isic, or in the root itself. medvlsm's lists name three images in train and in test,
and one twice in train; what they repeat is remarked on, not mended.
"""

from pathlib import Path

from cliptune.datasets.base import Missing
from cliptune.datasets.mask_sets._published import Original, cut_items, open_published, paired, telling_prompts
from cliptune.datasets.published import Copy, Facts
from cliptune.datasets.segmentation import MaskItem, MaskSet, word_prompts

WORD = "skin melanoma"
FACTS = Facts(
    title="ISIC 2016",
    source="Gutman et al., arXiv:1605.01397; CC-0",
    get="challenge.isic-archive.com/data (2016, task 1); prompts and parts from github.com/naamiinepal/medvlsm",
    folders=("isic", "ISIC2016", "ISBI2016_ISIC"),
    images=("anns", "ISBI2016_ISIC_Part1_Training_Data"),
    counts=(810, 90, 379),
    aliases=("isic16",),
    column="ISIC",
)


def load(root: str | Path | None = None, missing: Missing = "refuse") -> MaskSet:
    """The set below `root`, or `root` itself; without anns/ the official test, and a fifth of train for validation.

    Raises:
        UserError: not there, broken annotations, or missing files, unless `missing` is 'skip'.
    """
    telling = FACTS.images[1:]
    return open_published("isic", FACTS, root, missing, _original, remarks=telling_prompts, telling=telling)


def _original(copy: Copy) -> Original:
    parts = cut_items(_listed(copy, "Training"), val=0.2, test=0.0)
    return parts | {"test": tuple(_listed(copy, "Test"))}, "official test; val is 20 % of train, cut off here"


def _listed(copy: Copy, part: str) -> list[MaskItem]:
    folder = f"ISBI2016_ISIC_Part1_{part}"
    return paired(copy, f"{folder}_Data", f"{folder}_GroundTruth", word_prompts(WORD), "_Segmentation")
