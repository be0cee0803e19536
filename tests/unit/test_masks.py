"""Dropout masks: the chance, the scale, the independence of their bits."""

import pytest
import torch

from cliptune.models.masks import STEPS, Dropout, draw

CPU = torch.device("cpu")


@pytest.mark.parametrize("chance", [0.25, 0.5, 0.1, 1 / 3, 0.05, 0.9, 1e-4])
def test_drops_as_many_as_it_says(chance: float) -> None:
    torch.manual_seed(0)
    n = 1_000_000
    dropped = n - float(draw((n,), chance, CPU).of(torch.float64).sum())
    assert abs(dropped - n * chance) < 5 * (n * chance * (1 - chance)) ** 0.5 + n / STEPS


@pytest.mark.parametrize("shape", [(1,), (7,), (64,), (65,), (3, 5, 7), (129, 2)])
def test_any_shape_zeros_and_ones(shape: tuple[int, ...]) -> None:
    mask = draw(shape, 0.25, CPU)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        values = mask.of(dtype)
        assert values.shape == shape
        assert values.dtype == dtype
        assert set(values.flatten().tolist()) <= {0.0, 1.0}


def test_the_scale_is_of_the_chance_that_was_taken() -> None:
    assert draw((64,), 0.25, CPU).scale == 4 / 3
    assert draw((64,), 0.0, CPU).scale == 1
    assert draw((64,), 0.1, CPU).scale == pytest.approx(1 / 0.9, rel=1e-5)
    assert float(draw((1000,), 0.0, CPU).of(torch.float32).sum()) == 1000


def test_neighbours_and_draws_do_not_know_of_each_other() -> None:
    """Correlations between any two places of a word, and between two draws, are those of chance."""
    torch.manual_seed(1)
    rows = 20_000
    first, second = (draw((rows, 64), 0.25, CPU).of(torch.float32) - 0.75 for _ in range(2))
    bound = 5.5 * 0.75 * 0.25 / rows**0.5
    within = first.T @ first / rows
    assert float((within - within.diag().diag()).abs().max()) < bound
    assert float((first.T @ second / rows).abs().max()) < bound
    assert float((first[:-1].T @ first[1:] / rows).abs().max()) < bound


def test_the_same_seed_draws_the_same_mask() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return draw((5, 77), 0.25, CPU).bits

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


def test_the_module_drops_while_training_only() -> None:
    torch.manual_seed(2)
    x, dropout = torch.ones(10_000), Dropout(0.25)
    assert set(dropout.train()(x).tolist()) == {0.0, float(torch.tensor(4 / 3))}
    assert torch.equal(dropout.eval()(x), x)
    assert dropout.chance == 0
    assert torch.equal(Dropout(0.0).train()(x), x)
