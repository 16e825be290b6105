"""Every documented example is sent as documented, and answered as documented."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from service.schemas import models

Operation = dict[str, Any]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@pytest.fixture(scope="module")
def document(client: Any) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def path_of(path: str, operation: Operation, **values: str) -> str:
    """The path with its example parameters, or `values`."""
    shown = {p["name"]: p["example"] for p in operation.get("parameters", []) if p["in"] == "path"}
    return path.format(**{**shown, **{name: value for name, value in values.items() if name in shown}})


def closed(schema: Any) -> Any:
    """`schema` in which objects with listed properties have no others, so that what is sent must be documented."""
    if isinstance(schema, dict):
        found = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and isinstance(schema["properties"], dict):
            found.setdefault("additionalProperties", False)
        return found
    return [closed(one) for one in schema] if isinstance(schema, list) else schema


def check(document: dict[str, Any], operation: Operation, answer: Any) -> None:
    """`answer` is 200 (202 of a job) and JSON, of the documented shape and with nothing else."""
    assert answer.status_code == (202 if "202" in operation["responses"] else 200), answer.text
    answered = operation["responses"][str(answer.status_code)]
    schema = answered["content"]["application/json"]["schema"]
    whole = {**closed(schema), "components": closed(document["components"])}
    jsonschema_rs.validator_for(whole).validate(answer.json())


def test_every_get_runs_with_its_example_parameters(client: Any, document: dict[str, Any]) -> None:
    # Which jobs there are no document knows. A folder has parts.
    job = {"kind": "generate", "model": "blobs", "options": {"n": 2}, "output": "samples"}
    made = {"job_id": client.post("/v1/jobs", json=job).json()["id"], "part": "part-000000.parquet"}
    for path, method, operation in operations(document):
        if method == "get":
            answer = client.get(path_of(path, operation, **made))
            if "application/json" in operation["responses"]["200"].get("content", {}):
                check(document, operation, answer)
            assert answer.status_code == 200, path


def test_every_post_runs_with_each_of_its_examples(client: Any, document: dict[str, Any]) -> None:
    shown: dict[str, set[str]] = {}
    for path, method, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for title, example in content.get("examples", {}).items():
            model = title.split(":")[0]
            answer = client.post(path_of(path, operation, name=model), json=example["value"])
            try:
                check(document, operation, answer)
            except (AssertionError, ValueError) as error:
                pytest.fail(f"{path}, example {title!r}: {error}")
            shown.setdefault(path, set()).add(model)
        # Neither of the two models has classes.
        bare = method != "post" or not content or path.endswith("/classify")
        assert bare or path in shown, f"{path} has no example"
    both = {"blobs", "people"}
    assert shown["/v1/models/{name}/score"] == both
    assert shown["/v1/models/{name}/denoise"] == shown["/v1/models/{name}/generate"] == {"blobs"}


def test_one_version_shows_examples_of_its_model_only(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "{version}" in path and "examples" in content:
            assert len({title.split(":")[0] for title in content["examples"]}) == 1, path


def test_documents_validate_against_their_schemas(client: Any) -> None:
    models.ModelList.model_validate(client.get("/v1/models").json(), strict=True)
    models.ModelDetail.model_validate(client.get("/v1/models/people").json(), strict=True)


def test_errors_are_documented_in_the_shape_they_have(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    answers = document["paths"]["/v1/models/{name}/score"]["post"]["responses"]
    assert answers["422"]["content"].keys() == {"application/problem+json"}
    assert "ProblemDocument" in document["components"]["schemas"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [one for item in value.values() for one in references(item)]
        return [one for item in value for one in references(item)] if isinstance(value, list) else []

    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    used = set(itertools.chain(*(operation["tags"] for _, _, operation in operations(document))))
    assert used == described


def test_a_method_that_is_not_there_is_told_those_that_are(client: Any, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            answer = client.request("PATCH", path_of(path, operation))
            assert answer.status_code == 405, path
            assert answer.headers["Allow"] == ", ".join(sorted(method.upper() for method in methods)), path


def test_keys_are_documented_where_they_are_needed(document: dict[str, Any], serve: Any) -> None:
    kinds = document["components"]["securitySchemes"]
    assert kinds["ApiKey"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    key = {"name": "one", "sha256": "0" * 64, "scopes": ["score"]}
    with_keys = serve(api_keys=[key]).get("/openapi.json").json()
    for path, method, operation in operations(document):
        locked = with_keys["paths"][path][method]
        if path in ("/healthz", "/readyz", "/metrics"):
            assert (
                "security" not in operation and "security" not in locked and "401" not in locked["responses"]
            )
        elif path.startswith("/v1"):
            assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}, {}], path
            assert locked["security"] == [{"ApiKey": []}, {"Bearer": []}], path
            assert {"401", "403", "429"} <= locked["responses"].keys(), path
