"""What the energies of a whole file say, from counts that fit in memory whatever the size of the file."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np

from ebm.batch.tally import Tally, edges_of
from ebm.calibration import check_rate
from ebm.detector import Detector
from ebm.drift import DriftReport, drift_report_of
from ebm.score_counts import ScoreCounts

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
MOST_BINS = 40


def benjamini_hochberg_threshold(counts: ScoreCounts, fdr: float) -> float | None:
    """The p-value up to which `ebm.calibration.benjamini_hochberg` flags, over all scores counted; None for none.

    Of m p-values, K(v) of them <= v: the largest v with v m / K(v) <= fdr, exactly, as v can take few values only.

    Raises:
        BadInput: fdr is not in (0, 1).
    """
    check_rate("fdr", fdr)
    values, number = counts.p_values[::-1], counts.by_p_value[::-1]  # ascending
    there = number > 0
    values, up_to = values[there], np.cumsum(number[there])
    flagged = values * (counts.n / up_to) <= fdr if counts.n else np.zeros(0, bool)
    return float(values[flagged].max()) if flagged.any() else None


def summary_of(
    tally: Tally, detector: Detector, *, rows: int, fpr: float | None, fdr: float | None
) -> dict[str, Any]:
    """JSON: rates, note, energy, drift, worst. Infinite energies are null, and counted."""
    worst = [
        {"row": -row, "energy": energy if math.isfinite(energy) else None, "p_value": p}
        for energy, row, p in tally.worst
    ]
    return {
        "rows": rows,
        "fpr": fpr,
        "fdr": fdr,
        "higher_is_more_anomalous": True,
        "note": detector.calibration.note(fpr=fpr, fdr=fdr, rows=tally.scored),
        "energy": _energy(tally, detector),
        "drift": drift_json(drift_report_of(tally.counts)),
        "worst": worst,
    }


def drift_json(report: DriftReport) -> dict[str, Any]:
    """A drift report as JSON: its fields, those that have fields of their own as objects."""
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    return {name: v._asdict() if hasattr(v, "_asdict") else v for name, v in values.items()}


def _energy(tally: Tally, detector: Detector) -> dict[str, Any]:
    """Of the finite energies; the quantiles are of all, to within 1.6% of the anomaly score, or .016 of it near 0."""
    m, calibration = tally.moments, detector.manifest.calibration
    out: dict[str, Any] = {"finite": m.n, "infinite": tally.low_infinite + tally.high_infinite}
    if not m.n:
        nothing = dict.fromkeys(("min", "max", "mean", "sd"))
        return out | nothing | {"quantiles": {}, "histogram": {"edges": [], "counts": []}}
    filled = np.flatnonzero(tally.bins)
    first, last = int(filled[0]), int(filled[-1])
    counts, edges = tally.bins[first : last + 1], edges_of(first, last)
    quantiles = {}
    cumulative = tally.low_infinite + np.cumsum(counts)
    for q in QUANTILES:
        at = math.ceil(q * tally.scored)  # the at-th smallest
        if at <= tally.low_infinite or at > cumulative[-1]:
            quantiles[str(q)] = None  # infinite
            continue
        j = int(np.searchsorted(cumulative, at))
        energy = calibration.mean + calibration.sd * (edges[j] + edges[j + 1]) / 2
        quantiles[str(q)] = float(min(max(energy, m.low), m.high))
    step = -(-len(counts) // MOST_BINS)
    starts = np.arange(0, len(counts), step)
    coarse = calibration.mean + calibration.sd * edges[np.append(starts, len(counts))]
    return out | {
        "min": m.low,
        "max": m.high,
        "mean": m.mean,
        "sd": m.sd,
        "quantiles": quantiles,
        "histogram": {"edges": coarse.tolist(), "counts": np.add.reduceat(counts, starts).tolist()},
    }
