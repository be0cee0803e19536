"""Makes few_shot/<set>.json anew: the few-shot draws of the published split files. Run: python -m tests.golden.make

One line a draw, "seed/shots": [places in the file's train list, places in its val list].
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cliptune.datasets.base import Item
from cliptune.datasets.episodes import draw_few_shot
from cliptune.datasets.published import Row
from cliptune.datasets.splits import read_split_file

FEW_SHOT = Path(__file__).parent / "few_shot"
SHARED = Path(__file__).resolve().parents[3] / "shared"
"""beside the checkout; holds the real files"""
SPLITS = SHARED / "data" / "splits"
FILES = {
    "caltech101": "split_zhou_Caltech101.json",
    "oxford_pets": "split_zhou_OxfordPets.json",
    "stanford_cars": "split_zhou_StanfordCars.json",
    "oxford_flowers": "split_zhou_OxfordFlowers.json",
    "dtd": "split_zhou_DescribableTextures.json",
    "eurosat": "split_zhou_EuroSAT.json",
    "ucf101": "split_zhou_UCF101.json",
}
SEEDS = (1, 2, 3)
SHOTS = (1, 2, 4, 8, 16)

Draw = list[list[int]]


def draws(rows: dict[str, list[Row]]) -> Iterator[tuple[str, Draw]]:
    """The draws of the 'dassl' sampler by 'seed/shots'."""
    train, val = ([Item(path, label) for path, label, _ in rows[part]] for part in ("train", "val"))
    for seed in SEEDS:
        for shots in SHOTS:
            drawn = draw_few_shot(train, val, shots, seed)
            yield f"{seed}/{shots}", [places(part, drawn_part) for part, drawn_part in zip((train, val), drawn)]


def places(items: Sequence[Item], drawn: Sequence[Item]) -> list[int]:
    place = {item.path: index for index, item in enumerate(items)}
    return [place[item.path] for item in drawn]


def read(name: str) -> dict[str, Draw]:
    return json.loads((FEW_SHOT / f"{name}.json").read_text("utf-8"))


def write(name: str) -> None:
    found = draws(read_split_file(SPLITS / FILES[name]))
    lines = ",\n".join(f'"{key}":{json.dumps(draw, separators=(",", ":"))}' for key, draw in found)
    (FEW_SHOT / f"{name}.json").write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    if not SPLITS.is_dir():
        sys.exit(f"{SPLITS} is not there: the golden files are made from the real split files")
    for each in FILES:
        write(each)
