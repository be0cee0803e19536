"""Verbs, options and values that people bring from other tools are answered with what to type, their value in it."""

import shlex

import pytest

from cliptune.cli.main import VERBS
from cliptune.cli.other_tools import NOT_YET, SYNONYMS
from tests.command import Cliptune, two_lines

OPTIONS = [
    ("train lora --data x --lr 1e-3", "--set train.lr=1e-3"),
    ("train lora --lr=1e-3", "--set train.lr=1e-3"),
    ("train lora -lr 1e-3", "--set train.lr=1e-3"),
    ("train lora --learning_rate 1e-3", "--set train.lr=1e-3"),
    ("train lora --min-lr 0", "--set train.min_lr=0"),
    ("train lora --epochs 10", "--set train.epochs=10"),
    ("train lora --steps 100", "--set train.steps=100"),
    ("train lora --batch-size 8", "--set train.batch=8"),
    ("train lora --batch 8", "--set train.batch=8"),
    ("train lora --weight-decay 0.1", "--set train.weight_decay=0.1"),
    ("train lora --rank 4", "--set rank=4"),
    ("train lora --r 4", "--set rank=4"),
    ("train ast --k 4", "--set k=4"),
    ("train lora --augment none", "--set train.augment=none"),
    ("train lora --retention none", "--set evaluate.retention=none"),
    ("train lora --lr", "--set train.lr=VALUE"),
    ("train lora --lr --fresh", "--set train.lr=VALUE"),
    ("check lora --epochs 10", "--set train.epochs=10"),
    ("study digits-table --lr 1e-3", "--set train.lr=1e-3"),
    ("evaluate run --lr 1e-3", "cliptune train … --set train.lr=1e-3"),
    ("train lora --backbone ViT-B/16", "--model ViT-B/16"),
    ("train lora --dataset photos", "--data photos"),
    ("train lora --output-dir here", "--out here"),
    ("train lora --num-shots 4", "--shots 4"),
    ("train lora --shot 4", "--shots 4"),
    ("train lora --gpu", "--device cuda"),
    ("train lora --wandb", "--track wandb"),
    ("train lora --overwrite", "--fresh"),
    ("train --method lora", "cliptune train lora"),
    ("train --config my.toml", "cliptune train my.toml"),
    ("train lora photos", "--data photos"),
    ("check lora photos", "--data photos"),
    ("train lora rank=4", "--set rank=4"),
    ("train lora --seed 1,2,3", "--seeds 1,2,3"),
    ("train lora --seed 1-3", "--seeds 1-3"),
    ("train lora --seed 1 2 3", "--seeds 1,2,3"),
    ("train lora --seed one", "cliptune train --help"),
    ("train lora --json=1", "write --json alone"),
    ("train lora --data", "--data VALUE"),
    ("show dora --classes 0", "cliptune show --help"),
    ("predict", "like: cliptune predict runs/"),
    ("train lora --workers 2", "leave it out: images are read by"),
    ("study digits-table --jobs 4", "type --workers 4"),
    ("study digits-table --num-workers", "type --workers NUMBER"),
    ("train lora --quiet", "--json"),
    ("train lora --verbose", "leave it out"),
    ("train lora -v", "cliptune --version"),
    ("merge run --out merged", "cliptune merge RUN merged"),
    ("predict run --data new", "cliptune predict RUN new"),
    ("predict --checkpoint run new", "cliptune predict run …"),
    ("predict run new --output a.csv", "type --csv a.csv"),
    ("predict run new --labels a,b", "--classes a,b"),
    ("predict run new --conf 0.5", "--threshold 0.5"),
    ("predict run new --threshold 50%", "--threshold 0.5"),
    ("predict run -new/a.png", "./-new/a.png"),
    ("version", "cliptune --version"),
    ("-v", "cliptune --version"),
    ("help", "cliptune --help"),
    ("help train", "cliptune train --help"),
    ("lora --data photos", "cliptune train lora --data photos"),
    ("my.toml", "cliptune train my.toml"),
    ("--data photos train lora", "the verb comes first: cliptune train … --data …"),
    ("train lora --data digits --set rank = 4", "write it without blanks: --set rank=4"),
    ("train lora --data digits --set rank 4", "write it without blanks: --set rank=4"),
    ("train lora --data digits --set rank= 4", "write it without blanks: --set rank=4"),
    ("train lora --data digits --set rank =4", "write it without blanks: --set rank=4"),
    ("train lora --data digits --dry-run --seed 2", "cliptune check lora --data digits --seed 2 says"),
    ("train lora --data digits --template 'a photo of {}'", "--set 'data.template=a photo of {}'"),
    ("train lora --data digits --classes cat,dog", "--set data.names=names.json"),
    ("train lora --data digits --config x.yaml", "cliptune train FILE.toml"),
    ("train lora --data digits --fp16", "type --dtype float16"),
    ("train lora --data digits --optimizer sgd", "training is by AdamW"),
    ("train lora --data digits --set method=dora", "cliptune train dora"),
    ("train x.yaml", "cliptune show few-shot-dora prints one"),
    ("train nosuch.toml", "cliptune show few-shot-dora prints one"),
    ("train lora --data https://x.org/a.zip", "download it (and unpack it)"),
    ("train lora --data file:///home/me/photos", "leave file:// out: /home/me/photos"),
    ("train lora --data digits --device cuda:1", "CUDA_VISIBLE_DEVICES=1"),
    ("train lora --data digits --device gpu", "--device cuda"),
]
PARSERS_WORDS = (
    "Input should be",
    "Invalid value",
    "Possible options",
    "Missing argument",
    "Got unexpected",
    "No such",
)


