"""Few-shot draws: the field's own, re-derived here with nothing but the standard library."""

import hashlib
import json
import random
from dataclasses import replace

import pytest

from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.episodes import draw_few_shot
from cliptune.errors import UserError
from cliptune.protocols.few_shot import few_shot


def mixed(split: str, counts: dict[int, int]) -> tuple[Item, ...]:
    """Items of several classes in a fixed disorder, so that first appearance is not label order."""
    items = [Item(f"{split}/{label}/{n}.jpg", label) for label, count in counts.items() for n in range(count)]
    return tuple(sorted(items, key=lambda item: hashlib.md5(item.path.encode()).digest()))


TRAIN = mixed("train", {0: 30, 1: 25, 2: 3, 3: 18})
VAL = mixed("val", {0: 9, 1: 2, 2: 5, 3: 6})
TEST = mixed("test", {0: 5, 1: 5, 2: 5, 3: 5})

GOLDEN_TRAIN = ["2/0", "2/2", "3/0", "3/15", "0/0", "0/5", "1/20", "1/6"]
GOLDEN_VAL = ["1/1", "1/0", "0/0", "0/6", "3/3", "3/2", "2/3", "2/1"]


def by_the_global_generator(lists: list[tuple[tuple[Item, ...], int]], seed: int, repeat: bool) -> list[list[Item]]:
    """What Dassl does: seed the module's generator once, then go through the lists."""
    state = random.getstate()
    random.seed(seed)
    drawn = []
    for items, count in lists:
        order: list[int] = []
        for item in items:
            if item.label not in order:
                order.append(item.label)
        out: list[Item] = []
        for label in order:
            group = [item for item in items if item.label == label]
            if len(group) >= count:
                out.extend(random.sample(group, count))
            elif repeat:
                out.extend(random.choices(group, k=count))
            else:
                out.extend(group)
        drawn.append(out)
    random.setstate(state)
    return drawn


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("repeat", [False, True])
def test_draws_are_the_papers(shots, seed, repeat):
    few = min(shots, 4)
    train, val = by_the_global_generator([(TRAIN, shots), (VAL, few)], seed, repeat)
    assert draw_few_shot(TRAIN, VAL, shots, seed, "dassl", repeat) == (tuple(train), tuple(val))
    val, train = by_the_global_generator([(VAL, few), (TRAIN, shots)], seed, repeat)
    assert draw_few_shot(TRAIN, VAL, shots, seed, "cliplora", repeat) == (tuple(train), tuple(val))


def test_these_images_for_ever():
    """Golden: written down once; changes if Python's stream, the order of classes or of lists does."""
    train, val = draw_few_shot(TRAIN, VAL, 2, seed=1)
    assert [item.path for item in train] == [f"train/{name}.jpg" for name in GOLDEN_TRAIN]
    assert [item.path for item in val] == [f"val/{name}.jpg" for name in GOLDEN_VAL]


def test_the_samplers_differ_and_so_do_seeds():
    draws = {draw_few_shot(TRAIN, VAL, 4, seed, sampler) for seed in (1, 2) for sampler in ("dassl", "cliplora")}
    assert len(draws) == 4


def test_the_programs_own_random_numbers_are_left_alone():
    random.seed(5)
    before = random.getstate()
    first = draw_few_shot(TRAIN, VAL, 4, 1)
    assert random.getstate() == before
    random.random()
    assert draw_few_shot(TRAIN, VAL, 4, 1) == first


@pytest.mark.parametrize(("shots", "val_shots"), [(1, 1), (3, 3), (4, 4), (16, 4)])
def test_counts_per_class(shots, val_shots):
    train, val = draw_few_shot(TRAIN, VAL, shots, 1)
    counted = {label: sum(item.label == label for item in train) for label in range(4)}
    assert counted == {0: shots, 1: shots, 2: min(3, shots), 3: shots}
    assert sum(item.label == 1 for item in val) == min(2, val_shots)
    assert sum(item.label == 0 for item in val) == val_shots
    assert len(set(train)) == len(train)


def test_repeat_fills_short_classes():
    train, _ = draw_few_shot(TRAIN, VAL, 16, 1, repeat=True)
    short = [item for item in train if item.label == 2]
    assert len(short) == 16
    assert len(set(short)) <= 3
    assert len({item for item in train if item.label == 0}) == 16


