"""What the OpenAPI document says of jobs beside what FastAPI sees."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.bodies import JSON, MULTIPART
from service.events import EVENTS
from service.jobs_http.results import MEDIA_TYPES
from service.openapi import body, parameters
from service.schemas.jobs import JobAnswer, JobRequest

DOWNLOADS = tuple(dict.fromkeys([*MEDIA_TYPES.values(), "application/octet-stream"]))
DOWNLOADS = tuple(media for media in DOWNLOADS if media != JSON)
LINKS = {
    name: {"operationId": operation, "parameters": {"job_id": "$response.body#/id"}}
    for name, operation in (
        ("look", "show_job_v1_jobs__job_id__get"),
        ("fetch", "job_result_v1_jobs__job_id__result_get"),
        ("cancel", "cancel_job_v1_jobs__job_id__delete"),
    )
}
LOCATION = {"Location": {"description": "of the job", "schema": {"type": "string"}}}
SUBMITTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": JobAnswer,
        "description": "The job that was submitted before with the same Idempotency-Key",
        "headers": LOCATION,
        "links": LINKS,
    },
    202: {"description": "Accepted", "headers": LOCATION, "links": LINKS},
}


def _submit() -> dict[str, Any]:
    found = body(JobRequest)
    content = found["content"]
    document = {key: value for key, value in content[JSON]["schema"].items() if key != "$defs"}
    content[MULTIPART] = {
        "schema": {
            "type": "object",
            "properties": {
                "job": document,
                "file": {"type": "string", "format": "binary", "description": "after the part `job`"},
            },
            "required": ["job"],
            "additionalProperties": False,
        },
        "encoding": {"job": {"contentType": JSON}},
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
        "description": "a request that is sent again with the same key answers with the job it made first",
    }
    return {"requestBody": found, "parameters": [key]}


SUBMIT = _submit()
RANGE = {
    "name": "Range",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "example": "bytes=0-1023",
    "description": "a part of the file, as bytes=0-1023, to go on where a download broke off",
}
EVENT_STREAM = {
    EVENTS: {
        "schema": {
            "type": "object",
            "properties": {
                "event": {"enum": ["progress", "done", "error"]},
                "data": {"type": "string", "contentMediaType": JSON},
                "id": {"type": "string"},
            },
            "description": "events `progress` {id, state, attempts, done, total, unit, per_second, eta_s, ...} when it "
            "changes; at the end `done`, the job, however it ended; `error`, a problem document, where the job can be "
            "followed no further",
        }
    }
}


def query(options: type[BaseModel]) -> list[dict[str, Any]]:
    """Options as query parameters."""
    return [one for one in parameters(options) if one["in"] == "query"]
