"""Metrics: counted in plain numbers, shown as Prometheus knows them, of one process or of several."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry import Metrics
from service.telemetry.metrics import SCORES, SHARED_DIR
from service.telemetry.tally import Tally

ROW = {"instances": [[41, 3100, 1.75]]}


def samples(text: str | bytes) -> dict[tuple[str, ...], float]:
    """(name, label values by label name) -> value."""
    text = text.decode() if isinstance(text, bytes) else text
    return {
        (sample.name, *(sample.labels[k] for k in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "values", [[0.0], [-3.0, -3.1, 0.5, 100.0, 100.1, 1e30], list(np.linspace(-5, 120, 999))]
)
def test_a_tally_is_what_observing_each_value_gives(values: list[float]) -> None:
    registry = CollectorRegistry()
    ours = Histogram("a", "a", registry=registry, buckets=SCORES)
    theirs = Histogram("b", "b", registry=registry, buckets=SCORES)
    tally = Tally(SCORES)
    for _ in range(2):  # the second time shows that publishing starts again
        tally.add_all(np.array(values, dtype=np.float64))
        for value in values:
            tally.add(value)
            theirs.observe(value)
            theirs.observe(value)
        tally.publish(ours)
    found = [[(s.name, s.labels, s.value) for s in h._samples()] for h in (ours, theirs)]
    assert len(found[0]) > len(SCORES)
    for (name, labels, value), (other_name, other_labels, other) in zip(*found, strict=True):
        if name != "_created":
            assert (name, labels) == (other_name, other_labels) and value == pytest.approx(other)
    assert ours._sum.get() == pytest.approx(theirs._sum.get())


@pytest.mark.parametrize("together", [True, False])
def test_a_batch_is_counted_row_by_row(together: bool) -> None:
    metrics = Metrics()
    scores = np.array([0.1, np.nan, 30.0, np.inf, -np.inf, 2.0], dtype=np.float32)
    p_values = np.array([0.5, 1.0, 0.01, 0.001, 1.0, 0.02])
    if together:
        metrics.batch("m", 3, scores, p_values)
    else:
        for i in range(6):
            metrics.batch("m", 1, scores[i : i + 1], p_values[i : i + 1])
    found = samples(metrics.render())
    assert found["ebm_scored_rows_total", "m"] == 6
    assert found["ebm_non_finite_rows_total", "m"] == 3
    assert found["ebm_low_p_value_rows_total", "m"] == 2
    assert found["ebm_anomaly_score_count", "m"] == 3
    assert found["ebm_anomaly_score_bucket", "0.0", "m"] == 0
    assert found["ebm_anomaly_score_bucket", "2.0", "m"] == 2
    assert found["ebm_anomaly_score_bucket", "+Inf", "m"] == 3
    assert found[("ebm_batch_requests_sum",)] == (3 if together else 6)
    assert found[("ebm_batch_rows_count",)] == (1 if together else 6)
    assert samples(metrics.render()).items() >= {("ebm_scored_rows_total", "m"): 6.0}.items()


def test_requests_refusals_and_gauges_over_http(serve: Callable[..., Any]) -> None:
    client = serve(max_rows=1)
    assert client.post("/v1/models/people/score", json=ROW).status_code == 200
    client.app.services.engine.queue_size = 0
    assert client.post("/v1/models/people/score", json=ROW).status_code == 429
    client.get("/v1/models/nobody")
    client.get("/nowhere/at/all")
    found = samples(client.get("/metrics").text)
    path = "/v1/models/{name}/score"
    assert found["ebm_http_requests_total", "POST", path, "200"] == 1
    assert found["ebm_http_request_seconds_count", "POST", path] == 2
    assert found["ebm_refusals_total", "queue-full", "429"] == 1
    assert found["ebm_http_requests_total", "any", "unmatched", "404"] == 1
    assert not any("nowhere" in label for key in found for label in key), "a client must not make labels"
    assert found["ebm_models", "loaded"] == 3 and found["ebm_models", "refused"] == 1
    assert found["ebm_queue_depth", "score"] == 0 and found["ebm_model_bytes",] > 0
    assert found["ebm_scored_rows_total", "people"] == 1


def test_a_collector_of_ones_own_is_shown() -> None:
    class Own:
        def collect(self) -> list[Any]:
            return [GaugeMetricFamily("own", "own", value=7)]

    metrics = Metrics()
    metrics.add(Own())
    assert samples(metrics.render())["own",] == 7


WORKER = """
import os, sys
import numpy as np
from service.telemetry import Metrics
class Engine:
    def depth(self): return {"score": 2}
class Registry:
    from types import SimpleNamespace
    numbers = SimpleNamespace(loaded=3, available=0, evicted=0, unloaded=0, refused=1, n_bytes=10)
metrics = Metrics()
metrics.answered("GET", "/x", 200, 0.1, None)
metrics.batch("m", 1, np.array([1.0]), np.array([0.5]))
metrics.refresh(Engine(), Registry())
if "last" in sys.argv:
    sys.stdout.buffer.write(metrics.render())
else:
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_workers_add_up_and_the_dead_leave_their_counts_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARED_DIR, str(tmp_path))
    command = [sys.executable, "-c", WORKER]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as first:
        assert first.stdout is not None and first.stdout.readline() == b"ready\n"
        both = samples(subprocess.run([*command, "last"], cwd=root, capture_output=True, check=True).stdout)
        first.kill()
    for found, living in (
        (both, 2),
        (samples(subprocess.run([*command, "last"], cwd=root, capture_output=True, check=True).stdout), 1),
    ):
        n = 2 if living == 2 else 3
        assert found["ebm_http_requests_total", "GET", "/x", "200"] == n
        assert found["ebm_scored_rows_total", "m"] == n
        assert found["ebm_queue_depth", "score"] == 2 * living
        assert found["ebm_model_bytes",] == 10 * living
        assert found["ebm_models", "loaded"] == 3
