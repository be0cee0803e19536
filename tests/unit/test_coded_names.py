"""Class names that are codes are noticed; words are not."""

import json

import pytest

from cliptune.datasets.coded_names import coded, words_in

RSSCN7 = ("aGrass", "bField", "cIndustry", "dRiverLake", "eForest", "fResident", "gParking")


@pytest.mark.parametrize(
    "classes",
    [
        ("0", "1", "2"),
        ("007", "012"),
        ("n02123045", "n02085620"),
        ("class_3", "class_4"),
        ("Class A", "Class B"),
        ("label-1", "label-2"),
        ("A", "B", "C"),
        ("c0", "c1", "c2"),
        ("S12", "S13"),
        ("001.Black_footed_Albatross", "002.Laysan_Albatross"),
        ("01_cat", "02_dog"),
        ("00 apples", "01 pears"),
        ("deadbeef01", "0badf00d22"),
        ("AnnualCrop", "PermanentCrop"),
        ("bkl", "nv", "bcc"),
        RSSCN7,
    ],
)
def test_codes(classes):
    found = coded(classes)
    assert found is not None
    assert found.names == classes
    assert f"{len(classes)} of {len(classes)} class names are codes" in found.what


@pytest.mark.parametrize(
    "classes",
    [
        ("cat", "dog"),
        ("red_fox", "arctic fox"),
        ("zero", "one"),
        ("iPhone", "kettle"),
        ("F-16A/B", "Boeing 747-400"),
        ("T-shirt", "trouser"),
        ("sky", "dry soil"),
        ("tench, Tinca tinca", "goldfish"),
        ("日本語", "猫"),
        ("ökö", "café"),
        ("DVD", "TV"),
        ("2012 BMW M3 Coupe", "2010 Audi TT"),
    ],
)
def test_words(classes):
    assert coded(classes) is None


def test_some_of_many():
    found = coded(("cat", "dog", "class_7"))
    assert found.names == ("class_7",)
    assert found.what.startswith("1 of 3 class names is a code")


def test_the_prompt_is_shown_as_it_is_asked():
    found = coded(RSSCN7, "a satellite photo of {}.")
    assert "'a satellite photo of aGrass.'" in found.what


def test_the_names_file_can_be_copied():
    fix = coded(RSSCN7).fix
    assert "--set data.names=names.json" in fix
    text = fix[fix.index("{") : fix.index("}") + 1]
    assert json.loads(text) == {
        "aGrass": "grass",
        "bField": "field",
        "cIndustry": "industry",
        "dRiverLake": "river lake",
        "eForest": "forest",
        "fResident": "resident",
        "gParking": "parking",
    }


def test_codes_without_words_are_to_be_written():
    text = coded(("0", "1")).fix
    assert '{"0": "what 0 shows", "1": "what 1 shows"}' in text


def test_of_many_classes_the_first_are_shown():
    fix = coded(tuple(f"class_{number}" for number in range(100))).fix
    assert "with a name for each of 100 folders" in fix
    assert len(fix) < 300


@pytest.mark.parametrize(
    ("name", "words"), [("3-dog", "dog"), ("n02123045", "tabby cat"), ("n99999999", ""), ("RiverLake", "river lake")]
)
def test_words_in(name, words):
    assert words_in(name) == words
