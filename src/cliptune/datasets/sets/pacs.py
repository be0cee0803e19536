"""PACS: 7 classes in art paintings, cartoons, photos and sketches, 9,991 images of 227 × 227 (Li et al., 2017).

    pacs/images/art_painting/dog/pic_001.jpg                Dassl, with pacs/splits/art_painting_train_kfold.txt …
    PACS/art_painting/dog/pic_001.jpg                       DomainBed, ODG-CLIP: no lists

A list's rows are `art_painting/dog/pic_001.jpg 1`: labels count from 1. Lists whose labels count from 0, with paths of
the machine that wrote them, are in use too and are refused. Without lists, train and val are cut here.

The test of a domain is all of it: train and val (`crossval`). The sketches are .png, the others .jpg. Dassl leaves one
sketch out that it calls faulty, sketch/dog/n02103406_4068-1.png, though it decodes well; so do we wherever there are
lists, and test on 9,990 images. Without lists nobody leaves it out.
"""

from pathlib import Path

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.domains import cut_domains, domain_folders, domain_set, listed_parts, read_list, rows_below
from cliptune.datasets.published import Copy, Facts, OpenSet, Row, find_copy
from cliptune.errors import UserError

CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
LEFT_OUT = "sketch/dog/n02103406_4068-1.png"
FACTS = Facts(
    title="PACS",
    source="Li et al., ICCV 2017; no licence is stated",
    get="Dassl's DATASETS.md (github.com/KaiyangZhou/Dassl.pytorch) links pacs/ with images/ and splits/",
    folders=("pacs",),
    images=("images", "kfold", ""),
    classes=7,
    counts=(None, None, 9_990),
    column="PACS",
    domains=("art_painting", "cartoon", "photo", "sketch"),
    open_set=OpenSet(
        sources=(frozenset({3, 0, 1}), frozenset({4, 0, 2}), frozenset({5, 1, 2})),
        unknown=frozenset({6}),
    ),
)
_PARTS = {"train": "train", "val": "crossval"}


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """PACS below `root`.

    Raises:
        UserError: not there, some of the lists are not, or a list is not as published.
    """
    copy = find_copy("pacs", FACTS, root, missing)
    folders = domain_folders(copy, {"art_painting": ("art",)})
    lists = {
        (part, domain): copy.folder / "splits" / f"{domain}_{called}_kfold.txt"
        for part, called in _PARTS.items()
        for domain in folders
    }
    if not any(path.is_file() for path in lists.values()):
        labels = {name: label for label, name in enumerate(CLASSES)}
        by_domain = {folder: rows_below(copy, folder, labels, CLASSES) for folder in folders.values()}
        rows, split = cut_domains(copy, by_domain)
        return domain_set(copy, rows, folders, split, CLASSES)
    rows = {"train": [], "val": [], "test": []}
    for domain, folder in folders.items():
        for part in _PARTS:
            own = _read(copy, lists[part, domain], domain, folder)
            rows[part] += own
            rows["test"] += own
    return domain_set(copy, rows, folders, classes=CLASSES)


def _read(copy: Copy, path: Path, domain: str, folder: str) -> list[Row]:
    rows = []
    for place, image, label in read_list(path):
        name, file = listed_parts(image, place, domain)
        if not 1 <= label <= len(CLASSES) or CLASSES[label - 1] != name:
            raise UserError(
                f"{place}: '{name}' has the label {label}; PACS's lists count from 1, {', '.join(CLASSES)}",
                "take the published lists (Dassl's), not re-made ones that count from 0",
            )
        if image == LEFT_OUT:
            copy.notes.append(f"{LEFT_OUT} is left out, as Dassl does")
        else:
            rows.append((f"{folder}/{name}/{file}", label - 1, name))
    return rows
