"""Digits-DG: the digits of MNIST, MNIST-M, SVHN and SYN, 10 classes, 24,000 images of 32 × 32 (Zhou et al., 2020).

    digits_dg/mnist/train/0/<name>.jpg                      mnist, mnist_m, svhn, syn; val/ beside train/

600 images a class and domain, of which 480 train. The test of a domain is all of it.

Names are the numerals 0 … 9, as the field's code takes them from the folders; `digits_dg/words` says zero … nine
instead, which CLIP reads differently. "a photo of the number {}." is the other template in use.
"""

from dataclasses import replace

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.domains import domain_folders, domain_set, rows_below
from cliptune.datasets.published import PHOTO, Facts, OpenSet, find_copy
from cliptune.errors import UserError

NUMERALS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FACTS = Facts(
    title="Digits-DG",
    source="Zhou et al., ECCV 2020, from MNIST, MNIST-M, SVHN and SYN; no licence is stated",
    get="Dassl's DATASETS.md (github.com/KaiyangZhou/Dassl.pytorch) links digits_dg/",
    folders=("digits_dg",),
    classes=10,
    counts=(19_200, 4_800, 24_000),
    templates=(PHOTO, "a photo of the number {}."),
    column="Digits-DG",
    domains=("mnist", "mnist_m", "svhn", "syn"),
    open_set=OpenSet(
        sources=(frozenset({0, 1, 2}), frozenset({2, 3, 4}), frozenset({4, 5, 6})),
        unknown=frozenset({7, 8, 9}),
    ),
)
tasks: tuple[str, ...] = ("numerals", "words")


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """Digits-DG below `root`, its classes called by numerals unless `task` is 'words'.

    Raises:
        UserError: not there, or a domain or one of its parts is not; no such task.
    """
    if task not in ("", *tasks):
        raise UserError(f"the set 'digits_dg' has no task '{task}'", f"choose one of: {', '.join(tasks)}")
    names = WORDS if task == "words" else NUMERALS
    copy = find_copy("digits_dg", FACTS, root, missing)
    folders = domain_folders(copy)
    labels = {numeral: label for label, numeral in enumerate(NUMERALS)}
    rows = {
        part: [row for folder in folders.values() for row in rows_below(copy, f"{folder}/{part}", labels, names)]
        for part in ("train", "val")
    }
    rows["test"] = [*rows["train"], *rows["val"]]
    found = domain_set(copy, rows, folders, classes=names)
    return replace(found, name="digits_dg/words") if task == "words" else found
