"""Tables as they are: for energies whose rows mean something in their own units, such as counts or positive numbers."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from ebm.config import Frozen
from ebm.preprocessing.stored import take
from ebm.preprocessing.tabular import Standardize


class Unchanged(Standardize):
    """z = x, as float32. Rows are checked as by `Standardize`; the training rows' means and spreads are kept as
    `centre` and `spread`, for who needs to know where the data lie."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = self.spread = np.empty(0)

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """Learn the width and the names from rows (N, d). Raises as `Standardize.fit`."""
        super().fit(values, columns)
        self.centre, self.spread = self._mean, self._sd
        self._mean, self._sd = np.zeros_like(self.centre), np.ones_like(self.spread)
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"centre": self.centre.copy(), "spread": self.spread.copy()}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        super().load_arrays(arrays)
        width = len(self._mean)
        self.centre, self.spread = (take(arrays, key, width) for key in ("centre", "spread"))
        return self

    def schema(self) -> dict[str, Any]:
        about = super().schema()
        for column, mean in zip(about["columns"], self.centre, strict=True):
            column["mean"] = float(mean)
        return about


class UnchangedConfig(Frozen):
    """`Unchanged`, which has nothing to set."""

    kind: Literal["none"] = "none"

    def build(self) -> Unchanged:
        return Unchanged()
