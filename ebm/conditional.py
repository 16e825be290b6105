"""Drawing the missing coordinates of rows from p(x_missing | x_observed) proportional to exp(-E)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ebm.energies import ProductOfExperts
from ebm.parzen import Parzen
from ebm.samplers.gradient import standard_normal_like
from ebm.samplers.posterior import score_estimate
from ebm.steps import Steps
from ebm.types import Energy, EnergyFn

N_LEVEL_STEPS = 20
STEP_SIZE = 0.3  # in units of the squared noise level


def pooled(product: ProductOfExperts) -> EnergyFn:
    """E(x) / sum_k (w_k / s_k): the energy of the weighted geometric mean of the experts' densities.

    This is the logarithmic opinion pool (Genest and Zidek 1986; Heskes 1998). A sum of K energies alone would be
    that of K independent observations, with K times too little spread; the pool of K equal experts is that expert.
    Experts of negative weight count in E, not in the sum.

    Where the experts are linked by `soft_min`, -log sum_k (w_k / W) exp(-(E_k(x) - m_k)) instead: the linear opinion
    pool (Stone 1961) of their own densities, without the scales and the temperature that suit ranking.
    """
    if product.link == "soft_min":
        shares = torch.tensor([e.weight for e in product.experts], device=product.scales.device)
        log_shares = (shares / shares.sum()).log()
        return lambda x: -torch.logsumexp(log_shares - (product.expert_energies(x) - product.centres), 1)
    share = sum(max(e.weight, 0.0) / s for e, s in zip(product.experts, product.scales.tolist(), strict=True))
    return lambda x: product(x) / (share or 1.0)


@dataclass(frozen=True)
class Proposal:
    """The conditional of a Parzen mixture, from which it is easy to draw.

    Centre i has the probability W_i proportional to m_i N(x_obs; c_i,obs, s_i^2 I), its share of the density of what is
    observed. A draw takes the missing block of its centre, plus N(0, s_i^2) noise where it is continuous.

    rows (B, D): encoded, anything at missing coordinates; missing (B, D) bool; discrete (D,) bool.
    log_weights (B, n): log W, up to a constant of each row.
    """

    parzen: Parzen
    rows: Tensor
    missing: Tensor
    discrete: Tensor
    log_weights: Tensor

    @classmethod
    def at(
        cls, parzen: Parzen, rows: Tensor, missing: Tensor, discrete: Tensor, usable: Tensor | None = None
    ) -> Proposal:
        """usable: (B, n) bool, the donors that have a value where the row has none; None for all."""
        observed = (~missing).sum(1, keepdim=True)
        weights = parzen.log_kernels(rows, ~missing) - 0.5 * observed * parzen.squared_bandwidths.log()
        if parzen.log_masses is not None:
            weights = weights + parzen.log_masses
        if usable is not None:
            weights = weights.masked_fill(~usable & usable.any(1, keepdim=True), -torch.inf)
        return cls(parzen, rows, missing, discrete, weights)

    def draw(self, n: int, generator: Generator) -> Tensor:
        """n independent draws a row, (B, n, D); observed coordinates are the row's own."""
        at = torch.multinomial(self.log_weights.softmax(1), n, replacement=True, generator=generator)
        donors = self.parzen.centres[at]
        noise = (
            standard_normal_like(donors, generator) * self.parzen.squared_bandwidths[at].sqrt()[:, :, None]
        )
        donors = donors + noise.masked_fill(self.discrete, 0)
        return torch.where(self.missing[:, None], donors, self.rows[:, None])

    def log_density(self, x: Tensor) -> Tensor:
        """log q of the missing coordinates of x (B, n, D), up to a constant of each row: (B, n)."""
        b, n, d = x.shape
        flat, missing = x.reshape(b * n, d), self.missing.repeat_interleave(n, 0)
        free, fixed = missing & ~self.discrete, missing & self.discrete
        mass = 0.5 * free.sum(1, keepdim=True) * self.parzen.squared_bandwidths.log()
        total = self.log_weights.repeat_interleave(n, 0) + self.parzen.log_kernels(flat, free) - mass
        if bool(fixed.any()):  # without noise only donors with that very value can have given it
            total = total.masked_fill(self.parzen.squared_distances(flat, fixed) > 1e-3, -torch.inf)
        return total.logsumexp(1).reshape(b, n)


