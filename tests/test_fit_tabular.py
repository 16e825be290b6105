"""The default for tables: p-values that mean what they say, from few rows and many, of every make of table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binom, rankdata

from ebm.errors import BadInput
from ebm.fitting import fit
from ebm.tabular import fit_tabular, fit_tabular_with_scores, tabular_config
from ebm.training import presets
from ebm.training.config import ModelConfig

MIX = np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.3, 0.0, 2.0]])


def gaussian(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n, 3)) @ MIX + 5


def small_network() -> ModelConfig:
    values = presets.tabular()
    values["terms"][1]["energy"]["width"] = 16
    values["terms"][1]["training"] |= {"n_steps": 60, "warmup_steps": 10, "batch_size": 32}
    values["terms"][1]["weight"] = 1.0  # more than by default, so that its calibration shows
    return ModelConfig.model_validate(values)


# -- what p-values mean ---------------------------------------------------------------------------------------------


def actual_rates(n: int, seeds: int, rates: tuple[float, ...], network: bool) -> tuple[np.ndarray, int]:
    """Mean share of p <= rate over `seeds` detectors, of 1000 new normal rows each."""
    config = small_network() if network else tabular_config(n, 3, network=False)
    actual = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        detector = fit(config, gaussian(n, rng)).detector
        p = detector.score(gaussian(1000, rng)).p_value
        actual.append([(p <= rate).mean() for rate in rates])
    return np.mean(actual, axis=0), seeds


@pytest.mark.parametrize(
    ("n", "seeds", "network"),
    [(60, 40, False), (600, 8, False), (60, 12, True), (600, 5, True)],
    ids=["few", "many", "few_network", "many_network"],
)
def test_the_actual_false_positive_rate_is_the_requested(n: int, seeds: int, network: bool) -> None:
    rates = (0.05, 0.1, 0.25)
    found, m = actual_rates(n, seeds, rates, network)
    for rate, actual in zip(rates, found, strict=True):
        expected = math.floor(rate * (n + 1)) / (n + 1)  # what ranks among n rows can resolve
        # Given the training rows the rate is Beta of n + 1 rows; 1000 new ones estimate it: a 99.7% interval.
        sd = math.sqrt(expected * (1 - expected) * (1 / (n + 2) + 1 / 1000) / m)
        assert abs(actual - expected) < 3 * sd, (rate, actual)


def test_in_one_large_sample_the_rate_is_inside_the_binomial_interval() -> None:
    rng = np.random.default_rng(3)
    detector = fit_tabular(gaussian(2000, rng), network=False)
    alarms = int(detector.score(gaussian(500, rng), fpr=0.1).is_anomaly.sum())
    low, high = binom.ppf([0.005, 0.995], 500, 0.1)
    assert low <= alarms <= high


def test_training_scores_are_those_that_calibrate_row_by_row() -> None:
    x = gaussian(80, np.random.default_rng(0))
    x[17] += 30
    detector, scores = fit_tabular_with_scores(x)
    np.testing.assert_array_equal(np.sort(scores), detector.calibration.scores)
    assert scores.argmax() == 17
    without = fit_tabular(np.delete(x, 17, 0)).score(x[17:18]).anomaly_score
    assert scores[17] > 4 and without > 4  # nothing of row 17 is in its own score
    assert scores.mean() == pytest.approx(0, abs=1e-6) and scores.std() == pytest.approx(1, abs=1e-6)


def test_beyond_the_rows_that_calibrate_the_detector_scores(monkeypatch: Any) -> None:
    x = gaussian(80, np.random.default_rng(0))
    _, every = fit_tabular_with_scores(x)
    monkeypatch.setattr("ebm.leave_one_out.MAX_ROWS", 30)
    detector, scores = fit_tabular_with_scores(x)
    assert detector.calibration.n == 30
    own = detector.score(x).anomaly_score
    left_out = scores != own
    assert left_out.sum() == 30
    np.testing.assert_array_equal(np.sort(scores[left_out]), detector.calibration.scores)
    assert np.corrcoef(rankdata(scores[left_out]), rankdata(every[left_out]))[0, 1] > 0.999


# -- same rows, same answer -----------------------------------------------------------------------------------------


def test_a_fit_repeats_by_its_seed() -> None:
    rng = np.random.default_rng(0)
    x, new = gaussian(60, rng), gaussian(50, rng)
    energies = [
        fit(small_network().model_copy(update={"seed": seed}), x).detector.energies(new) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(energies[0], energies[1])
    assert np.abs(energies[0] - energies[2]).max() > 1e-4


def test_units_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    x, new = gaussian(100, rng), gaussian(50, rng)
    scale, shift = np.array([1000, 0.001, 7]), np.array([0, 5, 1e4])
    one = fit_tabular(x).score(new).anomaly_score
    other = fit_tabular(x * scale + shift).score(new * scale + shift).anomaly_score
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "columns", "network", "expected"),
    [
        (499, 5, "auto", False),
        (500, 5, "auto", True),
        (500, 513, "auto", False),
        (30, 5, True, True),
        (5000, 5, False, False),
    ],
)
def test_the_network_joins_where_rows_are_many(
    rows: int, columns: int, network: bool | str, expected: bool
) -> None:
    config = tabular_config(rows, columns, network=network)
    assert ("network" in [term.name for term in config.terms]) is expected
    assert (config.sampling is not None) is expected


# -- tables of every make -------------------------------------------------------------------------------------------


def orders(n: int, seed: int = 0) -> pd.DataFrame:
    """Price goes with the kind of good; some prices and kinds are missing."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["book", "car"], n, p=[0.7, 0.3])
    price = np.where(kind == "book", 10, 20_000) * rng.lognormal(0, 0.2, n)
    frame = pd.DataFrame({"kind": kind, "price": price, "gift": rng.random(n) < 0.3, "when": "2024"})
    frame.loc[rng.random(n) < 0.1, "price"] = None
    frame.loc[rng.random(n) < 0.1, "kind"] = None
    return frame


