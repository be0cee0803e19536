"""CVC-ClinicDB: 612 frames with polyps from 29 colonoscopy videos, 384 × 288 pixels (Bernal et al., 2015).

clinicdb_polyp/{images,masks,anns}/                            medvlsm, 490/61/61; N.png, converted by the user
CVC-ClinicDB/{Original,Ground Truth}/N.tif                     as published, N = 1 … 612
CVC-ClinicDB/{PNG,TIF}/{Original,Ground Truth}/  metadata.csv  Kaggle

The frames' TIFF header calls their colours grey, which `images.decode` mends. Some masks have values up to 112 where
nothing is marked.

Frames of one video follow one another and look almost the same, so a cut by frame tests on what was trained on;
medvlsm's parts are such a cut: 57 of its 61 test frames have a train frame next to them. Ours keeps videos whole where
metadata.csv says which frame belongs to which, and else stretches of 20 frame numbers, because no other file says
where a video ends.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cliptune.datasets.base import Missing
from cliptune.datasets.mask_sets._published import (
    MADE_HERE,
    Original,
    cut_items,
    open_published,
    paired,
    stem,
    telling_prompts,
)
from cliptune.datasets.published import Copy, Facts
from cliptune.datasets.segmentation import MaskItem, MaskSet, word_prompts
from cliptune.errors import UserError

WORD = "polyp"
STRETCH = 20
"""frames; a video has 21 on average"""
FACTS = Facts(
    title="CVC-ClinicDB",
    source="Bernal et al., Computerized Medical Imaging and Graphics 2015; for research and teaching",
    get="polyp.grand-challenge.org/CVCClinicDB; prompts and parts from github.com/naamiinepal/medvlsm",
    folders=("clinicdb_polyp", "CVC-ClinicDB"),
    images=("anns", "Original", "PNG/Original", "TIF/Original"),
    counts=(490, 61, 61),
    aliases=("clinicdb", "cvc_612"),
    column="ClinicDB",
)
_MASKS = ("Ground Truth", "GroundTruth")


def load(root: str | Path | None = None, missing: Missing = "refuse") -> MaskSet:
    """The set below `root`, or `root` itself where it holds Original/; without anns/ a cut of its own.

    Raises:
        UserError: not there, broken annotations, or missing files, unless `missing` is 'skip'.
    """
    telling = FACTS.images[1:]
    return open_published("clinicdb_polyp", FACTS, root, missing, _original, remarks=_remarks, telling=telling)


def _original(copy: Copy) -> Original:
    images = PurePosixPath(copy.images.relative_to(copy.folder).as_posix())
    called = next((name for name in _MASKS if (copy.folder / images.with_name(name)).is_dir()), _MASKS[0])
    items = paired(copy, str(images), str(images.with_name(called)), word_prompts(WORD))
    listed = copy.folder / "metadata.csv"
    if not listed.is_file():
        copy.notes.append(
            f"cut by stretches of {STRETCH} frame numbers: frames of one video look alike, and where a video ends no "
            "file says, so some that look alike still lie in different parts"
        )
        return cut_items(items, unit=_stretch), MADE_HERE
    videos = _videos(listed)
    if strange := [item.image for item in items if stem(item) not in videos]:
        told = f"{listed} does not say which sequence {strange[0]} belongs to"
        raise UserError(told, "complete it, or remove it to have stretches of frames cut")
    items = [replace(item, group=f"sequence {videos[stem(item)]}") for item in items]
    return cut_items(items, unit=lambda item: item.group), MADE_HERE


def _stretch(item: MaskItem) -> str:
    number = stem(item)
    return f"frames {(int(number) - 1) // STRETCH}" if number.isdecimal() else number


def _videos(path: Path) -> dict[str, str]:
    """Frame number → sequence, as text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["frame_id"].strip(): row["sequence_id"].strip() for row in csv.DictReader(file)}
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error, OSError) as problem:
        told = f"{path} has no frame_id and sequence_id in each line: {problem}"
        raise UserError(told, "take the published file, or remove it to have stretches of frames cut") from None


def _remarks(found: MaskSet) -> Iterator[str]:
    if found.split == "published":
        yield "the parts are cut by frame, not by video: 57 of the 61 test frames have a train frame next to them"
    yield from telling_prompts(found)
