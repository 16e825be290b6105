"""What every preprocessor can do."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np


class Coding(Protocol):
    """Maps rows in user units to what an energy takes, and back.

    `transform` and `inverse` never look at other rows, so that a row's answer does not depend on its batch.
    """

    @property
    def kind(self) -> str:
        """'tabular' or 'image'."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one transformed row: (d,) or (C, H, W)."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one row in user units, as `inverse` returns it: (d,), (H, W) or (H, W, C)."""
        ...

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns, where the training data had names."""
        ...

    @property
    def owners(self) -> np.ndarray:
        """(D,) int64, D the number of coordinates of a transformed row: which of the user's columns, or of an image's
        pixels, each coordinate encodes, so that what is said of coordinates can be summed over columns."""
        ...

    def transform(self, values: Any) -> np.ndarray:
        """(N, ...) in user units -> (N, *shape) float32, finite.

        Raises:
            BadInput: wrong width or shape, a cell that is no finite number; names row and column.
        """
        ...

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """(N, *shape) -> (N, *input_shape) float32 in user units."""
        ...


@runtime_checkable
class Preprocessor(Coding, Protocol):
    """A `Coding` that is learned from rows and stored."""

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """Learn what `transform` needs from rows (N, ...) in user units; returns self.

        Raises:
            BadInput: fewer than two rows, nothing varies, NaN or infinity, or a shape that does not fit.
        """
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was fitted, as plain numeric arrays, names of columns included."""
        ...

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        """Undo `arrays`: afterwards `transform` gives bit-identical results; returns self.

        Raises:
            BadArtifact: an array is missing or has an impossible shape or value.
        """
        ...

    def schema(self) -> dict[str, Any]:
        """The input described for people and clients; JSON-able."""
        ...