def test_a_frame_with_categories_and_nulls() -> None:
    detector = fit_tabular(orders(200), name="orders")
    assert detector.name == "orders" and detector.columns == ["kind", "price", "gift", "when"]
    new = orders(200, seed=1)
    p = detector.score(new).p_value
    assert 0.3 < np.mean(p) < 0.7 and (p <= 0.1).mean() < 0.2
    odd = pd.DataFrame(
        {
            "kind": ["book", "car", "boat", "book"],
            "price": [20_000.0, 10.0, 10.0, 1e9],
            "gift": [True, False, True, False],
            "when": ["2024"] * 4,
        }
    )
    assert (
        detector.score(odd).p_value.max() < 0.03
    )  # the price of another kind, a kind never seen, no price at all


def test_every_make_of_table_gives_the_same_scores() -> None:
    frame = orders(100)
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    makes = [frame, pa.Table.from_pandas(frame), records, {k: [r[k] for r in records] for k in frame.columns}]
    detectors = [fit_tabular(make) for make in makes]
    energies = [detector.energies(make) for detector, make in zip(detectors, makes, strict=True)]
    for energy in energies[1:]:
        np.testing.assert_array_equal(energy, energies[0])


def test_a_mapping_of_columns_is_as_long_as_its_columns() -> None:
    x = gaussian(500, np.random.default_rng(0))
    values = presets.tabular()
    values["terms"][1]["training"]["n_steps"] = 2
    values["terms"][1]["training"]["warmup_steps"] = 0
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            presets, "tabular", lambda network: seen.append(network) or presets_without(values, network)
        )
        _, scores = fit_tabular_with_scores({name: x[:, j] for j, name in enumerate("abc")})
    assert seen == [True] and scores.shape == (500,)


def presets_without(values: dict[str, Any], network: bool) -> dict[str, Any]:
    return values if network else {**values, "terms": values["terms"][:1], "sampling": None}


def test_names_for_the_columns_of_an_array() -> None:
    x = gaussian(40, np.random.default_rng(0))
    x[3, 1] = np.nan
    detector = fit_tabular(x, ["a", "b", "c"])
    assert detector.columns == ["a", "b", "c"]
    assert np.isfinite(detector.energies(x)).all()
    with pytest.raises(BadInput, match="row 0, column 'c'"):  # that had no nulls
        detector.score(np.array([[1.0, 2.0, np.nan]]))


ODD_TABLES = {
    "two_rows": np.array([[0.0, 1.0], [2.0, 1.5]]),
    "three_rows": np.array([[0.0], [1.0], [5.0]]),
    "duplicates": np.repeat(np.arange(12.0).reshape(6, 2), 10, 0),
    "nearly_constant": np.r_[np.zeros(49), 1.0][:, None],
    "wide": np.random.default_rng(0).normal(size=(30, 300)),
    "huge": np.random.default_rng(0).normal(size=(30, 3)) * 1e30,
}


def test_rows_that_are_all_alike_to_the_model_still_calibrate() -> None:
    levels = pd.DataFrame({"on": [True, False] * 20, "side": ["left", "left", "right", "right"] * 10})
    detector, scores = fit_tabular_with_scores(levels)
    assert scores.std() < 1e-3
    assert detector.score(levels).p_value.tolist() == [1.0] * 40
    odd = detector.score(pd.DataFrame({"on": [True], "side": ["above"]}))
    assert odd.p_value.tolist() == [1 / 41]


@pytest.mark.parametrize("name", ODD_TABLES)
@pytest.mark.parametrize("network", [False, True], ids=["kernels", "network"])
def test_odd_tables_give_finite_scores_and_p_values(name: str, network: bool) -> None:
    x = ODD_TABLES[name]
    config = small_network() if network else tabular_config(*x.shape, network=False)
    result = fit(config, x)
    scores = result.detector.score(x)
    assert np.isfinite(scores.energy).all() and np.isfinite(result.scores).all()
    assert ((scores.p_value > 0) & (scores.p_value <= 1)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((50, 2)), "every column is constant"),
        (np.zeros((1, 2)), "at least 2 rows, got 1"),
        (np.array([[1.0], [np.inf], [2.0]]), "row 1, column 0"),
        (np.zeros((0, 2)), "2 rows, got 0"),
        ([], "a table of shape"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": [[1], [2]]}), "'b'"),
    ],
    ids=["constant", "one_row", "infinite", "none", "empty", "lists"],
)
def test_tables_that_cannot_be_used_are_refused_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        fit_tabular(values)
    assert "\n" not in str(error.value)
