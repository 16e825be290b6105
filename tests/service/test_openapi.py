"""Every documented example is sent as documented, and answered as documented."""

from __future__ import annotations

from typing import Any

from service.schemas import models, samples, scores

POSTS = {
    "/v1/models/{name}/score": scores.ScoreAnswer,
    "/v1/models/{name}/denoise": samples.DenoiseAnswer,
    "/v1/models/{name}/generate": samples.GenerateAnswer,
}


def test_every_path_of_the_surface_is_there(client: Any) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    gets = {"/v1/models", "/v1/models/{name}", "/v1/models/{name}/versions/{version}", "/v1/limits"}
    assert paths.keys() == {*gets, *POSTS, "/healthz", "/readyz", "/metrics"}


def test_every_get_runs_with_its_example_parameters(client: Any) -> None:
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        if "get" in operations:
            values = {
                parameter["name"]: parameter["example"]
                for parameter in operations["get"].get("parameters", [])
                if parameter["in"] == "path"
            }
            assert client.get(path.format(**values)).status_code == 200, path


def test_every_post_runs_with_each_of_its_examples(client: Any) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    sent = []
    for path, answer_model in POSTS.items():
        examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples, path
        for title, example in examples.items():
            model = title.split(":")[0]
            answer = client.post(path.format(name=model), json=example["value"])
            assert answer.status_code == 200, (title, answer.text)
            found = answer_model.model_validate(answer.json(), strict=True)
            # Every field that is sent is documented, and the other way round.
            assert answer.json().keys() == type(found).model_fields.keys()
            sent.append((path.rsplit("/", 1)[-1], model))
    assert set(sent) == {("score", "blobs"), ("score", "people"), ("denoise", "blobs"), ("generate", "blobs")}


def test_documents_validate_against_their_schemas(client: Any) -> None:
    models.ModelList.model_validate(client.get("/v1/models").json(), strict=True)
    models.ModelDetail.model_validate(client.get("/v1/models/people").json(), strict=True)


def test_errors_are_documented_in_the_shape_they_have(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in str(document)
    answers = document["paths"]["/v1/models/{name}/score"]["post"]["responses"]
    assert answers["422"]["content"].keys() == {"application/problem+json"}
    assert "ProblemDocument" in document["components"]["schemas"]


def test_every_reference_leads_somewhere(client: Any) -> None:
    document = client.get("/openapi.json").json()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [one for item in value.values() for one in references(item)]
        return [one for item in value for one in references(item)] if isinstance(value, list) else []

    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
