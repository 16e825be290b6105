"""The window of scores, GET drift, and the gauges."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ebm.calibration import Calibration
from ebm.drift import drift_report
from service.drift import MAX_MODELS, Drift, DriftCollector, Window
from service.registry import Loaded

CALIBRATION = Calibration.fit(np.linspace(-2, 2, 200))


def filled(size: int, *batches: list[float]) -> Window:
    window = Window(size, CALIBRATION)
    for i, batch in enumerate(batches):
        window.add(np.array(batch, float), 10.0 + i)
    return window


def test_the_window_holds_the_last_scores() -> None:
    seen, scores, since = filled(4, [1, 2, 3], [4, 5], [6]).latest()
    assert seen == 6 and sorted(scores) == [3, 4, 5, 6] and since == 10.0
    seen, scores, since = filled(4, [1, 2, 3], [4, 5, 6]).latest()
    assert sorted(scores) == [3, 4, 5, 6]
    seen, scores, since = filled(4, [1], list(range(10))).latest()
    assert seen == 11 and sorted(scores) == [6, 7, 8, 9] and since == 11.0
    seen, scores, since = filled(4, [1, 2]).latest()
    assert seen == 2 and sorted(scores) == [1, 2]
    assert filled(4).latest()[2] is None and filled(4, []).latest()[0] == 0


def test_any_batches_leave_the_last_scores() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        window, everything = Window(7, CALIBRATION), np.zeros(0)
        for _ in range(rng.integers(1, 8)):
            batch = rng.normal(size=rng.integers(0, 12))
            window.add(batch, 0.0)
            everything = np.concatenate([everything, batch])
            assert sorted(window.latest()[1]) == sorted(everything[-7:])


def test_threads_do_not_lose_scores() -> None:
    window = Window(100_000, CALIBRATION)
    batches = [np.full(13, float(k)) for k in range(8)]
    threads = [threading.Thread(target=lambda b=b: [window.add(b, 0.0) for _ in range(200)]) for b in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen, scores, _ = window.latest()
    assert seen == 8 * 13 * 200
    assert np.unique(scores, return_counts=True)[1].tolist() == [2600] * 8


def test_the_route_tells_what_was_scored(serve: Any, detectors: Any) -> None:
    client = serve(drift_window=150)
    url = "/v1/models/blobs/drift"
    before = client.get(url).json()
    assert before["seen"] == 0 and before["ks"] is None and before["state"] == "unknown"
    rng = np.random.default_rng(0)
    rows = np.clip(8 + 4 * rng.standard_normal((120, 6, 5)), 0, 16)
    for part in (rows[:50], rows[50:]):
        assert client.post("/v1/models/blobs/score", json={"instances": part.tolist()}).status_code == 200
    got = client.get(url).json()
    detector = detectors["blobs"]
    want = drift_report(detector.calibration, detector.score(rows).anomaly_score)
    assert got["seen"] == got["n"] == 120 and got["window"] == 150 and got["n_calibration"] == 20
    assert got["ks"] == pytest.approx({"distance": want.ks.distance, "p_value": want.ks.p_value})
    assert got["psi"] == pytest.approx(want.psi) and got["mean_p"] == pytest.approx(want.mean_p)
    assert (got["state"], got["verdict"]) == (want.state, want.verdict)
    assert got["below_p01"]["share"] == want.tail.share and got["below_p01"]["expected"] == want.tail_expected
    assert got["since"].endswith("+00:00") and got["note"] is None
    flat = [np.full((6, 5), 15.0).tolist()] * 150
    client.post("/v1/models/blobs/score", json={"instances": flat})
    after = client.get("/v1/models/blobs/versions/2/drift").json()
    assert after["seen"] == 270 and after["n"] == 150 and after["state"] == "drifted"
    other = client.get("/v1/models/blobs/versions/1/drift").json()
    assert other["seen"] == 0, "each version has its own"
    metrics = client.get("/metrics").text
    assert f'ebm_drift_psi{{model="blobs",version="2"}} {after["psi"]}' in metrics
    assert client.get("/v1/models/nobody/drift").status_code == 404


def test_several_workers_are_said(serve: Any) -> None:
    assert "one of 3" in serve(workers=3).get("/v1/models/people/drift").json()["note"]


def test_infinite_and_nan_scores_are_counted(detectors: Any) -> None:
    drift, loaded = Drift(10), Loaded("people", "1", True, detectors["people"])
    drift.record(loaded, np.array([0.1, np.inf, np.nan]), np.array([0.5, 0.1, 0.1]))
    report = drift.report(loaded).report
    assert (report.n, report.n_infinite, report.n_nan) == (2, 1, 1)
    drift.record(loaded, np.full(10, np.nan), np.ones(10))
    assert drift.report(loaded).report.state == "unknown" and drift.figures() == []


def test_gauges_follow_the_scores(detectors: Any) -> None:
    drift, registry = Drift(100), CollectorRegistry()
    registry.register(DriftCollector(drift))
    assert 'model="people"' not in generate_latest(registry).decode()
    loaded = Loaded("people", "1", True, detectors["people"])
    drift.record(loaded, np.full(50, 99.0), np.full(50, 0.025))

    def value(name: str) -> float:
        found = registry.get_sample_value(f"ebm_drift_{name}", {"model": "people", "version": "1"})
        assert found is not None
        return found

    assert value("ks") == 1.0 and value("mean_p") == pytest.approx(1 / 40)
    assert value("share_below_p01") == 0, "39 calibration rows resolve no p so small"
    drift.record(loaded, detectors["people"].calibration.scores, np.ones(39))
    assert value("ks") < 0.6 and value("psi") > 0.25


def test_models_that_come_and_go_are_bounded(detectors: Any) -> None:
    drift = Drift(1)
    for i in range(MAX_MODELS + 5):
        drift.record(Loaded("m", str(i), False, detectors["people"]), np.zeros(1), np.ones(1))
    versions = [version for _, version, _, _ in drift.figures()]
    assert len(versions) == MAX_MODELS and versions[0] == "5"
