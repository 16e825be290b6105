"""What the tests of deploy/ share: its files, read as the tools that take them would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings
from service.settings.reading import FILE_VARIABLE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SETTINGS = {f"EBM_{name.upper()}" for name in Settings.model_fields} | {FILE_VARIABLE}
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def compose(**environment: str) -> dict[str, Any]:
    """docker-compose.yml with its variables put in: those given, else their defaults."""
    text = (ROOT / "docker-compose.yml").read_text()
    found = VARIABLE.sub(lambda m: environment.get(m[1], m[2] or ""), text)
    assert "${" not in found
    return yaml.safe_load(found)


def manifests(*folders: Path) -> list[tuple[str, dict[str, Any]]]:
    """(name of the file and resource, resource) of every Kubernetes manifest, without the kustomizations."""
    found = []
    for path in sorted(path for folder in folders or (KUBERNETES,) for path in folder.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            for resource in yaml.safe_load_all(path.read_text()):
                name = f"{path.relative_to(KUBERNETES)} {resource['kind']}/{resource['metadata']['name']}"
                found.append((name, resource))
    return found


def settings_env() -> dict[str, str]:
    """The ConfigMap's settings."""
    lines = (KUBERNETES / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Names and values of a container's own variables; those from elsewhere have no value."""
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
