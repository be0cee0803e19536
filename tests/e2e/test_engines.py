"""One study several ways gives the same runs; what dies is done again, and nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cliptune.errors import UserError
from cliptune.studies import local, on_ray
from cliptune.studies.conduct import ahead
from cliptune.studies.pool import Ended, Pool, Setting, perform
from cliptune.studies.reading import load, read
from cliptune.studies.study import Study
from tests.cli.conftest import draw_photos
from tests.command import CONTEXT, start_server

pytestmark = pytest.mark.xdist_group("processes")

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def short(photos: Path, steps: int = 6, methods: tuple[str, ...] = ("lora", "dora"), **settings: object) -> Study:
    """Two methods, two seeds, on a few photographs."""
    return read("short", tables(photos, steps, methods, **settings), False, {})


def tables(photos: Path, steps: int, methods: tuple[str, ...], **settings: object) -> dict:
    common = {"data.name": str(photos), "protocol.shots": 2, "protocol.seed": [1, 2], "train.steps": steps}
    common |= {"evaluate.retention": "none", "train.checkpoint_seconds": 0}
    rows = [{"label": name, "recipe": name} for name in methods]
    return {"study": {"preset": "small"}, "settings": common | settings, "methods": rows}


def written(study: Study, pool: Pool) -> dict[str, tuple[bytes, str, bytes]]:
    """By run: its predictions, its losses, its adapter."""
    found = {}
    for job in study.jobs:
        folder = pool.folder(job)
        events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        losses = [event["loss"] for event in events if event["event"] == "step"]
        adapter = (folder / "adapter" / "adapter.safetensors").read_bytes()
        found[job.name] = ((folder / "predictions.csv").read_bytes(), str(losses), adapter)
    return found


def run_local(study: Study, out: Path, workers: int) -> list[Ended]:
    pool = Pool(out)
    plan = ahead(study, pool, Setting(), retry=False)
    return list(local.run(plan.todo, pool, Setting(), workers))


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked from a server that has the heavy imports behind it; the slow tests below start them anew."""
    start_server()
    monkeypatch.setattr(local, "START", CONTEXT.get_start_method())


@pytest.mark.usefixtures("forked")
def test_one_worker_and_two_give_the_same_runs(photos: Path, tmp_path: Path) -> None:
    study = short(photos)
    ended = run_local(study, tmp_path / "one", 1)
    assert sorted(each.job.name for each in ended) == sorted(job.name for job in study.jobs)
    assert all(each.error is None for each in ended)
    run_local(study, tmp_path / "two", 2)
    assert written(study, Pool(tmp_path / "one")) == written(study, Pool(tmp_path / "two"))
    assert run_local(study, tmp_path / "two", 2) == [], "all is done"


@pytest.mark.usefixtures("forked")
def test_one_failure_stops_no_other(photos: Path, tmp_path: Path) -> None:
    study = short(photos, rank=[2, 1000])
    pool = Pool(tmp_path)
    ended = {each.job.name: each for each in run_local(study, tmp_path, 2)}
    failed = [each for each in ended.values() if each.error]
    assert len(ended) == 8
    assert len(failed) == 4
    assert all("rank = 1000" in each.error[0] for each in failed if each.error)
    assert {pool.state(each.job) for each in failed} == {"failed"}
    assert not any(pool.folder(each.job).exists() for each in failed)
    assert ahead(study, pool, Setting(), retry=False).todo == ()
    assert {job.name for job in ahead(study, pool, Setting(), retry=True).todo} == {each.job.name for each in failed}


DEADLY = """
import os
from cliptune.datasets import open_set

def load(root=None, task="", missing="refuse"):
    if os.path.exists("{mark}"):
        os.kill(os.getpid(), 9)
    return open_set("{photos}")
"""


