"""The files in deploy/ speak of metrics that the service exports, and of labels that these have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.drift import Drift, DriftCollector
from service.telemetry import Metrics

DEPLOY = Path(__file__).parents[1] / "deploy"
METRIC = re.compile(r"\b((?:ebm|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")
PROMETHEUS_OWN = {"job", "instance"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Sample name -> its labels, of a service that has seen a little of everything."""
    metrics = Metrics()
    metrics.add(DriftCollector(Drift()))
    metrics.answered("POST", "/v1/models/{name}/score", 429, 0.1, "queue-full")
    metrics.batch("m", 1, np.array([1.0, np.nan]), np.array([0.001, 1.0]))
    metrics.anomalies.labels("m").inc()
    metrics.samples.labels("m", "generate").inc()
    metrics.long_calls.labels("m", "generate").observe(1.0)
    metrics.queue.labels("score").set(1)
    metrics.models.labels("loaded").set(1)
    metrics.publish()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        found[family.name] = {"model", "version"}  # of families without samples yet, which are drift's
        for sample in family.samples:
            found[sample.name] = set(sample.labels)
    return found


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana-dashboard.json").read_text())


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return group["rules"]


def expressions() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(
    ("where", "expression"), [pytest.param(*one, id=f"{i} {one[0]}") for i, one in enumerate(expressions())]
)
def test_every_metric_and_label_is_exported(
    exported: dict[str, set[str]], where: str, expression: str
) -> None:
    metrics = METRIC.findall(expression)
    assert metrics or expression.startswith("up{"), where
    labels: set[str] = set()
    for name, selector in metrics:
        assert name in exported, f"{where}: no metric {name}"
        wanted = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert wanted <= exported[name] | PROMETHEUS_OWN, f"{where}: {name} has no {wanted - exported[name]}"
        labels |= exported[name]
    for group in BY.findall(expression):
        assert {part.strip() for part in group.split(",")} <= labels | PROMETHEUS_OWN, where
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_the_dashboard_shows_what_matters() -> None:
    found = dashboard()
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids)) and found["uid"] and found["schemaVersion"] >= 36
    text = " ".join(expression for _, expression in expressions())
    for metric in (
        "ebm_http_requests",
        "ebm_queue_depth",
        "ebm_batch_rows",
        "ebm_anomaly_score_bucket",
        "ebm_drift_ks",
    ):
        assert metric in text
    assert {panel["type"] for panel in found["panels"]} == {"timeseries", "heatmap"}
    for panel in found["panels"]:  # no two on one place, none over the edge
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
    cells = [
        (x, y)
        for panel in found["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))


def test_alerts_say_what_is_wrong_and_prometheus_reads_them() -> None:
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules())
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    (job,) = config["scrape_configs"]
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
    (target,) = job["static_configs"][0]["targets"]
    assert target.split(":")[0] in compose["services"]


def test_the_containers_settings_are_settings() -> None:
    from service.settings import Settings

    known = {f"EBM_{name.upper()}" for name in Settings.model_fields}
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]["ebm"]
    image = (DEPLOY.parent / "Dockerfile").read_text()
    named = {
        name
        for name in [*compose.get("environment", {}), *re.findall(r"EBM_[A-Z_]+", image)]
        if name.startswith("EBM_")
    }
    assert named and named <= known
    drain = Settings.model_fields["drain_s"].default
    assert int(str(compose["stop_grace_period"]).removesuffix("s")) > drain + 1
