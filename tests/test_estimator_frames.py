"""The scikit-learn estimator on frames: every type and make, explanations, missing cells, disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import ebm
from ebm.errors import BadArtifact, BadInput
from ebm.estimator import EnergyDetector


def orders(n: int, seed: int = 0) -> pd.DataFrame:
    """A frame of every type: large orders of one kind, small ones of the other; a few nulls."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["shop", "web"], n)
    amount = np.where(kind == "shop", rng.normal(500, 20, n), rng.normal(20, 5, n))
    frame = pd.DataFrame(
        {
            "amount": amount,
            "kind": kind,
            "items": rng.integers(1, 9, n),
            "gift": rng.random(n) < 0.3,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
        }
    )
    frame.loc[rng.random(n) < 0.1, "amount"] = np.nan
    frame.loc[rng.random(n) < 0.1, "kind"] = None
    return frame


@pytest.fixture(scope="module")
def of_orders() -> EnergyDetector:
    return EnergyDetector(network=False).fit(orders(300))


def test_behind_a_column_transformer() -> None:
    frame = orders(200)
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["kind"]), ("passthrough", ["amount", "items"])
    )
    pipeline = make_pipeline(encode, EnergyDetector(network=False)).fit(frame)
    swapped = pd.DataFrame({"kind": ["shop", "web"], "amount": [20.0, 500.0], "items": [3, 3]})
    assert pipeline.predict(swapped.reindex(columns=frame.columns)).tolist() == [-1, -1]


def test_a_frame_of_every_type(of_orders: EnergyDetector) -> None:
    assert of_orders.n_features_in_ == 5
    assert of_orders.feature_names_in_.tolist() == ["amount", "kind", "items", "gift", "day"]
    rows = orders(50, seed=1)
    odd = rows[:2].assign(amount=[5000.0, 500.0], items=[5, 60])
    assert of_orders.predict(odd).tolist() == [-1, -1]
    assert (of_orders.predict(rows) == 1).mean() > 0.8


def test_pandas_polars_arrow_and_records_say_the_same(of_orders: EnergyDetector) -> None:
    rows = orders(20, seed=1)
    expected = of_orders.score_samples(rows).tolist()
    table = pa.Table.from_pandas(rows)
    assert of_orders.score_samples(table).tolist() == expected
    assert of_orders.score_samples(pl.from_arrow(table)).tolist() == expected
    assert of_orders.score_samples(table.to_pylist()).tolist() == expected
    of_polars = EnergyDetector(network=False).fit(pl.from_pandas(orders(300)))
    assert of_polars.score_samples(rows).tolist() == expected
    assert of_polars.feature_names_in_.tolist() == rows.columns.tolist()


def test_a_frame_with_other_columns_is_refused(of_orders: EnergyDetector) -> None:
    rows = orders(5)
    with pytest.raises(ValueError, match="(?s)missing.*items"):
        of_orders.predict(rows.drop(columns="items"))
    with pytest.raises(ValueError, match="same order"):
        of_orders.predict(rows[rows.columns[::-1]])
    with pytest.raises(BadInput, match="row 3, column 'amount'") as error:
        of_orders.predict(rows.astype({"amount": object}).assign(amount=[1.0, 2.0, 3.0, "much", 5.0]))
    assert (error.value.row, error.value.column) == (3, "amount")


def test_an_explanation_names_the_column(of_orders: EnergyDetector) -> None:
    row = orders(40, seed=1).dropna()[:1].assign(items=60)
    explanation = of_orders.explain(row)
    assert explanation.name(explanation.ranking[0, 0]) == "items"
    total = explanation.energy - explanation.normal_energy
    assert explanation.contributions.sum(axis=1) == pytest.approx(total, rel=1e-3)


def test_missing_cells_are_drawn_given_the_others(of_orders: EnergyDetector) -> None:
    rows = orders(40, seed=1).dropna()[:2].assign(kind=["shop", "web"], amount=np.nan)
    imputed = of_orders.impute(rows, n_draws=8, seed=1)
    shop, web = imputed.rows.column("amount").to_pylist()
    assert 0 < web < shop < 520  # in truth about 20 and 500


def test_saved_and_loaded(of_orders: EnergyDetector, tmp_path: Path) -> None:
    strict = EnergyDetector(fpr=0.2, network=False).fit(orders(300))
    path = strict.save(tmp_path, "orders", "2.1")
    assert path == ebm.resolve(tmp_path, "orders")
    again = EnergyDetector.load(path)
    rows = orders(30, seed=1)
    assert again.score_samples(rows).tolist() == strict.score_samples(rows).tolist()
    assert again.predict(rows).tolist() == strict.predict(rows).tolist()
    assert (again.fpr, again.offset_, again.n_features_in_) == (0.2, strict.offset_, 5)
    assert again.feature_names_in_.tolist() == strict.feature_names_in_.tolist()
    assert strict.detector_.name != "orders"
    with pytest.raises(BadArtifact, match="published already"):
        strict.save(tmp_path, "orders", "2.1")
    with pytest.raises(BadInput, match=r"'\.\./orders' version '1'"):
        of_orders.save(tmp_path, "../orders")
