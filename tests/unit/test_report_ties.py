"""Which labels cannot be told from the best, on episodes small enough to see."""

import pytest

from cliptune.report import ties, verdict
from cliptune.report.compare import name_all
from cliptune.report.pairs import pairs
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


def verdict_of(*records):
    runs = name_all(list(records))[0]
    return verdict.of_several(runs, pairs(runs))


def test_a_label_with_fewer_seeds_does_not_choose_the_best():
    """On the one draw that all share the worse one is higher; over five draws the better one is ahead."""
    high, low = "1" * 320 + "0" * 80, "1" * 280 + "0" * 120
    runs = [record(high if seed > 1 else low, seed=seed, method="dora") for seed in (1, 2, 3, 4, 5)]
    runs += [record(low if seed > 1 else "1" * 281 + "0" * 119, seed=seed) for seed in (1, 2, 3, 4, 5)]
    once = record("1" * 100 + "0" * 300, seed=1, method="zero_shot", trainable_parameters=0)
    assert ": dora is ahead of lora by +7.9 points" in verdict_of(*runs, once).sentences[0]


def test_the_verdict_and_the_table_say_ahead_by_one_rule():
    """Ahead of the second and not of another: the verdict names the other."""
    runs = [*over_seeds("1" * 400, method="dora"), *over_seeds("1" * 100 + "0" * 300)]
    assert verdict_of(*runs).kind == "gain"
    few = over_seeds("1" * 90 + "0" * 310, seeds=(1, 2), method="ast")
    assert not standing(*runs, *few).alone
    assert verdict_of(*runs, *few).kind != "gain"
    untrained = record("1" * 90 + "0" * 310, method="zero_shot", trainable_parameters=0)
    assert standing(*runs, untrained).of("dora") == "ahead"
    assert verdict_of(*runs, untrained).kind == "gain"


def test_one_draw_beside_an_untouched_backbone_is_no_ahead():
    """Zero-shot is measured once and counts in every draw; the method has as many draws as it was trained on."""
    untrained = record("1" * 90 + "0" * 310, method="zero_shot", trainable_parameters=0)
    one = record("1" * 300 + "0" * 100, method="dora")
    assert standing(one, untrained).of("dora") == "highest on this draw"
    assert verdict_of(one, untrained).kind == "unknown"
    others = [record("1" * 91 + "0" * 309, method="dora", seed=seed) for seed in (2, 3)]
    found = pairs(name_all([one, *others, untrained])[0])
    assert [row["draws"] for row in found.means] == [3]
    assert standing(one, *others, untrained).of("dora") != "ahead"
    assert verdict_of(one, *others, untrained).kind != "gain"


def test_an_untouched_backbone_that_no_method_reaches_is_the_best():
    untrained = record("1" * 300 + "0" * 100, method="zero_shot", trainable_parameters=0)
    runs = over_seeds("1" * 90 + "0" * 310, method="dora")
    assert standing(*runs, untrained).of("zero_shot") == "ahead"


def test_equal_means_are_said_as_equal():
    runs = [*over_seeds("1100", method="dora"), *over_seeds("1100")]
    assert "dora and lora have the same mean" in verdict_of(*runs).sentences[0]


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
