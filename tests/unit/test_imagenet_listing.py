"""ImageNet in full size: 1,331,167 files are listed by one look into each folder, within a gigabyte.

Seconds depend on the machine and its disk and are printed only: 11 s were seen on two cores.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cliptune.datasets.imagenet import published_names

TRAIN, VAL = 1_281_167, 50_000
MOST_LINKS = 60_000
"""of one file: ext4 allows 65,000"""

LISTING = """
import collections, json, sys, time
from cliptune.datasets import open_set
asked = collections.Counter()
def look(event, given):
    if event in ("open", "os.listdir", "os.scandir") and str(given[0]).startswith(sys.argv[1]):
        asked[event] += 1
sys.addaudithook(look)
start = time.perf_counter()
found = open_set("imagenet", sys.argv[1])
seconds = time.perf_counter() - start
# Of this program alone: getrusage would also count what the process was before it became this program.
lines = open("/proc/self/status").read().splitlines()
peak = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
last = found.train[-1]
sizes = [len(found.train), len(found.test), len(found.classes)]
print(json.dumps([*sizes, last.label, seconds, peak, sum(asked.values())]))
"""


def build(root: Path, train: int, val: int) -> None:
    """Empty files under ImageNet's names, spread evenly over the classes; links where the file system has them."""
    made, source = 0, root
    for part, count in (("train", train), ("val", val)):
        for label, wnid in enumerate(published_names()):
            folder = root / "imagenet" / "images" / part / wnid
            folder.mkdir(parents=True)
            for number in range(label, count, 1000):
                if made % MOST_LINKS == 0:
                    source = root / f"empty-{made}"
                    source.touch()
                os.link(source, folder / f"{wnid}_{number}.JPEG")
                made += 1


def listed(root: Path) -> tuple[int, int, int, int, float, int, int]:
    """Numbers of train, test and class entries, the last label, seconds, peak bytes, and how many files and folders
    were opened, of a process of its own."""
    done = subprocess.run([sys.executable, "-c", LISTING, str(root)], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


LOOKS = 2 * 1000 + 20
"""class folders of both parts, and what lies above them: no image is opened to be listed"""


def test_listing_is_complete_at_a_small_size(tmp_path: Path):
    build(tmp_path / "data", 2_000, 1_000)
    train, test, classes, last, _, _, looks = listed(tmp_path / "data")
    assert (train, test, classes, last) == (2_000, 1_000, 1000, 999)
    assert looks <= LOOKS


@pytest.mark.slow
def test_listing_all_of_imagenet(tmp_path: Path):
    build(tmp_path / "data", TRAIN, VAL)
    train, test, classes, last, seconds, peak, looks = listed(tmp_path / "data")
    print(f"{seconds:.0f} s, {peak / 1e6:.0f} MB")
    assert (train, test, classes, last) == (TRAIN, VAL, 1000, 999)
    assert looks <= LOOKS
    assert peak < 1e9
