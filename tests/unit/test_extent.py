"""What a run goes through, and the decoded images it keeps."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cliptune.datasets import open_set
from cliptune.models import zoo
from cliptune.protocols import make_episode, resolved
from cliptune.recipe import Recipe, resolve
from cliptune.studies.estimate import class_work
from cliptune.studies.extent import TYPICAL, Extent, extent, kept_bytes


def recipe(name: str, **options: Any) -> Recipe:
    return resolve(name, {key.replace("__", "."): value for key, value in options.items()}, "small")


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """A folder of images of a known size, 12 of one class and 30 of another."""
    for name, number in (("cat", 12), ("dog", 30)):
        for place in range(number):
            path = tmp_path / "uneven" / name / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (60, 40), (place, 100, 50)).save(path)
    return tmp_path / "uneven"


def test_own_images_are_counted_and_their_size_is_read(uneven: Path) -> None:
    opened = open_set(str(uneven))
    size = extent(recipe("lora", data__name=str(uneven), protocol__shots="all"), "")
    assert size is not None
    assert (size.classes, size.train, size.val, size.tests) == (2, *map(len, (opened.train, opened.val, opened.test)))
    assert size.image_bytes == 3 * 60 * 40


@pytest.mark.parametrize("target", ["drawing", "sketch"])
def test_a_held_out_domain_counts_its_own_images(target: str) -> None:
    chosen = recipe("lora", data__name="world/styles", protocol__name="domain-generalization", protocol__target=target)
    opened = open_set("world/styles")
    episode = make_episode(resolved(chosen.protocol, opened), opened, "", open_set)
    size = extent(chosen, "")
    assert size is not None
    assert (size.train, size.val, size.tests) == (
        len(episode.train),
        len(episode.val),
        len(episode.tests["test"].items),
    )


SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not (SHARED / "pacs").is_dir(), reason=f"the cut of PACS is not in {SHARED}")
def test_domains_that_differ_in_size_differ_in_what_they_take() -> None:
    sizes = {}
    for target in ("sketch", "photo"):
        chosen = recipe("lora", data__name="pacs", protocol__name="domain-generalization", protocol__target=target)
        sizes[target] = extent(chosen, str(SHARED))
    assert sizes["sketch"].tests > sizes["photo"].tests
    assert sizes["sketch"].train < sizes["photo"].train
    assert sizes["photo"].image_bytes == 3 * 227 * 227, "read from the files' headers"


def test_a_set_that_is_not_here_has_images_of_a_typical_size() -> None:
    size = extent(recipe("lora", data__name="caltech101"), "")
    assert size is not None
    assert (size.image_bytes, size.val) == (TYPICAL, 400)


@pytest.mark.parametrize(
    ("augment", "trained", "train_bytes"),
    [("photo", True, 900), ("crop", True, 900), ("affine", True, 48), ("none", True, 48), ("photo", False, 48)],
)
def test_images_are_kept_whole_where_steps_crop_them(augment: str, trained: bool, train_bytes: int) -> None:
    size = Extent(classes=2, train=10, tests=7, val=3, image_bytes=900)
    assert kept_bytes(size, augment, 4, most=1 << 30, trained=trained) == 10 * train_bytes + 3 * 48 + 7 * 48
    assert kept_bytes(size, augment, 4, most=0, trained=trained) == 0


def test_the_memory_of_a_run_counts_what_it_keeps(uneven: Path) -> None:
    few, every = (class_work(recipe("lora", data__name=str(uneven), protocol__shots=shots), "") for shots in (1, "all"))
    size = extent(recipe("lora", data__name=str(uneven), protocol__shots="all"), "")
    assert few is not None
    assert every is not None
    assert size is not None
    side = zoo.clip_config("mini").vision_config.image_size
    more_val = size.val - 2
    assert every.bytes - few.bytes == (size.train - 2) * size.image_bytes + more_val * 3 * side**2


def test_a_head_that_is_fitted_reads_the_training_images_once() -> None:
    probe, nothing = (
        class_work(recipe(name, data__name="digits", protocol__shots=4), "") for name in ("linear_probe", "zero_shot")
    )
    assert probe is not None
    assert nothing is not None
    measured, fitted = 2 * (1000 + 4 * 10), 4 * 10 + 4 * 10
    assert probe.further_operations / nothing.further_operations == pytest.approx((measured + fitted) / measured)
