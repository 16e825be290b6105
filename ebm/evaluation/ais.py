"""Annealed importance sampling: log Z from below, and from above where samples of the model are at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from ebm.errors import BadInput, Diverged
from ebm.steps import Progress, Steps, finish

BOOTSTRAPS = 100


class Path(Protocol):
    """Energies E_beta from a base of known log Z (beta = 0) to the energy asked about (beta = 1)."""

    log_z_base: float
    reversible: (
        bool  # the moves, as Metropolis steps and block Gibbs sweeps are and sweeps in a fixed order are not
    )

    def start(self, n: int, generator: Generator) -> Tensor:
        """n exact draws of the base, (n, ...)."""
        ...

    def enter(self, rows: Tensor) -> Tensor:
        """Rows (n, ...), as the energy asked about takes them, in the coordinates of the path."""
        ...

    def change(self, x: Tensor, a: float, b: float) -> Tensor:
        """E_a(x) - E_b(x) of x (n, ...), (n,)."""
        ...

    def move(self, beta: float, x: Tensor, generator: Generator) -> Tensor:
        """x (n, ...) after steps that leave exp(-E_beta) as it is, for 0 < beta <= 1."""
        ...


class Estimate(NamedTuple):
    """log_z, nats; standard_error of it, nats; ess: effective sample size of the weights, 1 to n_chains."""

    log_z: float
    standard_error: float
    ess: float
    n_chains: int
    n_temperatures: int


class Bracket(NamedTuple):
    """`forward` is low and `reverse` high, on average and, but for b nats, with probability 1 - exp(-b).

    `log_z` is between: Bennett's (1976) estimate from both, or their mean where moves are not reversible. gap =
    reverse.log_z - forward.log_z, nats."""

    log_z: float
    standard_error: float
    forward: Estimate
    reverse: Estimate
    gap: float


class Run(NamedTuple):
    """log_weights (n,) float64, and the points x (n, ...) where the chains ended."""

    log_weights: Tensor
    x: Tensor


def sigmoid_schedule(n: int, steepness: float = 4.0) -> np.ndarray:
    """0 = beta_0 < ... < beta_n = 1, dense at both ends (Grosse et al. 2015)."""
    at = 1 / (1 + np.exp(-steepness * np.linspace(-1, 1, n + 1)))
    return (at - at[0]) / (at[-1] - at[0])


def forward_steps(
    path: Path, n_chains: int, betas: Sequence[float], generator: Generator
) -> Steps[Progress, None, Run]:
    """From the base to the model: w = prod_k exp(E_{k-1}(x_{k-1}) - E_k(x_{k-1})), x_k moved at beta_k (Neal 2001).

    The mean of w is unbiased for Z / Z_base whatever the moves' quality, as long as they leave E_beta as it is; so
    log of the mean is low on average (Jensen), and above log Z by b nats with probability below exp(-b) (Markov).
    """
    return _walk(path, path.start(n_chains, generator), list(betas), generator)


def reverse_steps(
    path: Path, rows: Tensor, betas: Sequence[float], generator: Generator
) -> Steps[Progress, None, Run]:
    """The same from samples of the model, rows (n, ...), back to the base: the mean of w is unbiased for Z_base / Z.

    Hence log Z_base - log of the mean is high, where `forward_steps` is low (Grosse, Ghahramani and Adams 2015; Burda,
    Grosse and Salakhutdinov 2015). It is a bound in so far as the rows are samples of the model."""
    return _walk(path, path.enter(rows), list(betas)[::-1], generator)


def _walk(path: Path, x: Tensor, betas: list[float], generator: Generator) -> Steps[Progress, None, Run]:
    _check(betas)
    x, n = x.detach(), len(betas) - 1
    log_weights = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for k in range(1, n + 1):
        with torch.no_grad():
            log_weights += path.change(x, float(betas[k - 1]), float(betas[k])).double()
        if k < n:
            x = path.move(betas[k], x, generator)
        yield Progress(k, n)
    # Minus infinity is a chain outside the support of the energy, whose weight is 0.
    if bool(torch.isnan(log_weights).any() | (log_weights == math.inf).any()):
        raise Diverged("the energy is not a number on the way from the base: log Z cannot be estimated")
    return Run(log_weights, x)


def _check(betas: list[float]) -> None:
    ends = {betas[0], betas[-1]} if len(betas) > 1 else set()
    steps = np.diff(betas)
    if ends != {0.0, 1.0} or not ((steps > 0).all() or (steps < 0).all()):
        raise BadInput("temperatures must rise from 0 to 1")


def estimate(log_weights: Tensor, log_z_base: float, n_temperatures: int, *, sign: int = 1) -> Estimate:
    """log Z = log Z_base + sign * log mean w, with the standard error of log mean w by the delta method:
    sqrt(1 / ESS - 1 / n), ESS = (sum w)^2 / sum w^2. It is too small where few chains carry the weight.

    Raises:
        Diverged: every weight is 0.
    """
    n, total = len(log_weights), log_weights.logsumexp(0)
    if not bool(torch.isfinite(total)):
        raise Diverged("every chain left the support of the energy: its weight is 0")
    ess = float((2 * total - (2 * log_weights).logsumexp(0)).exp())
    error = math.sqrt(max(0.0, 1 / ess - 1 / n) * n / max(1, n - 1))
    return Estimate(log_z_base + sign * (float(total) - math.log(n)), error, ess, n, n_temperatures)


def forward(path: Path, n_chains: int, betas: Sequence[float], generator: Generator) -> Estimate:
    """`forward_steps` as an estimate of log Z, low on average."""
    run = finish(forward_steps(path, n_chains, betas, generator))
    return estimate(run.log_weights, path.log_z_base, len(betas) - 1)


def reverse(path: Path, rows: Tensor, betas: Sequence[float], generator: Generator) -> Estimate:
    """`reverse_steps` from samples of the model, rows (n, ...), as an estimate of log Z, high on average."""
    run = finish(reverse_steps(path, rows, betas, generator))
    return estimate(run.log_weights, path.log_z_base, len(betas) - 1, sign=-1)


def bracket_steps(
    path: Path,
    n_chains: int,
    betas: Sequence[float],
    generator: Generator,
    *,
    samples: Tensor | None = None,
    n_settle: int | None = None,
) -> Steps[Progress, None, Bracket]:
    """log Z from both sides.

    Args:
        samples: exact draws of the model (n, ...), where there are any. Otherwise the forward chains are drawn anew in
            proportion to their weights and moved `n_settle` times at beta = 1 (default: as often as there are
            temperatures): the upper side is then a bound only in so far as these chains have converged. Modes that the
            forward chains never saw are missing from both sides.
    """
    n = len(betas) - 1
    settle = 0 if samples is not None else n if n_settle is None else n_settle
    total, done = 2 * n + settle, 0
    ahead = yield from _counted(forward_steps(path, n_chains, betas, generator), done, total)
    low = estimate(ahead.log_weights, path.log_z_base, n)
    done += n
    if samples is None:
        share = torch.softmax(ahead.log_weights, 0)
        chosen = torch.multinomial(share, n_chains, replacement=True, generator=generator)
        x = ahead.x[chosen]
        for _ in range(settle):
            x = path.move(1.0, x, generator)
            done += 1
            yield Progress(done, total)
    else:
        x = path.enter(samples)
    back = yield from _counted(_walk(path, x, list(betas)[::-1], generator), done, total)
    high = estimate(back.log_weights, path.log_z_base, n, sign=-1)
    if path.reversible:
        log_ratio, error = bennett(ahead.log_weights, back.log_weights)
        log_z = path.log_z_base + log_ratio
    else:
        log_z, error = (low.log_z + high.log_z) / 2, math.hypot(low.standard_error, high.standard_error) / 2
    return Bracket(log_z, error, low, high, high.log_z - low.log_z)


def bracket(
    path: Path,
    n_chains: int,
    betas: Sequence[float],
    generator: Generator,
    *,
    samples: Tensor | None = None,
    n_settle: int | None = None,
) -> Bracket:
    """`bracket_steps`, run to the end."""
    steps = bracket_steps(path, n_chains, betas, generator, samples=samples, n_settle=n_settle)
    return finish(steps)


def _counted(steps: Steps[Progress, None, Run], done: int, total: int) -> Steps[Progress, None, Run]:
    while True:
        try:
            at = next(steps)
        except StopIteration as stop:
            return stop.value
        yield Progress(done + at.step, total)


def bennett(forward: Tensor, reverse: Tensor) -> tuple[float, float]:
    """log(Z / Z_base) from log weights of both directions (n,), (m,), and its standard error by the bootstrap.

    The F with sum_i s(f_i - F - M) = sum_j s(r_j + F + M), s the logistic function and M = log(n / m): the estimate of
    least variance from forward and reverse works, which are -f and -r (Bennett 1976; Crooks 2000). It asks that moves
    be reversible, as Metropolis steps and block Gibbs sweeps are.
    """
    f, r = (w[torch.isfinite(w)].cpu().numpy() for w in (forward, reverse))
    lost = (len(forward), len(f)), (len(reverse), len(r))
    rng = np.random.default_rng(0)
    answer = _solve(f[None], r[None], lost)[0]
    again = _solve(
        f[rng.integers(0, len(f), (BOOTSTRAPS, len(f)))],
        r[rng.integers(0, len(r), (BOOTSTRAPS, len(r)))],
        lost,
    )
    return float(answer), float(again.std(ddof=1))


def _solve(f: np.ndarray, r: np.ndarray, counts: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """By bisection, rows at once: f (b, n), r (b, m) -> (b,)."""
    from scipy.special import expit

    shift = math.log(counts[0][0] / counts[1][0])
    low = np.minimum(f.min(1), -r.max(1)) - 50 - abs(shift)
    high = np.maximum(f.max(1), -r.min(1)) + 50 + abs(shift)
    for _ in range(50):
        middle = (low + high) / 2
        left = expit(f - middle[:, None] - shift).sum(1)
        right = expit(r + middle[:, None] + shift).sum(1)
        # The left side falls with F and the right one rises: the root is where they meet.
        low, high = np.where(left > right, middle, low), np.where(left > right, high, middle)
    return (low + high) / 2
