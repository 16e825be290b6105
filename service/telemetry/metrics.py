"""Prometheus metrics: of this process, or of all workers where they share PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.telemetry.tally import ModelTally, RouteTally, Tally

SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"
MODEL_STATES = ("loaded", "available", "evicted", "unloaded", "refused")
LOW_P_VALUE = 0.01
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_ROWS = (1, 4, 16, 64, 256, 1024, 4096, 16384)
# Standardised on held-out normal rows: most lie within three of zero, and anomalies far above.
SCORES = (-3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 50, 100)


class _Queue(Protocol):
    def depth(self) -> dict[str, int]: ...


class _Models(Protocol):
    @property
    def numbers(self) -> Any: ...


class Metrics:
    """The metrics of one app, in a registry of its own, so that two apps in one process do not collide.

    Of several workers each writes to files in one folder, and whichever is asked adds them up.
    """

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.shared_dir = os.environ.get(SHARED_DIR)
        if self.shared_dir is None:  # these tell of one process only
            ProcessCollector(registry=r)
            PlatformCollector(registry=r)
        self.requests = Counter(
            "ebm_http_requests", "Answers by route and status", ["method", "route", "status"], registry=r
        )
        self.seconds = Histogram(
            "ebm_http_request_seconds", "Time to answer", ["method", "route"], registry=r, buckets=SECONDS
        )
        self.refusals = Counter(
            "ebm_refusals", "Requests refused, by the problem's slug", ["status", "reason"], registry=r
        )
        self.rows = Counter("ebm_scored_rows", "Rows scored", ["model"], registry=r)
        self.anomalies = Counter("ebm_anomalous_rows", "Rows labelled anomalous", ["model"], registry=r)
        self.low_p_values = Counter(
            "ebm_low_p_value_rows", f"Rows with a p-value of at most {LOW_P_VALUE}", ["model"], registry=r
        )
        self.non_finite = Counter(
            "ebm_non_finite_rows", "Rows whose anomaly score was NaN or infinite", ["model"], registry=r
        )
        self.scores = Histogram(
            "ebm_anomaly_score", "Anomaly scores of finite rows", ["model"], registry=r, buckets=SCORES
        )
        self.samples = Counter("ebm_samples", "Rows denoised or generated", ["model", "task"], registry=r)
        self.batch_requests = Histogram(
            "ebm_batch_requests",
            "Requests joined into one batch",
            registry=r,
            buckets=BATCH_REQUESTS,
        )
        self.batch_rows = Histogram("ebm_batch_rows", "Rows of one batch", registry=r, buckets=BATCH_ROWS)
        self.steps = Counter("ebm_task_steps", "Sampler steps of long tasks", registry=r)
        self.long_calls = Histogram(
            "ebm_long_call_seconds",
            "Time from asking to answer",
            ["model", "operation"],
            registry=r,
            buckets=SECONDS,
        )
        self.queue = Gauge(
            "ebm_queue_depth",
            "Requests waiting or under way",
            ["sort"],
            registry=r,
            multiprocess_mode="livesum",
        )
        self.models = Gauge(
            "ebm_models", "Model versions by state", ["state"], registry=r, multiprocess_mode="livemax"
        )
        self.model_bytes = Gauge(
            "ebm_model_bytes", "Memory of the loaded models", registry=r, multiprocess_mode="livesum"
        )
        self._of_request: dict[tuple[str, str, int], RouteTally] = {}
        self._seconds: dict[tuple[str, str], Tally] = {}
        self._flagged: dict[str, int] = {}
        self._of_model: dict[str, ModelTally] = {}
        self._requests, self._rows = Tally(BATCH_REQUESTS), Tally(BATCH_ROWS)
        self._batches = threading.Lock()
        self._own: list[Any] = []

    def answered(self, method: str, route: str, status: int, seconds: float, problem: str | None) -> None:
        """One request; `problem` is the slug of its problem document. Shown from the next `publish` on."""
        counts = self._of_request.get((method, route, status))
        if counts is None:
            # The labels are routes of ours, never what a client sent, so that the tables stay small.
            seconds_tally = self._seconds.setdefault((method, route), Tally(SECONDS))
            counts = self._of_request[method, route, status] = RouteTally(seconds_tally)
        counts.answers += 1
        counts.seconds.add(seconds)
        if status in (401, 403, 408, 413, 429, 503):
            self.refusals.labels(str(status), problem or "other").inc()

    def flagged(self, model: str, rows: int) -> None:
        """Rows that were labelled anomalous."""
        self._flagged[model] = self._flagged.get(model, 0) + rows

    def batch(self, model: str, requests: int, anomaly_score: np.ndarray, p_value: np.ndarray) -> None:
        """One inference batch: scores (n,) and p-values (n,) of the rows of `requests` requests. In one thread; shown
        from the next `publish` on."""
        with self._batches:
            self._requests.add(requests)
            self._rows.add(len(anomaly_score))
        tally = self._of_model.get(model)
        if tally is None:
            tally = self._of_model[model] = ModelTally(SCORES)
        tally.add(anomaly_score, p_value, LOW_P_VALUE)

    def publish(self) -> None:
        """Add what requests and batches counted to the metrics. In the event loop."""
        for (method, route, status), counts in self._of_request.items():
            self.requests.labels(method, route, str(status)).inc(counts.answers)
            counts.answers = 0
        for (method, route), seconds in self._seconds.items():
            seconds.publish(self.seconds.labels(method, route))
        for model, rows in self._flagged.items():
            self.anomalies.labels(model).inc(rows)
        self._flagged.clear()
        with self._batches:
            self._requests.publish(self.batch_requests)
            self._rows.publish(self.batch_rows)
        of = (self.rows, self.non_finite, self.low_p_values, self.scores)
        for model, tally in list(self._of_model.items()):
            tally.publish(*(metric.labels(model) for metric in of))

    def add(self, collector: Any) -> None:
        """Show the metrics of a collector of one's own: of several workers, those of the one that is asked."""
        self._own.append(collector)
        if self.shared_dir is None:
            self.registry.register(collector)

    def refresh(self, engine: _Queue, registry: _Models) -> None:
        """Bring all metrics up to date; several workers do so every second, since only one of them is asked."""
        self.publish()
        for sort, depth in engine.depth().items():
            self.queue.labels(sort).set(depth)
        numbers = registry.numbers
        for state in MODEL_STATES:
            self.models.labels(state).set(getattr(numbers, state))
        self.model_bytes.set(numbers.n_bytes)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self.publish()
        if self.shared_dir is None:
            return generate_latest(self.registry)
        _forget_the_dead(Path(self.shared_dir))
        together = CollectorRegistry()
        MultiProcessCollector(together, path=self.shared_dir)
        for collector in self._own:
            together.register(collector)
        return generate_latest(together)


def _forget_the_dead(folder: Path) -> None:
    """Gauges of workers that are gone count no more; their counters do."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rsplit("_", 1)[1])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, path=str(folder))
        except PermissionError:
            pass
