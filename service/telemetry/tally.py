"""Counts of requests and batches, kept in plain numbers until somebody asks.

prometheus-client takes about a microsecond for each increment, several where workers share files; a batch has twenty.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import Any

import numpy as np


class Tally:
    """Counts of values by the upper bounds of a histogram's buckets, and their sum."""

    def __init__(self, bounds: tuple[float, ...]):
        self.bounds = bounds
        self._bounds = np.array(bounds, dtype=np.float64)
        self.counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: np.ndarray) -> None:
        """`values` (n,), all finite."""
        where = self._bounds.searchsorted(values, side="left")
        self.counts += np.bincount(where, minlength=len(self.counts))
        self.total += float(values.sum(dtype=np.float64))

    def publish(self, histogram: Any) -> None:
        """Add what was counted to a prometheus histogram of the same bounds, and start again.

        prometheus-client can only observe one value at a time, hence its inner values; a test compares with `observe`.
        """
        for i in np.flatnonzero(self.counts):
            histogram._buckets[i].inc(int(self.counts[i]))
        if self.total:
            histogram._sum.inc(self.total)
        self.counts[:], self.total = 0, 0.0


class RouteTally:
    """Answers of one route with one status; their times go to the tally of the route."""

    def __init__(self, seconds: Tally):
        self.answers, self.seconds = 0, seconds


class ModelTally:
    """What the batches of one model held."""

    def __init__(self, bounds: tuple[float, ...]):
        self.rows = self.non_finite = self.low_p_values = 0
        self.scores = Tally(bounds)
        self.lock = threading.Lock()  # the inference thread counts, the event loop publishes

    def add(self, anomaly_score: np.ndarray, p_value: np.ndarray, low: float) -> None:
        n = len(anomaly_score)
        if n == 1:  # the usual request under little load, for which numpy is slow
            score = float(anomaly_score[0])
            finite = score - score == 0.0
            with self.lock:
                self.rows += 1
                self.non_finite += not finite
                self.low_p_values += bool(p_value[0] <= low)
                if finite:
                    self.scores.add(score)
            return
        finite = np.isfinite(anomaly_score)
        n_finite = int(np.count_nonzero(finite))
        with self.lock:
            self.rows += n
            self.non_finite += n - n_finite
            self.low_p_values += int(np.count_nonzero(p_value <= low))
            if n_finite:
                self.scores.add_all(anomaly_score if n_finite == n else anomaly_score[finite])

    def publish(self, rows: Any, non_finite: Any, low_p_values: Any, scores: Any) -> None:
        with self.lock:
            rows.inc(self.rows)
            non_finite.inc(self.non_finite)
            low_p_values.inc(self.low_p_values)
            self.scores.publish(scores)
            self.rows = self.non_finite = self.low_p_values = 0
