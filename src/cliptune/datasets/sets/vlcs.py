"""VLCS: bird, car, chair, dog and person in 4 older photo sets, 10,729 images (Torralba & Efros, 2011; Fang, 2013).

    VLCS/CALTECH/train/0/<name>.jpg                         CALTECH, LABELME, PASCAL, SUN; crossval/ and test/ too

Class folders are numbers, 0 bird to 4 person; folders called by the names are read as well. The test of a domain is
its test folder alone. A further folder `full` holds all of a domain again and is not used. How many images each part
has is not stated with the set. DomainBed's copy has other domain names and no parts: its results do not compare.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.domains import domain_folders, domain_set, rows_below
from cliptune.datasets.published import Facts, OpenSet, find_copy

CLASSES = ("bird", "car", "chair", "dog", "person")
FACTS = Facts(
    title="VLCS",
    source="Fang et al., ICCV 2013, from Caltech101, LabelMe, PASCAL VOC 2007 and SUN09; no licence is stated",
    get="Dassl's DATASETS.md (github.com/KaiyangZhou/Dassl.pytorch) links VLCS/",
    folders=("VLCS",),
    classes=5,
    column="VLCS",
    domains=("caltech", "labelme", "pascal", "sun"),
    open_set=OpenSet(
        sources=(frozenset({0, 1}), frozenset({1, 2}), frozenset({2, 3})),
        unknown=frozenset({4}),
    ),
)
_PARTS = {"train": "train", "val": "crossval", "test": "test"}


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """VLCS below `root`.

    Raises:
        UserError: not there, or a domain or one of its parts is not.
    """
    copy = find_copy("vlcs", FACTS, root, missing)
    folders = domain_folders(copy)
    labels = {str(label): label for label in range(len(CLASSES))} | {name: i for i, name in enumerate(CLASSES)}
    rows = {
        part: [row for folder in folders.values() for row in rows_below(copy, f"{folder}/{called}", labels, CLASSES)]
        for part, called in _PARTS.items()
    }
    return domain_set(copy, rows, folders, classes=CLASSES)
