"""How well an anomaly score separates labelled rows. Scores: higher = more anomalous; labels: 1 = anomaly."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ebm.errors import BadInput


def auroc(anomaly_score: ArrayLike, y: ArrayLike) -> float:
    """P(s+ > s-) + P(s+ = s-)/2 over pairs of one anomaly and one normal row.

    Args:
        anomaly_score: (n,), any unit.
        y: (n,), 1 for anomalies, 0 for normal rows.

    Raises:
        BadInput: lengths differ, a score is NaN, or only one class is present.
    """
    s, y = _checked(anomaly_score, y)
    return float(roc_auc_score(y, s))


def auprc(anomaly_score: ArrayLike, y: ArrayLike) -> float:
    """Average precision: sum over thresholds of (R_k - R_{k-1}) P_k, anomalies being the positives.

    Its chance level is the share of anomalies. Arguments and errors as `auroc`.
    """
    s, y = _checked(anomaly_score, y)
    return float(average_precision_score(y, s))


def fpr_at_tpr(anomaly_score: ArrayLike, y: ArrayLike, tpr: float = 0.95) -> float:
    """The smallest share of normal rows flagged by a threshold that catches at least `tpr` of the anomalies.

    Arguments and errors as `auroc`; also BadInput where `tpr` is not in (0, 1].
    """
    s, y = _checked(anomaly_score, y)
    if not 0 < tpr <= 1:
        raise BadInput(f"tpr must lie in (0, 1], got {tpr}")
    false_rate, true_rate, _ = roc_curve(y, s, drop_intermediate=False)
    return float(false_rate[np.argmax(true_rate >= tpr)])


def precision_at_n(anomaly_score: ArrayLike, y: ArrayLike, n: int | None = None) -> float:
    """Share of anomalies among the n highest scores; n = number of anomalies unless given.

    Rows tied at the cut count by their share of the places left, i.e. the expectation over a random order
    of the ties, so that a constant score earns the share of anomalies and not 0 or 1.

    Arguments and errors as `auroc`; also BadInput where n is not in 1..len(y).
    """
    s, y = _checked(anomaly_score, y)
    n = int(y.sum()) if n is None else n
    if not 1 <= n <= len(y):
        raise BadInput(f"n must lie in 1..{len(y)}, got {n}")
    cut = np.sort(s)[-n]
    above, tied = s > cut, s == cut
    places = n - above.sum()
    return float((y[above].sum() + places * y[tied].mean()) / n)


def report(anomaly_score: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """All of the above under the names used in manifests: auroc, auprc, fpr_at_95_tpr, precision_at_n."""
    return {
        "auroc": auroc(anomaly_score, y),
        "auprc": auprc(anomaly_score, y),
        "fpr_at_95_tpr": fpr_at_tpr(anomaly_score, y, 0.95),
        "precision_at_n": precision_at_n(anomaly_score, y),
    }


def _checked(anomaly_score: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    s = np.asarray(anomaly_score, dtype=np.float64)
    labels = np.asarray(y)
    if s.ndim != 1 or labels.shape != s.shape:
        raise BadInput(f"expected scores and labels of one length, got shapes {s.shape} and {labels.shape}")
    if np.isnan(s).any():
        row = int(np.isnan(s).argmax())
        raise BadInput(f"row {row}: the anomaly score is NaN", row=row)
    if not np.isin(labels, (0, 1)).all():
        row = int((~np.isin(labels, (0, 1))).argmax())
        raise BadInput(f"row {row}: label {labels[row]!r} is neither 0 (normal) nor 1 (anomaly)", row=row)
    labels = labels.astype(np.int64)
    if labels.size == 0 or labels.min() == labels.max():
        raise BadInput("labels need at least one normal row and one anomaly")
    # An overflowed energy is +inf and still ranks; scikit-learn refuses it, so hand it ranks instead.
    if not np.isfinite(s).all():
        s = np.unique(s, return_inverse=True)[1].astype(np.float64)
    return s, labels
