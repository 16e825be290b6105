"""Answers compressed for clients that ask for it."""

from __future__ import annotations

import zlib

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.bodies.media import header

WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
SMALLEST = 1024  # fewer bytes fit one packet anyway
INLINE = 2**14  # more are compressed in a worker thread
LEVEL = 1


async def compress(request: Request, response: Response) -> Response:
    """`response` with its body as gzip or deflate, where the client accepts that and it is long enough."""
    accepted = header(request, b"accept-encoding")
    if accepted is None:
        return response
    response.headers["Vary"] = "Accept-Encoding"
    encoding = choose(accepted)
    content = bytes(response.body)
    if encoding is None or len(content) < SMALLEST:
        return response
    work = _deflate if len(content) <= INLINE else None
    packed = work(content, encoding) if work else await run_in_threadpool(_deflate, content, encoding)
    response.body = packed
    response.headers["Content-Length"] = str(len(packed))
    response.headers["Content-Encoding"] = encoding
    return response


def choose(accepted: str) -> str | None:
    """gzip, deflate or None, by Accept-Encoding (RFC 9110, 12.5.3): the highest quality, gzip first."""
    qualities: dict[str, float] = {}
    for part in accepted.split(","):
        coding, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        qualities[coding] = quality
    best = max(WINDOWS, key=lambda coding: qualities.get(coding, qualities.get("*", 0.0)))
    return best if qualities.get(best, qualities.get("*", 0.0)) > 0 else None


def _deflate(content: bytes, encoding: str) -> bytes:
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOWS[encoding])
    return stream.compress(content) + stream.flush()
