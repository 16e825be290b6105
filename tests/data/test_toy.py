"""The sets in the plane: their moments, their densities, and whether the two are of the same set."""

import numpy as np
import pytest
import torch
from scipy import stats

from ebm.config import Frozen, validate
from ebm.data import TOY_NAMES, DataConfig, ToyData, draw_toy, load
from ebm.data.toy_density import truth
from ebm.errors import BadConfig

CLASSES = {"moons": 2, "pinwheel": 5, "rings": 3, "eight_gaussians": 8, "checkerboard": 4}
SIDE, CELLS, FINE = 4.0, 20, 10  # a board of 20 x 20 cells on [-4, 4]^2, each of 10 x 10 nodes


@pytest.fixture(scope="module", params=TOY_NAMES)
def name(request):
    return request.param


def cell_shares(name) -> np.ndarray:
    """The share of the density in each coarse cell, by the midpoint rule: (20, 20)."""
    step = 2 * SIDE / (CELLS * FINE)
    axis = torch.arange(-SIDE + step / 2, SIDE, step, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = (-truth(name)(grid)).exp().reshape(CELLS, FINE, CELLS, FINE) * step**2
    return density.sum((1, 3)).numpy()


def test_moments(name):
    x, labels = draw_toy(name, 40_000, 3)
    assert x.dtype == np.float32 and labels.dtype == np.int64
    np.testing.assert_allclose(x.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(x.std(0), 1, atol=0.03)
    shares = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(shares, 1 / CLASSES[name], atol=0.02)


def test_density_integrates_to_one_and_is_that_of_the_draws(name):
    shares = cell_shares(name)
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    n = 40_000
    x, _ = draw_toy(name, n, 5)
    edges = np.linspace(-SIDE, SIDE, CELLS + 1)
    seen = np.histogram2d(*x.T, bins=(edges, edges))[0].ravel()
    expected = n * shares.ravel()
    often = expected >= 10
    seen = [*seen[often], seen[~often].sum()]
    expected = np.array([*expected[often], max(expected[~often].sum(), n - expected[often].sum())])
    chi2 = ((seen - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(chi2, len(expected) - 1) > 1e-3


def test_truth_is_an_energy_that_can_be_followed(name):
    x = torch.from_numpy(draw_toy(name, 200, 7)[0])
    rows = torch.cat([x, torch.zeros(1, 2), 5 * x[:5]]).requires_grad_(True)
    energy = truth(name)(rows)
    assert energy.shape == (206,) and energy.dtype == torch.float32
    gradient = torch.autograd.grad(energy.sum(), rows)[0]
    assert torch.isfinite(gradient).all()
    # Stein's identity: the mean of the score function under its own density is zero.
    many = torch.from_numpy(draw_toy(name, 10_000, 8)[0]).requires_grad_(True)
    score = -torch.autograd.grad(truth(name)(many).sum(), many)[0]
    error = score.std(0) / len(score) ** 0.5
    assert (score.mean(0).abs() < 4 * error).all()


def test_a_label_is_a_part_of_the_set():
    x, labels = draw_toy("eight_gaussians", 500, 0)
    nearest = np.round(np.arctan2(x[:, 1], x[:, 0]) / (np.pi / 4)).astype(int) % 8
    assert (nearest == labels).mean() > 0.99
    x, labels = draw_toy("rings", 500, 0)
    radius = np.hypot(*x.T)
    means = [radius[labels == k].mean() for k in range(3)]
    assert means == sorted(means)


def test_from_a_configuration():
    class Holder(Frozen):
        data: DataConfig

    config = validate(Holder, {"data": {"kind": "toy", "name": "rings", "n": 50, "seed": 4}}, "c.yaml").data
    assert isinstance(config, ToyData)
    table = load(config)
    assert table.columns == ["x", "y"] and len(table) == 50
    assert table.fingerprint() == load(config).fingerprint()
    assert table.fingerprint() != load(config.model_copy(update={"seed": 5})).fingerprint()
    with pytest.raises(BadConfig, match="c.yaml: data.toy.name"):
        validate(Holder, {"data": {"kind": "toy", "name": "swiss_roll"}}, "c.yaml")
