"""Which precision `--dtype auto` takes: asked of the hardware, and of the size of the backbone."""

import pytest
import torch

from cliptune.errors import UserError
from cliptune.recipe import SMALL_BACKBONE
from cliptune.training import compute as module
from cliptune.training.compute import compute, cpu_has_bfloat16, fastest


@pytest.mark.parametrize(
    ("known", "has"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({"avx512_f": True, "avx2": True}, False),
        ({}, False),
    ],
)
def test_a_cpu_is_asked(known: dict[str, bool], has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert cpu_has_bfloat16() is has
    assert fastest("cpu") == ("bfloat16" if has else "float32")
    assert compute("cpu", "auto", SMALL_BACKBONE).dtype == fastest("cpu")


def test_small_backbones_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_has_bfloat16", lambda: True)
    assert compute("cpu", "auto", SMALL_BACKBONE - 1).dtype == "float32"
    assert compute("cpu", "bfloat16", 1).dtype == "bfloat16", "what is asked for is done"


@pytest.mark.parametrize(("supported", "dtype"), [(True, "bfloat16"), (False, "float16")])
def test_a_gpu_is_asked(supported: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert fastest("cuda") == dtype
    assert fastest("mps") == "float32"


def test_float16_wants_a_gpu() -> None:
    with pytest.raises(UserError, match="float16 needs a GPU"):
        compute("cpu", "float16")
