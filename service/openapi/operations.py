"""Parts of an operation that FastAPI cannot see, because routes read bodies, queries and headers themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

REFERENCE = "#/components/schemas/{model}"
TIMEOUT = {
    "name": "X-Timeout-Seconds",
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "description": "give up after so long, with 504",
}
RESIZE = {
    "name": "resize",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "pictures only: fit another size to the model's: reduced by one factor, never stretched or "
    "enlarged, then centred on the median of its border",
}


def binary(*media_types: str) -> dict[str, Any]:
    """The `content` of bodies that are bytes."""
    return {media: {"schema": {"type": "string", "format": "binary"}} for media in media_types}


def body(json_model: type[BaseModel], *media_types: str, required: bool = True) -> dict[str, Any]:
    """The `requestBody` of a route that reads JSON of this shape, or bytes of these media types."""
    schema = json_model.model_json_schema(ref_template=REFERENCE)
    rows = [name for name in ("instances", "records") if name in schema["properties"]]
    for name in rows:
        # None stands for "not given" in the model; the body must not say null.
        found = _not_null(schema["properties"][name])
        schema["properties"][name] = {**found, "minItems": 1}
    if len(rows) == 2:
        schema["oneOf"] = [{"required": [name]} for name in rows]
    return {"required": required, "content": {"application/json": {"schema": schema}, **binary(*media_types)}}


def parameters(options: type[BaseModel], *, resize: bool = False) -> list[dict[str, Any]]:
    """Options as query parameters, for bodies that have no room for them; and the deadline."""
    found: list[dict[str, Any]] = []
    for name, schema in options.model_json_schema(ref_template=REFERENCE)["properties"].items():
        schema = _not_null(schema)
        description = schema.pop("description", None)
        said = {"description": description} if description else {}
        found.append({"name": name, "in": "query", "required": False, "schema": schema, **said})
    return [*found, *([RESIZE] if resize else []), TIMEOUT]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without null, and without the default that it was."""
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    if rest.get("default", 0) is None:
        rest.pop("default")
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    if len(kinds) == 1:
        return {**kinds[0], **rest}
    return {**rest, "anyOf": kinds} if kinds else rest
