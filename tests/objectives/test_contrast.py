"""Contrast with corrupted data: the log ratio of two known densities; contrastive divergence from the same starts."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ebm.config import validate
from ebm.errors import BadConfig
from ebm.negatives import Negatives, NegativesConfig
from ebm.objectives import CDConfig, Contrast, ContrastConfig, ContrastiveDivergence
from ebm.objectives.chains import contrastive_loss
from ebm.objectives.contrast import both_sides
from ebm.samplers import Langevin

SD, AT = 0.3, 0.4


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def levels(n: int, mean: float, generator: Generator) -> Tensor:
    """Even 8 x 8 images, of a level N(mean, SD^2)."""
    return (mean + SD * torch.randn(n, 1, 1, 1, generator=generator)).expand(n, 1, 8, 8).contiguous()


class Brighter(Negatives):
    """Negatives of a known density: levels N(AT, SD^2), whatever the data are."""

    def __init__(self) -> None:
        super().__init__({"flip": 1.0}, group=8, snap=0.0)

    def __call__(self, energy: object, x: Tensor, generator: Generator) -> Tensor:
        del energy
        return levels(len(x), AT, generator)


class OfTheLevel(nn.Module):
    """A small network of the mean of an image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor, sigma: object = None) -> Tensor:
        del sigma
        return self.layers(x.mean((1, 2, 3))[:, None]).squeeze(1)


def log_ratio(level: Tensor) -> Tensor:
    """log q - log p of a level, q = N(AT, SD^2) and p = N(0, SD^2)."""
    return (level.square() - (level - AT).square()) / (2 * SD**2)


