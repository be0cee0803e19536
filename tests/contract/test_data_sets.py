"""What every data set owes, asked of each module in `datasets/sets/`."""

import importlib
import inspect
from collections import Counter
from types import ModuleType

import pytest

from cliptune import datasets, published
from cliptune.datasets import sets
from cliptune.datasets.base import ImageSet
from cliptune.errors import UserError
from cliptune.registry import plain

NAMES = datasets.names()
MODULES = {name: importlib.import_module(f"{sets.__name__}.{name}") for name in NAMES}
ON_DISK = [name for name in NAMES if hasattr(MODULES[name], "FACTS")]
every_set = pytest.mark.parametrize("module", MODULES.values(), ids=NAMES)
every_set_on_disk = pytest.mark.parametrize("module", [MODULES[name] for name in ON_DISK], ids=ON_DISK)


@every_set
def test_says_what_it_is_in_one_line(module: ModuleType) -> None:
    first = (module.__doc__ or "").strip().split("\n")[0]
    assert first.endswith((".", "`"))
    assert len(first) <= 120


@every_set
def test_load_takes_root_task_and_missing(module: ModuleType) -> None:
    assert list(inspect.signature(module.load).parameters) == ["root", "task", "missing"]


@every_set_on_disk
def test_facts_are_whole(module: ModuleType) -> None:
    facts = module.FACTS
    assert facts.title
    assert facts.source
    assert facts.get
    assert facts.folders
    assert facts.images
    assert facts.classes > 1
    assert all(template.count("{}") == 1 for template in facts.templates)
    assert len(set(facts.templates)) == len(facts.templates)
    if facts.open_set:
        assert len(facts.open_set.sources) == len(facts.domains) - 1
        seen = frozenset().union(*facts.open_set.sources)
        assert not seen & facts.open_set.unknown
        assert facts.open_set.known <= seen
        assert max(seen | facts.open_set.unknown) < facts.classes


@every_set_on_disk
def test_is_refused_without_a_root_and_where_it_does_not_lie(module: ModuleType, tmp_path) -> None:
    name = module.__name__.rpartition(".")[2]
    with pytest.raises(UserError, match="is read from disk") as refused:
        datasets.open_set(name)
    assert "--root" in refused.value.fix
    with pytest.raises(UserError, match=f"no folder for '{name}'") as refused:
        datasets.open_set(name, str(tmp_path))
    assert module.FACTS.get in refused.value.fix


@every_set_on_disk
def test_tests_after_training_on_it_are_sets(module: ModuleType) -> None:
    for tests in module.FACTS.tests.values():
        assert set(tests) <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ON_DISK])
def test_shipped_sets_open_without_a_root(name: str) -> None:
    for task in getattr(MODULES[name], "tasks", ("",)):
        found = datasets.open_set(f"{name}/{task}" if task else name)
        assert isinstance(found, ImageSet)
        assert found.train
        assert found.test


def test_no_two_sets_answer_to_one_name() -> None:
    names = Counter(plain(name) for name in NAMES)
    for name in ON_DISK:
        facts = MODULES[name].FACTS
        own = {plain(other) for other in (*facts.folders, *facts.aliases, facts.column) if other} - {plain(name)}
        names.update(own)
    assert [name for name, count in names.items() if count > 1] == []


def test_columns_are_those_of_the_papers() -> None:
    columns = {each.dataset for each in published.results()}
    held = {MODULES[name].FACTS.column for name in ON_DISK}
    classification = {each.dataset for each in published.results() if each.protocol != "segmentation"}
    assert classification - held <= {"Average", "all", "16"}, "a table's data set that no module is for"
    assert columns
