"""Recipes: four layers, strict, and a file that repeats the run."""

import dataclasses
import math
from pathlib import Path

import pytest

from cliptune.errors import UserError
from cliptune.methods import METHODS
from cliptune.methods.dora import DoRA
from cliptune.recipe import (
    SECTIONS,
    SMALL_BACKBONE,
    Recipe,
    TrainSettings,
    assemble,
    find_method,
    load_tables,
    resolve,
    shipped,
)
from cliptune.recipe_presets import LENGTHS, SMALL, preset_of, steps_of
from tests.conftest import every_method, every_segmenting_method


def write(text: str) -> str:
    Path("mine.toml").write_text(text, "utf-8")
    return "mine.toml"


def test_layers_default_preset_file_option() -> None:
    """train.min_lr only has its default; weight_decay the preset's; batch the file's; lr is set at the end."""
    assert DoRA.presets["paper"]["train.lr"] == 2e-4
    file = write('[method]\nname = "dora"\nrank = 4\n[train]\nlr = 0.5\nbatch = 7\n')
    found = resolve(file, {"train.lr": 0.25, "alpha": 2.0}, "paper")
    assert found.train.min_lr == TrainSettings().min_lr
    assert found.train.steps_per_shot == DoRA.presets["paper"]["train.steps_per_shot"]
    assert found.train.batch == 7
    assert found.train.lr == 0.25
    assert found.method == DoRA(rank=4, alpha=2.0)
    assert resolve(file, {}, "paper").train.lr == 0.5
    assert resolve("dora", {}, "paper").train.lr == 2e-4


def test_a_preset_changes_only_what_it_names() -> None:
    small, paper = resolve("dora", preset="small"), resolve("dora", preset="paper")
    assert small.train.lr == DoRA.presets["small"]["train.lr"] != paper.train.lr
    assert small.train.passes == SMALL["train.passes"] != paper.train.passes
    assert small.train.weight_decay == paper.train.weight_decay
    assert small.method == paper.method


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [(None, "paper"), (SMALL_BACKBONE - 1, "small"), (SMALL_BACKBONE, "paper"), (149_620_737, "paper")],
)
def test_auto_takes_the_small_preset_for_small_backbones(parameters: int | None, expected: str) -> None:
    assert resolve("dora", parameters=parameters).preset == expected


def test_a_files_preset_counts_until_one_is_given() -> None:
    file = write('[recipe]\npreset = "paper"\n[method]\nname = "dora"\n')
    assert resolve(file, parameters=1000).preset == "paper"
    assert resolve(file, preset="small", parameters=1000).preset == "small"
    auto = write('[recipe]\npreset = "auto"\n[method]\nname = "dora"\n')
    assert resolve(auto, parameters=1000).preset == "small"


@every_method
@pytest.mark.parametrize("preset", ["paper", "small"])
def test_every_preset_of_every_method_resolves_and_reads_back(name: str, preset: str) -> None:
    found = resolve(name, preset=preset)
    Path("recipe.toml").write_text(found.to_toml(), "utf-8")
    assert resolve("recipe.toml") == found
    assert resolve(".") == found  # a run folder stands for its recipe
    assert set(find_method(name).presets) >= {"paper", "small"} or not found.method.phases()


@every_segmenting_method
@pytest.mark.parametrize("preset", ["paper", "small"])
def test_every_preset_of_segmentation_resolves_and_reads_back(name: str, preset: str) -> None:
    found = assemble({**load_tables(name), "segment": {}}, preset=preset)
    assert found.task == "segment"
    Path("recipe.toml").write_text(found.to_toml(), "utf-8")
    assert resolve("recipe.toml") == found


