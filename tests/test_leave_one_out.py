"""Calibration by the training rows themselves: each row's energy by a model that has not seen it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm.artifact import build_energy
from ebm.energies import ProductOfExperts
from ebm.leave_one_out import leave_one_out
from ebm.manifest import Term
from ebm.training.config import ModelConfig, TermConfig

NET = {
    "energy": {"kind": "residual", "width": 4, "depth": 1},
    "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 1.0},
}


def config(*terms: dict[str, Any], **changes: Any) -> ModelConfig:
    values = {"preprocessing": {"kind": "mixed"}, "terms": terms, "calibration": "leave_one_out"} | changes
    return ModelConfig.model_validate(values)


def rows(n: int, d: int = 2) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


class Line(nn.Module):
    """E(x, sigma) = slope * sigma * x_0 + level."""

    def __init__(self, slope: float, level: float):
        super().__init__()
        self.slope, self.level = slope, level

    def forward(self, x: Tensor, sigma: float) -> Tensor:
        return self.slope * sigma * x[:, 0] + self.level


class Folds:
    """Stands for training: remembers what each fold saw, and gives energies of another level and scale."""

    def __init__(self) -> None:
        self.seen: dict[int | None, Tensor] = {}

    def __call__(self, term: TermConfig, module: nn.Module, x: Tensor, fold: int | None) -> nn.Module:
        assert fold is not None and type(module).__name__ == "ResidualEnergy"
        self.seen[fold] = x
        return Line(2.0 + fold, 5.0 * fold)


def never(*_: Any) -> nn.Module:
    raise AssertionError("a closed-form energy is not trained again")


def product_of(settings: ModelConfig, x: Tensor, **replaced: nn.Module) -> ProductOfExperts:
    terms = tuple(
        Term(name=t.name, energy=t.energy, objective=t.objective, weight=t.weight, sigmas=t.sigmas)
        for t in settings.terms
    )
    product = build_energy(terms, tuple(x.shape[1:]))
    for name, module in product.terms.items():
        if name in replaced:
            product.terms[name] = replaced[name]
        else:
            module.fit(x)  # type: ignore[operator]
    return product


@pytest.mark.parametrize("sigmas", [(), (0.2, 0.5)])
def test_a_kernel_leaves_each_row_out_exactly(sigmas: tuple[float, ...]) -> None:
    x = rows(30)
    settings = config({"name": "k", "energy": {"kind": "kernel"}, "sigmas": sigmas})
    product = product_of(settings, x)
    index, energies = leave_one_out(settings, product, x, torch.arange(30), never)
    assert index.tolist() == list(range(30)) and energies.shape == (30, max(1, len(sigmas)))
    kernel: Any = product.terms["k"]
    for k, sigma in enumerate(sigmas or (0.0,)):
        total = kernel.squared_bandwidths + sigma**2
        log_kernels = -torch.cdist(x, x).square() / (2 * total)
        log_kernels.fill_diagonal_(-torch.inf)
        energy = torch.log(torch.tensor(29.0)) - log_kernels.logsumexp(1)
        expected = energy + (total[0] / kernel.squared_bandwidths[0]).log()  # of the height, d / 2 = 1
        torch.testing.assert_close(energies[:, k], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["kernel", "kernel_views"])
def test_of_very_many_rows_some_are_left_out_each_as_itself(kind: str, monkeypatch: Any) -> None:
    x = rows(60)
    settings = config({"name": "k", "energy": {"kind": kind}})
    product = product_of(settings, x)
    _, every = leave_one_out(settings, product, x, torch.arange(60), never)
    monkeypatch.setattr("ebm.leave_one_out.MAX_ROWS", 25)
    index, energies = leave_one_out(settings, product, x, torch.arange(60), never)
    assert len(index) == 25 == len(set(index.tolist())) and index.max() > 40
    torch.testing.assert_close(energies, every[torch.from_numpy(index)])


def test_rows_that_a_kernel_did_not_keep_do_not_calibrate() -> None:
    x = rows(150)
    settings = config({"name": "k", "energy": {"kind": "kernel_views", "max_rows": 100}})
    product = product_of(settings, x)
    index, _ = leave_one_out(settings, product, x, torch.arange(150), never)
    centres: Any = product.terms["k"].centres
    assert torch.equal(centres, x[torch.from_numpy(index)])


@pytest.mark.parametrize("folds", [2, 3])
def test_a_network_is_trained_on_folds_that_have_not_seen_the_row(folds: int) -> None:
    x = rows(31)
    settings = config({"name": "net", **NET, "sigmas": [0.5, 2.0]}, folds=folds)
    trained = Folds()
    product = product_of(settings, x, net=Line(1.0, 3.0))
    index, energies = leave_one_out(settings, product, x, torch.arange(31), trained)
    assert sorted(trained.seen) == list(range(folds))
    left_out = [{i for i in range(31) if not (seen == x[i]).all(1).any()} for seen in trained.seen.values()]
    assert sorted(i for fold in left_out for i in fold) == list(range(31))  # each row by one fold, once
    assert all(len(fold) in (31 // folds, 31 // folds + 1) for fold in left_out)
    # A fold's energies are the model's own, up to level and scale, which are undone.
    torch.testing.assert_close(energies, torch.stack([0.5 * x[:, 0] + 3, 2 * x[:, 0] + 3], 1))


def test_trimmed_rows_are_scored_by_the_model_that_has_not_seen_them() -> None:
    x = rows(40)
    clean = torch.cat([torch.arange(10), torch.arange(15, 40)])
    settings = config(
        {"name": "k", "energy": {"kind": "kernel_views"}}, {"name": "net", **NET, "sigmas": [1.0]}
    )
    product = product_of(settings, x[clean], net=Line(1.0, 0.0))
    index, energies = leave_one_out(settings, product, x, clean, Folds())
    assert index.tolist() == [*clean.tolist(), 10, 11, 12, 13, 14]
    kernels: Any = product.terms["k"]
    torch.testing.assert_close(energies[:35, 0], kernels.leave_one_out(x[clean]))
    torch.testing.assert_close(energies[35:, 0], kernels(x[10:15]))
    torch.testing.assert_close(energies[35:, 1], x[10:15, 0])


def test_folds_differ_by_seed_only() -> None:
    x = rows(20)
    seen = []
    for seed in (1, 1, 2):
        settings = config({"name": "net", **NET, "sigmas": [0.5]}, seed=seed)
        trained = Folds()
        leave_one_out(settings, product_of(settings, x, net=Line(1, 0)), x, torch.arange(20), trained)
        seen.append(np.concatenate([trained.seen[0].numpy(), trained.seen[1].numpy()]).tolist())
    assert seen[0] == seen[1] != seen[2]
