"""Numbers and booleans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from ebm.preprocessing.checks import clip_text
from ebm.preprocessing.columns.base import (
    MAX_DISTANCE,
    CellError,
    Column,
    first,
    null_share,
    nulls_of,
    pc,
    refuse_kind,
)

MIN_SD = 1e-9
LARGEST = float(np.finfo(np.float32).max)


def is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_duration(kind)
    )


class Numeric(Column):
    """z = (x - mean) / sd over the training values (population sd); a column that does not vary (sd below 1e-9)
    keeps sd 1, so that it is 0 on the training rows and a departure from the constant still shows. A duration is its
    number of microseconds."""

    type: Literal["numeric"] = "numeric"
    integer: bool = False
    min: float | None = None
    max: float | None = None
    mean: float = 0.0
    sd: float = Field(default=1.0, gt=0)

    @classmethod
    def fit(cls, name: str, cells: pa.Array) -> Self:
        integer = pa.types.is_integer(cells.type)
        learner = cls(name=name, integer=integer)
        x = learner.accept(cells).to_numpy(zero_copy_only=False)
        return cls(name=name, integer=integer, **number_figures(x))

    @property
    def width(self) -> int:
        return 1 + self.nullable

    @property
    def discrete(self) -> tuple[bool, ...]:
        return (False, True)[: self.width]

    @property
    def constant(self) -> bool:
        return self.nulls == 1 or (self.nulls == 0 and self.min == self.max)

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.float64()

    def accept(self, cells: pa.Array) -> pa.Array:
        kind = cells.type
        if pa.types.is_boolean(kind):
            cells = cells.cast(pa.int8())
        elif pa.types.is_duration(kind):
            cells = cells.cast(pa.duration("us"), safe=False).cast(pa.int64())
        elif not is_number(kind) and not pa.types.is_null(kind):
            raise refuse_kind(cells, "a number")
        # safe=False: integers above 2^53 are rounded like any other float.
        cells = pc.cast(cells, pa.float64(), safe=False)
        x = cells.to_numpy(zero_copy_only=False)
        if cells.null_count == 0 and np.isfinite(x).all():
            return cells
        if np.isinf(x).any():
            raise CellError(first(np.isinf(x)), "is infinite")
        return pa.array(x, from_pandas=True)

    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        x = np.empty(len(cells))
        for row, cell in enumerate(cells):
            if cell is None:
                x[row] = np.nan
            elif isinstance(cell, bool | int | float | np.bool_ | np.number) or _is_decimal(cell):
                try:
                    x[row] = float(cell)
                except OverflowError:
                    raise CellError(row, "is an integer too large") from None
            else:
                raise CellError(row, f"is {clip_text(cell)}, not a number")
        return self.accept(pa.array(x))

    def encode(self, cells: pa.Array) -> np.ndarray:
        x = cells.to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            z = (x - self.mean) / self.sd
        null = np.isnan(x) if cells.null_count else np.zeros(len(x), dtype=bool)
        return self.add_indicator([np.where(null, 0.0, z)], null)

    def decode(self, z: np.ndarray) -> pa.Array:
        x = self.mean + self.sd * z[:, 0].astype(np.float64)
        null = self.decoded_nulls(z)
        if self.integer:
            # Beyond 2^53 floats hold whole numbers only, and int64 ends at 2^63.
            return pa.array(np.clip(np.rint(x), -(2.0**62), 2.0**62).astype(np.int64), mask=null)
        return pa.array(x, mask=null)

    def describe(self) -> dict[str, Any]:
        figures = {"min": self.min, "max": self.max, "mean": self.mean, "sd": self.sd}
        return self.head("numeric", integer=self.integer, **figures)

    @property
    def example(self) -> Any:
        return round(self.mean) if self.integer else float(f"{self.mean:.6g}")


def number_figures(x: np.ndarray) -> dict[str, Any]:
    """nulls and `moments` of a column (n,) float64 without infinities, NaN for nulls.

    Raises:
        CellError: a magnitude that float32 cannot hold.
    """
    too_large = np.abs(x) > LARGEST
    if too_large.any():
        raise CellError(first(too_large), "is too large for float32")
    null = np.isnan(x)
    known = x[~null] if null.any() else x
    return {"nulls": float(null.mean())} | (moments(known) if len(known) else {})


def moments(x: np.ndarray) -> dict[str, float]:
    """min, max, mean and sd of finite values (n,) float64, by the rule of `Numeric`."""
    low, high = float(x.min()), float(x.max())
    mean, sd = float(x.mean()), float(x.std())
    if low == high:
        mean, sd = low, 0.0  # the mean of equal values may round away from them
    return {"min": low, "max": high, "mean": mean, "sd": sd if sd >= MIN_SD else 1.0}


def _is_decimal(cell: Any) -> bool:
    import decimal

    return isinstance(cell, decimal.Decimal)


class Boolean(Column):
    """One coordinate, z = s (b - mean) with s = min(1 / sd, 6): a z-score, bounded for rare values."""

    type: Literal["boolean"] = "boolean"
    mean: float = Field(default=0.0, ge=0, le=1)

    @classmethod
    def fit(cls, name: str, cells: pa.Array) -> Self:
        nulls = null_share(cells)
        share = pc.mean(cells.cast(pa.int8())).as_py()
        return cls(name=name, nulls=nulls, mean=share or 0.0)

    @property
    def width(self) -> int:
        return 1 + self.nullable

    @property
    def discrete(self) -> tuple[bool, ...]:
        return (True, True)[: self.width]

    @property
    def constant(self) -> bool:
        return self.nulls == 1 or (self.nulls == 0 and self.mean in (0.0, 1.0))

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.bool_()

    @property
    def scale(self) -> float:
        return 1.0 / max(math.sqrt(self.mean * (1 - self.mean)), 1.0 / MAX_DISTANCE)

    def accept(self, cells: pa.Array) -> pa.Array:
        kind = cells.type
        if pa.types.is_boolean(kind) or pa.types.is_null(kind):
            return cells.cast(pa.bool_())
        if is_number(kind):  # 0 and 1, e.g. a row of an array
            x = pc.cast(cells, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            wrong = ~(np.isnan(x) | (x == 0) | (x == 1))
            if wrong.any():
                row = first(wrong)
                raise CellError(row, f"is {clip_text(cells[row].as_py())}, not true or false")
            return pa.array(x == 1, mask=np.isnan(x))
        raise refuse_kind(cells, "true or false")

    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        out: list[bool | None] = []
        for row, cell in enumerate(cells):
            if cell is None or isinstance(cell, bool | np.bool_):
                out.append(None if cell is None else bool(cell))
            elif isinstance(cell, int | float | np.number) and cell in (0, 1):
                out.append(cell == 1)
            elif isinstance(cell, float | np.floating) and np.isnan(cell):
                out.append(None)
            else:
                raise CellError(row, f"is {clip_text(cell)}, not true or false")
        return pa.array(out, pa.bool_())

    def encode(self, cells: pa.Array) -> np.ndarray:
        null = nulls_of(cells)
        b = cells.fill_null(False).to_numpy(zero_copy_only=False)
        return self.add_indicator([np.where(null, 0.0, self.scale * (b - self.mean))], null)

    def decode(self, z: np.ndarray) -> pa.Array:
        return pa.array(z[:, 0] / self.scale + self.mean > 0.5, mask=self.decoded_nulls(z))

    def describe(self) -> dict[str, Any]:
        return self.head("boolean", mean=self.mean)

    @property
    def example(self) -> Any:
        return self.mean > 0.5
