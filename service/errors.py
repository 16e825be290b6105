"""Every error answer: one shape, `application/problem+json` (RFC 9457), with the row and column at fault."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ebm.errors import BadArtifact, BadConfig, BadInput, Cancelled, Diverged, EBMError, Unsupported

MEDIA_TYPE = "application/problem+json"
# The last part of a problem's type, for clients to tell apart what shares a status.
SLUGS = {
    "bad-input": "422: the body, a row, a cell, an option",
    "body-timeout": "408: the body did not arrive in time",
    "body-too-large": "413: the body, or what it unpacks to",
    "client-gone": "499: for the log; nobody reads it",
    "deadline-passed": "504: X-Timeout-Seconds, or the server's limit",
    "diverged": "422: the sampler left the numbers; take a smaller step",
    "http-error": "what the framework refused",
    "idempotency-conflict": "409: the Idempotency-Key was used for another job",
    "internal": "500: the server's fault; its log has the reason",
    "job-not-finished": "409: ask again later; `state` says how far it is",
    "jobs-off": "503: this server runs no jobs",
    "jobs-unavailable": "503: where jobs are kept does not answer now; Retry-After says when",
    "limit-exceeded": "422: names the limit and its setting",
    "method-not-allowed": "405",
    "missing-scope": "403: the API key may do other things",
    "model-refused": "503: the model's files are unsound",
    "model-unloaded": "503: an administrator took it out of memory",
    "models-unreadable": "503: the folder or URL of models cannot be read now",
    "no-models": "503: there is nothing to serve",
    "no-result": "409: the job failed or was cancelled",
    "not-acceptable": "406: no answer of a media type in Accept",
    "not-found": "404: no such path",
    "queue-full": "429: more work than can be done; Retry-After says when",
    "rate-limited": "429: more requests than the key or address may make; Retry-After says when",
    "range-not-satisfiable": "416: the file is shorter",
    "result-gone": "410: removed, or moved by someone else",
    "shutting-down": "503: ask another replica",
    "storage-full": "507: the file does not fit on the server's disk",
    "unauthorized": "401: no API key, or an unknown one",
    "unknown-job": "404: or another key's",
    "unknown-model": "404",
    "unknown-version": "404",
    "unsupported": "422: the model cannot do it; names what it can",
    "unsupported-content-encoding": "415",
    "unsupported-media-type": "415",
}


class Problem(Exception):
    """An answer that is not the one asked for: status, slug of its type, one line, further members."""

    def __init__(
        self, status: int, slug: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ):
        super().__init__(detail)
        self.status, self.slug, self.detail = status, slug, detail
        self.headers, self.members = headers or {}, members


class TooMany(Problem):
    """The queue is full: 429 with Retry-After."""

    def __init__(self, detail: str, retry_after_s: int):
        super().__init__(429, "queue-full", detail, headers={"Retry-After": str(retry_after_s)})


class DeadlinePassed(Problem):
    """The request's time is over before its answer was there: 504."""

    def __init__(self, detail: str = "the deadline passed before the answer was ready"):
        super().__init__(504, "deadline-passed", detail)


class ShuttingDown(Problem):
    """The server stops and takes no new work, or could not finish what it had: 503."""

    def __init__(self) -> None:
        super().__init__(503, "shutting-down", "the server is shutting down", headers={"Retry-After": "5"})


def limit_exceeded(what: str, asked: int | float, limit: int | float, setting: str) -> Problem:
    """422 that names the limit, its value and the setting that moves it."""
    detail = f"{what}: {asked} is over the limit of {limit}"
    return Problem(422, "limit-exceeded", detail, limit=limit, setting=f"EBM_{setting.upper()}")


def to_problem(error: Exception) -> Problem:
    """The answer for an exception; anything unknown is a 500 that tells the client nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BadInput):
        found = {"row": error.row, "column": error.column}
        return Problem(422, "bad-input", str(error), **{k: v for k, v in found.items() if v is not None})
    if isinstance(error, Unsupported):
        return Problem(422, "unsupported", str(error))
    if isinstance(error, Diverged):
        return Problem(422, "diverged", str(error))
    if isinstance(error, BadConfig):
        return Problem(422, "bad-input", str(error))
    if isinstance(error, Cancelled):
        return Problem(499, "client-gone", str(error))
    if isinstance(error, BadArtifact):
        return Problem(503, "model-refused", str(error))
    if isinstance(error, EBMError):
        return Problem(422, "bad-input", str(error))
    if isinstance(error, HTTPException):
        slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        return Problem(error.status_code, slug, str(error.detail), headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Problem(422, "bad-input", f"{where}: {first['msg']}")
    return Problem(500, "internal", "the server failed; the log has the reason under this request_id")


KNOWN = (Problem, EBMError, HTTPException, RequestValidationError)  # what an endpoint raises on purpose


def title(status: int) -> str:
    """What goes with a status."""
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


class ProblemResponse(Response):
    """Leaves its slug where telemetry finds it."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem, content: bytes):
        super().__init__(content, problem.status, headers=problem.headers)
        self.slug = problem.slug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["problem"] = self.slug
        await super().__call__(scope, receive, send)


class InferenceError(ProblemResponse):
    """In the shape of the Open Inference Protocol, whose clients know 400 for what is wrong with a request."""

    media_type = "application/json"

    def __init__(self, problem: Problem):
        setting = problem.members.get("setting")
        text = f"{problem.detail} ({setting})" if setting else problem.detail
        super().__init__(problem, orjson.dumps({"error": _printable(text)}))
        self.status_code = 400 if problem.status == 422 else problem.status


def render(error: Exception, path: str, request_id: str | None) -> Response:
    """The problem document of an exception as a response; under /v2 what the Open Inference Protocol has instead."""
    problem = to_problem(error)
    if path == "/v2" or path.startswith("/v2/"):
        return InferenceError(problem)
    document = {
        "type": f"urn:ebm-service:problem:{problem.slug}",
        "title": title(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "instance": path,
        **({"request_id": request_id} if request_id else {}),
        **problem.members,
    }
    # A path may hold anything that percent-decodes, lone surrogates included; orjson takes no such string.
    content = orjson.dumps(_printable(document))
    return ProblemResponse(problem, content)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return value


def install(app: FastAPI) -> None:
    """Make every exception of `app`'s routes a problem document. What is unknown is left to telemetry.py."""

    async def handle(request: Request, error: Exception) -> Response:
        return render(error, request.url.path, request.scope.get("request_id"))

    for kind in KNOWN:
        app.add_exception_handler(kind, handle)
