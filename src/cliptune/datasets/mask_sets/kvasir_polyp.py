"""Kvasir-SEG: 1,000 colonoscopy images with polyps, 332 × 487 to 1920 × 1072 pixels (Jha et al., 2020).

kvasir_polyp/{images,masks,anns}/                medvlsm, 800/100/100
Kvasir-SEG/{images,masks}/cju0….jpg              as published; image and mask share the name

The masks are RGB JPEG, with values near 0 and near 255. kavsir_bboxes.json (so spelled) is not read.
"""

from pathlib import Path, PurePosixPath

from cliptune.datasets.base import Missing
from cliptune.datasets.mask_sets._published import (
    MADE_HERE,
    Original,
    cut_items,
    open_published,
    paired,
    telling_prompts,
)
from cliptune.datasets.published import Copy, Facts
from cliptune.datasets.segmentation import MaskSet, word_prompts

WORD = "polyp"
FACTS = Facts(
    title="Kvasir-SEG",
    source="Jha et al., MMM 2020; for research and teaching",
    get="datasets.simula.no/kvasir-seg; prompts and parts from github.com/naamiinepal/medvlsm",
    folders=("kvasir_polyp", "Kvasir-SEG"),
    images=("anns", "images", "Kvasir-SEG/images"),
    counts=(800, 100, 100),
    aliases=("kvasir", "kvasirseg"),
    column="Kvasir-SEG",
)


def load(root: str | Path | None = None, missing: Missing = "refuse") -> MaskSet:
    """The set below `root`; without anns/ a cut of its own.

    Raises:
        UserError: not there, broken annotations, or missing files, unless `missing` is 'skip'.
    """
    return open_published("kvasir_polyp", FACTS, root, missing, _original, remarks=telling_prompts)


def _original(copy: Copy) -> Original:
    images = PurePosixPath(copy.images.relative_to(copy.folder).as_posix())
    masks = images.with_name("masks")
    return cut_items(paired(copy, str(images), str(masks), word_prompts(WORD))), MADE_HERE
