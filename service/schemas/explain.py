"""POST /v1/models/{name}/explain: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ExplainOptions(BaseModel):
    """How much is said of each row."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    top: int | None = Field(
        None, ge=1, description="name so many columns of each row, the largest contributions; not given: all"
    )
    sparse: bool | None = Field(
        None,
        description="let the normal version differ in as few columns as will do; by default so for tables, not images",
    )
    method: Literal["residual", "local", "gradient", "contributions"] | None = Field(
        None,
        description="images: what anomaly_map and the PNG show: the residual to the restored image, the energy's local "
        "terms, its gradient, or the contributions; not given: the best of the first three that the model has",
    )


class ExplainRequest(ExplainOptions):
    """Rows in the units of the training data."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None, description="rows as objects of column: value (number, text, true, false, null, ISO time)"
    )
    ignore_unknown: bool = Field(False, description="leave out keys of records that the model does not know")


class Contribution(BaseModel):
    """What one column adds to a row's energy."""

    column: str
    contribution: float = Field(
        description="in units of energy; negative: the row's own value is more normal"
    )
    value: Any = Field(description="in the row; null where missing")
    normal_value: Any = Field(description="in the normal version")


class ExplainedRow(BaseModel):
    """One row. All contributions add up to energy - normal_energy, and are 0 for rows that are normal."""

    energy: float
    p_value: float
    normal_energy: float = Field(
        description="of the normal version; at most `level` where one was found that low"
    )
    contributions: list[Contribution] | None = Field(
        description="tables: the largest first, columns without any left out"
    )
    heat_map: list[list[float]] | None = Field(description="images: the contribution of each pixel, (H, W)")
    anomaly_map: list[list[float]] | None = Field(
        description="images: where they are odd, (H, W), by map_method: finds faults better than heat_map, but adds up "
        "to nothing; compare within one image"
    )
    map_method: str | None = Field(description="images: what made anomaly_map")
    normal_version: list[Any] = Field(description="the row as it would be normal, *input_shape")
    changed: list[Any] = Field(
        description="tables: names of the columns that differ from the row; images: (H, W) of true and false"
    )


class ExplainAnswer(BaseModel):
    """An explanation of each row, in the order sent."""

    model: str
    version: str
    columns: list[str] | None
    level: float = Field(
        description="the median energy of held-out normal rows: rows at or below it are normal"
    )
    rows: list[ExplainedRow]
