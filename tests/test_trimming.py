from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm import leave_one_out
from ebm.tabular import fit_tabular, fit_tabular_with_scores
from ebm.trimming import fence, trim, wide_energies

N, D, SHARE = 600, 8, 0.1
PLANTED = int(SHARE * N)


def gaussian(n: int = N, seed: int = 0) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def planted(kind: str, n: int = N, seed: int = 0) -> Tensor:
    """(n, D) standard normal rows, of which the last tenth are anomalies: alike, or each on its own."""
    x = gaussian(n, seed)
    count = int(SHARE * n)
    generator = torch.Generator().manual_seed(seed + 1)
    if kind == "clustered":
        x[-count:] = 4 + 0.3 * torch.randn(count, D, generator=generator)
    else:
        directions = torch.nn.functional.normalize(torch.randn(count, D, generator=generator), dim=1)
        x[-count:] = 10 * directions
    return x


def share_of_planted(rows: Tensor, n: int = N) -> float:
    count = int(SHARE * n)
    return float((rows >= n - count).sum()) / count


@pytest.mark.parametrize("contamination", [SHARE, "auto"])
@pytest.mark.parametrize("kind", ["clustered", "scattered"])
def test_planted_anomalies_are_neither_learnt_nor_taken_for_normal(kind: str, contamination) -> None:
    trimmed = trim(planted(kind), contamination)
    assert share_of_planted(trimmed.kept) == 0
    assert share_of_planted(trimmed.normal) < 0.1


def test_how_many_rows_are_dropped() -> None:
    assert len(trim(gaussian(), SHARE).kept) == N - 3 * PLANTED
    assert len(trim(gaussian(), 0.4).kept) == N // 2
    assert len(trim(gaussian(), "auto").kept) == 0.7 * N


def test_no_more_rows_than_the_share_are_taken_for_anomalies() -> None:
    assert len(trim(planted("clustered"), SHARE / 2).normal) == N - PLANTED // 2
    assert len(trim(planted("clustered"), 2 * SHARE).normal) == pytest.approx(N - PLANTED, abs=6)


@pytest.mark.parametrize("contamination", [SHARE, "auto"])
def test_kept_rows_are_normal_and_both_ascend(contamination) -> None:
    trimmed = trim(planted("scattered"), contamination)
    assert np.isin(trimmed.kept, trimmed.normal).all()
    for rows in (trimmed.kept, trimmed.normal):
        assert (rows.diff() > 0).all()


@pytest.mark.parametrize("heavy", [False, True])
def test_auto_takes_few_rows_of_clean_data_for_anomalies(heavy: bool) -> None:
    rows = torch.from_numpy(np.random.default_rng(0).standard_t(3, (N, D))).float() if heavy else gaussian()
    assert len(trim(rows, "auto").normal) >= 0.97 * N


@pytest.mark.parametrize("contamination", [SHARE, "auto"])
def test_the_order_of_rows_is_irrelevant(contamination) -> None:
    x = planted("clustered")
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    one, other = trim(x, contamination), trim(x[order], contamination)
    assert torch.equal(order[other.kept].sort().values, one.kept)
    assert torch.equal(order[other.normal].sort().values, one.normal)


@pytest.mark.parametrize(("n", "contamination"), [(N, None), (19, "auto"), (19, 0.5), (100, 0.003)])
def test_nothing_is_dropped(n: int, contamination) -> None:
    trimmed = trim(planted("clustered", n), contamination)
    assert torch.equal(trimmed.kept, torch.arange(n))
    assert torch.equal(trimmed.normal, torch.arange(n))
    assert trimmed.notes == ()


@pytest.mark.parametrize("n", [20, 31])
@pytest.mark.parametrize("contamination", [SHARE, 0.5, "auto"])
def test_few_rows(n: int, contamination) -> None:
    assert n / 2 <= len(trim(planted("clustered", n), contamination).kept) < n


@pytest.mark.parametrize("contamination", [0.5, "auto"])
def test_rows_all_alike(contamination) -> None:
    trimmed = trim(torch.zeros(50, 3), contamination)
    assert len(trimmed.kept) >= 25


