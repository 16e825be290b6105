"""Whether chains have mixed: effective sample size, split R-hat, acceptance.

All take draws of one scalar (an energy, a coordinate) as (chains, steps); arrays or CPU tensors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ebm.errors import BadInput


class Acceptance(NamedTuple):
    """Metropolis acceptance: `mean` over chains and steps, the `lowest` chain's, and how many are `stuck`."""

    mean: float
    lowest: float
    stuck: int


def effective_sample_size(draws: ArrayLike) -> float:
    """How many independent draws would estimate the mean as well: C N / (1 + 2 sum_t rho_t).

    rho_t combines within- and between-chain variance (Gelman et al., BDA3, 2013, section 11.5), so chains
    in different modes count as few draws; the sum stops by Geyer's initial monotone sequence (Geyer, 1992).
    Bounded by C N log10(C N), as antithetic chains have no bound of their own.

    Args:
        draws: (chains C, steps N), N at least 4.

    Returns:
        The effective sample size; NaN where nothing moved at all.

    Raises:
        BadInput: the shape is wrong or a draw is not finite.
    """
    x = _checked(draws)
    chains, n = x.shape
    covariance = _autocovariance(x).mean(axis=0)
    within = covariance[0] * n / (n - 1)
    variance = covariance[0] + (x.mean(axis=1).var(ddof=1) if chains > 1 else 0.0)
    if variance == 0:
        return math.nan
    # The lag-0 term of a single chain is exactly 1, and that of several is forced to 1 below.
    base = variance if chains > 1 else within
    rho = 1 - (within - covariance * n / (n - 1)) / base
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs < 0)
    pairs = pairs[: negative[0] if len(negative) else len(pairs)]
    tau = max(2 * np.minimum.accumulate(pairs).sum() - 1, 1 / math.log10(chains * n))
    return float(chains * n / tau)


def split_r_hat(draws: ArrayLike) -> float:
    """sqrt(((N - 1)/N W + B/N) / W) over the halves of each chain; 1 when mixed, above 1.01 is suspect.

    W is the mean variance within the half chains, B/N the variance of their means (Gelman & Rubin, 1992;
    split as in BDA3, 2013). Not rank-normalised: heavy tails can hide from it.

    Args:
        draws: (chains, steps), at least 4 steps; an odd one at the end is dropped.

    Returns:
        R-hat; infinity where the chains stand still in different places, NaN where nothing moved at all.

    Raises:
        BadInput: the shape is wrong or a draw is not finite.
    """
    x = _checked(draws)
    n = x.shape[1] // 2
    halves = x[:, : 2 * n].reshape(-1, n)
    within = halves.var(axis=1, ddof=1).mean()
    between = halves.mean(axis=1).var(ddof=1)
    if within == 0:
        return math.inf if between > 0 else math.nan
    return float(math.sqrt((n - 1) / n + between / within))


def acceptance(accepted: ArrayLike) -> Acceptance:
    """Acceptance of a Metropolis-corrected sampler.

    Args:
        accepted: (chains, steps) of bool.

    Raises:
        BadInput: the shape is wrong or empty.
    """
    taken = np.asarray(accepted, dtype=bool)
    if taken.ndim != 2 or taken.size == 0:
        raise BadInput(f"expected acceptances of shape (chains, steps), got {taken.shape}")
    rates = taken.mean(axis=1)
    return Acceptance(float(rates.mean()), float(rates.min()), int((rates == 0).sum()))


def _autocovariance(x: np.ndarray) -> np.ndarray:
    """(chains, N) -> (chains, N): mean over N of products at each lag, biased, by FFT padded against wrap."""
    n = x.shape[1]
    spectrum = np.fft.rfft(x - x.mean(axis=1, keepdims=True), n=2 * n, axis=1)
    return np.fft.irfft(np.abs(spectrum) ** 2, n=2 * n, axis=1)[:, :n] / n


def _checked(draws: ArrayLike) -> np.ndarray:
    x = np.asarray(draws, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] < 4:
        raise BadInput(f"expected draws of shape (chains, at least 4 steps), got {x.shape}")
    if not np.isfinite(x).all():
        chain, step = np.argwhere(~np.isfinite(x))[0]
        raise BadInput(f"chain {chain}, step {step}: the draw is not finite")
    return x
