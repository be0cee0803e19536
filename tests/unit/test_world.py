"""The drawn world: repeatable, truthful captions, nothing held out ever shown, seven well-formed tasks."""

import hashlib
from collections import Counter
from random import Random

import pytest
import torch

from cliptune.datasets.base import prompts
from cliptune.datasets.sets import world
from cliptune.datasets.world import (
    COLOURS,
    DIGITS,
    HELD_OUT_FONTS,
    HELD_OUT_PAIRS,
    SHAPES,
    TRAINING_FONTS,
    Scene,
    describe,
    random_scene,
    render,
    scene_of,
)
from cliptune.datasets.world.captions import plural
from cliptune.errors import UserError
from cliptune.models.mini.pretrain import Teacher, lesson

KINDS = ("digit", "capital", "lowercase", "shape")


def scenes(seed: int, count: int) -> list[Scene]:
    rng = Random(seed)
    return [random_scene(rng, KINDS[i % 4], easy=i % 3 == 0) for i in range(count)]


def noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestSeeds:
    def test_same_seed_same_batch(self):
        (images, captions), (again, captions_again) = (Teacher(5).batch(32, lesson(0.5)) for _ in range(2))
        assert torch.equal(images, again)
        assert captions == captions_again

    def test_other_seed_other_batch(self):
        images, captions = Teacher(5).batch(32, lesson(0.5))
        other, other_captions = Teacher(6).batch(32, lesson(0.5))
        assert not torch.equal(images, other)
        assert captions != other_captions

    def test_global_generators_are_left_alone(self):
        before = torch.random.get_rng_state()
        Teacher(5).batch(8, lesson(0.5))
        assert torch.equal(before, torch.random.get_rng_state())


class TestImages:
    def test_form_and_range(self):
        images = render(scenes(0, 64), noise(0))
        assert images.shape == (64, 3, 32, 32)
        assert images.min() >= 0
        assert images.max() <= 1
        assert not images.isnan().any()

    @pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
    def test_a_shape_is_to_be_seen(self, shape):
        scene = Scene("shape", shape, "white", "black", dimmed=True, style="drawing")
        image = render([scene], noise(0))[0]
        assert 0.05 < (image.mean(0) > 0.5).float().mean() < 0.8

    def test_colour_is_as_named(self):
        for colour, values in COLOURS.items():
            scene = Scene("shape", SHAPES.index("square"), colour, "white", dimmed=False, style="drawing")
            middle = render([scene], noise(1))[0, :, 16, 16]
            assert (middle - torch.tensor(values)).abs().max() < 0.3, colour

    def test_black_and_white_has_no_colour(self):
        scene = Scene("digit", 3, "red", "blue", dimmed=False, font=TRAINING_FONTS[0], style="black and white photo")
        image = render([scene], noise(0))[0]
        assert (image - image.mean(0, keepdim=True)).abs().mean() < 0.05

    def test_companions_are_painted(self):
        rng = Random(3)
        pairs = [scene for scene in (random_scene(rng, "shape") for _ in range(200)) if scene.companion]
        alone = [Scene(**{**vars(scene), "companion": None}) for scene in pairs]
        assert pairs
        assert not torch.equal(render(pairs, noise(0)), render(alone, noise(0)))


class TestCaptions:
    def test_single_things_are_named(self):
        rng = Random(0)
        for scene in scenes(1, 400):
            text = describe(scene, rng)
            words = text.rstrip(".").split()
            if scene.companion:
                assert scene.name in words
                assert scene.companion.shape in words
            elif len(scene.places) > 1:
                assert f"{DIGITS[len(scene.places)]} " in text
                assert plural(scene.name) in words
            elif scene.kind == "digit":
                assert scene.name in words or str(scene.label) in words
            else:
                assert scene.name.lower() in words

    def test_colours_said_are_colours_shown(self):
        rng = Random(0)
        for scene in scenes(2, 400):
            text = describe(scene, rng, colour=1.0)
            shown = {scene.colour, scene.ground} | ({scene.companion.colour} if scene.companion else set())
            said = set(text.rstrip(".").split()) - {"black", "white"} & set(COLOURS)
            assert said & set(COLOURS) <= shown | {"black", "white"}
            if scene.style == "black and white photo":
                assert not said & (set(COLOURS) - {"black", "white"})

    def test_generic_captions_name_the_colour_only(self):
        rng = Random(0)
        scene = Scene("shape", SHAPES.index("star"), "orange", "black", dimmed=True, style="photo", easy=True)
        for _ in range(20):
            text = describe(scene, rng, generic=1.0)
            assert "star" not in text
            assert "orange shape" in text or "orange object" in text

    def test_one_scene_in_many_wordings(self):
        rng = Random(0)
        scene = Scene("digit", 3, "white", "black", dimmed=True, font=TRAINING_FONTS[0], easy=True)
        texts = {describe(scene, rng, colour=0.0) for _ in range(40)}
        assert len(texts) > 3
        assert all("three" in text or "3" in text for text in texts)


