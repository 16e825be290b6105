"""How many columns of a table say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

SAMPLE = 2000  # rows that are compared
MAX_COLUMNS = 4096  # more than these are not compared: the table of correlations would not fit
NEAR = 0.99


def sample_rows(n: int) -> np.ndarray:
    """At most SAMPLE of n row numbers, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))


def count_copies(x: np.ndarray) -> np.ndarray:
    """m_j = sum_k w(|r_jk|) for columns (n, d) of numbers without NaN: (d,), 1 where nothing resembles column j.

    r is Pearson's correlation; w rises from 0 at .99 to 1 at 1, so that exact copies (in other units, too) count
    fully and near-copies in part.
    """
    n, d = x.shape
    if d > MAX_COLUMNS or n < 3:
        return np.ones(d)
    centred = x - x.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    # Relative to the size of the values: what rounding leaves of a constant is no variation.
    varies = norm > 1e-9 * np.abs(x).max(axis=0)
    unit = np.where(varies, centred / np.where(varies, norm, 1.0), 0.0)
    weight = np.clip((np.abs(unit.T @ unit) - NEAR) / (1 - NEAR), 0.0, 1.0)
    np.fill_diagonal(weight, 1.0)
    return weight.sum(axis=0).round(6)


def count_equal(columns: Sequence[pa.Array]) -> np.ndarray:
    """(d,): how many of these discrete columns split the rows as column j does, whatever they call the parts."""
    codes = []
    for cells in columns:
        found = cells.dictionary_encode(null_encoding="encode")  # numbered in order of first occurrence
        codes.append(
            found.indices.to_numpy(zero_copy_only=False).tobytes() if len(found.dictionary) > 1 else b""
        )
    times = Counter(codes)
    return np.array([float(times[code]) if code else 1.0 for code in codes])
