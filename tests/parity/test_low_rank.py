"""The low-rank family against formulas worked by hand and float64."""

import pytest
import torch
from torch import nn

from cliptune.errors import UserError
from cliptune.methods.dora import DoRA, DoRALinear
from cliptune.methods.linears import scale_of
from cliptune.methods.lora_xs import LoRAXS, LoRAXSLinear, frozen_factors
from cliptune.models.backbone import Backbone
from tests.conftest import gap, logits_of, probe_images


def disturbed(axis: str, detach: bool = True) -> DoRALinear:
    torch.manual_seed(2)
    linear = DoRALinear(nn.Linear(768, 512), DoRA(rank=3, axis=axis, detach_norm=detach, where=("*",)))
    with torch.no_grad():
        linear.B.normal_(0, 0.02)
        linear.m.mul_(1 + 0.02 * torch.randn_like(linear.m))
    return linear.eval()


@pytest.mark.parametrize("axis", ["out", "in"])
def test_closed_form_norm_equals_the_direct_one_in_float64(axis: str) -> None:
    linear = disturbed(axis)
    W, A, B = (tensor.detach().double() for tensor in (linear.base.weight, linear.A, linear.B))
    direct = (W + linear.scale * B @ A).norm(dim=1 if axis == "out" else 0)
    assert float(((linear.norm().double() - direct) / direct).abs().max()) <= 5e-7


@pytest.mark.parametrize("axis", ["out", "in"])
def test_merged_rows_have_the_length_of_the_magnitude(axis: str) -> None:
    linear = disturbed(axis)
    lengths = linear.weight().norm(dim=1 if axis == "out" else 0)
    assert gap(lengths, linear.m.detach()) <= 1e-5


def test_detaching_drops_exactly_the_projection_term() -> None:
    """∂L/∂V loses the part along V: with G = ∂L/∂W', (g/‖V‖²) (G·V) V per row. Liu et al., §4.3."""
    grads = {}
    for detach in (True, False):
        linear = disturbed("out", detach).double()
        V = (linear.base.weight + linear.scale * linear.B @ linear.A).detach()
        G = torch.randn(V.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        (linear.weight() * G).sum().backward()
        grads[detach] = linear.B.grad
        m_grad = linear.m.grad
    norm = V.norm(dim=1)
    assert torch.allclose(m_grad, (G * V).sum(1) / norm)
    along = (linear.m.detach() / norm**3 * (G * V).sum(1))[:, None] * V
    expected = linear.scale * along @ linear.A.detach().T
    assert torch.allclose(grads[True] - grads[False], expected)


@pytest.mark.parametrize("axis", ["out", "in"])
def test_dropout_forms_agree_without_dropout(axis: str) -> None:
    linear = disturbed(axis).train()
    linear.dropout.p = 0.0
    x = torch.randn(4, 768)
    natural = linear(x)
    linear.official = True
    assert gap(linear(x), natural) <= 2e-6


def test_scales() -> None:
    assert scale_of(1.0, 2, "alpha/sqrt(r)") == pytest.approx(0.70710678)
    assert scale_of(1.0, 2, "alpha/r") == 0.5


@pytest.mark.parametrize("side", ["out", "in", "both", "none"])
def test_xs_update_lies_in_the_span_of_the_singular_vectors(side: str) -> None:
    torch.manual_seed(1)
    base = nn.Linear(96, 64)
    linear = LoRAXSLinear(base, LoRAXS(rank=5, sigma_side=side, init_std=0.3, where=("*",)))
    update = (linear.weight() - base.weight).detach().double()
    U, _, Vh = torch.linalg.svd(base.weight.detach().double(), full_matrices=False)
    U, Vh = U[:, :5], Vh[:5]
    inside = U @ (U.T @ update @ Vh.T) @ Vh
    assert float((update - inside).norm() / update.norm()) <= 1e-5
    assert float(update.norm()) > 0.01


def test_xs_factors_multiply_to_the_truncated_weight_on_every_side() -> None:
    W = torch.randn(40, 56, generator=torch.Generator().manual_seed(0))
    U, S, Vh = torch.linalg.svd(W.double(), full_matrices=False)
    truncated = U[:, :7] * S[:7] @ Vh[:7]
    for side in ("out", "in", "both"):
        L, P = frozen_factors(W, 7, side)
        assert torch.allclose(L @ P, truncated)
    L, P = frozen_factors(W, 7, "none")
    assert torch.allclose(L.T @ L, torch.eye(7, dtype=torch.float64))
    assert torch.allclose(P @ P.T, torch.eye(7, dtype=torch.float64))


def test_xs_signs_are_canonical_whatever_the_routine() -> None:
    """Negating the weight's rows' order must not matter: largest entry of each left vector is positive."""
    W = torch.randn(30, 30, generator=torch.Generator().manual_seed(8))
    L, _ = frozen_factors(W, 6, "none")
    largest = L.gather(0, L.abs().argmax(0)[None])[0]
    assert (largest > 0).all()
    L2, P2 = frozen_factors(W.T, 6, "none")
    L1, P1 = frozen_factors(W, 6, "none")
    assert torch.allclose(L1 @ P1, (L2 @ P2).T, atol=1e-9)


def r_only(mini: Backbone) -> tuple[LoRAXS, dict[str, torch.Tensor]]:
    method = LoRAXS(rank=8, file="r_only", init_std=0.2)
    torch.manual_seed(3)
    return method, method.attach(mini).tensors()


def test_r_only_file_gives_the_same_logits(mini: Backbone) -> None:
    method = LoRAXS(rank=8, file="r_only", init_std=0.2)
    torch.manual_seed(3)
    adapter = method.attach(mini)
    tensors = {name: tensor.clone() for name, tensor in adapter.tensors().items()}
    assert sum(t.numel() for name, t in tensors.items() if name.endswith(".R")) == 21 * 64
    torch.manual_seed(99)
    again = method.reopen(mini, tensors, {})
    images, tokens = probe_images(mini), mini.tokens(["one", "two"])
    assert gap(logits_of(again, images, tokens), logits_of(adapter, images, tokens)) <= 1e-6


@pytest.mark.parametrize("pair", [0, 3, 7])
def test_r_only_file_with_one_flipped_pair_is_refused(pair: int, mini: Backbone) -> None:
    """Flipping the sign of one singular pair is the same as negating that row and column of R."""
    method, tensors = r_only(mini)
    site = "vision.2.k"
    flip = torch.ones(8)
    flip[pair] = -1
    tensors[f"{site}.R"] = flip[:, None] * tensors[f"{site}.R"] * flip
    with pytest.raises(UserError, match=r"does not fit this machine's SVD at vision\.2\.k"):
        method.reopen(mini, tensors, {})


def test_plain_file_needs_no_svd(mini: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    method = LoRAXS(rank=8, init_std=0.2)
    adapter = method.attach(mini)
    tensors = {name: tensor.clone() for name, tensor in adapter.tensors().items()}
    assert {name.rpartition(".")[2] for name in tensors} == {"A", "B"}

    def no_svd(*_: object, **__: object) -> None:
        raise AssertionError("an SVD at load")

    monkeypatch.setattr(torch.linalg, "svd", no_svd)
    again = method.reopen(mini, tensors, {})
    images, tokens = probe_images(mini), mini.tokens(["one", "two"])
    assert gap(logits_of(again, images, tokens), logits_of(adapter, images, tokens)) <= 1e-6