class TestHeldOut:
    def test_pairs_are_never_shown(self):
        rng = Random(0)
        seen = set()
        for _ in range(6000):
            scene = random_scene(rng, "shape", easy=rng.random() < 0.5)
            seen.add((scene.colour, scene.name))
            if scene.companion:
                seen.add((scene.companion.colour, scene.companion.shape))
        everything = {(colour, shape) for colour in COLOURS for shape in SHAPES}
        assert not seen & HELD_OUT_PAIRS
        assert len(everything - seen - HELD_OUT_PAIRS) < 5

    def test_every_colour_and_shape_has_a_held_out_pair(self):
        assert {colour for colour, _ in HELD_OUT_PAIRS} == set(COLOURS)
        assert {shape for _, shape in HELD_OUT_PAIRS} == set(SHAPES)

    def test_fonts_are_never_used(self):
        fonts = {scene.font for scene in scenes(0, 2000)} - {""}
        assert fonts == set(TRAINING_FONTS)
        assert not fonts & set(HELD_OUT_FONTS)

    def test_held_out_things_can_be_asked_for(self):
        colour, shape = sorted(HELD_OUT_PAIRS)[0]
        scene = scene_of(Random(0), "shape", SHAPES.index(shape), colour)
        assert (scene.colour, scene.name) == (colour, shape)


class TestTasks:
    @pytest.mark.parametrize("task", world.tasks)
    def test_counts_and_paths(self, task):
        image_set = world.load(task=task)
        sizes = (16, 4) if task == "combinations" else (64, 16)
        for items, per_class in zip((image_set.train, image_set.val), sizes, strict=True):
            assert Counter(item.label for item in items) == dict.fromkeys(range(len(image_set.classes)), per_class)
        assert len(set(Counter(item.label for item in image_set.test).values())) == 1
        assert image_set.test[17].path == f"world/{task}/test/0017"
        assert image_set.augment.kind == "affine"

    @pytest.mark.parametrize("task", world.tasks)
    def test_no_image_twice(self, task):
        image_set = world.load(task=task)
        items = image_set.train + image_set.val + image_set.test
        pictures = [image_set.read(item) for item in items]
        assert {picture.size for picture in pictures} == {(32, 32)}
        assert {picture.mode for picture in pictures} == {"RGB"}
        assert len({hashlib.sha256(picture.tobytes()).digest() for picture in pictures}) == len(items)

    def test_the_same_on_every_draw(self):
        item = world.load(task="counts").val[5]
        before = world.load(task="counts").read(item).tobytes()
        world._drawn.cache_clear()
        assert world.load(task="counts").read(item).tobytes() == before

    @pytest.mark.parametrize(
        ("task", "prompt"),
        [
            ("digits", "a photo of the digit zero"),
            ("capitals", "a photo of the capital letter A"),
            ("shapes", "a photo of the circle"),
            ("colours", "a photo of the red shape"),
            ("counts", "a photo of one object"),
            ("pairs", f"a photo of the {world.PAIRS[0][0]} {world.PAIRS[0][1]}"),
            ("styles", "a photo of the circle"),
            ("combinations", "a photo of the red circle"),
        ],
    )
    def test_prompts_are_sentences(self, task, prompt):
        image_set = world.load(task=task)
        assert prompts(image_set.classes, image_set.templates[0])[0] == prompt

    def test_novel_pairs_are_those_the_mini_clip_never_saw(self):
        half = len(world.PAIRS) // 2
        assert not set(world.PAIRS[:half]) & HELD_OUT_PAIRS
        assert set(world.PAIRS[half:]) <= HELD_OUT_PAIRS
        assert len(set(world.PAIRS)) == 40

    def test_combinations_are_every_shape_in_every_colour(self):
        image_set = world.load(task="combinations")
        assert set(image_set.classes) == {f"{colour} {shape}" for colour in COLOURS for shape in SHAPES}
        assert len(image_set.classes) == len(COLOURS) * len(SHAPES) == 288

    def test_every_style_is_a_domain_with_every_shape(self):
        image_set = world.load(task="styles")
        assert image_set.domains == world.STYLES
        counts = Counter((item.domain, item.label) for item in image_set.train)
        assert counts == {(style, label): 16 for style in world.STYLES for label in range(24)}

    @pytest.mark.parametrize("task", ["", "animals"])
    def test_unknown_task_is_refused(self, task):
        with pytest.raises(UserError) as error:
            world.load(task=task)
        assert all(name in error.value.fix for name in world.tasks)

    def test_unknown_image_is_refused(self):
        image_set = world.load(task="counts")
        with pytest.raises(UserError, match="no image"):
            image_set.read(type(image_set.val[0])("world/counts/val/9999", 0))
