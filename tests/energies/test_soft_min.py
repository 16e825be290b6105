"""Energies linked by a soft minimum: by hand, its limits, a mixture of known densities, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebm.compare import _tempered
from ebm.conditional import pooled
from ebm.config import validate
from ebm.energies import Expert, ProductOfExperts
from ebm.energies.analytic import Gaussian
from ebm.errors import BadConfig
from ebm.training.config import ModelConfig

LEFT, RIGHT = (Gaussian(torch.tensor([at, 0.0]), torch.eye(2)) for at in (-3.0, 3.0))


def rows(n: int = 50, seed: int = 0) -> Tensor:
    return 4 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def either(weights: tuple[float, float] = (3.0, 1.0), temperature: float = 1.0) -> ProductOfExperts:
    experts = [Expert("left", None, weights[0]), Expert("right", None, weights[1])]
    return ProductOfExperts({"left": LEFT, "right": RIGHT}, experts, "soft_min", temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_by_hand(temperature: float) -> None:
    found, x, held_out = either(temperature=temperature), rows(), rows(seed=1)
    found.standardise(found.expert_energies(held_out))
    total = torch.zeros(50)
    for term, share in ((LEFT, 0.75), (RIGHT, 0.25)):
        e = (term(x) - term(held_out).mean()) / term(held_out).std()
        total += share * torch.exp(-e / temperature)
    torch.testing.assert_close(found(x), -temperature * total.log(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.at_levels()(x), found(x))


def test_before_it_is_standardised_it_is_the_mixture() -> None:
    """exp(-E) is .75 N(left) + .25 N(right), whose Gaussians have one and the same log Z here."""
    x = rows()
    density = 0.75 * torch.exp(-LEFT(x)) + 0.25 * torch.exp(-RIGHT(x))
    torch.testing.assert_close(torch.exp(-either()(x)), density)


def test_its_limits() -> None:
    x = rows()
    e = torch.stack([LEFT(x), RIGHT(x)], 1)
    torch.testing.assert_close(either(temperature=1e-4)(x), e.amin(1), rtol=1e-4, atol=1e-3)
    warm = either(temperature=1e5)(x)
    torch.testing.assert_close(warm, e @ torch.tensor([0.75, 0.25]), rtol=1e-2, atol=0.1)
    assert torch.isfinite(either(temperature=1e-3)(1e3 * x)).all()


def test_a_row_does_not_depend_on_its_neighbours_and_the_slope_is_the_nearer_ones() -> None:
    x = rows().requires_grad_(True)
    whole = either()(x)
    torch.testing.assert_close(torch.cat([either()(row[None]) for row in x]), whole, rtol=0, atol=0)
    (slope,) = torch.autograd.grad(whole.sum(), x)
    far = x.detach()[:, 0] < -3
    torch.testing.assert_close(
        slope[far], (x - torch.tensor([-3.0, 0.0])).detach()[far], rtol=1e-3, atol=1e-3
    )


def test_one_expert_is_itself_and_one_without_weight_is_not_asked() -> None:
    x = rows()
    alone = ProductOfExperts({"left": LEFT}, [Expert("left", None, 2.0)], "soft_min", 0.3)
    torch.testing.assert_close(alone(x), LEFT(x))
    torch.testing.assert_close(either((1.0, 0.0))(x), LEFT(x))


def test_rows_are_completed_by_the_mixture_of_the_experts_own_densities() -> None:
    found, x = either(temperature=0.2), rows()
    found.standardise(found.expert_energies(rows(seed=1)))
    left, right = (term(x) - term(rows(seed=1)).mean() for term in (LEFT, RIGHT))
    expected = -torch.log(0.75 * torch.exp(-left) + 0.25 * torch.exp(-right))
    torch.testing.assert_close(pooled(found)(x), expected, rtol=1e-4, atol=1e-4)
    assert "soft minimum of 2" in _tempered(found)[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"link": "soft_min", "weights": (1.0, -1.0)}, "not negative"),
        ({"link": "soft_min", "weights": (0.0, 0.0)}, "one above 0"),
        ({"link": "linear", "link_temperature": 2.0}, "is for link 'soft_min'"),
        ({"link": "soft_min", "link_temperature": 0.0}, "link_temperature"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict, said: str) -> None:
    weights = changes.pop("weights", (1.0, 1.0))
    terms = [
        {"name": name, "energy": {"kind": "kernel"}, "weight": w}
        for name, w in zip("ab", weights, strict=True)
    ]
    values = {"preprocessing": {"kind": "standardize"}, "terms": terms} | changes
    with pytest.raises(BadConfig, match=said):
        validate(ModelConfig, values, "test")
