"""Compositions against closed forms: energies, p-values that hold, and what they refuse."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from analytic_detectors import analytic_detector, gaussian, standardize
from scipy import stats
from torch import nn

from ebm.compose import Composition
from ebm.detector import Detector
from ebm.energies.analytic import Gaussian
from ebm.errors import BadInput
from ebm.fitting import fit_detector
from ebm.preprocessing import ScaleImage
from ebm.training.config import ModelConfig

RNG = np.random.default_rng(0)
ROWS = RNG.normal([1, 2], [3, 0.5], (199, 2))


def model(name: str, centre: list[float], rows: np.ndarray = ROWS, **options) -> Detector:
    columns = options.pop("columns", ["u", "v"])
    preprocessor = standardize([1, 2], [3, 0.5], columns)
    return analytic_detector(gaussian(centre, [1.0, 1.0]), preprocessor, rows, name=name, **options)


@pytest.fixture(scope="module")
def a() -> Detector:
    return model("a", [0.0, 0.0])


@pytest.fixture(scope="module")
def b() -> Detector:
    return model("b", [1.0, -1.0], RNG.normal([4, 1.5], [3, 0.5], (99, 2)))


def test_a_product_is_the_weighted_sum(a: Detector, b: Detector) -> None:
    rows = RNG.normal(size=(20, 2)) * 4
    found = Composition([a, b], [2.0, -0.5], scale="raw").score(rows)
    # To the bit: each energy once, and one sum in double precision.
    alone = [d.energies(rows).astype(np.float64) for d in (a, b)]
    np.testing.assert_array_equal(found.energy, 2 * alone[0] - 0.5 * alone[1])
    standard = Composition([a, b], [2.0, -0.5]).score(rows)
    expected = 2 * a.score(rows).anomaly_score - 0.5 * b.score(rows).anomaly_score
    np.testing.assert_allclose(standard.energy, expected)
    np.testing.assert_array_equal(standard.rank, 1 + (expected[:, None] < expected).sum(1))
    assert [t.name for t in standard.terms] == ["a", "b"] and standard.terms[1].weight == -0.5
    np.testing.assert_array_equal(standard.terms[1].energy, b.energies(rows))


def test_either_is_a_mixture(a: Detector, b: Detector) -> None:
    rows = RNG.normal(size=(20, 2)) * 4
    e = np.stack([a.energies(rows), b.energies(rows)]).astype(float)
    found = Composition([a, b], [3.0, 1.0], mode="either", scale="raw", temperature=2.0).score(rows)
    expected = -2 * np.log(0.75 * np.exp(-e[0] / 2) + 0.25 * np.exp(-e[1] / 2))
    np.testing.assert_allclose(found.energy, expected)
    cold = Composition([a, b], mode="either", scale="raw", temperature=1e-3).score(rows)
    np.testing.assert_allclose(cold.energy, e.min(0), atol=1e-2)
    warm = Composition([a, b], [3.0, 1.0], mode="either", scale="raw", temperature=1e6).score(rows)
    np.testing.assert_allclose(warm.energy, 0.75 * e[0] + 0.25 * e[1], rtol=1e-3)
    np.testing.assert_allclose(Composition([a], mode="either", scale="raw").score(rows).energy, e[0])


def test_p_values_by_hand(a: Detector, b: Detector) -> None:
    rows = RNG.normal(size=(30, 2)) * 4
    p, q = a.score(rows).p_value, b.score(rows).p_value
    equal = Composition([a, b]).score(rows, fpr=0.1)
    np.testing.assert_allclose(equal.p_value, np.minimum(1, 2 * np.minimum(p, q)))
    np.testing.assert_array_equal(equal.is_anomaly, equal.p_value <= 0.1)
    weighted = Composition([a, b], [3.0, 1.0]).score(rows)
    np.testing.assert_allclose(weighted.p_value, np.minimum(1, np.minimum(p * 4 / 3, q * 4)))
    either = Composition([a, b], mode="either").score(rows)
    np.testing.assert_array_equal(either.p_value, np.maximum(p, q))
    assert weighted.fpr == 0.05 and weighted.note is None


def test_p_values_hold_on_normal_rows() -> None:
    """Over calibration sets and rows: P(p <= alpha) <= alpha under either null hypothesis."""
    flagged, share, n = {"product": [], "either": []}, 0.1, 40
    rng = np.random.default_rng(1)
    for _ in range(60):
        rows = rng.normal([1, 2], [3, 0.5], (n, 2))
        other = rng.normal([4, 1.5], [3, 0.5], (n, 2))
        same, far = model("same", [1.0, 1.0], rows), model("far", [1.0, -1.0], other)
        one, new = model("one", [0.0, 0.0], rows), rng.normal([1, 2], [3, 0.5], (60, 2))
        # Normal by both, whose calibrations share their rows; and normal by the first alone.
        flagged["product"].append(Composition([one, same]).score(new, fpr=share).is_anomaly)
        flagged["either"].append(Composition([one, far], mode="either").score(new, fpr=share).is_anomaly)
    rates = {mode: np.mean(flags) for mode, flags in flagged.items()}
    assert rates["product"] < share + 0.01 and rates["either"] < share + 0.01, rates
    assert rates["product"] > 0.03, "valid, but not by never flagging"


def test_a_negative_weight_has_no_p_value(a: Detector, b: Detector) -> None:
    found = Composition([a, b], [1.0, -1.0]).score(ROWS[:5], fdr=0.1)
    assert found.p_value is None and found.is_anomaly is None
    assert "negative weight" in found.note and len(found.rank) == 5


def test_rates_finer_than_the_calibration_are_said(a: Detector, b: Detector) -> None:
    # 200 and 100 in the denominators: the smallest p of the product is 2 / 200, of the mixture 1 / 100.
    rows = np.array([[1000.0, 1000.0]])
    both = Composition([a, b])
    assert both.score(rows, fpr=0.01).note is None and both.score(rows, fpr=0.01).is_anomaly.all()
    assert "0.01: no row" in both.score(rows, fpr=0.009).note
    assert not both.score(rows, fpr=0.009).is_anomaly.any()
    either = Composition([a, b], mode="either")
    assert either.score(rows, fpr=0.01).note is None and "0.01: no row" in either.score(rows, fpr=0.009).note
    assert "cannot flag any row" in both.score(rows, fdr=0.005).note
    assert "fewer than 5 anomalies" in both.score(np.repeat(rows, 25, 0), fdr=0.05).note


def test_infinitely_far_rows_rank_and_do_not_fail(a: Detector, b: Detector) -> None:
    rows = np.array([[1.0, 2.0], [3e38, 1.0], [4.0, 1.5]])
    assert np.isinf(a.energies(rows)[1])
    likes = Composition([a, b]).score(rows)
    assert likes.energy[1] == np.inf and likes.rank[1] == 1
    unlike = Composition([a, b], [1.0, -1.0]).score(rows)
    assert np.isnan(unlike.energy[1]) and unlike.rank[1] == 1 and sorted(unlike.rank) == [1, 2, 3]
    assert np.isfinite(Composition([a, b], mode="either").score(rows).energy[[0, 2]]).all()


def test_better_ranks_where_the_parts_see_different_things() -> None:
    """A product of two one-sided views ranks corners that each alone misses half of."""
    rng = np.random.default_rng(3)
    normal, odd = rng.normal(size=(400, 2)), rng.normal(size=(200, 2))
    odd[:100, 0] += 4
    odd[100:, 1] += 4
    calibration, test = normal[:200], normal[200:]
    views = [
        analytic_detector(gaussian([0.0, 0.0], v), standardize([0, 0], [1, 1]), calibration)
        for v in ([1.0, 1e6], [1e6, 1.0])
    ]

    def auroc(normal_scores: np.ndarray, odd_scores: np.ndarray) -> float:
        return float(
            stats.mannwhitneyu(odd_scores, normal_scores).statistic / len(odd_scores) / len(normal_scores)
        )

    alone = [auroc(v.score(test).anomaly_score, v.score(odd).anomaly_score) for v in views]
    both = Composition(views)
    assert auroc(both.score(test).energy, both.score(odd).energy) > max(alone) + 0.15


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        ([1.0], {}, "1 weights for 2 models"),
        ([1.0, 0.0], {}, "model 'b' version 1: weight must be finite and not 0"),
        ([1.0, float("nan")], {}, "weight must be finite"),
        ([1.0, -1.0], {"mode": "either"}, "weight -1 is negative"),
        (None, {"mode": "both"}, "mode must be"),
        (None, {"scale": "cooked"}, "scale must be"),
        (None, {"temperature": 0.0}, "temperature must be"),
    ],
)
def test_bad_arguments_are_named(a: Detector, b: Detector, weights, options, said) -> None:
    with pytest.raises(BadInput, match=said):
        Composition([a, b], weights, **options)


def test_models_must_share_their_input(a: Detector, tiny: Detector) -> None:
    three = analytic_detector(
        gaussian([0.0] * 3, [1.0] * 3), standardize([0] * 3, [1] * 3), 2 * np.eye(3)[:, [0, 0, 1]], name="c"
    )
    cases = [
        (three, r"shape \(2,\), model 'c' version 1 of shape \(3,\)"),
        (tiny, "takes rows of columns, model 'tiny' version 1 takes pictures"),
        (model("d", [0.0, 0.0], columns=["v", "u"]), "the same columns in another order .* column 0 is 'v', not 'u'"),
        (model("e", [0.0, 0.0], columns=["u", "w"]), "other columns .* column 1 is 'w', not 'v'"),
    ]  # fmt: skip
    for other, said in cases:
        with pytest.raises(BadInput, match=said):
            Composition([a, other])
    assert Composition([a, model("f", [0.0, 0.0], columns=None)]).score(ROWS[:2]).energy.shape == (2,)
    with pytest.raises(BadInput, match="at least one model"):
        Composition([])
    with pytest.raises(BadInput, match="not both"):
        Composition([a]).score(ROWS, fpr=0.1, fdr=0.1)
    with pytest.raises(BadInput, match="fpr must lie"):
        Composition([a]).score(ROWS, fpr=1.5)


def test_pictures_must_have_one_range() -> None:
    pictures = RNG.uniform(0, 10, (20, 1, 2))
    rows = torch.from_numpy(pictures.reshape(20, 2)).float()
    flat = Gaussian(rows.mean(0), torch.eye(2))
    dim, bright = (
        analytic_detector(_Flat(flat), ScaleImage(0, high).fit(pictures), pictures, name=f"to{high}")
        for high in (16, 255)
    )
    with pytest.raises(BadInput, match="'to16' version 1 takes pixels from 0 to 16, .* from 0 to 255"):
        Composition([dim, bright])


class _Flat(nn.Module):
    def __init__(self, energy: nn.Module):
        super().__init__()
        self.energy = energy

    def forward(self, x: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
        return self.energy(x.flatten(1), sigma)


def test_columns_must_have_one_type() -> None:
    config = {"preprocessing": {"kind": "mixed"}, "terms": [{"name": "k", "energy": {"kind": "kernel"}}]}
    numbers, words = [1, 2, 3] * 10, ["1", "2", "3"] * 10
    one, two = (
        fit_detector(ModelConfig.model_validate(config), t, t)
        for t in (pa.table({"x": RNG.normal(size=30), "y": y}) for y in (numbers, words))
    )
    with pytest.raises(BadInput, match="column 'y' is numeric in .*, categorical in"):
        Composition([one, two])
