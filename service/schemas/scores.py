"""POST /v1/models/{name}/score: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ScoreOptions(BaseModel):
    """How rows are labelled: at most one rate; with neither, the model's default fpr holds. What bad rows do."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    fpr: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="label rows with p_value <= fpr: the share of normal rows that may be flagged",
    )
    fdr: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="label by Benjamini-Hochberg: the expected share of false flags among the flagged",
    )

    on_error: Literal["fail", "null"] = Field(
        "fail",
        description="fail: a row that cannot be scored fails the request. null: it is null in every column, and named "
        "in `errors`; ranks and fdr count the other rows",
    )

    @model_validator(mode="after")
    def _one_rate(self) -> ScoreOptions:
        if self.fpr is not None and self.fdr is not None:
            raise ValueError("give fpr or fdr, not both")
        return self


class ScoreRequest(ScoreOptions):
    """Rows in the units of the training data: `instances` or, where columns have names, `records`."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None,
        description="rows as objects of column: value (number, text, true, false, null, ISO time)",
    )
    ignore_unknown: bool = Field(False, description="leave out keys of records that the model does not know")


class NonFinite(BaseModel):
    """A number that JSON cannot hold: null in its list, named here."""

    row: int
    field: str
    value: str = Field(description="NaN, Infinity or -Infinity")


class RowError(BaseModel):
    """A row that could not be scored."""

    row: int
    column: str | int | None = Field(None, description="where one column is at fault")
    detail: str


class ScoreAnswer(BaseModel):
    """One list entry a row, in the order sent. Energies are unnormalised: lower is more normal."""

    model: str
    version: str
    higher_is_more_anomalous: bool = Field(description="always true; of anomaly_score")
    fpr: float | None
    fdr: float | None
    energy: list[float | None]
    anomaly_score: list[float | None]
    p_value: list[float | None]
    is_anomaly: list[bool | None]
    rank: list[int | None] = Field(description="1 = the most anomalous row of this request")
    non_finite: list[NonFinite]
    errors: list[RowError] = Field(
        description='with "on_error": "null", rows that are null in every column, and why'
    )
    note: str | None = Field(
        description="where the rate asked for is finer than the calibration set resolves"
    )
