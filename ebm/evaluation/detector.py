"""A detector measured beside the baselines it must beat, on rows that none of them has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebm.data import concat_rows
from ebm.evaluation.baselines import baselines
from ebm.evaluation.corruptions import corrupt_all
from ebm.evaluation.metrics import report

if TYPE_CHECKING:
    from ebm.detector import Detector

Measured = dict[str, dict[str, float]]


def evaluate(detector: Detector, normal_test: Any, anomalies: Any, train: Any, seed: int) -> Measured:
    """Ranking metrics of the model and of the baselines on normal test rows against anomalies.

    Args:
        normal_test, anomalies, train: rows (N, ...) in user units; `train` are the rows the energies were fitted on,
            which the baselines get too.
        seed: of the isolation forest.

    Returns:
        {"model": {auroc, auprc, ...}, "knn1": {...}, "knn5": {...}, "isolation_forest": {...}}; "model" also holds
        `actual_fpr`, the share of normal test rows labelled anomalous at the model's default rate.
    """
    return _against(detector, normal_test, {"": anomalies}, train, seed)[""]


def _against(
    detector: Detector, normal_test: Any, kinds: dict[str, Any], train: Any, seed: int
) -> dict[str, Measured]:
    """`evaluate` for each kind of anomaly; all rows are scored once, and the baselines fitted once."""
    transform = detector.preprocessor.transform
    parts = [normal_test, *kinds.values()]
    scores = detector.score(concat_rows(parts))
    rows = np.concatenate([transform(part) for part in parts])
    beside = baselines(transform(train), rows, seed)
    n, first, found = len(normal_test), len(normal_test), {}
    for kind, anomalies in kinds.items():
        index = np.r_[np.arange(n), np.arange(first, first + len(anomalies))]
        first += len(anomalies)
        y = np.r_[np.zeros(n, dtype=int), np.ones(len(anomalies), dtype=int)]
        own = report(scores.anomaly_score[index], y)
        own["actual_fpr"] = float(scores.is_anomaly[index][y == 0].mean())
        own["detected_at_default_fpr"] = float(scores.is_anomaly[index][y == 1].mean())
        found[kind] = {"model": own} | {name: report(s[index], y) for name, s in beside.items()}
    return found


def evaluate_corruptions(detector: Detector, normal_test: Any, train: Any, seed: int) -> Measured:
    """As `evaluate`, for image models without anomalies of their own: the mean over nine kinds of damage to the test
    images; `auroc_<kind>` beside it for each."""
    preprocessor = detector.preprocessor
    # Through `inverse`, because callers and the model speak user units.
    damaged = {
        kind: preprocessor.inverse(x)
        for kind, x in corrupt_all(preprocessor.transform(normal_test), seed).items()
    }
    each = _against(detector, normal_test, damaged, train, seed)
    first = next(iter(each.values()))
    out: Measured = {}
    for who, figures in first.items():
        out[who] = {name: float(np.mean([m[who][name] for m in each.values()])) for name in figures}
        out[who] |= {f"auroc_{kind}": m[who]["auroc"] for kind, m in each.items()}
    return out
