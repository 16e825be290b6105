"""One request as a value, and operations as generators of requests.

An operation yields a `Call`, is sent the response, and returns its answer. `Client` and `AsyncClient` run the same
operations and differ by `await` alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import numpy as np
import orjson

T = TypeVar("T")
# `Call` and `Save` are sent the response, `Pause` the time on the client's clock.
Steps = Generator["Call | Pause | Save", Any, T]

JSON, NPY, PNG, JPEG = "application/json", "application/x-npy", "image/png", "image/jpeg"
ARROW, EVENTS = "application/vnd.apache.arrow.stream", "text/event-stream"


@dataclass(frozen=True)
class Call:
    """A request, but for what the connection adds: the address, the key, the request's id and its time."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    files: Sequence[tuple[str, Any]] = ()  # instead of content: the parts of a form, as httpx takes them


@dataclass(frozen=True)
class Pause:
    """Wait; what follows has a deadline of its own."""

    seconds: float


@dataclass
class Save:
    """A request whose answer goes into a file piece by piece (added to it, where the answer is a range), where it is
    no document.

    etag: of the answer, once it begins.
    """

    call: Call
    path: Path
    etag: str | None = None

    def begin(self, response: httpx.Response) -> str | None:
        """How to open the file for the rest of this answer; None for a document, which is read instead."""
        self.etag = response.headers.get("etag")
        if is_document(response):
            return None
        return "ab" if response.status_code == 206 else "wb"


def get(path: str, **params: Any) -> Call:
    """GET; parameters that are None are left out."""
    return Call("GET", path, given(params), {"Accept": JSON})


def post(path: str, document: Any = None, *, accept: str = JSON, **params: Any) -> Call:
    """POST of a JSON document, or of nothing."""
    headers, content = {"Accept": accept}, b""
    if document is not None:
        headers["Content-Type"] = JSON
        content = encode_json(document)
    return Call("POST", path, given(params), headers, content)


def encode_json(document: Any) -> bytes:
    """JSON; numpy's numbers and arrays, dates and times as they are; NaN as null, which is how JSON says missing."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(document, default=_plain, option=options)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):  # not contiguous, or of a type that orjson does not know
        return value.tolist()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"cannot send {type(value).__name__}")


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are not None: the server has the defaults."""
    return {name: value for name, value in options.items() if value is not None}


def model_path(model: str, version: str | None = None, operation: str | None = None) -> str:
    """/v1/models/{model}[/versions/{version}][/{operation}]."""
    path = f"/v1/models/{quote(model, safe='')}"
    if version is not None:
        path += f"/versions/{quote(version, safe='')}"
    return f"{path}/{operation}" if operation else path


def is_document(response: httpx.Response) -> bool:
    """Whether an answer is JSON about a result, not the result itself."""
    is_json = response.headers.get("content-type", "").startswith(JSON)
    return is_json and "content-disposition" not in response.headers


def document_of(response: httpx.Response) -> Any:
    """The JSON of an answer."""
    return orjson.loads(response.content)