def test_its_optimum_is_the_log_ratio_of_the_densities() -> None:
    energy, generator = OfTheLevel(), seeded()
    objective = Contrast(Brighter())
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.01)
    grid = torch.linspace(-0.5, 0.9, 8)
    pictures = grid[:, None, None, None].expand(8, 1, 8, 8)
    before = (energy(pictures) - log_ratio(grid)).abs().max()
    for _ in range(300):
        loss, metrics = objective(energy, levels(256, 0.0, generator), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = energy(pictures)
    assert before > 2
    torch.testing.assert_close(found, log_ratio(grid), rtol=0, atol=0.4)
    assert (found.diff() > 0).all()  # brighter is less normal, though all are even images
    assert metrics["fake"] > metrics["real"] and metrics["gap"] == pytest.approx(
        metrics["fake"] - metrics["real"]
    )


def test_its_loss_is_that_of_logistic_regression() -> None:
    energy, x = OfTheLevel(), levels(6, 0.0, seeded(1))
    y = levels(6, AT, seeded(2))
    out = Contrast(Brighter(), l2=0.3)(energy, x, seeded(2))
    e, f = energy(x), energy(y)
    expected = F.softplus(e).mean() + F.softplus(-f).mean() + 0.3 * torch.cat([e, f]).square().mean()
    torch.testing.assert_close(out.loss, expected)
    assert out.metrics["real"] == pytest.approx(float(e.mean().detach()))
    assert out.metrics["spread"] == pytest.approx(float(torch.cat([e, f]).std().detach()))
    # By hand, as the cross entropy of labels 0 (data) and 1 (negatives), of which there are as many.
    entropy = F.binary_cross_entropy_with_logits(torch.cat([e, f]), torch.tensor([0.0] * 6 + [1.0] * 6))
    torch.testing.assert_close(Contrast(Brighter())(energy, x, seeded(2)).loss, 2 * entropy)


def test_both_sides_get_the_same_noise_and_the_same_ends() -> None:
    x = levels(4000, 0.0, seeded(1)).clamp(-1, 1)
    negatives = NegativesConfig(kinds={"threshold": 1.0}, snap=0.2).build()
    clean = both_sides(negatives, None, x, 0.0, seeded(3))
    assert len(clean) == 8000 and torch.equal(clean[:4000], negatives.snapped(x))
    assert not ((clean.abs() > 0.8) & (clean.abs() < 1)).any()
    noise = both_sides(negatives, None, x, 0.1, seeded(3)) - clean
    for side in noise.chunk(2):
        assert float(side.std()) == pytest.approx(0.1, rel=0.02)
    assert torch.equal(
        both_sides(negatives, None, x[:9], 0.1, seeded(3)), both_sides(negatives, None, x[:9], 0.1, seeded(3))
    )


def test_the_loss_has_no_gradient_through_the_negatives() -> None:
    class Moving(Brighter):
        def __call__(self, energy: object, x: Tensor, generator: Generator) -> Tensor:
            assert not torch.is_grad_enabled()
            return energy.decode(energy.encode(x))  # type: ignore[attr-defined]

    class Coded(OfTheLevel):
        def __init__(self) -> None:
            super().__init__()
            self.code = nn.Parameter(torch.ones(()))

        def encode(self, x: Tensor) -> Tensor:
            return self.code * x

        def decode(self, code: Tensor) -> Tensor:
            return code

    energy = Coded()
    Contrast(Moving())(energy, levels(8, 0.0, seeded()), seeded()).loss.backward()
    assert energy.code.grad is None
    assert energy.layers[0].weight.grad is not None  # type: ignore[union-attr]


# ---- contrastive divergence ------------------------------------------------------------------------------


def test_no_steps_from_negatives_is_the_contrastive_loss_of_the_starts() -> None:
    energy, x = OfTheLevel(), levels(16, 0.0, seeded(1))
    objective = CDConfig(
        k_steps=0, negatives=NegativesConfig(kinds={"gray": 1.0}), l2=0.2, data_noise=0.05
    ).build()
    assert objective.start is not None
    data, starts = both_sides(objective.start, energy, x, 0.05, seeded(4)).chunk(2)
    expected = contrastive_loss(energy, data, starts, 0.2)
    found = objective(energy, x, seeded(4))
    assert torch.equal(found.loss, expected.loss)
    for name, value in expected.metrics.items():
        assert found.metrics[name] == value


def test_chains_begin_at_the_negatives() -> None:
    begun: list[Tensor] = []

    class Watching(Langevin):
        def step(self, energy, x, generator):  # type: ignore[no-untyped-def]
            begun.append(x.clone())
            return super().step(energy, x, generator)

    energy, x = OfTheLevel(), levels(16, 0.0, seeded(1))
    start = NegativesConfig(kinds={"inversion": 1.0}).build()
    found = ContrastiveDivergence(Watching(0.01), 3, start=start)(energy, x, seeded(4))
    data, starts = both_sides(start, energy, x, 0.0, seeded(4)).chunk(2)
    assert len(begun) == 3 and torch.equal(begun[0], starts) and not torch.equal(begun[2], starts)
    assert found.metrics["real"] == pytest.approx(float(energy(data).mean().detach()))
    # Without negatives they begin at the data.
    begun.clear()
    ContrastiveDivergence(Watching(0.01), 1)(energy, x, seeded(4))
    assert torch.equal(begun[0], x)


def test_steps_lower_the_energy_of_the_negatives() -> None:
    energy, x = OfTheLevel(), levels(64, 0.0, seeded(1))
    with torch.no_grad():
        energy.layers[2].weight.mul_(30)  # type: ignore[union-attr, operator]
    kinds = NegativesConfig(kinds={"gray": 1.0})
    fakes = []
    for k in (0, 5, 40):
        cd = ContrastiveDivergence(Langevin(0.3, noise_scale=0.0), k, start=kinds.build())
        fakes.append(cd(energy, x, seeded(4)).metrics["fake"])
    assert fakes[0] > fakes[1] > fakes[2]
    assert not math.isclose(fakes[0], fakes[2], rel_tol=0.05)


def test_no_steps_from_the_data_are_refused() -> None:
    with pytest.raises(BadConfig, match="'k_steps' 0 needs 'negatives': data are not told from themselves"):
        validate(CDConfig, {"k_steps": 0}, "test")
    assert CDConfig(k_steps=0, negatives=NegativesConfig()).build().k_steps == 0


def test_configurations_build_what_they_say() -> None:
    built = ContrastConfig(negatives=NegativesConfig(kinds={"flip": 1.0}), l2=0.5, data_noise=0.1).build()
    assert (built.negatives.names, built.l2, built.data_noise) == (["flip"], 0.5, 0.1)