@pytest.mark.usefixtures("forked")
def test_a_run_whose_process_always_dies_fails_and_is_noted(photos: Path, tmp_path: Path) -> None:
    """A data set whose reading kills the process: others finish, it is tried thrice alone."""
    mark = tmp_path / "deadly"
    (tmp_path / "deadly_set.py").write_text(DEADLY.format(mark=mark, photos=photos))
    whole = tables(photos, 3, ("lora",))
    whole["settings"]["protocol.seed"] = 1
    names = [str(photos), str(tmp_path / "deadly_set.py")]
    study, pool = read("deadly", whole, False, {"data.name": names}), Pool(tmp_path / "out")
    plan = ahead(study, pool, Setting(), retry=False)
    mark.touch()
    ended = {each.job.recipe.data.name: each for each in local.run(plan.todo, pool, Setting(), 2)}
    good, bad = ended[str(photos)], ended[str(tmp_path / "deadly_set.py")]
    assert good.error is None
    assert bad.error == local.DIED
    assert (pool.state(good.job), pool.state(bad.job)) == ("finished", "failed")
    assert pool.failure(bad.job) == local.DIED
    mark.unlink()
    again = ahead(study, pool, Setting(), retry=True)
    assert [each.error for each in local.run(again.todo, pool, Setting(), 2)] == [None]
    assert pool.failure(bad.job) is None


def test_a_run_begun_with_other_parts_is_begun_anew(photos: Path, tmp_path: Path) -> None:
    """--memory, taken after a death, divides a step otherwise: the begun run cannot go on with that."""
    study, pool = short(photos, methods=("lora",)), Pool(tmp_path)
    job = study.jobs[0]
    first = perform(job, pool.folder(job), Setting())
    assert first.error is None
    record = pool.record(job)
    assert record is not None
    (pool.folder(job) / "run.json").write_text(json.dumps(record | {"status": "running"}))
    again = perform(job, pool.folder(job), Setting(memory="5MB"))
    assert again.error is None
    assert pool.record(job)["recipe"]["train"]["chunk"] > 0


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in children.read_text().split()] if children.exists() else []
    return found + [below for child in found for below in descendants(child)]


def until(ready: Callable[[], bool], seconds: float = 900) -> None:
    """Wait; the limit only ends a test that hangs, on however slow a machine."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "never came to that"
        time.sleep(0.01)


def begun(out: Path, steps: int) -> Callable[[], bool]:
    """Whether some run has a checkpoint and has done that many steps, and none is finished."""

    def ready() -> bool:
        logs = [path for path in out.glob("runs/*/metrics.jsonl") if (path.parent / "checkpoint").is_dir()]
        return any(path.read_text().count('"event": "step"') >= steps for path in logs)

    return ready


@pytest.fixture
def driver(photos: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """`cliptune study` on the short study, as a process."""
    whole = tables(photos, 300, ("lora", "dora"))
    lines = ["[study]", 'preset = "small"', "[settings]"]
    lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in whole["settings"].items()]
    for row in whole["methods"]:
        lines += ["[[methods]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]
    text = "\n".join(lines)
    (tmp_path / "short.toml").write_text(text)
    started: list[subprocess.Popen] = []

    def start(*words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "cliptune", "study", str(tmp_path / "short.toml"), "--out", str(tmp_path)]
        process = subprocess.Popen(
            [*command, "--threads", "1", *words], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_goes_on(driver: Callable, photos: Path, tmp_path: Path) -> None:
    study = load(str(_study_file(tmp_path)))
    process = driver("--workers", "2")
    until(begun(tmp_path, 20))
    workers = [pid for pid in descendants(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out
    pool = Pool(tmp_path)
    assert {pool.state(job) for job in study.jobs} == {"finished"}
    alone = Pool(tmp_path / "alone")
    list(local.run(study.jobs, alone, Setting(), 1))
    assert written(study, pool) == written(study, alone)


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_nothing_running_and_its_successor_does_the_rest(
    driver: Callable, photos: Path, tmp_path: Path
) -> None:
    study = load(str(_study_file(tmp_path)))
    process = driver("--workers", "2")
    pool = Pool(tmp_path)
    until(lambda: sum(pool.state(job) == "finished" for job in study.jobs) >= 1)
    below = descendants(process.pid)
    process.kill()
    process.communicate()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    before = {job.name: pool.record(job) for job in study.jobs if pool.state(job) == "finished"}
    assert 0 < len(before) < len(study.jobs)
    out, _ = driver("--workers", "2").communicate(timeout=900)
    assert f"{len(before)} done" in out
    assert {pool.state(job) for job in study.jobs} == {"finished"}
    assert {job.name: pool.record(job) for job in study.jobs if job.name in before} == before


def _study_file(folder: Path) -> Path:
    return folder / "short.toml"


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[object]]]:
    """A Ray cluster of two nodes on this machine: one that only leads, one with the CPUs."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = made.add_node(num_cpus=1)
    yield made.address, [node]
    made.shutdown()


