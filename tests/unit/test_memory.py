"""What `--memory` makes of a step."""

import pytest
import torch

from cliptune.errors import UserError
from cliptune.models import zoo
from cliptune.training.memory import bytes_of, bytes_per_image, chunks_for, parse_bytes

MODEL = zoo.outline("vit-b-16")


def prompts(classes: int) -> torch.Tensor:
    tokens = torch.zeros(classes, 12, dtype=torch.long)
    tokens[:, -1] = 49407
    return tokens


@pytest.mark.parametrize(
    ("text", "value"),
    [("2GB", 2 * 10**9), ("800mb", 8 * 10**8), ("1.5 GiB", 3 << 29), (".5k", 500), ("12", 12), ("1 KiB", 1024)],
)
def test_sizes(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "GB", "two", "-1GB", "0", "1XB", "1.2.3MB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UserError, match="not a size"):
        parse_bytes(text)


def test_all_at_once_where_it_fits() -> None:
    assert chunks_for("40GB", MODEL, prompts(100), 32) == (0, 0)


def test_images_in_parts_where_the_prompts_leave_room() -> None:
    images, text = chunks_for("2GB", MODEL, prompts(10), 32)
    assert text == 0
    assert images == (2 * 10**9 - 10 * bytes_of(MODEL, "text", 12)) // bytes_per_image(MODEL)
    assert 1 < images < 32


def test_prompts_in_parts_where_they_are_many() -> None:
    images, text = chunks_for("1GB", MODEL, prompts(1000), 32)
    assert images == 10**9 // bytes_per_image(MODEL)
    assert text == 10**9 // bytes_of(MODEL, "text", 12)
    assert 1 < text < 1000


def test_where_the_fast_products_are_off_parts_are_smaller() -> None:
    fast, _ = chunks_for("2GB", MODEL, prompts(10), 32)
    slow, _ = chunks_for("2GB", MODEL, prompts(10), 32, plain=True)
    assert 0.3 * fast < slow < 0.5 * fast


def test_padded_prompts_are_counted_as_long_as_they_are() -> None:
    assert chunks_for("3GB", MODEL, prompts(100), 32)[1] == 0
    assert 1 < chunks_for("3GB", MODEL, prompts(100), 32, layout="whole")[1] < 100


def test_less_than_one_image_is_refused_with_what_is_needed() -> None:
    with pytest.raises(UserError, match=r"needs \d+ MB even in parts of one") as refused:
        chunks_for("50MB", MODEL, prompts(10), 32)
    offered = refused.value.fix.split()[-1]
    assert chunks_for(offered, MODEL, prompts(10), 32)[0] == 1
