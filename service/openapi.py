"""The OpenAPI document: bodies that routes read themselves, and examples that run on the models served."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from ebm.detector import Detector
from ebm.preprocessing import Mixed
from service.registry import Registry
from service.schemas.problems import ProblemDocument

ABOUT = """Anomaly scores, denoised data and new samples from energy-based models.

`energy` is unnormalised, lower is more normal; `anomaly_score` is higher for the more anomalous; `p_value`
is conformal: on normal rows it is uniform, whatever the model. Errors are `application/problem+json`. Every
request may carry `X-Request-ID` and, where work is done, `X-Timeout-Seconds`."""


def binary(*media_types: str) -> dict[str, Any]:
    """The `content` of bodies that are bytes."""
    return {media: {"schema": {"type": "string", "format": "binary"}} for media in media_types}


def body(json_model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """The `requestBody` of a route that reads JSON of this shape, or bytes of these media types."""
    return {
        "required": True,
        "content": {"application/json": {"schema": json_model.model_json_schema()}, **binary(*media_types)},
    }


def parameters(options: type[BaseModel], *, resize: bool = False) -> list[dict[str, Any]]:
    """Options as query parameters, for bodies that have no room for them."""
    found = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in options.model_json_schema()["properties"].items()
    ]
    if resize:
        text = "pictures only: scale another size to the model's"
        found.append(
            {
                "name": "resize",
                "in": "query",
                "schema": {"type": "boolean", "default": False},
                "description": text,
            }
        )
    found.append(
        {
            "name": "X-Timeout-Seconds",
            "in": "header",
            "schema": {"type": "number", "exclusiveMinimum": 0},
            "description": "give up after so long, with 504",
        }
    )
    return found


def example_row(detector: Detector) -> list[Any]:
    """A row that the model accepts: the training means, or a ring drawn in the model's range of grey."""
    if isinstance(detector.preprocessor, Mixed):
        return detector.preprocessor.example()
    schema = detector.preprocessor.schema()
    if schema["kind"] != "image":
        return [float(f"{column['mean']:.6g}") for column in schema["columns"]]
    height, width, low, high = schema["height"], schema["width"], schema["low"], schema["high"]
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot((y - (height - 1) / 2) / (height / 2), (x - (width - 1) / 2) / (width / 2.6))
    grey = low + (high - low) * np.exp(-(((distance - 0.7) / 0.25) ** 2))
    image = np.broadcast_to(grey[..., None], (height, width, schema["channels"]))
    return image.reshape(detector.input_shape).round(1).tolist()


def examples(detector: Detector) -> dict[str, dict[str, dict[str, Any]]]:
    """Operation -> title -> JSON body, for what this model can do."""
    row = example_row(detector)
    found = {"score": {"one row at fpr 0.05": {"instances": [row], "fpr": 0.05}}}
    if detector.columns is not None:
        record = dict(zip(detector.columns, row, strict=True))
        found["score"]["a record by column name, at fdr 0.1"] = {"records": [record], "fdr": 0.1}
    if "denoise" in detector.can:
        found["denoise"] = {"one row, noise estimated": {"instances": [row]}}
    if "generate" in detector.can:
        found["generate"] = {"four samples": {"n": 4, "seed": 1}}
    return found


def install(app: FastAPI, registry: Registry) -> None:
    """Give `app` an OpenAPI document whose examples name the models that are loaded now."""

    def document() -> dict[str, Any]:
        found = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape, which is never sent
            schemas.pop(name, None)
        served = registry.served()
        for path, operations in found["paths"].items():
            for operation in operations.values():
                _adapt(path, operation, served)
        return found

    app.openapi = document  # type: ignore[method-assign]


def _adapt(path: str, operation: dict[str, Any], served: list[Any]) -> None:
    default = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in default:
        operation["responses"].pop("422")
    action = path.rsplit("/", 1)[-1]
    able = [one for one in served if action not in ("denoise", "generate") or action in one.detector.can]
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and able:
            key = "version" if parameter["name"] == "version" else "name"
            parameter["example"] = getattr(able[0], key)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        content = operation["requestBody"]["content"]["application/json"] = dict(content)
        content["examples"] = {
            f"{one.name}: {title}": {"value": value}
            for one in able
            for title, value in examples(one.detector).get(action, {}).items()
        }