def test_the_two_published_rates_of_segmentation() -> None:
    tables = {**load_tables("decoder"), "segment": {}}
    driver = assemble(tables, preset="paper").train
    yaml = assemble(tables, {"segment.published": "yaml"}, "paper").train
    assert (driver.lr, driver.batch, yaml.lr, yaml.batch) == (2e-3, 128, 2e-4, 16)
    assert (driver.schedule, driver.clip, driver.weight_decay, driver.patience) == ("plateau", 0.5, 1e-3, 20)
    assert assemble(tables, {"train.lr": 1e-4}, "paper").train.lr == 1e-4, "what is asked for wins"
    for name in ("full", "ast", "bitfit"):  # a rate for the towers; the decoder keeps the published one
        for published, rate in (("driver", 2e-3), ("yaml", 2e-4)):
            found = assemble({**load_tables(name), "segment": {"published": published}}, preset="paper")
            assert found.segment.decoder_lr == rate
            assert found.train.lr < 2e-4


def test_a_recipe_of_classification_says_nothing_of_segmentation() -> None:
    assert "segment" not in resolve("dora").tables()
    assert resolve("dora").task == "classify"


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("linear_probe", {"segment.bce": 0.2}, "linear_probe cannot be trained to mark images"),
        ("decoder", {}, "decoder cannot be trained to classify"),
        ("dora", {"segment.bce": 0.2, "loss.text": 25.0}, "compare class scores"),
        ("dora", {"segment.bce": 0.2, "protocol.name": "base-to-novel"}, "base-to-novel is for classification"),
        ("dora", {"segment.threshold": 1.0}, "segment.threshold = 1.0 makes no sense"),
        ("dora", {"segment.published": "paper"}, "segment.published = 'paper'"),
    ],
)
def test_settings_of_the_other_task_are_refused(name: str, options: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolve(name, options, "paper")


def test_every_setting_reads_back_from_a_file() -> None:
    options = {
        "data.template": 'a "photo" of a {}\\',
        "data.name": "photos/ünder",
        "train.steps": 12,
        "train.betas": [0.8, 0.99],
        "train.crop": [0.5, 1],
        "train.lr": 1,
        "where": ["vision.[0-1].q"],
        "detach_norm": False,
    }
    found = resolve("dora", options)
    Path("recipe.toml").write_text(found.to_toml(), "utf-8")
    assert resolve("recipe.toml") == found
    assert assemble(found.tables()) == found


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_recipe_resolves(name: str) -> None:
    found = resolve(name)
    text = shipped()[name].read_text("utf-8")
    assert found.preset == "paper"
    assert f"cliptune train {name} " in text
    assert "expected:" in text
    assert found.method.name in METHODS


def test_shipped_recipes_are_the_seeds() -> None:
    protocols, methods = ("few-shot", "base-to-novel", "ood", "dg"), ("lora", "lora-xs", "dora", "ast")
    segmenting = {f"segment-{method}" for method in (*methods, "dora-attention", "decoder", "full", "bitfit")}
    assert set(shipped()) == segmenting | {f"{protocol}-{method}" for protocol in protocols for method in methods}
    dora = resolve("few-shot-dora").train
    assert (dora.lr, dora.batch, dora.steps_per_shot, dora.weight_decay, dora.min_lr) == (2e-4, 32, 500, 1e-2, 1e-6)
    drawn = {name: resolve(name).protocol for name in shipped() if name.startswith("few-shot-")}
    assert {name.removeprefix("few-shot-"): each.sampler for name, each in drawn.items()} == {
        **dict.fromkeys(("lora", "dora", "lora-xs"), "cliplora"),
        "ast": "dassl",
    }
    assert {each.repeat for each in drawn.values()} == {"auto"}, "with cliplora short classes are repeated"
    ast = resolve("few-shot-ast")
    assert (ast.loss.image, ast.loss.text, ast.loss.logits, ast.loss.reduction) == (10, 25, 1, "mean")
    assert resolve("base-to-novel-ast").train.epochs == 20
    assert resolve("ood-ast").protocol.tests == ("imagenet_v2", "imagenet_sketch")
    assert (resolve("dg-dora").train.epochs, resolve("dg-dora").protocol.shots) == (10, "auto")
    assert resolve("dg-dora").protocol.name == "domain-generalization"


@pytest.mark.parametrize("name", [name for name in shipped() if name.startswith("segment-")])
def test_shipped_recipes_of_segmentation(name: str) -> None:
    found = resolve(name)
    assert found.segment is not None
    assert found.segment.prompt == "p1"
    assert found.segment.decoder == ("all" if name in ("segment-decoder", "segment-full") else "transposed")
    assert (found.train.batch, found.train.schedule, found.train.patience) == (128, "plateau", 20)
    assert resolve(name, {"segment.published": "yaml"}).train.batch == 16


NUMBERS = {
    "segment-dora": (2_115_072, 2_350_080),
    "segment-dora-attention": (940_032, 1_044_480),
    "segment-decoder": (0, 0),
    "segment-full": (135_050_240, 149_620_736),
    "segment-lora": (1_990_656, 2_211_840),
    "segment-lora-xs": (135_168, 147_456),
    "segment-bitfit": (152_064, 168_960),
}
"""what is trained of CLIPSeg's towers: where the decoder reads it, and everywhere"""


@pytest.mark.parametrize("name", NUMBERS)
def test_the_numbers_that_recipes_of_segmentation_tell(name: str) -> None:
    from cliptune.models import segmenter

    method, text = resolve(name).method, shipped()[name].read_text("utf-8")
    told = [method.size(segmenter.outline("clipseg-rd64-refined", inert).model, 1).exact for inert in ("skip", "keep")]
    assert tuple(told) == NUMBERS[name]
    # Those of `decoder` and `full` tell the decoder's 1,127,009 with them.
    with_decoder = [number + 1_127_009 for number in told]
    for number, both in zip(told, with_decoder, strict=True):
        assert f"{number:,}" in text or f"{both:,}" in text


@pytest.mark.parametrize("name", ["dora", "DoRA", "lora-xs", "LoRA_XS", "zero-shot", "zeroshot", "Few_Shot_DoRA"])
def test_spelling_of_a_name_does_not_matter(name: str) -> None:
    assert load_tables(name)["method"]["name"] in METHODS


def test_a_method_is_not_hidden_by_a_folder_of_its_name() -> None:
    Path("dora").mkdir()
    Path("dora/recipe.toml").write_text('[method]\nname = "lora"\n', "utf-8")
    assert load_tables("dora") == {"method": {"name": "dora"}}
    assert load_tables("./dora") == {"method": {"name": "lora"}}


BAD = [
    ({"rnk": 3}, "rnk", "did you mean rank?"),
    ({"method.rnk": 3}, "rnk", "did you mean rank?"),
    ({"train.lrr": 3}, "train.lrr", "did you mean train.lr?"),
    ({"trian.lr": 3}, "trian.lr", "did you mean train.lr?"),
    ({"evaluation.batch": 3}, "evaluation.batch", "did you mean evaluate.batch?"),
    ({"a.b.c": 3}, "a.b.c", "sections: method"),
    ({"protocol.shots": 0}, "protocol.shots = 0", "at least 1"),
    ({"train.batch": 0}, "train.batch = 0", "at least 1"),
    ({"train.chunk": -1}, "train.chunk = -1", "at least 0"),
    ({"train.steps": 0}, "train.steps = 0", "auto"),
    ({"train.betas": [0.9, 1.0]}, "train.betas", "less than 1"),
    ({"train.crop": [0.0, 1.0]}, "train.crop", "low first"),
    ({"train.crop": [0.5, 1.1]}, "train.crop", "low first"),
    ({"loss.image": -1}, "loss.image = -1", "at least 0"),
    ({"data.template": "a photo"}, "data.template", "one {}"),
    ({"data.template": "{} or {}"}, "data.template", "one {}"),
]


@pytest.mark.parametrize(("options", "what", "fix"), BAD)
def test_what_no_run_can_use_is_refused(options: dict, what: str, fix: str) -> None:
    with pytest.raises(UserError) as problem:
        resolve("dora", options)
    assert what in problem.value.what
    assert fix in problem.value.fix


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[method]\nname = "dora"\n[recipe]\nprest = "paper"', "recipe.prest"),
        ('[method]\nname = "dora"\n[trian]\nlr = 1', "trian"),
        ("[method]\nname = 3\n", "'3'"),
        ('train = 1\n[method]\nname = "dora"', "train = 1: not a table"),
        ("[train]\nlr = 1", r"no \[method\] name"),
        ("method = 3", r"no \[method\] name"),
    ],
)
def test_an_unknown_key_never_runs(text: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        resolve(write(text))


def test_options_do_not_change_the_tables_given() -> None:
    tables = {"method": {"name": "dora"}, "train": {"lr": 0.5}}
    assemble(tables, {"train.lr": 0.25, "rank": 4})
    assert tables == {"method": {"name": "dora"}, "train": {"lr": 0.5}}


def test_sections_are_the_recipes_fields() -> None:
    assert [field.name for field in dataclasses.fields(Recipe)] == ["method", "preset", *SECTIONS]


def test_the_essence_is_what_decides_the_result() -> None:
    base = resolve("dora")
    same = {"data.root": "/elsewhere", "train.checkpoint_seconds": 1.0, "evaluate.batch": 8}
    assert resolve("dora", same).essence() == base.essence()
    for key, value in {"train.lr": 0.5, "rank": 3, "protocol.seed": 9, "data.name": "x", "loss.image": 1.0}.items():
        assert resolve("dora", {key: value}).essence() != base.essence()


@pytest.mark.parametrize(
    ("options", "images", "steps"),
    [
        ({"train.steps_per_shot": 500, "protocol.shots": 4}, 40, 2000),
        ({"train.steps_per_shot": 10, "train.least_steps": 60, "protocol.shots": 4}, 40, 60),
        ({"train.steps_per_shot": 500, "train.most_steps": 90, "protocol.shots": 4}, 40, 90),
        ({"train.passes": 10, "protocol.shots": 4}, 400, 125),
        ({"train.passes": 10, "train.least_steps": 130, "protocol.shots": 4}, 400, 130),
        ({"train.passes": 10, "train.most_steps": 120, "protocol.shots": 4}, 400, 120),
        ({"train.epochs": 3, "train.passes": 10}, 40, 6),
        ({"train.epochs": 3, "train.least_steps": 60}, 40, 60),
        ({"train.passes": 5, "protocol.shots": "all"}, 400, 63),
        ({"protocol.shots": "all"}, 400, 130),
        ({"protocol.shots": "all", "train.most_steps": 50}, 400, 50),
        ({"train.epochs": 3, "train.batch": 32}, 40, 6),
        ({"train.epochs": 3, "train.batch": 32}, 64, 6),
        ({"train.steps": 5, "train.epochs": 3}, 40, 5),
    ],
)
def test_steps(options: dict, images: int, steps: int) -> None:
    assert steps_of(resolve("lora", options), images) == steps


TRAINED = [name for name in METHODS if SMALL.items() <= preset_of(find_method(name), "small").items()]


def test_every_method_trained_by_steps_has_the_small_presets_length() -> None:
    classifying = [name for name in METHODS if "classify" in find_method(name).tasks]
    phases = {name: find_method(name)().phases() for name in classifying}
    assert [name for name in classifying if any(phase.kind == "gradient" for phase in phases[name])] == TRAINED
    for name in TRAINED:
        assert not {f"train.{key}" for key in LENGTHS} & set(find_method(name).presets["small"])


@pytest.mark.parametrize(("classes", "shots"), [(10, 1), (10, 16), (24, 4), (100, 4), (100, 16), (200, 16)])
def test_steps_of_the_small_preset_follow_the_images_and_not_the_method(classes: int, shots: int) -> None:
    names = [*TRAINED, *(name for name in shipped() if name.startswith(("few-shot", "base-to-novel", "ood")))]
    options = {"protocol.shots": shots}
    steps = {steps_of(resolve(name, options, "small"), classes * shots) for name in names}
    wanted = SMALL["train.passes"] * classes * shots / SMALL["train.batch"]
    assert steps == {max(SMALL["train.least_steps"], min(SMALL["train.most_steps"], math.ceil(wanted)))}


class TestOneLengthWins:
    """Of several settings that say how long training is, the one from the layer that wins counts."""

    FILE = '[recipe]\npreset = "{preset}"\n[method]\nname = "lora"\n[protocol]\nshots = 4\n[train]\nepochs = 20\n'

    def test_a_recipes_epochs_count_under_its_own_preset_and_under_auto(self) -> None:
        for preset in ("small", "auto"):
            file = write(self.FILE.format(preset=preset))
            assert steps_of(resolve(file, parameters=1000), 40) == 40
        assert steps_of(resolve(write(self.FILE.format(preset="paper"))), 40) == 40

    @pytest.mark.parametrize("preset", ["paper", "small"])
    def test_they_do_not_survive_another_preset(self, preset: str) -> None:
        other = "paper" if preset == "small" else "small"
        changed = resolve(write(self.FILE.format(preset=other)), preset=preset)
        assert changed.train.epochs == 0
        assert steps_of(changed, 40) == steps_of(resolve("lora", {"protocol.shots": 4}, preset), 40)

    def test_a_finished_runs_recipe_changes_its_length_with_its_preset(self) -> None:
        Path("recipe.toml").write_text(resolve("ast", {"protocol.shots": 4}, "small").to_toml(), "utf-8")
        paper = resolve("ast", {"protocol.shots": 4}, "paper")
        assert steps_of(resolve("recipe.toml", preset="paper"), 640) == steps_of(paper, 640)

    @pytest.mark.parametrize("preset", ["paper", "small"])
    @pytest.mark.parametrize("name", TRAINED)
    @pytest.mark.parametrize(
        ("typed", "steps"),
        [
            ({"train.steps": 7}, 7),
            ({"train.epochs": 3}, 6),
            ({"train.passes": 5}, 7),
            ({"train.steps_per_shot": 9}, 36),
        ],
    )
    def test_what_is_typed_wins_over_every_preset(self, name: str, preset: str, typed: dict, steps: int) -> None:
        assert steps_of(resolve(name, {"protocol.shots": 4, **typed}, preset), 40) == steps

    def test_what_is_typed_wins_over_a_file(self) -> None:
        file = write(self.FILE.format(preset="auto"))
        assert steps_of(resolve(file, {"train.passes": 5}), 40) == 7
        assert steps_of(resolve(file, {"train.lr": 0.5}), 40) == 40

    def test_a_recipe_of_an_earlier_version_keeps_its_steps(self) -> None:
        text = '[recipe]\npreset = "small"\n[method]\nname = "lora"\n[protocol]\nshots = 50\n'
        text += '[train]\nsteps = "auto"\nepochs = 0\nsteps_per_shot = 10\nleast_steps = 60\n'
        assert steps_of(resolve(write(text)), 500) == 500

    @pytest.mark.parametrize("protocol", ["few-shot", "full-data"])
    def test_a_typed_limit_wins_over_the_presets_other_one(self, protocol: str) -> None:
        options = {"protocol.name": protocol} | ({"protocol.shots": 4} if protocol == "few-shot" else {})
        assert steps_of(resolve("lora", {**options, "train.most_steps": 30}, "small"), 1000) == 30
        assert steps_of(resolve("lora", {**options, "train.least_steps": 900}, "small"), 1000) == 900

    def test_a_typed_ceiling_below_a_typed_floor_is_refused(self) -> None:
        with pytest.raises(UserError, match="less than train"):
            resolve("lora", {"train.most_steps": 30, "train.least_steps": 40}, "small")

    @pytest.mark.parametrize(("images", "steps"), [(20, 60), (1000, 320), (100_000, 31_250)])
    def test_full_data_is_ten_epochs_and_not_under_the_small_presets_floor(self, images: int, steps: int) -> None:
        assert steps_of(resolve("dora", {"protocol.name": "full-data"}, "small"), images) == steps
        typed = {"protocol.name": "full-data", "train.passes": 5}
        assert steps_of(resolve("dora", typed, "small"), images) == math.ceil(5 * images / 32)