@pytest.mark.parametrize("shots", [0, -1])
def test_no_shots_is_refused(shots):
    with pytest.raises(UserError, match=f"shots = {shots}"):
        draw_few_shot(TRAIN, VAL, shots, 1)


def test_unknown_sampler_is_refused():
    with pytest.raises(UserError, match="one of: dassl, cliplora"):
        draw_few_shot(TRAIN, VAL, 1, 1, "coop")  # type: ignore[arg-type]


def unread(item: Item):
    raise AssertionError("an episode reads no image")


PETS = ImageSet(
    name="pets",
    classes=("red_fox", "cat", "dog", "emu"),
    read=unread,
    templates=("a photo of a {}.", "{}"),
    train=TRAIN,
    val=VAL,
    test=TEST,
)


def test_episode_of_an_image_set():
    episode = few_shot(PETS, 4, 1)
    assert (episode.train, episode.val) == draw_few_shot(TRAIN, VAL, 4, 1)
    assert {name: test.items for name, test in episode.tests.items()} == {"test": TEST}
    assert (episode.protocol, episode.shots, episode.seed) == ("few-shot", 4, 1)
    assert (episode.classes, episode.template) == (PETS.classes, "a photo of a {}.")
    assert not {*episode.train} & {*episode.val} | {*episode.train} & {*TEST} | {*episode.val} & {*TEST}
    assert few_shot(PETS, 4, 1, sampler="cliplora").train == draw_few_shot(TRAIN, VAL, 4, 1, "cliplora")[0]
    assert few_shot(PETS, 16, 1, repeat=True).train == draw_few_shot(TRAIN, VAL, 16, 1, repeat=True)[0]


def test_episode_needs_images_and_a_sound_template():
    with pytest.raises(UserError, match="'pets' has no train images"):
        few_shot(replace(PETS, train=()), 1, 1)
    with pytest.raises(UserError, match="'pets' has no test images"):
        few_shot(replace(PETS, test=()), 1, 1)
    with pytest.raises(UserError, match="where the class name goes"):
        few_shot(PETS, 1, 1, template="a photo")
    assert few_shot(replace(PETS, val=()), 1, 1).val == ()


def test_hash_covers_images_labels_and_classes_only():
    episode = few_shot(PETS, 4, 1)
    assert few_shot(PETS, 4, 1, template="a bad photo of a {}.").sha256 == episode.sha256
    moved = replace(episode.train[0], label=3 - episode.train[0].label)
    others = [
        few_shot(PETS, 4, 2),
        replace(episode, classes=("fox", *episode.classes[1:])),
        replace(episode, train=(moved, *episode.train[1:])),
        replace(episode, train=episode.train[::-1]),
        replace(episode, val=episode.val[1:]),
        replace(episode, tests={"test": replace(episode.tests["test"], items=TEST[1:])}),
        replace(episode, tests={"novel": episode.tests["test"]}),
        replace(episode, tests={"test": replace(episode.tests["test"], classes=PETS.classes[::-1])}),
        replace(episode, train=episode.train[1:], val=(episode.train[0], *episode.val)),
    ]
    assert len({episode.sha256, *(other.sha256 for other in others)}) == 1 + len(others)


def test_saved_episode_says_everything(tmp_path):
    episode = few_shot(PETS, 2, 1)
    episode.save(tmp_path / "episode.json")
    saved = json.loads((tmp_path / "episode.json").read_text())
    assert saved["train"] == [[item.path, item.label] for item in episode.train]
    assert saved["val"] == [[item.path, item.label] for item in episode.val]
    assert saved["tests"] == {"test": [[item.path, item.label] for item in TEST]}
    assert (saved["classes"], saved["sha256"]) == (list(PETS.classes), episode.sha256)
    assert (saved["data"], saved["protocol"], saved["shots"], saved["seed"]) == ("pets", "few-shot", 2, 1)
    counted = json.dumps({key: saved[key] for key in ("classes", "train", "val", "tests")}, sort_keys=True)
    assert hashlib.sha256(counted.replace(", ", ",").replace(": ", ":").encode()).hexdigest() == episode.sha256
