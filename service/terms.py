"""The terms of a composition, from their names to loaded models and to rows that each of them takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from ebm.answers import Scores
from ebm.detector import Detector
from ebm.errors import BadInput
from service.bodies import as_input
from service.bodies.json_rows import check_records, take_rows
from service.bodies.takes import takes
from service.errors import limit_exceeded
from service.registry import Loaded
from service.schemas.compose import Term
from service.settings import Settings
from service.work import find, score_rows


async def find_terms(request: Request, terms: Sequence[Term], *, needs: str) -> list[Loaded]:
    """The models of a composition, in its order.

    Raises:
        Problem, Unsupported: as `find`, for the first that cannot be used.
    """
    return [await find(request, term.model, term.version, needs=needs) for term in terms]


def rows_for_each(document: dict[str, Any], detectors: Sequence[Detector], settings: Settings) -> list[Any]:
    """The rows of a JSON document, which loses them, as each model scores them.

    Raises:
        BadInput: rows that do not fit one of the models. Problem: more than `max_rows`.
    """
    named_by = next((d for d in detectors if takes(d).columns is not None), detectors[0])
    rows, named = take_rows(document, takes(named_by), {})
    if len(rows) > settings.max_rows:
        raise limit_exceeded("rows", len(rows), settings.max_rows, "max_rows")
    known: list[tuple[Detector, Any]] = []
    found = []
    for detector in detectors:
        same = next((values for other, values in known if other is detector), None)
        if same is None:
            if named and takes(detector).columns is None:
                raise BadInput(f"{detector.name} has no column names; send 'instances'")
            same = check_records(rows, detector) if named else as_input(rows, detector)
            known.append((detector, same))
        found.append(same)
    return found


async def score_each(request: Request, models: Sequence[Loaded], values: Sequence[Any]) -> list[Scores]:
    """Each model's scores of its rows, batched with those of other requests; the first failure ends them all."""
    tasks = [
        asyncio.ensure_future(score_rows(request, one, rows))
        for one, rows in zip(models, values, strict=True)
    ]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
