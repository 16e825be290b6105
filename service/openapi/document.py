"""GET /openapi.json: FastAPI's document, with what routes do by themselves, and examples of the models served now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.openapi.examples import examples
from service.openapi.operations import REFERENCE
from service.registry import Loaded, Registry
from service.routing import DirectRoute
from service.schemas.problems import ProblemDocument, problems

ABOUT = """Anomaly scores, denoised data and new samples from energy-based models.

`energy` is unnormalised, lower is more normal; `anomaly_score` is higher for the more anomalous; `p_value`
is conformal: on normal rows it is uniform, whatever the model. Errors are `application/problem+json`. Every
request may carry `X-Request-ID` and, where work is done, `X-Timeout-Seconds`."""
TAGS = {
    "health": "Alive, ready, metrics: open to all.",
    "models": "What is served, and how much one request may ask.",
    "scores": "How unusual is each row or picture?",
    "explanations": "Why is it unusual, and what would be normal?",
    "samples": "Clean versions, filled gaps and new samples.",
    "classes": "Class probabilities of joint models.",
    "comparisons": "How much more likely is one row than another?",
    "compositions": "Several models as one: products of experts.",
    "jobs": "Work on whole files, which goes on when the server is restarted.",
    "drift": "Do the rows seen lately look like those of the calibration?",
    "open inference protocol": "The same models for clients of KServe, Triton and others.",
}
NOT_OF_MODELS = {"job_id": "5f2b8c1e9a7d4036", "part": "part-000000.parquet"}
KEYS = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


def install(app: FastAPI, registry: Registry, routes: Sequence[DirectRoute], *, keys: bool) -> None:
    """Give `app` an OpenAPI document whose examples name the models that are loaded now.

    Args:
        routes: those of `app`, for their scopes.
        keys: whether the server asks for API keys.
    """

    def document() -> dict[str, Any]:
        found = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
        parts = found.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema(ref_template=REFERENCE)
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape, which is never sent
            schemas.pop(name, None)
        parts["securitySchemes"] = KEYS
        scopes = {
            (route.path, method.lower()): route.needs for route in routes for method in route.methods or ()
        }
        served = registry.served()
        used: set[str] = set()
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                _adapt(operation, scopes.get((path, method)), keys)
                _exemplify(path, operation, served)
                _move_definitions(operation, schemas)
                used.update(operation.get("tags", ()))
        found["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
        return found

    app.openapi = document  # type: ignore[method-assign]


def _adapt(operation: dict[str, Any], scope: str | None, keys: bool) -> None:
    """Say which key is needed; take out the 422 that FastAPI adds and nobody sends."""
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        answers.pop("422")
    if scope is None:
        return
    late = [408] if "requestBody" in operation else []
    for status, answer in problems(401, 403, *late, 429).items():
        answers.setdefault(str(status), answer)
    operation["security"] = [{name: []} for name in KEYS]
    if not keys:
        operation["security"].append({})
    kind = "Needs an API key" if scope == "any" else f"Needs an API key of scope `{scope}`"
    needed = f"{kind} where keys are configured."
    operation["description"] = "\n\n".join(filter(None, [operation.get("description"), needed]))
    operation["responses"] = dict(sorted(answers.items()))


def _exemplify(path: str, operation: dict[str, Any], served: list[Loaded]) -> None:
    """Name a model that can, and show its requests."""
    action = path.rsplit("/", 1)[-1]
    if path.startswith("/v1/compose/"):
        action = f"compose/{action}"
    detectors = [one.detector for one in served]
    found = {one: examples(one.detector, detectors).get(action, {}) for one in served}
    able = [one for one in served if found[one]] or served
    for parameter in operation.get("parameters", []):
        if parameter["name"] in NOT_OF_MODELS:
            parameter["example"] = NOT_OF_MODELS[parameter["name"]]
        elif parameter["in"] == "path" and able:
            key = "version" if parameter["name"] == "version" else "name"
            parameter["example"] = getattr(able[0], key)
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        shown = {
            f"{one.name}: {title}": {"value": value}
            for one in (able[:1] if "{version}" in path else able)  # one version fits one model
            for title, value in found[one].items()
        }
        content["application/json"] = {
            **content["application/json"],
            **({"examples": shown} if shown else {}),
        }


def _move_definitions(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Definitions that a body's schema brings along belong to the components."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = dict(content.get("schema", {}))
        for name, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(name, definition)
        content["schema"] = schema
