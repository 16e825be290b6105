"""The two energies of a discriminator, and the embedding energy's kernel and far term."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm.energies import DiscriminatorConfig, EmbeddingConfig
from ebm.errors import BadInput


def data(n: int = 60, d: int = 3, seed: int = 0) -> Tensor:
    return 2 + torch.randn((n, d), generator=torch.Generator().manual_seed(seed))


def energy(config: Any, x: Tensor) -> Any:
    torch.manual_seed(0)
    made = config.build(tuple(x.shape[1:]))
    made.fit(x)
    return made


def test_both_forms_are_of_one_logit() -> None:
    x = data()
    log_d = energy(DiscriminatorConfig(width=8, depth=1, form="log_d"), x)
    ratio = energy(DiscriminatorConfig(width=8, depth=1, form="log_ratio"), x)
    d = torch.sigmoid(ratio.logit(x))
    torch.testing.assert_close(log_d(x), -d.log())
    torch.testing.assert_close(ratio(x), -(d / (1 - d)).log(), rtol=1e-4, atol=1e-5)
    assert torch.equal(log_d.logit(x), ratio.logit(x))


def test_the_base_is_part_of_the_logit_and_zero_at_the_usual_distance() -> None:
    x = data()
    with_base = energy(DiscriminatorConfig(width=8, depth=1), x)
    without = energy(DiscriminatorConfig(width=8, depth=1, base="none"), x)
    base = without.logit(x) - with_base.logit(x)
    weight = math.log1p(math.exp(-1))
    squared = (x - x.mean(0)).square().mean(1) / (x - x.mean(0)).square().mean()
    torch.testing.assert_close(base, weight * (squared - 1), rtol=1e-4, atol=1e-5)
    assert float(base.mean().detach()) == pytest.approx(0, abs=1e-4)


def test_embedding_is_minus_the_log_of_a_kernel_density_on_the_sphere() -> None:
    x, queries = data(), data(20, seed=1)
    model = energy(EmbeddingConfig(width=8, depth=1, dim=4, temperature=0.3, n_bank=25, base="none"), x)
    features, bank = model.embed(queries).double(), model.embed(x[torch.linspace(0, 59, 25).long()]).double()
    torch.testing.assert_close(features.norm(dim=1), torch.ones(20, dtype=torch.float64))
    expected = -0.3 * (features @ bank.T / 0.3).exp().mean(1).log()
    torch.testing.assert_close(model(queries).double(), expected, rtol=1e-4, atol=1e-5)
    assert model(x).min() >= -1 - 1e-6 and model(queries).max() <= 1


def test_the_far_term_is_silent_among_training_rows() -> None:
    x = data()
    plain, far = (energy(EmbeddingConfig(width=8, depth=1, dim=4, base=base), x) for base in ("none", "far"))
    added = far(x) - plain(x)
    assert added.min() >= 0 and added.median() < 1e-3 and added.max() < 0.08  # log(2) / 10 at the furthest
    assert (far(10 * x) - plain(10 * x)).min() > 1


def test_settling_puts_the_trained_features_into_the_bank() -> None:
    x = data()
    model = energy(EmbeddingConfig(width=8, depth=1, dim=4, n_bank=10), x)
    before = model.bank.clone()
    with torch.no_grad():
        model.body.out.weight.add_(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)))
    stale = model(x)
    model.settle(x)
    assert not torch.equal(model.bank, before)
    assert (model(x) < stale).float().mean() > 0.7  # rows lie near the bank of their own features
    assert torch.equal(model.bank, model.embed(x[torch.linspace(0, 59, 10).long()]))


def test_an_embedding_without_rows_says_so() -> None:
    with pytest.raises(BadInput, match="call fit first"):
        EmbeddingConfig().build((3,))(data())
