"""The same detector in PyOD's terms (Zhao, Nasrullah & Li, 2019), for its ensembles, thresholds and benchmarks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

try:
    from pyod.models.base import BaseDetector
except ImportError as error:
    raise ImportError("ebm.pyod needs PyOD: pip install 'ebm-service[pyod]'") from error

from ebm.estimator import EnergyDetector


class EBM(BaseDetector):
    """`ebm.EnergyDetector` as a PyOD detector: higher = more anomalous, labels 0 and 1.

    Parameters:
        contamination: in (0, 0.5], PyOD's meaning: the share of training rows labelled 1, which sets `threshold_`.
        training_contamination: what the fit knows of anomalies among the training rows: "auto", a share in (0, 0.5],
            or None where they are all normal (`contamination` of `EnergyDetector`).
        network, random_state, device: as of `EnergyDetector`.

    Attributes:
        decision_scores_: (n,) anomaly scores of the training rows, each by the others (leave-one-out).
        threshold_, labels_: PyOD's, from these.
        estimator_: the fitted `EnergyDetector`, for p-values, explanations and saving.
    """

    def __init__(
        self,
        contamination: float = 0.1,
        training_contamination: float | str | None = "auto",
        network: bool | str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        device: str = "cpu",
    ):
        super().__init__(contamination=contamination)
        self.training_contamination = training_contamination
        self.network = network
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows X (n, d): numbers, NaN = missing, or a frame; y is ignored.

        Raises:
            ValueError (BadInput): rows or parameters that cannot be used.
        """
        self._set_n_classes(y)
        self.estimator_ = EnergyDetector(
            fpr=0.5,  # not used: the labels are PyOD's
            contamination=self.training_contamination,
            network=self.network,
            random_state=self.random_state,
            device=self.device,
        ).fit(X)
        self.decision_scores_ = self.estimator_.training_anomaly_scores_
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Anomaly scores of rows (N, d): (N,) float64, higher = more anomalous."""
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        return -self.estimator_.score_samples(X)
