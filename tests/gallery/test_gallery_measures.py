"""The figures of the gallery, against cases whose answer is known."""

import numpy as np
import pytest
import torch

from ebm.gallery.measures import energy_distance, match


def test_fields():
    truth = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    same, double, none = match(truth, truth), match(2 * truth, truth), match(torch.zeros(500, 2), truth)
    assert (same.cosine, same.fisher) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert (double.cosine, double.fisher) == (pytest.approx(1), pytest.approx(1))
    assert (none.cosine, none.fisher) == (0, pytest.approx(1))
    assert match(-truth, truth).cosine == pytest.approx(-1)
    turned = torch.stack([-truth[:, 1], truth[:, 0]], 1)
    assert match(turned, truth).cosine == pytest.approx(0, abs=1e-6)
    assert match(truth * float("nan"), truth).fisher == float("inf")


def test_a_field_counts_where_it_is_large():
    truth = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    right_at_the_large_one = torch.tensor([[3.0, 0.0], [-1.0, 0.0]])
    found = match(right_at_the_large_one, truth)
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
