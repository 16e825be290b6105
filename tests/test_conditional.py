"""Conditional draws against the closed forms of Gaussians and of small discrete tables."""

from __future__ import annotations

import math

import pytest
import torch
from analytic_denoisers import WienerFilter
from torch import Tensor

from ebm.conditional import Proposal, corrected_draws, langevin_draws, pooled
from ebm.energies import Expert, KernelConfig, KernelEnergy, KernelViewsConfig, ProductOfExperts
from ebm.energies.analytic import Gaussian
from ebm.parzen import Parzen, find_parzen
from ebm.steps import finish

RHO = 0.8
COVARIANCE = torch.tensor([[1.0, RHO], [RHO, 1.0]])
SECOND_MISSING = torch.tensor([[False, True]])
CONTINUOUS = torch.zeros(2, dtype=torch.bool)


def kernel(x: Tensor, bandwidth: float) -> KernelEnergy:
    """A kernel energy on x with one bandwidth, h^2 = bandwidth."""
    term = KernelEnergy((x.shape[1],), KernelConfig())
    term.centres, term.squared_bandwidths = x, torch.full((len(x),), bandwidth)
    return term


def correlated(n: int, generator: torch.Generator) -> Tensor:
    return Gaussian(torch.zeros(2), torch.linalg.inv(COVARIANCE)).sample(n, generator)


def observed(*first: float) -> Tensor:
    return torch.tensor([[value, math.nan] for value in first]).nan_to_num()


@pytest.mark.parametrize("first", [-1.0, 0.0, 1.0])
def test_a_kernel_on_a_correlated_gaussian_draws_its_conditional(generator, first: float) -> None:
    h2 = 0.02
    product = ProductOfExperts(
        {"kernel": kernel(correlated(10_000, generator), h2)}, [Expert("kernel", None, 1.0)]
    )
    parzen = find_parzen(product)
    assert parzen is not None
    proposal = Proposal.at(parzen, observed(first), SECOND_MISSING, CONTINUOUS)
    draws, mean, accepted = finish(corrected_draws(pooled(product), proposal, 500, 2, generator))
    assert accepted == 1  # the proposal is the energy's own conditional
    # Of the Gaussian smoothed by the kernel: x2 given x1 has mean rho x1 / (1 + h^2). The standard errors are
    # sd / sqrt(500) = .03 for the draws, and about .02 for the local sample of the training rows.
    sd = math.sqrt(1 + h2 - RHO**2 / (1 + h2))
    assert draws[0, :, 1].mean().item() == pytest.approx(RHO * first / (1 + h2), abs=0.1)
    assert mean[0, 1].item() == pytest.approx(RHO * first, abs=0.1)
    assert draws[0, :, 1].std().item() == pytest.approx(sd, rel=0.1)
    assert (draws[0, :, 0] == first).all() and mean[0, 0] == pytest.approx(first, rel=1e-6)


def test_the_correction_leads_from_the_proposal_to_the_energy(generator) -> None:
    # Donors without any correlation; the energy has it.
    donors = Parzen(torch.randn((2000, 2), generator=generator), torch.full((2000,), 0.1))
    energy = Gaussian(torch.zeros(2), torch.linalg.inv(COVARIANCE))
    proposal = Proposal.at(donors, observed(1.0), SECOND_MISSING, CONTINUOUS)
    draws, _, accepted = finish(corrected_draws(energy, proposal, 2000, 25, generator))
    assert 0.2 < accepted < 0.9
    assert draws[0, :, 1].mean().item() == pytest.approx(RHO, abs=4 * 0.6 / math.sqrt(2000))
    assert draws[0, :, 1].std().item() == pytest.approx(math.sqrt(1 - RHO**2), rel=0.06)
    blind, _, _ = finish(corrected_draws(energy, proposal, 2000, 0, generator))
    assert blind[0, :, 1].mean().abs() < 0.1


