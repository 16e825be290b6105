"""deploy/kubernetes: valid by Kubernetes' own schemas, and in step with the application."""

from __future__ import annotations

import ast
import importlib.machinery
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import KUBERNETES, ROOT, SETTINGS, manifests, settings_env, variables
from typer.main import get_command

from ebm.cli.app import app
from service.app import ROUTERS
from service.settings import Settings

ALL = manifests()
OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout", "model"} | {
    "supportedModelFormats",
    "protocolVersions",
    "multiModel",
}
VERSIONS = ("1.30", "1.35")  # the oldest that these are meant for, and a late one


def pod(resource: dict[str, Any]) -> dict[str, Any] | None:
    """The specification of the pods that a resource makes, where it makes any."""
    spec = resource.get("spec", {})
    if resource["kind"] in ("Deployment", "StatefulSet"):
        return spec["template"]["spec"]
    if resource["kind"] == "InferenceService":
        return spec["predictor"]
    return spec if resource["kind"] == "ServingRuntime" else None


def ours() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, specification of the pods, container) of everything that runs this project's image."""
    for name, resource in ALL:
        spec = pod(resource) or {}
        for container in spec.get("containers", []):
            if "ebm-service" in container["image"]:
                yield name, spec, container


OURS = [pytest.param(*one[1:], id=one[0]) for one in ours()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", [pytest.param(resource, id=name) for name, resource in ALL])
def test_the_schema_takes_it(resource: dict[str, Any], version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    if "kserve" in resource["apiVersion"]:  # a pod's specification, and some fields of its own
        spec = {key: value for key, value in (pod(resource) or {}).items() if key not in OF_KSERVE}
        spec.setdefault("containers", [{"name": "kserve-container", "image": "of the runtime"}])
        resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    validator.validate(resource, version, strict=True)


def kserve_fields(model: str) -> set[str]:
    """Fields of a resource of KServe, by the source of its client, which is not imported: it wants a cluster's."""
    # Past sys.modules: the tests of its REST client put a stand-in for its package there.
    found = importlib.machinery.PathFinder.find_spec("kserve")
    if found is None or not found.submodule_search_locations:
        pytest.skip("kserve is not installed")
    source = Path(found.submodule_search_locations[0], "models", f"{model}.py").read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "attribute_map":
            return set(ast.literal_eval(node.value).values())
    raise AssertionError(f"kserve's {model} has no attribute_map")


@pytest.mark.parametrize(
    ("model", "kind", "part"),
    [
        ("v1beta1_predictor_spec", "InferenceService", ("spec", "predictor")),
        ("v1beta1_model_spec", "InferenceService", ("spec", "predictor", "model")),
        ("v1alpha1_serving_runtime_spec", "ServingRuntime", ("spec",)),
    ],
)
def test_kserve_knows_the_fields(model: str, kind: str, part: tuple[str, ...]) -> None:
    known, checked = kserve_fields(model), 0
    for name, resource in ALL:
        found: Any = resource if resource["kind"] == kind else None
        for key in part:
            found = (found or {}).get(key)
        if found:
            checked += 1
            assert set(found) <= known, f"{name}: {set(found) - known}"
    assert checked


@pytest.mark.parametrize(("spec", "container"), OURS)
def test_settings_are_settings(spec: dict[str, Any], container: dict[str, Any]) -> None:
    own = {name: value for name, value in variables(container).items() if name.startswith("EBM_")}
    assert set(own) <= SETTINGS, set(own) - SETTINGS
    assert set(settings_env()) <= SETTINGS
    Settings(**{name.removeprefix("EBM_").lower(): value for name, value in (settings_env() | own).items()})
    # Else the services of the namespace would be settings: EBM_PORT=tcp://...
    assert "model" in spec or spec.get("enableServiceLinks", True) is False or "supportedModelFormats" in spec


def test_secrets_are_settings_or_the_driver_s() -> None:
    (secret,) = [resource for _, resource in ALL if resource["kind"] == "Secret"]
    assert set(secret["stringData"]) <= SETTINGS | {"PGPASSWORD"}
    assert secret["stringData"]["PGPASSWORD"] == ""
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert "secret.example.yaml" not in named, "an empty password would be applied"


@pytest.mark.parametrize("container", [pytest.param(*one.values[1:], id=one.id) for one in OURS])
def test_ports_probes_and_commands_are_the_application_s(container: dict[str, Any]) -> None:
    served = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
    assert set(ports.values()) <= {8000} and "EBM_PORT=8000" in (ROOT / "Dockerfile").read_text()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if probe in container:
            asked = container[probe]["httpGet"]
            assert asked["path"] in served
            assert asked["port"] in (*ports, *ports.values())
    known = get_command(app).commands  # type: ignore[attr-defined]
    assert container["command"][0] == "ebm" and container["command"][1] in known
    assert bool(ports) == (container["command"][1] == "serve")


@pytest.mark.parametrize(("spec", "container"), OURS)
def test_nothing_runs_as_root(spec: dict[str, Any], container: dict[str, Any]) -> None:
    security = spec.get("securityContext", {}) | container["securityContext"]
    assert security["runAsNonRoot"] and security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    user = str(security["runAsUser"])
    image = (ROOT / "Dockerfile").read_text()
    assert f"USER {user}\n" in image and f"--uid {user} " in image


def test_the_api_has_time_to_stop_and_is_not_scaled_twice() -> None:
    by_name = {name.split(" ")[1]: resource for name, resource in ALL}
    api = by_name["Deployment/ebm-api"]["spec"]
    drain = float(settings_env().get("EBM_DRAIN_S", Settings.model_fields["drain_s"].default))
    (container,) = api["template"]["spec"]["containers"]
    before = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert api["template"]["spec"]["terminationGracePeriodSeconds"] > before + drain + 1
    assert "replicas" not in api
    assert by_name["HorizontalPodAutoscaler/ebm-api"]["spec"]["scaleTargetRef"]["name"] == "ebm-api"
    longest = Settings.model_fields["max_timeout_s"].default
    annotations = by_name["Ingress/ebm"]["metadata"]["annotations"]
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > longest


def test_names_that_point_at_others_do() -> None:
    def names(kind: str) -> set[str]:
        return {resource["metadata"]["name"] for _, resource in ALL if resource["kind"] == kind}

    claims, labels = names("PersistentVolumeClaim"), set()
    for _, resource in ALL:
        for volume in (pod(resource) or {}).get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        if resource["kind"] in ("Deployment", "StatefulSet"):
            found = resource["spec"]["template"]["metadata"]["labels"]
            assert resource["spec"]["selector"]["matchLabels"] == found
            labels.add(found["app.kubernetes.io/name"])
    for name, resource in ALL:
        if resource["kind"] in ("Service", "PodDisruptionBudget"):
            chosen = resource["spec"]["selector"]
            chosen = chosen.get("matchLabels", chosen)
            assert chosen["app.kubernetes.io/name"] in labels, name
    (ingress,) = [resource for _, resource in ALL if resource["kind"] == "Ingress"]
    served = [getattr(route, "path", "") for router in ROUTERS for route in router.routes]
    paths = {path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]}
    assert "/metrics" not in paths and "/metrics" in served
    inside = ("/metrics", "/healthz", "/readyz")
    assert all(path.startswith(("/v1", "/v2")) or path in inside for path in served)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "postgres"], ids=["base", "postgres"])
def test_kustomize_builds_it(folder: Path) -> None:
    made = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert made.returncode == 0, made.stderr
    resources = list(yaml.safe_load_all(made.stdout))
    assert all(
        resource["metadata"].get("namespace") == "ebm"
        for resource in resources
        if resource["kind"] != "Namespace"
    )
    for resource in resources:
        for container in (pod(resource) or {}).get("containers", []):
            if "ebm" in container["image"]:
                assert container["image"] == "registry.example.org/ebm-service:0.1.0"
                config = container["envFrom"][0]["configMapRef"]["name"]
                assert config.startswith("ebm-settings-"), "a changed setting would not roll the pods"
