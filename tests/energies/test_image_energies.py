"""Energies of images where the answer is known: on Gaussian images, with a silent network, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm.energies import (
    ReconstructionConfig,
    ReconstructionEnergy,
    RestorationConfig,
    RestorationEnergy,
    UNetConfig,
    UNetEnergy,
)

SHAPE, SIGMAS = (1, 6, 5), (0.1, 0.6, 4.0)
D = 30


def images(n: int = 400, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Correlated Gaussian images."""
    d = torch.Size(shape).numel()
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(7)) / d**0.5
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) @ mixing + 0.2
    return x.reshape(n, *shape)


def gaussian() -> tuple[Tensor, Tensor]:
    flat = images().flatten(1).double()
    return flat.mean(0), torch.cov(flat.T)


def restoration(widths: tuple[int, ...] = (4, 6)) -> RestorationEnergy:
    torch.manual_seed(0)
    energy = RestorationEnergy(SHAPE, RestorationConfig(widths=widths, rank=D))
    energy.fit(images())
    return energy


def unet() -> UNetEnergy:
    torch.manual_seed(0)
    energy = UNetEnergy(SHAPE, UNetConfig(widths=(4, 6), rank=D))
    energy.fit(images())
    return energy


def loud(head: nn.Module) -> None:
    nn.init.normal_(head.weight, std=0.5)  # type: ignore[arg-type]


every_sigma = pytest.mark.parametrize("sigma", SIGMAS)


@every_sigma
def test_an_untrained_denoiser_is_the_posterior_mean_of_gaussian_images(sigma: float) -> None:
    x = images(20, seed=1)
    mean, c = gaussian()
    y = x.flatten(1).double() - mean
    exact = mean + torch.linalg.solve(c + sigma**2 * torch.eye(D), y.T).T @ c
    found = restoration().restore(x, sigma)
    torch.testing.assert_close(found.flatten(1).double(), exact, rtol=1e-3, atol=1e-3)


@every_sigma
def test_an_untrained_scalar_energy_is_the_gaussians(sigma: float) -> None:
    x = images(20, seed=1).requires_grad_(True)
    mean, c = gaussian()
    exact = torch.linalg.solve(c + sigma**2 * torch.eye(D), (x.detach().flatten(1).double() - mean).T).T
    energy = unet()
    values = energy(x, sigma)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    torch.testing.assert_close(gradient.flatten(1).double(), exact, rtol=1e-3, atol=1e-3 / sigma)
    # Denoising by the gradient is then Wiener's filter, which the other family starts from.
    denoised = x.detach() - sigma**2 * gradient
    torch.testing.assert_close(denoised, restoration().restore(x.detach(), sigma), rtol=1e-3, atol=1e-3)
    # Levels of the energy compare: exact up to one constant for all sigma.
    density = torch.distributions.MultivariateNormal(mean, c + sigma**2 * torch.eye(D))
    constant = values.detach().double() + density.log_prob(x.detach().flatten(1).double())
    expected = torch.full_like(constant, -0.5 * D * torch.log(torch.tensor(2 * torch.pi)).item())
    torch.testing.assert_close(constant, expected, rtol=1e-3, atol=2e-2)


def test_a_loud_network_moves_both() -> None:
    x, quiet, louder = images(5, seed=1), unet(), unet()
    loud(louder.network.unet.out)
    assert (quiet(x, 0.5) - louder(x, 0.5)).abs().min() > 1e-3
    restores, others = restoration(), restoration()
    loud(others.denoiser.unet.out)
    assert (restores.restore(x, 0.5) - others.restore(x, 0.5)).abs().amax((1, 2, 3)).min() > 1e-3


