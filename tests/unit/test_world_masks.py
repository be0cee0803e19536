"""Drawn objects: exact masks, prompts that mark all they are true of, the same on every draw, drawn when first read."""

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from cliptune.datasets.mask_sets import names, open_masks, world
from cliptune.datasets.segmentation import MaskSet, prompt_of
from cliptune.datasets.world import COLOURS, HELD_OUT_FONTS, HELD_OUT_PAIRS, SHAPES, Scene
from cliptune.datasets.world.objects import MOST_THINGS, Picture, draw, random_picture, refer
from cliptune.errors import UserError

SETS = ("world/objects", "world/glyphs")


def noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(seed: int, count: int) -> list[Picture]:
    rng = Random(seed)
    return [random_picture(rng) for _ in range(count)]


def thing(shape: str, colour: str, x: float = 0.0, y: float = 0.0, style: str = "drawing") -> Scene:
    label = SHAPES.index(shape)
    return Scene("shape", label, colour, "black", dimmed=True, style=style, size=0.4, places=((x, y),))


PLAIN = Picture((thing("star", "red", -0.5, -0.5), thing("star", "cyan", 0.5, -0.5), thing("ring", "red", 0.0, 0.5)))


@pytest.fixture(scope="module", params=SETS)
def drawn(request: pytest.FixtureRequest) -> MaskSet:
    return open_masks(request.param)


class TestMasks:
    def test_form(self):
        images, masks = draw(pictures(0, 8), noise(0))
        assert images.shape == (8, 3, 96, 96)
        assert masks.shape == (8, MOST_THINGS, 96, 96)
        assert masks.dtype == torch.bool
        assert 0 <= images.min() < images.max() <= 1

    def test_colours_differ_inside_and_outside(self):
        """Bright things on a black ground: the masks are the bright pixels, but for a few on the soft edges."""
        images, masks = draw([PLAIN], noise(0))
        bright = images[0].amax(dim=0) > 0.5 * images[0].amax()
        assert (masks[0].any(dim=0) == bright).float().mean() > 0.995
        for number, each in enumerate(PLAIN.things):
            inside = images[0][:, masks[0, number]].mean(dim=1)
            assert (inside - torch.tensor(COLOURS[each.colour])).abs().max() < 0.35

    def test_a_mask_lies_where_its_thing_stands(self):
        masks = draw([PLAIN], noise(0))[1][0]
        for number, each in enumerate(PLAIN.things):
            ys, xs = masks[number].nonzero(as_tuple=True)
            centre = torch.stack([xs, ys]).float().mean(dim=1) / 95 * 2 - 1
            assert (centre - torch.tensor(each.places[0])).abs().max() < 0.12

    def test_a_ring_has_a_hole(self):
        mask = draw([Picture((thing("ring", "red"),))], noise(0))[1][0, 0]
        assert not mask[44:52, 44:52].any()
        assert mask.float().mean() > 0.02

    def test_one_mask_a_thing_and_none_beyond(self):
        some = pictures(1, 40)
        masks = draw(some, noise(0))[1]
        for row, picture in enumerate(some):
            assert masks[row, : len(picture.things)].any(dim=(1, 2)).all()
            assert not masks[row, len(picture.things) :].any()
            assert masks[row].sum(dim=0).max() == 1

    def test_later_things_cover_earlier_ones(self):
        picture = Picture((thing("square", "red"), thing("circle", "cyan", 0.2)))
        masks = draw([picture], noise(0))[1][0]
        alone = draw([Picture(picture.things[:1])], noise(0))[1][0]
        assert not (masks[0] & masks[1]).any()
        assert masks[0].sum() < alone[0].sum()


class TestPictures:
    def test_things_agree_and_are_two_to_four(self):
        counts = Counter()
        for picture in pictures(2, 300):
            counts[len(picture.things)] += 1
            assert len({(each.ground, each.dimmed, each.style, each.ground_texture) for each in picture.things}) == 1
            assert not {(each.colour, each.name) for each in picture.things} & HELD_OUT_PAIRS
        assert set(counts) == {2, 3, 4}

    def test_equal_seeds_equal_pictures_and_sentences(self):
        one, other = pictures(3, 20), pictures(3, 20)
        assert one == other
        assert all(torch.equal(a, b) for a, b in zip(draw(one, noise(5)), draw(other, noise(5)), strict=True))
        said = [[refer(picture, Random(7), "both") for picture in some] for some in (one, other)]
        assert said[0] == said[1]
        assert not torch.equal(draw(one, noise(5))[0], draw(one, noise(6))[0])

    def test_global_generators_are_left_alone(self):
        before = torch.random.get_rng_state()
        draw(pictures(3, 4), noise(0))
        assert torch.equal(before, torch.random.get_rng_state())


