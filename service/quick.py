"""One row of numbers in JSON, the request that comes most often: read and answered with no more work than it takes.

Whatever is unusual about it (other options, several rows, another type of answer, a cell that is no number) is left to
the general way, which gives the same answer, byte by byte, to what is usual.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service import score_columns
from service.answers import json_answer
from service.bodies import JSON, Rows
from service.bodies.takes import SAFE, Takes, takes
from service.engine.row_scores import RowScore
from service.registry import Loaded
from service.routing import services
from service.work import score_row, score_rows

# Headers that ask for something, and what they may say here.
USUAL: dict[bytes, tuple[bytes, ...]] = {
    b"content-type": (b"application/json",),
    b"accept": (b"*/*", b"application/json"),
    b"content-encoding": (b"identity",),
}
KEYS = {"instances", "fpr", "fdr"}
MOST_BYTES_A_NUMBER = 32


class QuickRow(NamedTuple):
    values: np.ndarray  # (1, *input_shape)
    fpr: float | None
    fdr: float | None


def usual(request: Request, loaded: Loaded) -> Takes | None:
    """What the model takes, where nothing but the body can make the request unusual; else None."""
    if request.scope["query_string"]:
        return None
    for key, value in request.scope["headers"]:
        allowed = USUAL.get(key)
        if allowed is not None and value not in allowed:
            return None
    wanted = takes(loaded.detector)
    return wanted if wanted.numbers else None


async def read(request: Request, wanted: Takes) -> tuple[QuickRow | None, Request]:
    """The row of a usual body, or None; and the request, whose body is there to be read again in that case."""
    most = wanted.width * MOST_BYTES_A_NUMBER + 200
    message = await request.receive()
    messages, body = [message], message.get("body", b"")
    while message.get("more_body", False) and len(body) <= most:
        message = await request.receive()
        messages.append(message)
        body += message.get("body", b"")
    if message["type"] != "http.request" or not 0 < len(body) <= most:
        return None, _again(request, messages)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, _again(request, messages)
    found = _row(document, wanted) if type(document) is dict else None
    return found, request if found is not None else _again(request, messages)


class QuickResponse(Response):
    """200 with JSON: starlette's own puts its headers together piece by piece."""

    def __init__(self, content: bytes):
        self.status_code, self.background, self.body = 200, None, content
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


async def answer(request: Request, loaded: Loaded, row: QuickRow) -> Response:
    """Score the row."""
    score = await score_row(request, loaded, row.values)
    manifest, calibration = loaded.detector.manifest, loaded.detector.calibration
    fpr, fdr = row.fpr, row.fdr
    if fpr is None and fdr is None:
        fpr = manifest.calibration.default_fpr
    if score.energy == b"null" or score.anomaly_score == b"null":
        return await _not_finite(request, loaded, row)
    rate = fpr if fpr is not None else fdr
    assert rate is not None
    is_anomaly = score.p <= rate  # of a single row, Benjamini-Hochberg asks no more than p <= fdr
    if is_anomaly:
        services(request).metrics.flagged(loaded.name, 1)
    # Only a rate about as small as the smallest p-value needs words.
    note = None if rate * calibration.n > 2 else calibration.note(fpr=fpr, fdr=fdr, rows=1)
    return QuickResponse(_document(loaded, fpr, fdr, score, is_anomaly, note))


def _row(document: dict[str, Any], wanted: Takes) -> QuickRow | None:
    instances = document.get("instances")
    if type(instances) is not list or len(instances) != 1 or not document.keys() <= KEYS:
        return None
    rates = [rate for rate in (document.get("fpr"), document.get("fdr")) if rate is not None]
    if len(rates) > 1 or rates and not (type(rates[0]) is float and 0 < rates[0] < 1):
        return None
    row = instances[0]
    if type(row) is not list or len(row) != wanted.width:
        return None
    try:
        # JSON has no NaN, so that these bound every number; texts, nulls and lists do not compare with numbers.
        if not -SAFE < min(row) <= max(row) < SAFE:
            return None
    except TypeError:
        return None
    values = np.array(row)
    if values.dtype.kind not in "fi":
        return None
    values = values.astype(np.float64, copy=False).reshape(1, *wanted.shape)
    return QuickRow(values, document.get("fpr"), document.get("fdr"))


@lru_cache(maxsize=1024)
def _start(model: str, version: str, fpr: float | None, fdr: float | None) -> bytes:
    head = {"model": model, "version": version, "higher_is_more_anomalous": True, "fpr": fpr, "fdr": fdr}
    return orjson.dumps(head)[:-1]


def _document(
    loaded: Loaded, fpr: float | None, fdr: float | None, score: RowScore, is_anomaly: bool, note: str | None
) -> bytes:
    return b'%b,"energy":[%b],"anomaly_score":[%b],"p_value":[%b],"is_anomaly":[%b],"rank":[1],%b%b}' % (
        _start(loaded.name, loaded.version, fpr, fdr),
        score.energy,
        score.anomaly_score,
        score.p_value,
        b"true" if is_anomaly else b"false",
        b'"non_finite":[],"errors":[],"note":',
        b"null" if note is None else orjson.dumps(note),
    )


async def _not_finite(request: Request, loaded: Loaded, row: QuickRow) -> Response:
    """An overflow far from the data: said in the general way."""
    scores = await score_rows(request, loaded, row.values, fpr=row.fpr, fdr=row.fdr)
    return json_answer(score_columns.as_json(scores, Rows(row.values, JSON, [], None, 1), loaded))


def _again(request: Request, messages: list[Message]) -> Request:
    """A request whose first messages are yet to come, once more."""
    receive, waiting = request.receive, messages[::-1]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return Request(request.scope, receive_again)
