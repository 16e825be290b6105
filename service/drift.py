"""Scores seen lately."""

from __future__ import annotations

import numpy as np

from service.registry import Loaded


class Drift:
    def record(self, loaded: Loaded, anomaly_score: np.ndarray, p_value: np.ndarray) -> None:
        return None
