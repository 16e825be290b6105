"""What every energy must obey; a new one adds a row to ENERGIES."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ebm.energies import (
    AutoencoderConfig,
    BoltzmannConfig,
    ConvConfig,
    DBNConfig,
    DiscriminatorConfig,
    EmbeddingConfig,
    Expert,
    ExponentialFamilyConfig,
    JointConfig,
    KernelConfig,
    KernelViewsConfig,
    MLPConfig,
    MLPEnergy,
    ProductOfExperts,
    RBMConfig,
    ReconstructionConfig,
    ResidualConfig,
    RestorationConfig,
    ScoreParametrisedConfig,
    ShallowConfig,
    StructuredConfig,
    UNetConfig,
)
from ebm.energies.fixed import at_level
from ebm.energies.product import ProductOfExperts as Product
from ebm.errors import BadConfig, BadInput

IMAGE, ODD, COLOUR, ROW = (1, 8, 8), (1, 10, 13), (3, 8, 8), (5,)
ENERGIES = {
    "score_parametrised": (ScoreParametrisedConfig(width=16, depth=2), ROW, 0.3),
    "autoencoder": (AutoencoderConfig(latent=2, width=16), ROW, None),
    "autoencoder_covariance": (AutoencoderConfig(latent=2, width=16, metric="covariance"), ROW, None),
    "autoencoder_learned": (AutoencoderConfig(latent=2, width=16, metric="learned"), ROW, None),
    "discriminator": (DiscriminatorConfig(width=16, depth=2), ROW, None),
    "discriminator_log_d": (DiscriminatorConfig(width=16, depth=2, form="log_d"), ROW, None),
    "discriminator_image": (DiscriminatorConfig(widths=(4, 8)), IMAGE, None),
    "embedding": (EmbeddingConfig(width=16, depth=2, dim=8, n_bank=30), ROW, None),
    "embedding_image": (EmbeddingConfig(widths=(4, 8), dim=8), IMAGE, None),
    "mlp": (MLPConfig(width=16, depth=2), ROW, None),
    "mlp_without_base": (MLPConfig(width=16, depth=2, base="none"), ROW, None),
    "mlp_noise": (MLPConfig(width=16, depth=2, noise_conditional=True), ROW, 0.3),
    "conv": (ConvConfig(widths=(4, 8)), IMAGE, None),
    "conv_noise": (ConvConfig(widths=(4, 8), noise_conditional=True), IMAGE, 0.3),
    "residual": (ResidualConfig(width=16, depth=2), ROW, 0.3),
    "residual_image": (ResidualConfig(width=16, depth=2), IMAGE, 0.3),
    "exponential_family": (ExponentialFamilyConfig(), ROW, None),
    "exponential_family_image": (ExponentialFamilyConfig(family="diagonal_gaussian"), IMAGE, None),
    "joint": (JointConfig(classes=("a", "b", "c"), width=16, depth=2), ROW, None),
    "joint_image": (JointConfig(classes=("a", "b"), widths=(4, 8)), IMAGE, None),
    "kernel": (KernelConfig(), ROW, None),
    "kernel_noise": (KernelConfig(bandwidth=0.5), ROW, 0.3),
    "kernel_adaptive": (KernelConfig(neighbour=5, adaptive=1.0), ROW, None),
    "kernel_views": (KernelViewsConfig(), ROW, None),
    "kernel_views_compressed": (KernelViewsConfig(n_inducing=16), ROW, None),
    "kernel_views_image": (KernelViewsConfig(weighting="equal"), IMAGE, None),
    "shallow": (ShallowConfig(width=16), ROW, 0.3),
    "shallow_image": (ShallowConfig(width=16), IMAGE, 0.3),
    "reconstruction": (ReconstructionConfig(latent=4, widths=(4, 6), critic=(4, 6, 8)), IMAGE, None),
    "reconstruction_odd": (ReconstructionConfig(latent=4, widths=(4, 6, 8), critic=(4, 6, 8)), ODD, None),
    "reconstruction_colour": (ReconstructionConfig(latent=4, widths=(4, 6), critic=(4, 6, 8)), COLOUR, None),
    "reconstruction_alone": (ReconstructionConfig(latent=4, widths=(4, 6), critic=None), ODD, None),
    "restoration": (RestorationConfig(widths=(4, 6, 8), rank=16), IMAGE, 0.3),
    "restoration_odd": (RestorationConfig(widths=(4, 6, 8, 8), rank=16), ODD, 0.3),
    "restoration_colour": (RestorationConfig(widths=(4,), rank=16), COLOUR, 0.3),
    "structured": (StructuredConfig(n_targets=2, width=16, depth=2), ROW, None),
    "structured_image": (StructuredConfig(width=6, depth=2), COLOUR, None),
    "boltzmann": (BoltzmannConfig(n_hidden=3), ROW, None),
    "dbn": (DBNConfig(hidden=(6, 4)), ROW, None),
    "dbn_image": (DBNConfig(hidden=(6, 5, 4)), IMAGE, None),
    "rbm": (RBMConfig(n_hidden=6), ROW, None),
    "rbm_image": (RBMConfig(n_hidden=6), IMAGE, None),
    "rbm_gaussian": (RBMConfig(n_hidden=6, visible="gaussian"), ROW, None),
    "unet": (UNetConfig(widths=(4, 6, 8), rank=16), IMAGE, 0.3),
    "unet_odd": (UNetConfig(widths=(4, 6, 8, 8), rank=16), ODD, 0.3),
    "unet_colour": (UNetConfig(widths=(4, 6), rank=16), COLOUR, 0.3),
}
# Nothing makes these grow: without a base, or of rows of zeros and ones, which are never far away.
BOUNDED = ("mlp_without_base", "rbm", "rbm_image", "boltzmann", "dbn", "dbn_image")
every_energy = pytest.mark.parametrize("name", ENERGIES)


def data(shape: tuple[int, ...], n: int = 40, seed: int = 0) -> Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


def built(name: str) -> tuple[nn.Module, Tensor, float | None]:
    config, shape, sigma = ENERGIES[name]
    torch.manual_seed(0)
    energy = config.build(shape)
    x = data(shape)
    energy.fit(x)  # type: ignore[operator]
    for part in ("body.out", "denoiser.unet.out", "network.unet.out"):
        try:
            head = energy.get_submodule(part)
        except AttributeError:
            continue
        nn.init.normal_(head.weight, std=0.1)  # type: ignore[arg-type]  # at zero it would hide the network
    return energy, x, sigma


@every_energy
def test_shape_finite_and_float32(name: str) -> None:
    energy, x, sigma = built(name)
    out = energy(x, sigma=sigma)
    assert out.shape == (40,) and out.dtype == torch.float32
    assert torch.isfinite(out).all() and out.std() > 1e-3


@every_energy
def test_a_rows_energy_does_not_depend_on_its_batch(name: str) -> None:
    energy, x, sigma = built(name)
    whole = energy(x, sigma=sigma)
    alone = torch.cat([energy(row[None], sigma=sigma) for row in x])
    torch.testing.assert_close(alone, whole, rtol=1e-5, atol=1e-4)


@every_energy
def test_noise_level_per_row_equals_one_for_all(name: str) -> None:
    energy, x, sigma = built(name)
    if sigma is None:
        return
    per_row = energy(x, sigma=torch.full((40,), sigma))
    torch.testing.assert_close(per_row, energy(x, sigma=sigma))
    assert (energy(x, sigma=2 * sigma) - per_row).abs().max() > 1e-3


@every_energy
def test_gradient_is_that_of_finite_differences_and_differentiable_again(name: str) -> None:
    energy, x, sigma = built(name)
    energy = energy.double()
    x = (x[:3].double() + 0.01).requires_grad_(True)  # views have their kinks at training values
    total = energy(x, sigma=sigma).sum()
    (gradient,) = torch.autograd.grad(total, x, create_graph=True)
    direction = data(x.shape[1:], 3, seed=9).double()
    h = 1e-5
    ahead, behind = (energy(x.detach() + s * h * direction, sigma=sigma).sum() for s in (1, -1))
    slope = (ahead - behind) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-6)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert torch.isfinite(second).all() and second.abs().max() > 0


@every_energy
def test_saved_and_loaded_energies_are_identical(name: str) -> None:
    energy, x, sigma = built(name)
    config, shape, _ = ENERGIES[name]
    other = config.build(shape)
    other.load_state_dict(energy.state_dict())
    assert torch.equal(other(x, sigma=sigma), energy(x, sigma=sigma))


@pytest.mark.parametrize(
    "name", [n for n in ENERGIES if hasattr(ENERGIES[n][0].build(ENERGIES[n][1]), "gradient")]
)
def test_a_gradient_written_by_hand_is_that_of_autograd(name: str) -> None:
    energy, x, sigma = built(name)
    energy, x = energy.double(), x.double().requires_grad_(True)
    levels = torch.linspace(0.5, 2, 40, dtype=torch.float64) * (sigma or 1.0)
    (expected,) = torch.autograd.grad(energy(x, sigma=levels).sum(), x)
    found = energy.gradient(x, sigma=levels)  # type: ignore[operator]
    assert found.shape == x.shape
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [n for n in ENERGIES if n not in BOUNDED])
def test_energy_grows_far_from_the_data(name: str) -> None:
    energy, x, sigma = built(name)
    assert energy(50 * x, sigma=sigma).min() > energy(x, sigma=sigma).max()


@pytest.mark.parametrize(
    "name", ["mlp_noise", "residual", "conv_noise", "shallow", "restoration", "unet", "score_parametrised"]
)
def test_a_noise_conditional_energy_asks_for_sigma(name: str) -> None:
    energy, x, _ = built(name)
    with pytest.raises(BadInput, match="pass sigma"):
        energy(x)


@pytest.mark.parametrize("config", [ConvConfig(), ReconstructionConfig(), RestorationConfig(), UNetConfig()])
def test_energies_of_images_refuse_rows(config: ConvConfig) -> None:
    with pytest.raises(BadConfig, match="images"):
        config.build((5,))


def test_residual_energy_without_its_network_is_the_exact_gaussian() -> None:
    x, sigma = data((3,), 500) @ torch.tensor([[1.0, 0.5, 0], [0, 2, 0.3], [0, 0, 0.7]]), 0.4
    energy = ResidualConfig(width=8, depth=2).build((3,))
    energy.fit(x)  # type: ignore[operator]
    covariance = torch.cov(x.T) + sigma**2 * torch.eye(3)
    exact = -torch.distributions.MultivariateNormal(x.mean(0), covariance).log_prob(x)
    torch.testing.assert_close(
        energy(x, sigma=sigma) + 1.5 * math.log(2 * math.pi), exact, rtol=1e-4, atol=1e-4
    )


def test_scalar_energy_is_its_base_plus_the_network_over_sigma() -> None:
    energy, x, _ = built("mlp_noise")
    assert isinstance(energy, MLPEnergy)
    column, s2 = torch.full((40, 1), 0.3), energy.scale.variance
    normalised = (x - energy.scale.mean) / (s2 + 0.09).sqrt()
    network = energy.body(normalised, column).squeeze(1) / 0.3
    base = (x - x.mean(0)).square().sum(1) / (2 * (s2 + 0.09)) + 2.5 * (s2 + 0.09).log()
    torch.testing.assert_close(energy(x, sigma=0.3), base + network)


# ---- product -------------------------------------------------------------------------------------------


def test_product_is_the_weighted_sum_of_standardised_energies() -> None:
    (kernel, x, _), (residual, _, _) = built("kernel"), built("residual")
    experts = [Expert("k", None, 1.0), Expert("r", 0.1, 0.5), Expert("r", 0.4, 2.0)]
    product: Product = ProductOfExperts({"k": kernel, "r": residual}, experts)
    held_out = data(ROW, 30, seed=5)
    product.standardise(product.expert_energies(held_out))
    with torch.no_grad():
        parts = [kernel(x), residual(x, sigma=0.1), residual(x, sigma=0.4)]
        sds = [
            kernel(held_out).std(),
            residual(held_out, sigma=0.1).std(),
            residual(held_out, sigma=0.4).std(),
        ]
        expected = parts[0] / sds[0] + 0.5 * parts[1] / sds[1] + 2.0 * parts[2] / sds[2]
        torch.testing.assert_close(product(x), expected)


def test_a_product_of_one_is_that_energy_itself() -> None:
    kernel, x, _ = built("kernel")
    product = ProductOfExperts({"k": kernel}, [Expert("k", None, 1.0)])
    product.standardise(product.expert_energies(data(ROW, 30, seed=5)))
    assert torch.equal(product(x), kernel(x))


@every_energy
def test_at_a_fixed_level_it_is_the_same_energy(name: str) -> None:
    energy, x, sigma = built(name)
    for level in [sigma] if sigma is None else [0.05, sigma, 2.0]:
        with torch.no_grad():
            expected, fixed = energy(x, sigma=level), at_level(energy, level)(x)
        torch.testing.assert_close(fixed, expected, rtol=1e-4, atol=1e-4)


def test_a_product_at_its_levels_is_the_same_energy() -> None:
    torch.manual_seed(0)
    terms = {
        "a": MLPConfig(width=16, depth=2, noise_conditional=True).build(ROW),
        "b": KernelConfig().build(ROW),
    }
    for term in terms.values():
        term.fit(data(ROW))  # type: ignore[operator]
    experts = [Expert("a", 0.1, 2.0), Expert("a", 0.5, -1.0), Expert("b", None, 0.5)]
    product = ProductOfExperts(terms, experts)
    product.standardise(product.expert_energies(data(ROW, seed=1)).detach())
    x = data(ROW, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(product.at_levels()(x), product(x), rtol=1e-4, atol=1e-4)
