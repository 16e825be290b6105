"""The bytes of a body: as many as the limits allow, compressed or not."""

from __future__ import annotations

import zlib

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ebm.errors import BadInput, Cancelled
from service.bodies.media import header
from service.errors import Problem
from service.routing import services

# zlib's way to say which format it should expect: gzip; zlib (which HTTP calls deflate).
WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def too_large(limit: int, setting: str, what: str = "the body") -> Problem:
    detail = f"{what} is over the limit of {limit} bytes"
    return Problem(413, "body-too-large", detail, limit=limit, setting=f"EBM_{setting.upper()}")


async def read_body(request: Request, limit: int, decompressed_limit: int | None = None) -> bytes:
    """The whole body, decompressed; never holding more than the limits.

    Args:
        limit: bytes as they are sent.
        decompressed_limit: bytes after Content-Encoding is undone; `limit` where it is None.

    Raises:
        Problem: 413 over a limit; 415 for a Content-Encoding other than gzip and deflate.
        BadInput: damaged compression. Cancelled: the client went away.
    """
    encoding = (header(request, b"content-encoding") or "identity").strip().lower()
    if encoding != "identity" and encoding not in WINDOWS:
        detail = f"Content-Encoding {encoding[:40]!r}: send gzip, deflate or the body as it is"
        raise Problem(
            415, "unsupported-content-encoding", detail, headers={"Accept-Encoding": "gzip, deflate"}
        )
    claimed = header(request, b"content-length")
    if claimed is not None and claimed.isascii() and claimed.isdigit() and int(claimed[:20]) > limit:
        raise too_large(limit, "max_body_bytes")
    body = await _receive(request, limit)
    if encoding == "identity":
        return body
    # A few bytes may hold many: never on the event loop.
    inflated = await run_in_threadpool(inflate, body, encoding, decompressed_limit or limit)
    services(request).budget.take(request, len(inflated))
    return inflated


async def _receive(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Cancelled("the client went away while sending")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit, "max_body_bytes")
        services(request).budget.take(request, len(part))
        if not message.get("more_body", False):
            return b"".join([*parts, part]) if parts else part
        parts.append(part)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """`body` decompressed; gzip may have several members.

    Raises:
        Problem: 413 for more than `limit` bytes.
        BadInput: damaged or cut off.
    """
    parts: list[bytes] = []
    size, rest = 0, body
    while rest:
        # One byte more than allowed tells too much from just enough.
        stream = zlib.decompressobj(WINDOWS[encoding])
        try:
            part = stream.decompress(rest, limit + 1 - size)
        except zlib.error as error:
            raise BadInput(f"the body is not {encoding}: {error}") from None
        size += len(part)
        if size > limit:
            raise too_large(limit, "max_decompressed_bytes", "the decompressed body")
        if not stream.eof:
            raise BadInput(f"the {encoding} body is cut off")
        parts.append(part)
        if len(stream.unused_data) == len(rest) or encoding == "deflate" and stream.unused_data:
            raise BadInput(f"the {encoding} body goes on after its end")
        if len(parts) >= 1000:
            raise BadInput("the gzip body has too many members")
        rest = stream.unused_data
    if not parts and not body:
        raise BadInput(f"the {encoding} body is empty")
    return b"".join(parts)
