"""What each protocol trains on, chooses on and tests on."""

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliptune.datasets.base import ImageSet, Item
from cliptune.datasets.episodes import Episode, draw_few_shot
from cliptune.datasets.published import Facts, OpenSet
from cliptune.errors import UserError
from cliptune.protocols import make_episode, resolved
from cliptune.protocols.base_to_novel import base_to_novel
from cliptune.protocols.domain_generalization import domain_generalization
from cliptune.protocols.few_shot import few_shot
from cliptune.protocols.out_of_distribution import out_of_distribution
from cliptune.recipe import ProtocolSettings
from cliptune.statistics import harmonic


def image_set(classes: int, each: int = 20, name: str = "things", **more: object) -> ImageSet:
    """Every class with `each` training, 3 validation and 2 test images, the lists not in the order of labels."""

    def items(split: str, count: int) -> tuple[Item, ...]:
        order = [(7 * label + 3) % classes if classes % 7 else label for label in range(classes)]
        return tuple(Item(f"{split}/{label}/{n}.jpg", label) for label in order for n in range(count))

    names = tuple(f"class_{label}" for label in range(classes))
    parts = {"train": items("train", each), "val": items("val", 3), "test": items("test", 2), "classes": names}
    return ImageSet(name, read=lambda item: None, **{**parts, **more})  # type: ignore[arg-type, return-value]


DOMAINS = ("art", "cartoon", "photo", "sketch")


def domain_set(open_set: OpenSet | None = None, domains: tuple[str, ...] = DOMAINS, classes: int = 5) -> ImageSet:
    """Train and val lists per domain; test is both, as Dassl tests a held-out domain."""
    train = tuple(Item(f"{d}/{c}/t{n}.jpg", c, d) for d in domains for c in range(classes) for n in range(4))
    val = tuple(Item(f"{d}/{c}/v0.jpg", c, d) for d in domains for c in range(classes))
    facts = Facts("Domains", "", "", ("domains",), classes=5, domains=domains, open_set=open_set)
    parts = {"train": train, "val": val, "test": train + val}
    return image_set(classes, name="domains", domains=domains, facts=facts, **parts)


def paths(items: tuple[Item, ...]) -> list[str]:
    return [item.path for item in items]


# base to novel


@pytest.mark.parametrize("classes", [2, 5, 10, 37, 47])
def test_base_is_the_first_half_rounded_up_and_both_are_numbered_from_zero(classes: int) -> None:
    episode = base_to_novel(few_shot(image_set(classes), 2, 1))
    base, novel = episode.tests["base"], episode.tests["novel"]
    assert len(base.classes) == ceil(classes / 2)
    assert base.classes + novel.classes == image_set(classes).classes
    for test in (base, novel):
        assert sorted({item.label for item in test.items}) == list(range(len(test.classes)))
        assert all(test.classes[item.label] == f"class_{item.path.split('/')[1]}" for item in test.items)
    assert episode.classes == base.classes
    assert {item.label for item in (*episode.train, *episode.val)} == set(range(len(base.classes)))


@given(st.integers(2, 30), st.integers(1, 5), st.integers(0, 1000))
def test_the_shots_are_drawn_before_halving(classes: int, shots: int, seed: int) -> None:
    whole = few_shot(image_set(classes), shots, seed)
    base, novel = base_to_novel(whole), base_to_novel(whole, "novel")
    assert set(paths(base.train)) | set(paths(novel.train)) == set(paths(whole.train))
    assert not set(paths(base.train)) & set(paths(novel.train))
    assert set(paths(base.val)) | set(paths(novel.val)) == set(paths(whole.val))


def test_training_on_novel_swaps_the_classes_not_the_tests() -> None:
    whole = few_shot(image_set(5), 2, 1)
    episode = base_to_novel(whole, "novel")
    assert episode.classes == ("class_3", "class_4")
    assert list(episode.tests) == ["base", "novel"]
    assert episode.sha256 != base_to_novel(whole).sha256


def test_the_harmonic_mean() -> None:
    assert harmonic(0.8, 0.6) == pytest.approx(2 * 0.8 * 0.6 / 1.4)
    assert harmonic(0.0, 0.6) == 0


def test_one_class_cannot_be_halved() -> None:
    with pytest.raises(UserError, match="needs at least two"):
        base_to_novel(few_shot(image_set(1), 1, 1))


