"""Requests without rows."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from service.bodies.body import read_body
from service.bodies.json_rows import read_document
from service.bodies.media import JSON, media_type
from service.bodies.options import query_of, read_options
from service.settings import Settings

O = TypeVar("O", bound=BaseModel)  # noqa: E741


async def read_only_options(request: Request, options: type[O], settings: Settings) -> O:
    """The options of a request without rows: a JSON object (or nothing), and query parameters."""
    body = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    if body:
        media_type(request, (JSON,))
    return read_options(read_document(body) if body else {}, query_of(request), options)
