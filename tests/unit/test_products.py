"""What is formed once per step, and when it is formed anew."""

import pickle

import pytest
import torch
from torch import Tensor, nn

from cliptune.methods.dora import DoRA, DoRALinear
from cliptune.models.products import Kept, cast, project, still
from cliptune.models.shortcuts import Shortcuts


def linear(where: int = 6) -> DoRALinear:
    torch.manual_seed(0)
    adapted = DoRALinear(nn.Linear(8, where).requires_grad_(False), DoRA(rank=2, dropout=0.0))
    with torch.no_grad():
        adapted.B.normal_()
    return adapted


def product(adapted: DoRALinear) -> Tensor:
    return project(torch.ones(3, 8), [adapted], Shortcuts())[0]


def test_a_fused_optimiser_leaves_no_trace_that_a_cache_could_see() -> None:
    """The reason for `still`: version counters would serve stale weights."""
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    before = parameter._version
    torch.optim.AdamW([parameter], lr=0.1, fused=True).step()
    assert not torch.equal(parameter, torch.ones(3))
    if parameter._version != before:
        pytest.skip("this torch counts fused steps; still() is then only a convenience")


def test_weights_are_formed_once_while_they_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    adapted, formed = linear(), []
    original = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *a, **k: formed.append(1) or original(*a, **k))
    with still():
        assert torch.equal(product(adapted), product(adapted))
    assert len(formed) == 1
    product(adapted)
    product(adapted)
    assert len(formed) == 3


def test_every_step_sees_the_parameters_of_now() -> None:
    adapted = linear()
    optimizer = torch.optim.AdamW([adapted.A, adapted.B, adapted.m], lr=0.1, fused=True)
    for _ in range(3):
        with still():
            y = product(adapted)
            assert torch.allclose(y, torch.ones(3, 8) @ adapted.weight().T + adapted.base.bias, atol=1e-5)
            y.sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_nothing_is_kept_after_it() -> None:
    adapted = linear()
    with still():
        product(adapted)
        assert adapted.formed._values
        assert adapted.measured._values
    assert not adapted.formed._values
    assert not adapted.measured._values
    assert isinstance(pickle.loads(pickle.dumps(adapted.formed)), Kept)


def test_copies_in_another_precision_of_frozen_tensors_are_kept() -> None:
    frozen, trained = torch.randn(4, 4), nn.Parameter(torch.randn(4, 4))
    assert cast(frozen, torch.bfloat16) is cast(frozen, torch.bfloat16)
    assert cast(frozen, torch.bfloat16, 2.0) is not cast(frozen, torch.bfloat16)
    assert torch.equal(cast(frozen, torch.bfloat16, 2.0), (2 * frozen).bfloat16())
    assert cast(frozen, torch.float32) is frozen
    assert cast(trained, torch.bfloat16) is not cast(trained, torch.bfloat16)
    old = cast(frozen, torch.bfloat16)
    frozen.mul_(2)
    assert torch.equal(cast(frozen, torch.bfloat16), frozen.bfloat16())
    assert not torch.equal(cast(frozen, torch.bfloat16), old)


def test_inference_mode_leaves_nothing_that_training_could_trip_over() -> None:
    frozen = torch.randn(4, 4)
    with torch.inference_mode():
        cast(frozen, torch.bfloat16)
    assert not cast(frozen, torch.bfloat16).is_inference()


def test_only_what_the_gradients_need_is_saved() -> None:
    """A frozen linear keeps no input; an adapted one keeps one."""
    saved: list[tuple[int, ...]] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tuple(tensor.shape))
        return tensor

    x = torch.ones(3, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        project(x, [nn.Linear(8, 6).requires_grad_(False)], Shortcuts())
        assert (3, 8) not in saved
        project(x, [linear()], Shortcuts())
    assert (3, 8) in saved
