"""Operations that say why a row is unusual."""

from __future__ import annotations

from typing import Any, Literal

from ebm.client.answers import Answer
from ebm.client.calls import Steps, document_of, given
from ebm.client.parts import in_parts
from ebm.client.rows import Rows


class Contribution(Answer):
    """What one column adds to a row's energy, its value there, and what would be normal."""

    column: str
    contribution: float
    value: Any
    normal_value: Any


class ExplainedRow(Answer):
    """One row: its contributions (tables, the largest first) or heat map (pictures, (H, W)), which add up to
    energy - normal_energy; and its nearest normal version, with what is `changed` in it. Of pictures also where they
    are odd, `anomaly_map` (H, W), by `map_method`: it finds faults better, but adds up to nothing."""

    energy: float
    p_value: float
    normal_energy: float
    contributions: list[Contribution] | None
    heat_map: list[list[float]] | None
    anomaly_map: list[list[float]] | None = None  # not sent by older servers
    map_method: str | None = None
    normal_version: list[Any]
    changed: list[Any]


class Explanation(Answer):
    """An explanation of each row, in the order sent.

    level: the median energy of held-out normal rows; rows at or below it are normal.
    """

    model: str
    version: str
    columns: list[str] | None
    level: float
    rows: list[ExplainedRow]


def explain(
    model: str,
    rows: Any,
    *,
    top: int | None = None,
    sparse: bool | None = None,
    method: Literal["residual", "local", "gradient", "contributions"] | None = None,
    version: str | None = None,
    resize: bool | None = None,
) -> Steps[Explanation]:
    """Which column or pixel makes each row unusual, and what would be normal there.

    More rows than the server takes at once are sent in parts.

    Args:
        rows: as `score` takes them.
        top: name so many columns of each row; all where not given.
        sparse: let the normal version differ in as few columns as will do; by default so for tables.
        method: of pictures, what `anomaly_map` shows; the best that the model has where not given.

    Raises:
        BadRequest: rows that do not fit, or a model that explains nothing.
    """
    parts = yield from in_parts(
        model,
        "explain",
        Rows.of(rows),
        lambda response: Explanation.model_validate(document_of(response)),
        version=version,
        limit="max_explain_rows",
        params=given({"top": top, "sparse": sparse, "method": method, "resize": resize}),
    )
    return parts[0].model_copy(update={"rows": [row for part in parts for row in part.rows]})