def test_kernels_of_several_widths_draw_from_their_mixture(generator) -> None:
    # x1 = 0 lies at both centres; the tight kernel has 10 times the density there, and its own x2.
    parzen = Parzen(torch.tensor([[0.0, -5.0], [0.0, 5.0]]), torch.tensor([0.01, 1.0]))
    proposal = Proposal.at(parzen, observed(0.0), SECOND_MISSING, CONTINUOUS)
    draws = proposal.draw(4000, generator)[0, :, 1]
    assert (draws < 0).double().mean().item() == pytest.approx(10 / 11, abs=0.02)
    assert draws[draws < 0].std().item() == pytest.approx(0.1, rel=0.1)
    assert draws[draws > 0].std().item() == pytest.approx(1.0, rel=0.2)
    masses = parzen._replace(log_masses=torch.tensor([0.0, math.log(10)]))
    even = Proposal.at(masses, observed(0.0), SECOND_MISSING, CONTINUOUS).draw(4000, generator)[0, :, 1]
    assert (even < 0).double().mean().item() == pytest.approx(0.5, abs=0.04)


def test_the_proposals_density_is_that_of_its_draws(generator) -> None:
    # E equal to minus the log density of the mixture: every proposal must be accepted, whatever the widths.
    centres, widths = torch.randn((30, 3), generator=generator), torch.rand(30, generator=generator) + 0.1
    masses = torch.rand(30, generator=generator)

    def energy(x: Tensor) -> Tensor:
        squared = torch.cdist(x, centres).square()
        return -(masses.log() - squared / (2 * widths) - 1.5 * widths.log()).logsumexp(1)

    rows = torch.randn((5, 3), generator=generator)
    missing = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1]]).bool()
    proposal = Proposal.at(Parzen(centres, widths, masses.log()), rows, missing, torch.zeros(3).bool())
    draws, _, accepted = finish(corrected_draws(energy, proposal, 50, 4, generator))
    assert accepted > 0.999  # up to rounding
    assert (draws == rows[:, None])[~missing[:, None].expand_as(draws)].all()


def test_a_category_is_drawn_with_its_share_at_that_place(generator) -> None:
    # Two levels, encoded as (2, -2) and (-2, 2), at x = 0 and x = 1; 30 of 100 rows have the first.
    level = (torch.arange(100) < 30).float()[:, None]
    centres = torch.cat([4 * level - 2, 2 - 4 * level, 1 - level], 1)
    h2 = 0.5
    product = ProductOfExperts({"kernel": kernel(centres, h2)}, [Expert("kernel", None, 1.0)])
    parzen = find_parzen(product)
    assert parzen is not None
    rows, missing = torch.tensor([[0.0, 0.0, 0.2]]), torch.tensor([[True, True, False]])
    discrete = torch.tensor([True, True, False])
    proposal = Proposal.at(parzen, rows, missing, discrete)
    draws, _, _ = finish(corrected_draws(pooled(product), proposal, 4000, 5, generator))
    first, second = 30 * math.exp(-(0.2**2) / (2 * h2)), 70 * math.exp(-(0.8**2) / (2 * h2))
    assert (draws[0, :, 0] > 0).double().mean().item() == pytest.approx(first / (first + second), abs=0.03)
    assert set(map(tuple, draws[0, :, :2].tolist())) == {(2.0, -2.0), (-2.0, 2.0)}


def test_donors_without_a_value_are_not_asked(generator) -> None:
    parzen = Parzen(torch.tensor([[0.0, -5.0], [0.0, 5.0]]), torch.full((2,), 0.01))
    usable = torch.tensor([[False, True]])
    draws = Proposal.at(parzen, observed(0.0), SECOND_MISSING, CONTINUOUS, usable).draw(100, generator)
    assert (draws[0, :, 1] > 0).all()


