"""FGVC-Aircraft: aircraft variants, 100 classes, 10,000 images (Maji et al., 2013).

fgvc_aircraft/images/0034309.jpg
fgvc_aircraft/variants.txt                              the order of its lines is that of the labels
fgvc_aircraft/images_variant_{train,val,test}.txt       "1025794 707-320": image, one blank, variant

This is the folder data/ of the archive, renamed; the archive's own folder is read too. The split is the official one
and needs no file of CoOp's. Variants have blanks and slashes: "F-16A/B", "F/A-18". The lowest 20 rows of each picture
are a banner with its owner, which the papers leave in.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, open_published
from cliptune.datasets.splits import inside, read_lines
from cliptune.errors import UserError

FACTS = Facts(
    title="FGVC-Aircraft",
    source="Maji et al., arXiv 1306.5151, 2013; for non-commercial research",
    get="www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft; where to: CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp)",
    folders=("fgvc_aircraft", "fgvc-aircraft-2013b"),
    images=("images", "data/images"),
    classes=100,
    counts=(3334, 3333, 3333),
    templates=("a photo of a {}, a type of aircraft.", PHOTO),
    aliases=("fgvc", "aircraft"),
    column="FGVCAircraft",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`, with its official split by variant."""
    return open_published("fgvc_aircraft", FACTS, root, missing, _from_lists)


def _from_lists(copy: Copy) -> dict[str, list[Row]]:
    labels = {variant: label for label, (_, variant) in enumerate(read_lines(copy, "variants.txt"))}
    return {part: _listed(copy, part, labels) for part in ("train", "val", "test")}


def _listed(copy: Copy, part: str, labels: dict[str, int]) -> list[Row]:
    rows: list[Row] = []
    for place, line in read_lines(copy, f"images_variant_{part}.txt"):
        image, _, variant = line.partition(" ")
        variant = variant.strip()
        if variant not in labels:
            raise UserError(f"{place}: '{variant}' is not in variants.txt", f"get it again: {FACTS.get}")
        rows.append((inside(f"{image}.jpg", place), labels[variant], variant))
    return rows
