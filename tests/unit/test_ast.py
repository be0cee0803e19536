"""AST's fixed choices: all weight matrices, all biases."""

import json
from pathlib import Path

import pytest
import torch

from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.methods.ast import AST, ONLY_SCORED
from cliptune.methods.tensors import named_tensors
from cliptune.models import sites, zoo
from cliptune.models.backbone import Backbone
from cliptune.pipeline import Plan, execute
from cliptune.report.read import read_record
from cliptune.report.training import selection
from cliptune.runs import Run, open_adapter, save_adapter
from cliptune.training.checkpoint import Checkpoint
from cliptune.training.events import PhaseEnded, Saved
from cliptune.training.loop import fit
from tests.conftest import gap, logits_of, plan_for, probe_images

FIXED = ("matrices", "biases")


def train(plan: Plan):
    adapter = plan.attach()
    return adapter, list(fit(adapter, plan.lesson(), plan.machine))


@pytest.mark.parametrize(
    ("settings", "numbers", "chosen"),
    [
        ({"choose": "matrices"}, 122_683_392, 144),
        ({"choose": "matrices", "towers": "text"}, 37_748_736, 72),
        ({"choose": "biases"}, 168_960 - 15_360, 168),
        ({"choose": "biases", "inert": "keep"}, 168_960, 192),
    ],
)
def test_a_fixed_choice_has_one_size(settings: dict, numbers: int, chosen: int) -> None:
    size = AST(**settings).size(zoo.outline("vit-b-16"), classes=10)
    assert (size.exact, size.facts["chosen"]) == (numbers, chosen)


@pytest.mark.parametrize("choose", FIXED)
def test_exactly_these_tensors_move_in_one_phase(choose: str, mini: Backbone, few_digits: ImageSet) -> None:
    adapter, events = train(plan_for(mini, few_digits, AST(choose=choose)))
    ending = {"matrices": ".weight", "biases": ".bias"}[choose]
    wanted = {
        name
        for name in sites.block_tensors(mini.model)
        if name.endswith(ending) and not sites.is_inert(name) and (choose == "biases" or ".ln" not in name)
    }
    tuned, originals = named_tensors(adapter.model), named_tensors(mini.model)
    assert {name for name in originals if not torch.equal(tuned[name], originals[name])} == wanted
    assert [event.phase for event in events if isinstance(event, PhaseEnded)] == ["tune"]
    assert all(set(event.parts) > {"ce"} for event in events if hasattr(event, "parts")), "with AST's losses"
    assert set(adapter.facts()["picked"]) == wanted


@pytest.mark.parametrize("choose", FIXED)
def test_saved_and_opened_again(choose: str, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    plan = plan_for(mini, few_digits, AST(choose=choose), train__lr=3e-3)
    adapter, _ = train(plan)
    save_adapter(tmp_path / "adapter", adapter, "card")
    again = open_adapter(tmp_path / "adapter", mini)
    assert again.facts() == adapter.facts()
    images = probe_images(mini)
    assert gap(logits_of(again, images, plan.tokens), logits_of(adapter, images, plan.tokens)) == 0


def test_an_adapter_from_before_the_setting_opens(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    adapter, _ = train(plan_for(mini, few_digits, AST()))
    save_adapter(tmp_path / "adapter", adapter, "card")
    about = json.loads((tmp_path / "adapter" / "adapter.json").read_text("utf-8"))
    del about["settings"]["choose"], about["facts"]["choose"]
    (tmp_path / "adapter" / "adapter.json").write_text(json.dumps(about), "utf-8")
    assert open_adapter(tmp_path / "adapter", mini).facts() == adapter.facts()


@pytest.mark.parametrize("choose", FIXED)
def test_goes_on_where_it_was(choose: str, mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    plan = plan_for(mini, few_digits, AST(choose=choose), train__checkpoint_seconds=0)
    through, _ = train(plan)
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    for event in fit(plan.attach(), plan.lesson(), plan.machine, checkpoint):
        if isinstance(event, Saved) and event.step == 3:
            break
    resumed = plan.attach()
    list(fit(resumed, plan.lesson(), plan.machine, checkpoint))
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in through.state().items())


def test_the_report_names_the_picked_without_scores(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    run = execute(plan_for(mini, few_digits, AST(choose="biases")), tmp_path / "run")
    assert run.record["selection"]["choose"] == "biases"
    assert "scores" not in run.record["selection"]
    rows = selection(read_record(run.folder))
    assert sum(row["picked"] for row in rows) == 7 * 7
    assert sum(row["inert"] for row in rows) == 7
    page = Run.open(run.folder).report().read_text("utf-8")
    assert "49 tensors picked (choose = biases)" in page
    assert "nothing was scored" in page
    assert "choose" in (run.folder / "adapter" / "README.md").read_text("utf-8")


IDLE = dict(zip(ONLY_SCORED, (5, 2, 3, "global_flat", "random", "continue", 1e-6, "inside"), strict=True))


@pytest.mark.parametrize("field", ONLY_SCORED)
def test_what_only_scores_use_is_refused(field: str) -> None:
    method = AST(choose="matrices", **{field: IDLE[field]})
    with pytest.raises(UserError, match=f"{field} = .* does nothing where choose = 'matrices'"):
        method.size(zoo.outline("mini"), classes=10)


def test_the_first_tuned_step_has_no_consistency_to_restore(mini: Backbone, few_digits: ImageSet) -> None:
    """Tuning starts at the teacher: equations 9 and 10 are nought there, and so is their gradient, not its rounding."""
    plan = plan_for(mini, few_digits, AST(probe_steps=2, k=3), train__steps=3, train__batch=8)
    _, events = train(plan)
    tuned = [event for event in events if getattr(event, "phase", "") == "tune" and hasattr(event, "parts")]
    assert (tuned[0].parts["scl_image"], tuned[0].parts["scl_text"]) == (0.0, 0.0)
    assert tuned[1].parts["scl_text"] > 0
