"""POST /v1/models/{name}/compare: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebm.compare import MAX_POINTS, MIN_POINTS
from service.schemas.scores import NonFinite


class CompareOptions(BaseModel):
    """Whether to integrate the score function on the way from one row to the other, and how finely."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    path: bool = Field(
        True,
        description="also the line integral of the score function along the straight path, and its energies",
    )
    n_points: int = Field(
        33,
        ge=MIN_POINTS,
        le=MAX_POINTS,
        description="points of the path; the integral has two nodes between any two",
    )


class CompareRequest(CompareOptions):
    """Rows in pairs, or one row with all of the others: lists of cells, or objects of column: value."""

    a: list[Any] = Field(
        description="rows: lists of cells, or records; images (H, W), (H, W, C) or flat", min_length=1
    )
    b: list[Any] = Field(
        description="rows to compare them with: as many, or one side has a single row", min_length=1
    )


class CompareAnswer(BaseModel):
    """One entry a pair. The unknown constant of the density cancels in the difference."""

    model: str
    version: str
    log_ratio: list[float | None] = Field(description="log p(a) - log p(b) = E(b) - E(a)")
    energy_a: list[float | None]
    energy_b: list[float | None]
    path_integral: list[float | None] | None = Field(
        description="of the score function -grad E from b to a in preprocessed coordinates; near log_ratio"
    )
    quadrature_error: list[float | None] | None = Field(description="path_integral - log_ratio")
    position: list[float] | None = Field(description="points of the path: 0 at a, 1 at b")
    path_energy: list[list[float | None]] | None = Field(description="the energy at each point of each path")
    non_finite: list[NonFinite]
    note: str | None = Field(
        description="what the numbers do not say: tempered energies, paths that leave the data"
    )