# out of distribution


def test_other_sets_bring_their_own_names_and_prompts() -> None:
    source, sketches = image_set(4), image_set(2, name="other", templates=("a sketch of a {}.",))
    other = replace(sketches, classes=("cat", "dog"))
    episode = out_of_distribution(few_shot(source, 2, 1, protocol="out-of-distribution"), [other])
    assert list(episode.tests) == ["test", "other"]
    assert episode.tests["test"].classes == source.classes
    assert (episode.tests["other"].classes, episode.tests["other"].template) == (("cat", "dog"), "a sketch of a {}.")
    assert episode.tests["other"].imageset is other
    same = out_of_distribution(few_shot(source, 2, 1), [other], template="a {}")
    assert same.tests["other"].template == "a {}"
    assert paths(episode.train) == paths(few_shot(source, 2, 1).train)


def test_other_sets_need_a_test_split_and_a_name_of_their_own() -> None:
    few = few_shot(image_set(4), 2, 1)
    with pytest.raises(UserError, match="'other' has no test images"):
        out_of_distribution(few, [image_set(2, name="other", test=())])
    with pytest.raises(UserError, match="more than once"):
        out_of_distribution(few, [image_set(2, name="things")])
    with pytest.raises(UserError, match="cannot be called 'validation'"):
        out_of_distribution(few, [image_set(2, name="validation")])


def test_notes_on_other_copies_are_told_with_their_names() -> None:
    source = image_set(4, notes=("short of images",))
    other = image_set(2, name="other", notes=("6 images, not 10,000",))
    episode = out_of_distribution(few_shot(source, 2, 1), [other])
    assert episode.notes == ("short of images", "other: 6 images, not 10,000")


# domain generalization


@pytest.mark.parametrize("target", DOMAINS)
def test_the_held_out_domain_is_only_tested_on(target: str) -> None:
    episode = domain_generalization(domain_set(), target, 1)
    assert {item.domain for item in episode.train} == {item.domain for item in episode.val} == {*DOMAINS} - {target}
    assert {item.domain for item in episode.tests["test"].items} == {target}
    assert len(episode.train) == 3 * 5 * 4
    assert len(episode.tests["test"].items) == 5 * 5, "train and val of the target"
    assert (episode.target, episode.shots) == (target, None)


def test_the_val_split_alone_as_odg_clip_tests() -> None:
    episode = domain_generalization(domain_set(), "photo", 1, target_split="val")
    assert paths(episode.tests["test"].items) == [f"photo/{c}/v0.jpg" for c in range(5)]


def test_shots_are_per_class_and_domain() -> None:
    episode = domain_generalization(domain_set(), "photo", 1, shots=2)
    assert len(episode.train) == 3 * 5 * 2
    assert paths(episode.train) == paths(domain_generalization(domain_set(), "photo", 1, shots=2).train)
    assert paths(episode.train) != paths(domain_generalization(domain_set(), "photo", 2, shots=2).train)


OPEN = OpenSet((frozenset({3, 0}), frozenset({0, 2}), frozenset({2})), unknown=frozenset({1, 4}))


def without(imageset: ImageSet, domain: str, labels: set[int]) -> ImageSet:
    """The set without a domain's test images of these classes."""
    kept = tuple(item for item in imageset.test if item.domain != domain or item.label not in labels)
    return replace(imageset, test=kept)


def test_the_open_set_gives_each_source_its_classes() -> None:
    episode = domain_generalization(domain_set(OPEN), "sketch", 1, open_set=True)
    seen = {(item.domain, episode.classes[item.label]) for item in episode.train}
    assert seen == {
        *(("art", f"class_{c}") for c in (3, 0)),
        *(("cartoon", f"class_{c}") for c in (0, 2)),
        ("photo", "class_2"),
    }
    assert episode.classes == ("class_0", "class_2", "class_3")
    assert {episode.classes[item.label] for item in episode.tests["test"].items} == {*episode.classes}
    unknown = episode.tests["unknown"]
    assert not unknown.known
    assert {item.path.split("/")[1] for item in unknown.items} == {"1", "4"}
    assert {item.label for item in unknown.items} == {-1}


def test_known_test_classes_may_be_fewer_than_the_sources_have() -> None:
    some = replace(OPEN, known=frozenset({0, 3}))
    episode = domain_generalization(domain_set(some), "sketch", 1, open_set=True)
    assert {episode.classes[item.label] for item in episode.tests["test"].items} == {"class_0", "class_3"}
    assert len(episode.classes) == 3


