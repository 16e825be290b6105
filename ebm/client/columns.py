"""Columns of a JSON answer as numpy: what JSON cannot hold is null there and named in `non_finite`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def numbers_of(document: Mapping[str, Any], name: str) -> np.ndarray:
    """The column `name`, float64; NaN where it is null and `non_finite` says nothing else."""
    found = np.array([math.nan if cell is None else cell for cell in document[name]], dtype=np.float64)
    for one in document.get("non_finite", ()):
        if one["field"] == name:
            found[one["row"]] = float(one["value"])
    return found
