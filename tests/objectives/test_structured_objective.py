"""Conditional maximum likelihood: p(y | x) of a known Gaussian comes back, whatever p(x) is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ebm.config import validate
from ebm.errors import BadConfig
from ebm.objectives import StructuredObjective
from ebm.samplers import MALA, Langevin
from ebm.training.config import TermConfig

N_GIVEN = 2


class Regression(nn.Module):
    """E(x, y) = (y - A x)^T P (y - A x) / 2 + f(x), with P = L L^T; f has no part in p(y | x)."""

    def __init__(self, slope: Tensor, factor: Tensor):
        super().__init__()
        self.slope, self.factor = nn.Parameter(slope.clone()), nn.Parameter(factor.clone())

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[:, :N_GIVEN], rows[:, N_GIVEN:]

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], 1)

    @property
    def precision(self) -> Tensor:
        return self.factor @ self.factor.T

    def forward(self, rows: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma
        x, y = self.split(rows)
        return ((y - x @ self.slope.T) @ self.factor).square().sum(1) / 2 + x.sum(1).square()


def truth(d: int) -> Regression:
    generator = torch.Generator().manual_seed(d)
    slope = torch.randn(d, N_GIVEN, generator=generator)
    factor = torch.diag(1 / torch.linspace(0.7, 1.4, d)) + 0.1 * torch.tril(
        torch.randn(d, d, generator=generator), -1
    )
    return Regression(slope, factor)


def pairs(energy: Regression, n: int) -> Tensor:
    """x is uniform, hence p(x) is nothing like exp of minus any quadratic."""
    generator = torch.Generator().manual_seed(1)
    x = 4 * torch.rand(n, N_GIVEN, generator=generator) - 2
    noise = torch.randn(n, len(energy.slope), generator=generator)
    with torch.no_grad():
        y = x @ energy.slope.T + torch.linalg.solve_triangular(energy.factor.T, noise.T, upper=True).T
    return energy.join(x, y)


@pytest.mark.parametrize(("d", "start"), [(1, "data"), (8, "data"), (1, "both")])
def test_recovers_a_conditional_gaussian(d: int, start: str) -> None:
    known = truth(d)
    rows = pairs(known, 8000)
    found = Regression(torch.zeros(d, N_GIVEN), torch.eye(d))
    steps = 3 if start == "data" else 10
    objective = StructuredObjective(MALA(0.3), steps, start)  # type: ignore[arg-type]
    generator, n = torch.Generator().manual_seed(2), 200
    optimizer = torch.optim.Adam(found.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n)
    for _ in range(n):
        batch = rows[torch.randint(len(rows), (256,), generator=generator)]
        loss = objective(found, batch, generator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    for name in ("slope", "precision"):
        wanted, got = getattr(known, name).detach(), getattr(found, name).detach()
        assert (got - wanted).norm() < 0.12 * wanted.norm(), name


def test_chains_leave_x_alone_and_start_where_they_are_told() -> None:
    energy, seen = truth(2), []

    class Looking(Regression):
        def forward(self, rows: Tensor, sigma: Tensor | float | None = None) -> Tensor:
            seen.append(rows.detach())
            return super().forward(rows, sigma)

    rows = pairs(energy, 64)
    looking = Looking(energy.slope.detach(), energy.factor.detach())
    objective = StructuredObjective(Langevin(0.01), 3)
    objective(looking, rows, torch.Generator().manual_seed(0))
    assert len(seen) == 4 and all(torch.equal(part[:64, :N_GIVEN], rows[:, :N_GIVEN]) for part in seen)
    assert torch.equal(seen[0][::2], rows[::2])  # every other chain starts at the data
    assert (seen[0][1::2, N_GIVEN:] - rows[1::2, N_GIVEN:]).abs().min() > 1e-4
    assert torch.equal(seen[-1][64:, :N_GIVEN], rows[:, :N_GIVEN])  # the negatives' x is the data's


def test_it_needs_pairs() -> None:
    with pytest.raises(BadConfig, match="needs rows that are pairs"):
        validate(
            TermConfig, {"name": "a", "energy": {"kind": "mlp"}, "objective": {"kind": "structured"}}, "x"
        )
