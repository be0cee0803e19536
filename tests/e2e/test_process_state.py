"""What a notebook has set for its process: gradient mode, default dtype, threads; and memory that ends."""

import importlib
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

import cliptune
from cliptune.errors import UserError
from cliptune.methods.lora import LoRA
from cliptune.pipeline import execute
from cliptune.training.compute import refuse_inference_tensors
from cliptune.training.events import Step
from tests.command import CONTEXT, QUICK, Cliptune, start_server
from tests.conftest import plan_for, small_method

SETTINGS = {"train.steps": 4, "evaluate.retention": "none"}


def train(data, out: str, model="mini") -> bytes:
    cliptune.train(model, data, LoRA(), shots=2, settings=SETTINGS, device="cpu", out=out)
    return Path(out, "adapter/adapter.safetensors").read_bytes()


@pytest.fixture(scope="module")
def usual(few_digits, tmp_path_factory) -> bytes:
    return train(few_digits, str(tmp_path_factory.mktemp("usual") / "run"))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)])
def test_gradients_are_switched_off(mode, usual: bytes, few_digits) -> None:
    with mode():
        assert train(few_digits, "run") == usual
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_another_default_dtype(usual: bytes, few_digits) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert train(few_digits, "run") == usual
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_model_loaded_where_gradients_are_off(usual: bytes, few_digits) -> None:
    with torch.inference_mode():
        model = cliptune.load("mini")
        frozen = torch.nn.Linear(2, 2)
    assert train(few_digits, "run", model) == usual
    with pytest.raises(UserError, match=r"'x' was loaded inside torch.inference_mode.*\n.*outside"):
        refuse_inference_tensors("x", frozen)


def test_a_second_training_in_another_thread_is_refused(mini, few_digits) -> None:
    answers: list[str] = []

    def second() -> None:
        for act in (lambda: train(few_digits, "other"), lambda: execute(waiting, Path("other"))):
            try:
                act()
            except UserError as problem:
                answers.append(problem.what)

    def hear(event: object) -> None:
        if isinstance(event, Step) and event.step == 2:
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()

    plan, waiting = (plan_for(mini, few_digits, small_method("lora")) for _ in range(2))
    run = execute(plan, Path("run"), listeners=[hear])
    assert run.record["status"] == "finished"
    assert len(answers) == 2
    assert all("a training is under way in another thread" in answer for answer in answers)
    assert not Path("other").exists()
    execute(plan_for(mini, few_digits, small_method("lora")), Path("alone"))
    name = "adapter/adapter.safetensors"
    assert Path("run", name).read_bytes() == Path("alone", name).read_bytes()


MEMORY = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
]


@pytest.mark.parametrize("problem", MEMORY, ids=lambda problem: type(problem).__name__)
@pytest.mark.parametrize("where", ["cliptune.training.student.Student.backward", "cliptune.planning.Plan.before"])
def test_memory_ends(problem: Exception, where: str, few: None, cliptune: Cliptune, monkeypatch) -> None:
    def end(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(where, end)
    for verb, more in (("train", ("--out", "run")), ("check", ())):
        if verb == "check" and where.endswith("before"):
            continue
        said = cliptune(verb, "full", *QUICK, *more)
        assert (said.code, len(said.err.splitlines())) == (2, 2), said
        assert "not enough memory" in said.err
        assert "--memory 2GB" in said.err
        assert list(Path().iterdir()) == []


def _imported_again(answer: Connection) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cliptune"]:
        del sys.modules[name]
    sys.modules["resource"] = None  # type: ignore[assignment]
    for name in ("pipeline", "cli.main"):
        importlib.import_module(f"cliptune.{name}")
    compute = importlib.import_module("cliptune.training.compute")
    compute.STATUS /= "nowhere"
    answer.send(compute.resident_bytes())


@pytest.mark.xdist_group("processes")
def test_no_module_of_unix_is_needed_to_start() -> None:
    """As on Windows, where there is no `resource`; in a process that has only the libraries, which have their own use
    of it, imported before."""
    start_server()
    answer, end = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_imported_again, args=(end,))
    child.start()
    end.close()
    assert answer.recv() == 0
    child.join()
