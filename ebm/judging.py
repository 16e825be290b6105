"""From energies to anomaly scores, p-values, labels and ranks."""

from __future__ import annotations

import numpy as np

from ebm.answers import Scores
from ebm.calibration import Calibration, benjamini_hochberg, check_rate
from ebm.errors import BadInput
from ebm.manifest import CalibrationSummary


def measure(
    energy: np.ndarray, summary: CalibrationSummary, calibration: Calibration
) -> tuple[np.ndarray, np.ndarray]:
    """Energies (N,) as anomaly scores (E - mean) / sd and p-values, both (N,) float64.

    Raises:
        BadInput: an energy is NaN.
    """
    anomaly_score = (energy.astype(np.float64) - summary.mean) / summary.sd
    # A float32 overflow far from the data is infinitely anomalous, not an error.
    return anomaly_score, calibration.p_values(anomaly_score)


def judge(
    energy: np.ndarray,
    summary: CalibrationSummary,
    calibration: Calibration,
    *,
    fpr: float | None = None,
    fdr: float | None = None,
    measured: tuple[np.ndarray, np.ndarray] | None = None,
) -> Scores:
    """Labels and ranks of energies (N,), and what `measure` says of them, where that is not known already.

    Raises:
        BadInput: both rates, a rate not in (0, 1), or an energy that is NaN.
    """
    if fpr is not None and fdr is not None:
        raise BadInput("give fpr or fdr, not both")
    if fpr is None and fdr is None:
        fpr = summary.default_fpr
    anomaly_score, p_value = measure(energy, summary, calibration) if measured is None else measured
    if fdr is not None:
        is_anomaly = benjamini_hochberg(p_value, fdr)
    else:
        is_anomaly = p_value <= check_rate("fpr", fpr or 0.0)
    rank = np.ones(1, np.int64) if len(energy) == 1 else _ranks(anomaly_score)
    note = calibration.note(fpr=fpr, fdr=fdr, rows=len(energy))
    return Scores(energy, anomaly_score, p_value, is_anomaly, rank, fpr, fdr, note)


def _ranks(anomaly_score: np.ndarray) -> np.ndarray:
    """1 = the largest; ties share the smaller rank."""
    return 1 + np.searchsorted(np.sort(-anomaly_score), -anomaly_score, side="left")
