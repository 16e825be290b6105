"""Log ratios and path integrals against closed forms, and what is said where they mean less."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from analytic_detectors import analytic_detector, gaussian, standardize
from scipy import stats

from ebm.compare import MAX_POINTS
from ebm.detector import Detector
from ebm.energies.analytic import Laplace
from ebm.errors import BadInput
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

MEAN, SD = [10.0, -2.0], [4.0, 0.5]
CENTRE, VARIANCE = [0.5, -1.0], [2.0, 0.25]


@pytest.fixture(scope="module")
def detector() -> Detector:
    rows = np.random.default_rng(0).normal(MEAN, SD, (200, 2))
    return analytic_detector(gaussian(CENTRE, VARIANCE), standardize(MEAN, SD), rows)


def log_density(rows: np.ndarray) -> np.ndarray:
    z = (rows - MEAN) / SD
    return stats.norm.logpdf(z, CENTRE, np.sqrt(VARIANCE)).sum(1)


def test_the_ratio_is_that_of_the_densities_and_the_path_integral_agrees(detector: Detector) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(MEAN, SD, (7, 2)), rng.normal(MEAN, SD, (7, 2))
    found = detector.compare(a, b, n_points=5)
    expected = log_density(a) - log_density(b)
    assert np.abs(expected).min() > 0.05
    np.testing.assert_allclose(found.log_ratio, expected, rtol=1e-4, atol=1e-5)
    # Two Gauss-Legendre nodes are exact for the linear gradient of a Gaussian.
    np.testing.assert_allclose(found.path_integral, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.quadrature_error, found.path_integral - found.log_ratio)
    np.testing.assert_array_equal(found.energy_a, detector.energies(a))
    np.testing.assert_array_equal(found.energy_b, detector.energies(b))
    assert found.note is None


def test_the_profile_runs_from_a_to_b(detector: Detector) -> None:
    a, b = np.array([[10.0, -2.0]]), np.array([[18.0, -3.0]])
    found = detector.compare(a, b, n_points=9)
    np.testing.assert_allclose(found.position, np.linspace(0, 1, 9))
    points = a + found.position[:, None] * (b - a)
    np.testing.assert_allclose(found.path_energy[0], detector.energies(points), rtol=1e-4)


def test_one_row_goes_with_many(detector: Detector) -> None:
    many = np.random.default_rng(2).normal(MEAN, SD, (5, 2))
    one = np.array([MEAN])
    forth, back = detector.compare(one, many), detector.compare(many, one, path=False)
    assert forth.log_ratio.shape == (5,) and forth.path_energy.shape == (5, 33)
    np.testing.assert_allclose(forth.log_ratio, -back.log_ratio)
    assert back.path_integral is back.path_energy is back.position is None


def test_more_points_make_a_rough_integral_fine() -> None:
    energy = Laplace(torch.zeros(1), torch.full((1,), 0.1))
    sharp = analytic_detector(energy, standardize([0], [1]), np.array([[0.0], [1.0], [2.0]]))
    a, b = np.array([[-0.31]]), np.array([[1.0]])
    coarse, fine = (sharp.compare(a, b, n_points=n) for n in (2, MAX_POINTS))
    assert coarse.log_ratio[0] == pytest.approx(10 - 3.1, rel=1e-5)
    assert abs(coarse.quadrature_error[0]) > 1 and "pair 0 is off by" in coarse.note
    assert abs(fine.quadrature_error[0]) < 0.02 and fine.note is None


def test_a_product_says_that_it_is_tempered(tiny: Detector, digits: np.ndarray) -> None:
    found = tiny.compare(digits[:2], digits[2:4])
    assert "weighted sum of 2 standardised energies" in found.note
    np.testing.assert_allclose(found.path_integral, found.log_ratio, rtol=0.01, atol=0.01)


def test_a_path_between_levels_is_named() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=60), "colour": rng.choice(["red", "blue"], 60)})
    config = {"preprocessing": {"kind": "mixed"}, "terms": [{"name": "k", "energy": {"kind": "kernel"}}]}
    detector = fit_detector(ModelConfig.model_validate(config), table.slice(0, 40), table.slice(40))
    red, blue = ({"x": [0.1], "colour": [c]} for c in ("red", "blue"))
    found = detector.compare(red, blue, n_points=1025)
    assert "'colour'" in found.note and "leaves the data" in found.note
    np.testing.assert_allclose(found.path_integral, found.log_ratio, atol=0.02)
    same = detector.compare(red, {"x": [0.3], "colour": ["red"]})
    assert same.note is None


@pytest.mark.parametrize(
    ("a", "b", "options", "said"),
    [
        (np.zeros((2, 2)), np.zeros((3, 2)), {}, "a has 2 rows and b has 3"),
        (np.zeros((1, 2)), np.zeros((1, 3)), {}, "b: row 0 has 3 values"),
        (np.array([[0, np.nan]]), np.zeros((1, 2)), {}, "a: row 0"),
        (np.zeros((0, 2)), np.zeros((1, 2)), {}, "a: no rows"),
        (np.zeros((1, 2)), np.zeros((1, 2)), {"n_points": 1}, "n_points must lie in"),
        (np.zeros((1, 2)), np.zeros((1, 2)), {"n_points": 2000}, "n_points must lie in"),
    ],
)
def test_what_does_not_fit_is_named(detector: Detector, a, b, options, said) -> None:
    with pytest.raises(BadInput, match=said):
        detector.compare(a, b, **options)


def test_it_pauses(detector: Detector) -> None:
    steps = list(detector.compare_steps(np.zeros((40, 2)), np.ones((40, 2))))
    assert len(steps) > 5
    assert [s.step for s in steps] == sorted(s.step for s in steps) and steps[-1].step == steps[-1].n_total
