"""Images or tables as zeros and ones, for energies of binary rows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ebm.config import Frozen
from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing.checks import to_float32
from ebm.preprocessing.image import ScaleImage, pixel_at
from ebm.preprocessing.stored import take
from ebm.preprocessing.tabular import Standardize


class BinaryImage(ScaleImage):
    """z = 1 where x >= threshold, else 0, pixel by pixel; back, 0 becomes `low` and 1 `high`.

    All else is as in `ScaleImage`: (H, W[, C]) or flat rows to (C, H, W), and which images are refused. Values between
    0 and 1 (a mean of samples) come back in between. A missing pixel is 1/2, where that is allowed.

    Args:
        threshold: in user units, above `low` and at most `high`.
        low, high: the range of pixel values in user units.
    """

    model_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    binary: ClassVar[bool] = True

    def __init__(self, threshold: float, low: float, high: float, size: tuple[int | None, ...]):
        super().__init__(low, high, *size)
        self.threshold = threshold

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """As `ScaleImage.fit`.

        Raises:
            BadInput: as there, and where every pixel is on one side of the threshold.
        """
        super().fit(values, columns)
        if self.transform(values).std() == 0:
            self._size = None
            raise BadInput(
                f"every pixel is on one side of the threshold {self.threshold:g}: nothing to learn"
            )
        return self

    def scaled(self, array: np.ndarray) -> np.ndarray:
        return np.where(array >= self.threshold, 1.0, 0.0)

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), "threshold": np.array([self.threshold])}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        super().load_arrays(arrays)
        self.threshold = float(take(arrays, "threshold", 1)[0])
        if not self.low < self.threshold <= self.high:
            raise BadArtifact("preprocessing: array 'threshold' is not within the range")
        return self

    def _check(self, array: np.ndarray, size: tuple[int, int, int], allow_missing: bool = False) -> None:
        super()._check(array, size, allow_missing)
        flat = array.reshape(len(array), -1)  # a threshold would hide a value that is absurd
        to_float32(np.nan_to_num(flat) if allow_missing else flat, name=lambda column: pixel_at(column, size))


class BinaryTable(Standardize):
    """z = 1 where x >= threshold, else 0, cell by cell; back, 0 becomes `low` and 1 `high`.

    Names and ranges of columns, and which rows are refused, are as in `Standardize`.

    Args:
        threshold: in user units, above `low` and at most `high`.
        low, high: what zeros and ones are in user units.
    """

    binary: ClassVar[bool] = True

    def __init__(self, threshold: float, low: float, high: float):
        super().__init__()
        self.threshold, self.low, self.high = threshold, low, high

    @property
    def discrete(self) -> np.ndarray:
        """(d,) bool: all coordinates take two values."""
        return np.ones(self.shape, dtype=bool)

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """As `Standardize.fit`.

        Raises:
            BadInput: as there, and where every cell is on one side of the threshold.
        """
        super().fit(values, columns)
        if self.transform(values).std() == 0:
            raise BadInput(f"every cell is on one side of the threshold {self.threshold:g}: nothing to learn")
        return self

    def transform(self, values: Any) -> np.ndarray:
        """Rows (N, d) in user units -> (N, d) float32 of zeros and ones.

        Raises:
            BadInput: wrong width, or a cell that is no finite number; names row and column.
        """
        array = self.checked(values)
        to_float32(array, self._columns)  # refuses a value that is absurd, which a threshold would hide
        return (array >= self.threshold).astype(np.float32)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """z (N, d) -> low + (high - low) z, float32, clipped to [low, high]."""
        z = np.asarray(values, dtype=np.float64)
        if z.ndim != 2 or z.shape[1:] != self.shape:
            raise BadInput(f"shape {z.shape} does not end in the model's {self.shape[0]} columns")
        return (self.low + (self.high - self.low) * np.clip(z, 0, 1)).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), "range": np.array([self.threshold, self.low, self.high])}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        super().load_arrays(arrays)
        self.threshold, self.low, self.high = (float(value) for value in take(arrays, "range", 3))
        if not self.low < self.threshold <= self.high:
            raise BadArtifact("preprocessing: array 'range' is not (threshold, low, high)")
        return self


class BinarizeConfig(Frozen):
    """Ones where a value is at least `threshold`, else zeros; `low` and `high` are what they are in user units.

    `input`: image for pictures, whose size is given where the data are flat rows; tabular for rows of columns.
    """

    kind: Literal["binarize"] = "binarize"
    input: Literal["image", "tabular"] = "image"
    threshold: float = 0.5
    low: float = 0.0
    high: float = 1.0
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    channels: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.threshold <= self.high:
            raise ValueError(
                f"threshold {self.threshold:g} must be above low {self.low:g} and at most high {self.high:g}"
            )
        if self.input == "tabular" and (self.height, self.width, self.channels) != (None, None, None):
            raise ValueError("'height', 'width' and 'channels' are for input 'image'")
        return self

    def build(self) -> BinaryImage | BinaryTable:
        if self.input == "tabular":
            return BinaryTable(self.threshold, self.low, self.high)
        return BinaryImage(self.threshold, self.low, self.high, (self.height, self.width, self.channels))
