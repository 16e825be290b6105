"""Images: a known range of pixel values to [-1, 1], channels first."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ebm.config import Frozen
from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing.checks import as_numbers, cell_error, nan_for_null, require_finite, to_float32
from ebm.preprocessing.stored import take


class ScaleImage:
    """z = 2 (x - low) / (high - low) - 1, and (H, W[, C]) -> (C, H, W).

    Takes (N, H, W) for one channel, (N, H, W, C), or flat rows (N, H*W*C) in that order. Values outside
    [low, high] are scaled like any other (a noisy picture has some); `inverse` clips to the range.

    Args:
        low, high: the range of pixel values in user units, e.g. 0 and 255.
        height, width, channels: of one image; needed only to fit on flat rows.
    """

    kind = "image"
    columns = None
    model_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)  # what `low` and `high` become

    def __init__(
        self,
        low: float,
        high: float,
        height: int | None = None,
        width: int | None = None,
        channels: int | None = None,
    ):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"low {low} must be below high {high}")
        self.low, self.high = float(low), float(high)
        self._expected = (height, width, channels)
        self._size: tuple[int, int, int] | None = None  # (H, W, C)

    @property
    def shape(self) -> tuple[int, ...]:
        height, width, channels = self._fitted()
        return (channels, height, width)

    @property
    def input_shape(self) -> tuple[int, ...]:
        height, width, channels = self._fitted()
        return (height, width) if channels == 1 else (height, width, channels)

    @property
    def owners(self) -> np.ndarray:
        """(C H W,) int64: the pixel, row by row, of each flat coordinate."""
        height, width, channels = self._fitted()
        return np.tile(np.arange(height * width), channels)

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """Learn the size of an image from (N, H, W), (N, H, W, C) or flat rows.

        Raises:
            BadInput: fewer than two images, all pixels equal, NaN, values outside [low, high], wrong shape.
        """
        array = as_numbers(values)
        size = self._size_from(array.shape)
        self._check(array, size)
        if len(array) < 2:
            raise BadInput(f"training needs at least 2 images, got {len(array)}")
        outside = ((array < self.low) | (array > self.high)).reshape(len(array), -1)
        if outside.any():
            row = int(outside.any(axis=1).argmax())
            column = int(outside[row].argmax())
            value = array.reshape(len(array), -1)[row, column]
            problem = f"is {value:g}, outside [{self.low:g}, {self.high:g}]"
            raise cell_error(row, column, problem, name=lambda index: pixel_at(index, size))
        if (array == array.flat[0]).all():
            raise BadInput(f"every pixel of the {len(array)} training images is equal: nothing to learn")
        self._size = size
        return self

    def rows(self, values: Any, *, allow_missing: bool = False) -> np.ndarray:
        """Images in any form that `transform` takes as float64 (N, *input_shape), NaN where missing.

        Raises:
            BadInput: as `transform`.
        """
        size = self._fitted()
        array = as_numbers(nan_for_null(values) if allow_missing else values)
        self._check(array, size, allow_missing)
        return array.astype(np.float64).reshape(len(array), *self.input_shape)

    def transform(self, values: Any, *, allow_missing: bool = False) -> np.ndarray:
        """Images in user units -> (N, C, H, W) float32, [low, high] to [-1, 1].

        Args:
            allow_missing: take nulls and NaN, which become 0, the middle of the range.

        Raises:
            BadInput: wrong shape, or a pixel that is no finite number; names row and pixel.
        """
        size = self._fitted()
        array = self.rows(values, allow_missing=allow_missing)
        z = self.scaled(array)
        height, width, channels = size
        z = z.reshape(len(z), height, width, channels)
        if allow_missing:
            z = np.where(np.isnan(array.reshape(z.shape)), sum(self.model_range) / 2, z)
        z = to_float32(z, name=lambda column: pixel_at(column, size))
        return np.ascontiguousarray(z.transpose(0, 3, 1, 2))

    def scaled(self, array: np.ndarray) -> np.ndarray:
        """Pixels in user units, float64 of any shape, in model space; NaN stays NaN."""
        with np.errstate(over="ignore"):
            return (array - self.low) * (2.0 / (self.high - self.low)) - 1.0

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """(N, C, H, W) -> (N, H, W), or (N, H, W, C) if C > 1; float32, clipped to [low, high]."""
        z = np.asarray(values, dtype=np.float64)
        if z.ndim != 4 or z.shape[1:] != self.shape:
            raise BadInput(f"shape {z.shape} is not (N, C, H, W) with (C, H, W) = {self.shape}")
        bottom, top = self.model_range
        x = np.clip(self.low + (z - bottom) * ((self.high - self.low) / (top - bottom)), self.low, self.high)
        return np.ascontiguousarray(
            x.transpose(0, 2, 3, 1).reshape(len(x), *self.input_shape), dtype=np.float32
        )

    def arrays(self) -> dict[str, np.ndarray]:
        return {"size": np.array(self._fitted(), dtype=np.int64), "range": np.array([self.low, self.high])}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        size, (low, high) = take(arrays, "size", 3), take(arrays, "range", 2)
        if (size < 1).any() or (size != size.round()).any():
            raise BadArtifact("preprocessing: array 'size' is not (height, width, channels)")
        if not low < high:
            raise BadArtifact("preprocessing: array 'range' is not (low, high)")
        self._size = (int(size[0]), int(size[1]), int(size[2]))
        self.low, self.high = float(low), float(high)
        return self

    def schema(self) -> dict[str, Any]:
        height, width, channels = self._fitted()
        return {
            "kind": self.kind,
            "height": height,
            "width": width,
            "channels": channels,
            "low": self.low,
            "high": self.high,
        }

    def _fitted(self) -> tuple[int, int, int]:
        if self._size is None:
            raise RuntimeError("fit() or load_arrays() comes first")
        return self._size

    def _size_from(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        height, width, channels = self._expected
        if len(shape) == 2:
            if height is None or width is None:
                raise BadInput(f"flat images of shape {shape}: the image height and width are needed to fit")
            size = (height, width, channels or 1)
        elif len(shape) in (3, 4):
            size = (shape[1], shape[2], shape[3] if len(shape) == 4 else 1)
        else:
            raise BadInput(f"images of shape (N, H, W) or (N, H, W, C) are needed, got shape {shape}")
        for name, want, got in zip(("height", "width", "channels"), self._expected, size, strict=True):
            if want is not None and want != got:
                raise BadInput(f"images have {name} {got}, the configuration says {want}")
        if min(size) < 1:
            raise BadInput(f"images without pixels: shape {shape}")
        return size

    def pixel_name(self, column: int) -> str:
        """Of a flat index of a picture (H, W, C)."""
        return pixel_at(column, self._fitted())

    def _check(self, array: np.ndarray, size: tuple[int, int, int], allow_missing: bool = False) -> None:
        height, width, channels = size
        fits = [(height, width, channels), (height * width * channels,)]
        if channels == 1:
            fits.append((height, width))
        if array.shape[1:] not in fits:
            accepted = " or ".join(str(shape) for shape in reversed(fits))
            raise BadInput(f"row 0 has shape {array.shape[1:]}, the model takes {accepted}", row=0)
        require_finite(array, name=lambda column: pixel_at(column, size), allow_missing=allow_missing)


def pixel_at(column: int, size: tuple[int, int, int]) -> str:
    """Name a flat index of an (H, W, C) image by line and column, and by channel where there are several."""
    line, rest = divmod(column, size[1] * size[2])
    across, channel = divmod(rest, size[2])
    return f"pixel ({line}, {across})" if size[2] == 1 else f"pixel ({line}, {across}), channel {channel}"


class ImageConfig(Frozen):
    """`ScaleImage` by its range, and by the image size where the data are flat rows."""

    kind: Literal["image"] = "image"
    low: float = 0.0
    high: float = 255.0
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    channels: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self

    def build(self) -> ScaleImage:
        return ScaleImage(self.low, self.high, self.height, self.width, self.channels)
