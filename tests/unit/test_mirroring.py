"""Whether training images are mirrored is decided from the images, and said."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from cliptune.datasets import open_set
from cliptune.datasets.base import Augment, ImageSet
from cliptune.models.backbone import Backbone, load
from cliptune.training import mirroring
from cliptune.training.mirroring import (
    Mirroring,
    answers,
    asked_of_each,
    decide,
    decided,
    judge,
    named_like_writing,
    turning_class,
)
from tests.conftest import plan_for, small_method

SHARED = Path(__file__).parents[3] / "shared"
photographs = pytest.mark.skipif(not (SHARED / "models/photo").is_dir(), reason="no photographs: ../shared is absent")


def folder_of(imageset: ImageSet, names: list[str], per_class: int = 20) -> ImageSet:
    """The first images of every class as a folder of PNG files, opened as a user's own."""
    taken = dict.fromkeys(range(len(names)), 0)
    for item in imageset.train:
        if taken[item.label] < per_class:
            taken[item.label] += 1
            file = Path("photos", names[item.label], f"{taken[item.label]:02d}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            imageset.read(item).save(file)
    return open_set("photos")


class TestNames:
    @pytest.mark.parametrize(
        "classes",
        [
            ("0", "1"),
            ("zero", "one"),
            ("digit_seven", "digit_eight"),
            ("class 07", "class 12"),
            ("A", "b", "Ж"),
            ("letter-a", "letter-b"),
            ("capital letter n", "small letter n"),
        ],
    )
    def test_numbers_and_letters(self, classes: tuple[str, ...]) -> None:
        assert "numbers or letters" in named_like_writing(classes)

    @pytest.mark.parametrize("classes", [("turn_left", "stop"), ("ahead", "keep Right"), ("left", "right")])
    def test_directions(self, classes: tuple[str, ...]) -> None:
        assert "left or right" in named_like_writing(classes)

    @pytest.mark.parametrize(
        "classes",
        [
            ("cat", "dog"),
            ("BMW X5 2007", "lorry"),
            ("Boeing 747", "kite"),
            ("bright_star", "cleft"),
            ("Audi S4 Sedan 2012", "BMW X5 SUV 2007"),
            ("Boeing 737", "Boeing 747"),
            ("hepatitis A", "hepatitis B"),
            ("grade I", "grade V"),
            ("猫", "狗"),
            ("개", "소"),
        ],
    )
    def test_other_names(self, classes: tuple[str, ...]) -> None:
        assert named_like_writing(classes) == ""


class TestAnswers:
    def test_leaving_one_out_is_what_fitting_without_it_gives(self) -> None:
        """The closed form against ridge regressions fitted n times, on features that hardly tell the classes apart."""
        generator = torch.Generator().manual_seed(3)
        labels = torch.arange(24) % 3
        features = torch.randn(24, 5, generator=generator) + 1.5 * functional.one_hot(labels, 5)
        mirrored = features + torch.randn(24, 5, generator=generator)
        ridges = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
        counted = []
        for ridge in ridges:
            middle = features.double().mean(0)
            x, z = features.double() - middle, mirrored.double() - middle
            spread = 24 * float(x.square().sum(1).mean())
            x, z = (torch.cat([part, torch.ones(24, 1)], dim=1) for part in (x, z))
            right = []
            for left_out in range(24):
                kept = torch.arange(24) != left_out
                inverse = torch.linalg.inv(x[kept].T @ x[kept] + ridge * spread * torch.eye(6, dtype=x.dtype))
                weights = inverse @ x[kept].T @ functional.one_hot(labels[kept], 3).double()
                right.append([int((part[left_out] @ weights).argmax() == labels[left_out]) for part in (x, z)])
            counted.append(np.array(right, dtype=bool).T)
        best = max(counted, key=lambda both: both[0].sum())
        kept, after = answers(features, mirrored, labels)
        np.testing.assert_array_equal(np.stack([kept, after]), best)
        assert 0.4 < kept.mean() < 1

    @pytest.mark.parametrize(
        ("right", "right_mirrored", "classes", "augment", "by"),
        [
            (180, 176, 10, "photo", "answers"),
            (180, 60, 10, "affine", "answers"),
            (20, 19, 10, "crop", "unsure"),  # no better than guessing: it cannot say
            (180, 140, 10, "affine", "answers"),
            (60, 50, 5, "crop", "unsure"),
        ],
    )
    def test_judgement(self, right: int, right_mirrored: int, classes: int, augment: str, by: str) -> None:
        kept, mirrored = np.arange(200) < right, np.arange(200) < right_mirrored
        found = judge(kept, mirrored, [str(place % classes) for place in range(200)])
        assert (found.augment, found.by) == (augment, by)
        assert f"{right / 2:.0f} % as they are" in found.why

    def test_few_images_do_not_mirror(self) -> None:
        assert judge(np.ones(8, dtype=bool), np.ones(8, dtype=bool), ["a", "b"] * 4).by == "unsure"

    def test_a_sure_loss_wins_over_a_small_one(self) -> None:
        """30 of 192 lost: surely more than 10 % and surely less than 25."""
        found = judge(np.ones(192, dtype=bool), np.arange(192) >= 30, ["a", "b"] * 96)
        assert found.lost is not None
        assert 0.10 <= found.lost[0] < found.lost[1] <= 0.25
        assert found.augment == "affine"
        assert "much worse" in found.why

    def test_one_class_among_many_that_turns(self) -> None:
        names = [f"sign {place // 20}" for place in range(400)]
        kept = np.ones(400, dtype=bool)
        mirrored = np.array([name != "sign 7" for name in names])
        assert judge(kept, kept, names).augment == "photo"
        found = judge(kept, mirrored, names)
        assert (found.augment, found.by) == ("affine", "answers")
        assert "'sign 7'" in found.why


class TestDecision:
    def test_a_folder_of_digits_is_not_mirrored(self, mini: Backbone, digits: ImageSet) -> None:
        assert folder_of(digits, [str(label) for label in range(10)]).augment.kind == "auto"
        found = decide(open_set("photos"), mini)
        assert (found.augment, found.by) == ("affine", "names")

    def test_whatever_its_classes_are_called(self, mini: Backbone, digits: ImageSet) -> None:
        found = decide(folder_of(digits, [f"kind {chr(97 + label) * 3}" for label in range(10)]), mini)
        assert (found.augment, found.by) == ("affine", "colour")

    def test_coloured_digits_are_told_by_the_backbone(self, mini: Backbone) -> None:
        drawn = open_set("world/digits")
        found = decide(folder_of(drawn, [f"kind {chr(97 + label) * 3}" for label in range(10)]), mini)
        assert (found.augment, found.by, found.images) == ("affine", "answers", 10 * 14)
        assert found.accuracy is not None
        assert found.mirrored_accuracy is not None
        assert found.accuracy - found.mirrored_accuracy > 0.3

    def test_it_does_not_depend_on_seed_and_shots(self, mini: Backbone) -> None:
        own = folder_of(open_set("world/digits"), [f"kind {chr(97 + label) * 3}" for label in range(10)])
        plans = [
            plan_for(mini, own, small_method("lora"), protocol__seed=seed, protocol__shots=shots)
            for seed, shots in ((1, 4), (2, 1))
        ]
        assert plans[0].mirroring == plans[1].mirroring
        assert plans[0].recipe.train.augment == "affine"

    def test_it_is_decided_once_for_the_same_images(self, mini: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
        own = folder_of(open_set("world/digits"), [f"kind {chr(97 + label) * 3}" for label in range(10)], per_class=3)
        said: list[str] = []
        first = decided(own, mini, said.append)
        with monkeypatch.context() as patched:
            patched.setattr(mirroring, "decide", None)
            assert decided(open_set("photos"), mini, said.append) == first
        assert said == ["testing on 20 of your images whether mirroring changes what they show …"]
        one, other = (Path("photos", item.path) for item in (own.train[0], own.train[-1]))
        one.write_bytes(other.read_bytes() + b"\0")
        decided(open_set("photos"), mini, said.append)
        assert len(said) == 2

    def test_an_unreadable_image_is_passed_over(self, mini: Backbone) -> None:
        folder_of(open_set("world/digits"), [f"kind {chr(97 + label) * 3}" for label in range(10)])
        before = decide(open_set("photos"), mini)
        Path("photos/kind aaa/00.png").write_bytes(b"no image")
        after = decide(open_set("photos"), mini)
        assert after.by == before.by == "answers"

    def test_a_class_of_one_image_decides_nothing(self, mini: Backbone) -> None:
        for name in ("cat", "dog"):
            Path("photos", name).mkdir(parents=True)
            Image.new("RGB", (40, 40), (200, 30, 30)).save(Path("photos", name, "1.png"))
        assert decide(dataclasses.replace(open_set("photos"), val=()), mini).by == "unsure"

    @photographs
    def test_photographs_are_mirrored(self) -> None:
        wide = open_set(str(SHARED / "data/caltech-wide/101_ObjectCategories"))
        found = decide(wide, load(str(SHARED / "models/photo")))
        assert (found.augment, found.by, found.images) == ("photo", "answers", 24 * asked_of_each(24))


@pytest.mark.parametrize("classes", [2, 10, 24])
def test_a_single_class_that_turns_is_seen_among_as_many_as_are_asked(classes: int) -> None:
    """Every image of one class is told worse, all others as before: the images put to the question suffice."""
    names = np.repeat([f"class {number:02}" for number in range(classes)], asked_of_each(classes))
    kept = np.ones(len(names), bool)
    assert turning_class(kept, names != "class 01", names) == "class 01"
    assert turning_class(kept, kept, names) is None


class TestPlans:
    def test_a_published_set_is_varied_as_it_declares(self, mini: Backbone, few_digits: ImageSet) -> None:
        plan = plan_for(mini, few_digits, small_method("lora"))
        assert plan.mirroring is None
        assert plan.recipe.train.augment == "data"
        assert plan.augment().kind == "affine"

    def test_what_is_typed_wins_and_nothing_is_measured(
        self, mini: Backbone, digits: ImageSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object) -> Mirroring:
            raise AssertionError("decided although it was typed")

        monkeypatch.setattr("cliptune.planning.decided", never)
        own = folder_of(digits, [str(label) for label in range(10)])
        for typed, kind, flip in (("photo", "photo", 0.5), ("crop", "photo", 0.0), ("none", "none", 0.5)):
            plan = plan_for(mini, own, small_method("lora"), train__augment=typed)
            assert (plan.augment().kind, plan.augment().flip) == (kind, flip)

    @pytest.mark.parametrize("name", ["zero_shot", "linear_probe"])
    def test_nothing_is_decided_where_nothing_is_trained_by_steps(
        self, name: str, mini: Backbone, digits: ImageSet
    ) -> None:
        plan = plan_for(mini, folder_of(digits, [str(label) for label in range(10)]), small_method(name))
        assert plan.mirroring is None


@pytest.mark.parametrize(
    ("augment", "told"),
    [
        (Augment(crop=(0.5, 1.0)), "random crops of 50–100 % of the area, half of them mirrored"),
        (Augment().chosen("crop", (0.08, 1.0)), "random crops of 8–100 % of the area, never mirrored"),
        (Augment().chosen("none", (0.08, 1.0)), "as they are, not varied"),
        (Augment(kind="affine").chosen("data", (0.08, 1.0)), "turned by up to 7°, sized by up to 12 %, "),
    ],
)
def test_augmentation_in_words(augment: Augment, told: str) -> None:
    assert augment.told().startswith(told)
