"""log Z and likelihood of whole detectors: how it is found, user units, and what is refused."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats as st

from ebm.config import validate
from ebm.detector import Detector
from ebm.errors import BadInput, Unsupported
from ebm.evaluation.likelihood import likelihood, log_densities
from ebm.evaluation.partition import log_partition
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

GAUSSIAN: dict[str, Any] = {"kind": "exponential_family", "family": "gaussian"}
STANDARD: dict[str, Any] = {"kind": "standardize"}


def rows(n: int = 400, d: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(d, d)) * [1, 30, 0.1][:d]
    return (rng.normal(size=(n, d)) @ mix + 5).astype(np.float32)


def detector(
    *terms: dict[str, Any], x: Any, preprocessing: dict[str, Any] = STANDARD, **more: Any
) -> Detector:
    named = [{"name": f"t{i}", **term} for i, term in enumerate(terms)]
    config = validate(ModelConfig, {"preprocessing": preprocessing, "terms": named, **more}, "test")
    return fit_detector(config, x, x[:100])


@functools.cache
def gaussian() -> Detector:
    return detector({"energy": GAUSSIAN}, x=rows())


@functools.cache
def two_terms() -> Detector:
    dsm = {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 1.0}
    network = {"kind": "residual", "width": 8, "depth": 1}
    return detector(
        {"energy": {"kind": "kernel"}},
        {"energy": network, "objective": dsm, "training": {"n_steps": 3}, "sigmas": [0.3, 0.5]},
        x=rows(100, d=1),
    )


def test_bits_per_dimension_of_a_gaussian_are_scipys_in_user_units() -> None:
    x = rows()
    found = log_partition(gaussian(), x)
    assert found.method == "closed_form" and found.gap is None and found.standard_error == 0
    exact = st.multivariate_normal(x.mean(0), np.cov(x.T.astype(float), bias=True)).logpdf(x)
    log_p, unit = log_densities(gaussian(), x, found.log_z)
    assert unit == "user"
    np.testing.assert_allclose(log_p, exact, atol=2e-3)
    got = likelihood(gaussian(), x, found.log_z)
    assert got.bits_per_dim == pytest.approx(-exact.mean() / (3 * math.log(2)), abs=1e-3)
    assert got.standard_error == pytest.approx(exact.std(ddof=1) / 20, rel=1e-3)
    assert (got.n_rows, got.n_dims, got.n_outside) == (400, 3, 0)


@pytest.mark.parametrize("given", [True, False])
def test_annealing_finds_what_the_closed_form_says(given: bool) -> None:
    exact = log_partition(gaussian()).log_z
    options = {"method": "ais", "n_temperatures": 30, "n_chains": 50, "seed": 1}
    found = log_partition(gaussian(), rows() if given else None, **options)
    assert found.method == "ais" and found.n_chains == 50 and found.n_temperatures == 30
    assert abs(found.log_z - exact) < 3 * found.standard_error + 0.01 < 0.3
    assert found.lower is not None and found.upper is not None and abs(found.gap or 9) < 0.5


def test_kernels_are_in_closed_form_at_every_level_and_a_grid_agrees() -> None:
    for energy in (
        {"kind": "kernel", "bandwidth": 4.0},
        {"kind": "kernel", "bandwidth": 4.0, "adaptive": 1.0},
    ):
        made = detector({"energy": energy}, x=rows(60, d=2), preprocessing=STANDARD)
        for sigma in (None, 0.4) if "adaptive" in energy else (None,):
            closed = log_partition(made, sigma=sigma)
            assert closed.method == "closed_form"
            from ebm.evaluation.asked import asked
            from ebm.evaluation.partition import _base, _grid

            what = asked(made, "t0", sigma)
            assert _grid(what, _base(made, what, None)) == pytest.approx(closed.log_z, abs=1e-3)


def test_an_image_density_is_one_of_grey_levels() -> None:
    images = np.random.default_rng(0).normal(100, 10, (300, 2, 2)).clip(0, 255).astype(np.float32)
    made = detector(
        {"energy": GAUSSIAN | {"family": "diagonal_gaussian"}},
        x=images,
        preprocessing={"kind": "image", "low": 0, "high": 255},
    )
    flat = images.reshape(300, 4).astype(float)
    exact = st.norm(flat.mean(0), flat.std(0)).logpdf(flat).sum(1).mean()
    got = likelihood(made, images, log_partition(made).log_z)
    assert got.mean_log_p == pytest.approx(exact, abs=1e-3) and got.n_dims == 4


def test_counts_have_probabilities_and_rows_outside_none() -> None:
    x = np.random.default_rng(0).poisson(3.0, (300, 2))
    made = detector({"energy": GAUSSIAN | {"family": "poisson"}}, x=x, preprocessing={"kind": "none"})
    log_z = log_partition(made).log_z
    got = likelihood(made, x, log_z)
    assert got.unit == "mass" and got.mean_log_p == pytest.approx(
        st.poisson(x.mean(0)).logpmf(x).sum(1).mean(), abs=1e-3
    )
    outside = likelihood(made, [[1, 2], [0.5, 1]], log_z)
    assert outside.n_outside == 1 and outside.mean_log_p == -math.inf
    scores = made.score([[1, 2], [0.5, 1]])
    assert scores.energy[1] == math.inf and scores.p_value[1] == pytest.approx(1 / 101)  # the least there is
    with pytest.raises(Unsupported, match="of counts"):
        log_partition(made, method="ais")


def test_a_machine_is_enumerated() -> None:
    x = np.random.default_rng(0).integers(0, 2, (100, 4)) * 1.0
    binary = {"kind": "binarize", "input": "tabular", "threshold": 0.5, "low": 0, "high": 1}
    objective = {
        "kind": "cd", "k_steps": 1, "sampler": {"kind": "gibbs"}, "l2": 0, "data_noise": 0,
    }  # fmt: skip
    made = detector(
        {"energy": {"kind": "rbm", "n_hidden": 3}, "objective": objective, "training": {"n_steps": 3}},
        x=x,
        preprocessing=binary,
    )
    found = log_partition(made)
    assert found.method == "enumeration"
    everything = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4), -1).reshape(-1, 4)
    log_p, unit = log_densities(made, everything, found.log_z)
    assert unit == "mass" and np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)


def test_a_product_is_an_energy_too_and_a_grid_finds_it() -> None:
    found = log_partition(two_terms())
    assert found.method == "quadrature" and "product" in found.about
    at_level = log_partition(two_terms(), term="t1", sigma=0.5)
    assert at_level.about == "term 't1' at noise level 0.5" and at_level.method == "quadrature"


@pytest.mark.slow
def test_annealing_finds_what_the_grid_says_of_a_product() -> None:
    found = log_partition(two_terms())
    annealed = log_partition(two_terms(), method="ais", n_temperatures=20, n_chains=50, seed=2)
    assert abs(annealed.log_z - found.log_z) < 3 * annealed.standard_error + 0.05 < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"term": "other"}, "no term 'other'; it has: t0, t1"),
        ({"sigma": 0.3}, "say which, with --term"),
        ({"term": "t1"}, "give --sigma .it scores at: 0.3, 0.5"),
        ({"term": "t1", "sigma": -1.0}, "above 0"),
        ({"n_chains": 1}, "at least 2"),
    ],
)
def test_bad_requests(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        log_partition(two_terms(), **options)


def test_exact_where_there_is_none_is_refused_and_a_level_where_there_are_none() -> None:
    network = {"kind": "mlp", "width": 4, "depth": 1}
    dsm = {"kind": "dsm", "sigma_min": 0.2}
    made = detector({"energy": network, "objective": dsm, "training": {"n_steps": 2}}, x=rows())
    with pytest.raises(Unsupported, match="no exact log Z"):
        log_partition(made, method="exact")
    with pytest.raises(BadInput, match="no noise levels"):
        log_partition(made, sigma=0.2)
