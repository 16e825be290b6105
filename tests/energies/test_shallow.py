"""The two-layer energy against the Gaussian that it starts from, and its levels against the anchors."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal

from ebm.energies import ShallowConfig, ShallowEnergy


def built(**config: object) -> tuple[ShallowEnergy, torch.Tensor]:
    torch.manual_seed(0)
    energy = ShallowConfig.model_validate({"width": 8} | config).build((3,))
    assert isinstance(energy, ShallowEnergy)
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([0.5, 1.0, 3.0]) + 2
    energy.fit(x)
    return energy, x


@torch.no_grad()
def test_without_its_head_it_is_the_exact_energy_of_independent_gaussian_columns_and_noise() -> None:
    energy, x = built()
    energy.head.zero_()
    for sigma in (0.1, 2.0):
        sd = (x.var(0, correction=0) + sigma**2).sqrt()
        exact = -Normal(x.mean(0), sd).log_prob(x).sum(1) - 1.5 * math.log(2 * math.pi)
        torch.testing.assert_close(energy(x, sigma=sigma), exact)
        torch.testing.assert_close(energy.gradient(x, sigma=sigma), (x - x.mean(0)) / sd**2)


@torch.no_grad()
def test_the_head_is_linear_in_log_sigma_between_the_anchors_and_constant_beyond() -> None:
    energy, x = built(n_levels=3, sigma_min=0.1, sigma_max=10.0)
    torch.testing.assert_close(energy.anchors.exp(), torch.tensor([0.1, 1.0, 10.0]))
    energy.offset.copy_(torch.tensor([1.0, 2.0, 5.0]))
    energy.head.zero_()

    def offset(sigma: float) -> float:
        sd = (x.var(0, correction=0) + sigma**2).sqrt()
        base = ((x - x.mean(0)) / sd).square().sum(1) / 2 + sd.log().sum()
        return float((energy(x, sigma=sigma) - base).mean())

    levels = [0.01, 0.1, 10**-0.5, 1.0, 10**0.25, 10.0, 100.0]
    expected = [1.0, 1.0, 1.5, 2.0, 2.75, 5.0, 5.0]
    torch.testing.assert_close([offset(s) for s in levels], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_network_counts_for_as_much_as_the_noise_is_small() -> None:
    energy, x = built(n_levels=2)
    energy.head.copy_(energy.head[:1].expand(2, -1))  # the same at all levels
    silent, _ = built(n_levels=2)
    silent.head.zero_()
    z = torch.tensor([[0.5, -1.0, 2.0]])
    parts = []
    for sigma in (0.2, 0.8):
        at = x.mean(0) + z * (x.var(0, correction=0) + sigma**2).sqrt()  # the same z at either level
        parts.append(float(energy(at, sigma=sigma) - silent(at, sigma=sigma)))
    assert abs(parts[0]) > 0.01
    torch.testing.assert_close(parts[0], 4 * parts[1], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_constant_column_does_not_make_it_infinite() -> None:
    energy = ShallowConfig(width=8).build((2,))
    energy.fit(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))  # type: ignore[operator]
    assert torch.isfinite(energy(torch.tensor([[1.0, 0.5], [3.0, 0.5]]), sigma=1e-3)).all()
