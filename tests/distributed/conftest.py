"""Rows, and the specification of a run on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[int], Path]:
    """A Parquet file of so many rows of the shipped tables' data, with a column of their own numbers."""

    def write(n: int) -> Path:
        data = load_breast_cancer()
        columns = {
            name: np.resize(column, n) for name, column in zip(data.feature_names, data.data.T, strict=True)
        }
        place = tmp_path / "rows.parquet"
        pq.write_table(pa.table(columns | {"number": np.arange(n)}), place)
        return place

    return write
