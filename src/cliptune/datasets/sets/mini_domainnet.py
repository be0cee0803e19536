"""Mini-DomainNet: 126 classes in cliparts, paintings, photos and sketches, 140,006 images (Zhou et al., 2021).

    domainnet/clipart/aircraft_carrier/clipart_001_000018.jpg
    domainnet/splits_mini/clipart_train.txt, clipart_test.txt …

A part of DomainNet (Peng et al., 2019), which is downloaded whole; infograph/, quickdraw/ and the lists of all 345
classes in splits/ are not used. Rows are `clipart/aircraft_carrier/clipart_001_000018.jpg 0`: labels count from 0, and
the class is the path's second part. A domain may lack a class, so classes are counted over all lists. Capitals come
first (The_Eiffel_Tower is 0); teddy-bear has a hyphen.

The lists have no val. The test of a domain is its test list alone. How many images each list has is not stated with
the set.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.domains import domain_folders, domain_set, listed_parts, read_list
from cliptune.datasets.published import Facts, OpenSet, Row, find_copy
from cliptune.errors import UserError

FACTS = Facts(
    title="Mini-DomainNet",
    source="Zhou et al., TIP 2021, from DomainNet (Peng et al., ICCV 2019); images under their owners' terms",
    get="DomainNet from ai.bu.edu/M3SDA; Dassl's DATASETS.md (github.com/KaiyangZhou/Dassl.pytorch) links splits_mini/",
    folders=("domainnet", "mini_domainnet", "domain_net"),
    classes=126,
    column="Mini-DomainNet",
    domains=("clipart", "painting", "real", "sketch"),
    open_set=OpenSet(
        sources=(
            frozenset({*range(20), *range(40, 60)}),
            frozenset({*range(10), *range(20, 40), *range(80, 90)}),
            frozenset({*range(10, 20), *range(40, 50), *range(60, 80)}),
        ),
        unknown=frozenset(range(90, 126)),
        known=frozenset({*range(5), *range(8, 18), *range(25, 35), *range(43, 48), *range(75, 80), *range(83, 88)}),
    ),
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """Mini-DomainNet below `root`.

    Raises:
        UserError: not there, a list is not, or a list is not as published.
    """
    copy = find_copy("mini_domainnet", FACTS, root, missing)
    lists = copy.folder / "splits_mini"
    if not lists.is_dir():
        raise UserError(f"{lists} is missing: DomainNet's own lists are of 345 classes", f"get it: {FACTS.get}")
    folders = domain_folders(copy)
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for domain, folder in folders.items():
        for part, found in rows.items():
            for place, image, label in read_list(lists / f"{domain}_{part}.txt"):
                name, file = listed_parts(image, place, domain)
                found.append((f"{folder}/{name}/{file}", label, name))
    return domain_set(copy, rows, folders)
