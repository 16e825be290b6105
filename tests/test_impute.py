"""Filling nulls with whole detectors: what is observed stays, and what is filled resembles what was there."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_wine

from ebm.detector import Detector
from ebm.errors import BadInput, Unsupported
from ebm.fitting import fit_detector
from ebm.preprocessing.mixed import MixedConfig
from ebm.training.config import TrainConfig

KERNEL = {"name": "kernel", "energy": {"kind": "kernel", "bandwidth": 0.2, "neighbour": 5}}
CONFIG = {
    "name": "filler",
    "data": {"kind": "builtin", "name": "breast_cancer"},
    "preprocessing": {"kind": "standardize"},
    "terms": [KERNEL],
}
NETWORK = {
    "name": "network",
    "energy": {"kind": "residual", "width": 32, "depth": 1},
    "objective": {"kind": "dsm", "sigma_min": 0.05, "sigma_max": 4.0},
    "training": {"n_steps": 60},
    "sigmas": [0.3],
}
SAMPLING = {
    "term": "network",
    "sampler": {
        "kind": "annealed_langevin",
        "sigma_min": 0.05,
        "sigma_max": 4.0,
        "n_levels": 8,
        "step_size": 0.2,
    },
}
WINE = np.random.default_rng(0).permutation(load_wine().data.astype(np.float32))


def fitted(**changes: object) -> Detector:
    return fit_detector(TrainConfig.model_validate(CONFIG | changes), WINE[:100], WINE[100:130])


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted(terms=[KERNEL, NETWORK])


@pytest.fixture(scope="module")
def holes() -> np.ndarray:
    """The other 48 rows of wine, a quarter of their cells NaN; one row whole, one empty, one column empty."""
    rows = WINE[130:].astype(float)
    rows[np.random.default_rng(1).random(rows.shape) < 0.25] = np.nan
    rows[0], rows[1], rows[:, 3] = WINE[130], np.nan, np.nan
    rows[0, 3] = WINE[130, 3]
    return rows


def test_a_correlated_gaussian_is_filled_from_its_conditional() -> None:
    rng = np.random.default_rng(0)
    rho = 0.9
    x = rng.multivariate_normal([10, -5], [[4, 2 * rho], [2 * rho, 1]], 5200)  # sds 2 and 1
    term = {"name": "kernel", "energy": {"kind": "kernel", "bandwidth": 5.0}}  # h^2 = .01 here
    config = TrainConfig.model_validate(CONFIG | {"terms": [term]})
    detector = fit_detector(config, x[:5000], x[5000:])
    rows = np.array([[8.0, np.nan], [10.0, np.nan], [12.0, np.nan], [np.nan, -4.0]])
    found = detector.impute(rows, n_draws=150)
    assert found.acceptance == 1
    filled = np.array([found.rows[0, 1], found.rows[1, 1], found.rows[2, 1], found.rows[3, 0]])
    # x2 given x1 has mean -5 + rho (x1 - 10) / 2, x1 given x2 10 + 2 rho (x2 + 5); in units of their sd within .1.
    expected = np.array([-5 - rho, -5, -5 + rho, 10 + 2 * rho])
    np.testing.assert_allclose((filled - expected) / [1, 1, 1, 2], 0, atol=0.1)
    spread = found.spread[[0, 1, 2, 3], [1, 1, 1, 0]] / [1, 1, 1, 2]
    # The kernel adds h^2 to both variances: .456 instead of .436.
    np.testing.assert_allclose(spread, math.sqrt(1.01 - rho**2 / 1.01), rtol=0.1)


def test_filled_cells_are_nearer_than_column_means(detector: Detector, holes: np.ndarray) -> None:
    found = detector.impute(holes)
    truth, mean, sd = WINE[130:], WINE[:100].mean(0), WINE[:100].std(0)
    gaps = np.isnan(holes)
    gaps[1] = False  # nothing to go by

    def error(filled: np.ndarray) -> float:
        return float(np.sqrt(np.mean(((filled - truth) / sd)[gaps] ** 2)))

    assert error(found.rows) < 0.85 * error(np.broadcast_to(mean, truth.shape))
    within = np.abs(found.rows - truth)[gaps] < 2 * found.spread[gaps]
    assert within.mean() > 0.9
    assert found.acceptance is not None and 0.05 < found.acceptance < 1


def test_observed_cells_are_never_touched(detector: Detector, holes: np.ndarray) -> None:
    found = detector.impute(holes, n_draws=3, keep_draws=True)
    observed = ~np.isnan(holes)
    np.testing.assert_array_equal(found.missing, ~observed)
    assert found.draws is not None and len(found.draws) == 3
    for rows in (found.rows, *found.draws):
        np.testing.assert_array_equal(rows[observed], holes[observed])
        assert np.isfinite(rows).all()
    assert np.isnan(found.spread[observed]).all() and (found.spread[~observed] > 0).all()
    assert not np.array_equal(found.draws[0], found.draws[1])


def test_draws_are_by_seed(detector: Detector, holes: np.ndarray) -> None:
    a, b, c = (detector.impute(holes, n_draws=4, seed=s).rows for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_one_draw_is_filled_in_as_it_is(detector: Detector, holes: np.ndarray) -> None:
    found = detector.impute(holes, n_draws=1, keep_draws=True)
    assert found.draws is not None
    np.testing.assert_array_equal(found.rows, found.draws[0])
    assert np.isnan(found.spread).all()
    # A draw scatters about the mean by the spread.
    many = detector.impute(holes, n_draws=64)
    z = ((found.rows - many.rows) / many.spread)[np.isnan(holes)]
    assert 0.8 < z.std() < 1.2


def test_rows_without_nulls_come_back_as_they_are(detector: Detector) -> None:
    found = detector.impute(WINE[:5])
    np.testing.assert_array_equal(found.rows, WINE[:5])
    assert not found.missing.any() and found.acceptance is None and found.draws is None
    assert list(detector.impute_steps(WINE[:5])) == []


def test_many_rows_are_filled_part_by_part(detector: Detector, holes: np.ndarray, monkeypatch) -> None:
    whole = detector.impute(holes, n_draws=64)
    monkeypatch.setattr("ebm.impute.MAX_CELLS", 100 * 64 * 10)  # ten rows at a time
    steps = [s.step for s in detector.impute_steps(holes, n_draws=64)]
    assert set(steps) == {0, 10, 20, 30, 40, 47} and steps == sorted(steps)
    parts = detector.impute(holes, n_draws=64)
    gaps = np.isnan(holes)
    assert np.corrcoef(parts.rows[gaps] / WINE.std(), whole.rows[gaps] / WINE.std())[0, 1] > 0.99


def test_nulls_of_lists_and_tables(detector: Detector, holes: np.ndarray) -> None:
    expected = detector.impute(holes, n_draws=2).rows
    lists = [[None if np.isnan(v) else float(v) for v in row] for row in holes]
    np.testing.assert_array_equal(detector.impute(lists, n_draws=2).rows, expected)
    table = pa.table({f"c{j}": pa.array([row[j] for row in lists], pa.float64()) for j in range(13)})
    found = detector.impute(table, n_draws=2).rows
    assert isinstance(found, pa.Table) and found.schema == table.schema
    np.testing.assert_array_equal(np.column_stack([c.to_numpy() for c in found.columns]), expected)


def test_bad_arguments_and_rows(detector: Detector, holes: np.ndarray) -> None:
    for options in ({"n_draws": 0}, {"n_draws": 10**6}, {"seed": -1}, {"seed": 2**64}):
        with pytest.raises(BadInput, match=next(iter(options))):
            detector.impute(holes, **options)
    with pytest.raises(BadInput, match="13 columns"):
        detector.impute(holes[:, :4])
    with pytest.raises(BadInput, match="row 2, column 5") as caught:
        detector.impute(np.where(np.arange(48 * 13).reshape(48, 13) == 2 * 13 + 5, np.inf, holes))
    assert caught.value.row == 2
    with pytest.raises(BadInput, match="not a number"):
        detector.impute([["x"] * 13])
    with pytest.raises(BadInput, match="row 3: .* too far from the training data") as caught:
        detector.impute(np.where(np.arange(48 * 13).reshape(48, 13) == 3 * 13 + 5, 1e30, holes))
    assert caught.value.row == 3


def test_a_noise_conditional_network_fills_without_donors(holes: np.ndarray) -> None:
    detector = fitted(terms=[NETWORK | {"training": {"n_steps": 300}}], sampling=SAMPLING)
    assert "impute" in detector.can
    found = detector.impute(holes, n_draws=8)
    assert found.acceptance is None and np.isfinite(found.rows).all()
    gaps = np.isnan(holes)
    gaps[1] = False
    sd, truth = WINE[:100].std(0), WINE[130:]
    mean = np.sqrt(np.mean((((WINE[:100].mean(0) - truth) / sd)[gaps]) ** 2))
    assert np.sqrt(np.mean((((found.rows - truth) / sd)[gaps]) ** 2)) < 0.9 * mean
    np.testing.assert_array_equal(found.rows[~np.isnan(holes)], holes[~np.isnan(holes)])


def test_a_model_that_cannot_draw_says_so() -> None:
    detector = fitted(terms=[NETWORK])
    assert "impute" not in detector.can
    with pytest.raises(Unsupported, match="cannot impute; it can: explain, score"):
        detector.impute(WINE[:1])


# -- tables of several types ----------------------------------------------------------------------------------------


def mixed_rows(n: int, seed: int) -> pa.Table:
    """x, y (whole), flag and day all follow the kind; 1 in 4 of `maybe`, which is x, is null."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["a", "b", "c"], n)
    x = np.select([kind == "a", kind == "b"], [0.0, 10.0], 20.0) + rng.normal(size=n)
    day = np.datetime64("2024-01-01T00:00:00") + np.rint(x * 86400).astype("timedelta64[s]")
    maybe = pa.array(x, mask=rng.random(n) < 0.25)
    return pa.table(
        {"kind": kind, "x": x, "y": np.rint(2 * x).astype(int), "flag": x > 5, "day": day, "maybe": maybe}
    )


