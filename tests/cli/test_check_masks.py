"""`check`, `list` and `show` where images are marked: what a copy holds, how the segmenter fares, sizes on one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptune.tasks import has_masks
from tests.command import Cliptune, contents
from tests.layouts import segmentation

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
polyps = pytest.mark.skipif(not (SHARED / "kvasir_polyp").is_dir(), reason="the polyp images are not there")
frames = pytest.mark.skipif(not (SHARED / "cvc-clinicdb-tif").is_dir(), reason="the frames are not there")


def lesions(folder: Path, count: int = 12) -> Path:
    """Images of noise, 40 × 30 pixels, each with a box marked."""
    stream = np.random.default_rng(3)
    for number in range(count):
        path = folder / "images" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        blots = Image.fromarray(stream.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        blots.resize((40, 30), Image.Resampling.BICUBIC).save(path)
        segmentation.mask(folder / "masks" / path.name, (5, 5, 25, 20), size=(40, 30))
    return folder


def test_a_set_beside_what_was_published(tmp_path: Path, cliptune: Cliptune) -> None:
    root = tmp_path / "data"
    segmentation.three_parts(root / "kvasir_polyp")
    before = contents(root)
    words = ("check", "--data", "Kvasir-SEG", "--root", root, "--thumbnails", "nine.png")
    said = cliptune(*words).done()
    assert "kvasir_polyp · images with masks · 2 train, 1 val, 1 test" in said.out
    assert "not the published split) · published: 800 train, 100 val, 100 test" in said.out
    assert "  prompt p0: empty\n  prompt p1: 'polyp'\n" in said.out
    assert "  prompt p7: 'polyp which is a small lump', 3 different, up to 3 an image\n" in said.out
    assert "note: this copy lists 2/1/1 images" in said.out
    assert "note: prompts p4 to p9" not in said.out, "this copy has no p4"
    assert "looked at 4 of 4 images: 4 RGB; masks: 4 RGB" in said.out
    assert "masks with greys between black and white: 4; above 127 counts as marked" in said.out
    assert "marked of an image: 33.3 % to 33.3 %" in said.out
    facts = cliptune(*words, "--json").done().json
    assert (facts["masks"], facts["published"]["matches"]) == (True, False)
    assert facts["examined"]["looked_at"] == facts["examined"]["images"] == 4
    with Image.open("nine.png") as picture:
        assert picture.format == "PNG"
    assert contents(root) == before, "nothing is written below the root"


def test_faults_are_named(tmp_path: Path, cliptune: Cliptune) -> None:
    folder = lesions(tmp_path / "lesions")
    (folder / "images/00.png").write_bytes(b"\x89PNG")
    (folder / "masks/01.png").write_text("no image")
    segmentation.mask(folder / "masks/02.png", (0, 0, 4, 4), size=(30, 40))
    said = cliptune("check", "--data", folder).done()
    assert "cannot be read: 2\n    images/00.png: " in said.out
    assert "01.png is not an image but text" in said.out
    assert (
        "image and mask differ in size: 1\n    images/02.png: 40 × 30, its mask 30 × 40 pixels (masks/02.png)"
        in said.out
    )
    assert "parts: made here, 80/10/10" in said.out
    assert "note: no prompts.csv and no prompt" in said.out
    assert "lesions-thumbnails.png" in said.out
    facts = cliptune("check", "--data", folder, "--json", "--most", "3").done().json
    assert facts["examined"]["looked_at"] == 3
    assert "spoilt" not in facts["examined"]


def test_zero_shot_of_what_can_be_read(tmp_path: Path, cliptune: Cliptune) -> None:
    folder = tmp_path / "lesions"
    for part in ("train", "test"):
        lesions(folder / part, 4)
    (folder / "test/masks/02.png").write_text("no image")
    words = ("check", "--data", folder, "--zero-shot", "--device", "cpu", "--prompt", "a red box")
    assert "is not an image" in cliptune(*words).err
    said = cliptune(*words, "--set", "data.missing=skip").done()
    assert "zero-shot, mini at 96 pixels, prompt p1 ('a red box'): Dice" in said.out
    assert "large, 20 to 100 % of the image: Dice" in said.out
    found = cliptune(*words, "--set", "data.missing=skip", "--set", "segment.prompt=p0", "--json").done().json
    assert (found["zero_shot"]["n"], found["zero_shot"]["prompt"]["kind"]) == (3, "p0")
    assert 0 <= found["zero_shot"]["iou"] <= found["zero_shot"]["dice"] <= 1
    json.dumps(found)


@polyps
def test_real_polyps(cliptune: Cliptune) -> None:
    said = cliptune("check", "--data", "kvasir", "--root", SHARED, "--most", "40").done()
    assert "160 train, 40 val, 60 test" in said.out
    assert "looked at 40 of 260 images: 40 RGB" in said.out
    assert "cannot be read" not in said.out


@frames
def test_real_frames_whose_header_is_wrong(cliptune: Cliptune) -> None:
    facts = cliptune("check", "--data", "clinicdb", "--root", SHARED / "cvc-clinicdb-tif", "--json").done().json
    found = facts["examined"]
    assert (found["looked_at"], found["modes"], found["mask_modes"]) == (5, {"RGB": 5}, {"L": 5})
    assert (found["unreadable"], found["sizes_differ"], found["dim"], found["odd"]) == ({}, {}, {}, {})
    assert found["share"]["most"] == pytest.approx(0.2940, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", "kvasir_polyp"), "is read from disk"),
        (("--data", "kvasir_polyp", "--root", "."), "has no folder for 'kvasir_polyp'"),
        (("--data", "world/objects", "--shots", "4"), "belong to a method"),
        (("--data", "world/objects", "--task", "marking"), "--task marking"),
        (
            ("--data", "world/objects", "--zero-shot", "--set", "segment.prompt=p9"),
            "no kind of prompt of 'world/objects'",
        ),
        (("--data", "digits", "--task", "segment"), "no set of images with masks is called 'digits'"),
    ],
)
def test_refused(words: tuple[str, ...], told: str, cliptune: Cliptune) -> None:
    said = cliptune("check", *words)
    assert said.code == 2
    assert told in said.err
    assert len(said.err.strip().split("\n")) == 2


def test_a_set_below_the_root_wins_over_a_folder_of_that_name(tmp_path: Path, cliptune: Cliptune, monkeypatch) -> None:
    segmentation.clinicdb(tmp_path / "data" / "CVC-ClinicDB")
    monkeypatch.chdir(tmp_path / "data")
    assert has_masks("CVC-ClinicDB", ".")
    said = cliptune("check", "--data", "CVC-ClinicDB")
    assert "is laid out as a named set" in said.err, "without a root a path means the path"
    assert "say 'clinicdb_polyp' with --root ." in said.err
    said = cliptune("check", "--data", "CVC-ClinicDB", "--root", ".", "--thumbnails", tmp_path / "nine.png").done()
    assert said.out.startswith("clinicdb_polyp · images with masks")


def test_list_marks_masks_and_segmenters(tmp_path: Path, cliptune: Cliptune) -> None:
    segmentation.three_parts(tmp_path / "kvasir_polyp")
    rows = cliptune("list", "data", "--root", tmp_path, "--json").done().json["data"]
    found = {row["name"]: (row["masks"], row.get("present")) for row in rows}
    assert found["kvasir_polyp"] == found["world/glyphs"] == (True, True)
    assert found["busi"] == (True, False)
    assert found["world/shapes"] == (False, True)
    assert "with masks: Kvasir-SEG" in cliptune("list", "data").done().out
    models = {row["name"]: row["marks"] for row in cliptune("list", "models", "--json").done().json["models"]}
    assert (models["mini"], models["vit-b-16"], models["clipseg-rd64-refined"]) == (True, False, True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kvasir_polyp", ("train: 800", "prompt p1: polyp", "Jha et al.", "images with masks: yes")),
        ("Kvasir-SEG", ("train: 800",)),
        ("isic16", ("test: 379",)),
        ("world/glyphs", ("test: 200", "letters and digits")),
        ("world", ("world/shapes", "world/objects")),
        ("clipseg-rd64-refined", ("parameters: 150747746", "decoder: 1127009", "transposed convolution: 70241")),
        ("mini", ("ships with cliptune", "decoder: 236513")),
        ("segment", ("segment.prompt", "segment.decoder")),
        ("decoder", ("trains 1,127,009", "all of the decoder")),
    ],
)
def test_show(name: str, words: tuple[str, ...], cliptune: Cliptune) -> None:
    said = cliptune("show", name).done()
    assert all(word in said.out for word in words)
    assert isinstance(cliptune("show", name, "--json").done().json, dict)


@pytest.mark.parametrize(
    ("line", "on", "towers", "whole", "decoder"),
    [
        ("dora --set rank=8", "clipseg-rd64-refined", 940_032, 1_044_480, 70_241),
        ("dora --set rank=8 --set segment.inert=keep", "clipseg-rd64-refined", 1_044_480, 1_044_480, 70_241),
        ("dora --set rank=2 --set segment.decoder=none", "CIDAS/clipseg-rd64", 276_480, 307_200, 0),
        ("decoder", "clipseg-rd64-refined", 0, 0, 1_127_009),
        ("zero_shot", "clipseg-rd16", 0, 0, 0),
    ],
)
def test_show_counts_on_a_segmenter(
    line: str, on: str, towers: int, whole: int, decoder: int, cliptune: Cliptune
) -> None:
    facts = cliptune("show", *line.split(), "--on", on, "--json").done().json
    assert (facts["towers"], facts["towers_with_inert"], facts["decoder"]) == (towers, whole, decoder)
    assert facts["trainable_parameters"] == towers + decoder


def test_show_on_a_segmenter_says_what_is_trained(cliptune: Cliptune) -> None:
    said = cliptune("show", "dora", "--on", "clipseg-rd64-refined", "--set", "rank=8").done()
    assert "on clipseg-rd64-refined (150,747,746 numbers): trains 1,010,273 (0.67 %)" in said.out
    assert "decoder: 70,241 (the transposed convolution; segment.decoder = transposed)" in said.out
    refused = cliptune("show", "linear_probe", "--on", "clipseg-rd16")
    assert (refused.code, "cannot be trained to mark images" in refused.err) == (2, True)