def corrected_draws(
    energy: EnergyFn, proposal: Proposal, n: int, n_steps: int, generator: Generator
) -> Steps[None, None, tuple[Tensor, Tensor, float]]:
    """n draws a row (B, n, D) towards exp(-E), their mean (B, D), and the share of proposals that were accepted.

    Each draw is a chain of its own: it starts at a draw of the proposal q, and for n_steps takes a fresh one y for x
    with probability min(1, exp(E(x) - E(y)) q(x) / q(y)) (Metropolis-Hastings with independent proposals, Tierney
    1994). Where q is proportional to exp(-E) every proposal is accepted. The mean is over all states of the second
    half of the chains, which costs nothing and varies less than that of the last ones.
    """
    b = len(proposal.rows)

    def log_ratio(x: Tensor) -> Tensor:
        with torch.no_grad():
            return -energy(x.flatten(0, 1)).reshape(b, n).double() - proposal.log_density(x).double()

    x = proposal.draw(n, generator)
    ratio = log_ratio(x)
    accepted, means = 0.0, [x.double().mean(1)]
    for _ in range(n_steps):
        y = proposal.draw(n, generator)
        new = log_ratio(y)
        chance = torch.rand(ratio.shape, generator=generator, device=x.device, dtype=ratio.dtype)
        take = chance.log() <= new - ratio
        x = torch.where(take[:, :, None], y, x)
        ratio = torch.where(take, new, ratio)
        accepted += float(take.double().mean()) / n_steps
        means.append(x.double().mean(1))
        yield
    return x, torch.stack(means[len(means) // 2 :]).mean(0).float(), accepted


def langevin_draws(
    energy: Energy, levels: list[float], rows: Tensor, missing: Tensor, n: int, generator: Generator
) -> Steps[None, None, tuple[Tensor, Tensor, None]]:
    """n draws a row (B, n, D) by annealed Langevin dynamics on the missing coordinates, for a noise-conditional E.

    At each noise level the observed coordinates are the row's own plus fresh noise of that level, so that the whole
    row is one of that level (Song and Ermon 2019, appendix B.3). Between levels the missing part takes a step of the
    reverse diffusion, (s_k^2 - s_k+1^2) times the score function plus that much noise (Song et al. 2021), and at the
    last level that to the posterior mean. The score function is as `ebm.samplers.posterior.score_estimate` says.

    Args:
        levels: noise levels, descending.
    """
    x = rows.repeat_interleave(n, 0)
    hidden, observed = missing.repeat_interleave(n, 0), x

    def moved(x: Tensor, sigma: float, size: float) -> Tensor:
        noisy = torch.where(hidden, x, observed + sigma * standard_normal_like(x, generator))
        return torch.where(hidden, x + size * score_estimate(energy, noisy, sigma), observed)

    def noise(variance: float) -> Tensor:
        return variance**0.5 * standard_normal_like(x, generator) * hidden

    x = torch.where(hidden, levels[0] * standard_normal_like(x, generator), x)
    for sigma, below in zip(levels, [*levels[1:], 0.0], strict=True):
        for _ in range(N_LEVEL_STEPS):
            x = moved(x, sigma, STEP_SIZE * sigma**2) + noise(2 * STEP_SIZE * sigma**2)
            yield
        x = moved(x, sigma, sigma**2 - below**2) + noise(sigma**2 - below**2 if below else 0.0)
        yield
    draws = x.reshape(len(rows), n, -1)
    return draws, draws.double().mean(1).float(), None