def test_restoration_energy_is_the_residual_and_sums_its_pixels() -> None:
    energy, x = restoration(), images(7, seed=1)
    loud(energy.denoiser.unet.out)
    sigma = torch.linspace(0.1, 2.0, 7)
    expected = (x - energy.restore(x, sigma)).flatten(1).square().sum(1) / (2 * sigma.square())
    torch.testing.assert_close(energy(x, sigma), expected)
    local = energy.local_energies(x, sigma)
    assert local.shape == (7, 6, 5)
    torch.testing.assert_close(local.sum((1, 2)), energy(x, sigma))


@pytest.mark.parametrize("widths", [(4,), (4, 6), (4, 6, 8), (4, 6, 8, 8)])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 10, 13), (3, 8, 8), (2, 5, 3), (1, 1, 4)])
def test_denoisers_of_any_depth_take_any_size(widths: tuple[int, ...], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    energy = RestorationEnergy(shape, RestorationConfig(widths=widths, rank=8))
    energy.fit(images(30, shape=shape))
    loud(energy.denoiser.unet.out)
    x = images(4, seed=1, shape=shape)
    out = energy.restore(x, 0.5)
    assert out.shape == x.shape and torch.isfinite(out).all()


@pytest.mark.parametrize("size", [(8, 8), (10, 13), (5, 3), (1, 4)])
def test_reconstructions_of_any_size(size: tuple[int, int]) -> None:
    for channels in (1, 3):
        torch.manual_seed(0)
        energy = ReconstructionEnergy(
            (channels, *size), ReconstructionConfig(latent=3, widths=(4, 6, 8), critic=(4, 6, 8))
        )
        x = images(4, shape=(channels, *size))
        code = energy.encode(x)
        assert code.shape == (4, 3) and energy.decode(code).shape == x.shape
        local = energy.local_energies(x)
        assert local.shape == (4, *size) and torch.isfinite(local).all()
        assert energy(x).shape == (4,)


def reconstruction(critic: tuple[int, int, int] | None = (4, 6, 8)) -> ReconstructionEnergy:
    torch.manual_seed(0)
    return ReconstructionEnergy(SHAPE, ReconstructionConfig(latent=4, widths=(4, 6), critic=critic))


def test_reconstruction_energy_by_hand() -> None:
    energy, x = reconstruction(), images(9)
    energy.settle(images(500, seed=1))
    again = energy.decode(energy.encode(x))
    first = F.softplus(torch.tensor(-1.0)) * ((x - again).flatten(1).square().sum(1) / energy.scale - 1)
    assert energy.critic is not None
    torch.testing.assert_close(energy(x), first + energy.critic(torch.cat([x, again, 2 * (x - again)], 1)))
    alone = reconstruction(None)
    alone.load_state_dict({k: v for k, v in energy.state_dict().items() if not k.startswith("critic")})
    torch.testing.assert_close(alone(x), first)
    local = alone.local_energies(x).sum((1, 2)) - F.softplus(
        torch.tensor(-1.0)
    )  # but for the constant, its terms
    torch.testing.assert_close(local, first)


def test_settling_sets_the_usual_residual_and_the_gaussian_of_the_codes() -> None:
    energy, x = reconstruction(), images(700)
    energy.settle(x)
    with torch.no_grad():
        codes = energy.encode(x)
        residual = (x - energy.decode(codes)).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(energy.scale, residual)
    torch.testing.assert_close(energy.latent_mean, codes.mean(0))
    covariance = energy.latent_root @ energy.latent_root.T
    torch.testing.assert_close(covariance, torch.cov(codes.T), rtol=1e-3, atol=2e-6)


def test_a_critic_finds_one_bad_place() -> None:
    energy, x = reconstruction(), images(3)
    critic = energy.critic
    assert critic is not None
    seen = torch.cat([x, x, 0 * x], 1)
    coarse = critic.local_map(seen)
    assert coarse.shape == (3, 2, 2)  # 6 x 5 pixels at a quarter of the side
    nn.init.zeros_(critic.out.weight)
    nn.init.zeros_(critic.out.bias)
    torch.testing.assert_close(critic(seen), torch.logsumexp(coarse.flatten(1), 1) - 4)
