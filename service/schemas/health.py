"""GET /healthz and /readyz."""

from __future__ import annotations

from pydantic import BaseModel


class Alive(BaseModel):
    status: str


class Ready(BaseModel):
    status: str
    models: int
    refused: int
    queue: dict[str, int]
