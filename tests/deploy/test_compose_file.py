"""docker-compose.yml: its processes are ones that exist, with settings that exist, and share what they must."""

from __future__ import annotations

import re
from typing import Any

import pytest
from deployed import DEPLOY, ROOT, SETTINGS, compose
from typer.main import get_command

from ebm.cli.app import app
from service.settings import Settings

REPLICAS = ("api-1", "api-2", "worker", "postgres", "proxy")
OURS = ("ebm", "api-1", "api-2", "worker")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return compose()["services"]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_without_a_profile_there_is_one_server(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if not service.get("profiles")] == ["ebm"]
    assert {name for name, service in services.items() if service.get("profiles") == ["replicas"]} == set(
        REPLICAS
    )


@pytest.mark.parametrize("name", OURS)
def test_settings_are_settings(services: dict[str, Any], name: str) -> None:
    named = {key for key in services[name]["environment"] if key.startswith("EBM_")}
    assert named and named <= SETTINGS, named - SETTINGS


@pytest.mark.parametrize("name", OURS)
def test_processes_are_hardened_and_can_write_their_data(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert [volume.split(":")[1:] for volume in service["volumes"] if ":/data" in volume] == [["/data"]]
    image = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^VOLUME /data$", image, re.M) and "EBM_DATA_DIR=/data" in image
    assert re.search(r"^USER \d+$", image, re.M)


def test_commands_are_commands(services: dict[str, Any]) -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    image = (ROOT / "Dockerfile").read_text()
    assert 'CMD ["ebm", "serve"]' in image and "serve" in known
    assert services["worker"]["command"][:2] == ["ebm", "worker"] and "worker" in known


def test_replicas_share_database_models_and_data(services: dict[str, Any]) -> None:
    apis, worker = [services["api-1"], services["api-2"]], services["worker"]
    for service in [*apis, worker]:
        settings = service["environment"]
        assert settings["EBM_JOBS"] == "apart"
        assert settings["EBM_DATABASE_URL"] == "postgresql://ebm@postgres:5432/ebm"
        assert service["depends_on"]["postgres"]["condition"] == "service_healthy"
        assert "data:/data" in service["volumes"]
    shared = {key: value for key, value in worker["environment"].items() if key in apis[0]["environment"]}
    assert all(api["environment"] | shared == api["environment"] for api in apis)
    assert all("models:/app/models:ro" in api["volumes"] for api in apis)
    assert "models:/app/models" in worker["volumes"]  # a training job publishes
    assert worker["deploy"]["replicas"] == 2


def test_there_is_no_password_but_the_one_given() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-}" in text and not re.search(r"://\w+:[^@/]*@", text)
    services = compose(POSTGRES_PASSWORD="s3cret")["services"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == "s3cret"
    assert services["worker"]["environment"]["PGPASSWORD"] == "s3cret"
    example = (DEPLOY / "replicas.env.example").read_text()
    assert re.search(r"^POSTGRES_PASSWORD=$", example, re.M)
    assert (DEPLOY / ".gitignore").read_text() == "/replicas.env\n"
    named = set(re.findall(r"^#? ?(\w+)=", example, re.M))
    assert named <= set(re.findall(r"\$\{(\w+)", text)), "the example names what the file does not take"


def test_the_proxy_is_the_only_one_believed_and_knows_the_replicas(services: dict[str, Any]) -> None:
    def address(name: str) -> str:
        return services[name]["networks"]["replicas"]["ipv4_address"]

    for name in ("api-1", "api-2"):
        assert services[name]["environment"]["EBM_TRUSTED_PROXIES"] == address("proxy")
    assert len({address(name) for name in ("api-1", "api-2", "proxy")}) == 3
    conf = (DEPLOY / "nginx.conf").read_text()
    assert re.findall(r"^\s*server (\S+):(\d+) ", conf, re.M) == [("api-1", "8000"), ("api-2", "8000")]
    assert "EBM_PORT=8000" in (ROOT / "Dockerfile").read_text()
    (port,) = services["proxy"]["ports"]
    assert port.endswith(":8080") and "listen 8080;" in conf
    assert services["proxy"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("api-1", "api-2")
    }


def test_ports_are_open_to_this_machine_only(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_there_is_time_to_stop(services: dict[str, Any]) -> None:
    drain = Settings.model_fields["drain_s"].default
    for name in OURS:
        assert seconds(services[name]["stop_grace_period"]) > drain + 1