@pytest.mark.parametrize(
    ("imageset", "options", "told"),
    [
        (image_set(4), {"target": "photo"}, "has no domains"),
        (domain_set(), {"target": ""}, "which domain"),
        (domain_set(), {"target": "skech"}, "did you mean"),
        (domain_set(), {"target": "photo", "open_set": True}, "no open-set classes are known"),
        (domain_set(OPEN, DOMAINS[:3]), {"target": "art", "open_set": True}, "are for 3 sources, here are 2"),
        (replace(domain_set(), val=()), {"target": "photo", "target_split": "val"}, "no val images of 'photo'"),
        (domain_set(OPEN, classes=4), {"target": "photo", "open_set": True}, "numbers among 5, this copy has 4"),
        (without(domain_set(OPEN), "photo", {1, 4}), {"target": "photo", "open_set": True}, "unknown classes"),
        (without(domain_set(OPEN), "photo", {0, 2, 3}), {"target": "photo", "open_set": True}, "of known classes"),
    ],
)
def test_refused_domains(imageset: ImageSet, options: dict, told: str) -> None:
    target = options.pop("target")
    with pytest.raises(UserError, match=told):
        domain_generalization(imageset, target, 1, **options)


# from settings


def of(imageset: ImageSet, *others: ImageSet, **settings: object) -> Episode:
    chosen = resolved(ProtocolSettings(**settings), imageset)  # type: ignore[arg-type]
    return make_episode(chosen, imageset, "", {other.name: other for other in others}.__getitem__)


def test_full_data_is_everything() -> None:
    episode = of(image_set(4), name="full-data")
    assert (episode.train, episode.val, episode.shots) == (image_set(4).train, image_set(4).val, None)
    assert episode.protocol == "full-data"
    assert of(image_set(4), name="few-shot", shots="all").protocol == "full-data", "the same by another name"


@pytest.mark.parametrize(("name", "shots"), [("few-shot", 16), ("base-to-novel", 16), ("full-data", None)])
def test_shots_where_nothing_is_said(name: str, shots: int | None) -> None:
    assert of(image_set(4), name=name).shots == shots


def test_settings_reach_the_protocol() -> None:
    assert of(image_set(5), name="base-to-novel", half="novel").classes == ("class_3", "class_4")
    other = image_set(2, name="other")
    assert list(of(image_set(5), other, name="cross-dataset", tests=("other",)).tests) == ["test", "other"]
    assert of(domain_set(), name="domain-generalization", target="Sketch", shots=1).target == "sketch"


def test_the_papers_tests_are_taken_where_none_are_named() -> None:
    facts = Facts("Things", "", "", ("things",), tests={"out-of-distribution": ("other",)})
    source, other = image_set(5, facts=facts), image_set(2, name="other")
    assert list(of(source, other, name="out-of-distribution").tests) == ["test", "other"]
    with pytest.raises(UserError, match="on which image sets"):
        of(source, other, name="cross-dataset")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "few-shot", "target": "photo"}, "protocol.target has no meaning under few-shot"),
        ({"name": "base-to-novel", "tests": ("other",)}, "protocol.tests has no meaning under base-to-novel"),
        ({"name": "full-data", "shots": 4}, "full-data with 4 shots"),
        ({"name": "few-shot", "half": "novel"}, "protocol.half has no meaning under few-shot"),
        ({"name": "few-shot", "open_set": True}, "protocol.open_set has no meaning under few-shot"),
    ],
)
def test_settings_of_another_protocol_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        of(image_set(5), **settings)


# validation that is the test


def test_nothing_is_chosen_on_the_test() -> None:
    facts = Facts("Things", "", "", ("things",), val_is_test=True)
    source = image_set(4, facts=facts)
    assert few_shot(source, 2, 1).val == ()
    assert paths(few_shot(source, 2, 1).train) == paths(draw_few_shot(source.train, (), 2, 1)[0])
    assert few_shot(source, None, 1).val == ()
    drawn = few_shot(source, 2, 1, sampler="cliplora")
    both = paths(drawn.train) + paths(drawn.val)
    assert len(set(both)) == len(both) == 4 * (2 + 2)
    assert set(both) <= set(paths(source.train))
