"""Which labels cannot be told from the best, on episodes small enough to see."""

import pytest

from cliptune.report import ties
from cliptune.report.compare import name_all
from tests.unit.test_report_compare import record


def standing(*records):
    [found] = ties.standings(name_all(list(records))[0]).values()
    return found


def over_seeds(right: str, seeds=(1, 2, 3), **settings):
    return [record(right, seed=seed, **settings) for seed in seeds]


def test_tied_behind_and_untested():
    """On 40 images: one image more is noise; twenty more are not; another episode is no pair."""
    found = standing(
        *over_seeds("1" * 30 + "0" * 10, method="dora"),
        *over_seeds("1" * 29 + "0" * 11, method="lora"),
        *over_seeds("1" * 10 + "0" * 30, method="lora_xs"),
        *over_seeds("1" * 20 + "0" * 20, method="ast", episode="other"),
    )
    assert found == ties.Standing("dora", ("lora",), ("lora_xs",), ("ast",))
    assert not found.alone
    assert [found.of(label) for label in ("dora", "lora", "lora_xs", "ast")] == [
        "highest",
        "tied",
        "behind",
        "no pair",
    ]


def test_ahead_of_all():
    found = standing(*over_seeds("1" * 40, method="dora"), *over_seeds("1" * 10 + "0" * 30))
    assert found.alone
    assert found.behind == ("lora",)
    assert found.of("dora") == "ahead"


def test_one_pair_of_few_draws_takes_the_lead_from_the_best():
    """Ahead of one over three seeds, better than another on two: the highest, and on these draws alone."""
    found = standing(
        *over_seeds("1" * 400, method="dora"),
        *over_seeds("1" * 100 + "0" * 300),
        *over_seeds("1" * 100 + "0" * 300, seeds=(1, 2), method="ast"),
    )
    assert (found.behind, found.lower) == (("lora",), ("ast",))
    assert [found.of(label) for label in ("dora", "lora", "ast")] == [
        "highest on these draws",
        "behind",
        "lower on these draws",
    ]


def test_equal_labels_are_tied():
    found = standing(record("1100", method="dora"), record("1100"))
    assert found.tied
    assert not found.behind


def test_better_in_a_minority_of_cells_is_not_ahead():
    """Far ahead in one of three cells, even in the others."""
    runs = [record("1" * 40, method="dora", seed=seed) for seed in (1, 2, 3)]
    runs += [record("1" * (0 if seed == 1 else 40) + "0" * (40 if seed == 1 else 0), seed=seed) for seed in (1, 2, 3)]
    assert standing(*runs).tied == ("lora",)


def test_every_number_of_shots_stands_for_itself():
    runs = [record("1" * 40, method="dora", shots=1), record("1" * 20 + "0" * 20, shots=1)]
    runs += [record("1" * 20 + "0" * 20, method="dora", shots=2), record("1" * 40, shots=2)]
    found = ties.standings(name_all(runs)[0])
    assert {shots: each.best for (_, shots), each in found.items()} == {1: "dora", 2: "lora"}


@pytest.mark.parametrize("runs", [[record("11")], [record("11", seed=1), record("10", seed=2)]])
def test_one_label_has_nothing_to_stand_beside(runs):
    assert ties.standings(name_all(runs)[0]) == {}


def test_labels_that_share_no_cell_still_have_a_best():
    found = standing(record("1111", method="dora", seed=1), record("1100", seed=2))
    assert (found.best, found.untested) == ("dora", ("lora",))
