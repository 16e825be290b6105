"""Tables: every column to zero mean and unit spread."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from ebm.config import Frozen
from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing.checks import as_numbers, require_finite, to_float32
from ebm.preprocessing.stored import decode_names, encode_names, take

MIN_SD = 1e-9


class Standardize:
    """z = (x - mean) / sd, column by column, over the training rows (population sd).

    A column that does not vary (sd below 1e-9) keeps sd 1: it is 0 on the training data, and a value that
    departs from the constant still shows.
    """

    kind = "tabular"

    def __init__(self) -> None:
        self._columns: list[str] | None = None
        self._mean = self._sd = self._min = self._max = np.empty(0)

    @property
    def columns(self) -> list[str] | None:
        return None if self._columns is None else list(self._columns)

    @property
    def shape(self) -> tuple[int, ...]:
        self._require_fitted()
        return (len(self._mean),)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def owners(self) -> np.ndarray:
        """(d,) int64: coordinate j encodes column j."""
        return np.arange(*self.shape)

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """Learn mean and sd from rows (N, d).

        Raises:
            BadInput: not a table, fewer than two rows, NaN or infinity, or no column that varies.
        """
        array = as_numbers(values, columns)
        if array.ndim != 2 or array.shape[1] == 0:
            raise BadInput(f"a table of shape (rows, columns) is needed, got shape {array.shape}")
        if columns is not None and len(columns) != array.shape[1]:
            raise BadInput(f"{len(columns)} column names for {array.shape[1]} columns")
        require_finite(array, columns)
        if len(array) < 2:
            raise BadInput(f"training needs at least 2 rows, got {len(array)}")
        array = to_float32(array, columns).astype(np.float64)
        mean, sd = array.mean(axis=0), array.std(axis=0)
        low, high = array.min(axis=0), array.max(axis=0)
        constant = sd < MIN_SD  # exactly 0 for a constant: float64 sums of equal float32 values are exact
        if constant.all():
            raise BadInput(f"every column is constant over the {len(array)} training rows: nothing to learn")
        self._mean, self._sd = mean, np.where(constant, 1.0, sd)
        self._min, self._max = low, high
        self._columns = None if columns is None else list(columns)
        return self

    def transform(self, values: Any) -> np.ndarray:
        """Rows (N, d) in user units -> (N, d) float32.

        Raises:
            BadInput: wrong width, or a cell that is no finite number; names row and column.
        """
        with np.errstate(over="ignore"):
            z = (self.checked(values).astype(np.float64) - self._mean) / self._sd
        # A tiny sd can carry a finite value beyond float32, or beyond float64.
        return to_float32(z, self._columns)

    def checked(self, values: Any) -> np.ndarray:
        """Rows (N, d) as numbers in user units; raises BadInput as `transform`."""
        self._require_fitted()
        array = as_numbers(values, self._columns)
        width = len(self._mean)
        if array.ndim != 2 or array.shape[1] != width:
            got = f"{array.shape[1]} values" if array.ndim == 2 else f"shape {array.shape[1:]}"
            raise BadInput(f"row 0 has {got}, the model takes {width} columns", row=0)
        require_finite(array, self._columns)
        return array

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """z (N, d) -> x = mean + sd z, float32, in user units."""
        self._require_fitted()
        z = np.asarray(values, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != len(self._mean):
            raise BadInput(f"shape {z.shape} does not end in the model's {len(self._mean)} columns")
        with np.errstate(over="ignore"):
            return (self._mean + self._sd * z).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        self._require_fitted()
        out = {"mean": self._mean, "sd": self._sd, "min": self._min, "max": self._max}
        if self._columns is not None:
            out["columns"] = encode_names(self._columns)
        return {key: array.copy() for key, array in out.items()}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        mean = take(arrays, "mean")
        sd, low, high = (take(arrays, key, len(mean)) for key in ("sd", "min", "max"))
        if (sd <= 0).any():
            raise BadArtifact("preprocessing: array 'sd' has values that are not positive")
        names = decode_names(arrays["columns"], len(mean)) if "columns" in arrays else None
        self._mean, self._sd, self._min, self._max, self._columns = mean, sd, low, high, names
        return self

    def schema(self) -> dict[str, Any]:
        self._require_fitted()
        names = self._columns or [f"x{i}" for i in range(len(self._mean))]
        rows = zip(names, self._min, self._max, self._mean, strict=True)
        return {
            "kind": self.kind,
            "named": self._columns is not None,
            "columns": [
                {"name": name, "min": float(low), "max": float(high), "mean": float(mean)}
                for name, low, high, mean in rows
            ],
        }

    def _require_fitted(self) -> None:
        if len(self._mean) == 0:
            raise RuntimeError("fit() or load_arrays() comes first")


class StandardizeConfig(Frozen):
    """`Standardize`, which has nothing to set."""

    kind: Literal["standardize"] = "standardize"

    def build(self) -> Standardize:
        return Standardize()
