"""The adversarial game: who is moved by what, where it ends, and that it ends there for a known generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ebm.energies import DiscriminatorConfig, MLPConfig
from ebm.energies.analytic import Gaussian
from ebm.objectives import Adversarial, AdversarialConfig
from ebm.objectives.generator import CodeGenerator, GeneratorConfig

SMALL = GeneratorConfig(code=4, width=16, depth=1, widths=(4, 4))
T = torch.tensor


def rows(n: int = 200, seed: int = 1) -> Tensor:
    return 1 + T([1.0, 0.5]) * torch.randn((n, 2), generator=Generator().manual_seed(seed))


def energies() -> dict[str, Any]:
    torch.manual_seed(0)
    made: dict[str, Any] = {
        "log_ratio": DiscriminatorConfig(width=8, depth=1).build((2,)),
        "log_d": DiscriminatorConfig(width=8, depth=1, form="log_d").build((2,)),
        "mlp": MLPConfig(width=8, depth=1).build((2,)),
    }
    for energy in made.values():
        energy.fit(rows())
    return made


@pytest.mark.parametrize("name", ["log_ratio", "log_d", "mlp"])
def test_each_player_is_moved_by_its_own_part_of_the_loss(name: str) -> None:
    energy, x = energies()[name], rows(50, seed=3)
    objective = AdversarialConfig(generator=SMALL, r1=0.7).build()
    objective.prepare(energy, rows(), Generator().manual_seed(0))
    partner = objective.partner
    assert partner is not None
    objective(energy, x, Generator().manual_seed(7)).loss.backward()
    f = energy.logit if hasattr(energy, "logit") else lambda x: -energy(x)
    fake = partner.sample(50, Generator().manual_seed(7))
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    for_energy = F.softplus(-f(x)).mean() + F.softplus(f(fake)).mean() + 0.35 * slope.square().sum(1).mean()
    for_generator = F.softplus(-f(fake)).mean()
    for value, part in ((for_energy, energy), (for_generator, partner)):
        moved = list(part.parameters())
        wanted = torch.autograd.grad(value, moved, retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(moved, wanted, strict=True):
            if gradient is not None:
                assert parameter.grad is not None
                torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
    assert all(p.requires_grad for p in energy.parameters())


class Fixed(CodeGenerator):
    """N(0, I): a generator whose density is known."""

    def __init__(self) -> None:
        super().__init__(2)
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, code: Tensor) -> Tensor:
        return code + 0 * self.idle


class Quadratic(nn.Module):
    """E(x) = x^T A x / 2 + b^T x + c, which holds the log ratio of two Gaussians."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.zeros(s)) for s in ((2, 2), (2,), ()))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * ((x @ self.a) * x).sum(1) + x @ self.b + self.c


def test_against_a_fixed_generator_it_learns_the_log_ratio_of_densities() -> None:
    truth = Gaussian(T([0.5, 0.0]), T([[1.5, 0.4], [0.4, 1.2]]))
    data = truth.sample(20_000, Generator().manual_seed(1))
    energy, objective, generator = Quadratic(), Adversarial(SMALL, r1=0.0), Generator().manual_seed(0)
    objective.partner = Fixed()
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.03)
    for i in range(300):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - i / 300)
        batch = data[torch.randint(len(data), (1024,), generator=generator)]
        loss = objective(energy, batch, generator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # E = log p_g - log p, constants and all: where they are alike it is zero.
    x = data[:500]
    ratio = truth(x) + truth.log_z - (0.5 * x.square().sum(1) + torch.log(T(2 * torch.pi)))
    torch.testing.assert_close(energy(x).detach(), ratio, atol=0.15, rtol=0.1)


@pytest.mark.parametrize("shape", [(3,), (1, 8, 8), (3, 10, 13)])
def test_a_generator_makes_what_it_is_given_examples_of(shape: tuple[int, ...]) -> None:
    x = torch.rand((20, *shape), generator=Generator().manual_seed(0)) * 2 - 1
    made = [SMALL.build(x, seed).sample(6, Generator().manual_seed(3)) for seed in (0, 0, 1)]
    assert made[0].shape == (6, *shape)
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert made[0].std(0).min() > 0
    # It begins with examples that vary as these do.
    many = GeneratorConfig().build(x, 0).sample(500, Generator().manual_seed(4)).detach()
    assert float(many.std(0).square().mean() / x.std(0).square().mean()) > 0.4
    if len(shape) == 3:
        assert made[0].abs().max() <= 1


def test_building_a_generator_leaves_torchs_own_randomness_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SMALL.build(rows(), 0)
    assert torch.equal(torch.rand(3), expected)
