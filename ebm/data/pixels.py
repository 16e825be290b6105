"""Images kept as they are stored, a byte a pixel where that is enough, and made a model's numbers batch by batch.

A set of 100,000 colour images of 64 x 64 is 1.2 GB of bytes, and 4.9 GB as float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ebm.errors import BadInput
from ebm.preprocessing.image import ScaleImage

CHUNK = 4096  # images looked at together


class Rows(Protocol):
    """Rows that are read when they are wanted."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Tensor:
        """The rows `index` (B,) int64 as they are stored, (B, ...), on the CPU or where they lie."""
        ...

    def to_model(self, stored: Tensor) -> Tensor:
        """What `take` gave, in model space, on the device where it has come to be."""
        ...


class Pixels:
    """Images (N, H, W[, C]) in user units, as rows (B, C, H, W) float32 in [-1, 1], to the bit as `preprocessor` gives.

    Args:
        values: uint8 or any other numbers; an array, or a memory-mapped one, of which only the rows asked for are read.
        preprocessor: fitted.

    Raises:
        BadInput: images that the preprocessor does not take.
    """

    def __init__(self, values: np.ndarray, preprocessor: ScaleImage):
        if len(values) == 0:
            raise BadInput("no rows")
        preprocessor.transform(values[:1])
        self.values, self.preprocessor = values, preprocessor
        self.shape = preprocessor.shape
        codes = np.arange(256, dtype=np.float64)
        self._table = torch.from_numpy(preprocessor.scaled(codes).astype(np.float32))
        self._tables = {torch.device("cpu"): self._table}

    @classmethod
    def of(cls, values: np.ndarray, preprocessor: ScaleImage) -> Pixels:
        """As `Pixels`, with a byte a pixel where every value is a whole number from 0 to 255."""
        return cls(_as_bytes(values), preprocessor)

    @classmethod
    def open(cls, path: Path | str, preprocessor: ScaleImage) -> Pixels:
        """The images of an npy file, left on disk.

        Raises:
            BadInput: no npy file of numbers, or as `Pixels`.
        """
        path = Path(path)
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy lets SyntaxError, TypeError and others through
            raise BadInput(
                f"{path.name}: not a readable npy file: {' '.join(str(error).split())[:200]}"
            ) from None
        if not isinstance(values, np.ndarray):
            raise BadInput(f"{path.name}: not an npy file")
        return cls(values, preprocessor)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: Tensor) -> Tensor:
        """(B, C, H, W): bytes where the images are bytes, else float32 in model space already."""
        rows = self.values[index.cpu().numpy()]
        if rows.dtype != np.uint8:
            return torch.from_numpy(self.preprocessor.transform(rows))
        channels, height, width = self.shape
        rows = rows.reshape(len(rows), height, width, channels).transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(rows))

    def to_model(self, stored: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [-1, 1]."""
        if stored.dtype != torch.uint8:
            return stored
        if stored.device not in self._tables:
            self._tables[stored.device] = self._table.to(stored.device)
        return self._tables[stored.device][stored.int()]

    def batch(self, index: Tensor) -> Tensor:
        """The images `index` (B,) int64 in model space, (B, C, H, W) float32 in [-1, 1]."""
        return self.to_model(self.take(index))


class InMemory:
    """Rows that are in model space already, as a tensor (N, ...) on whatever device."""

    def __init__(self, x: Tensor):
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        return self.x[index.to(self.x.device)]

    def to_model(self, stored: Tensor) -> Tensor:
        return stored


def _as_bytes(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    out = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), CHUNK):
        part = np.asarray(values[first : first + CHUNK])
        if not ((part >= 0) & (part <= 255)).all():  # NaN is neither
            return values
        whole = part.astype(np.uint8)
        if (whole != part).any():
            return values
        out[first : first + CHUNK] = whole
    return out