@pytest.fixture(scope="module")
def mixed() -> Detector:
    config = TrainConfig.model_validate(CONFIG).model_copy(update={"preprocessing": MixedConfig()})
    return fit_detector(config, mixed_rows(400, 0), mixed_rows(100, 1))  # type: ignore[arg-type]


def without(table: pa.Table, cells: dict[int, str]) -> pa.Table:
    for row, name in cells.items():
        values = table[name].to_pylist()
        values[row] = None
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(values, table[name].type))
    return table


def test_cells_of_every_type_are_filled(mixed: Detector) -> None:
    rows = mixed_rows(6, 2)
    names = rows.column_names
    rows = rows.set_column(5, "maybe", rows["x"])
    gaps = dict(enumerate(names))
    found = mixed.impute(without(rows, gaps), keep_draws=True)
    assert found.draws is not None
    table, expected = found.rows.to_pylist(), rows.to_pylist()
    assert isinstance(found.rows, pa.Table) and found.rows.schema == rows.schema
    for i in range(6):
        for name in names:
            if name != gaps[i]:
                assert table[i][name] == expected[i][name]
    assert table[0]["kind"] == expected[0]["kind"] and table[3]["flag"] is expected[3]["flag"]
    assert abs(table[1]["x"] - expected[1]["x"]) < 3 and abs(table[2]["y"] - expected[2]["y"]) < 6
    assert abs((table[4]["day"] - expected[4]["day"]).total_seconds()) < 3 * 86400
    assert table[5]["maybe"] is not None and abs(table[5]["maybe"] - expected[5]["maybe"]) < 3
    assert all(draw["maybe"].null_count == 0 for draw in found.draws)
    spread = [found.spread[i, names.index(gaps[i])] for i in range(6)]
    assert spread[0] == 0 and spread[3] == 0  # all draws agree
    assert 0.1 < spread[1] < 3 and 0.2 < spread[2] < 6 and 8640 < spread[4] < 3 * 86400
    assert np.isnan(found.spread).sum() == 30


def test_a_level_that_could_be_either_is_as_uncertain_as_that(mixed: Detector) -> None:
    # Only the flag is known: true for b and c alike.
    names = mixed_rows(1, 0).column_names
    row = pa.table(
        {name: pa.array([True if name == "flag" else None], mixed_rows(1, 0)[name].type) for name in names}
    )
    found = mixed.impute(row, n_draws=400)
    assert isinstance(found.rows, pa.Table) and found.rows["kind"][0].as_py() in ("b", "c")
    assert found.spread[0, 0] == pytest.approx(0.5, abs=0.1)


def test_a_column_of_whole_numbers_takes_a_fraction(detector: Detector) -> None:
    table = pa.table({f"c{j}": WINE[:2, j].astype(float) for j in range(13)})
    table = table.set_column(0, "c0", pa.array([2**24 + 1, None], pa.int64()))
    found = detector.impute(table).rows
    assert isinstance(found, pa.Table) and found["c0"].type == pa.float64()
    assert found["c0"][0].as_py() == 2**24 + 1  # which float32 could not hold
