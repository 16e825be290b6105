"""Numbers as an HTTP answer: JSON, npy or PNG, by what the client accepts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from starlette.responses import Response

from service.errors import Problem


def choose(accept: str | None, offers: list[str]) -> str:
    """The media type to answer in: the client's favourite of `offers`; the first where it does not care.

    Raises:
        Problem: 406 where none fits.
    """
    if accept is None or accept == "*/*" or accept == offers[0]:
        return offers[0]
    wanted = []
    for part in (accept or "*/*").split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        wanted.append((media, quality))

    def quality_of(offer: str) -> float:
        # The most specific range that matches decides (RFC 9110, 12.5.1).
        kinds = {offer: 3, offer.split("/")[0] + "/*": 2, "*/*": 1}
        fits = [(kinds[media], quality) for media, quality in wanted if media in kinds]
        return max(fits)[1] if fits else 0.0

    best = max(offers, key=quality_of)
    if quality_of(best) <= 0:
        raise Problem(406, "not-acceptable", f"this answer comes as {', '.join(offers)}")
    return best


def non_finite(**columns: np.ndarray) -> list[dict[str, Any]]:
    """Where NaN or infinity stands: JSON cannot hold them, so they are null there and named here."""
    found: list[dict[str, Any]] = []
    for name, values in columns.items():
        if math.isfinite(values.item()) if values.size == 1 else np.isfinite(values).all():
            continue
        for row in np.flatnonzero(~np.isfinite(values)):
            value = values[row]
            text = "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            found.append({"row": int(row), "field": name, "value": text})
    return found


def rows_of(values: np.ndarray | pa.Table) -> np.ndarray | list[list[Any]]:
    """Rows in user units as JSON has them: a table as lists of cells, times in ISO 8601."""
    if isinstance(values, np.ndarray):
        return values
    columns = []
    for column in values.columns:
        if pa.types.is_timestamp(column.type) and column.type.tz is not None:
            column = column.cast(pa.timestamp("us", "UTC"))  # needs no list of time zones
        columns.append(column.to_pylist())
    return [list(row) for row in zip(*columns, strict=True)]


def json_answer(document: dict[str, Any]) -> Response:
    """`document`, numpy arrays included, as JSON."""
    # `default` is for arrays that are not contiguous.
    content = orjson.dumps(document, default=np.ndarray.tolist, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")


def binary_answer(content: bytes, media_type: str, model: str, version: str, **headers: str) -> Response:
    """Bytes, with the model that made them in the headers, for there is no room in the body.

    Args:
        headers: more of them, `Rows_Not_Scored` for X-Rows-Not-Scored.
    """
    more = {f"X-{name.replace('_', '-')}": value for name, value in headers.items()}
    return Response(
        content, media_type=media_type, headers={"X-Model": model, "X-Model-Version": version, **more}
    )
