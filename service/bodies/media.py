"""Media types of bodies that hold rows, and the headers that name them."""

from __future__ import annotations

from starlette.requests import Request

from service.errors import Problem

JSON, NPY, CSV = "application/json", "application/x-npy", "text/csv"
ARROW_STREAM, ARROW_FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
PNG, JPEG, MULTIPART = "image/png", "image/jpeg", "multipart/form-data"
TABLES = (ARROW_STREAM, ARROW_FILE, PARQUET, CSV)
PICTURES = (PNG, JPEG)
ROWS = (JSON, NPY, *TABLES, *PICTURES, MULTIPART)


def header(request: Request, name: bytes) -> str | None:
    """A header by its lower-case name: a few headers are looked through faster than they are made a mapping."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


def media_type(request: Request, accepted: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The media type of the body, JSON where none is given, and its parameters.

    Raises:
        Problem: 415 for another than those accepted.
    """
    given = header(request, b"content-type")
    if given is None or given == JSON:
        if JSON in accepted:
            return JSON, {}
        given = JSON
    name, parameters = split(given)
    if name not in accepted:
        shown = name[:80] or "an empty media type"
        raise Problem(415, "unsupported-media-type", f"{shown}: send {', '.join(accepted)}")
    return name, parameters


def split(given: str) -> tuple[str, dict[str, str]]:
    """`text/csv; header=absent` -> ("text/csv", {"header": "absent"})."""
    name, *parts = given.split(";")
    pairs = (part.partition("=") for part in parts)
    return name.strip().lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
