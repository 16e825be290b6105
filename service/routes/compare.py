"""How much likelier one row is than another."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ebm.compare import Comparison
from ebm.detector import Detector
from ebm.errors import BadInput
from service import answers
from service.bodies import JSON, as_input, media, read_body, read_document, read_options
from service.bodies.json_rows import check_records
from service.bodies.options import query_of
from service.bodies.rows import INLINE_CELLS_BYTES
from service.bodies.takes import takes
from service.errors import limit_exceeded
from service.openapi import body, parameters
from service.routing import scoped, services, versioned
from service.schemas.compare import CompareAnswer, CompareOptions, CompareRequest
from service.schemas.problems import problems
from service.settings import Settings
from service.work import run_steps

router = APIRouter(prefix="/v1", tags=["comparisons"], route_class=scoped("score"))


@versioned(
    router,
    "compare",
    response_class=Response,
    responses={200: {"model": CompareAnswer}, **problems(404, 413, 415, 422, 429, 503, 504)},
    openapi_extra={"requestBody": body(CompareRequest), "parameters": parameters(CompareOptions)},
)
async def compare(request: Request, name: str, version: str | None = None) -> Response:
    """log p(a) - log p(b) = E(b) - E(a) of rows in pairs, or of one with many; and by the line integral of the score
    function along the straight path between them, with the energies on the way."""
    here = services(request)
    loaded = await here.registry.get(name, version)
    content = await read_body(request, here.settings.max_body_bytes, here.settings.max_decompressed_bytes)
    media.media_type(request, (JSON,))

    def read() -> tuple[Any, Any, CompareOptions]:
        document = read_document(content)
        a, b = (_side(document, side, loaded.detector, here.settings) for side in ("a", "b"))
        return a, b, read_options(document, query_of(request), CompareOptions)

    a, b, options = read() if len(content) <= INLINE_CELLS_BYTES else await run_in_threadpool(read)
    pairs = max(len(a), len(b))
    if options.path and pairs * options.n_points > here.settings.max_values:
        asked = pairs * options.n_points
        raise limit_exceeded("numbers in the answer", asked, here.settings.max_values, "max_values")
    found: Comparison = await run_steps(
        request,
        loaded,
        "compare",
        lambda: loaded.detector.compare_steps(a, b, path=options.path, n_points=options.n_points),
    )
    return answers.json_answer(
        {
            "model": loaded.name,
            "version": loaded.version,
            "log_ratio": found.log_ratio,
            "energy_a": found.energy_a,
            "energy_b": found.energy_b,
            "path_integral": found.path_integral,
            "quadrature_error": found.quadrature_error,
            "position": found.position,
            "path_energy": found.path_energy,
            "non_finite": answers.non_finite(
                log_ratio=found.log_ratio, energy_a=found.energy_a, energy_b=found.energy_b
            ),
            "note": found.note,
        }
    )


def _side(document: dict[str, Any], side: str, detector: Detector, settings: Settings) -> Any:
    """The rows `a` or `b` of the document, which loses them.

    Raises:
        BadInput: none, or rows that do not fit. Problem: too many of them.
    """
    rows = document.pop(side, None)
    if not isinstance(rows, list) or not rows:
        raise BadInput(f"'{side}' must be a list of rows, at least one")
    if len(rows) > settings.max_compare_rows:
        raise limit_exceeded(f"rows of '{side}'", len(rows), settings.max_compare_rows, "max_compare_rows")
    if not isinstance(rows[0], list | dict):
        raise BadInput(f"'{side}' must be a list of rows; wrap a single row in another pair of brackets")
    try:
        if not isinstance(rows[0], dict):
            return as_input(rows, detector)
        if takes(detector).columns is None:
            raise BadInput(f"{detector.name} has no column names; send rows as lists of cells")
        return check_records(rows, detector)
    except BadInput as error:
        raise BadInput(f"{side}: {error}", row=error.row, column=error.column) from None