@pytest.mark.parametrize(("line", "fix"), OPTIONS)
def test_the_answer_says_what_to_type(line: str, fix: str, cliptune: Cliptune) -> None:
    what, told = two_lines(cliptune(*shlex.split(line)))
    assert fix in told
    assert not any(words in what + told for words in PARSERS_WORDS)


@pytest.mark.parametrize(("verb", "ours"), [(word, ours) for ours, words in SYNONYMS.items() for word in words])
def test_a_verb_of_another_tool_is_answered_with_ours(verb: str, ours: str, cliptune: Cliptune) -> None:
    assert verb not in VERBS
    assert f"did you mean 'cliptune {ours}'?" in two_lines(cliptune(verb, "x"))[1]


@pytest.mark.parametrize("verb", [word for words in NOT_YET.values() for word in words])
def test_what_cannot_be_done_yet_is_said(verb: str, cliptune: Cliptune) -> None:
    assert "not supported yet; `cliptune merge RUN OUT`" in two_lines(cliptune(verb, "x"))[1]


@pytest.mark.parametrize(("typed", "ours"), [("trian", "train"), ("predit", "predict"), ("evalute", "evaluate")])
def test_a_slip_is_answered_with_the_nearest_verb(typed: str, ours: str, cliptune: Cliptune) -> None:
    assert f"did you mean 'cliptune {ours}'?" in two_lines(cliptune(typed))[1]


@pytest.mark.parametrize("typed", ["fly", "xyzzy", "at"])
def test_what_is_like_no_verb_is_not_answered_with_one(typed: str, cliptune: Cliptune) -> None:
    assert two_lines(cliptune(typed))[1].startswith("verbs: ")


def test_whoever_knows_no_method_is_told_one(cliptune: Cliptune) -> None:
    what, fix = two_lines(cliptune("train"))
    assert "METHOD" in what
    assert "cliptune train dora --data FOLDER" in fix
    assert "cliptune list methods" in fix


def test_an_option_given_twice_is_told(cliptune: Cliptune) -> None:
    said = cliptune("list", "methods", "--json")
    assert "times" not in said.done().err
    said = cliptune("show", "dora", "--on", "vit-b-16", "--on", "mini").done()
    assert "note: --on is given 2 times, the last counts: --on mini" in said.err
    said = cliptune("show", "dora", "--set", "rank=4", "--set", "alpha=2").done()
    assert "times" not in said.err


def test_the_version(cliptune: Cliptune) -> None:
    from cliptune import __version__

    assert cliptune("--version").done().out == f"cliptune {__version__}\n"


def test_what_was_typed_is_offered_as_it_can_be_typed(cliptune: Cliptune) -> None:
    _, second = two_lines(cliptune("lora", "--data", "my data", "--shots", "4"))
    assert second == "did you mean cliptune train lora --data 'my data' --shots 4?"
    _, second = two_lines(cliptune("Train", "lora", "--shots", "4"))
    assert second == "cliptune train lora --shots 4"


@pytest.mark.parametrize(("option", "again"), [("--fresh", "--resume instead of --fresh"), ("--json", "--resume")])
def test_an_interrupted_training_says_how_to_go_on(option: str, again: str, cliptune: Cliptune, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cliptune.pipeline.execute", interrupt)
    said = cliptune("train", "linear_probe", "--device", "cpu", option)
    assert said.code == 130
    assert f"the same command with {again} goes on" in said.err + said.out