def test_the_note_counts_rows() -> None:
    (note,) = trim(planted("clustered"), SHARE).notes
    assert note.startswith("180 of 600 training rows were not learnt from (contamination 0.1); 60 of them")
    (note,) = trim(planted("clustered"), "auto").notes
    assert "60 of them were taken to be anomalies" in note


def test_strays_around_a_ring_are_not_taken_for_normal() -> None:
    """In two columns 10% of the ring are nearly as far away as the strays; these are apart for being alone."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 200)
    ring = np.column_stack([3 * np.cos(angle), 3 * np.sin(angle)]) + rng.normal(0, 0.3, (200, 2))
    strays = rng.uniform(4, 12, (30, 2)) * rng.choice([-1, 1], (30, 2))
    for contamination in (30 / 230, "auto"):
        trimmed = trim(torch.from_numpy(np.concatenate([ring, strays])).float(), contamination)
        assert (trimmed.normal >= 200).sum() <= 3
        assert (trimmed.normal < 200).sum() >= 197


def test_fence_is_tukeys() -> None:
    assert fence(torch.arange(101.0), 1.5) == 75 + 1.5 * 50


def test_wide_energies_of_rows_on_a_line() -> None:
    """Two views of 0, 1, ..., 19 by hand: leave-one-out among 20, so k = 5, and kernels of width m."""
    x = torch.arange(20.0)[:, None]
    energies, logs = wide_energies(x, torch.arange(20))
    assert energies[0] == pytest.approx(float(energies[19]), abs=1e-4)
    assert energies[0] > energies[9]
    # The 5th neighbour is 5 steps away at the end and 3 in the middle, in the two views that are straight lines.
    straight = math.log(5 / 3)
    u = (torch.arange(20, dtype=torch.float64) + 0.5) / 20
    scores = torch.special.ndtri(u)
    middle = sorted(float((scores[9] - scores[j]).abs()) for j in range(20) if j != 9)[4]
    curved = math.log(float((scores[0] - scores[5]).abs()) / middle)
    assert float(logs[0] - logs[9]) == pytest.approx((2 * straight + curved) / 3, abs=1e-3)


def false_positive_rate(contamination, x: Tensor) -> float:
    detector = fit_tabular(x.numpy(), contamination=contamination, network=False)
    fresh = gaussian(4000, seed=9).numpy()
    return float((detector.score(fresh).p_value <= 0.05).mean())


# With 900 calibration rows the rate has standard deviation .0073, and 4,000 new rows add .0034.
@pytest.mark.parametrize("contamination", [SHARE, "auto"])
def test_the_false_positive_rate_is_the_requested_one(contamination) -> None:
    assert false_positive_rate(contamination, planted("clustered", 1000)) == pytest.approx(0.05, abs=0.016)


def test_the_false_positive_rate_on_clean_rows_with_auto() -> None:
    assert false_positive_rate("auto", gaussian(1000)) == pytest.approx(0.05, abs=0.016)


def test_many_rows_are_calibrated_by_kept_and_dropped_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave_one_out, "MAX_ROWS", 500)
    x = planted("clustered", 1000)
    detector, _ = fit_tabular_with_scores(x.numpy(), contamination=SHARE, network=False)
    # Of 700 kept and 300 dropped rows, 350 and 150 are scored, and about 50 of these are anomalies.
    assert detector.calibration.n == pytest.approx(450, abs=20)


def test_an_anomaly_like_those_in_the_training_rows_is_found() -> None:
    x = planted("clustered")
    anomalies = planted("clustered", seed=7)[-PLANTED:].numpy()
    for contamination in (SHARE, "auto"):
        wary = fit_tabular(x.numpy(), contamination=contamination, network=False)
        assert (wary.score(anomalies).p_value <= 0.05).all()
    trusting = fit_tabular(x.numpy(), network=False)
    assert (trusting.score(anomalies).p_value <= 0.05).mean() < 0.5
