"""Problem documents: what each exception becomes, and that every slug is listed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.exceptions import HTTPException

from ebm.errors import BadArtifact, BadInput, Diverged, Unsupported
from service import errors

SOURCE = Path(errors.__file__).parent
USED = re.compile(r'\(\s*(\d{3}),\s*"([a-z-]+)"')


def test_every_slug_in_the_source_is_listed_with_its_status_and_none_else() -> None:
    used: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        for status, slug in USED.findall(file.read_text(encoding="utf-8")):
            used.setdefault(slug, set()).add(status)
    assert len(used) > 15
    by_framework = {"not-found", "method-not-allowed", "http-error"}
    assert used.keys() | by_framework == errors.SLUGS.keys()
    for slug, statuses in used.items():
        assert {errors.SLUGS[slug][:3]} == statuses, slug


@pytest.mark.parametrize(
    ("error", "status", "slug", "members"),
    [
        (BadInput("row 3", row=3, column="age"), 422, "bad-input", {"row": 3, "column": "age"}),
        (Unsupported("cannot"), 422, "unsupported", {}),
        (Diverged("left the numbers"), 422, "diverged", {}),
        (BadArtifact("unsound"), 503, "model-refused", {}),
        (HTTPException(404), 404, "not-found", {}),
        (HTTPException(405), 405, "method-not-allowed", {}),
        (
            errors.limit_exceeded("rows", 9, 5, "max_rows"),
            422,
            "limit-exceeded",
            {"limit": 5, "setting": "EBM_MAX_ROWS"},
        ),
        (KeyError("secret"), 500, "internal", {}),
    ],
)
def test_what_an_exception_becomes(error: Exception, status: int, slug: str, members: dict[str, Any]) -> None:
    answer = errors.render(error, "/there", "id1")
    document = orjson.loads(answer.body)
    assert answer.status_code == document["status"] == status
    assert document["type"] == f"urn:ebm-service:problem:{slug}"
    assert document["instance"] == "/there" and document["request_id"] == "id1"
    assert {k: document.get(k) for k in members} == members and "secret" not in document["detail"]
    assert answer.headers["content-type"] == errors.MEDIA_TYPE
