"""Noise of known density: what noise-contrastive estimation tells data from."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.errors import BadInput

FLOOR = 1e-4  # of a variance: a direction in which data do not vary has no density


class GaussianNoiseConfig(Frozen):
    """N(m, spread^2 C), m and C the mean and the full covariance of the data."""

    kind: Literal["gaussian"] = "gaussian"
    spread: float = Field(default=1.2, ge=1)

    def build(self, x: Tensor, seed: int) -> Noise:
        del seed
        covariance = torch.cov(x.T.double()).reshape(x.shape[1], x.shape[1])
        return MixtureNoise(
            x.mean(0)[None], self.spread**2 * covariance[None], torch.ones(1, device=x.device)
        )


class MixtureNoiseConfig(Frozen):
    """A Gaussian mixture of `components`, fitted to the data by EM, its covariances times spread^2; and with the weight
    `broad` the one Gaussian of all data, as wide as `gaussian`: where no noise falls E is not learnt, and the mass that
    it has there is missing in log Z."""

    kind: Literal["mixture"] = "mixture"
    components: int = Field(default=10, ge=1)
    spread: float = Field(default=1.2, ge=1)
    broad: float = Field(default=0.2, ge=0, lt=1)

    def build(self, x: Tensor, seed: int) -> Noise:
        from sklearn.mixture import GaussianMixture  # slow to import, and needed only here

        rows = x.double().cpu().numpy()
        n = min(self.components, len(rows))
        model = GaussianMixture(n, reg_covar=FLOOR, random_state=seed).fit(rows)
        means, covariances, weights = (
            torch.as_tensor(np.asarray(part)).to(x.device)
            for part in (model.means_, model.covariances_, model.weights_)
        )
        if self.broad:
            whole = x.double()
            means = torch.cat([means, whole.mean(0)[None]])
            around = torch.cov(whole.T).reshape(1, x.shape[1], x.shape[1])
            covariances = torch.cat([covariances, around])
            weights = torch.cat([(1 - self.broad) * weights, weights.new_tensor([self.broad])])
        return MixtureNoise(means, self.spread**2 * covariances, weights)


class UniformNoiseConfig(Frozen):
    """Uniform in the box of the data, wider by `margin` times its width on either side."""

    kind: Literal["uniform"] = "uniform"
    margin: float = Field(default=0.1, ge=0)

    def build(self, x: Tensor, seed: int) -> Noise:
        del seed
        width = (x.amax(0) - x.amin(0)).clamp_min(FLOOR)
        return UniformNoise(x.amin(0) - self.margin * width, x.amax(0) + self.margin * width)


NoiseConfig = Annotated[
    GaussianNoiseConfig | MixtureNoiseConfig | UniformNoiseConfig, Field(discriminator="kind")
]


class MixtureNoise(nn.Module):
    """q(x) = sum_k w_k N(x; m_k, C_k): m (K, d), C (K, d, d), w (K,) summing to one; variances of at least 1e-4.

    Numbers are buffers, float32: they are stored with a run, and alike on all its devices.
    """

    means: Tensor
    roots: Tensor
    whiteners: Tensor
    log_weights: Tensor

    def __init__(self, means: Tensor, covariances: Tensor, weights: Tensor):
        super().__init__()
        values, vectors = torch.linalg.eigh(covariances.double())
        sds = values.clamp_min(FLOOR).sqrt()
        self.register_buffer("means", means.float())
        self.register_buffer("roots", (vectors * sds[:, None, :]).float())
        self.register_buffer("whiteners", (vectors / sds[:, None, :]).float())
        dim = means.shape[1]
        constant = -sds.log().sum(1) - 0.5 * dim * math.log(2 * math.pi)
        self.register_buffer("log_weights", (weights.double().log() + constant).float())
        self.register_buffer("weights", weights.float())

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n draws (n, d)."""
        k, d = self.means.shape
        noise = torch.randn((n, d), generator=generator, device=self.means.device)
        if k == 1:
            return self.means[0] + noise @ self.roots[0].T
        part = torch.multinomial(self.get_buffer("weights"), n, replacement=True, generator=generator)
        return self.means[part] + (self.roots[part] @ noise[:, :, None])[:, :, 0]

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), (B,), of x (B, d)."""
        y = torch.einsum("bkd,kde->bke", x[:, None, :] - self.means, self.whiteners)
        return torch.logsumexp(self.log_weights - 0.5 * y.square().sum(2), 1)


class UniformNoise(nn.Module):
    """q(x) = 1 / prod_j (high_j - low_j) in the box, and zero outside, where E is not learnt: its log is then -1e4."""

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor):
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n draws (n, d)."""
        u = torch.rand((n, len(self.low)), generator=generator, device=self.low.device)
        return self.low + (self.high - self.low) * u

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), (B,), of x (B, d)."""
        inside = ((x >= self.low) & (x <= self.high)).all(1)
        return torch.where(inside, -(self.high - self.low).log().sum(), -1e4)


Noise = MixtureNoise | UniformNoise


def fitted(config: NoiseConfig, x: Tensor, generator: Generator) -> Noise:
    """Noise for rows x (N, d).

    Raises:
        BadInput: fewer than two rows.
    """
    if len(x) < 2:
        raise BadInput(f"noise is fitted to at least 2 training rows, got {len(x)}")
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    return config.build(x, seed)
