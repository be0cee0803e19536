"""Prompt ensembles: as many as their names say, each a whole prompt, in their sources' order."""

import pytest

from cliptune.datasets.base import prompts
from cliptune.datasets.templates import ensemble, names
from cliptune.errors import UserError


def test_names_go_from_small_to_large():
    assert names() == ["imagenet-7", "imagenet-60", "imagenet-80"]


@pytest.mark.parametrize("name", ["imagenet-7", "imagenet-60", "imagenet-80"])
def test_every_line_is_a_template_of_its_own(name):
    templates = ensemble(name)
    assert len(templates) == len(set(templates)) == int(name.removeprefix("imagenet-"))
    for template in templates:
        assert template.count("{}") == 1
        assert template.count("{") == template.count("}") == 1
        assert template.endswith(".")
        assert template == " ".join(template.split())
        assert template.isascii()


def test_first_and_last_lines():
    ends = {name: (ensemble(name)[0], ensemble(name)[-1]) for name in names()}
    assert ends == {
        "imagenet-7": ("itap of a {}.", "a photo of the small {}."),
        "imagenet-60": ("a photo of a {}.", "itap of the {}."),
        "imagenet-80": ("a bad photo of a {}.", "a tattoo of the {}."),
    }


def test_sixty_are_the_first_sixty_of_eighty_with_the_plain_one_in_front():
    eighty, sixty = ensemble("imagenet-80"), ensemble("imagenet-60")
    assert set(sixty) == set(eighty[:60])
    assert sixty[1:] == tuple(template for template in eighty[:60] if template != "a photo of a {}.")


def test_seven_are_among_the_eighty():
    assert set(ensemble("imagenet-7")) < set(ensemble("imagenet-80"))


def test_templates_make_prompts():
    assert prompts(("red_fox",), ensemble("imagenet-7")[4]) == ["a red fox in a video game."]


@pytest.mark.parametrize("name", ["ImageNet_80", "imagenet80", "IMAGENET-80"])
def test_spelling_does_not_matter(name):
    assert ensemble(name) == ensemble("imagenet-80")


def test_unknown_name_offers_the_nearest():
    with pytest.raises(UserError) as error:
        ensemble("imagenet-8")
    assert error.value.what == "no prompt ensemble is called 'imagenet-8'"
    assert "did you mean 'imagenet-" in error.value.fix
    assert "imagenet-7" in error.value.fix
