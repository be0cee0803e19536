"""One step: parts of images and of prompts, frozen parts that are kept, all with the gradient of the plain step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cliptune.datasets.base import ImageSet
from cliptune.methods.base import Method
from cliptune.methods.lora import LoRA
from cliptune.models.backbone import Backbone
from cliptune.models.shortcuts import Shortcuts
from cliptune.pipeline import Plan, execute
from cliptune.reevaluate import measure_again
from cliptune.training.events import Step
from cliptune.training.loop import fit, gradients
from cliptune.training.student import Student, frozen_blocks
from tests.conftest import plan_for, small_method

SCL = {"loss__image": 10.0, "loss__text": 25.0, "loss__logits": 1.0}


def student_of(plan: Plan) -> Student:
    adapter = plan.attach().train()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():  # away from the teacher, where the gradient of |student − teacher| is a matter of rounding
        for parameter in adapter.trainable().values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return plan.lesson().student(adapter, plan.machine, adapter.method.phases()[-1])


def step(student: Student, images: int = 7, number: int = 0) -> tuple[Mapping[str, float], dict[str, Tensor]]:
    trainable = student.adapter.trainable()
    for parameter in trainable.values():
        parameter.grad = None
    values = gradients(student, list(range(images)), 1, student.adapter.method.phases()[-1], number)
    return values, {name: p.grad.clone() for name, p in trainable.items() if p.grad is not None}


def close(one: tuple[Any, dict[str, Tensor]], two: tuple[Any, dict[str, Tensor]], within: float = 2e-6) -> None:
    assert one[0] == pytest.approx(two[0], rel=1e-4, abs=1e-5)
    error = sum(float((one[1][name] - grad).square().sum()) for name, grad in two[1].items()) ** 0.5
    length = sum(float(grad.square().sum()) for grad in two[1].values()) ** 0.5
    assert error / length < within


@pytest.mark.parametrize("chunk", [0, 1, 3, 7, 100])
@pytest.mark.parametrize("text_chunk", [0, 1, 3, 10, 100])
def test_parts_give_the_gradient_of_the_whole(
    chunk: int, text_chunk: int, mini: Backbone, few_digits: ImageSet
) -> None:
    def plan(**options: Any) -> Plan:
        return plan_for(mini, few_digits, LoRA(dropout=0.0), train__batch=7, **SCL, **options)

    parts = student_of(plan(train__chunk=chunk, train__text_chunk=text_chunk))
    close(step(parts), step(student_of(plan())))


def test_the_second_text_pass_repeats_the_masks_of_the_first(mini: Backbone, few_digits: ImageSet) -> None:
    """Otherwise the gradient would belong to other features than the loss did."""
    student = student_of(plan_for(mini, few_digits, LoRA(dropout=0.25), train__text_chunk=3))
    torch.manual_seed(0)
    first = student.text.forward()
    again = torch.cat([student.text._repeatably(place) for place in range(4)])
    assert torch.equal(first, again)
    assert not torch.equal(first, student.text.forward())


def test_parts_of_a_step_with_dropout_differ_by_masks_alone(mini: Backbone, few_digits: ImageSet) -> None:
    student = student_of(plan_for(mini, few_digits, LoRA(dropout=0.25), train__batch=7, train__chunk=3))
    close(step(student), step(student), within=1e-12)


WHERE = [
    ("lora", {"where": ("text.*.q",)}),
    ("lora", {"where": ("vision.*.q",)}),
    ("lora", {"where": ("vision.[2-3].q", "text.2.v")}),
    ("dora", {"where": ("vision.3.*", "text.*.v")}),
    ("bitfit", {"where": ("vision.3.*",)}),
    ("full", {"towers": "text"}),
    ("full", {}),
]


@pytest.mark.parametrize(("name", "changes"), WHERE, ids=str)
@pytest.mark.parametrize("chunk", [0, 3])
def test_what_is_kept_is_what_would_be_computed(
    name: str, changes: dict[str, Any], chunk: int, mini: Backbone, few_digits: ImageSet
) -> None:
    method: Method = small_method(name, **changes)
    steps = []
    for cache in (True, False):
        options: dict[str, Any] = {"train__augment": "none", "train__chunk": chunk, "shortcuts__cache": cache}
        student = student_of(plan_for(mini, few_digits, method, train__batch=7, **SCL, **options))
        student.images.keep(steps=100, batch=7)
        assert (student.images.teacher is not None) == cache
        torch.manual_seed(0)
        steps.append(step(student))
    close(*steps)


@pytest.mark.parametrize(
    ("where", "vision", "text"),
    [
        (("vision.*.q",), 0, 3 - 1),
        (("vision.3.q", "text.1.v"), 3, 1),
        (("vision.[2-3].fc1", "text.0.ln1"), 2, 0),
    ],
)
def test_frozen_blocks_are_those_below_the_lowest_site(
    where: tuple[str, ...], vision: int, text: int, mini: Backbone, few_digits: ImageSet
) -> None:
    adapter = plan_for(mini, few_digits, small_method("bitfit", where=where)).attach()
    assert (frozen_blocks(adapter, "vision"), frozen_blocks(adapter, "text")) == (vision, text)


def test_nothing_is_kept_of_augmented_images_or_short_runs(mini: Backbone, few_digits: ImageSet) -> None:
    method = small_method("lora", where=("text.*.q",))
    for options, steps, kept in (
        ({"train__augment": "affine"}, 100, False),
        ({"train__augment": "none"}, 1, False),
        ({"train__augment": "none"}, 100, True),
    ):
        student = student_of(plan_for(mini, few_digits, method, **options))
        student.images.keep(steps, batch=7)
        assert (student.images.kept is not None) == kept


def test_a_run_on_kept_features_reads_no_pixels(mini: Backbone, few_digits: ImageSet, monkeypatch) -> None:
    plan = plan_for(mini, few_digits, small_method("lora", where=("text.*.q",)), train__augment="none")
    lesson = plan.lesson()
    monkeypatch.setattr(lesson.train, "varied", lambda *_: pytest.fail("pixels were asked for"))
    events = list(fit(plan.attach(), lesson, plan.machine))
    assert sum(isinstance(event, Step) for event in events) == 6


def test_hidden_states_are_kept_only_where_they_fit(mini: Backbone, few_digits: ImageSet) -> None:
    student = student_of(plan_for(mini, few_digits, small_method("lora", where=("vision.3.q",)), train__augment="none"))
    student.images.keep(100, 7, room=1000)
    assert student.images.kept is None
    student.images.keep(100, 7)
    assert student.images.kept is not None
    assert student.images.kept.shape[0] == len(few_digits.classes) * 2


def test_every_tower_of_a_run_takes_the_recipes_shortcuts(
    mini: Backbone, few_digits: ImageSet, tmp_path, monkeypatch
) -> None:
    """Teacher, zero-shot, training, the merged copy, retention: with forward = transformers ours never runs."""
    from cliptune.models.towers import Towers

    def forbidden(*_: Any) -> None:
        pytest.fail("our forward ran")

    for name in ("image_stem", "text_stem", "image_rest", "text_rest"):
        monkeypatch.setattr(Towers, name, forbidden)
    options = {"shortcuts__forward": "transformers", "evaluate__retention": "world/shapes", **SCL}
    run = execute(plan_for(mini, few_digits, small_method("dora"), **options), tmp_path / "run")
    assert run.record["recipe"]["shortcuts"]["forward"] == "transformers"
    run.predict([save(few_digits, tmp_path)])
    run.merge(tmp_path / "merged")
    measure_again(run, None, None, None, "cpu")


def test_a_record_older_than_the_shortcuts_takes_the_defaults(mini: Backbone, few_digits: ImageSet, tmp_path) -> None:
    run = execute(plan_for(mini, few_digits, small_method("lora")), tmp_path / "run")
    del run.record["recipe"]["shortcuts"]
    assert run.shortcuts == Shortcuts()


def save(imageset: ImageSet, folder: Path) -> Path:
    path = folder / "one.png"
    imageset.read(imageset.test[0]).save(path)
    return path


def test_frozen_text_is_encoded_every_step_without_the_cache(mini: Backbone, few_digits: ImageSet) -> None:
    for cache, kept in ((True, True), (False, False)):
        options: dict[str, Any] = {"shortcuts__cache": cache}
        student = student_of(plan_for(mini, few_digits, small_method("lora", where=("vision.*.q",)), **options))
        assert (student.text.frozen is not None) == kept
        assert not student.text.forward().requires_grad


def test_nothing_below_the_lowest_site_is_differentiated(mini: Backbone, few_digits: ImageSet) -> None:
    adapter = plan_for(mini, few_digits, small_method("lora", where=("vision.3.q",))).attach().train()
    seen = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.numel()) or t, lambda t: t):
        adapter.towers.image_stem(torch.zeros(2, 3, 32, 32), 3)
    assert not seen
