"""The near field against the sum over all centres."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from ebm.energies import KernelViews, KernelViewsConfig, near_field
from ebm.energies.foreseen import foreseen_loss


def clusters(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    middles = 6 * torch.randn(12, 3, generator=generator)
    return middles[torch.arange(n) % 12] + 0.3 * torch.randn(n, 3, generator=generator)


def fitted(x: Tensor) -> tuple[KernelViews, KernelViews]:
    exact = KernelViews((3,), KernelViewsConfig(n_inducing=None))
    exact.fit(x)
    grouped = copy.deepcopy(exact)
    grouped.group()
    return exact, grouped


def test_with_every_list_near_it_is_the_sum_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_field, "N_NEAR", 1000)
    exact, grouped = fitted(clusters(400))
    rows = torch.cat(
        [clusters(50, seed=1), 20 * torch.randn(50, 3, generator=torch.Generator().manual_seed(2))]
    )
    torch.testing.assert_close(grouped(rows), exact(rows), rtol=1e-4, atol=1e-4)
    x = clusters(400)
    torch.testing.assert_close(grouped.leave_one_out(x), exact.leave_one_out(x), rtol=1e-4, atol=1e-4)


def test_lists_part_the_centres_and_far_ones_count_with_their_mass() -> None:
    x = clusters(900)
    _, grouped = fitted(x)
    field = grouped.near_field
    assert 2 <= len(field) <= math.isqrt(900) and int(field.starts[-1]) == 900 == int(field.masses.sum())
    assert sorted(map(tuple, grouped.centres.tolist())) == sorted(map(tuple, x.tolist()))
    cells = field.assign(torch.cat([view(grouped.centres) for view in grouped.views], 1))
    assert torch.equal(cells, torch.repeat_interleave(torch.arange(len(field)), field.masses.long()))
    places, masses = field.centres(0)
    assert len(places) < 900 and float(masses.sum()) == 900


def test_it_ranks_as_the_sum_over_all_does_and_keeps_the_order_of_rows() -> None:
    x = clusters(2000)
    exact, grouped = fitted(x)
    rows = torch.cat(
        [clusters(200, seed=1), 3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(2))]
    )
    ours, theirs = grouped(rows), exact(rows)
    assert (
        float(
            torch.corrcoef(torch.stack([ours.argsort().argsort(), theirs.argsort().argsort()]).float())[0, 1]
        )
        > 0.99
    )
    torch.testing.assert_close(grouped(rows.flip(0)).flip(0), ours, rtol=1e-4, atol=1e-4)
    assert abs(foreseen_loss(exact, grouped, x)) < 0.01


def test_a_table_too_fine_to_compress_takes_the_near_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm.energies.kernel_views.AUTO_FROM", 1000)
    monkeypatch.setattr("ebm.energies.kernel_views.AUTO_INDUCING", 16)
    generator = torch.Generator().manual_seed(0)
    line = torch.rand(2000, 1, generator=generator)
    x = torch.cat(
        [line, torch.sin(40 * line), torch.cos(40 * line)], 1
    )  # a thin curve: 16 points cannot follow it
    energy = KernelViews((3,), KernelViewsConfig())
    energy.fit(x)
    assert len(energy.near_field) and len(energy.centres) == 2000
    assert "near field" in energy.notes[0] and "inducing points" in energy.notes[0]


def test_stored_and_loaded_it_is_the_same() -> None:
    _, grouped = fitted(clusters(500))
    fresh = KernelViews((3,), KernelViewsConfig(n_inducing=None))
    fresh.load_state_dict(grouped.state_dict())
    rows = clusters(40, seed=3)
    assert torch.equal(fresh(rows), grouped(rows))