class TestReferences:
    def test_all_things_that_a_prompt_is_true_of(self):
        said = {
            refer(PLAIN, Random(seed), asked).text.partition(" ")[2]: refer(PLAIN, Random(seed), asked).things
            for seed in range(60)
            for asked in ("kind", "colour", "both")
        }
        assert said == {
            "star": (0, 1),
            "ring": (2,),
            "red shape": (0, 2),
            "cyan shape": (1,),
            "red star": (0,),
            "cyan star": (1,),
            "red ring": (2,),
        }

    def test_prompts_are_true(self):
        """Read the sentence back: a thing is marked just where every word about kind and colour fits it."""
        rng = Random(4)
        for picture in pictures(4, 200):
            for asked in ("kind", "colour", "both", "absent"):
                reference = refer(picture, rng, asked)
                *colour, noun = reference.text.split()[1:]
                true = tuple(
                    number
                    for number, each in enumerate(picture.things)
                    if noun in (each.name, "shape") and colour in ([], [each.colour])
                )
                assert reference.things == true
                assert (true == ()) == (asked == "absent")

    def test_absent_things_often_share_a_word(self):
        rng, shared = Random(5), 0
        for picture in pictures(5, 200):
            words = set(refer(picture, rng, "absent").text.split())
            shared += bool(words & {word for each in picture.things for word in (each.name, each.colour)})
        assert shared > 40

    def test_no_colour_is_asked_for_in_black_and_white(self):
        grey = Picture(tuple(replace(each, style="black and white photo") for each in PLAIN.things))
        for seed in range(30):
            for asked in ("colour", "both", "absent"):
                assert not set(refer(grey, Random(seed), asked).text.split()) & set(COLOURS)


class TestSets:
    def test_they_are_known_by_name(self):
        assert set(SETS) <= set(names())
        assert open_masks("World/Objects").name == "world/objects"
        for wrong in ("world", "world/objcts"):
            with pytest.raises(UserError) as raised:
                open_masks(wrong)
            assert "world/objects" in raised.value.fix
        with pytest.raises(UserError, match="no part 'x'"):
            world.load(task="x")

    def test_parts(self, drawn):
        assert (len(drawn.train), len(drawn.val), len(drawn.test)) == (400, 80, 200)
        assert drawn.prompt_types == ("p0", "p1")
        groups = Counter(item.group for item in drawn.test)
        assert set(groups) == {"kind", "colour", "both", "absent"}
        assert groups["absent"] == 40
        assert prompt_of(drawn.test[0], "p0", Random(0)) == ""
        assert prompt_of(drawn.test[0], "p1", Random(0)).split()[0] in ("a", "an", "the")

    def test_masks_and_images(self, drawn):
        for item in drawn.val:
            mask, image = drawn.read_mask(item), drawn.read_image(item)
            assert mask.shape == (96, 96)
            assert mask.dtype == np.uint8
            assert (image.size, image.mode) == ((96, 96), "RGB")
            assert bool(mask.any()) == bool(item.masks) == (item.group != "absent")
            assert mask.max() <= 1

    def test_glyphs_ask_for_glyphs_in_fonts_never_seen(self):
        for item in open_masks("world/glyphs").test:
            words = set(dict(item.prompts)["p1"][0].split())
            assert words & {"digit", "number", "letter"}
        fonts = {each.font for picture, _ in world._scenes("glyphs", "val") for each in picture.things} - {""}
        assert fonts == set(HELD_OUT_FONTS)

    def test_parts_share_no_picture(self, drawn):
        seen = {drawn.read_image(item).tobytes() for part in (drawn.val, drawn.test) for item in part}
        assert len(seen) == 280

    def test_the_same_on_every_draw(self, drawn):
        item = drawn.val[7]
        before = drawn.read_image(item).tobytes(), drawn.read_mask(item).tobytes()
        world._drawn.cache_clear()
        world._scenes.cache_clear()
        assert (drawn.read_image(item).tobytes(), drawn.read_mask(item).tobytes()) == before

    def test_drawn_when_the_first_image_is_read(self):
        world._drawn.cache_clear()
        found = open_masks("world/objects")
        assert world._drawn.cache_info().currsize == 0
        found.read_mask(found.val[0])
        assert world._drawn.cache_info().currsize == 1

    def test_a_strange_item_is_refused(self, drawn):
        with pytest.raises(UserError, match="no image"):
            drawn.read_image(replace(drawn.val[0], image="world/objects/val/0080"))
