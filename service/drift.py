"""The scores that each model gave lately, against its calibration; of this worker process alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ebm.calibration import Calibration
from ebm.drift import DriftReport, Figures, drift_report, figures
from service.registry import Loaded

MAX_MODELS = 256  # versions to remember; beyond, the one that came first is forgotten


@dataclass(frozen=True)
class Lately:
    """What the last scores of a model say; `since` (seconds since 1970) is when the oldest of them was given."""

    report: DriftReport
    seen: int
    since: float | None


class Window:
    """The last `size` anomaly scores, and when each was given. One thread may write while others read."""

    def __init__(self, size: int, calibration: Calibration):
        self.calibration = calibration
        self.seen = 0
        self._scores, self._times = np.empty(size), np.empty(size)
        self._lock = threading.Lock()
        self._figures: tuple[int, Figures | None] = (0, None)

    def add(self, scores: np.ndarray, now: float) -> None:
        size = len(self._scores)
        with self._lock:
            self.seen += len(scores)
            scores = scores[-size:]
            first = (self.seen - len(scores)) % size
            till_end = min(len(scores), size - first)
            for ring, values in ((self._scores, scores), (self._times, np.broadcast_to(now, len(scores)))):
                ring[first : first + till_end] = values[:till_end]
                ring[: len(scores) - till_end] = values[till_end:]

    def latest(self) -> tuple[int, np.ndarray, float | None]:
        """How many scores there ever were, the last of them in no order, and the time of the oldest of these."""
        with self._lock:
            held = min(self.seen, len(self._scores))
            since = float(self._times[:held].min()) if held else None
            return self.seen, self._scores[:held].copy(), since

    def figures(self) -> Figures | None:
        """As of now; worked out anew only where scores have come since."""
        seen, scores, _ = self.latest()
        if self._figures[0] != seen:
            self._figures = seen, figures(self.calibration, scores)
        return self._figures[1]


class Drift:
    """Windows of the last `window` scores by model and version."""

    def __init__(self, window: int = 10_000):
        self.window = window
        self._windows: dict[tuple[str, str], Window] = {}
        self._lock = threading.Lock()

    def record(self, loaded: Loaded, anomaly_score: np.ndarray, p_value: np.ndarray) -> None:
        """Remember a batch's scores. Cheap, from any thread; p-values follow from the scores."""
        key = loaded.name, loaded.version
        window = self._windows.get(key)
        if window is None:
            with self._lock:
                window = self._windows.setdefault(key, Window(self.window, loaded.detector.calibration))
                if len(self._windows) > MAX_MODELS:
                    del self._windows[next(iter(self._windows))]
        window.add(anomaly_score, time.time())

    def report(self, loaded: Loaded) -> Lately:
        """Takes some 20 ms for 10,000 scores: not for the event loop."""
        window = self._windows.get((loaded.name, loaded.version))
        if window is None:
            return Lately(drift_report(loaded.detector.calibration, []), 0, None)
        seen, scores, since = window.latest()
        return Lately(drift_report(window.calibration, scores), seen, since)

    def figures(self) -> list[tuple[str, str, int, Figures]]:
        """Model, version, scores ever seen, and figures, of each that has any."""
        found = []
        for (name, version), window in list(self._windows.items()):
            now = window.figures()
            if now is not None:
                found.append((name, version, window.seen, now))
        return found


class DriftCollector(Collector):
    """Drift as Prometheus gauges, worked out when they are asked for."""

    def __init__(self, drift: Drift):
        self.drift = drift

    def collect(self) -> Iterator[Metric]:
        gauges = {
            "ks": "Kolmogorov-Smirnov distance of the last scores from the calibration scores",
            "psi": "Population stability index of the last scores; .1 some drift, .25 much",
            "tail": "Share of the last scores with p <= .01",
            "mean_p": "Mean p-value of the last scores; .5 without drift",
        }
        names = {"tail": "share_below_p01"}
        figures = self.drift.figures()
        for field, text in gauges.items():
            family = GaugeMetricFamily(
                f"ebm_drift_{names.get(field, field)}", text, labels=["model", "version"]
            )
            for name, version, _, now in figures:
                family.add_metric([name, version], getattr(now, field))
            yield family
