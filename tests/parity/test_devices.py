"""The fast forward away from the CPU without a GPU: on torch's meta device, where mixing devices is refused.

Values are not computed; what is checked is that every tensor of a step, backward pass included, is made where the model
is. With CLIPTUNE_TEST_GPU set and a GPU at hand the numbers are compared with the CPU's as well.
"""

import dataclasses
import os
from typing import Any

import pytest
import torch
from torch import Tensor

from cliptune.methods.base import Adapter
from cliptune.models.packing import Grid, Packing
from tests.parity.test_towers import PROMPTS, attach, backbone, images, results, tokens_of

CASES: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"dropout": 0.25}),
    ("lora", {"where": ("*",)}),
    ("lora_xs", {"rank": 4}),
    ("dora", {"dropout": 0.25}),
    ("dora", {"dropout": 0.25, "dropout_form": "official"}),
    ("full", {}),
]


def moved(value: Any) -> Any:
    """A packing with its tensors on the meta device."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, Packing | Grid):
        return type(value)(**{f.name: moved(getattr(value, f.name)) for f in dataclasses.fields(value)})
    return value


def adapter_of(name: str, changes: dict[str, Any]) -> tuple[Adapter, Packing]:
    which = backbone()
    which.model.float()
    adapter = attach(which, name, **changes)
    return adapter, adapter.towers.packing(tokens_of(PROMPTS["ragged"]))


@pytest.mark.parametrize(("name", "changes"), CASES, ids=str)
def test_a_step_stays_on_its_device(name: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, packing = adapter_of(name, changes)
    # The one question that is asked of values; there are none here.
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: False)
    monkeypatch.setattr(adapter.towers, "packing", lambda tokens: moved(packing))
    adapter.model.to("meta")
    image = adapter.image_features(torch.empty(3, 3, 24, 24, device="meta"))
    text = adapter.text_features(torch.empty(4, 8, dtype=torch.long, device="meta"))
    (image @ text.T).sum().backward()
    grads = [p.grad for p in adapter.model.parameters() if p.requires_grad and p.grad is not None]
    assert grads
    assert {grad.device.type for grad in grads} == {"meta"}


def test_a_tensor_on_another_device_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, packing = adapter_of("lora", {})
    adapter.model.to("meta")
    monkeypatch.setattr(adapter.towers, "packing", lambda tokens: packing)
    with pytest.raises(RuntimeError, match=r"device|meta"):
        adapter.text_features(torch.empty(4, 8, dtype=torch.long, device="meta"))


@pytest.mark.skipif(
    not (os.environ.get("CLIPTUNE_TEST_GPU") and torch.cuda.is_available()), reason="set CLIPTUNE_TEST_GPU on a GPU"
)
@pytest.mark.parametrize(("name", "changes"), [case for case in CASES if not case[1].get("dropout")], ids=str)
def test_a_gpu_gives_the_numbers_of_the_cpu(name: str, changes: dict[str, Any]) -> None:
    def found(device: str) -> tuple[Tensor, dict[str, Tensor]]:
        which = backbone().to(device)
        adapter = attach(which, name, **changes)
        return results(
            adapter, adapter.towers.how, tokens_of(PROMPTS["ragged"]).to(device), pixels=images(3).to(device)
        )

    (cpu, grads), (gpu, others) = found("cpu"), found("cuda")
    assert torch.allclose(cpu, gpu.cpu(), atol=1e-5)
    for key, grad in grads.items():
        assert torch.allclose(grad, others[key].cpu(), atol=1e-5), key
