import math

import numpy as np
import pytest

from ebm.errors import BadInput
from ebm.evaluation.diagnostics import acceptance, effective_sample_size, split_r_hat


def autoregressive(rho: float, chains: int, n: int, seed: int = 0) -> np.ndarray:
    """Stationary AR(1), whose ESS is known: chains * n * (1 - rho) / (1 + rho)."""
    noise = np.random.default_rng(seed).normal(size=(chains, n))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * noise[:, t]
    return x


@pytest.mark.parametrize("chains", [1, 4])
@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_ess_of_an_autoregression(rho, chains):
    draws = autoregressive(rho, chains, 40_000 // chains)
    assert effective_sample_size(draws) == pytest.approx(40_000 * (1 - rho) / (1 + rho), rel=0.12)


def direct_ess(x: np.ndarray) -> float:
    """The definition, term by term: BDA3's rho_t, summed in Geyer's pairs while positive and falling."""
    chains, n = x.shape
    centred = x - x.mean(axis=1, keepdims=True)
    covariance = [np.mean([np.dot(c[: n - t], c[t:]) / n for c in centred]) for t in range(n)]
    within = covariance[0] * n / (n - 1)
    variance = (n - 1) / n * within + (x.mean(axis=1).var(ddof=1) if chains > 1 else within / n)
    rho = [1.0] + [1 - (within - covariance[t] * n / (n - 1)) / variance for t in range(1, n)]
    total, last = 0.0, math.inf
    for t in range(0, n - 1, 2):
        pair = rho[t] + rho[t + 1]
        if pair < 0:
            break
        last = min(pair, last)
        total += last
    return chains * n / (2 * total - 1)


@pytest.mark.parametrize("chains", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_ess_against_its_definition(chains, seed):
    draws = autoregressive(0.6, chains, 61, seed)
    assert effective_sample_size(draws) == pytest.approx(direct_ess(draws))


def test_ess_is_free_of_scale_and_place():
    draws = autoregressive(0.5, 2, 500)
    assert effective_sample_size(3 * draws - 7) == pytest.approx(effective_sample_size(draws))


def test_chains_in_different_modes_count_as_few_draws():
    draws = autoregressive(0.0, 4, 1000)
    apart = draws + 20 * np.arange(4)[:, None]
    assert effective_sample_size(apart) < 10
    assert split_r_hat(apart) > 5


def test_antithetic_chains_are_bounded():
    draws = np.tile([[1.0, -1.0]], (2, 50)) + 1e-3 * autoregressive(0.0, 2, 100)
    assert effective_sample_size(draws) == pytest.approx(200 * math.log10(200))


def test_r_hat_of_a_hand_made_case():
    # Halves (0, 2), (0, 2), (4, 6), (4, 6): W = 2, their means 1, 1, 5, 5 have variance 16/3.
    draws = [[0.0, 2, 0, 2], [4, 6, 4, 6]]
    assert split_r_hat(draws) == pytest.approx(math.sqrt(1 / 2 + (16 / 3) / 2))


def test_r_hat_of_mixed_and_of_drifting_chains():
    draws = autoregressive(0.3, 4, 2000)
    assert split_r_hat(draws) == pytest.approx(1, abs=0.01)
    # One drifting chain has no partner to disagree with; the split is what sees it.
    assert split_r_hat(draws[:1] + np.linspace(0, 5, 2000)) > 1.5


def test_chains_that_stand_still():
    assert math.isnan(effective_sample_size(np.ones((2, 10))))
    assert math.isnan(split_r_hat(np.ones((2, 10))))
    assert split_r_hat(np.repeat([[1.0], [2.0]], 10, axis=1)) == math.inf


def test_acceptance():
    result = acceptance([[True, True, False, True], [False] * 4, [True] * 4])
    assert result == (pytest.approx(7 / 12), 0.0, 1)


@pytest.mark.parametrize("draws", [np.zeros(10), np.zeros((2, 3)), np.zeros((0, 10)), np.zeros((2, 4, 4))])
def test_bad_shapes(draws):
    for diagnostic in (effective_sample_size, split_r_hat):
        with pytest.raises(BadInput, match="shape"):
            diagnostic(draws)


def test_a_draw_that_is_not_finite_is_named():
    draws = np.zeros((2, 8))
    draws[1, 3] = np.nan
    with pytest.raises(BadInput, match="chain 1, step 3"):
        effective_sample_size(draws)
    with pytest.raises(BadInput, match="shape"):
        acceptance([True, False])
