"""Office-Home: 65 things of office and home in 4 domains, 15,588 images (Venkateswara et al., 2017).

    office_home_dg/art/train/Alarm_Clock/00001.jpg          Dassl; val/ beside train/
    officehome/realworld/train/Alarm_Clock/00001.jpg        ODG-CLIP, the same parts
    office_home/Real World/Alarm_Clock/00001.jpg            as released (OfficeHomeDataset_10072016), DomainBed
    office_home/real_world/Alarm_Clock/00001.jpg            Dassl, domain adaptation

Without train/ and val/ these two are cut here. The test of a domain is all of it. How many images the published train
and val hold is not stated with them.

A label is a class folder's place in code-point order, in which `TV` comes before `Table`; sorted without regard to
case they would swap. Names are the folders' in small letters, as Dassl has them; '_' is read as a blank. Sizes
reach from 18 to thousands of pixels.
"""

from collections.abc import Mapping

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.domains import cut_domains, domain_folders, domain_set, rows_below
from cliptune.datasets.published import Copy, Facts, OpenSet, find_copy, sorted_folders
from cliptune.errors import UserError

FACTS = Facts(
    title="Office-Home",
    source="Venkateswara et al., CVPR 2017; images found on the web, non-commercial research only",
    get="Dassl's DATASETS.md (github.com/KaiyangZhou/Dassl.pytorch) links office_home_dg/ with train/ and val/",
    folders=("office_home_dg", "office_home", "OfficeHomeDataset_10072016"),
    classes=65,
    counts=(None, None, 15_588),
    column="OfficeHome",
    domains=("art", "clipart", "product", "real_world"),
    open_set=OpenSet(
        sources=(
            frozenset({*range(15), *range(21, 32)}),
            frozenset({*range(9), *range(15, 21), *range(32, 43)}),
            frozenset({*range(3), *range(9, 21), *range(43, 54)}),
        ),
        unknown=frozenset(range(54, 65)),
        known=frozenset({0, 3, 4, 9, 10, 15, 16, 21, 22, 23, 32, 33, 34, 43, 44, 45}),
    ),
)
_PARTS = ("train", "val")


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """Office-Home below `root`.

    Raises:
        UserError: not there, or a domain or one of its parts is not.
    """
    copy = find_copy("office_home", FACTS, root, missing)
    folders = domain_folders(copy, {"real_world": ("real",)})
    if any((copy.images / folder / part).is_dir() for folder in folders.values() for part in _PARTS):
        inner = {part: [f"{folder}/{part}" for folder in folders.values()] for part in _PARTS}
        labels, names = _classes(copy, [*inner["train"], *inner["val"]])
        rows = {
            part: [row for place in places for row in rows_below(copy, place, labels, names)]
            for part, places in inner.items()
        }
        rows["test"] = [*rows["train"], *rows["val"]]
        return domain_set(copy, rows, folders)
    labels, names = _classes(copy, list(folders.values()))
    by_domain = {folder: rows_below(copy, folder, labels, names) for folder in folders.values()}
    rows, split = cut_domains(copy, by_domain)
    return domain_set(copy, rows, folders, split)


def _classes(copy: Copy, places: list[str]) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Labels by folder name, and names by label, over all domains: one of them may lack a class."""
    if absent := [place for place in places if not (copy.images / place).is_dir()]:
        raise UserError(f"{copy.images / absent[0]} is missing", f"get it: {FACTS.get}")
    there = sorted({folder for place in places for folder in sorted_folders(copy.images / place)})
    return {folder: label for label, folder in enumerate(there)}, tuple(folder.lower() for folder in there)
