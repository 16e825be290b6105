"""POST /v1/models/{name}/score: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ScoreOptions(BaseModel):
    """How rows are labelled. At most one of the two; with neither, the model's default fpr holds."""

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


class NonFinite(BaseModel):
    """A number that JSON cannot hold: null in its list, named here."""

    row: int
    field: str
    value: str = Field(description="NaN, Infinity or -Infinity")


class ScoreAnswer(BaseModel):
    """One list entry a row, in the order sent. Energies are unnormalised: lower is more normal."""

    model: str
    version: str
    higher_is_more_anomalous: bool = Field(description="always true; of anomaly_score")
    fpr: float | None
    fdr: float | None
    energy: list[float | None]
    anomaly_score: list[float | None]
    p_value: list[float]
    is_anomaly: list[bool]
    rank: list[int] = Field(description="1 = the most anomalous row of this request")
    non_finite: list[NonFinite]
    note: str | None = Field(
        description="where the rate asked for is finer than the calibration set resolves"
    )
