"""GET models, limits, health and metrics."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.routes.models import router
from service.routing import scoped
from service.schemas.models import Limits
from service.settings import Settings


def test_the_list_has_one_line_a_model_and_the_refused_with_reasons(client: Any) -> None:
    document = client.get("/v1/models").json()
    blobs, people = document["models"]
    assert (blobs["name"], blobs["version"], blobs["versions"]) == ("blobs", "2", ["1", "2"])
    assert blobs["input_shape"] == [6, 5] and {"denoise", "generate", "score"} <= set(blobs["can"])
    assert people["columns"] == ["age", "income", "height"]
    assert {"explain", "impute", "score"} <= set(people["can"])
    (refused,) = document["refused"]
    assert refused["name"] == "broken"
    assert refused["reason"].startswith("broken/1/weights.safetensors: altered")


def test_a_model_shows_its_manifest_by_name_and_by_version(client: Any, detectors: Any) -> None:
    by_name = client.get("/v1/models/blobs").json()
    assert by_name == client.get("/v1/models/blobs/versions/2").json()
    assert by_name["is_default"] is True
    assert by_name["manifest"]["calibration"]["n"] == detectors["blobs"].calibration.n
    assert by_name["manifest"]["files"].keys() == {
        "weights.safetensors",
        "calibration.safetensors",
        "card.md",
    }
    old = client.get("/v1/models/blobs/versions/1").json()
    assert old["version"] == "1" and old["is_default"] is False


def test_what_the_manifest_says_of_the_input_is_what_the_model_takes(
    client: Any, detectors: dict[str, Any]
) -> None:
    for name, detector in detectors.items():
        document = client.get(f"/v1/models/{name}").json()
        assert document["input_shape"] == list(detector.input_shape)
        assert document["columns"] == detector.columns and document["state"] == "loaded"
        assert document["denoises_by"] == detector.manifest.denoises_by
        assert document["can"] == sorted(detector.can) and document["n_bytes"] > 100


def test_lazy_models_are_listed_before_they_are_loaded(serve: Callable[..., Any]) -> None:
    client = serve(load="lazy")
    blobs, broken, people = client.get("/v1/models").json()["models"]
    assert {one["state"] for one in (blobs, broken, people)} == {"available"} and blobs["can"] is None
    assert blobs["input_shape"] == [6, 5] and people["columns"] == ["age", "income", "height"]
    assert client.get("/v1/models/blobs/versions/1").json()["manifest"]["name"] == "blobs"
    assert client.get("/readyz").status_code == 200
    body = {"instances": [[41, 3100, 1.75]]}
    assert client.post("/v1/models/people/score", json=body).status_code == 200
    assert client.post("/v1/models/broken/score", json=body).status_code == 503
    document = client.get("/v1/models").json()
    blobs, people = document["models"]
    assert (blobs["state"], people["state"]) == ("available", "loaded") and "score" in people["can"]
    assert [one["name"] for one in document["refused"]] == ["broken"]


def test_reload_tells_what_changed(serve: Callable[..., Any], models_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(models_dir / "blobs" / "1", tmp_path / "blobs" / "1")
    client = serve(models_dir=tmp_path, watch_s=0)
    nothing = {"added": [], "removed": [], "refused": [], "defaults": {}}
    assert client.post("/v1/models/reload").json() == nothing
    shutil.copytree(models_dir / "blobs" / "2", tmp_path / "blobs" / "2")
    shutil.copytree(models_dir / "broken" / "1", tmp_path / "blobs" / "3")
    document = client.post("/v1/models/reload").json()
    assert document["added"] == [{"name": "blobs", "version": "2"}, {"name": "blobs", "version": "3"}]
    assert document["refused"][0]["reason"].startswith("blobs/3/weights.safetensors: altered")
    assert document["defaults"] == {"blobs": {"before": "1", "now": "2"}}
    (listed,) = client.get("/v1/models").json()["models"]
    assert listed["versions"] == ["1", "2"]
    assert listed["note"] == "version 3 is refused; 'blobs' means version 2"
    assert client.get("/v1/models/blobs/versions/3").status_code == 503

    shutil.rmtree(tmp_path / "blobs")
    document = client.post("/v1/models/reload").json()
    assert [one["version"] for one in document["removed"]] == ["1", "2", "3"]
    assert document["defaults"] == {"blobs": {"before": "2", "now": None}}
    assert client.get("/v1/models/blobs").status_code == 404
    assert client.get("/readyz").status_code == 503

    tmp_path.rename(tmp_path.with_name("away"))
    answer = client.post("/v1/models/reload")
    assert answer.status_code == 503 and answer.json()["type"].endswith("models-unreadable")
    assert str(tmp_path) not in answer.text
    assert client.get("/v1/models/reload").status_code == 404  # a name like another


def test_reload_is_for_administrators() -> None:
    (found,) = [route for route in router.routes if getattr(route, "path", "") == "/v1/models/reload"]
    assert isinstance(found, scoped("admin"))
    others = [route for route in router.routes if route is not found]
    assert others and all(isinstance(route, scoped("score")) for route in others)


def test_what_an_administrator_unloaded_is_listed_as_such(serve: Callable[..., Any]) -> None:
    client = serve()
    client.portal.call(client.app.services.registry.unload, "people")
    document = client.get("/v1/models").json()
    assert [one["name"] for one in document["models"]] == ["blobs"]
    assert document["unloaded"] == [{"name": "people", "version": "1"}]
    answer = client.get("/v1/models/people")
    assert answer.status_code == 503 and answer.json()["type"].endswith("model-unloaded")


def test_limits_are_the_settings(client: Any) -> None:
    document = client.get("/v1/limits").json()
    assert document["max_rows"] == 100 and document["max_samples"] == 16
    assert document.keys() == Limits.model_fields.keys() <= Settings.model_fields.keys()


def test_settings_come_from_the_environment(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("EBM_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("EBM_MAX_ROWS", "7")
    settings = Settings()
    assert settings.models_dir == tmp_path and settings.max_rows == 7


def test_health_and_readiness(client: Any) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    ready = client.get("/readyz").json()
    assert ready == {"status": "ready", "models": 3, "refused": 1, "queue": {"score": 0, "task": 0}}


def test_without_models_it_lives_but_is_not_ready(serve: Callable[..., Any], tmp_path: Path) -> None:
    client = serve(models_dir=tmp_path)
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["type"].endswith("no-models")
    assert client.get("/openapi.json").status_code == 200


def test_a_stopped_engine_is_not_ready_and_takes_nothing(serve: Callable[..., Any]) -> None:
    client = serve()
    client.app.services.engine.stop(0)
    assert client.get("/readyz").status_code == 503
    answer = client.post("/v1/models/people/score", json={"instances": [[41, 3100, 1.75]]})
    assert answer.status_code == 503 and answer.json()["type"].endswith("shutting-down")


def test_metrics_count_rows_batches_and_statuses_by_route_template(serve: Callable[..., Any]) -> None:
    client = serve()
    client.post("/v1/models/people/score", json={"instances": [[41, 3100, 1.75]] * 3})
    client.post("/v1/models/people/score", json={"instances": []})
    client.get("/made/up/by/the/client")
    answer = client.get("/metrics")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'ebm_scored_rows_total{model="people"} 3.0',
        'ebm_http_requests_total{method="POST",route="/v1/models/{name}/score",status="200"} 1.0',
        'ebm_http_requests_total{method="POST",route="/v1/models/{name}/score",status="422"} 1.0',
        'ebm_http_requests_total{method="any",route="unmatched",status="404"} 1.0',
        "ebm_batch_rows_sum 3.0",
        'ebm_models{state="refused"} 1.0',
    ):
        assert line in lines, line
    assert "made/up" not in answer.text
