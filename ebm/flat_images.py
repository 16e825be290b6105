"""Images seen as flat rows, so that what is written for rows serves them too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from ebm.preprocessing.image import ScaleImage
from ebm.samplers.posterior import Denoiser
from ebm.types import Energy


class FlatImages:
    """The preprocessor of a table whose row is an image: user rows (N, H*W*C) in the order of the picture, encoded rows
    (N, C*H*W)."""

    kind = "image"
    columns = None

    def __init__(self, images: ScaleImage):
        self.images = images

    @property
    def shape(self) -> tuple[int, ...]:
        return (math.prod(self.images.shape),)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (math.prod(self.images.input_shape),)

    @property
    def owners(self) -> np.ndarray:
        """(C H W,) int64: where the value of each encoded coordinate stands in the picture."""
        channels, height, width = self.images.shape
        places = np.arange(height * width * channels).reshape(height, width, channels)
        return places.transpose(2, 0, 1).ravel()

    @property
    def discrete(self) -> np.ndarray:
        """(C H W,) bool: all or none, as the images' own."""
        return np.full(self.shape, bool(getattr(self.images, "binary", False)))

    def rows(self, values: Any, *, allow_missing: bool = False) -> np.ndarray:
        """Images in any form that the model takes as float64 (N, H*W*C), NaN where missing.

        Raises:
            BadInput: wrong shape, infinite or, unless allowed, missing; names row and pixel.
        """
        return self.images.rows(values, allow_missing=allow_missing).reshape(-1, *self.input_shape)

    def missing(self, rows: np.ndarray) -> np.ndarray:
        return np.isnan(rows)

    def transform(self, values: Any, *, allow_missing: bool = False) -> np.ndarray:
        encoded = self.images.transform(values, allow_missing=allow_missing)
        return encoded.reshape(len(encoded), -1)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        return self.images.inverse(values.reshape(-1, *self.images.shape)).reshape(len(values), -1)

    def unflat(self, rows: np.ndarray) -> np.ndarray:
        """(N, H*W*C) -> (N, H, W) or (N, H, W, C)."""
        return rows.reshape(len(rows), *self.images.input_shape)

    def energy(self, energy: Energy) -> Energy:
        """E over flat encoded rows (N, C*H*W); with `restore` where `energy` has it."""
        kind = FlatDenoiser if isinstance(energy, Denoiser) else FlatEnergy
        return kind(energy, self.images.shape)


class FlatEnergy:
    """An energy of images (B, C, H, W), of flat rows."""

    def __init__(self, energy: Any, shape: tuple[int, ...]):
        self.inner, self.shape = energy, shape

    def __call__(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        return self.inner(x.reshape(len(x), *self.shape), sigma=sigma)


class FlatDenoiser(FlatEnergy):
    """The same with a denoiser, see `ebm.samplers.posterior.Denoiser`."""

    def restore(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.inner.restore(x.reshape(len(x), *self.shape), sigma).reshape(x.shape)
