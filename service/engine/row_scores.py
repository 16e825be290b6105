"""The scores of single rows as text: a batch is written at once, and each request takes its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import orjson


class RowScore(NamedTuple):
    """Of one row: three numbers as JSON writes them (NaN and infinity are null), and the p-value."""

    energy: bytes
    anomaly_score: bytes
    p_value: bytes
    p: float


def row_scores(energy: np.ndarray, anomaly_score: np.ndarray, p_value: np.ndarray) -> Iterable[RowScore]:
    """One `RowScore` for each row of a batch."""
    texts = [_texts(column) for column in (energy, anomaly_score, p_value)]
    return map(RowScore, *texts, p_value.tolist())


def _texts(column: np.ndarray) -> list[bytes]:
    written = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)
    return written[1:-1].split(b",")
