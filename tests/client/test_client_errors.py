"""An answer of status 400 or more becomes the exception of its kind, with all that the server said."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from ebm.client import (
    BadRequest,
    Busy,
    ClientError,
    DeadlinePassed,
    Forbidden,
    LimitExceeded,
    ModelRefused,
    NoAnswer,
    NotFound,
    Problem,
    ServerFailed,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from ebm.client.errors import problem_of
from ebm.errors import EBMError
from service import errors as server


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "bad-input", BadRequest),
        (401, "unauthorized", Unauthorized),
        (403, "forbidden", Forbidden),
        (404, "not-found", NotFound),
        (406, "not-acceptable", BadRequest),
        (413, "body-too-large", LimitExceeded),
        (422, "bad-input", BadRequest),
        (422, "limit-exceeded", LimitExceeded),
        (429, "queue-full", Busy),
        (500, "internal", ServerFailed),
        (502, "", ServerFailed),
        (503, "shutting-down", Unavailable),
        (503, "model-refused", ModelRefused),
        (504, "deadline-passed", DeadlinePassed),
    ],
)
def test_each_kind_has_its_exception(status: int, kind: str, expected: type[Problem]) -> None:
    body = {"type": f"urn:ebm-service:problem:{kind}", "detail": "what happened"}
    problem = problem_of(httpx.Response(status, json=body))
    assert type(problem) is expected
    assert (problem.status, problem.kind, str(problem)) == (status, kind, "what happened")


def test_a_problem_carries_what_the_server_wrote() -> None:
    answer = server.render(server.limit_exceeded("rows", 11, 10, "max_rows"), "/v1/models", "r-1")
    problem = problem_of(httpx.Response(answer.status_code, content=answer.body))
    assert isinstance(problem, LimitExceeded)
    assert (problem.limit, problem.setting, problem.request_id) == (10, "EBM_MAX_ROWS", "r-1")
    cell = server.BadInput("row 3, column 'age': not a number", row=3, column="age")
    answer = server.render(cell, "/v1/models", None)
    problem = problem_of(httpx.Response(422, content=answer.body, headers={"X-Request-ID": "r-2"}))
    assert (problem.row, problem.column, problem.request_id) == (3, "age", "r-2")
    assert problem.document["instance"] == "/v1/models"


@pytest.mark.parametrize("content", [b"<html>Bad gateway</html>", b"", b"[1]", b"\xff\xfe"])
def test_a_proxy_knows_no_problem_documents(content: bytes) -> None:
    problem = problem_of(httpx.Response(502, content=content))
    assert type(problem) is ServerFailed and problem.title == "Bad Gateway"
    assert str(problem) == (content.decode("utf-8", "replace") or "Bad Gateway")


def test_a_row_is_counted_over_all_parts() -> None:
    problem = BadRequest(422, {"detail": "row 3, column 3: row 3 is odd", "row": 3, "column": 3})
    moved = problem.shifted(100)
    assert type(moved) is BadRequest
    assert (moved.row, moved.column, str(moved)) == (103, 3, "row 103, column 3: row 3 is odd")
    assert problem.shifted(0) is problem
    assert BadRequest(422, {"detail": "no rows"}).shifted(100).row is None


def test_all_of_them_are_errors_of_this_library() -> None:
    for error in (Problem, NoAnswer, TimedOut):
        assert issubclass(error, ClientError) and issubclass(error, EBMError)
    assert issubclass(DeadlinePassed, TimedOut)


def test_problems_can_be_copied_as_between_processes() -> None:
    problem: Any = LimitExceeded(422, {"detail": "too many", "limit": 3}, 2.0)
    again = copy.copy(problem)
    assert type(again) is LimitExceeded
    assert (again.status, again.limit, again.retry_after, str(again)) == (422, 3, 2.0, "too many")
