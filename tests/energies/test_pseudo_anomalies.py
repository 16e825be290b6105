"""What is drawn, and the area under the curve that judges it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ebm.energies.pseudo_anomalies import auroc, pseudo_anomalies

SEED = torch.Generator


def data(n: int = 300, d: int = 6) -> torch.Tensor:
    z = torch.randn(n, d, generator=SEED().manual_seed(0))
    return z * torch.arange(1, d + 1) + 10


@pytest.mark.parametrize("digits", [6, 0], ids=["distinct", "ties"])
def test_auroc_is_that_of_scikit_learn(digits: int) -> None:
    a, b = (torch.randn(80, generator=SEED().manual_seed(s)).round(decimals=digits) for s in (0, 1))
    b = b[:50] + 1
    truth = np.repeat([0, 1], [80, 50])
    assert auroc(a, b) == pytest.approx(roc_auc_score(truth, torch.cat([a, b])), abs=1e-12)
    assert auroc(torch.zeros(3), torch.ones(4)) == 1
    assert auroc(torch.ones(3), torch.zeros(4)) == 0
    assert auroc(torch.ones(3), torch.ones(4)) == 0.5


def test_shuffled_rows_keep_each_columns_values_and_change_a_fifth() -> None:
    x = data()
    rows = pseudo_anomalies(x, n=2000, seed=1)["shuffled"]
    for j in range(6):
        assert torch.isin(rows[:, j], x[:, j]).all()
    # Which row it came from: the one with which most cells agree; at least one cell differs, but by chance.
    agree = (rows[:, None] == x[None]).sum(2).max(1).values
    # 1 + 5 * .2 cells change, 2 of 6, but that 1 in 300 is replaced by itself.
    assert (6 - agree).float().mean() == pytest.approx(2, abs=0.08)
    assert (agree == 6).float().mean() < 0.01


def test_rows_between_lie_on_the_middle_of_a_chord() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 10.0]])
    rows = pseudo_anomalies(x, n=500, seed=1)["between"]
    torch.testing.assert_close(rows[:, 1], 10 * rows[:, 0])
    mixed = rows[(rows[:, 0] > 0) & (rows[:, 0] < 1), 0]
    assert 0.4 < len(mixed) / 500 < 0.6  # half of the pairs are of one row with itself
    assert mixed.min() > 0.3 and mixed.max() < 0.7 and mixed.std() > 0.1


def test_gaussian_rows_keep_mean_and_sd_only() -> None:
    x = data()
    x[:, 1] = x[:, 0]
    rows = pseudo_anomalies(x, n=4000, seed=1)["gaussian"]
    torch.testing.assert_close(rows.mean(0), x.mean(0), atol=0.4, rtol=0)
    torch.testing.assert_close(rows.std(0), x.std(0), rtol=0.05, atol=0)
    assert abs(float(torch.corrcoef(rows.T)[0, 1])) < 0.05


def test_the_seed_decides() -> None:
    x = data(50)
    one, same, other = (pseudo_anomalies(x, n=20, seed=s) for s in (3, 3, 4))
    assert all(torch.equal(one[kind], same[kind]) and not torch.equal(one[kind], other[kind]) for kind in one)
    assert {kind: rows.shape for kind, rows in one.items()} == dict.fromkeys(
        ["shuffled", "between", "gaussian"], (20, 6)
    )
