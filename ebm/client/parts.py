"""Rows sent in as many requests as the server's limits ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import httpx

from ebm.client.calls import JSON, Call, Steps, document_of, get, model_path
from ebm.client.errors import Problem
from ebm.client.rows import Body, Rows

# Below both, a request is sent without asking for the server's limits first.
SMALL_ROWS, SMALL_BYTES = 32, 2**18


class Versioned(Protocol):
    """An answer that says which version of the model gave it."""

    @property
    def version(self) -> str: ...


V = TypeVar("V", bound=Versioned)


def in_parts(
    model: str,
    operation: str,
    rows: Rows,
    read: Callable[[httpx.Response], V],
    *,
    version: str | None,
    limit: str,
    params: Mapping[str, Any],
    accept: str = JSON,
) -> Steps[list[V]]:
    """What `read` makes of the answer to each part, in order; all parts go to one version of the model.

    Args:
        limit: which of GET /v1/limits bounds the rows of one request.

    Raises:
        Problem: with `row` counted over all parts.
    """

    def call(body: Body) -> Call:
        content, media_type = body
        headers = {"Content-Type": media_type, "Accept": accept}
        return Call("POST", model_path(model, version, operation), params, headers, content)

    whole = rows.body(0, rows.n) if rows.n <= SMALL_ROWS else None
    if whole is not None and len(whole[0]) <= SMALL_BYTES:
        return [read((yield call(whole)))]
    limits = document_of((yield get("/v1/limits")))
    answers: list[V] = []
    for start, _, body in rows.parts(limits[limit], limits["max_body_bytes"]):
        try:
            response = yield call(body)
        except Problem as problem:
            raise problem.shifted(start) from None
        answers.append(read(response))
        version = answers[0].version  # a newer one may be published meanwhile
    return answers
