"""The one shape of errors, for OpenAPI; service/errors.py writes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class ProblemDocument(BaseModel):
    """RFC 9457. `row` and `column` name the cell at fault, `limit` and `setting` a limit passed."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None = None
    row: int | None = None
    column: str | int | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": "Problem", "content": content} for status in statuses}