def test_the_pool_of_equal_experts_is_one_of_them(generator) -> None:
    term = kernel(correlated(50, generator), 0.3)
    one = ProductOfExperts({"a": term}, [Expert("a", None, 1.0)])
    many = ProductOfExperts({"a": term, "b": term}, [Expert("a", None, 1.0), Expert("b", None, 3.0)])
    many.scales.copy_(torch.tensor([2.0, 0.5]))
    x = correlated(20, generator)
    torch.testing.assert_close(pooled(many)(x), one(x))


def test_donors_come_from_the_kernel_whose_widths_differ_least(generator) -> None:
    x = correlated(50, generator)
    uneven, even = kernel(x, 0.3), kernel(x + 1, 0.4)
    uneven.squared_bandwidths = torch.linspace(0.1, 5, 50)
    experts = [Expert("uneven", None, 9.0), Expert("even", 0.5, 1.0), Expert("other", None, 1.0)]
    product = ProductOfExperts(
        {"uneven": uneven, "even": even, "other": Gaussian(torch.zeros(2), COVARIANCE)}, experts
    )
    found = find_parzen(product)
    assert found is not None and torch.equal(found.centres, even.centres)
    torch.testing.assert_close(found.squared_bandwidths, torch.full((50,), 0.4 + 0.5**2))
    assert find_parzen(ProductOfExperts({"other": product.terms["other"]}, experts[2:])) is None


def test_the_donors_of_kernels_over_views_are_their_centres_at_one_width_in_x(generator) -> None:
    x = correlated(100, generator) * torch.tensor([1.0, 3.0])
    term = KernelViewsConfig(n_inducing=16).build((2,))
    term.fit(x)  # type: ignore[operator]
    found = find_parzen(ProductOfExperts({"views": term}, [Expert("views", None, 1.0)]))
    assert found is not None and found.log_masses is not None
    torch.testing.assert_close(found.centres, term.centres)
    torch.testing.assert_close(found.log_masses.exp().sum(), torch.tensor(100.0))
    # The width is the median squared distance to the 5th neighbour, over the dimension.
    fifth = torch.cdist(x, x).square().sort(1).values[:, 5].median()
    torch.testing.assert_close(found.squared_bandwidths, (fifth / 2).expand(len(found.centres)))


def test_langevin_draws_the_conditional_of_a_noise_conditional_energy(generator) -> None:
    energy = Gaussian(torch.zeros(2), torch.linalg.inv(COVARIANCE))
    levels = torch.logspace(math.log10(1.5), math.log10(0.05), 18).tolist()
    seen: list[tuple[float, float]] = []

    def spied(x: Tensor, sigma: float) -> Tensor:
        seen.append((sigma, float((x.detach()[:, 0] - 1).std())))
        return energy(x, sigma)

    draws, mean, _ = finish(langevin_draws(spied, levels, observed(1.0), SECOND_MISSING, 1000, generator))  # type: ignore[arg-type]
    assert all(
        sd == pytest.approx(sigma, rel=0.15) for sigma, sd in seen
    )  # the whole row has the level's noise
    assert (draws[0, :, 0] == 1).all()
    # Unadjusted, with a finite ladder: within a bias of .05 beside the standard error, .02.
    assert mean[0, 1].item() == pytest.approx(RHO, abs=0.08)
    assert draws[0, :, 1].std().item() == pytest.approx(math.sqrt(1 - RHO**2), rel=0.15)


def test_langevin_draws_by_a_denoiser_alone(generator) -> None:
    field = WienerFilter(Gaussian(torch.zeros(2), torch.linalg.inv(COVARIANCE)))
    levels = torch.logspace(math.log10(1.5), math.log10(0.05), 18).tolist()
    draws, mean, _ = finish(langevin_draws(field, levels, observed(1.0), SECOND_MISSING, 1000, generator))
    assert (draws[0, :, 0] == 1).all()
    assert mean[0, 1].item() == pytest.approx(RHO, abs=0.08)
    assert draws[0, :, 1].std().item() == pytest.approx(math.sqrt(1 - RHO**2), rel=0.15)
