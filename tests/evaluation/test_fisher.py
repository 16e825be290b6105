from __future__ import annotations

import pytest
import torch

from ebm.energies.analytic import Gaussian, GaussianMixture, Laplace
from ebm.errors import BadInput
from ebm.evaluation.fisher import log_ratio_by_score, score_fit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fisher_divergence_of_two_gaussians() -> None:
    p = Gaussian(torch.tensor([0.5, -1.0]), torch.tensor([[2.0, 0.6], [0.6, 1.0]]))
    q = Gaussian(torch.tensor([0.0, 0.3]), torch.tensor([[1.0, -0.2], [-0.2, 3.0]]))
    # E_p |Q (x - m_q) - P (x - m_p)|^2 = tr((Q - P) C_p (Q - P)) + |Q (m_p - m_q)|^2
    difference = q.precision - p.precision
    bias = q.precision @ (p.mean - q.mean)
    exact = float(torch.trace(difference @ torch.linalg.inv(p.precision) @ difference) + bias @ bias)
    rows = p.sample(100_000, seeded())
    found = score_fit(q, p, rows)
    assert found.fisher_divergence == pytest.approx(exact, rel=0.02)
    assert found.relative == pytest.approx(exact / float(torch.trace(p.precision)), rel=0.03)


def test_the_truth_itself_a_half_and_the_opposite() -> None:
    p = GaussianMixture(
        torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), torch.tensor([0.5, 0.8]), torch.tensor([0.3, 0.7])
    )
    rows = p.sample(500, seeded())
    assert score_fit(p, p, rows) == pytest.approx((0.0, 0.0, 1.0), abs=1e-6)
    half, opposite = score_fit(lambda x: 0.5 * p(x), p, rows), score_fit(lambda x: -p(x), p, rows)
    assert (half.relative, half.cosine) == pytest.approx((0.25, 1.0), abs=1e-5)
    assert (opposite.relative, opposite.cosine) == pytest.approx((4.0, -1.0), abs=1e-4)
    nothing = score_fit(lambda x: 0.0 * x.sum(1), p, rows)
    assert (nothing.relative, nothing.cosine) == pytest.approx((1.0, 0.0))


def test_no_rows_and_fields_that_are_not_finite_are_refused() -> None:
    p = Gaussian(torch.zeros(1), torch.eye(1))
    with pytest.raises(BadInput, match="no rows"):
        score_fit(p, p, torch.zeros(0, 1))
    with pytest.raises(BadInput, match="not finite"):
        score_fit(lambda x: x.sum(1).abs().sqrt(), p, torch.zeros(3, 1))


def test_the_line_integral_of_the_score_is_the_difference_of_log_densities() -> None:
    p = GaussianMixture(
        torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), torch.tensor([0.5, 0.8]), torch.tensor([0.3, 0.7])
    )
    a, b = p.sample(50, seeded(1)), p.sample(50, seeded(2))
    found = log_ratio_by_score(p, a, b)
    torch.testing.assert_close(found, (p(b) - p(a)).double(), rtol=1e-4, atol=1e-4)
    exact = p(b).detach() - p(a).detach()
    assert exact.abs().max() > 1 and (found + exact).abs().max() > 1  # the sign is no accident
    kinked = Laplace(torch.zeros(2), torch.ones(2))
    torch.testing.assert_close(
        log_ratio_by_score(kinked, a, b, 400), (kinked(b) - kinked(a)).double(), rtol=0, atol=0.02
    )
    with pytest.raises(BadInput, match="pairs"):
        log_ratio_by_score(p, a, b[:3])