@pytest.mark.slow
def test_two_nodes_of_ray_give_the_same_runs_even_if_a_worker_is_killed(
    cluster: tuple, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setenv("RAY_ADDRESS", cluster[0])
    study = short(photos, steps=200)
    pool = Pool(tmp_path / "ray")
    plan = ahead(study, pool, Setting(), retry=False)
    killed = []

    def kill_one() -> None:
        """The first process that works on a task, a few seconds into it."""
        until(lambda: bool(ray_workers()))
        time.sleep(6)
        if working := ray_workers():
            os.kill(working[0], signal.SIGKILL)
            killed.append(working[0])

    killer = threading.Thread(target=kill_one)
    killer.start()
    ended = list(on_ray.run(plan.todo, pool, Setting(), plan.estimates))
    killer.join()
    assert killed, "no worker was killed"
    assert sorted(each.job.name for each in ended) == sorted(job.name for job in study.jobs)
    assert [each.error for each in ended] == [None] * 4
    list(local.run(study.jobs, Pool(tmp_path / "local"), Setting(), 2))
    assert written(study, pool) == written(study, Pool(tmp_path / "local"))


def ray_workers() -> list[int]:
    """Processes of Ray that work on a run: their title is the task's name; Ray's own helpers are called ray:: too."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        except OSError:
            continue
        if title.startswith(b"ray::") and b", seed " in title:
            found.append(pid)
    return found


class Nodes:
    """As much of `ray` as is asked for its nodes."""

    def __init__(self, *resources: dict[str, float]):
        self.resources = resources

    def nodes(self) -> list[dict]:
        return [{"Alive": True, "Resources": each} for each in self.resources]


def test_a_run_that_fits_on_no_node_is_refused() -> None:
    small, large = {"CPU": 2, "memory": 2e9}, {"CPU": 8, "memory": 16e9, "GPU": 1}
    on_ray.refuse_too_small(Nodes(small, large), {"CPU": 4, "GPU": 1, "memory": 8e9})
    for needed, fix in (
        ({"CPU": 16, "GPU": 0, "memory": 1e9}, "fewer --threads"),
        ({"CPU": 1, "GPU": 2, "memory": 1e9}, "--device cpu"),
        ({"CPU": 1, "GPU": 0, "memory": 17e9}, "--memory 2GB"),
    ):
        with pytest.raises(UserError, match="no node has all of it") as problem:
            on_ray.refuse_too_small(Nodes(small, large), needed)
        assert fix in problem.value.fix
    apart = Nodes({"CPU": 8, "memory": 1e9}, {"CPU": 1, "memory": 16e9})
    with pytest.raises(UserError, match="no node has all of it"):
        on_ray.refuse_too_small(apart, {"CPU": 4, "GPU": 0, "memory": 8e9})


def test_an_archive_holds_the_whole_folder(photos: Path, tmp_path: Path) -> None:
    study = short(photos)
    job, pool = study.jobs[0], Pool(tmp_path)
    made = tmp_path / "made"
    (made / "adapter").mkdir(parents=True)
    (made / "run.json").write_text('{"status": "finished"}')
    (made / "adapter" / "a").write_bytes(bytes(1000))
    on_ray.unpack(on_ray.pack(made), job, pool)
    assert pool.state(job) == "finished"
    assert (pool.folder(job) / "adapter" / "a").read_bytes() == bytes(1000)
    (made / "run.json").write_text('{"status": "finished", "again": true}')
    on_ray.unpack(on_ray.pack(made), job, pool)
    assert "again" not in pool.record(job), "what is finished stays"
    assert not [path for path in pool.runs.iterdir() if path.name.endswith(".half")]


@pytest.fixture
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos")
