"""The figures of the gallery, against cases whose answer is known."""

import numpy as np
import pytest
import torch

from ebm.data import draw_toy
from ebm.data.toy_density import truth
from ebm.gallery.cell import measure
from ebm.gallery.measures import energy_distance, match


def test_fields():
    true = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    same, double, none = match(true, true), match(2 * true, true), match(torch.zeros(500, 2), true)
    assert (same.cosine, same.fisher) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert (double.cosine, double.fisher) == (pytest.approx(1), pytest.approx(1))
    assert (none.cosine, none.fisher) == (0, pytest.approx(1))
    assert match(-true, true).cosine == pytest.approx(-1)
    turned = torch.stack([-true[:, 1], true[:, 0]], 1)
    assert match(turned, true).cosine == pytest.approx(0, abs=1e-6)
    assert match(true * float("nan"), true).fisher == float("inf")


def test_a_field_counts_where_it_is_large():
    true = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    right_at_the_large_one = torch.tensor([[3.0, 0.0], [-1.0, 0.0]])
    found = match(right_at_the_large_one, true)
    assert (found.cosine, found.fisher) == (pytest.approx(0.8), pytest.approx(0.4))


def test_energy_distance_of_two_points_each():
    # Pairs between: 3, 5, 1, 3 -> mean 3; within: 2 and 2.
    x, y = np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]])
    assert energy_distance(x, y) == pytest.approx(2 * 3 - 2 - 2)


def test_energy_distance_is_unbiased_and_sees_a_shift():
    random = np.random.default_rng(1)
    alike = [energy_distance(*random.standard_normal((2, 60, 2))) for _ in range(40)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / len(alike) ** 0.5
    x = random.standard_normal((300, 2))
    assert energy_distance(x, random.standard_normal((300, 2)) + 1) > 10 * np.std(alike)


def test_modes_are_counted_where_the_set_has_some() -> None:
    x = draw_toy("eight_gaussians", 400, seed=3)[0]
    figures = measure(truth("eight_gaussians"), "eight_gaussians", x, x, 0)
    assert figures["modes"] == 8 and figures["modes_kl"] < 0.03
    half = x[x[:, 0] > 0.1]  # four modes on the right, or two of them and halves of two
    figures = measure(truth("eight_gaussians"), "eight_gaussians", x, half, 0)
    assert 3 <= figures["modes"] <= 5 and figures["modes_kl"] > 0.5
    assert "modes" not in measure(truth("moons"), "moons", x, x, 0)
