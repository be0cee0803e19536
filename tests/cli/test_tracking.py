"""`train --track`: what a tracker is told, and that it can cost no run."""

import json
from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking as adapters
from accelerate.tracking import GeneralTracker

import cliptune as package
from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.models.backbone import Backbone
from cliptune.pipeline import execute
from cliptune.tracking import Trackers, installed
from cliptune.training.events import Saved, Step
from tests.command import QUICK, Cliptune
from tests.conftest import plan_for, small_method


class Diary(GeneralTracker):
    """Writes down what it is told."""

    name = "diary"
    requires_logging_directory = True
    made: list["Diary"] = []  # noqa: RUF012

    def __init__(self, run_name: str, logging_dir: Path):
        super().__init__()
        self.run_name, self.place = run_name, Path(logging_dir)
        self.settings: dict[str, Any] = {}
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.over = False
        self.made.append(self)

    @property
    def tracker(self) -> None:
        return None

    def start(self) -> None:
        assert self.place.is_dir()

    def store_init_configuration(self, values: dict) -> None:
        self.settings = values

    def log(self, values: dict, step: int | None = None, **_: object) -> None:
        assert step is not None
        self.rows.append((step, values))

    def finish(self) -> None:
        self.over = True


class Torn(Diary):
    """A tracker that loses its connection at the third step."""

    name = "torn"

    def log(self, values: dict, step: int | None = None, **_: object) -> None:
        super().log(values, step)
        if step == 3:
            raise ConnectionError("no route to host\nand more")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Diary, Torn):
        monkeypatch.setitem(adapters.LOGGER_TYPE_TO_CLASS, kind.name, kind)
        monkeypatch.setattr(kind, "made", [])


def test_a_tracker_hears_settings_steps_and_metrics(few: None, cliptune: Cliptune) -> None:
    said = cliptune("train", "lora", *QUICK, "--out", "runs/told", "--track", "diary,diary", "--json").done()
    [diary] = Diary.made
    assert (diary.run_name, diary.place, diary.over) == ("told", Path("runs/told/tracking"), True)
    assert (diary.settings["method.rank"], diary.settings["train.steps"]) == (2, 4)
    assert diary.settings["method.where"] == '["*.q", "*.k", "*.v"]'
    assert [step for step, _ in diary.rows] == [1, 2, 3, 4, 4]
    logged = [json.loads(line) for line in Path("runs/told/metrics.jsonl").read_text("utf-8").splitlines()]
    for (_, values), event in zip(diary.rows, (event for event in logged if event["event"] == "step")):
        assert values["train/loss"] == event["loss"]
        assert values["train/ce"] == event["parts"]["ce"]
        assert values.keys() == {"train/loss", "train/ce", "train/lr", "train/images_per_second"}
    final = diary.rows[-1][1]
    assert final["test/accuracy"] == said.json["metrics"]["test"]["accuracy"]
    assert final["zero_shot/accuracy"] == said.json["metrics"]["zero_shot"]["accuracy"]
    assert not any("per_class" in key for key in final)
    assert "measured" not in {event["event"] for event in logged}


def test_it_changes_nothing_else(few: None, cliptune: Cliptune) -> None:
    cliptune("train", "lora", *QUICK, "--out", "with", "--track", "diary").done()
    cliptune("train", "lora", *QUICK, "--out", "without").done()
    names = {path.relative_to("without") for path in Path("without").rglob("*")}
    assert {path.relative_to("with") for path in Path("with").rglob("*")} - names == {Path("tracking")}
    for name in ("adapter/adapter.safetensors", "recipe.toml", "predictions.csv"):
        assert Path("with", name).read_bytes() == Path("without", name).read_bytes()


def test_phases_count_on_and_a_method_without_steps_has_metrics(mini: Backbone, few_digits: ImageSet) -> None:
    execute(plan_for(mini, few_digits, small_method("ast", probe_steps=2)), Path("ast"), track=("diary",))
    execute(plan_for(mini, few_digits, small_method("zero_shot")), Path("zero"), track=("diary",))
    ast, zero = Diary.made
    assert [step for step, _ in ast.rows] == [*range(1, 9), 8]
    assert {key.partition("/")[0] for _, values in ast.rows[:2] for key in values} == {"probe"}
    assert {key.partition("/")[0] for _, values in ast.rows[2:-1] for key in values} == {"tune"}
    assert [step for step, _ in zero.rows] == [0]


def test_a_resumed_run_goes_on_under_the_same_numbers(mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, small_method("lora"), train__checkpoint_seconds=0)

    def stop(event: object) -> None:
        if isinstance(event, Saved) and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(plan, Path("run"), listeners=[stop], track=("diary",))
    execute(plan, Path("run"), resume=True, track=("diary",))
    assert [[step for step, _ in diary.rows] for diary in Diary.made] == [[1, 2, 3], [4, 5, 6, 6]]
    assert all(diary.over for diary in Diary.made)


def test_a_tracker_that_fails_costs_one_warning(mini: Backbone, few_digits: ImageSet) -> None:
    plan = plan_for(mini, few_digits, small_method("lora"))
    with pytest.warns(UserWarning, match=r"torn failed \(no route to host\); the run goes on without it") as warned:
        run = execute(plan, Path("run"), track=("torn", "diary"))
    assert len([each for each in warned if "torn failed" in str(each.message)]) == 1
    assert run.record["status"] == "finished"
    assert [len(kind.made[0].rows) for kind in (Torn, Diary)] == [3, 7]


def test_unknown_and_missing_trackers_are_refused_before_anything(
    few: None, cliptune: Cliptune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "get_available_trackers", list)
    for name, what, fix in (
        ("tensorbord", "--track tensorbord: no such tracker", "did you mean tensorboard?"),
        ("tensorboard", "--track tensorboard: it is not installed", "pip install tensorboard (the extra `track`"),
        ("comet_ml", "--track comet_ml: it is not installed", "pip install comet-ml, or leave it out"),
    ):
        said = cliptune("train", "lora", *QUICK, "--track", name)
        first, second = said.err.strip().splitlines()
        assert said.code == 2
        assert what in first
        assert fix in second
    with pytest.raises(UserError, match="not installed"):
        package.train("mini", "digits", "lora", track="tensorboard")
    assert list(Path().iterdir()) == []


def test_tensorboard_forgets_the_steps_that_come_again(mini: Backbone, few_digits: ImageSet, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = plan_for(mini, few_digits, small_method("lora"))
    folder = tmp_path / "run"
    folder.mkdir()
    for first in (1, 4):
        with Trackers(installed(["tensorboard"]), folder, plan.recipe, len(plan.episode.train)) as trackers:
            trackers.hear(Saved("train", first - 1))
            for step in range(first, 7):
                trackers.hear(Step("train", step, 6, float(first), {"ce": 1.0}, 1e-3, 20, 10.0, 1.0))
    found = EventAccumulator(str(folder / "tracking" / "run"))
    found.Reload()
    assert [(each.step, each.value) for each in found.Scalars("train/loss")] == [
        (1, 1.0), (2, 1.0), (3, 1.0), (4, 4.0), (5, 4.0), (6, 4.0)
    ]  # fmt: skip
