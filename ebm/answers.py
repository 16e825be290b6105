"""What a detector answers, and what it holds to sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """What a detector says of N rows; every field but `fpr`, `fdr` and `note` is (N,).

    energy: E(x), unnormalised, lower = more normal.
    anomaly_score: (E - mean) / sd over the calibration rows; higher = more anomalous.
    p_value: conformal, uniform on normal rows.
    is_anomaly: p_value <= fpr, or Benjamini-Hochberg at fdr over these rows.
    rank: 1 = the most anomalous of these rows; ties share the smaller rank.
    note: a line where the request can flag nothing (a rate finer than the calibration set resolves).
    """

    energy: np.ndarray
    anomaly_score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    rank: np.ndarray
    fpr: float | None
    fdr: float | None
    note: str | None


@dataclass(frozen=True)
class Generated:
    """`samples` (n, ...) and, with keep_every, `snapshots` (k, n, ...), both in user units; of a model of mixed columns
    a table, and a list of k tables. `diagnostics`, where asked for: whether the chains have mixed, the figures of
    `ebm.evaluation.chains_report.ChainsReport` on the energy, each a number or None."""

    samples: Any
    snapshots: Any
    diagnostics: dict[str, Any] | None = None

    @classmethod
    def of(cls, samples: Any, kept: list[Any] | None) -> Generated:
        if kept is None or not isinstance(samples, np.ndarray):
            return cls(samples, kept)
        return cls(samples, np.stack(kept) if kept else np.zeros((0, *samples.shape), samples.dtype))


@dataclass(frozen=True)
class SamplingState:
    """Per-coordinate mean and sd of the training rows, where chains start, and the log Z of each noise level
    (None where the energy is not noise-conditional)."""

    mean: Tensor
    sd: Tensor
    level_offsets: Tensor | None
